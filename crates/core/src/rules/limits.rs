//! Limits by key: what is used of them, and who may have more.

use super::{Ruled, Step};
use crate::command::{Effect, Reply};
use crate::model::{LimitUse, Slot, Task, TaskSpec, TaskState};
use crate::planted::Bug;
use crate::rules::transition::Move;
use crate::working_set::limit_refs;
use std::sync::Arc;

/// What a move does to the limits that a task is under.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Counts {
    /// An attempt begins: it takes a slot, and counts for rates.
    Attempt,
    /// It has a slot again.
    Slot,
    /// It has a slot no more.
    Freed,
}

impl Counts {
    /// That of a move from one state to another, if it does anything.
    pub fn of(from: &TaskState, to: &Move, state: &TaskState) -> Option<Self> {
        let has_slot = |state: &TaskState| state.slot().is_some_and(|(_, slot)| slot == Slot::Taken);
        match (has_slot(from), has_slot(state)) {
            (false, true) if matches!(to, Move::Assign(_)) => Some(Self::Attempt),
            (false, true) => Some(Self::Slot),
            (true, false) => Some(Self::Freed),
            _ => None,
        }
    }
}

impl Step<'_, '_> {
    /// Refuses tasks with limit keys while another replica would not count them.
    pub(super) fn check_limit_keys(&self, spec: &TaskSpec) -> Ruled<()> {
        match spec.limit_keys.is_empty() {
            true => Ok(()),
            false => self.check_all_current("limit_keys", "would not count the task"),
        }
    }

    /// Counts a task that gets a slot, or gives it back, for each of its limit keys. The only place where that is done; whether the limits allow
    /// it was asked before.
    pub(super) fn count_for_limits(&mut self, task: &Task, counts: Counts) -> Ruled<()> {
        if task.spec.limit_keys.is_empty() || self.cx.settings.planted.has(Bug::SkipLimitCount) {
            return Ok(());
        }
        self.ws.want_limits_of(task)?;
        let (now, limits) = (self.cx.now, self.namespace.settings.limits.clone());
        for at in limit_refs(task.namespace, &task.spec.limit_keys) {
            let mut used = self.ws.limit_use(&at)?;
            let limit = limits.of(&at.1);
            match counts {
                Counts::Attempt | Counts::Slot => used.in_use = used.in_use.saturating_add(1),
                Counts::Freed => {
                    if limit.is_some_and(|limit| limit.free(&used) == 0) {
                        self.effects.push(Effect::LimitFreed { namespace: at.0, key: at.1 });
                    }
                    used.in_use = used.in_use.saturating_sub(1);
                }
            }
            if let Some(rate) = limit.and_then(|limit| limit.rate).filter(|_| counts == Counts::Attempt) {
                used.due_at = rate.behind_one(used.due_at, now);
            }
            self.ws.put_limit_use(used);
        }
        Ok(())
    }

    /// Forgets rows of limit keys of which nothing is used; those that are used again by now stay.
    pub(super) fn forget_limits(&mut self, keys: &[Arc<str>]) -> Ruled<Reply> {
        let namespace = self.namespace.id;
        self.ws.want_limits(keys.iter().map(|key| (namespace, key.clone())))?;
        for key in keys {
            let used: LimitUse = self.ws.limit_use(&(namespace, key.clone()))?;
            if used.version > 0 && used.is_idle(self.cx.now) {
                self.ws.remove_limit_use(&used);
            }
        }
        Ok(Reply::Done)
    }
}
