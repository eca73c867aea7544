//! What an assignment carries beside the task's row, read after the commit.

use crate::effects::fence_of;
use crate::engine::Shared;
use crate::error::{Error, Result};
use crate::push::{Assignment, DependencyOutcome, Push};
use callboard_core::command::Fence;
use callboard_core::model::{AgentId, NamespaceId, Task, TaskId};
use callboard_store::TaskView;
use std::sync::Arc;
use std::time::Duration;

/// How many dependency results an assignment carries at most, in bytes; the others are fetched in pages.
pub(crate) const DEPENDENCY_BYTES: usize = 2 << 20;
const DEPENDENCIES: usize = 1_000;
/// How often a read is tried before the assignment is left to its time for acceptance.
const TRIES: u32 = 5;

/// An assignment that is not complete yet.
#[derive(Debug)]
pub(crate) struct Wanted {
    pub agent: AgentId,
    pub epoch: i64,
    pub task: Arc<Task>,
}

/// Reads what an assignment needs, and pushes it.
pub(crate) async fn push(shared: &Shared, wanted: Wanted) {
    let Wanted { agent, epoch, task } = wanted;
    match complete(shared, task).await {
        Ok(assignment) => {
            let now = shared.clock.elapsed();
            shared.sessions.push(agent, Some(epoch), Push::Assign(vec![assignment]), now);
        }
        // It is not accepted in time then, and given out again.
        Err(error) => tracing::warn!(%error, %agent, "an assignment's input could not be read"),
    }
}

async fn complete(shared: &Shared, task: Arc<Task>) -> Result<Assignment> {
    let mut tries = 0;
    loop {
        match assignment(shared, task.clone(), fence_of(&task)).await {
            Err(Error::Store(_)) if tries < TRIES => {
                tries += 1;
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
            outcome => return outcome,
        }
    }
}

/// An assignment of a task with all that its handler needs.
async fn assignment(shared: &Shared, task: Arc<Task>, fence: Fence) -> Result<Assignment> {
    let at = (task.namespace, task.id);
    let namespace = shared.names.name(task.namespace);
    let namespace = namespace.ok_or_else(|| Error::Internal("a task of an unknown namespace".into()))?;
    let hydrated = shared.store.hydrate(&[at]).await?.into_iter().next();
    let hydrated = hydrated.ok_or_else(|| Error::Internal(format!("task {} has no input", task.id)))?;
    let mut dependencies = Vec::new();
    if task.dependencies > 0 {
        let results = shared.store.dependency_results(at, None, DEPENDENCIES, DEPENDENCY_BYTES).await?;
        dependencies.extend(results.into_iter().map(DependencyOutcome::from));
    }
    Ok(Assignment {
        fence,
        namespace,
        input: hydrated.input,
        checkpoint: hydrated.checkpoint.filter(|_| task.has_checkpoint),
        dependencies_truncated: dependencies.len() < task.dependencies as usize,
        dependencies,
        task,
    })
}

/// Assignments for a claim.
pub(crate) async fn claimed(shared: &Shared, namespace: NamespaceId, fences: Vec<Fence>) -> Result<Vec<Assignment>> {
    let mut assignments = Vec::with_capacity(fences.len());
    for fence in fences {
        let view = shared.store.task((namespace, fence.task)).await?;
        let view = view.ok_or_else(|| unknown(fence.task))?;
        assignments.push(assignment(shared, Arc::new(view.task), fence).await?);
    }
    Ok(assignments)
}

fn unknown(task: TaskId) -> Error {
    Error::Internal(format!("claimed task {task} is gone"))
}

impl From<(u32, TaskView)> for DependencyOutcome {
    fn from((ordinal, view): (u32, TaskView)) -> Self {
        Self {
            ordinal,
            task: view.task.id,
            task_type: view.task.spec.task_type.clone(),
            key: view.task.spec.key.clone(),
            state: view.task.state.name(),
            result: view.saved.result,
            failure: view.saved.failure,
        }
    }
}
