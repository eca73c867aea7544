//! How rules see what tasks gave, when a condition asks for it. Needed by few commands, and only within their batch.

use super::access::{Loaded, missing};
use super::{PayloadValue, TaskRef, Want, WorkingSet};
use crate::decide::Stop;
use crate::limits::{MAX_CONDITION_RESULT, MAX_RESULT_CONDITIONS};
use crate::model::Payload;
use std::sync::Arc;

/// How many results are kept. A command asks for half as many at most, each of [`MAX_CONDITION_RESULT`] at most.
const MOST: usize = 2 * MAX_RESULT_CONDITIONS;

impl WorkingSet {
    /// What a completed task gave; none, if it is too large to be looked at.
    pub fn result(&self, task: TaskRef) -> Loaded<Option<Arc<Payload>>> {
        if let Some(known) = self.batch.results.get(&task) {
            return Ok(known.clone());
        }
        let own = self.batch.changes.payloads.iter().rev().find_map(|write| match &write.value {
            PayloadValue::Result(result) if (write.namespace, write.task) == task => Some(result.clone()),
            _ => None,
        });
        match own {
            Some(result) => Ok(Some(result).filter(|result| result.len() <= MAX_CONDITION_RESULT)),
            None => missing(|want| {
                want.results.insert(task);
            }),
        }
    }

    /// Asks for several results in one go.
    pub fn want_results(&self, tasks: impl Iterator<Item = TaskRef>) -> Loaded<()> {
        let mut want = Want::default();
        for task in tasks {
            if let Err(Stop::NeedMore(wanted)) = self.result(task) {
                want.merge(*wanted);
            }
        }
        if want.is_empty() { Ok(()) } else { Err(Stop::NeedMore(Box::new(want))) }
    }

    /// Takes in what a store found. What was wanted and not found is known to be absent. Those of commands before go when they are too
    /// many: a command asks for its own in one go, and again for what went by this.
    pub(super) fn absorb_results(&mut self, want: &Want, found: Vec<(TaskRef, Arc<Payload>)>) {
        if self.batch.results.len() + want.results.len() > MOST {
            self.batch.results.clear();
        }
        self.batch.results.extend(found.into_iter().map(|(task, result)| (task, Some(result))));
        for task in &want.results {
            self.batch.results.entry(*task).or_insert(None);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{NamespaceId, TaskId};
    use uuid::Uuid;

    #[test]
    fn a_batch_keeps_a_bounded_number_of_results() {
        let mut ws = WorkingSet::default();
        for command in 0..10 {
            let ids = (0..MAX_RESULT_CONDITIONS as u128).map(|n| TaskId(Uuid::from_u128(command << 32 | n)));
            let want = Want { results: ids.map(|id| (NamespaceId(1), id)).collect(), ..Want::default() };
            let found = want.results.iter().map(|task| (*task, Arc::new(Payload::text("1")))).collect();
            ws.absorb_results(&want, found);
            assert!(ws.batch.results.len() <= MOST, "{}", ws.batch.results.len());
            assert!(want.results.iter().all(|task| ws.result(*task).is_ok()), "what was asked for last is here");
        }
    }
}
