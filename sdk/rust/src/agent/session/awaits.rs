//! The tasks whose ends the server is to tell, and who wants to know. Told anew on each stream.

use std::collections::{BTreeSet, HashMap};

use super::HandlerId;

/// The most ids in a frame, by the protocol.
const MAX_IDS: usize = 1000;

/// The most ids that may be awaited on a stream, by the protocol. More wait until some have ended.
const MAX_AWAITED: usize = 10_000;

#[derive(Debug, Default)]
pub(super) struct Awaits {
    /// Who is to be told, by the task's id. Nobody, when it was given up after the server was asked.
    askers: HashMap<String, BTreeSet<HandlerId>>,
    /// Ids that are still to be sent on this stream.
    unsent: BTreeSet<String>,
}

impl Awaits {
    /// A handler wants to know how the task ends.
    pub(super) fn ask(&mut self, task_id: &str, handler: HandlerId) {
        if !self.askers.contains_key(task_id) {
            self.unsent.insert(task_id.to_owned());
        }
        self.askers.entry(task_id.to_owned()).or_default().insert(handler);
    }

    /// The task has ended: who asked.
    pub(super) fn take_askers(&mut self, task_id: &str) -> BTreeSet<HandlerId> {
        self.unsent.remove(task_id);
        self.askers.remove(task_id).unwrap_or_default()
    }

    /// The handler has ended, or is not heard any more.
    pub(super) fn forget(&mut self, handler: HandlerId) {
        let unsent = &mut self.unsent;
        self.askers.retain(|task_id, askers| {
            askers.remove(&handler);
            !(askers.is_empty() && unsent.remove(task_id))
        });
    }

    /// A new stream, on which these are awaited.
    pub(super) fn restart<'a>(&mut self, awaited: impl Iterator<Item = (HandlerId, &'a str)>) {
        *self = Self::default();
        awaited.for_each(|(handler, task_id)| self.ask(task_id, handler));
    }

    /// The ids of the next frame.
    pub(super) fn take_frame(&mut self) -> Vec<String> {
        let room = self.room();
        std::iter::from_fn(|| self.unsent.pop_first()).take(room).collect()
    }

    /// Whether there is an id to be sent.
    pub(super) fn is_due(&self) -> bool {
        !self.unsent.is_empty() && self.room() > 0
    }

    fn room(&self) -> usize {
        let sent = self.askers.len() - self.unsent.len();
        MAX_AWAITED.saturating_sub(sent).min(MAX_IDS)
    }
}
