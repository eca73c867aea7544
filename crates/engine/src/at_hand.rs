//! What an assignment carries, as far as it is in memory: then nothing is read for it.

use crate::effects::fence_of;
use crate::push::{Assignment, DependencyOutcome};
use callboard_core::command::Effect;
use callboard_core::model::{Edge, Failure, Payload, Task, TaskId};
use std::collections::HashMap;
use std::sync::Arc;

/// What a batch's effects tell of dependencies.
#[derive(Default)]
pub(crate) struct AtHand {
    /// By tasks that have only one each, and became ready by its end.
    only_dependencies: HashMap<TaskId, DependencyOutcome>,
}

/// A task that ended, with what it gave or how it failed.
type End<'a> = (&'a Task, &'a Option<Arc<Payload>>, &'a Option<Arc<Failure>>);

impl AtHand {
    /// Takes out of a batch's effects what assignments of the same batch may carry.
    pub fn of<'a>(effects: impl Iterator<Item = &'a Effect>) -> Self {
        let mut ends: HashMap<TaskId, End<'_>> = HashMap::new();
        let mut only_dependencies = HashMap::new();
        for effect in effects {
            match effect {
                Effect::Ended { task, result, failure } => {
                    ends.insert(task.id, (task, result, failure));
                }
                Effect::Released { edge } => {
                    let end = ends.get(&edge.source);
                    only_dependencies.extend(end.map(|end| (edge.target, outcome(edge, *end))));
                }
                _ => {}
            }
        }
        Self { only_dependencies }
    }

    /// The assignment of a leased task, if all that it carries is here.
    pub fn assignment(&mut self, namespace: Arc<str>, task: &Arc<Task>) -> Option<Assignment> {
        if task.has_checkpoint || !task.is_first_attempt() {
            return None;
        }
        let input = task.input.clone()?;
        let dependencies = match task.dependencies {
            0 => Vec::new(),
            1 => vec![self.only_dependencies.remove(&task.id)?],
            _ => return None,
        };
        Some(Assignment {
            fence: fence_of(task),
            namespace,
            input,
            checkpoint: None,
            dependencies,
            dependencies_truncated: false,
            steps: Vec::new(),
            step_count: 0,
            task: task.clone(),
        })
    }
}

fn outcome(edge: &Edge, (task, result, failure): End<'_>) -> DependencyOutcome {
    DependencyOutcome {
        ordinal: edge.ordinal,
        name: edge.terms.name.clone(),
        task: task.id,
        task_type: task.spec.task_type.clone(),
        key: task.spec.key.clone(),
        state: task.state.name(),
        result: result.clone(),
        failure: failure.clone(),
    }
}
