//! The four timeouts and the deadline.

use callboard::v1::report::Kind;
use callboard::v1::{self, EventType, TaskState};
use callboard::{Client, NewTask};
use callboard_tests::agent::RawAgent;
use callboard_tests::server::Server;
use callboard_tests::{claim, now, refused, wait};
use std::time::Duration;
use tonic::Code;

const SHORT: Duration = Duration::from_millis(400);

async fn failed_with(client: &Client, id: &str, kind: &str) {
    let task = wait::ended(client, id).await;
    let failure = task.failure.clone().unwrap_or_default();
    assert_eq!((task.state(), failure.r#type.as_str()), (TaskState::Failed, kind), "{task:?}");
    assert!(!failure.message.is_empty());
}

#[tokio::test]
async fn what_nobody_begins_in_time_fails() {
    let server = Server::start().await;
    let client = server.client();
    let id = client.create(NewTask::new("t").schedule_to_start(SHORT)).await.unwrap().task_id;
    failed_with(&client, &id, "callboard.schedule_to_start_timeout").await;
}

#[tokio::test]
async fn a_run_and_a_deadline_end_whatever_goes_on() {
    let server = Server::start().await;
    let client = server.client();
    let run = client.create(NewTask::new("t").schedule_to_close(SHORT)).await.unwrap().task_id;
    let dead = client.create(NewTask::new("nobody").deadline(now() + SHORT)).await.unwrap().task_id;
    let lease = claim::lease(&client, "ann", "t").await;
    failed_with(&client, &run, "callboard.schedule_to_close_timeout").await;
    failed_with(&client, &dead, "callboard.deadline_exceeded").await;
    let late = claim::complete(&client, &lease, "").await.unwrap_err();
    refused(&late, Code::FailedPrecondition, "STALE_ATTEMPT");
    let past = client.create(NewTask::new("t").deadline(now() - SHORT)).await.unwrap_err();
    refused(&past, Code::InvalidArgument, "INVALID_FIELD");
}

#[tokio::test]
async fn an_attempt_that_takes_too_long_is_stopped_and_followed_by_another() {
    let server = Server::with("--restart-grace 0s").await;
    let client = server.client();
    let policy =
        v1::RetryPolicy { max_attempts: 2, initial_backoff: callboard_tests::seconds(0.05), ..Default::default() };
    let new = NewTask::new("t").start_to_close(SHORT).retry_policy(policy);
    let id = client.create(new).await.unwrap().task_id;
    let mut agent = RawAgent::start(&server, "ann", "t").await.beating();
    let first = agent.accepted().await;
    let told = agent.cancellation().await;
    assert_eq!((told.attempt.as_ref(), told.reason()), (Some(&first), v1::CancellationReason::TimedOut));
    let second = agent.accepted().await;
    assert_eq!(second.attempt, 2);
    failed_with(&client, &id, "callboard.start_to_close_timeout").await;
    let refused = agent.complete(&first, "late").await;
    assert_eq!((refused.status(), refused.reason()), (v1::ReceiptStatus::Refused, v1::ErrorReason::StaleAttempt));
}

#[tokio::test]
async fn a_silent_handler_is_stopped_and_one_that_reports_is_not() {
    let server = Server::with("--restart-grace 0s").await;
    let client = server.client();
    let new = NewTask::new("t").heartbeat(Duration::from_millis(800)).max_attempts(1);
    let id = client.create(new).await.unwrap().task_id;
    // Its session is alive all the time: that is another thing.
    let mut agent = RawAgent::start(&server, "ann", "t").await.beating();
    let attempt = agent.accepted().await;
    let mut ticks = tokio::time::interval(Duration::from_millis(300));
    for n in 0..6 {
        ticks.tick().await;
        let progress = v1::Progress { fraction: Some(f64::from(n) / 10.0), ..Default::default() };
        agent.report(&attempt, Kind::Progress(progress)).await;
    }
    assert_eq!(client.get(&id).await.unwrap().state(), TaskState::Running, "1.5 s of reports kept it");
    failed_with(&client, &id, "callboard.heartbeat_timeout").await;
    let history = client.history(&id).await.unwrap();
    assert!(history.iter().any(|event| event.r#type() == EventType::AttemptTimedOut));
}
