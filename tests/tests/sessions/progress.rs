//! Progress and checkpoints.

use super::create;
use callboard::v1::report::Kind;
use callboard::v1::{self, EventType, ReceiptStatus};
use callboard::{Agent, Context, NewTask, TaskError};
use callboard_tests::agent::RawAgent;
use callboard_tests::server::Server;
use callboard_tests::{claim, text, text_of, wait};

fn progress(fraction: f64) -> Kind {
    let said = v1::Progress { fraction: Some(fraction), phase: "executing".into(), message: format!("at {fraction}") };
    Kind::Progress(said)
}

#[tokio::test]
async fn progress_keeps_its_latest_value_and_is_written_seldom() {
    let server = Server::start().await;
    let client = server.client();
    let id = create(&client).await;
    let mut agent = RawAgent::start(&server, "ann", "t").await.beating();
    let attempt = agent.accepted().await;
    let before = client.get(&id).await.unwrap().version;
    for n in 1..=100 {
        agent.report(&attempt, progress(f64::from(n) / 100.0)).await;
    }
    let task = wait::look("the latest progress", || async {
        client.get(&id).await.ok().filter(|task| (task.progress - 1.0).abs() < 1e-9)
    })
    .await;
    assert_eq!((task.phase.as_str(), task.progress_message.as_str()), ("executing", "at 1"));
    assert!(task.version - before <= 3, "a hundred reports made {} writes", task.version - before);
    assert_eq!(client.history(&id).await.unwrap().len(), 3, "progress is no event");
    assert_eq!(agent.complete(&attempt, "").await.status(), ReceiptStatus::Committed);
}

#[tokio::test]
async fn progress_implies_that_the_handler_began() {
    let server = Server::start().await;
    let client = server.client();
    let id = create(&client).await;
    let mut agent = RawAgent::start(&server, "ann", "t").await;
    let attempt = agent.assignment().await.attempt.unwrap();
    agent.report(&attempt, progress(0.5)).await;
    wait::started(&client, &id).await;
}

#[tokio::test]
async fn the_next_attempt_begins_from_the_last_checkpoint() {
    let server = Server::start().await;
    let client = server.client();
    let id = create(&client).await;
    let mut agent = RawAgent::start(&server, "ann", "t").await;
    let attempt = agent.accepted().await;
    // The second is repeated, as by an agent that attached again before it had the receipt: it is no other.
    for state in ["one", "two", "two"] {
        let saved = agent.receipt_of(&attempt, Kind::Checkpoint(v1::Checkpoint { data: Some(text(state)) })).await;
        assert_eq!(saved.status(), ReceiptStatus::Committed);
    }
    let failed = Kind::Failed(v1::FailureReport { failure: Some(claim::failure("Boom")) });
    agent.receipt_of(&attempt, failed).await;
    let second = agent.assignment().await;
    assert_eq!(text_of(second.checkpoint.as_ref()), "two");
    let events = client.history(&id).await.unwrap();
    assert_eq!(events.iter().filter(|event| event.r#type() == EventType::Checkpointed).count(), 2);
}

#[tokio::test]
async fn the_sdk_carries_both() {
    let server = Server::start().await;
    let client = server.client();
    let agent = Agent::builder("counter").client(&client).handle("t", |ctx: Context, _: String| async move {
        let from: u32 = ctx.checkpoint()?.unwrap_or(0);
        ctx.progress(0.5, "executing", format!("from {from}"));
        if from < 2 {
            ctx.save_checkpoint(&(from + 1)).await?;
            return Err(TaskError::new("not yet"));
        }
        Ok(from)
    });
    let agent = agent.spawn().unwrap();
    let policy = v1::RetryPolicy { initial_backoff: callboard_tests::seconds(0.02), ..Default::default() };
    let result: u32 = wait::soon("the result", client.run(NewTask::new("t").retry_policy(policy))).await.unwrap();
    assert_eq!(result, 2);
    agent.stop();
}
