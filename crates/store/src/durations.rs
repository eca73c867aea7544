//! How long tasks of a type took: the mean of the latest ones.

use callboard_core::model::{Span, Task, TaskState, Timestamp};
use std::collections::HashMap;
use std::sync::Arc;

/// How many types are asked for at once, at most.
pub const MAX_TYPES: usize = 100;

/// How many tasks of a type a mean is of, at most.
pub const OF_EACH: usize = 100;

/// How many of the newest tasks are looked at in all, whether they have completed or not: five times a large workflow, and some
/// 50 ms where nearly none has.
const LOOKED_AT: usize = 50_000;

/// How many of the newest tasks of each type are looked at.
pub fn looked_at(types: usize) -> usize {
    LOOKED_AT / types.clamp(1, MAX_TYPES)
}

/// Sums, while they are added up.
#[derive(Debug, Default)]
pub struct Durations {
    sums: HashMap<Arc<str>, (i64, i64)>,
}

impl Durations {
    /// A task that took so long; one of which that is not known doesn't count.
    pub fn add(&mut self, task_type: &str, took: Option<Span>) {
        let Some(took) = took else { return };
        if !self.sums.contains_key(task_type) {
            self.sums.insert(task_type.into(), (0, 0));
        }
        if let Some((sum, count)) = self.sums.get_mut(task_type) {
            *sum = sum.saturating_add(took.0);
            *count += 1;
        }
    }

    /// The means of the types that had any.
    pub fn means(self) -> HashMap<Arc<str>, Span> {
        self.sums.into_iter().map(|(task_type, (sum, count))| (task_type, Span(sum / count.max(1)))).collect()
    }
}

/// How long the last attempt of a task took, from accepted to completed; nothing of one that has not completed.
pub fn took(state: &TaskState, started_at: Option<Timestamp>) -> Option<Span> {
    match state {
        TaskState::Completed { at } => started_at.map(|started_at| at.since(started_at)),
        _ => None,
    }
}

/// The same of a task.
pub fn task_took(task: &Task) -> Option<Span> {
    took(&task.state, task.started_at)
}
