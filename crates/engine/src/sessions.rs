//! Attached agents: who was heard when, and where to push.
//!
//! Liveness is in memory alone: a heartbeat never touches the store.

mod mail;
#[cfg(test)]
mod tests;

pub(crate) use mail::Delivered;

use crate::progress::Coalesce;
use crate::push::Push;
use crate::window::Window;
use callboard_core::command::SessionEnd;
use callboard_core::model::{AgentId, Span};
use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::mpsc::{self, error::TrySendError};
use tokio_util::sync::CancellationToken;

/// What a stream and the sessions share.
#[derive(Debug, Default)]
pub(crate) struct Pulse {
    heard: AtomicI64,
    pushed: AtomicI64,
    /// We are not reading: the queue is full. It doesn't count against the agent.
    paused: AtomicBool,
    /// It did not read what was pushed, and was cut off.
    slow: CancellationToken,
    pub progress: Mutex<Coalesce>,
}

impl Pulse {
    /// The agent was heard.
    pub fn hear(&self, now: Span) {
        self.heard.store(now.0, Ordering::Relaxed);
    }

    /// We stop reading for now, or go on.
    pub fn pause(&self, paused: bool) {
        self.paused.store(paused, Ordering::Relaxed);
    }

    /// Whether it was cut off for not reading.
    pub fn was_slow(&self) -> bool {
        self.slow.is_cancelled()
    }

    /// Ends when it is cut off for not reading.
    pub async fn cut_off(&self) {
        self.slow.cancelled().await;
    }

    pub fn progress(&self) -> MutexGuard<'_, Coalesce> {
        self.progress.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn silence(&self, now: Span) -> Span {
        if self.paused.load(Ordering::Relaxed) {
            return Span(0);
        }
        Span(now.0.saturating_sub(self.heard.load(Ordering::Relaxed)))
    }
}

/// A stream that is to become known.
#[derive(Debug)]
pub(crate) struct Live {
    pub namespace: Arc<str>,
    pub pushes: mpsc::Sender<Push>,
    pub pulse: Arc<Pulse>,
    pub takes_drain: bool,
    pub takes_cancellation: bool,
    pub takes_message_receipts: bool,
    pub takes_children: bool,
    /// What it is sent of its mailbox, if it takes messages.
    pub mail: Option<Window>,
    /// How long its agent is awaited when it breaks.
    pub grace: Span,
}

#[derive(Debug)]
struct Entry {
    epoch: i64,
    namespace: Arc<str>,
    link: Link,
    /// When its end was last ordered, so that it is not ordered again at every look.
    ending: Option<Span>,
    quiet: Arc<Quiet>,
}

/// When this replica is to be quiet; all its sessions share it.
#[derive(Debug)]
struct Quiet {
    /// From then on nothing is pushed: others may have taken the sessions over.
    at: AtomicI64,
    /// How long an agent is awaited that was not told something.
    grace: Span,
}

impl Quiet {
    fn has_begun(&self, now: Span) -> bool {
        now.0 > self.at.load(Ordering::Relaxed)
    }
}

/// How long an ordered end may take before it is ordered again.
const ENDING: Span = Span::seconds(2);

#[derive(Debug)]
enum Link {
    Open(Live),
    Broken { since: Span, grace: Span },
}

/// A session, named.
#[derive(Clone, Debug)]
pub(crate) struct Named {
    pub namespace: Arc<str>,
    pub agent: AgentId,
    pub epoch: i64,
}

/// All sessions of this replica.
#[derive(Debug)]
pub(crate) struct Sessions {
    by_agent: Mutex<HashMap<AgentId, Entry>>,
    quiet: Arc<Quiet>,
}

impl Sessions {
    /// None yet. An agent that was not told something is awaited for so long.
    pub fn new(grace: Span) -> Self {
        Self { by_agent: Mutex::default(), quiet: Arc::new(Quiet { at: AtomicI64::new(i64::MAX), grace }) }
    }

    /// Nothing is pushed from this time on, unless it is told otherwise.
    pub fn quiet_at(&self, at: Span) {
        self.quiet.at.store(at.0, Ordering::Relaxed);
    }

    /// Whether nothing is pushed.
    pub fn is_quiet(&self, now: Span) -> bool {
        self.quiet.has_begun(now)
    }

    /// Ends every stream without a word: the agents are to attach again, here or elsewhere. They are awaited.
    pub fn break_all(&self, now: Span, grace: Span) {
        for entry in self.lock().values_mut() {
            if let Link::Open(_) = entry.link {
                entry.link = Link::Broken { since: now, grace };
            }
        }
    }

