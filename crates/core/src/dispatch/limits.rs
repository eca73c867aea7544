//! What limits let through of a lane: all of its tasks have the same limit keys, and so the same limits.

use crate::model::{Limit, Namespace, Timestamp};
use crate::rules::Ruled;
use crate::working_set::{LimitRef, WorkingSet, limit_refs};
use std::collections::BTreeSet;

/// The limits that the tasks of a lane are under. What is left of them is what the rows say by now, so that lanes with the same keys
/// share it.
#[derive(Debug, Default)]
pub(crate) struct Bounds(Vec<(LimitRef, Limit)>);

impl Bounds {
    /// Those of the tasks with these limit keys.
    pub fn of(namespace: &Namespace, keys: &BTreeSet<String>) -> Self {
        let limits = &namespace.settings.limits;
        if limits.is_empty() {
            return Self::default();
        }
        let with_limit = |at: LimitRef| limits.of(&at.1).cloned().map(|limit| (at, limit));
        Self(limit_refs(namespace.id, keys).filter_map(with_limit).collect())
    }

    /// How many tasks may be given out now.
    pub fn room(&self, ws: &WorkingSet, now: Timestamp) -> Ruled<usize> {
        let mut room = usize::MAX;
        for (at, limit) in &self.0 {
            room = room.min(limit.room(&ws.limit_use(at)?, now));
        }
        Ok(room)
    }

    /// When a rate lets the next task through, if only rates hold it up: a slot that somebody must give back first is told of
    /// when that happens.
    pub fn next_at(&self, ws: &WorkingSet, now: Timestamp) -> Ruled<Option<Timestamp>> {
        let mut next = None;
        for (at, limit) in &self.0 {
            let used = ws.limit_use(at)?;
            if limit.free(&used) == 0 {
                return Ok(None);
            }
            next = next.max(limit.next_at(&used, now));
        }
        Ok(next)
    }
}
