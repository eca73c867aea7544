//! Agents that claim by unary calls.

use super::Worker;
use super::answer::{Answer, until_answered};
use super::history::{Said, Verdict};
use super::work::{CLAIMS, Work, asked_to_fail, payload, resources, result_of};
use callboard::v1;
use prost_types::Duration as ProtoDuration;
use rand::Rng;
use tonic::Code;

/// How long a claim is leased: longer than any work takes, the server's absence included.
const LEASE: i64 = 8;

/// It works on one at a time; the others are those that it forgot.
const SLOTS: i32 = 8;

/// A lease that ran out, or was revoked.
const MAY_BE_STALE: [Code; 1] = [Code::FailedPrecondition];

/// Claims, works, and reports, until it is to stop.
pub(super) async fn claim(mut worker: Worker) {
    let resources = resources(&worker.size);
    worker.recorder.declares(&worker.name, &resources);
    let profile = v1::AgentProfile { slots: SLOTS, resources, ..crate::agent::profile(&worker.name, CLAIMS) };
    let mut count = 0;
    while !worker.stop.is_cancelled() {
        count += 1;
        let request = v1::ClaimTasksRequest {
            profile: Some(profile.clone()),
            max_tasks: 1,
            lease: Some(ProtoDuration { seconds: LEASE, nanos: 0 }),
            wait: Some(ProtoDuration { seconds: 1, nanos: 0 }),
            request_id: format!("{}-{count}", worker.name),
            ..Default::default()
        };
        let answer = until_answered(&worker.recorder, &worker.client, request, &[], &worker.give_up).await;
        let Answer::Done(claimed) = answer else { continue };
        for assignment in claimed.assignments {
            work(&mut worker, assignment).await;
        }
    }
}

async fn work(worker: &mut Worker, assignment: v1::Assignment) {
    let Some(attempt) = assignment.attempt.clone() else { return };
    let work = Work::of(&assignment);
    let recorder = worker.recorder.clone();
    let running = recorder.run(&attempt.task_id, attempt.attempt, &worker.name);
    tokio::time::sleep(work.length()).await;
    // One that is only forgotten comes back when its lease is over.
    if worker.random.random_bool(0.02) {
        return;
    }
    let fails = work.fails(assignment.attempts_used);
    let said = match fails {
        true => Said::Failed(asked_to_fail().r#type),
        false => Said::Completed(result_of(&attempt.task_id, attempt.attempt, &worker.name)),
    };
    running.gives(said.clone());
    drop(running);
    if worker.random.random_bool(0.1) {
        lie(worker, &attempt).await;
    }
    let times = worker.random.random_range(1..3);
    let index = recorder.report(attempt.clone(), said.clone(), false);
    for _ in 0..times {
        report(worker, index, &attempt, &said).await;
    }
}

/// A report with another's token must change nothing.
async fn lie(worker: &Worker, attempt: &v1::Attempt) {
    let attempt = v1::Attempt { lease_token: "0123456789abcdef0123456789abcdef".to_owned(), ..attempt.clone() };
    let said = Said::Completed("a lie".to_owned());
    let index = worker.recorder.report(attempt.clone(), said.clone(), true);
    report(worker, index, &attempt, &said).await;
}

/// Reports under one request id, until an answer comes.
async fn report(worker: &Worker, index: usize, attempt: &v1::Attempt, said: &Said) {
    let Worker { recorder, client, give_up, .. } = worker;
    let request_id = format!("{}-{}-{}", attempt.task_id, attempt.attempt, attempt.lease_token);
    let attempt = Some(attempt.clone());
    let verdict = match said {
        Said::Completed(result) => {
            let result = Some(payload("text/plain", result));
            let request = v1::CompleteTaskRequest { attempt, result, request_id, ..Default::default() };
            verdict(until_answered(recorder, client, request, &MAY_BE_STALE, give_up).await)
        }
        Said::Failed(_) => {
            let failure = Some(asked_to_fail());
            let request = v1::FailTaskRequest { attempt, failure, request_id, ..Default::default() };
            verdict(until_answered(recorder, client, request, &MAY_BE_STALE, give_up).await)
        }
    };
    if let Some(verdict) = verdict {
        recorder.receipt(index, verdict);
    }
}

fn verdict<T>(answer: Answer<T>) -> Option<Verdict> {
    match answer {
        Answer::Done(_) => Some(Verdict::Committed),
        Answer::Refused(_) => Some(Verdict::Refused),
        Answer::Unknown => None,
    }
}
