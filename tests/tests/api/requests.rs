//! The same request_id gives the same answer; a different request under it is refused. Keys and their policies.

use callboard::NewTask;
use callboard::v1::{self, KeyConflictPolicy, TaskSpec, TaskState};
use callboard_tests::server::Server;
use callboard_tests::{claim, refusal, refused, text, wait};
use tonic::Code;

#[tokio::test]
async fn a_repetition_creates_nothing_and_answers_the_same() {
    let mut server = Server::start().await;
    let client = server.client();
    let new = || NewTask::new("t").input("x").unwrap().request_id("r1");
    let first = client.create(new()).await.unwrap();
    let again = client.create(new()).await.unwrap();
    assert_eq!(first, again);
    let other = NewTask::new("t").input("y").unwrap().request_id("r1");
    refused(&client.create(other).await.unwrap_err(), Code::InvalidArgument, "REQUEST_ID_REUSED");
    // The answer is remembered as it was, whatever became of the task, and over a restart.
    client.cancel(&first.task_id, "").await.unwrap();
    server.restart().await;
    assert_eq!(client.create(new()).await.unwrap(), first);
    assert_eq!(client.list_page(Default::default()).await.unwrap().tasks.len(), 1);
    // An id is of its method.
    let batch = client.create_all([new()]).await.unwrap();
    assert_ne!(batch[0].task_id, first.task_id);
    let long = NewTask::new("t").request_id("r".repeat(129));
    let error = client.create(long).await.unwrap_err();
    refused(&error, Code::InvalidArgument, "INVALID_FIELD");
    assert_eq!(error.violations()[0].field, "request_id");
}

#[tokio::test]
async fn the_order_of_maps_makes_no_other_request() {
    let server = Server::start().await;
    let client = server.client();
    let a = NewTask::new("t").metadata("a", "1").metadata("b", "2").request_id("r");
    let b = NewTask::new("t").metadata("b", "2").metadata("a", "1").request_id("r");
    assert_eq!(client.create(a).await.unwrap(), client.create(b).await.unwrap());
}

#[tokio::test]
async fn many_repetitions_at_once_create_one_task() {
    let server = Server::start().await;
    let client = server.client();
    let calls = (0..20).map(|_| client.create(NewTask::new("t").request_id("same")));
    let receipts = futures::future::try_join_all(calls).await.unwrap();
    assert!(receipts.iter().all(|receipt| *receipt == receipts[0]), "{receipts:?}");
    assert_eq!(client.list_page(Default::default()).await.unwrap().tasks.len(), 1);
}

#[tokio::test]
async fn commands_on_tasks_can_be_repeated() {
    let server = Server::start().await;
    let (client, mut tasks, mut agents) = (server.client(), server.tasks().await, server.agents().await);
    let task_id = client.create(NewTask::new("t")).await.unwrap().task_id;
    let hold = v1::HoldTaskRequest { task_id: task_id.clone(), request_id: "h".into(), ..Default::default() };
    let first = tasks.hold_task(hold.clone()).await.unwrap().into_inner();
    client.release(&task_id).await.unwrap();
    assert_eq!(tasks.hold_task(hold).await.unwrap().into_inner(), first);
    assert_eq!(client.get(&task_id).await.unwrap().state(), TaskState::Ready, "a repetition does nothing");

    let claim = v1::ClaimTasksRequest { request_id: "c".into(), ..claim::request("ann", "t") };
    let leased = agents.claim_tasks(claim.clone()).await.unwrap().into_inner();
    let again = agents.claim_tasks(claim).await.unwrap().into_inner();
    assert_eq!(leased.assignments[0].attempt, again.assignments[0].attempt, "the same lease");

    let attempt = leased.assignments[0].attempt.clone();
    let done =
        v1::CompleteTaskRequest { attempt, result: Some(text("x")), request_id: "d".into(), ..Default::default() };
    let first = agents.complete_task(done.clone()).await.unwrap().into_inner();
    assert_eq!(agents.complete_task(done.clone()).await.unwrap().into_inner(), first);
    let other = v1::CompleteTaskRequest { result: Some(text("y")), ..done };
    refusal(&agents.complete_task(other).await.unwrap_err(), Code::InvalidArgument, "REQUEST_ID_REUSED");
}

