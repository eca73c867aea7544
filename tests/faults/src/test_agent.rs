//! An agent of the Rust SDK in a process of its own, to be killed: see `load::crew`.

use callboard::{Agent, Context, TaskError};
use callboard_tests::load::crew::{AGENT, Diary, POISON};
use callboard_tests::load::work::{ASKED_TO_FAIL, SDK, Work, result_of};
use callboard_tests::program;
use serde_json::Value;
use std::sync::Arc;

/// How many tasks it takes at once.
const SLOTS: i32 = 2;

#[tokio::main]
async fn main() -> callboard::Result<()> {
    let name = std::env::var(AGENT).unwrap_or_else(|_| "rust".to_owned());
    let diary = Arc::new(Diary::from_env());
    let (poisoned, own) = ((diary.clone(), name.clone()), (diary, name.clone()));
    Agent::builder("crew")
        .name(name)
        .slots(SLOTS)
        .handle(SDK, move |context: Context, work: Value| {
            let (diary, name) = own.clone();
            async move { handle(&diary, &name, &context, Work::read(&work)).await }
        })
        .handle(POISON, move |context: Context, _: Value| {
            let (diary, name) = poisoned.clone();
            async move {
                diary.note("begin", context.task_id(), context.attempt(), &name);
                program::kill_9(std::process::id());
                std::future::pending::<Result<String, TaskError>>().await
            }
        })
        .run()
        .await
}

async fn handle(diary: &Diary, name: &str, context: &Context, work: Work) -> Result<String, TaskError> {
    let (task, attempt) = (context.task_id(), context.attempt());
    diary.note("begin", task, attempt, name);
    tokio::time::sleep(work.length()).await;
    if context.run() == 1 && work.fails(attempt - 1) {
        diary.note(ASKED_TO_FAIL, task, attempt, name);
        return Err(TaskError::new("as asked").of_type(ASKED_TO_FAIL));
    }
    diary.note("completed", task, attempt, name);
    Ok(result_of(task, attempt, name))
}
