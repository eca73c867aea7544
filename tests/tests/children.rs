//! Children, from outside: one for each key, told of in lists and histories, and gone with their parent's run.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use callboard::v1::{self, Attempt, CreateChildRequest, EventType, ParentEndAction, TaskSpec, TaskState};
use callboard::{Client, Error, NewTask, Receipt, Result};
use callboard_tests::agent::RawAgent;
use callboard_tests::server::Server;
use callboard_tests::{claim, refused, seconds, wait};
use std::collections::BTreeMap;
use std::sync::Arc;
use tokio::task::JoinSet;
use tonic::Code;

/// A parent that somebody claimed, tried again at once when it fails.
async fn parent(client: &Client) -> (String, Attempt) {
    parent_as(client, NewTask::new("parent")).await
}

async fn parent_as(client: &Client, new: NewTask) -> (String, Attempt) {
    let policy = v1::RetryPolicy { max_attempts: 5, initial_backoff: seconds(0.001), ..Default::default() };
    let id = client.create(new.retry_policy(policy)).await.unwrap().task_id;
    (id, claim::lease(client, "manager", "parent").await)
}

fn request(parent: &Attempt, name: &str, occurrence: i32) -> CreateChildRequest {
    CreateChildRequest {
        parent: Some(parent.clone()),
        name: name.into(),
        occurrence,
        task: Some(TaskSpec { r#type: "child".into(), ..Default::default() }),
        request_id: format!("child/{name}/{occurrence}"),
        ..Default::default()
    }
}

async fn create(client: &Client, parent: &Attempt, name: &str, occurrence: i32) -> Result<Receipt> {
    client.create_child(request(parent, name, occurrence)).await
}

async fn detached(client: &Client, parent: &Attempt, name: &str) -> String {
    let on_parent_end = ParentEndAction::Detach.into();
    let request = CreateChildRequest { on_parent_end, ..request(parent, name, 0) };
    client.create_child(request).await.unwrap().task_id
}

async fn state(client: &Client, id: &str) -> TaskState {
    client.get(id).await.unwrap().state()
}

#[tokio::test]
async fn a_child_is_listed_and_knows_its_parent_and_is_told_of_in_the_history() {
    let server = Server::start().await;
    let client = server.client();
    let (id, lease) = parent_as(&client, NewTask::new("parent").header("trace", "7")).await;
    let first = create(&client, &lease, "search", 0).await.unwrap();
    assert!(!first.existing);
    let second = create(&client, &lease, "search", 1).await.unwrap().task_id;
    let free = detached(&client, &lease, "report").await;
    let children = client.children(&id, 0).await.unwrap();
    let listed: Vec<_> = children
        .iter()
        .map(|child| {
            (child.ordinal, child.name.as_str(), child.occurrence, child.task_id.as_str(), child.on_parent_end())
        })
        .collect();
    let (cancel, detach) = (ParentEndAction::Cancel, ParentEndAction::Detach);
    let expected = [
        (1, "search", 0, first.task_id.as_str(), cancel),
        (2, "search", 1, &second, cancel),
        (3, "report", 0, &free, detach),
    ];
    assert_eq!(listed, expected);
    assert!(children.iter().all(|child| child.task.as_ref().unwrap().state() == TaskState::Ready));
    let task = client.get(&second).await.unwrap();
    let link = v1::ParentLink { task_id: id.clone(), run: 1, name: "search".into(), occurrence: 1, depth: 1 };
    assert_eq!(task.parent, Some(link));
    assert_eq!(task.spec.unwrap().headers["trace"], "7");
    assert_eq!(client.get(&id).await.unwrap().parent, None);
    let history = client.history(&id).await.unwrap();
    let told = history.iter().filter(|event| event.r#type() == EventType::ChildCreated);
    assert_eq!(told.map(|event| event.child.as_str()).collect::<Vec<_>>(), [first.task_id.as_str(), &second, &free]);
    assert!(client.children(&id, 2).await.unwrap().is_empty());
}

/// The SDKs give the same request id in every attempt.
#[tokio::test]
async fn a_repetition_gets_the_same_answer_and_a_later_attempt_the_child_as_it_is() {
    let server = Server::start().await;
    let client = server.client();
    let (_, lease) = parent(&client).await;
    let first = create(&client, &lease, "search", 0).await.unwrap();
    let work = claim::lease(&client, "worker", "child").await;
    claim::complete(&client, &work, "found").await.unwrap();
    let again = create(&client, &lease, "search", 0).await.unwrap();
    assert_eq!(
        (again.task_id.as_str(), again.existing, again.state()),
        (first.task_id.as_str(), false, TaskState::Ready)
    );
    let other = CreateChildRequest { occurrence: 1, ..request(&lease, "search", 0) };
    refused(&client.create_child(other).await.unwrap_err(), Code::InvalidArgument, "REQUEST_ID_REUSED");

    claim::fail(&client, &lease, claim::failure("Flaky")).await.unwrap();
    let second = claim::lease(&client, "manager", "parent").await;
    let later = create(&client, &second, "search", 0).await.unwrap();
    assert_eq!(
        (later.task_id.as_str(), later.existing, later.state()),
        (first.task_id.as_str(), true, TaskState::Completed)
    );
    refused(&create(&client, &lease, "late", 0).await.unwrap_err(), Code::FailedPrecondition, "STALE_ATTEMPT");
    let mut other = CreateChildRequest { request_id: "another".into(), ..request(&second, "search", 0) };
    other.task.as_mut().unwrap().r#type = "other".into();
    refused(&client.create_child(other).await.unwrap_err(), Code::AlreadyExists, "CHILD_EXISTS");
}

#[tokio::test]
async fn what_runs_is_told_to_stop_when_the_parent_ends_and_what_waits_ends() {
    let server = Server::start().await;
    let client = server.client();
    let (_, lease) = parent(&client).await;
    let running = create(&client, &lease, "running", 0).await.unwrap().task_id;
    let mut agent = RawAgent::start(&server, "worker", "child").await.beating();
    let attempt = agent.accepted().await;
    let waiting = create(&client, &lease, "waiting", 0).await.unwrap().task_id;
    let free = detached(&client, &lease, "free").await;
    claim::complete(&client, &lease, "done").await.unwrap();
    let told = agent.cancellation().await;
    assert_eq!((told.attempt.as_ref(), told.message.as_str()), (Some(&attempt), "its parent ended"));
    assert_eq!(state(&client, &waiting).await, TaskState::Cancelled);
    assert_eq!(state(&client, &free).await, TaskState::Ready);
    agent.complete(&attempt, "late").await;
    assert_eq!(state(&client, &running).await, TaskState::Cancelled);
    let reason = client.history(&running).await.unwrap().into_iter().find(|e| e.r#type() == EventType::CancelRequested);
    assert_eq!(reason.unwrap().reason, "its parent ended");
}

/// An end that has more to tell than one step does goes on behind a crash.
#[tokio::test]
async fn a_server_that_is_killed_while_children_are_cancelled_goes_on_with_it() {
    let mut server = Server::start().await;
    let client = Arc::new(server.client());
    let (id, lease) = parent(&client).await;
    for first in (0..900).step_by(30) {
        let mut calls = JoinSet::new();
        for n in first..first + 30 {
            let (client, lease) = (Arc::clone(&client), lease.clone());
            calls.spawn(async move { create(&client, &lease, "many", n).await.map(drop) });
        }
        while let Some(created) = calls.join_next().await {
            created.unwrap().unwrap();
        }
    }
    let children = client.children(&id, 0).await.unwrap();
    assert_eq!(children.len(), 900);
    claim::complete(&client, &lease, "done").await.unwrap();
    server.kill_9().await;
    server.restart().await;
    let all_ended = || async {
        let children = client.children(&id, 0).await.ok()?;
        children.iter().all(|child| child.task.as_ref().unwrap().state() == TaskState::Cancelled).then_some(())
    };
    wait::look("all children to be cancelled", all_ended).await;
    assert_eq!(state(&client, &id).await, TaskState::Completed);
}

#[tokio::test]
async fn a_server_that_is_killed_keeps_children() {
    let mut server = Server::start().await;
    let client = server.client();
    let (id, lease) = parent(&client).await;
    let first = create(&client, &lease, "search", 0).await.unwrap().task_id;
    server.kill_9().await;
    server.restart().await;
    let again = CreateChildRequest { request_id: String::new(), ..request(&lease, "search", 0) };
    let again = client.create_child(again).await.unwrap();
    assert_eq!((again.task_id.as_str(), again.existing), (first.as_str(), true));
    assert_eq!(create(&client, &lease, "search", 1).await.map(|receipt| receipt.existing).ok(), Some(false));
    claim::complete(&client, &lease, "done").await.unwrap();
    assert_eq!(state(&client, &first).await, TaskState::Cancelled);
    assert_eq!(client.children(&id, 1).await.unwrap().len(), 2);
}

#[tokio::test]
async fn children_come_in_pages() {
    let server = Server::start().await;
    let client = server.client();
    let (id, lease) = parent(&client).await;
    for n in 0..5 {
        create(&client, &lease, "many", n).await.unwrap();
    }
    let mut request = v1::ListChildrenRequest { task_id: id, page_size: 2, ..Default::default() };
    let mut pages = Vec::new();
    loop {
        let page = client.call(request.clone()).await.unwrap();
        pages.push(page.children.iter().map(|child| child.ordinal).collect::<Vec<_>>());
        request.page_token = page.next_page_token;
        if request.page_token.is_empty() {
            break;
        }
    }
    assert_eq!(pages, [vec![1, 2], vec![3, 4], vec![5]]);
}

/// What a live parent may ask for again stays; what is left of the others is their place in the list.
#[tokio::test]
async fn retention_keeps_the_children_of_a_live_parent() {
    let server = Server::with("--retention 1s").await;
    let client = server.client();
    let kept = claim::request("keeper", "parent");
    let kept = v1::ClaimTasksRequest { lease: seconds(3600.0), ..kept };
    let id = client.create(NewTask::new("parent")).await.unwrap().task_id;
    let lease = client.claim(kept).await.unwrap().remove(0).attempt.unwrap();
    let child = create(&client, &lease, "search", 0).await.unwrap().task_id;
    let free = detached(&client, &lease, "free").await;
    let other = client.create(NewTask::new("child")).await.unwrap().task_id;
    let mut work = BTreeMap::new();
    for worker in ["one", "another", "third"] {
        let lease = claim::lease(&client, worker, "child").await;
        work.insert(lease.task_id.clone(), lease);
    }
    claim::complete(&client, &work[&child], "found").await.unwrap();
    claim::complete(&client, &work[&other], "found").await.unwrap();
    let is_gone = async |id: &str| matches!(client.get(id).await, Err(Error::NotFound(_))).then_some(());
    wait::look("a task that ended later to be forgotten", || is_gone(&other)).await;
    let again = create(&client, &lease, "search", 0).await.unwrap();
    assert_eq!(again.task_id, child);
    client.get(&child).await.expect("its parent lives");
    // It still runs, so that the parent may be forgotten before it.
    claim::complete(&client, &lease, "done").await.unwrap();
    wait::look("the child to be forgotten", || is_gone(&child)).await;
    wait::look("the parent to be forgotten", || is_gone(&id)).await;
    let task = client.get(&free).await.unwrap();
    assert_eq!((task.state(), task.parent.unwrap().task_id), (TaskState::Assigned, id));
}
