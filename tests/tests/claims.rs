//! Being an agent by single calls: claim, heartbeat, complete, fail.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use callboard::NewTask;
use callboard::v1::{self, AgentState, ClaimTasksRequest, EventType, HeartbeatTaskRequest, TaskState};
use callboard_tests::agent::RawAgent;
use callboard_tests::server::Server;
use callboard_tests::{claim, refused, seconds, stamp, text, text_of, wait};
use std::time::Duration;
use tokio::time::Instant;
use tonic::Code;

fn short(name: &str) -> ClaimTasksRequest {
    ClaimTasksRequest { lease: seconds(1.0), ..claim::request(name, "t") }
}

#[tokio::test]
async fn a_waiting_claim_wakes_when_a_task_comes() {
    let server = Server::start().await;
    let client = server.client();
    let (claimed, (id, created)) = tokio::join!(
        async {
            let claimed = wait::soon("the claim", client.claim(claim::request("ann", "t"))).await.unwrap();
            (claimed, Instant::now())
        },
        async {
            // The claim is waiting when its agent is known.
            wait::agent_state(&client, "ann", AgentState::Claiming).await;
            let id = client.create(NewTask::new("t")).await.unwrap().task_id;
            (id, Instant::now())
        }
    );
    let (claimed, at) = claimed;
    println!(
        "measured: a waiting claim had its task {:?} after the creation's answer",
        at.saturating_duration_since(created)
    );
    assert_eq!(claimed[0].attempt.as_ref().unwrap().task_id, id);
    assert!(at.saturating_duration_since(created) < Duration::from_secs(2));
}

#[tokio::test]
async fn a_claim_ends_empty_when_its_time_is_over() {
    let server = Server::start().await;
    let client = server.client();
    let request = |wait| ClaimTasksRequest { wait, ..claim::request("ann", "t") };
    let since = Instant::now();
    assert!(client.claim(request(seconds(0.5))).await.unwrap().is_empty());
    assert!(since.elapsed() >= Duration::from_millis(450));
    assert!(client.claim(request(None)).await.unwrap().is_empty());
    let faults = [
        (request(seconds(61.0)), "wait"),
        (ClaimTasksRequest { lease: seconds(0.5), ..request(None) }, "lease"),
        (ClaimTasksRequest { lease: seconds(86_401.0), ..request(None) }, "lease"),
        (ClaimTasksRequest { max_tasks: 101, ..request(None) }, "max_tasks"),
        (ClaimTasksRequest { profile: None, ..request(None) }, "profile"),
    ];
    for (request, field) in faults {
        let error = client.claim(request).await.unwrap_err();
        refused(&error, Code::InvalidArgument, "INVALID_FIELD");
        assert!(error.violations()[0].field.starts_with(field), "{field}: {error:?}");
    }
}

#[tokio::test]
async fn a_claim_takes_no_more_than_it_asks_for_and_has_slots_for() {
    let server = Server::start().await;
    let client = server.client();
    client.create_all((0..10).map(|_| NewTask::new("t"))).await.unwrap();
    let asks = |slots, max_tasks| {
        let mut request = claim::request_many("ann", "t", slots);
        request.max_tasks = max_tasks;
        request
    };
    assert_eq!(client.claim(asks(5, 3)).await.unwrap().len(), 3);
    let rest = client.claim(asks(5, 9)).await.unwrap();
    assert_eq!(rest.len(), 2, "five slots in all");
    assert!(client.claim(asks(5, 1)).await.unwrap().is_empty());
    claim::complete(&client, rest[0].attempt.as_ref().unwrap(), "").await.unwrap();
    assert_eq!(client.claim(asks(5, 9)).await.unwrap().len(), 1);
}

