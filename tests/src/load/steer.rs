//! Those who cancel and retry tasks.

use super::Worker;
use super::answer::{Answer, once, until_answered};
use super::history::Steering;
use super::workflows;
use callboard::v1;
use rand::Rng;
use rand::seq::IteratorRandom;
use tonic::Code;

/// Cancels and retries what was acknowledged.
pub(super) async fn steer(mut worker: Worker) {
    let mut count = 0;
    while !worker.stop.is_cancelled() {
        count += 1;
        let request_id = format!("{}-{count}", worker.name);
        if worker.size.workflows && worker.random.random_bool(0.15) {
            workflows::steer(&mut worker, request_id).await;
            worker.pause(20..150).await;
            continue;
        }
        match worker.random.random_range(0..3) {
            0 => retry(&mut worker, request_id).await,
            _ => cancel(&mut worker, request_id).await,
        }
        worker.pause(20..150).await;
    }
}

async fn cancel(worker: &mut Worker, request_id: String) {
    let Some(task_id) = one_acknowledged(worker) else { return };
    let index = {
        let mut history = worker.recorder.history();
        history.cancels.push(Steering { task_id: task_id.clone(), answers: Vec::new() });
        history.cancels.len() - 1
    };
    let request =
        v1::CancelTaskRequest { task_id, request_id, reason: "the load says so".into(), ..Default::default() };
    for _ in 0..worker.random.random_range(1..3) {
        let answer = until_answered(&worker.recorder, &worker.client, request.clone(), &[], &worker.give_up).await;
        if let Answer::Done(response) = answer {
            worker.recorder.history().cancels[index].answers.extend(response.receipt);
        }
    }
}

/// One of the last that were acknowledged, so that many of them still are on their way.
fn one_acknowledged(worker: &mut Worker) -> Option<String> {
    let history = worker.recorder.history();
    let acknowledged: Vec<&str> = history.acknowledged().collect();
    let recent = acknowledged.iter().rev().take(60);
    recent.choose(&mut worker.random).map(|id| (*id).to_owned())
}

async fn retry(worker: &mut Worker, request_id: String) {
    let states = [v1::TaskState::Failed, v1::TaskState::Cancelled, v1::TaskState::Skipped].map(i32::from);
    let request = v1::ListTasksRequest { states: states.into(), page_size: 20, ..Default::default() };
    let Answer::Done(page) = once(&worker.recorder, &worker.client, request, &[]).await else { return };
    let Some(task_id) = page.tasks.iter().map(|task| task.id.clone()).choose(&mut worker.random) else { return };
    let index = {
        let mut history = worker.recorder.history();
        history.retries.push(Steering { task_id: task_id.clone(), answers: Vec::new() });
        history.retries.len() - 1
    };
    let request = v1::RetryTaskRequest { task_id, request_id, ..Default::default() };
    // Another may have been faster, its dependencies may have to be retried first, and its key may be taken.
    let expected = [Code::FailedPrecondition, Code::AlreadyExists];
    for _ in 0..worker.random.random_range(1..3) {
        let answer =
            until_answered(&worker.recorder, &worker.client, request.clone(), &expected, &worker.give_up).await;
        if let Answer::Done(response) = answer {
            worker.recorder.history().retries[index].answers.extend(response.receipt);
        }
    }
}
