//! How rules see what tasks gave, when a condition asks for it. Needed by few commands, and only within their batch.

use super::access::{Loaded, missing};
use super::{PayloadValue, TaskRef, Want, WorkingSet};
use crate::decide::Stop;
use crate::limits::MAX_CONDITION_RESULT;
use crate::model::Payload;
use std::sync::Arc;

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

    /// Takes in what a store found. What was wanted and not found is known to be absent.
    pub(super) fn absorb_results(&mut self, want: &Want, found: Vec<(TaskRef, Arc<Payload>)>) {
        self.batch.results.extend(found.into_iter().map(|(task, result)| (task, Some(result))));
        for task in &want.results {
            self.batch.results.entry(*task).or_insert(None);
        }
    }
}
