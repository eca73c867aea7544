//! Mail: what waits in mailboxes reaches the streams and calls that want it.
//!
//! A message that follows on what its agent was sent goes out right behind its commit, without being read again. Everything
//! else (what waited when the agent attached, what didn't fit its window) is read by the one [`deliver`] loop, so that the
//! order holds. Wake-ups are hints: the sweep finds within a second what they missed.

use crate::error::Result;
use crate::metrics::Way;
use crate::sessions::Delivered;
use crate::shared::Shared;
use callboard_core::Rejection;
use callboard_core::model::{AgentId, Message};
use callboard_core::working_set::{ChangeSet, MailboxRef};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::{Notify, watch};
use tokio_util::sync::CancellationToken;

/// Whose mail is to be looked at, and who waits for some.
#[derive(Debug)]
pub(crate) struct Mail {
    /// Agents with a stream that takes more than it got: never more than are attached.
    wanted: Mutex<BTreeSet<AgentId>>,
    more: Notify,
    /// Calls that wait, by mailbox.
    waiting: Mutex<HashMap<AgentId, watch::Sender<()>>>,
    max: usize,
}

/// Says when there may be new messages in a mailbox.
#[derive(Debug)]
pub(crate) struct NewMail(watch::Receiver<()>);

impl NewMail {
    /// Waits until some may have come since the last call.
    pub async fn come(&mut self) {
        // The sender goes only with the engine; then the caller's own timer ends the wait.
        if self.0.changed().await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

impl Mail {
    /// Nobody waits yet; at most `max` calls may.
    pub fn new(max: usize) -> Self {
        Self { wanted: Mutex::default(), more: Notify::new(), waiting: Mutex::default(), max }
    }

    /// Look at an agent's mailbox, for its stream.
    pub fn look(&self, agent: AgentId) {
        self.wanted().insert(agent);
        self.more.notify_one();
    }

    /// The same, at the next sweep.
    fn look_later(&self, agent: AgentId) {
        self.wanted().insert(agent);
    }

    /// Look at what is left to be looked at.
    pub fn remind(&self) {
        if !self.wanted().is_empty() {
            self.more.notify_one();
        }
    }

    /// Waits for new messages in a mailbox. Ask before it is read, so that nothing is missed.
    pub fn wait(&self, agent: AgentId) -> Result<NewMail> {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        if waiting.len() >= self.max || waiting.len().is_power_of_two() {
            waiting.retain(|_, sender| sender.receiver_count() > 0);
        }
        if waiting.len() >= self.max {
            return Err(Rejection::limit("waiting calls", self.max, "fetch without a wait").into());
        }
        Ok(NewMail(waiting.entry(agent).or_insert_with(|| watch::channel(()).0).subscribe()))
    }

    /// Wakes those who wait for a mailbox.
    pub fn tell(&self, agent: AgentId) {
        let waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(sender) = waiting.get(&agent) {
            sender.send_modify(|()| ());
        }
    }

    fn wanted(&self) -> MutexGuard<'_, BTreeSet<AgentId>> {
        self.wanted.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What a batch committed goes to whom it is for.
pub(crate) fn committed(shared: &Shared, changes: &ChangeSet) {
    if changes.messages.is_empty() {
        return;
    }
    shared.metrics.mail.sent(changes.messages.len());
    let mut by_agent: BTreeMap<AgentId, Vec<Arc<Message>>> = BTreeMap::new();
    for message in &changes.messages {
        by_agent.entry(message.recipient).or_default().push(message.clone());
    }
    let now = shared.clock.elapsed();
    for (agent, messages) in by_agent {
        follow_up(shared, agent, shared.sessions.deliver_new(agent, &messages, now));
        shared.mail.tell(agent);
    }
}

/// A mailbox got a message at a place, by whomever it was committed.
pub(crate) fn noticed(shared: &Shared, (_, agent): MailboxRef, sequence: i64) {
    if shared.sessions.expect_mail(agent, sequence) {
        shared.mail.look(agent);
    }
    shared.mail.tell(agent);
}

/// Reads mailboxes for the streams that take more, one after the other, until it is stopped.
pub(crate) async fn deliver(shared: Arc<Shared>, stop: CancellationToken) {
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            () = shared.mail.more.notified() => {}
        }
        let wanted = std::mem::take(&mut *shared.mail.wanted());
        for agent in wanted {
            if let Err(error) = deliver_to(&shared, agent).await {
                tracing::warn!(%error, %agent, "an agent's mailbox could not be read; the next sweep tries again");
                shared.mail.look_later(agent);
            }
        }
    }
}

async fn deliver_to(shared: &Shared, agent: AgentId) -> Result<()> {
    let Some((session, room)) = shared.sessions.room_for_mail(agent) else { return Ok(()) };
    let namespace = shared.names.id(&*shared.store, &session.namespace).await?;
    let (at, now) = ((namespace, agent), shared.clock.now());
    let page = shared.store.mail(at, now, room.after, room.messages, room.bytes).await?;
    follow_up(shared, agent, shared.sessions.deliver_page(&session, room.after, &page, shared.clock.elapsed()));
    Ok(())
}

/// Counts what went to a stream, and looks for more if there is room for it.
fn follow_up(shared: &Shared, agent: AgentId, delivered: Delivered) {
    shared.metrics.mail.delivered(&Way::STREAM, delivered.messages);
    if delivered.look {
        shared.mail.look(agent);
    }
}

/// The messages of a mailbox behind a place, waiting for one if there is none; at most until `give_up` ends.
pub(crate) async fn fetch(
    shared: &Shared,
    at: MailboxRef,
    request: FetchRequest,
    give_up: impl Future<Output = ()>,
) -> Result<Vec<Arc<Message>>> {
    let mut give_up = std::pin::pin!(give_up);
    let FetchRequest { after, limit, max_bytes, wait } = request;
    let mut new = if wait.is_zero() { None } else { Some(shared.mail.wait(at.1)?) };
    let until = tokio::time::Instant::now() + wait;
    loop {
        let page = shared.store.mail(at, shared.clock.now(), after, limit, max_bytes).await?;
        let Some(new) = new.as_mut().filter(|_| page.messages.is_empty()) else {
            shared.metrics.mail.delivered(&Way::FETCH, page.messages.len());
            return Ok(page.messages);
        };
        tokio::select! {
            () = new.come() => {}
            () = tokio::time::sleep_until(until) => return Ok(Vec::new()),
            () = &mut give_up => return Ok(Vec::new()),
        }
    }
}

/// Which messages somebody asks for.
#[derive(Clone, Copy, Debug)]
pub struct FetchRequest {
    /// Only those behind this place.
    pub after: i64,
    /// At most this many.
    pub limit: usize,
    /// Until they reach so many bytes; one is given always.
    pub max_bytes: usize,
    /// How long to wait when there is none.
    pub wait: Duration,
}
