//! How rules read and write mailboxes and messages. They are known for one batch alone: nothing is kept in memory of the
//! mailboxes of agents that nobody writes to.

use super::access::{Loaded, missing};
use super::{MailboxRef, MessageRef, Want, WorkingSet};
use crate::decide::Stop;
use crate::model::{Mailbox, Message, MessageId, MessageStub};
use std::sync::Arc;

impl WorkingSet {
    /// An agent's mailbox; none before its first message.
    pub fn mailbox(&self, at: MailboxRef) -> Loaded<Option<&Mailbox>> {
        match self.batch.mailboxes.get(&at) {
            Some(row) => Ok(row),
            None => missing(|w| {
                w.mailboxes.insert(at);
            }),
        }
    }

    /// Writes a mailbox.
    pub fn put_mailbox(&mut self, mut row: Mailbox) {
        let stored = row.version;
        row.version += 1;
        self.batch.mailboxes.put((row.namespace, row.agent), Some(row), stored);
    }

    /// A message that waits in a mailbox; none when it never did, or was taken out.
    pub fn message(&self, at: MessageRef) -> Loaded<Option<&MessageStub>> {
        match self.batch.stubs.get(&at) {
            Some(row) => Ok(row),
            None => missing(|w| {
                w.messages.insert(at);
            }),
        }
    }

    /// Asks for a mailbox and messages in one go; what is loaded is not asked for again.
    pub fn want_messages(&self, at: MailboxRef, messages: impl Iterator<Item = MessageId>) -> Loaded<()> {
        let mut want = Want::default();
        if self.batch.mailboxes.get(&at).is_none() {
            want.mailboxes.insert(at);
        }
        let messages = messages.map(|id| (at.0, id));
        want.messages.extend(messages.filter(|message| self.batch.stubs.get(message).is_none()));
        if want.is_empty() { Ok(()) } else { Err(Stop::NeedMore(Box::new(want))) }
    }

    /// A new message.
    pub fn add_message(&mut self, message: Message) {
        let stub = message.stub();
        self.batch.stubs.put((stub.namespace, stub.id), Some(stub), 0);
        self.batch.changes.messages.push(Arc::new(message));
    }

    /// A message goes out of its mailbox.
    pub fn remove_message(&mut self, message: &MessageStub) {
        self.batch.stubs.put((message.namespace, message.id), None, 0);
        self.batch.changes.removed_messages.push((message.namespace, message.recipient, message.sequence));
    }
}
