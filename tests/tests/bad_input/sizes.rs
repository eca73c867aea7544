//! Amounts: a million lanes, profiles and answers at their largest.

use crate::case::{LIMIT, check};
use callboard::v1::payload::Content;
use callboard::v1::{self, BatchCreateTasksRequest, TaskSpec};
use callboard::{NewTask, Watch};
use callboard_proto::MAX_MESSAGE_BYTES;
use callboard_tests::server::Server;
use callboard_tests::{claim, program, seconds, text, wait};
use futures::TryStreamExt;

/// What lanes without end may cost, in bytes.
const MAX_GROWTH: u64 = 64 << 20;

#[tokio::test]
async fn a_million_lanes_end_at_the_limit() {
    let server = Server::start().await;
    let mut tasks = server.tasks().await;
    let before = program::resident_bytes(server.pid());
    let batch = |round: usize| BatchCreateTasksRequest {
        tasks: (0..1000).map(|n| TaskSpec { r#type: format!("lane.{round}.{n}"), ..Default::default() }).collect(),
        ..Default::default()
    };
    tasks.batch_create_tasks(batch(0)).await.expect("a thousand lanes are the limit");
    for round in 1..20 {
        let status = tasks.batch_create_tasks(batch(round)).await.unwrap_err();
        check(&status, LIMIT, &["max_lanes".into(), "1000".into()]).unwrap();
    }
    let grown = program::resident_bytes(server.pid()).saturating_sub(before);
    assert!(grown < MAX_GROWTH, "the server grew by {grown} bytes");
    let counted: Vec<_> = server.client().list(Default::default()).try_collect().await.unwrap();
    assert_eq!(counted.len(), 1000, "of a refused batch nothing is left");
    server.client().create(NewTask::new("lane.0.7")).await.expect("lanes that exist go on");
}

/// Retried again and again with the largest failure: its history can be read all the same.
#[tokio::test]
async fn large_failures_do_not_make_a_history_unreadable() {
    let server = Server::start().await;
    let client = server.client();
    let policy = v1::RetryPolicy { max_attempts: 8, initial_backoff: seconds(0.001), ..Default::default() };
    let id = client.create(NewTask::new("t").retry_policy(policy)).await.unwrap().task_id;
    for _ in 0..8 {
        let lease = claim::lease(&client, "ann", "t").await;
        let mut failure = claim::failure("Large");
        for _ in 0..8 {
            let message = "m".repeat(16 << 10);
            failure = v1::Failure {
                message,
                details: Some(text("d".repeat(1 << 20))),
                cause: Some(Box::new(failure)),
                ..claim::failure("Large")
            };
            failure.cause.as_mut().unwrap().details = None;
        }
        claim::fail(&client, &lease, failure).await.unwrap();
    }
    assert_eq!(wait::ended(&client, &id).await.state(), v1::TaskState::Failed);
    let history = client.history(&id).await.expect("the history can be read");
    let mut events = client.watch(Watch::task(&id).until_ended());
    let mut watched = 0;
    while wait::soon("an event", events.next()).await.expect("events can be watched").is_some() {
        watched += 1;
    }
    assert_eq!(watched, history.len());
}

/// The largest task that is taken in can be given out again: with its input, checkpoint and result, in one answer.
#[tokio::test]
async fn the_largest_task_can_be_read_back() {
    let server = Server::start().await;
    let client = server.client();
    let many = |n: usize, bytes: usize| (0..n).map(move |k| format!("{k:0>bytes$}"));
    let mut new = NewTask::new("t").description("d".repeat(4096)).key("k".repeat(256));
    new = many(32, 128).fold(new, |new, word| new.skill(word.clone()).tool(word.clone()).tag(word));
    new = new.metadata("m", "m".repeat((16 << 10) - 1)).header("h", "h".repeat((8 << 10) - 1));
    let largest = |byte: u8| v1::Payload {
        content: Some(Content::Binary(vec![byte; 1 << 20].into())),
        metadata: [("m".to_owned(), "m".repeat((16 << 10) - 1))].into(),
        ..Default::default()
    };
    let id = client.create(new.input_payload(largest(1))).await.unwrap().task_id;
    let mut request = claim::request("ann", "t");
    let profile = request.profile.as_mut().unwrap();
    profile.skills = many(32, 128).collect();
    profile.tools = many(32, 128).collect();
    let lease = client.claim(request).await.unwrap().remove(0).attempt;
    let saved = v1::HeartbeatTaskRequest { attempt: lease.clone(), checkpoint: Some(largest(2)), ..Default::default() };
    client.heartbeat(saved).await.unwrap();
    let done = v1::CompleteTaskRequest { attempt: lease, result: Some(largest(3)), ..Default::default() };
    client.complete(done).await.unwrap();
    let task = client.get(&id).await.expect("it can be read");
    assert_eq!(task.result.unwrap().content, largest(3).content);
    assert_eq!(task.spec.unwrap().input.unwrap().content, largest(1).content);
}

/// The largest profile that is taken in can be read back, alone and in a list.
#[tokio::test]
async fn the_largest_profile_can_be_read_back() {
    let server = Server::start().await;
    let client = server.client();
    let mut request = claim::request("ann", "t");
    let profile = request.profile.as_mut().unwrap();
    let handler =
        |k| v1::TaskHandler { r#type: format!("t{k}"), input_schema: "s".repeat(64 << 10), ..Default::default() };
    profile.handles = (0..31).map(handler).collect();
    request.wait = None;
    for name in ["ann", "bob", "carl"] {
        request.profile.as_mut().unwrap().name = name.into();
        client.claim(request.clone()).await.expect("just below the limit");
    }
    assert_eq!(client.get_agent("ann").await.unwrap().profile.unwrap().handles.len(), 31);
    let listed: Vec<v1::Agent> = client.list_agents(Default::default()).try_collect().await.unwrap();
    assert_eq!(listed.len(), 3);
    assert!(listed.iter().all(|agent| prost::Message::encoded_len(agent) < MAX_MESSAGE_BYTES));
}

/// A filter for a state that no task has gives nothing; not everything.
#[tokio::test]
async fn no_task_is_paused() {
    let server = Server::start().await;
    let client = server.client();
    client.create(NewTask::new("t")).await.unwrap();
    let paused = v1::ListTasksRequest { states: vec![v1::TaskState::Paused.into()], ..Default::default() };
    let listed: Vec<_> = client.list(paused).try_collect().await.unwrap();
    assert_eq!(listed, []);
}
