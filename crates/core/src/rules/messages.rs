//! Messages: into a mailbox, and out of it.

use super::{Ruled, Step};
use crate::command::{MessageReceipt, Reply};
use crate::model::{Address, Agent, AgentId, Mailbox, Message, MessageId, MessageStub, NewMessage, Sender};
use crate::rejection::{Reason, Rejection};
use std::sync::Arc;

impl Step<'_, '_> {
    /// Puts a message into its recipient's mailbox, behind those that are there.
    pub(super) fn send_message(&mut self, from: Option<(AgentId, i64)>, new: &NewMessage) -> Ruled<Reply> {
        let sender = self.sender(from)?;
        let recipient = self.recipient(&new.to)?;
        let mut mailbox = self.mailbox(recipient.id)?;
        let now = self.cx.now;
        mailbox.last_sequence += 1;
        let message = Message {
            namespace: self.namespace.id,
            id: MessageId(self.cx.entropy.uuid_v7(now)),
            recipient: recipient.id,
            sequence: mailbox.last_sequence,
            sender,
            payload: new.payload.clone(),
            headers: new.headers.clone(),
            sent_at: now,
            expires_at: now + new.ttl.unwrap_or(self.cx.settings.message_ttl),
        };
        mailbox.messages += 1;
        mailbox.bytes = mailbox.bytes.saturating_add(message.bytes());
        self.check_room_for_message(&mailbox, &recipient.name)?;
        self.ws.put_mailbox(mailbox);
        let receipt = MessageReceipt { message: message.id, sequence: message.sequence };
        self.ws.add_message(message);
        Ok(Reply::Sent(receipt))
    }

    /// Takes messages that are handled out of a mailbox. Those that are not in it (any more) are passed over, so that
    /// acknowledging twice is harmless.
    pub(super) fn acknowledge_messages(
        &mut self,
        agent: AgentId,
        epoch: Option<i64>,
        messages: &[MessageId],
    ) -> Ruled<Reply> {
        if let Some(epoch) = epoch
            && self.current(agent, epoch)?.is_none()
        {
            return Err(stale_session(epoch).into());
        }
        self.take_messages(agent, messages, |_| true)
    }

    /// Takes messages whose time is over out of a mailbox.
    pub(super) fn expire_messages(&mut self, agent: AgentId, messages: &[MessageId]) -> Ruled<Reply> {
        let now = self.cx.now;
        self.take_messages(agent, messages, |message| message.expires_at <= now)
    }

    /// What is left in a removed agent's mailbox is never delivered: an agent of the same name begins with an empty one.
    pub(super) fn close_mailbox(&mut self, agent: AgentId) -> Ruled<()> {
        if let Some(mailbox) = self.ws.mailbox((self.namespace.id, agent))?.cloned() {
            self.ws.put_mailbox(Mailbox { closed: true, ..mailbox });
        }
        Ok(())
    }

    fn take_messages(
        &mut self,
        agent: AgentId,
        messages: &[MessageId],
        which: impl Fn(&MessageStub) -> bool,
    ) -> Ruled<Reply> {
        let at = (self.namespace.id, agent);
        self.ws.want_messages(at, messages.iter().copied())?;
        let Some(mut mailbox) = self.ws.mailbox(at)?.filter(|mailbox| !mailbox.closed).cloned() else {
            return Ok(Reply::Taken(0));
        };
        let mut taken = 0;
        for id in messages {
            // The id of a message in somebody else's mailbox is as good as unknown.
            let found = self.ws.message((self.namespace.id, *id))?.copied();
            let Some(message) = found.filter(|message| message.recipient == agent && which(message)) else { continue };
            mailbox.messages -= 1;
            mailbox.bytes -= message.bytes;
            taken += 1;
            self.ws.remove_message(&message);
        }
        if taken > 0 {
            self.ws.put_mailbox(mailbox);
        }
        Ok(Reply::Taken(taken))
    }

    fn sender(&self, from: Option<(AgentId, i64)>) -> Ruled<Sender> {
        let principal = self.principal.clone();
        let Some((agent, epoch)) = from else { return Ok(Sender { principal, agent: None }) };
        match self.current(agent, epoch)? {
            Some(agent) => Ok(Sender { principal, agent: Some(agent.name) }),
            None => Err(stale_session(epoch).into()),
        }
    }

    /// The agent that is meant. It must be known: what is sent to a name with a slip in it would wait until it expires, and
    /// its sender would never know.
    fn recipient(&self, to: &Address) -> Ruled<Agent> {
        let Address::Agent(name) = to;
        match self.ws.agent_by_name(&(self.namespace.id, name.clone()))? {
            Some(agent) => Ok(agent.clone()),
            None => Err(Rejection::recipient_not_found(name).into()),
        }
    }

    fn mailbox(&self, agent: AgentId) -> Ruled<Mailbox> {
        let at = (self.namespace.id, agent);
        Ok(self.ws.mailbox(at)?.cloned().unwrap_or_else(|| Mailbox::empty(at.0, at.1)))
    }

    /// Whether a mailbox may be as it is with the new message in it.
    fn check_room_for_message(&self, mailbox: &Mailbox, name: &Arc<str>) -> Ruled<()> {
        let settings = self.cx.settings;
        let remedy = format!("wait until agent {name:?} has acknowledged some, or give messages a shorter ttl");
        if mailbox.messages > settings.mailbox_messages {
            let limit = format!("{} messages", settings.mailbox_messages);
            return Err(Rejection::limit("mailbox", limit, &remedy).into());
        }
        if mailbox.bytes > settings.mailbox_bytes {
            let limit = format!("{} bytes", settings.mailbox_bytes);
            return Err(Rejection::limit("mailbox", limit, &remedy).into());
        }
        Ok(())
    }
}

fn stale_session(epoch: i64) -> Rejection {
    let message = format!("session: epoch {epoch} is not the agent's current one; attach again, and repeat it");
    Rejection::new(Reason::StaleSession, message)
}
