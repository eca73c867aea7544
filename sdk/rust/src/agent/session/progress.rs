//! Progress: at most ten times a second per attempt, the latest wins, nothing is kept across streams.

use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

use callboard_proto::v1;

use super::{HandlerId, Moment};

const INTERVAL: Duration = Duration::from_millis(100);

#[derive(Debug, Default)]
pub(super) struct ProgressGate {
    latest: HashMap<HandlerId, v1::Progress>,
    due: BTreeSet<(Moment, HandlerId)>,
    sent_at: HashMap<HandlerId, Moment>,
}

impl ProgressGate {
    pub(super) fn offer(&mut self, now: Moment, handler: HandlerId, progress: v1::Progress) {
        if self.latest.insert(handler, progress).is_none() {
            let due = self.sent_at.get(&handler).map_or(now, |sent_at| now.max(*sent_at + INTERVAL));
            self.due.insert((due, handler));
        }
    }

    /// What may be sent now, at most so many.
    pub(super) fn take_due(&mut self, now: Moment, most: usize) -> Vec<(HandlerId, v1::Progress)> {
        let mut taken = Vec::new();
        while let Some((at, handler)) = self.due.first().copied().filter(|(at, _)| *at <= now && taken.len() < most) {
            self.due.remove(&(at, handler));
            if let Some(progress) = self.latest.remove(&handler) {
                self.sent_at.insert(handler, now);
                taken.push((handler, progress));
            }
        }
        taken
    }

    /// The handler has ended, or is not heard any more.
    pub(super) fn forget(&mut self, handler: HandlerId) {
        self.sent_at.remove(&handler);
        if self.latest.remove(&handler).is_some() {
            self.due.retain(|(_, waiting)| *waiting != handler);
        }
    }

    /// The stream has ended.
    pub(super) fn clear(&mut self) {
        self.latest.clear();
        self.due.clear();
    }

    pub(super) fn next_due(&self) -> Option<Moment> {
        self.due.first().map(|(at, _)| *at)
    }
}
