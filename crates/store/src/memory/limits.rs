//! What is used of limit keys, in memory.

use super::tables::conflict;
use crate::Result;
use callboard_core::model::{LimitUse, Timestamp};
use callboard_core::working_set::{ChangeSet, LimitRef};
use std::collections::BTreeMap;

/// A row for each limit key that is used.
#[derive(Debug, Default)]
pub(super) struct LimitUses(BTreeMap<LimitRef, LimitUse>);

impl LimitUses {
    /// Those of these keys that are used.
    pub fn of<'a>(&self, limits: impl Iterator<Item = &'a LimitRef>) -> Vec<LimitUse> {
        limits.filter_map(|at| self.0.get(at).cloned()).collect()
    }

    /// Those of which nothing is used, the longest idle first.
    pub fn idle(&self, now: Timestamp, limit: usize) -> Vec<LimitRef> {
        let mut idle: Vec<&LimitUse> = self.0.values().filter(|row| row.is_idle(now)).collect();
        idle.sort_by_key(|row| row.due_at);
        idle.into_iter().take(limit).map(|row| (row.namespace, row.key.clone())).collect()
    }

    /// Applies changes.
    pub fn apply(&mut self, changes: &ChangeSet) -> Result<()> {
        for (at, expected) in &changes.removed_limits {
            self.expect(at, *expected)?;
            self.0.remove(at);
        }
        for changed in &changes.limits {
            let at = (changed.row.namespace, changed.row.key.clone());
            self.expect(&at, changed.expected)?;
            self.0.insert(at, changed.row.clone());
        }
        Ok(())
    }

    fn expect(&self, at: &LimitRef, version: i64) -> Result<()> {
        let stored = self.0.get(at).map_or(0, |row| row.version);
        if stored == version { Ok(()) } else { Err(conflict("limit key", &at.1)) }
    }

    /// Makes every row that the changes touch what it is in `committed`.
    pub fn restore(&mut self, committed: &LimitUses, changes: &ChangeSet) {
        let changed = changes.limits.iter().map(|changed| (changed.row.namespace, changed.row.key.clone()));
        for at in changed.chain(changes.removed_limits.iter().map(|(at, _)| at.clone())) {
            match committed.0.get(&at) {
                Some(row) => self.0.insert(at, row.clone()),
                None => self.0.remove(&at),
            };
        }
    }
}
