//! Those who ask for workflows, and who let them grow, hold, release, cancel and retry them.

use super::Worker;
use super::answer::{Answer, once, until_answered};
use super::submit::marked;
use super::work::random_spec;
use callboard::{Client, v1};
use futures::StreamExt;
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
            let first = created.receipts.first().map(|receipt| receipt.task_id.clone());
            creation.answers.push(created.receipts);
            history.first_tasks.extend(first.map(|first| (created.workflow_id.clone(), first)));
            history.workflows.push(created.workflow_id);
        }
        Answer::Refused(why) => creation.refused = Some(why),
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

/// One of the last workflows that were acknowledged.
fn recent(worker: &mut Worker) -> Option<String> {
    let history = worker.recorder.history();
    let recent = history.workflows.iter().rev().take(10);
    recent.choose(&mut worker.random).cloned()
}

/// Adds tasks to one of the last workflows, as often as it takes.
pub(super) async fn grow(worker: &mut Worker, marker: &str) {
    let Some(workflow_id) = recent(worker) else { return };
    let count = worker.random.random_range(1..5);
    // Names of their own, and every workflow has a first task.
    let named = |place: usize| format!("{marker}/{}", name(place));
    let mut tasks: Vec<_> = (0..count).map(|place| planned(worker, marker, place)).collect();
    for (place, task) in tasks.iter_mut().enumerate() {
        task.name = named(place);
        task.depends_on.iter_mut().for_each(|dependency| dependency.task = format!("{marker}/{}", dependency.task));
        if worker.random.random_bool(0.5) {
            // What the workflow has comes before what is added with it.
            task.depends_on.insert(0, v1::WorkflowDependency { task: name(0), ..Default::default() });
        }
    }
    let specs: Vec<_> = tasks.iter().map(|task| task.task.clone().unwrap_or_default()).collect();
    let index = worker.recorder.creation(marker, &specs, true);
    let request = v1::AddWorkflowTasksRequest {
        workflow_id: workflow_id.clone(),
        tasks: tasks.clone(),
        request_id: marker.to_owned(),
        ..Default::default()
    };
    // It may have ended, or be on its way to its cancellation.
    let expected = [Code::FailedPrecondition];
    let answer = until_answered(&worker.recorder, &worker.client, request, &expected, &worker.give_up).await;
    let first = match &answer {
        Answer::Done(_) => worker.recorder.history().first_tasks.get(&workflow_id).cloned(),
        _ => None,
    };
    let mut history = worker.recorder.history();
    let creation = &mut history.creations[index];
    match answer {
        Answer::Done(added) => {
            let mut specs = by_ids(specs, &tasks, &added.receipts);
            let of_first = specs.iter_mut().flat_map(|spec| &mut spec.dependencies);
            let of_first = of_first.filter(|dependency| dependency.name == name(0));
            of_first.for_each(|dependency| dependency.task_id = first.clone().unwrap_or_default());
            creation.specs = specs;
            creation.answers.push(added.receipts);
        }
        Answer::Refused(why) => creation.refused = Some(why),
        Answer::Unknown => {}
    }
}

/// Cancels, retries, holds or releases one of the last workflows that were acknowledged.
pub(super) async fn steer(worker: &mut Worker, request_id: String) {
    let Some(workflow_id) = recent(worker) else { return };
    // It may have nothing to retry, have ended, be on its way to its cancellation, or still be told of what was asked before.
    let expected = [Code::FailedPrecondition];
    match worker.random.random_range(0..6) {
        0 | 1 => {
            let request = v1::CancelWorkflowRequest { workflow_id, request_id, ..Default::default() };
            until_answered(&worker.recorder, &worker.client, request, &[], &worker.give_up).await;
        }
        2 | 3 => {
            let request = v1::RetryWorkflowRequest { workflow_id, request_id, ..Default::default() };
            once(&worker.recorder, &worker.client, request, &expected).await;
        }
        _ => {
            let request = v1::HoldWorkflowRequest { workflow_id: workflow_id.clone(), ..Default::default() };
            once(&worker.recorder, &worker.client, request, &expected).await;
            worker.pause(20..300).await;
            let request = v1::ReleaseWorkflowRequest { workflow_id, request_id, ..Default::default() };
            once(&worker.recorder, &worker.client, request, &expected).await;
        }
    }
}

/// Releases every workflow that is held: whoever held it may not have been answered, and its tasks would never end. One that is still
/// told of something else is released when this is called again.
pub(super) async fn release_all(client: &Client) -> callboard::Result<()> {
    let running = v1::ListWorkflowsRequest {
        states: vec![v1::WorkflowState::Running.into()],
        page_size: 1_000,
        ..Default::default()
    };
    let mut listed = std::pin::pin!(client.list_workflows(running));
    while let Some(workflow) = listed.next().await {
        let workflow = workflow?;
        if workflow.held {
            let request = v1::ReleaseWorkflowRequest { workflow_id: workflow.id, ..Default::default() };
            match client.call(request).await {
                Err(error) if error.code() == Some(Code::FailedPrecondition) => {}
                answer => drop(answer?),
            }
        }
    }
    Ok(())
}
