//! The server is killed while agents work: they come back and finish the same attempts.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use callboard::v1::{ListTasksRequest, TaskState};
use callboard::{Agent, Context, NewTask, TaskError};
use callboard_tests::program::{self, Program};
use callboard_tests::server::Server;
use callboard_tests::wait;
use futures::TryStreamExt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

#[tokio::test]
async fn rust_handlers_outlive_three_kills() {
    let mut server = Server::start().await;
    let client = server.client();
    let (runs, gate) = (Arc::new(AtomicUsize::new(0)), Arc::new(Semaphore::new(0)));
    let (counted, opened) = (runs.clone(), gate.clone());
    let agent = Agent::builder("slow").client(&client).slots(4).handle("t", move |ctx: Context, n: usize| {
        let (runs, gate) = (counted.clone(), opened.clone());
        async move {
            runs.fetch_add(1, Ordering::SeqCst);
            ctx.save_checkpoint(&n).await?;
            gate.acquire().await.map_err(TaskError::from)?.forget();
            Ok::<_, TaskError>(n)
        }
    });
    let agent = agent.spawn().unwrap();
    let mut ids = Vec::new();
    for n in 0..4 {
        ids.push(client.create(NewTask::new("t").input(&n).unwrap()).await.unwrap().task_id);
    }
    for id in &ids {
        wait::started(&client, id).await;
    }
    for _ in 0..3 {
        let epoch = agent.session_epoch();
        server.kill_9().await;
        gate.add_permits(1);
        server.restart().await;
        wait::look("the agent to come back", || async { (agent.session_epoch() > epoch).then_some(()) }).await;
    }
    gate.add_permits(1);
    for (n, id) in ids.iter().enumerate() {
        let result: usize = wait::soon("a result", client.result(id, None)).await.unwrap();
        assert_eq!((result, client.get(id).await.unwrap().attempt), (n, 1));
    }
    assert_eq!(runs.load(Ordering::SeqCst), 4, "nothing ran twice");
    agent.stop();
}

#[tokio::test]
async fn runs_in_flight_outlive_kills_with_one_task_each() {
    const RUNS: usize = 64;
    let mut server = Server::start().await;
    let client = server.client();
    let (begun, gate) = (Arc::new(AtomicUsize::new(0)), Arc::new(Semaphore::new(0)));
    let (counted, opened) = (begun.clone(), gate.clone());
    let agent = Agent::builder("slow").client(&client).slots(RUNS as i32).handle("t", move |_: Context, n: usize| {
        let (begun, gate) = (counted.clone(), opened.clone());
        async move {
            begun.fetch_add(1, Ordering::SeqCst);
            gate.acquire().await.map_err(TaskError::from)?.forget();
            Ok::<_, TaskError>(n)
        }
    });
    let agent = agent.spawn().unwrap();
    let run = |n| {
        let client = client.clone();
        async move { (n, client.run::<usize>(NewTask::new("t").input(&n).unwrap()).await.unwrap()) }
    };
    let mut runs: JoinSet<_> = (0..RUNS).map(run).collect();
    let mut answered = Vec::new();
    // Killed when it has some of them, and when some have their outcome.
    for permits in [RUNS / 2, 1_000] {
        wait::look("a handler to begin", || async { (begun.load(Ordering::SeqCst) > 0).then_some(()) }).await;
        server.kill_9().await;
        server.restart().await;
        gate.add_permits(permits);
        answered.push(wait::soon("a result", runs.join_next()).await.unwrap().unwrap());
    }
    while let Some(ended) = wait::soon("a result", runs.join_next()).await {
        answered.push(ended.unwrap());
    }
    answered.sort_unstable();
    assert_eq!(answered, (0..RUNS).map(|n| (n, n)).collect::<Vec<_>>(), "each its own, once");
    let tasks: Vec<_> = client.list(ListTasksRequest::default()).try_collect().await.unwrap();
    assert_eq!(tasks.len(), RUNS, "one task each");
    agent.stop();
}

/// A file that handlers wait for; while it is not there they go on working.
fn gate(server: &Server) -> String {
    server.directory().join("gate").display().to_string()
}

#[tokio::test]
async fn python_handlers_outlive_a_kill() {
    let mut server = Server::start().await;
    let client = server.client();
    let script = format!(
        r#"
import asyncio, os, time
from callboard import Agent
agent = Agent("slow", slots=2)

@agent.task("sync")
def wait_sync(input, ctx):
    ctx.progress(0.5, "executing")
    while not os.path.exists({gate:?}):
        time.sleep(0.02)
    return [input, ctx.attempt]

@agent.task("async")
async def wait_async(input, ctx):
    while not os.path.exists({gate:?}):
        await asyncio.sleep(0.02)
    return [input, ctx.attempt]

agent.run()
"#,
        gate = gate(&server)
    );
    let mut agent = Program::python(&server, &script);
    let mut ids = Vec::new();
    for kind in ["sync", "async"] {
        let id = client.create(NewTask::new(kind).input(kind).unwrap()).await.unwrap().task_id;
        wait::started(&client, &id).await;
        ids.push((kind, id));
    }
    server.restart().await;
    std::fs::write(gate(&server), "").unwrap();
    for (kind, id) in ids {
        let result: (String, u32) = wait::soon("a result", client.result(&id, None)).await.unwrap();
        assert_eq!(result, (kind.to_owned(), 1));
        assert_eq!(client.get(&id).await.unwrap().attempt, 1);
    }
    agent.terminate();
    assert!(agent.ended().await.success());
}

#[tokio::test]
async fn the_program_of_a_work_agent_outlives_a_kill() {
    let mut server = Server::start().await;
    let client = server.client();
    let mut agent = Program::start(
        &server,
        program::command(program::callboard())
            .args(["work", "--type", "t", "--", "sh", "-c"])
            .arg(format!("while [ ! -e {} ]; do sleep 0.05; done; echo \"attempt $CALLBOARD_ATTEMPT\"", gate(&server))),
    );
    let id = client.create(NewTask::new("t")).await.unwrap().task_id;
    wait::started(&client, &id).await;
    server.restart().await;
    std::fs::write(gate(&server), "").unwrap();
    let task = wait::ended(&client, &id).await;
    assert_eq!((task.state(), task.attempt), (TaskState::Completed, 1), "{task:?}");
    assert_eq!(callboard_tests::text_of(task.result.as_ref()).trim(), "attempt 1");
    agent.terminate();
    assert!(agent.ended().await.success());
}

#[tokio::test]
async fn an_agent_that_is_killed_loses_its_tasks_to_another() {
    let server = Server::with("--reattach-grace 500ms --restart-grace 0s").await;
    let client = server.client();
    let work = |command: &str| {
        let mut work = program::command(program::callboard());
        work.args(["work", "--type", "t", "--", "sh", "-c", command]);
        Program::start(&server, &mut work)
    };
    let mut first = work("sleep 60");
    let id = client.create(NewTask::new("t")).await.unwrap().task_id;
    wait::started(&client, &id).await;
    first.kill_9();
    first.ended().await;
    let _second = work("echo done by $CALLBOARD_ATTEMPT");
    let task = wait::ended(&client, &id).await;
    assert_eq!(callboard_tests::text_of(task.result.as_ref()).trim(), "done by 2");
}
