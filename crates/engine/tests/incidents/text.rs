//! Text that a database does not take, on PostgreSQL and in real time.

use crate::work::failure;
use crate::world::{Agent, envelope, seconds, task};
use callboard_core::command::{Command, Reply, Report};
use callboard_core::entropy::Seeded;
use callboard_core::model::{EventKind, StateName, TaskId};
use callboard_engine::{Config, Engine, ReceiptStatus, SystemClock};
use callboard_store::postgres::{PostgresOptions, PostgresStore};
use std::sync::Arc;

/// What keeps a NUL out of trouble: a failure is JSON, which writes a NUL as six characters, in columns of `text` and `bytea`, to which
/// these are like any others. This takes it out: `jsonb` understands them, and has no NUL.
const EVENTS_ARE_JSONB: &str = "ALTER TABLE events ADD CHECK (facts::jsonb IS NOT NULL)";

/// An agent's last word on a task is this message. The task and its events say the same, to the byte.
async fn is_kept(message: &str, taken_out: Option<&str>) -> bool {
    let cluster = callboard_test_postgres::shared();
    let url = cluster.database().await;
    let store = Arc::new(PostgresStore::open(&url, PostgresOptions::default()).await.unwrap());
    if let Some(script) = taken_out {
        cluster.run(url.rsplit('/').next().unwrap(), script).await;
    }
    let clock = Arc::new(SystemClock::start());
    let engine = Engine::start(store, Config::default(), clock, Box::new(Seeded(1))).await.unwrap();
    let task = create(&engine).await;
    let mut agent = Agent::attach(&engine, "ann", 1).await;
    let fence = agent.assigned(seconds(20)).await[0].fence;
    agent.report(fence, Report::Failed { failure: Arc::new(failure(message)), digest: 1 }).await;
    let is_kept = match agent.told(seconds(20)).await {
        Some(ReceiptStatus::Committed(state)) => {
            assert_eq!(state, StateName::Failed);
            messages(&engine, task).await == [message; 3]
        }
        // The store refuses it: the agent is to say it again, and again.
        Some(ReceiptStatus::Retry(_)) => false,
        other => panic!("{other:?}"),
    };
    engine.stop().await;
    is_kept
}

async fn create(engine: &Engine) -> TaskId {
    let mut task = task();
    task.spec.retry_policy.max_attempts = 1;
    match engine.submit(envelope(Command::CreateTasks { tasks: vec![task] })).await.unwrap() {
        Reply::Tasks(receipts) => receipts[0].task,
        other => panic!("{other:?}"),
    }
}

/// As the task tells it, the event of its attempt, and the event of its end.
async fn messages(engine: &Engine, task: TaskId) -> Vec<String> {
    let task = (engine.namespace("default").await.unwrap(), task);
    let view = engine.store().task(task).await.unwrap().unwrap();
    let mut told = vec![view.saved.failure.unwrap().message.clone()];
    for event in engine.store().task_events(task, 0, 100).await.unwrap() {
        if let EventKind::AttemptFailed { failure, .. } | EventKind::Failed { failure } = event.kind {
            told.push(failure.message);
        }
    }
    told
}

#[tokio::test]
async fn a_nul_byte_in_an_error_message() {
    assert!(is_kept("a\0b", None).await);
    assert!(!is_kept("a\0b", Some(EVENTS_ARE_JSONB)).await);
    // It is the NUL that it lacks, and nothing else.
    assert!(is_kept("ab", Some(EVENTS_ARE_JSONB)).await);
}