    /// An agent is not told something that nobody says again: its stream ends without a word. It attaches anew, says what it has,
    /// and is told what it should have. It is awaited.
    pub fn missed(&self, agent: AgentId, epoch: Option<i64>, now: Span) {
        if let Some(entry) = self.lock().get_mut(&agent)
            && epoch.is_none_or(|epoch| epoch == entry.epoch)
            && let Link::Open(_) = entry.link
        {
            entry.link = Link::Broken { since: now, grace: self.quiet.grace };
        }
    }

    /// A session of another replica is known: its agent has so long to come back. Not if a newer one is known here.
    pub fn await_unless_here(&self, named: Named, now: Span, grace: Span) {
        if self.lock().get(&named.agent).is_none_or(|entry| entry.epoch < named.epoch) {
            self.expect(named, now, grace);
        }
    }

    /// A stream is attached. What was there before under the agent is gone with it.
    pub fn open(&self, agent: AgentId, epoch: i64, live: Live) {
        let namespace = live.namespace.clone();
        let quiet = self.quiet.clone();
        self.lock().insert(agent, Entry { epoch, namespace, link: Link::Open(live), ending: None, quiet });
    }

    /// A session is known that has no stream here: it has so long to come back.
    pub fn expect(&self, named: Named, now: Span, grace: Span) {
        let link = Link::Broken { since: now, grace };
        let quiet = self.quiet.clone();
        let entry = Entry { epoch: named.epoch, namespace: named.namespace, link, ending: None, quiet };
        self.lock().insert(named.agent, entry);
    }

    /// A stream broke. False when the session is not the current one.
    pub fn broke(&self, agent: AgentId, epoch: i64, now: Span) -> bool {
        match self.lock().get_mut(&agent) {
            Some(entry) if entry.epoch == epoch => {
                entry.link.breaks(now);
                true
            }
            _ => false,
        }
    }

    /// Pushes to a session's stream. A stream that doesn't take it is cut off: it reads too slowly.
    pub fn push(&self, agent: AgentId, epoch: Option<i64>, push: Push, now: Span) -> bool {
        let mut by_agent = self.lock();
        let Some(entry) = by_agent.get_mut(&agent) else { return false };
        if epoch.is_some_and(|epoch| epoch != entry.epoch) {
            return false;
        }
        entry.push(push, now)
    }

    /// Ends a session's stream with a reason, and forgets it.
    pub fn close(&self, agent: AgentId, epoch: i64, why: SessionEnd) {
        let mut by_agent = self.lock();
        if by_agent.get(&agent).is_some_and(|entry| entry.epoch == epoch)
            && let Some(Entry { link: Link::Open(live), .. }) = by_agent.remove(&agent)
        {
            // One that is full ends all the same, for want of a sender.
            let _ = live.pushes.try_send(Push::Close(why));
        }
    }

    /// Forgets a session without a word.
    pub fn forget(&self, agent: AgentId, epoch: i64) {
        let mut by_agent = self.lock();
        if by_agent.get(&agent).is_some_and(|entry| entry.epoch == epoch) {
            by_agent.remove(&agent);
        }
    }

    /// A session's end was decided. It is forgotten if nobody is attached by it, and nobody is awaited: an end that was ordered
    /// before the stream broke, or before its agent was forgiven, did not happen. Forgotten, nobody would order it again, and what
    /// the agent had would stay with it.
    pub fn forget_gone(&self, agent: AgentId, epoch: i64, now: Span, lease: Span) {
        let mut by_agent = self.lock();
        if by_agent.get(&agent).is_some_and(|entry| {
            entry.epoch == epoch && matches!(entry.link, Link::Broken { .. }) && entry.gone(now, lease).is_some()
        }) {
            by_agent.remove(&agent);
        }
    }

    /// Sessions that were silent for longer than their lease, and those that did not come back in time.
    pub fn gone(&self, now: Span, lease: Span) -> Vec<(Named, &'static str)> {
        let mut by_agent = self.lock();
        let gone = by_agent.iter_mut().filter_map(|(agent, entry)| {
            let reason = entry.gone(now, lease)?;
            if entry.ending.is_some_and(|at| now.0 - at.0 < ENDING.0) {
                return None;
            }
            entry.ending = Some(now);
            Some((Named { namespace: entry.namespace.clone(), agent: *agent, epoch: entry.epoch }, reason))
        });
        gone.collect()
    }

    /// Whether a session still is gone: it may have been heard since, or have been replaced.
    pub fn is_gone(&self, agent: AgentId, epoch: i64, now: Span, lease: Span) -> bool {
        match self.lock().get(&agent) {
            Some(entry) if entry.epoch == epoch => entry.gone(now, lease).is_some(),
            _ => true,
        }
    }

    /// Everyone was heard just now: we ourselves were not listening.
    pub fn forgive(&self, now: Span) {
        for entry in self.lock().values_mut() {
            match &mut entry.link {
                Link::Open(live) => live.pulse.hear(now),
                Link::Broken { since, .. } => *since = now,
            }
            entry.ending = None;
        }
    }