#[tokio::test]
async fn a_run_repeated_waits_for_the_same_task() {
    let server = Server::start().await;
    let (client, mut tasks) = (server.client(), server.tasks().await);
    let task = Some(TaskSpec { r#type: "t".into(), ..Default::default() });
    let request =
        v1::RunTaskRequest { task, request_id: "r".into(), wait: callboard_tests::seconds(0.05), ..Default::default() };
    let first = tasks.run_task(request.clone()).await.unwrap().into_inner();
    assert!(!first.ended);
    let lease = claim::lease(&client, "ann", "t").await;
    claim::complete(&client, &lease, "done").await.unwrap();
    let longer = v1::RunTaskRequest { wait: callboard_tests::seconds(20.0), ..request };
    let second = wait::soon("the end", tasks.run_task(longer)).await.unwrap().into_inner();
    assert!(second.ended, "another wait is the same request");
    assert_eq!(second.task.unwrap().id, first.task.unwrap().id);
}

#[tokio::test]
async fn a_key_finds_the_live_task_or_refuses_or_replaces() {
    let server = Server::start().await;
    let client = server.client();
    let keyed = |policy| NewTask::new("t").key("k").on_key_conflict(policy);
    let first = client.create(keyed(KeyConflictPolicy::Fail)).await.unwrap();
    let error = client.create(keyed(KeyConflictPolicy::Fail)).await.unwrap_err();
    refused(&error, Code::AlreadyExists, "KEY_EXISTS");
    assert!(error.to_string().contains(&first.task_id), "it says who has the key: {error}");
    let existing = client.create(keyed(KeyConflictPolicy::UseExisting)).await.unwrap();
    assert_eq!((existing.task_id.as_str(), existing.existing), (first.task_id.as_str(), true));
    let default = client.create(NewTask::new("other").key("k")).await.unwrap();
    assert!(default.existing, "USE_EXISTING is the default");

    let lease = claim::lease(&client, "ann", "t").await;
    let new = client.create(keyed(KeyConflictPolicy::Replace)).await.unwrap();
    assert!(!new.existing && new.task_id != first.task_id);
    assert_eq!(client.get(&first.task_id).await.unwrap().state(), TaskState::Cancelled);
    let error = claim::complete(&client, &lease, "late").await.unwrap_err();
    refused(&error, Code::FailedPrecondition, "STALE_ATTEMPT");
    let found = v1::ListTasksRequest { key: "k".into(), ..Default::default() };
    assert_eq!(client.list_page(found).await.unwrap().tasks.len(), 2, "ended tasks keep their key to be found by");

    // A task that has ended gives its key back, and a retry takes it only when it is free.
    let error = client.retry(&first.task_id).await.unwrap_err();
    refused(&error, Code::AlreadyExists, "KEY_EXISTS");
    client.cancel(&new.task_id, "").await.unwrap();
    client.retry(&first.task_id).await.unwrap();
    assert!(client.create(keyed(KeyConflictPolicy::UseExisting)).await.unwrap().existing);
}

#[tokio::test]
async fn one_key_asked_for_at_once_makes_one_task() {
    let server = Server::start().await;
    let client = server.client();
    let calls = (0..20).map(|_| client.create(NewTask::new("t").key("k")));
    let receipts = futures::future::try_join_all(calls).await.unwrap();
    assert_eq!(receipts.iter().filter(|receipt| !receipt.existing).count(), 1);
    assert!(receipts.iter().all(|receipt| receipt.task_id == receipts[0].task_id));
}
