//! Finished tasks and agents that are gone are forgotten after a while, and nobody is told half of it.

use callboard::v1::attach_request::Frame as Said;
use callboard::v1::{self, WatchEventsRequest};
use callboard::{Error, NewTask};
use callboard_tests::server::Server;
use callboard_tests::{agent, claim, http, refusal, refused, wait};
use tonic::Code;

async fn is_gone(client: &callboard::Client, task: &str) -> Option<()> {
    matches!(client.get(task).await, Err(Error::NotFound(_))).then_some(())
}

async fn done(client: &callboard::Client, task: NewTask) -> String {
    let id = client.create(task).await.unwrap().task_id;
    let lease = claim::lease(client, "bob", "t").await;
    claim::complete(client, &lease, "result").await.unwrap();
    id
}

#[tokio::test]
async fn a_finished_task_is_forgotten_and_what_is_needed_stays() {
    let mut server = Server::with("--retention 1s").await;
    let client = server.client();
    let mut tasks = server.tasks().await;
    let mut events = tasks.watch_events(WatchEventsRequest::default()).await.unwrap().into_inner();
    let beginning = events.message().await.unwrap().unwrap().cursor;

    let needed = done(&client, NewTask::new("t")).await;
    let waits = client.create(NewTask::new("later").depends_on(&needed).hold()).await.unwrap().task_id;
    let gone = client.create(NewTask::new("t").key("k").tag("red")).await.unwrap().task_id;
    let lease = claim::lease(&client, "bob", "t").await;
    let output = Some(v1::OutputBatch { offset: 0, chunks: vec![callboard_tests::text("token")] });
    let said = v1::HeartbeatTaskRequest { attempt: Some(lease.clone()), output, ..Default::default() };
    client.heartbeat(said).await.unwrap();
    claim::complete(&client, &lease, "result").await.unwrap();
    wait::look("the task to be forgotten", || is_gone(&client, &gone)).await;

    client.get(&needed).await.expect("a live task depends on it");
    client.get(&waits).await.expect("it lives");
    let request = v1::ListOutputRequest { task_id: gone.clone(), ..Default::default() };
    refusal(&tasks.list_output(request).await.unwrap_err(), Code::NotFound, "TASK_NOT_FOUND");
    let request = v1::WatchOutputRequest { task_id: gone.clone(), ..Default::default() };
    refusal(&tasks.watch_output(request).await.unwrap_err(), Code::NotFound, "TASK_NOT_FOUND");
    for error in [client.cancel(&gone, "").await.unwrap_err(), client.retry(&gone).await.unwrap_err()] {
        refused(&error, Code::NotFound, "TASK_NOT_FOUND");
    }
    // A reader that was there sees all; one that comes from before is told that it can't.
    let request = WatchEventsRequest { cursor: beginning, ..Default::default() };
    let mut late = tasks.watch_events(request).await.unwrap().into_inner();
    let told = loop {
        match late.message().await {
            Ok(message) => drop(message.expect("no end in silence")),
            Err(status) => break status,
        }
    };
    refusal(&told, Code::FailedPrecondition, "CURSOR_FORGOTTEN");
    let fresh = client.create(NewTask::new("t").key("k")).await.unwrap();
    assert_ne!(fresh.task_id, gone, "its key is free");
    let mut seen = Vec::new();
    while seen.last() != Some(&fresh.task_id) {
        let message = wait::soon("the event", events.message()).await.unwrap().unwrap();
        seen.extend(message.events.into_iter().map(|event| event.task_id));
    }
    assert!(seen.contains(&gone));
    let text = http::get(&server, "/metrics").await.body;
    assert!(text.contains("callboard_retention_forgotten_total{kind=\"tasks\"} 1\n"), "{text}");

    // What is left works on, also after a restart.
    server.restart().await;
    client.release(&waits).await.unwrap();
    let lease = claim::one(&client, "bob", "later").await;
    assert_eq!(lease.dependencies.len(), 1);
    claim::complete(&client, lease.attempt.as_ref().unwrap(), "").await.unwrap();
    wait::look("the dependency to be forgotten", || is_gone(&client, &needed)).await;
}

#[tokio::test]
async fn an_agent_that_does_not_come_back_is_forgotten_with_its_name() {
    let server = Server::with("--retention 1s --reattach-grace 500ms").await;
    let client = server.client();
    let mut ann = agent::RawAgent::start(&server, "ann", "t").await;
    let cordoned = agent::RawAgent::start(&server, "cordoned", "t").await;
    let stays = agent::RawAgent::start(&server, "stays", "t").await.beating();
    client.cordon("cordoned").await.unwrap();
    let first = ann.welcome.agent_id.clone();
    ann.say(Said::Drain(v1::DrainRequest {})).await;
    ann.close();
    drop((ann, cordoned));
    let gone = || async { matches!(client.get_agent("ann").await, Err(Error::NotFound(_))).then_some(()) };
    wait::look("the agent to be forgotten", gone).await;
    client.get_agent("cordoned").await.expect("it stays cordoned");
    client.get_agent("stays").await.expect("it has a session");
    let again = agent::RawAgent::start(&server, "ann", "t").await;
    assert_ne!(again.welcome.agent_id, first);
    drop(stays);
}

#[tokio::test]
async fn everything_is_kept_when_retention_is_off() {
    let server = Server::with("--retention off").await;
    let client = server.client();
    let id = done(&client, NewTask::new("t")).await;
    client.get(&id).await.unwrap();
    let text = http::get(&server, "/metrics").await.body;
    assert!(text.contains("callboard_retention_forgotten_total{kind=\"tasks\"} 0\n"), "{text}");
}