#[tokio::test]
async fn a_heartbeat_keeps_a_lease_and_silence_loses_it() {
    let server = Server::with("--restart-grace 0s").await;
    let client = server.client();
    let id = client.create(NewTask::new("t")).await.unwrap().task_id;
    let claimed = client.claim(short("ann")).await.unwrap().remove(0);
    let lease = claimed.attempt.clone().unwrap();
    let mut until = stamp(claimed.lease_expires_at);
    let mut ticks = tokio::time::interval(Duration::from_millis(400));
    // For twice as long as the lease.
    for n in 0..5 {
        ticks.tick().await;
        let progress = Some(v1::Progress {
            fraction: Some(f64::from(n) / 10.0),
            phase: "validating".into(),
            ..Default::default()
        });
        let beat = HeartbeatTaskRequest { attempt: Some(lease.clone()), progress, ..Default::default() };
        let answer = client.heartbeat(beat).await.unwrap();
        let next = stamp(answer.lease_expires_at);
        assert!(next >= until && !answer.cancel_requested, "{next} after {until}");
        until = next;
    }
    let task = client.get(&id).await.unwrap();
    assert_eq!((task.state(), task.attempt, task.phase.as_str()), (TaskState::Running, 1, "validating"));
    let checkpoint =
        HeartbeatTaskRequest { attempt: Some(lease.clone()), checkpoint: Some(text("half")), ..Default::default() };
    client.heartbeat(checkpoint).await.unwrap();
    // Now it is silent, and another gets it, with what it saved.
    let since = Instant::now();
    let second = claim::one(&client, "bob", "t").await;
    println!("measured: a silent claim's task went to another after {:?} (lease 1 s)", since.elapsed());
    assert!(since.elapsed() < Duration::from_secs(4));
    assert_eq!(text_of(second.checkpoint.as_ref()), "half");
    let late = claim::complete(&client, &lease, "").await.unwrap_err();
    refused(&late, Code::FailedPrecondition, "STALE_ATTEMPT");
    let beat = HeartbeatTaskRequest { attempt: Some(lease), ..Default::default() };
    refused(&client.heartbeat(beat).await.unwrap_err(), Code::FailedPrecondition, "STALE_ATTEMPT");
    let lost = wait::event_type(&client, &id, EventType::AttemptLost).await;
    assert_eq!(lost.agent, "ann");
}

#[tokio::test]
async fn a_lease_is_of_its_token() {
    let server = Server::start().await;
    let client = server.client();
    client.create(NewTask::new("t")).await.unwrap();
    let lease = claim::lease(&client, "ann", "t").await;
    let forged = v1::Attempt { lease_token: "0".repeat(32), ..lease.clone() };
    refused(&claim::complete(&client, &forged, "").await.unwrap_err(), Code::FailedPrecondition, "WRONG_LEASE_TOKEN");
    let beat = HeartbeatTaskRequest { attempt: Some(forged), ..Default::default() };
    refused(&client.heartbeat(beat).await.unwrap_err(), Code::FailedPrecondition, "WRONG_LEASE_TOKEN");
    claim::complete(&client, &lease, "").await.unwrap();
}

#[tokio::test]
async fn a_task_that_nobody_has_can_be_ended_in_one_call() {
    let server = Server::start().await;
    let client = server.client();
    let done = client.create(NewTask::new("t")).await.unwrap().task_id;
    let failed = client.create(NewTask::new("t")).await.unwrap().task_id;
    let bare = |id: &str| Some(v1::Attempt { task_id: id.into(), ..Default::default() });
    let complete = v1::CompleteTaskRequest {
        attempt: bare(&done),
        result: Some(text("by hand")),
        agent: "me".into(),
        ..Default::default()
    };
    assert_eq!(client.complete(complete.clone()).await.unwrap().state(), TaskState::Completed);
    let task = client.get(&done).await.unwrap();
    assert_eq!((task.agent.as_str(), task.attempt, text_of(task.result.as_ref()).as_str()), ("me", 1, "by hand"));
    let failure = Some(claim::for_good("No"));
    let fail = v1::FailTaskRequest { attempt: bare(&failed), failure, ..Default::default() };
    assert_eq!(client.fail(fail).await.unwrap().state(), TaskState::Failed);
    assert_eq!(client.get(&failed).await.unwrap().agent, "anonymous");
    refused(&client.complete(complete).await.unwrap_err(), Code::FailedPrecondition, "TASK_STATE");

    let held = client.create(NewTask::new("held")).await.unwrap().task_id;
    claim::lease(&client, "ann", "held").await;
    let complete = v1::CompleteTaskRequest { attempt: bare(&held), ..Default::default() };
    refused(&client.complete(complete).await.unwrap_err(), Code::FailedPrecondition, "TASK_STATE");
}