    /// Sends a sign of life to those that got nothing for so long.
    pub fn beat(&self, now: Span, every: Span) {
        if self.is_quiet(now) {
            return;
        }
        for entry in self.lock().values_mut() {
            let Link::Open(live) = &entry.link else { continue };
            if now.0 - live.pulse.pushed.load(Ordering::Relaxed) < every.0 {
                continue;
            }
            live.pulse.pushed.store(now.0, Ordering::Relaxed);
            // One that is full gets no heartbeat; it has enough to read.
            if let Err(TrySendError::Closed(_)) = live.pushes.try_send(Push::Heartbeat) {
                entry.link.breaks(now);
            }
        }
    }

    /// Every open stream with its pulse.
    pub fn open_streams(&self) -> Vec<(Named, Arc<Pulse>)> {
        let by_agent = self.lock();
        let open = by_agent.iter().filter_map(|(agent, entry)| match &entry.link {
            Link::Open(live) => {
                let named = Named { namespace: entry.namespace.clone(), agent: *agent, epoch: entry.epoch };
                Some((named, live.pulse.clone()))
            }
            Link::Broken { .. } => None,
        });
        open.collect()
    }

    /// The epoch of an agent whose stream is open here.
    pub fn epoch_of_open(&self, agent: AgentId) -> Option<i64> {
        self.lock().get(&agent).filter(|entry| matches!(entry.link, Link::Open(_))).map(|entry| entry.epoch)
    }

    /// Whether a session is an agent's current one, as far as is known here.
    pub fn is_known(&self, agent: AgentId, epoch: i64) -> bool {
        self.lock().get(&agent).is_some_and(|entry| entry.epoch == epoch)
    }

    /// Whether an agent's stream is open here.
    pub fn is_open(&self, agent: AgentId) -> bool {
        self.lock().get(&agent).is_some_and(|entry| matches!(entry.link, Link::Open(_)))
    }

    /// How many streams are open, and how many are broken and awaited.
    pub fn count(&self) -> (usize, usize) {
        let by_agent = self.lock();
        let open = by_agent.values().filter(|entry| matches!(entry.link, Link::Open(_))).count();
        (open, by_agent.len() - open)
    }

    /// Cuts every stream; their sessions stay in the store.
    pub fn cut_all(&self) {
        self.lock().clear();
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<AgentId, Entry>> {
        self.by_agent.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Link {
    /// The stream broke, if it was open. Its agent is awaited.
    fn breaks(&mut self, now: Span) {
        if let Self::Open(live) = self {
            *self = Self::Broken { since: now, grace: live.grace };
        }
    }
}

impl Entry {
    /// Pushes to the stream, if it is open. One that is full is cut off; one whose writing half is gone has broken, and nobody has
    /// told us yet: its agent is awaited as that of any other. One that is not told a thing, since we are quiet, is ended without a
    /// word: its agent would wait for it, a receipt say, for ever. It attaches again, and repeats what has no receipt.
    fn push(&mut self, push: Push, now: Span) -> bool {
        let Link::Open(live) = &mut self.link else { return false };
        if self.quiet.has_begun(now) {
            if !matches!(push, Push::Heartbeat) {
                self.link = Link::Broken { since: now, grace: self.quiet.grace };
            }
            return false;
        }
        let wanted = match &push {
            Push::Stop(_) => live.takes_cancellation,
            Push::Drain(_) => live.takes_drain,
            Push::MessageReceipts(_) => live.takes_message_receipts,
            Push::Resume(_) | Push::TaskEnds(_) => live.takes_children,
            _ => true,
        };
        if !wanted {
            return true;
        }
        if let Push::Drain(_) = push {
            // Where it is sent it may find nobody, and must look further: it has as long for that as behind a restart.
            live.grace = self.quiet.grace.max(live.grace);
        }
        live.pulse.pushed.store(now.0, Ordering::Relaxed);
        match live.pushes.try_send(push) {
            Ok(()) => return true,
            Err(TrySendError::Full(_)) => {
                live.pulse.slow.cancel();
                self.link = Link::Broken { since: now, grace: Span(0) };
            }
            Err(TrySendError::Closed(_)) => self.link.breaks(now),
        }
        false
    }

    fn gone(&self, now: Span, lease: Span) -> Option<&'static str> {
        match &self.link {
            Link::Open(live) if live.pulse.silence(now) > lease => {
                Some("its agent was silent for longer than its lease")
            }
            Link::Broken { since, grace } if now.0 - since.0 > grace.0 => {
                Some("its agent's stream broke, and the agent did not come back in time")
            }
            _ => None,
        }
    }
}
