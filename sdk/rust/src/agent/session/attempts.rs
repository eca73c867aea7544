//! The attempts that this agent has: those whose handlers run, and those that wait for a receipt.

use std::collections::{BTreeSet, HashMap};

use callboard_proto::v1;

use super::{HandlerId, Moment};

/// Whether what a handler says is still wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Standing {
    /// The attempt is the agent's.
    Held,
    /// It is, and the handler was asked to stop.
    CancelRequested,
    /// It is another's, or nobody's. Nothing is reported of it any more.
    Lost,
}

/// How an attempt stood when its handler ended.
#[derive(Debug)]
pub(super) struct Ended {
    pub(super) attempt: v1::Attempt,
    pub(super) standing: Standing,
    pub(super) accepted_as: Option<i64>,
}

/// What tells attempts apart.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Key {
    task_id: String,
    attempt: i32,
}

impl Key {
    pub(super) fn of(attempt: &v1::Attempt) -> Self {
        Self { task_id: attempt.task_id.clone(), attempt: attempt.attempt }
    }
}

#[derive(Debug)]
struct Entry {
    attempt: v1::Attempt,
    handler: Option<HandlerId>,
    standing: Standing,
    /// Reports without a receipt. The entry stays until the last came.
    unreceipted: usize,
    accepted_as: Option<i64>,
    abort_at: Option<Moment>,
}

impl Entry {
    fn is_held(&self) -> bool {
        self.unreceipted > 0 || (self.handler.is_some() && self.standing != Standing::Lost)
    }
}

#[derive(Debug, Default)]
pub(super) struct Attempts {
    entries: HashMap<Key, Entry>,
    running: HashMap<HandlerId, Key>,
    aborts: BTreeSet<(Moment, HandlerId)>,
    started: u64,
}

impl Attempts {
    pub(super) fn knows(&self, attempt: &v1::Attempt) -> bool {
        self.entries.contains_key(&Key::of(attempt))
    }

    /// How many handlers run, the cancelled ones included.
    pub(super) fn running(&self) -> usize {
        self.running.len()
    }

    /// A new attempt, with a handler.
    pub(super) fn start(&mut self, attempt: v1::Attempt) -> HandlerId {
        self.started += 1;
        let handler = HandlerId(self.started);
        let key = Key::of(&attempt);
        self.running.insert(handler, key.clone());
        let entry = Entry {
            attempt,
            handler: Some(handler),
            standing: Standing::Held,
            unreceipted: 0,
            accepted_as: None,
            abort_at: None,
        };
        self.entries.insert(key, entry);
        handler
    }

    pub(super) fn note_accepted(&mut self, handler: HandlerId, report_id: i64) {
        if let Some(entry) = self.of_handler(handler) {
            entry.accepted_as = Some(report_id);
        }
    }

    /// A report was made of an attempt, maybe of one that has no handler.
    pub(super) fn expect_receipt(&mut self, attempt: &v1::Attempt) {
        let entry = self.entries.entry(Key::of(attempt)).or_insert_with(|| Entry {
            attempt: attempt.clone(),
            handler: None,
            standing: Standing::Held,
            unreceipted: 0,
            accepted_as: None,
            abort_at: None,
        });
        entry.unreceipted += 1;
    }

    /// A report has its receipt, or was withdrawn.
    pub(super) fn settle(&mut self, attempt: &v1::Attempt) {
        let key = Key::of(attempt);
        let Some(entry) = self.entries.get_mut(&key) else { return };
        entry.unreceipted = entry.unreceipted.saturating_sub(1);
        if entry.unreceipted == 0 && entry.handler.is_none() {
            self.entries.remove(&key);
        }
    }

    /// The handler that works on the attempt, the cancelled one included.
    pub(super) fn handler_of(&self, attempt: &v1::Attempt) -> Option<HandlerId> {
        self.entries.get(&Key::of(attempt))?.handler
    }

    /// The attempt of a handler whose reports are wanted.
    pub(super) fn reporting_attempt(&self, handler: HandlerId) -> Option<v1::Attempt> {
        let entry = self.entries.get(self.running.get(&handler)?)?;
        (entry.standing != Standing::Lost).then(|| entry.attempt.clone())
    }

    pub(super) fn reports(&self, handler: HandlerId) -> bool {
        let entry = self.running.get(&handler).and_then(|key| self.entries.get(key));
        entry.is_some_and(|entry| entry.standing != Standing::Lost)
    }

    /// The handler has ended; `None` when it is not known.
    pub(super) fn finish(&mut self, handler: HandlerId) -> Option<Ended> {
        let key = self.running.remove(&handler)?;
        let entry = self.entries.get_mut(&key)?;
        if let Some(at) = entry.abort_at.take() {
            self.aborts.remove(&(at, handler));
        }
        entry.handler = None;
        let ended = Ended { attempt: entry.attempt.clone(), standing: entry.standing, accepted_as: entry.accepted_as };
        if entry.unreceipted == 0 {
            self.entries.remove(&key);
        }
        Some(ended)
    }

    /// The handler of this attempt is to stop. `None` when there is none, or it was told so already.
    pub(super) fn stop(&mut self, attempt: &v1::Attempt, standing: Standing, abort_at: Moment) -> Option<HandlerId> {
        let entry = self.entries.get_mut(&Key::of(attempt))?;
        let handler = entry.handler?;
        if entry.standing == standing || entry.standing == Standing::Lost {
            return None;
        }
        entry.standing = standing;
        if entry.abort_at.is_none() {
            entry.abort_at = Some(abort_at);
            self.aborts.insert((abort_at, handler));
        }
        Some(handler)
    }

    /// Attempts whose handlers run and whose reports are wanted.
    pub(super) fn wanted(&self) -> Vec<v1::Attempt> {
        let entries = self.entries.values();
        let wanted = entries.filter(|entry| entry.handler.is_some() && entry.standing != Standing::Lost);
        sorted(wanted.map(|entry| entry.attempt.clone()).collect())
    }

    /// What the hello lists: attempts whose handlers run, and those that wait for a receipt.
    pub(super) fn held(&self) -> Vec<v1::Attempt> {
        let held = self.entries.values().filter(|entry| entry.is_held());
        sorted(held.map(|entry| entry.attempt.clone()).collect())
    }

    /// Handlers that were told to stop, have not, and have had their time.
    pub(super) fn take_due_aborts(&mut self, now: Moment) -> Vec<HandlerId> {
        let mut due = Vec::new();
        while let Some((at, handler)) = self.aborts.first().copied().filter(|(at, _)| *at <= now) {
            self.aborts.remove(&(at, handler));
            due.push(handler);
        }
        due
    }

    pub(super) fn next_abort(&self) -> Option<Moment> {
        self.aborts.first().map(|(at, _)| *at)
    }

    fn of_handler(&mut self, handler: HandlerId) -> Option<&mut Entry> {
        self.entries.get_mut(self.running.get(&handler)?)
    }
}

/// In a fixed order, so that the same state gives the same frame.
fn sorted(mut attempts: Vec<v1::Attempt>) -> Vec<v1::Attempt> {
    attempts.sort_by(|a, b| (&a.task_id, a.attempt).cmp(&(&b.task_id, b.attempt)));
    attempts
}
