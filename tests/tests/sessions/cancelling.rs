//! Cancellation reaches agents.

use super::create;
use callboard::v1::report::Kind;
use callboard::v1::{self, CancellationReason, Hello, ReceiptStatus, TaskState};
use callboard::{Agent, Context, TaskError};
use callboard_tests::agent::{RawAgent, hello};
use callboard_tests::server::Server;
use callboard_tests::{claim, wait};
use std::time::Duration;
use tokio::time::Instant;

fn cancelled() -> Kind {
    Kind::Failed(v1::FailureReport { failure: Some(claim::failure("callboard.cancelled")) })
}

#[tokio::test]
async fn an_attached_agent_is_told_at_once() {
    let server = Server::start().await;
    let client = server.client();
    let mut agent = RawAgent::start(&server, "ann", "t").await.beating();
    let mut measured = Vec::new();
    for _ in 0..10 {
        let id = create(&client).await;
        let attempt = agent.accepted().await;
        let since = Instant::now();
        let (receipt, told) = tokio::join!(client.cancel(&id, "enough"), async {
            let told = agent.cancellation().await;
            measured.push(since.elapsed());
            told
        });
        assert_eq!(receipt.unwrap().state(), TaskState::Running);
        assert_eq!((told.attempt.as_ref(), told.reason()), (Some(&attempt), CancellationReason::Requested));
        assert_eq!(told.message, "enough");
        let receipt = agent.receipt_of(&attempt, cancelled()).await;
        assert_eq!((receipt.status(), receipt.state()), (ReceiptStatus::Committed, TaskState::Cancelled));
    }
    measured.sort_unstable();
    println!(
        "measured: a cancellation reached its agent after {:?} (median), {:?} (worst of 10)",
        measured[5], measured[9]
    );
    assert!(measured[9] < Duration::from_secs(2), "{measured:?}");
}

#[tokio::test]
async fn an_agent_that_was_away_is_told_when_it_comes_back() {
    let server = Server::with("--reattach-grace 20s").await;
    let client = server.client();
    let id = create(&client).await;
    let mut agent = RawAgent::start(&server, "ann", "t").await;
    let attempt = agent.accepted().await;
    drop(agent);
    wait::agent_state(&client, "ann", v1::AgentState::Reconnecting).await;
    assert_eq!(client.cancel(&id, "meanwhile").await.unwrap().state(), TaskState::Running);
    let back = Hello { held: vec![attempt.clone()], previous_epoch: 1, ..hello("ann", "t") };
    let mut agent = RawAgent::attach(&server, back).await.unwrap();
    assert_eq!(agent.welcome.held, std::slice::from_ref(&attempt));
    let told = agent.cancellation().await;
    assert_eq!((told.attempt.as_ref(), told.reason()), (Some(&attempt), CancellationReason::Requested));
    assert_eq!(told.message, "meanwhile");
    assert_eq!(agent.complete(&attempt, "after all").await.state(), TaskState::Cancelled);
}

#[tokio::test]
async fn a_cancellation_survives_a_server_that_is_killed() {
    let mut server = Server::start().await;
    let client = server.client();
    let id = create(&client).await;
    let mut agent = RawAgent::start(&server, "ann", "t").await;
    let attempt = agent.accepted().await;
    client.cancel(&id, "before the crash").await.unwrap();
    server.restart().await;
    let back = Hello { held: vec![attempt.clone()], previous_epoch: 1, ..hello("ann", "t") };
    let mut agent = RawAgent::attach(&server, back).await.unwrap();
    assert_eq!(agent.cancellation().await.message, "before the crash");
    assert_eq!(agent.receipt_of(&attempt, cancelled()).await.state(), TaskState::Cancelled);
}

#[tokio::test]
async fn the_sdks_handler_is_told_and_its_task_ends_cancelled() {
    let server = Server::start().await;
    let client = server.client();
    let agent = Agent::builder("slow").client(&client).handle("t", |ctx: Context, _: String| async move {
        ctx.cancelled().await;
        assert_eq!(ctx.cancellation(), Some(CancellationReason::Requested));
        Err::<String, _>(TaskError::cancelled())
    });
    let agent = agent.spawn().unwrap();
    let id = create(&client).await;
    wait::started(&client, &id).await;
    client.cancel(&id, "").await.unwrap();
    assert_eq!(wait::ended(&client, &id).await.state(), TaskState::Cancelled);
    agent.stop();
}

#[tokio::test]
async fn an_agent_without_the_feature_is_not_told_and_loses_the_task_after_the_grace() {
    let server = Server::with("--cancel-grace 1s").await;
    let client = server.client();
    let id = create(&client).await;
    let deaf = Hello { features: Vec::new(), ..hello("ann", "t") };
    let mut agent = RawAgent::attach(&server, deaf).await.unwrap().beating();
    let attempt = agent.accepted().await;
    client.cancel(&id, "").await.unwrap();
    let is_stop = |frame: &v1::attach_response::Frame| matches!(frame, v1::attach_response::Frame::Cancellations(_));
    agent.hears_nothing("a cancellation", is_stop, Duration::from_millis(300)).await;
    assert_eq!(wait::ended(&client, &id).await.state(), TaskState::Cancelled);
    let late = agent.complete(&attempt, "").await;
    assert_eq!((late.status(), late.reason()), (ReceiptStatus::Refused, v1::ErrorReason::StaleAttempt));
}
