//! The Rust SDK's agent as a whole.

use callboard::v1::{AgentState, TaskState};
use callboard::{Agent, Client, Context, NewTask, TaskError};
use callboard_tests::server::Server;
use callboard_tests::{refused, wait};
use std::time::Duration;
use tonic::Code;

fn echo(client: &Client, name: &str) -> callboard::AgentBuilder {
    Agent::builder("echo")
        .name(name)
        .client(client)
        .handle("t", |_: Context, text: String| async move { Ok::<_, TaskError>(text) })
}

#[tokio::test]
async fn many_tasks_over_few_agents_all_come_back() {
    let server = Server::start().await;
    let client = server.client();
    let agents: Vec<_> = (0..3).map(|n| echo(&client, &format!("echo-{n}")).slots(8).spawn().unwrap()).collect();
    let runs = (0..200).map(|n| {
        let client = client.clone();
        async move { client.run::<String>(NewTask::new("t").input(&n.to_string()).unwrap()).await.unwrap() }
    });
    let results = wait::soon("all results", futures::future::join_all(runs)).await;
    assert!(results.iter().enumerate().all(|(n, result)| *result == n.to_string()));
    for agent in agents {
        agent.drain();
        wait::soon("the agent's end", agent.join()).await.unwrap();
    }
    wait::agent_state(&client, "echo-0", AgentState::Detached).await;
}

#[tokio::test]
async fn an_error_a_panic_and_a_wrong_input_fail_the_task() {
    let server = Server::start().await;
    let client = server.client();
    let agent = Agent::builder("bad").client(&client).slots(4);
    let agent = agent.handle("error", |_: Context, _: String| async {
        Err::<(), _>(TaskError::new("no").of_type("No").permanent())
    });
    let agent = agent.handle("panic", |_: Context, text: String| async move {
        assert!(text != "boom", "it went boom");
        Ok::<_, TaskError>(())
    });
    let agent = agent.handle("number", |_: Context, n: u32| async move { Ok::<_, TaskError>(n) });
    let agent = agent.spawn().unwrap();
    let failure = async |new: NewTask| {
        let task = wait::soon("the end", client.run_until_ended(new.max_attempts(1), None)).await.unwrap();
        assert_eq!(task.state(), TaskState::Failed);
        task.failure.unwrap()
    };
    let failed = failure(NewTask::new("error")).await;
    assert_eq!((failed.r#type.as_str(), failed.message.as_str(), failed.retryable), ("No", "no", Some(false)));
    let failed = failure(NewTask::new("panic").input("boom").unwrap()).await;
    assert!(failed.message.contains("it went boom"), "{failed:?}");
    let failed = failure(NewTask::new("number").input("many").unwrap()).await;
    assert_eq!(failed.retryable, Some(false), "{failed:?}");
    agent.stop();
}

#[tokio::test]
async fn of_two_programs_with_one_name_the_older_ends() {
    let server = Server::start().await;
    let client = server.client();
    let mut older = echo(&client, "ann").spawn().unwrap();
    wait::soon("the older's welcome", older.attached()).await.unwrap();
    let mut newer = echo(&client, "ann").spawn().unwrap();
    wait::soon("the newer's welcome", newer.attached()).await.unwrap();
    let error = wait::soon("the older's end", older.join()).await.unwrap_err();
    refused(&error, Code::Aborted, "SESSION_SUPERSEDED");
    assert_eq!(client.run::<String>(NewTask::new("t").input("x").unwrap()).await.unwrap(), "x");
    newer.stop();
}

#[tokio::test]
async fn a_drain_hands_back_what_does_not_end_in_time() {
    let server = Server::start().await;
    let client = server.client();
    let agent = Agent::builder("slow").name("ann").client(&client).drain_timeout(Duration::from_millis(300));
    let agent = agent.handle("t", |ctx: Context, _: String| async move {
        ctx.cancelled().await;
        Err::<(), _>(TaskError::cancelled())
    });
    let agent = agent.spawn().unwrap();
    let id = client.create(NewTask::new("t")).await.unwrap().task_id;
    wait::started(&client, &id).await;
    agent.drain();
    wait::soon("the agent's end", agent.join()).await.unwrap();
    let task = client.get(&id).await.unwrap();
    assert_eq!((task.state(), task.attempts_used), (TaskState::Ready, 0), "handed back, not counted: {task:?}");
}

#[tokio::test]
async fn an_agent_of_an_unknown_namespace_ends_with_the_reason() {
    let server = Server::start().await;
    let agent = echo(&server.client_in("nowhere"), "ann").spawn().unwrap();
    let error = wait::soon("the agent's end", agent.join()).await.unwrap_err();
    refused(&error, Code::NotFound, "NAMESPACE_NOT_FOUND");
}
