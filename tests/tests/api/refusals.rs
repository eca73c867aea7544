//! Refusals say what, where and why: reason, domain, fields, and when to come back.

use callboard::NewTask;
use callboard::v1::{self, CreateTaskRequest, TaskSpec};
use callboard_tests::server::Server;
use callboard_tests::{refusal, seconds, wait};
use std::collections::BTreeSet;
use tonic::Code;

const NOBODY: &str = "01989b0e-3c1a-7000-8000-0000dddddddd";

fn create(task: TaskSpec) -> CreateTaskRequest {
    CreateTaskRequest { task: Some(task), ..Default::default() }
}

fn spec() -> TaskSpec {
    TaskSpec { r#type: "t".into(), ..Default::default() }
}

#[tokio::test]
async fn every_fault_of_a_request_is_named_with_its_field() {
    let server = Server::start().await;
    let mut tasks = server.tasks().await;
    let bad = TaskSpec {
        r#type: "no spaces".into(),
        description: "x".repeat(4097),
        tags: vec![String::new()],
        retry_policy: Some(v1::RetryPolicy { max_attempts: 1001, multiplier: 0.5, ..Default::default() }),
        timeouts: Some(v1::Timeouts { heartbeat: seconds(-1.0), ..Default::default() }),
        deadline: Some(prost_types::Timestamp { seconds: 1, nanos: 0 }),
        ..Default::default()
    };
    let status = tasks.create_task(create(bad)).await.unwrap_err();
    let details = refusal(&status, Code::InvalidArgument, "INVALID_FIELD");
    let fields: BTreeSet<String> =
        details.bad_request().unwrap().field_violations.iter().map(|v| v.field.clone()).collect();
    for field in [
        "task.type",
        "task.description",
        "task.tags",
        "task.retry_policy.max_attempts",
        "task.retry_policy.multiplier",
        "task.timeouts.heartbeat",
        "task.deadline",
    ] {
        assert!(fields.contains(field), "{field} is not among {fields:?}");
    }
    assert!(status.message().contains("task.type:"), "the message alone names the field: {}", status.message());
}

#[tokio::test]
async fn faults_that_only_the_rules_see_name_the_field_of_this_request() {
    let server = Server::start().await;
    let (client, mut tasks) = (server.client(), server.tasks().await);
    let dependencies = vec![v1::Dependency { task_id: NOBODY.into(), ..Default::default() }];
    let status = tasks.create_task(create(TaskSpec { dependencies, ..spec() })).await.unwrap_err();
    let details = refusal(&status, Code::InvalidArgument, "INVALID_FIELD");
    assert_eq!(details.bad_request().unwrap().field_violations[0].field, "task.dependencies[0].task_id");
    assert!(status.message().starts_with("task.dependencies[0].task_id:"), "{}", status.message());

    client.create(NewTask::new("t").key("k")).await.unwrap();
    let key_conflict_policy = v1::KeyConflictPolicy::Fail.into();
    let taken = TaskSpec { key: "k".into(), key_conflict_policy, ..spec() };
    let status = tasks.create_task(create(taken)).await.unwrap_err();
    refusal(&status, Code::AlreadyExists, "KEY_EXISTS");
    assert!(status.message().starts_with("task.key:"), "{}", status.message());
}

#[tokio::test]
async fn what_is_missing_is_not_found_and_what_is_no_id_is_said_to_be_none() {
    let server = Server::start().await;
    let mut tasks = server.tasks().await;
    let of = |id: &str| v1::GetTaskRequest { task_id: id.into(), ..Default::default() };
    refusal(&tasks.get_task(of(NOBODY)).await.unwrap_err(), Code::NotFound, "TASK_NOT_FOUND");
    for wrong in ["", "abc", "7"] {
        let status = tasks.get_task(of(wrong)).await.unwrap_err();
        let details = refusal(&status, Code::InvalidArgument, "INVALID_FIELD");
        assert_eq!(details.bad_request().unwrap().field_violations[0].field, "task_id");
    }
    let none = CreateTaskRequest::default();
    refusal(&tasks.create_task(none).await.unwrap_err(), Code::InvalidArgument, "INVALID_FIELD");
    let wait = v1::WaitTaskRequest { task_id: NOBODY.into(), wait: seconds(301.0), ..Default::default() };
    refusal(&tasks.wait_task(wait).await.unwrap_err(), Code::InvalidArgument, "INVALID_FIELD");
    let request = v1::ListTaskEventsRequest { task_id: NOBODY.into(), ..Default::default() };
    refusal(&tasks.list_task_events(request).await.unwrap_err(), Code::NotFound, "TASK_NOT_FOUND");
    let request = v1::WatchEventsRequest { task_id: NOBODY.into(), ..Default::default() };
    refusal(&tasks.watch_events(request).await.unwrap_err(), Code::NotFound, "TASK_NOT_FOUND");
    let status = tasks.get_task(v1::GetTaskRequest { namespace: "nowhere".into(), ..of(NOBODY) }).await.unwrap_err();
    refusal(&status, Code::NotFound, "NAMESPACE_NOT_FOUND");
    assert!(status.message().contains("callboard namespace create nowhere"), "{}", status.message());
}

#[tokio::test]
async fn a_server_that_goes_away_says_when_to_come_back() {
    let server = Server::with("--drain 3s").await;
    let (client, mut tasks) = (server.client(), server.tasks().await);
    let task_id = client.create(NewTask::new("t")).await.unwrap().task_id;
    let request = v1::WaitTaskRequest { task_id, wait: seconds(60.0), ..Default::default() };
    let mut server = server;
    let mut waiting = std::pin::pin!(tasks.wait_task(request));
    // The call is under way before the server is told to go.
    let early = tokio::time::timeout(std::time::Duration::from_millis(300), &mut waiting).await;
    assert!(early.is_err(), "it waits: {early:?}");
    callboard_tests::program::terminate(server.pid());
    let status = wait::soon("the answer", waiting).await.unwrap_err();
    let details = refusal(&status, Code::Unavailable, "DRAINING");
    assert!(details.retry_info().unwrap().retry_delay.is_some());
    assert!(server.ended().await.success(), "a drain is an orderly end");
}
