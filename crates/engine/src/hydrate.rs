//! What an assignment carries beside the task's row, read after the commit.

use crate::effects::fence_of;
use crate::error::{Error, Result};
use crate::push::{Assignment, DependencyOutcome, Push};
use crate::shared::Shared;
use callboard_core::command::Fence;
use callboard_core::model::{AgentId, Failure, NamespaceId, Payload, StateName, Task, TaskId};
use callboard_store::{DependencyView, Hydrated, StepPage, TaskView};
use std::sync::Arc;
use std::time::Duration;

/// How many dependency results an assignment carries at most, in bytes; the others are fetched in pages.
pub(crate) const DEPENDENCY_BYTES: usize = 2 << 20;
const DEPENDENCIES: usize = 1_000;
/// How many durable steps it carries, and how many bytes of their results; the others are fetched in pages, too.
const STEPS: usize = 1_000;
const STEP_BYTES: usize = 1 << 20;
/// How many bytes of assignments the answer to a claim carries: clients take messages of 4 MiB.
const ANSWER_BYTES: usize = 3 << 20;
/// How often a read is tried.
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
        Err(error) => {
            tracing::warn!(%error, %agent, "an assignment's input could not be read; its agent is to attach again");
            shared.sessions.missed(agent, Some(epoch), shared.clock.elapsed());
        }
    }
}

