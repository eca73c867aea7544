//! Drains: an agent's own, and the server's.

use super::create;
use callboard::v1::attach_request::Frame as Said;
use callboard::v1::attach_response::Frame;
use callboard::v1::{self, AgentState, Hello, ReceiptStatus, TaskState};
use callboard::{Agent, Context, NewTask, TaskError};
use callboard_tests::agent::{RawAgent, hello};
use callboard_tests::server::Server;
use callboard_tests::{program, stamp, wait};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio::sync::Semaphore;

#[tokio::test]
async fn a_draining_agent_gets_nothing_new_and_is_let_go_when_its_last_attempt_ended() {
    let server = Server::start().await;
    let client = server.client();
    create(&client).await;
    let mut agent = RawAgent::start(&server, "ann", "t").await.beating();
    let attempt = agent.accepted().await;
    agent.say(Said::Drain(v1::DrainRequest {})).await;
    wait::agent_state(&client, "ann", AgentState::Draining).await;
    let left = create(&client).await;
    let is_assignment = |frame: &Frame| matches!(frame, Frame::Assignments(_));
    agent.hears_nothing("an assignment", is_assignment, Duration::from_millis(300)).await;
    assert_eq!(agent.complete(&attempt, "").await.status(), ReceiptStatus::Committed);
    agent.end().await.expect("the stream ends in an orderly way");
    wait::agent_state(&client, "ann", AgentState::Detached).await;
    assert_eq!(client.get(&left).await.unwrap().state(), TaskState::Ready);
}

#[tokio::test]
async fn an_idle_agent_that_drains_is_let_go_at_once() {
    let server = Server::start().await;
    let mut agent = RawAgent::start(&server, "ann", "t").await;
    agent.say(Said::Drain(v1::DrainRequest {})).await;
    agent.end().await.expect("the stream ends in an orderly way");
    wait::agent_state(&server.client(), "ann", AgentState::Detached).await;
}

#[tokio::test]
async fn a_server_that_goes_away_says_so_and_takes_the_agent_back_after_its_restart() {
    let mut server = Server::with("--drain 5s").await;
    let client = server.client();
    let id = create(&client).await;
    let mut agent = RawAgent::start(&server, "ann", "t").await.beating();
    let attempt = agent.accepted().await;
    program::terminate(server.pid());
    let notice = agent.drain_notice().await;
    let left = stamp(notice.deadline) - stamp(Some(callboard_tests::now().into()));
    assert!((0.0..=5.0).contains(&left), "{left}");
    // Reports are taken until it leaves.
    let saved = v1::Checkpoint { data: Some(callboard_tests::text("half")) };
    let receipt = agent.receipt_of(&attempt, v1::report::Kind::Checkpoint(saved)).await;
    assert_eq!(receipt.status(), ReceiptStatus::Committed);
    drop(agent);
    assert!(server.ended().await.success());
    server.restart().await;
    let back = Hello { held: vec![attempt.clone()], previous_epoch: 1, ..hello("ann", "t") };
    let mut agent = RawAgent::attach(&server, back).await.unwrap();
    assert_eq!(agent.welcome.held, std::slice::from_ref(&attempt));
    assert_eq!(agent.complete(&attempt, "").await.status(), ReceiptStatus::Committed);
    let task = client.get(&id).await.unwrap();
    assert_eq!((task.attempt, task.state()), (1, TaskState::Completed));
}

#[tokio::test]
async fn an_agent_that_does_not_leave_is_cut_off_and_loses_nothing() {
    let mut server = Server::with("--drain 1s").await;
    let client = server.client();
    create(&client).await;
    let mut agent = RawAgent::start(&server, "ann", "t").await.beating();
    let attempt = agent.accepted().await;
    assert!(server.terminate().await.success());
    assert!(agent.end().await.is_err(), "it is cut off");
    server.restart().await;
    let back = Hello { held: vec![attempt.clone()], previous_epoch: 1, ..hello("ann", "t") };
    let mut agent = RawAgent::attach(&server, back).await.unwrap();
    assert_eq!(agent.complete(&attempt, "").await.status(), ReceiptStatus::Committed);
}

#[tokio::test]
async fn the_sdks_handlers_go_on_over_an_orderly_restart_and_nothing_is_repeated() {
    let mut server = Server::with("--drain 5s").await;
    let client = server.client();
    let (runs, gate) = (Arc::new(AtomicUsize::new(0)), Arc::new(Semaphore::new(0)));
    let (counted, opened) = (runs.clone(), gate.clone());
    let agent = Agent::builder("slow").name("ann").slots(3).client(&client).handle("t", move |_: Context, n: u32| {
        let (runs, gate) = (counted.clone(), opened.clone());
        async move {
            runs.fetch_add(1, Ordering::SeqCst);
            gate.acquire().await.map_err(TaskError::from)?.forget();
            Ok::<_, TaskError>(n + 1)
        }
    });
    let agent = agent.spawn().unwrap();
    let mut ids = Vec::new();
    for n in 0..3u32 {
        ids.push(client.create(NewTask::new("t").input(&n).unwrap()).await.unwrap().task_id);
    }
    for id in &ids {
        wait::started(&client, id).await;
    }
    assert!(server.terminate().await.success());
    // One result comes while there is no server.
    gate.add_permits(1);
    server.restart().await;
    gate.add_permits(2);
    for (n, id) in ids.iter().enumerate() {
        let result: usize = wait::soon("a result", client.result(id, None)).await.unwrap();
        assert_eq!((result, client.get(id).await.unwrap().attempt), (n + 1, 1));
    }
    assert_eq!(runs.load(Ordering::SeqCst), 3);
    agent.drain();
    wait::soon("the agent's end", agent.join()).await.unwrap();
}
