//! What is expected of workflows, on a real server: from what their types took, as the server itself has measured it.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use callboard::v1::{self, TaskState, WorkflowState};
use callboard::{Agent, Client, Context, NewTask, NewWorkflow, NewWorkflowTask, TaskError};
use callboard_test_postgres::{Cluster, Settings};
use callboard_tests::server::Server;
use callboard_tests::{claim, wait};
use std::collections::HashMap;
use std::time::Duration;

/// How long handlers of these types take.
const TYPES: [(&str, u64); 3] = [("short", 50), ("middle", 100), ("long", 500)];

fn micros(at: Option<prost_types::Timestamp>) -> i64 {
    let at = at.expect("a time");
    at.seconds * 1_000_000 + i64::from(at.nanos) / 1_000
}

fn span(duration: Option<prost_types::Duration>) -> i64 {
    let duration = duration.expect("a length of time");
    duration.seconds * 1_000_000 + i64::from(duration.nanos) / 1_000
}

/// What the server has measured of a task: from accepted to ended.
async fn took(client: &Client, task: &str) -> i64 {
    let task = client.get(task).await.unwrap();
    assert_eq!(task.state(), TaskState::Completed);
    micros(task.ended_at) - micros(task.started_at)
}

async fn forecast(client: &Client, workflow: &str) -> v1::WorkflowForecast {
    let request = v1::ForecastWorkflowRequest { workflow_id: workflow.to_owned(), ..Default::default() };
    client.call(request).await.unwrap().forecast.unwrap()
}

fn names(forecast: &v1::WorkflowForecast) -> Vec<&str> {
    forecast.critical_path.iter().map(|task| task.name.as_str()).collect()
}

/// Tasks by what they are called, of which type they are, and what they wait for.
fn workflow(tasks: &[(&str, &str, &[&str])]) -> NewWorkflow {
    let tasks = tasks.iter().map(|(name, task_type, sources)| {
        let task = NewWorkflowTask::new(*name, NewTask::new(*task_type));
        sources.iter().fold(task, |task, source| task.depends_on(*source))
    });
    NewWorkflow::new("planned").tasks(tasks)
}

/// Has each type done twice, by an agent that is gone then. Gives the means, as the histories have them.
async fn make_history(client: &Client) -> HashMap<&'static str, i64> {
    let agent = TYPES.iter().fold(Agent::builder("ann").client(client).slots(6), |agent, (task_type, millis)| {
        let millis = *millis;
        agent.handle(*task_type, move |_: Context, _: u32| async move {
            // This is the work: that it takes this long is what the test is about.
            tokio::time::sleep(Duration::from_millis(millis)).await;
            Ok::<_, TaskError>(())
        })
    });
    let agent = agent.spawn().unwrap();
    let mut means = HashMap::new();
    for (task_type, _) in TYPES {
        let mut sum = 0;
        for _ in 0..2 {
            let receipt = client.create(NewTask::new(task_type).input(&1).unwrap()).await.unwrap();
            client.wait(&receipt.task_id, None).await.unwrap();
            sum += took(client, &receipt.task_id).await;
        }
        means.insert(task_type, sum / 2);
    }
    // An acceptance comes to the server behind the handler's beginning, so that a task took less by its measure than by the handler's.
    assert!(means["middle"] < means["long"], "{means:?}");
    agent.stop();
    wait::soon("the agent's end", agent.join()).await.unwrap();
    means
}

async fn forecasts_say_what_histories_say(server: Server) {
    let client = server.client();
    let means = make_history(&client).await;
    let plan = workflow(&[
        ("fetch", "short", &[]),
        ("left", "long", &["fetch"]),
        ("right", "middle", &["fetch"]),
        ("merge", "short", &["left", "right"]),
        ("aside", "middle", &[]),
    ]);
    let id = client.create_workflow(plan).await.unwrap().workflow_id;
    let expected = forecast(&client, &id).await;
    assert_eq!(names(&expected), ["fetch", "left", "merge"]);
    assert!(expected.unknown_types.is_empty(), "{expected:?}");
    // The time of the forecast is when the first of them begins: it was ready.
    let begin = micros(expected.critical_path[0].expected_start);
    let whole = 2 * means["short"] + means["long"];
    assert_eq!(micros(expected.expected_end) - begin, whole);
    let mut at = begin;
    for task in &expected.critical_path {
        assert_eq!(span(task.expected_duration), means[task.r#type.as_str()], "{}", task.name);
        assert_eq!(micros(task.expected_start), at, "{}", task.name);
        at += span(task.expected_duration);
        assert_eq!(micros(task.expected_end), at, "{}", task.name);
    }
    let states: Vec<_> = expected.critical_path.iter().map(|task| task.state()).collect();
    assert_eq!(states, [TaskState::Ready, TaskState::Waiting, TaskState::Waiting]);

    // One that runs is expected to end as long after it began as others of its type took.
    let lease = claim::lease(&client, "bob", "short").await;
    let begins = v1::HeartbeatTaskRequest { attempt: Some(lease.clone()), ..Default::default() };
    client.heartbeat(begins).await.unwrap();
    let running = forecast(&client, &id).await;
    let fetch = &running.critical_path[0];
    assert_eq!((fetch.name.as_str(), fetch.state()), ("fetch", TaskState::Running));
    let started = client.get(&fetch.task_id).await.unwrap().started_at;
    assert_eq!(micros(fetch.expected_start), micros(started));
    let due = micros(started) + means["short"];
    assert!(micros(fetch.expected_end) >= due, "it may be overdue by now, but never ends before");
    assert!(micros(running.expected_end) >= due + means["long"] + means["short"]);
    claim::complete(&client, &lease, "done").await.unwrap();

    // What has ended is in no path, and what it took counts from now on.
    let rest = forecast(&client, &id).await;
    assert_eq!(names(&rest), ["left", "merge"]);
    client.cancel_workflow(&id, "").await.unwrap();
    let ended = wait::soon("the workflow's end", client.wait_workflow(&id, None)).await.unwrap();
    assert_eq!(ended.state(), WorkflowState::Cancelled);
    assert_eq!(forecast(&client, &id).await, v1::WorkflowForecast::default());
}

#[tokio::test]
async fn forecasts_say_what_histories_say_on_sqlite() {
    forecasts_say_what_histories_say(Server::start().await).await;
}

#[tokio::test]
async fn forecasts_say_what_histories_say_on_postgres() {
    let cluster = Cluster::start(Settings { fsync: true, autovacuum: true });
    let server = Server::builder().database(&cluster.database().await).start().await;
    forecasts_say_what_histories_say(server).await;
}

#[tokio::test]
async fn types_that_nobody_knows_are_named_and_take_no_time() {
    let server = Server::start().await;
    let client = server.client();
    let lease = {
        client.create(NewTask::new("known")).await.unwrap();
        claim::lease(&client, "ann", "known").await
    };
    claim::complete(&client, &lease, "done").await.unwrap();
    let known = took(&client, &lease.task_id).await;
    let plan = workflow(&[("a", "known", &[]), ("b", "new", &["a"]), ("c", "newer", &["a"]), ("d", "known", &["b"])]);
    let id = client.create_workflow(plan).await.unwrap().workflow_id;
    let expected = forecast(&client, &id).await;
    assert_eq!(expected.unknown_types, ["new", "newer"]);
    assert_eq!(names(&expected), ["a", "b", "d"]);
    assert_eq!(expected.critical_path[1].expected_duration, None);
    let begin = micros(expected.critical_path[0].expected_start);
    assert_eq!(micros(expected.expected_end) - begin, 2 * known);
}