async fn complete(shared: &Shared, task: Arc<Task>) -> Result<Assignment> {
    let mut tries = 0;
    loop {
        match read(shared, task.clone()).await {
            Err(Error::Store(_)) if tries < TRIES => {
                tries += 1;
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
            outcome => return outcome,
        }
    }
}

async fn read(shared: &Shared, task: Arc<Task>) -> Result<Assignment> {
    let own = [(task.namespace, task.id)];
    // Beside each other: the agent waits for the slowest of them, and not for one behind the other.
    let (hydrated, beside) = tokio::try_join!(hydrated(shared, &own), Beside::read(shared, &task))?;
    assignment(shared, task, hydrated.input, hydrated.checkpoint, beside)
}

async fn hydrated(shared: &Shared, own: &[(NamespaceId, TaskId)]) -> Result<Hydrated> {
    let hydrated = shared.store.hydrate(own).await?.into_iter().next();
    hydrated.ok_or_else(|| Error::Internal(format!("task {} has no input", own[0].1)))
}

/// What an assignment carries that is not its task's own.
struct Beside {
    dependencies: Vec<DependencyOutcome>,
    steps: StepPage,
}

impl Beside {
    async fn read(shared: &Shared, task: &Task) -> Result<Self> {
        let (dependencies, steps) = tokio::try_join!(outcomes(shared, task), recorded(shared, task))?;
        Ok(Self { dependencies, steps })
    }
}

/// How what it depends on ended.
async fn outcomes(shared: &Shared, task: &Task) -> Result<Vec<DependencyOutcome>> {
    if task.dependencies == 0 {
        return Ok(Vec::new());
    }
    let at = (task.namespace, task.id);
    let results = shared.store.dependency_results(at, None, DEPENDENCIES, DEPENDENCY_BYTES).await?;
    Ok(results.into_iter().map(DependencyOutcome::from).collect())
}

/// The steps that earlier attempts of its run recorded.
async fn recorded(shared: &Shared, task: &Task) -> Result<StepPage> {
    if task.is_first_attempt() {
        return Ok(StepPage::default());
    }
    Ok(shared.store.steps((task.namespace, task.id, task.run), 0, STEPS, STEP_BYTES).await?)
}

/// An assignment of a leased task with all that its handler needs.
fn assignment(
    shared: &Shared,
    task: Arc<Task>,
    input: Arc<Payload>,
    checkpoint: Option<Arc<Payload>>,
    Beside { dependencies, steps }: Beside,
) -> Result<Assignment> {
    let namespace = shared.names.name(task.namespace);
    let namespace = namespace.ok_or_else(|| Error::Internal("a task of an unknown namespace".into()))?;
    Ok(Assignment {
        fence: fence_of(&task),
        namespace,
        input,
        checkpoint: checkpoint.filter(|_| task.has_checkpoint),
        dependencies_truncated: dependencies.len() < task.dependencies as usize,
        dependencies,
        steps: steps.steps,
        step_count: steps.count,
        task,
    })
}

/// Assignments for a claim, and the leases for which its answer has no room.
pub(crate) async fn claimed(
    shared: &Shared,
    namespace: NamespaceId,
    fences: Vec<Fence>,
) -> Result<(Vec<Assignment>, Vec<Fence>)> {
    let (mut assignments, mut left) = (Vec::with_capacity(fences.len()), Vec::new());
    let mut room = ANSWER_BYTES;
    for fence in fences {
        if room == 0 {
            left.push(fence);
            continue;
        }
        let view = shared.store.task((namespace, fence.task)).await?;
        let TaskView { task, input, saved } = view.ok_or_else(|| unknown(fence.task))?;
        // The answer is a remembered one, and the lease has ended since.
        if fence_of(&task) != fence {
            continue;
        }
        let beside = Beside::read(shared, &task).await?;
        let mut assignment = assignment(shared, Arc::new(task), input, saved.checkpoint, beside)?;
        if weight(&assignment) > ANSWER_BYTES {
            assignment.steps.clear();
        }
        if weight(&assignment) > ANSWER_BYTES {
            assignment.dependencies.clear();
            assignment.dependencies_truncated = true;
        }
        let weight = weight(&assignment);
        // One alone always fits; behind the first that doesn't, nothing more is read.
        if weight > room && !assignments.is_empty() {
            left.push(fence);
            room = 0;
            continue;
        }
        room = room.saturating_sub(weight);
        assignments.push(assignment);
    }
    Ok((assignments, left))
}

/// Roughly how many bytes an assignment has as a message; rather more than fewer.
fn weight(assignment: &Assignment) -> usize {
    let dependencies = assignment.dependencies.iter().map(|outcome| {
        let key = outcome.key.as_ref().map_or(0, String::len);
        let name = outcome.name.as_ref().map_or(0, |name| name.len());
        256 + key + name + of_payload(outcome.result.as_deref()) + of_failure(outcome.failure.as_deref())
    });
    let steps = assignment.steps.iter().map(|step| 64 + step.key.name.len() + of_payload(Some(&step.result)));
    assignment.task.spec.weight()
        + of_payload(Some(&assignment.input))
        + of_payload(assignment.checkpoint.as_deref())
        + dependencies.sum::<usize>()
        + steps.sum::<usize>()
}

fn of_payload(payload: Option<&Payload>) -> usize {
    let Some(payload) = payload else { return 0 };
    let metadata: usize = payload.metadata.iter().map(|(key, value)| key.len() + value.len() + 16).sum();
    payload.len() + payload.content_type.len() + metadata + 32
}

pub(crate) fn of_failure(failure: Option<&Failure>) -> usize {
    let Some(failure) = failure else { return 0 };
    let texts = failure.kind.len() + failure.message.len() + 64;
    texts + of_payload(failure.details.as_ref()) + of_failure(failure.cause.as_deref())
}

fn unknown(task: TaskId) -> Error {
    Error::Internal(format!("claimed task {task} is gone"))
}

impl From<DependencyView> for DependencyOutcome {
    fn from(DependencyView { ordinal, name, view }: DependencyView) -> Self {
        let state = view.task.state.name();
        Self {
            ordinal,
            name,
            task: view.task.id,
            task_type: view.task.spec.task_type.clone(),
            key: view.task.spec.key.clone(),
            state,
            // The store keeps how an attempt failed also of a task that was completed by another.
            result: view.saved.result.filter(|_| state == StateName::Completed),
            failure: view.saved.failure.filter(|_| state == StateName::Failed),
        }
    }
}