#[tokio::test]
async fn a_name_that_a_stream_has_can_not_claim_and_the_stream_is_not_superseded() {
    let server = Server::start().await;
    let client = server.client();
    let mut agent = RawAgent::start(&server, "ann", "t").await.beating();
    refused(&client.claim(claim::request("ann", "t")).await.unwrap_err(), Code::FailedPrecondition, "AGENT_STATE");
    let id = client.create(NewTask::new("t")).await.unwrap().task_id;
    assert_eq!(agent.accepted().await.task_id, id);
}

#[tokio::test]
async fn a_repeated_claim_gives_the_same_leases_also_after_a_restart() {
    let mut server = Server::start().await;
    let client = server.client();
    client.create_all((0..4).map(|_| NewTask::new("t"))).await.unwrap();
    let request = ClaimTasksRequest { request_id: "r".into(), ..claim::request_many("ann", "t", 2) };
    let first = client.claim(request.clone()).await.unwrap();
    assert_eq!(first.len(), 2);
    assert_eq!(client.claim(request.clone()).await.unwrap(), first);
    server.restart().await;
    assert_eq!(client.claim(request).await.unwrap(), first);
    let lease = first[0].attempt.as_ref().unwrap();
    assert_eq!(claim::complete(&client, lease, "").await.unwrap().state(), TaskState::Completed);
    // An empty answer is not remembered: a retry must find what came since.
    let empty = ClaimTasksRequest { request_id: "e".into(), ..claim::request_many("bob", "later", 1) };
    assert!(client.claim(empty.clone()).await.unwrap().is_empty());
    client.create(NewTask::new("later")).await.unwrap();
    assert_eq!(client.claim(empty).await.unwrap().len(), 1);
}

#[tokio::test]
async fn a_repeated_failure_gives_the_same_receipt_though_the_task_went_on() {
    let server = Server::start().await;
    let client = server.client();
    let retry = v1::RetryPolicy { initial_backoff: seconds(0.01), ..Default::default() };
    let spec = v1::TaskSpec { r#type: "t".into(), retry_policy: Some(retry), ..Default::default() };
    client.create(NewTask::from(spec)).await.unwrap();
    let attempt = Some(claim::lease(&client, "ann", "t").await);
    let failure = Some(claim::failure("Broken"));
    let request = v1::FailTaskRequest { attempt, failure, request_id: "f".into(), ..Default::default() };
    let first = client.fail(request.clone()).await.unwrap();
    assert_eq!(first.state(), TaskState::Waiting);
    // The delay is over, and another attempt runs.
    claim::lease(&client, "bob", "t").await;
    assert_eq!(client.fail(request).await.unwrap(), first);
}

#[tokio::test]
async fn a_claims_lease_outlives_a_server_that_is_killed() {
    let mut server = Server::start().await;
    let client = server.client();
    let id = client.create(NewTask::new("t")).await.unwrap().task_id;
    let lease = client.claim(short("ann")).await.unwrap().remove(0).attempt.unwrap();
    server.kill_9().await;
    // Longer than the lease: our own downtime expires nobody's.
    tokio::time::sleep(Duration::from_millis(1_500)).await;
    server.restart().await;
    assert_eq!(claim::complete(&client, &lease, "kept").await.unwrap().state(), TaskState::Completed);
    assert_eq!(client.get(&id).await.unwrap().attempt, 1);
}
