//! Those who ask for workflows, and who cancel and retry them.

use super::Worker;
use super::answer::{Answer, once, until_answered};
use super::submit::marked;
use super::work::random_spec;
use callboard::v1;
use rand::Rng;
use rand::seq::{IndexedRandom, IteratorRandom};
use tonic::Code;

/// Asks for a workflow, as often as it takes.
pub(super) async fn create(worker: &mut Worker, marker: &str) {
    let count = worker.random.random_range(2..8);
    let tasks: Vec<_> = (0..count).map(|place| planned(worker, marker, place)).collect();
    let specs: Vec<_> = tasks.iter().map(|task| task.task.clone().unwrap_or_default()).collect();
    let index = worker.recorder.creation(marker, &specs, true);
    let workflow = v1::WorkflowSpec { name: "load".to_owned(), tasks: tasks.clone(), ..Default::default() };
    let request =
        v1::CreateWorkflowRequest { workflow: Some(workflow), request_id: marker.to_owned(), ..Default::default() };
    let answer = until_answered(&worker.recorder, &worker.client, request, &[], &worker.give_up).await;
    let mut history = worker.recorder.history();
    let creation = &mut history.creations[index];
    match answer {
        Answer::Done(created) => {
            creation.specs = by_ids(specs, &tasks, &created.receipts);
            creation.answers.push(created.receipts);
            history.workflows.push(created.workflow_id);
        }
        Answer::Refused => creation.refused = true,
        Answer::Unknown => {}
    }
}

/// A task that may wait for some of those before it.
fn planned(worker: &mut Worker, marker: &str, place: usize) -> v1::WorkflowTask {
    let count = worker.random.random_range(0..3);
    let sources = (0..place).choose_multiple(&mut worker.random, count);
    let conditions = worker.size.conditions;
    let depends_on = sources.into_iter().map(|source| {
        use v1::DependencyCondition as C;
        let all = [C::Completed, C::Completed, C::Failed, C::NotCompleted, C::Ended];
        let condition = all.choose(&mut worker.random).copied().filter(|_| conditions).unwrap_or(C::Completed);
        v1::WorkflowDependency { task: name(source), condition: condition.into(), ..Default::default() }
    });
    let depends_on = depends_on.collect();
    v1::WorkflowTask {
        name: name(place),
        task: Some(marked(random_spec(&mut worker.random, &worker.size), marker)),
        depends_on,
        allow_failure: worker.random.random_bool(0.3),
        weight: worker.random.random_range(0..4),
    }
}

fn name(place: usize) -> String {
    format!("t{place}")
}

/// What was asked by names, as the tasks have it.
fn by_ids(mut specs: Vec<v1::TaskSpec>, tasks: &[v1::WorkflowTask], receipts: &[v1::TaskReceipt]) -> Vec<v1::TaskSpec> {
    let id = |name: &str| {
        let place = tasks.iter().position(|task| task.name == name);
        place.and_then(|place| receipts.get(place)).map(|receipt| receipt.task_id.clone()).unwrap_or_default()
    };
    for (spec, task) in specs.iter_mut().zip(tasks) {
        spec.dependencies.extend(task.depends_on.iter().map(|dependency| v1::Dependency {
            task_id: id(&dependency.task),
            name: dependency.task.clone(),
            on_failure: dependency.on_failure,
            condition: dependency.condition,
            result: dependency.result.clone(),
        }));
    }
    specs
}

/// Cancels or retries one of the last workflows that were acknowledged.
pub(super) async fn steer(worker: &mut Worker, request_id: String) {
    let chosen = {
        let history = worker.recorder.history();
        let recent = history.workflows.iter().rev().take(10);
        recent.choose(&mut worker.random).cloned()
    };
    let Some(workflow_id) = chosen else { return };
    if worker.random.random_bool(0.5) {
        let request = v1::CancelWorkflowRequest { workflow_id, request_id, ..Default::default() };
        until_answered(&worker.recorder, &worker.client, request, &[], &worker.give_up).await;
    } else {
        // It may have nothing to retry, or be on its way to its cancellation.
        let request = v1::RetryWorkflowRequest { workflow_id, request_id, ..Default::default() };
        once(&worker.recorder, &worker.client, request, &[Code::FailedPrecondition]).await;
    }
}
