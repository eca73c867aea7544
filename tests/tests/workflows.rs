//! Workflows over kills of their server, and over several servers.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use callboard::v1::{self, TaskState, WorkflowState};
use callboard::{Agent, AgentHandle, Client, Context, NewTask, NewWorkflow, NewWorkflowTask, TaskError};
use callboard_test_postgres::{Cluster, Settings};
use callboard_tests::server::Server;
use callboard_tests::{claim, wait};
use futures::TryStreamExt;
use std::collections::BTreeMap;

/// Each behind the one before.
fn chain(name: &str, length: usize) -> NewWorkflow {
    let tasks = (0..length).map(|n| {
        let task = NewWorkflowTask::new(format!("t{n}"), NewTask::new("link").input(&n).unwrap());
        if n == 0 { task } else { task.depends_on(format!("t{}", n - 1)) }
    });
    NewWorkflow::new(name).tasks(tasks)
}

fn agent(client: &Client) -> AgentHandle {
    let agent = Agent::builder("links").client(client).slots(4);
    agent.handle("link", |_: Context, n: usize| async move { Ok::<_, TaskError>(n) }).spawn().unwrap()
}

async fn tasks(client: &Client, workflow: &str) -> Vec<v1::Task> {
    let request = v1::ListWorkflowTasksRequest { workflow_id: workflow.to_owned(), ..Default::default() };
    client.workflow_tasks(request).try_collect().await.unwrap()
}

async fn ended(client: &Client, workflow: &str) -> v1::Workflow {
    wait::soon("the workflow's end", client.wait_workflow(workflow, None)).await.unwrap()
}

fn counted(tasks: &[v1::Task]) -> BTreeMap<&'static str, usize> {
    let mut counts = BTreeMap::new();
    tasks.iter().for_each(|task| *counts.entry(task.state().as_str_name()).or_default() += 1);
    counts
}

#[tokio::test]
async fn a_chain_is_finished_over_three_kills_and_every_link_ends_once() {
    const LENGTH: usize = 60;
    let mut server = Server::start().await;
    let client = server.client();
    let created = client.create_workflow(chain("long", LENGTH)).await.unwrap();
    let agent = agent(&client);
    for place in [5, 20, 40] {
        let id = &created.receipts[&format!("t{place}")].task_id;
        wait::started(&client, id).await;
        server.kill_9().await;
        server.restart().await;
    }
    let workflow = ended(&client, &created.workflow_id).await;
    let length = i32::try_from(LENGTH).unwrap();
    assert_eq!((workflow.state(), workflow.completed_tasks), (WorkflowState::Completed, length));
    assert_eq!((workflow.open_tasks, workflow.progress), (0, 1.0));
    let tasks = tasks(&client, &created.workflow_id).await;
    let names: Vec<String> = tasks.iter().map(|task| task.workflow.clone().unwrap().name).collect();
    assert_eq!(names, (0..LENGTH).map(|n| format!("t{n}")).collect::<Vec<_>>());
    for task in &tasks {
        let history = client.history(&task.id).await.unwrap();
        let ends = history.iter().filter(|event| event.r#type() == v1::EventType::Completed).count();
        assert_eq!((task.state(), task.run, ends), (TaskState::Completed, 1, 1));
    }
    agent.stop();
}

#[tokio::test]
async fn a_cancellation_and_a_retry_of_thousands_go_on_behind_a_kill() {
    const TASKS: usize = 3_000;
    let mut server = Server::start().await;
    let client = server.client();
    let tasks_of = |count: usize| (0..count).map(|n| NewWorkflowTask::new(format!("t{n}"), NewTask::new("idle")));
    let created = client.create_workflow(NewWorkflow::new("wide").tasks(tasks_of(TASKS))).await.unwrap();
    let id = created.workflow_id;
    let asked = client.cancel_workflow(&id, "enough").await.unwrap();
    assert!(asked.cancel_requested);
    server.kill_9().await;
    server.restart().await;
    let workflow = ended(&client, &id).await;
    let all = i32::try_from(TASKS).unwrap();
    assert_eq!((workflow.state(), workflow.cancelled_tasks, workflow.tasks), (WorkflowState::Cancelled, all, all));
    assert_eq!(counted(&tasks(&client, &id).await), BTreeMap::from([("TASK_STATE_CANCELLED", TASKS)]));

    let retried = client.retry_workflow(&id).await.unwrap();
    assert_eq!((retried.state(), retried.cancel_requested), (WorkflowState::Running, false));
    server.kill_9().await;
    server.restart().await;
    wait::look("every task to have another run", || async {
        let workflow = client.get_workflow(&id).await.unwrap();
        (workflow.open_tasks == all).then_some(())
    })
    .await;
    let tasks = tasks(&client, &id).await;
    assert_eq!(counted(&tasks), BTreeMap::from([("TASK_STATE_READY", TASKS)]));
    assert!(tasks.iter().all(|task| task.run == 2));
}

#[tokio::test(flavor = "multi_thread")]
async fn who_waits_at_one_server_is_told_of_an_end_at_another() {
    let cluster = Cluster::start(Settings { fsync: true, autovacuum: true });
    let url = cluster.database().await;
    let servers = [Server::builder().database(&url).start().await, Server::builder().database(&url).start().await];
    let [one, other] = servers.each_ref().map(Server::client);
    let created = one.create_workflow(chain("short", 2)).await.unwrap();
    let id = created.workflow_id;
    let work = async {
        for _ in 0..2 {
            let lease = claim::lease(&other, "claimer", "link").await;
            claim::complete(&other, &lease, "done").await.unwrap();
        }
    };
    let both = async { tokio::join!(one.wait_workflow(&id, None), work).0 };
    let workflow = wait::soon("the end at the other server", both).await.unwrap();
    assert_eq!((workflow.state(), workflow.completed_tasks), (WorkflowState::Completed, 2));
    assert_eq!(other.get_workflow(&id).await.unwrap(), workflow);
}
