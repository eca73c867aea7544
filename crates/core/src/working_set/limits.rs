//! How rules read and write what is used of limit keys.

use super::access::{Loaded, missing};
use super::{ChangeSet, Changed, LimitRef, Want, WorkingSet};
use crate::decide::Stop;
use crate::model::{LimitUse, NamespaceId, Task};
use std::collections::BTreeSet;
use std::sync::Arc;

/// How many rows are kept between batches.
const KEPT: usize = 10_000;
/// How many are asked for in one go beside those that are needed now.
const TOGETHER: usize = 2_000;

/// Where what is used of the limit keys of a task, or of a lane's, stands; whether there are limits or not: it is counted for all of them.
pub fn limit_refs(namespace: NamespaceId, keys: &BTreeSet<String>) -> impl Iterator<Item = LimitRef> + '_ {
    keys.iter().map(move |key| (namespace, Arc::from(key.as_str())))
}

fn refs_of(task: &Task) -> impl Iterator<Item = LimitRef> + '_ {
    limit_refs(task.namespace, &task.spec.limit_keys)
}

impl WorkingSet {
    /// What is used of a limit key.
    pub fn limit_use(&self, at: &LimitRef) -> Loaded<LimitUse> {
        match self.limits.get(at) {
            Some(Some(row)) => Ok(row.clone()),
            Some(None) => Ok(LimitUse::none(at.0, at.1.clone())),
            None => missing(|want| {
                want.limits.insert(at.clone());
            }),
        }
    }

    /// Asks for what is used of limit keys in one go; what is loaded is not asked for again.
    pub fn want_limits(&self, limits: impl Iterator<Item = LimitRef>) -> Loaded<()> {
        let mut want = Want::default();
        want.limits.extend(limits.filter(|at| self.limits.get(at).is_none()));
        if want.is_empty() { Ok(()) } else { Err(Stop::NeedMore(Box::new(want))) }
    }

    /// Asks for what is used of a task's limit keys, and of those that other leased tasks here have: a command that ends all tasks of an agent
    /// is not to ask for each by itself.
    pub fn want_limits_of(&self, task: &Task) -> Loaded<()> {
        if refs_of(task).all(|at| self.limits.get(&at).is_some()) {
            return Ok(());
        }
        let leased = self.leases.all().filter_map(|id| self.tasks.row(&id));
        self.want_limits(refs_of(task).chain(leased.flat_map(refs_of).take(TOGETHER)))
    }

    /// Writes what is used of a limit key.
    pub fn put_limit_use(&mut self, mut row: LimitUse) {
        let stored = row.version;
        row.version += 1;
        self.limits.put((row.namespace, row.key.clone()), Some(row), stored);
    }

    /// Nothing is used of a limit key any more: its row goes.
    pub fn remove_limit_use(&mut self, row: &LimitUse) {
        self.limits.put((row.namespace, row.key.clone()), None, row.version);
    }

    /// Takes in what a store found. What was wanted and not found is not used.
    pub(super) fn absorb_limits(&mut self, want: &Want, found: Vec<LimitUse>) {
        for row in found {
            self.limits.absorb((row.namespace, row.key.clone()), Some(row));
        }
        for at in &want.limits {
            self.limits.absorb(at.clone(), None);
        }
    }

    /// What the batch changed.
    pub(super) fn take_limits(&mut self, changes: &mut ChangeSet) {
        for (at, expected) in self.limits.take_dirty() {
            match self.limits.row(&at) {
                Some(row) => changes.limits.push(Changed { row: row.clone(), expected }),
                None if expected > 0 => changes.removed_limits.push((at, expected)),
                None => {}
            }
        }
        // In one order, so that every replica locks them in it.
        changes.limits.sort_by(|a, b| (a.row.namespace, &a.row.key).cmp(&(b.row.namespace, &b.row.key)));
        changes.removed_limits.sort();
    }

    /// Forgets rows that others may change.
    pub(super) fn forget_limits(&mut self) {
        self.limits.forget(|_, _| true);
    }

    /// Keeps few of them.
    pub(super) fn trim_limits(&mut self) {
        if self.limits.len() > KEPT {
            self.forget_limits();
        }
    }
}
