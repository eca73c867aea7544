//! Cancel, retry, hold, release, update: in each state.

use callboard::NewTask;
use callboard::v1::{self, EventType, Priority, TaskState, WaitReason};
use callboard_tests::agent::RawAgent;
use callboard_tests::server::Server;
use callboard_tests::{claim, refusal, refused, stamp, wait};
use std::time::{Duration, SystemTime};
use tonic::Code;

#[tokio::test]
async fn what_had_not_started_is_cancelled_at_once() {
    let server = Server::start().await;
    let client = server.client();
    let waiting = client.create(NewTask::new("t").hold()).await.unwrap().task_id;
    let ready = client.create(NewTask::new("t")).await.unwrap().task_id;
    for id in [&waiting, &ready] {
        assert_eq!(client.cancel(id, "not needed").await.unwrap().state(), TaskState::Cancelled);
        let history = client.history(id).await.unwrap();
        let last = history.last().unwrap();
        assert_eq!((last.r#type(), last.reason.as_str()), (EventType::Cancelled, "not needed"));
        let again = client.cancel(id, "once more").await.unwrap();
        assert_eq!(again.state(), TaskState::Cancelled);
        assert_eq!(client.history(id).await.unwrap().len(), history.len(), "cancelling again changes nothing");
    }
    // Assigned to an attached agent that has not accepted.
    let assigned = client.create(NewTask::new("a")).await.unwrap().task_id;
    let mut agent = RawAgent::start(&server, "ann", "a").await;
    let attempt = agent.assignment().await.attempt.unwrap();
    assert_eq!(client.cancel(&assigned, "no").await.unwrap().state(), TaskState::Cancelled);
    let told = agent.cancellation().await;
    assert_eq!((told.attempt.as_ref(), told.reason()), (Some(&attempt), v1::CancellationReason::LeaseLost));
}

#[tokio::test]
async fn a_running_task_is_asked_to_stop_and_ends_cancelled_whatever_it_says() {
    let server = Server::start().await;
    let client = server.client();
    for outcome in ["completes", "fails"] {
        let id = client.create(NewTask::new("t")).await.unwrap().task_id;
        let lease = claim::lease(&client, "ann", "t").await;
        let heartbeat = v1::HeartbeatTaskRequest {
            attempt: Some(lease.clone()),
            progress: Some(Default::default()),
            ..Default::default()
        };
        assert!(!client.heartbeat(heartbeat.clone()).await.unwrap().cancel_requested);
        let cancelled = client.cancel(&id, "enough").await.unwrap();
        assert_eq!(cancelled.state(), TaskState::Running);
        assert!(client.get(&id).await.unwrap().cancel_requested);
        assert!(client.heartbeat(heartbeat).await.unwrap().cancel_requested);
        let receipt = match outcome {
            "completes" => claim::complete(&client, &lease, "too late").await.unwrap(),
            _ => claim::fail(&client, &lease, claim::failure("Boom")).await.unwrap(),
        };
        assert_eq!(receipt.state(), TaskState::Cancelled, "{outcome}");
        assert!(client.get(&id).await.unwrap().result.is_none());
    }
}

#[tokio::test]
async fn an_agent_that_does_not_stop_loses_the_task_after_the_grace() {
    let server = Server::with("--cancel-grace 1s").await;
    let client = server.client();
    let id = client.create(NewTask::new("t")).await.unwrap().task_id;
    let lease = claim::lease(&client, "ann", "t").await;
    client
        .heartbeat(v1::HeartbeatTaskRequest {
            attempt: Some(lease.clone()),
            progress: Some(Default::default()),
            ..Default::default()
        })
        .await
        .unwrap();
    client.cancel(&id, "").await.unwrap();
    assert_eq!(wait::ended(&client, &id).await.state(), TaskState::Cancelled);
    refused(&claim::complete(&client, &lease, "").await.unwrap_err(), Code::FailedPrecondition, "STALE_ATTEMPT");
}

#[tokio::test]
async fn ended_tasks_can_be_retried_unless_they_completed() {
    let server = Server::start().await;
    let client = server.client();
    let id = client.create(NewTask::new("t")).await.unwrap().task_id;
    refused(&client.retry(&id).await.unwrap_err(), Code::FailedPrecondition, "TASK_STATE");
    let lease = claim::lease(&client, "ann", "t").await;
    refused(&client.retry(&id).await.unwrap_err(), Code::FailedPrecondition, "TASK_STATE");
    claim::fail(&client, &lease, claim::for_good("Boom")).await.unwrap();

    let retried = client.retry(&id).await.unwrap();
    assert_eq!((retried.state(), retried.run), (TaskState::Ready, 2));
    let second = claim::one(&client, "ann", "t").await;
    assert_eq!((second.run, second.attempts_used), (2, 0));
    let lease = second.attempt.unwrap();
    assert_eq!(lease.attempt, 2, "attempts go on rising across runs");
    claim::complete(&client, &lease, "").await.unwrap();
    refused(&client.retry(&id).await.unwrap_err(), Code::FailedPrecondition, "TASK_STATE");

    let cancelled = client.create(NewTask::new("t")).await.unwrap().task_id;
    client.cancel(&cancelled, "").await.unwrap();
    assert_eq!(client.retry(&cancelled).await.unwrap().state(), TaskState::Ready);
    let dependent = client.create(NewTask::new("d").depends_on(&cancelled)).await.unwrap().task_id;
    client.cancel(&cancelled, "").await.unwrap();
    assert_eq!(wait::ended(&client, &dependent).await.state(), TaskState::Skipped);
    let error = client.retry(&dependent).await.unwrap_err();
    refused(&error, Code::FailedPrecondition, "TASK_STATE");
    assert!(error.to_string().contains(&cancelled), "it says what to retry first: {error}");
    client.retry(&cancelled).await.unwrap();
    assert_eq!(client.retry(&dependent).await.unwrap().state(), TaskState::Waiting);
}

#[tokio::test]
async fn a_held_task_is_given_to_nobody_until_it_is_released() {
    let server = Server::start().await;
    let client = server.client();
    let held = client.create(NewTask::new("t").hold()).await.unwrap();
    assert_eq!(held.state(), TaskState::Waiting);
    let task = client.get(&held.task_id).await.unwrap();
    assert_eq!(task.waiting_for, [i32::from(WaitReason::Hold)]);
    assert!(client.claim(claim::request_many("ann", "t", 1)).await.unwrap().is_empty());
    assert_eq!(client.release(&held.task_id).await.unwrap().state(), TaskState::Ready);
    assert_eq!(client.release(&held.task_id).await.unwrap().state(), TaskState::Ready, "releasing twice is fine");
    assert_eq!(client.hold(&held.task_id, "wait").await.unwrap().state(), TaskState::Waiting);
    client.release(&held.task_id).await.unwrap();
    let lease = claim::lease(&client, "ann", "t").await;
    refused(&client.hold(&held.task_id, "").await.unwrap_err(), Code::FailedPrecondition, "TASK_STATE");
    claim::complete(&client, &lease, "").await.unwrap();
    refused(&client.hold(&held.task_id, "").await.unwrap_err(), Code::FailedPrecondition, "TASK_STATE");
}

#[tokio::test]
async fn a_start_time_is_waited_for() {
    let server = Server::start().await;
    let client = server.client();
    let at = soon(Duration::from_millis(700));
    let created = client.create(NewTask::new("t").start_at(at)).await.unwrap();
    assert_eq!(created.state(), TaskState::Waiting);
    let task = client.get(&created.task_id).await.unwrap();
    assert_eq!(task.waiting_for, [i32::from(WaitReason::StartTime)]);
    assert!(task.next_at.is_some());
    let ready = wait::event_type(&client, &created.task_id, EventType::Ready).await;
    assert!(stamp(ready.at) >= stamp(task.next_at), "{:?} is before {:?}", ready.at, task.next_at);
}

#[tokio::test]
async fn a_live_task_can_be_changed() {
    let server = Server::start().await;
    let (client, mut tasks) = (server.client(), server.tasks().await);
    let id = client.create(NewTask::new("t").tag("old")).await.unwrap().task_id;
    let update = |paths: &[&str]| v1::UpdateTaskRequest {
        task_id: id.clone(),
        priority: Priority::Urgent.into(),
        assignee: "ann".into(),
        tags: vec!["new".into()],
        deadline: Some(soon(Duration::from_secs(60)).into()),
        update_mask: Some(prost_types::FieldMask { paths: paths.iter().map(|p| (*p).to_owned()).collect() }),
        ..Default::default()
    };
    let before = client.get(&id).await.unwrap();
    client.update(update(&["priority"])).await.unwrap();
    let task = client.get(&id).await.unwrap();
    let spec = task.spec.unwrap();
    assert_eq!(
        (spec.priority(), spec.tags.as_slice()),
        (Priority::Urgent, &["old".to_owned()][..]),
        "only what is named"
    );
    assert!(task.version > before.version);
    client.update(update(&["assignee", "deadline", "tags"])).await.unwrap();
    let spec = client.get(&id).await.unwrap().spec.unwrap();
    assert_eq!((spec.requirements.unwrap().assignee.as_str(), spec.tags[0].as_str()), ("ann", "new"));
    assert!(spec.deadline.is_some());
    let last = client.history(&id).await.unwrap().pop().unwrap();
    assert_eq!((last.r#type(), last.reason.as_str()), (EventType::Updated, "assignee, deadline, tags"));
    assert!(client.claim(claim::request_many("bob", "t", 1)).await.unwrap().is_empty(), "it is ann's now");

    for paths in [&[][..], &["type"], &["priority", "nonsense"]] {
        let status = tasks.update_task(update(paths)).await.unwrap_err();
        let details = refusal(&status, Code::InvalidArgument, "INVALID_FIELD");
        assert_eq!(details.bad_request().unwrap().field_violations[0].field, "update_mask");
    }
    let lease = claim::lease(&client, "ann", "t").await;
    claim::complete(&client, &lease, "").await.unwrap();
    refused(&client.update(update(&["tags"])).await.unwrap_err(), Code::FailedPrecondition, "TASK_STATE");
}

#[tokio::test]
async fn a_changed_assignee_gets_the_task() {
    let server = Server::start().await;
    let client = server.client();
    let mut agent = RawAgent::start(&server, "ann", "t").await.beating();
    let id = client.create(NewTask::new("t").assignee("somebody")).await.unwrap().task_id;
    let update = v1::UpdateTaskRequest {
        task_id: id.clone(),
        update_mask: Some(prost_types::FieldMask { paths: vec!["assignee".into()] }),
        ..Default::default()
    };
    client.update(update).await.unwrap();
    assert_eq!(agent.accepted().await.task_id, id);
}

fn soon(after: Duration) -> SystemTime {
    callboard_tests::now() + after
}
