//! Workflows that grow, and that are held and released: by their own handlers, over kills, and over several servers.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use callboard::v1::{self, TaskState, WorkflowState};
use callboard::{Agent, Client, Context, NewTask, NewWorkflow, NewWorkflowTask, TaskError};
use callboard_test_postgres::{Cluster, Settings};
use callboard_tests::server::Server;
use callboard_tests::{claim, wait};
use futures::TryStreamExt;
use std::collections::BTreeMap;

/// How many are added, held and released over kills: many steps of a walk.
const MANY: usize = 3_000;

fn task(name: impl Into<String>, task_type: &str, behind: &[&str]) -> v1::WorkflowTask {
    let on = |name: &&str| v1::WorkflowDependency { task: (*name).to_owned(), ..Default::default() };
    v1::WorkflowTask {
        name: name.into(),
        task: Some(v1::TaskSpec { r#type: task_type.to_owned(), ..Default::default() }),
        depends_on: behind.iter().map(on).collect(),
        ..Default::default()
    }
}

async fn add(client: &Client, workflow: &str, tasks: Vec<v1::WorkflowTask>) -> callboard::Result<Vec<v1::TaskReceipt>> {
    let request = v1::AddWorkflowTasksRequest { workflow_id: workflow.to_owned(), tasks, ..Default::default() };
    Ok(client.call(request).await?.receipts)
}

async fn hold(client: &Client, workflow: &str) -> v1::Workflow {
    let request = v1::HoldWorkflowRequest { workflow_id: workflow.to_owned(), ..Default::default() };
    client.call(request).await.unwrap().workflow.unwrap()
}

async fn release(client: &Client, workflow: &str) -> v1::Workflow {
    let request = v1::ReleaseWorkflowRequest { workflow_id: workflow.to_owned(), ..Default::default() };
    client.call(request).await.unwrap().workflow.unwrap()
}

async fn tasks(client: &Client, workflow: &str) -> Vec<v1::Task> {
    let request =
        v1::ListWorkflowTasksRequest { workflow_id: workflow.to_owned(), page_size: 1_000, ..Default::default() };
    client.workflow_tasks(request).try_collect().await.unwrap()
}

fn counted(tasks: &[v1::Task]) -> BTreeMap<&'static str, usize> {
    let mut counts = BTreeMap::new();
    tasks.iter().for_each(|task| *counts.entry(task.state().as_str_name()).or_default() += 1);
    counts
}

async fn ended(client: &Client, workflow: &str) -> v1::Workflow {
    wait::soon("the workflow's end", client.wait_workflow(workflow, None)).await.unwrap()
}

/// Waits until all tasks of a workflow are in a state.
async fn all_are(client: &Client, workflow: &str, state: TaskState) {
    wait::look(&format!("every task to be {}", state.as_str_name()), || async {
        tasks(client, workflow).await.iter().all(|task| task.state() == state).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_supervisor_amends_its_plan_while_it_runs() {
    let server = Server::start().await;
    let client = server.client();
    let agent = Agent::builder("crew").client(&client).slots(2);
    let supervisor = |ctx: Context, parts: usize| async move {
        let own = ctx.client().get(ctx.task_id()).await?;
        let workflow = own.workflow.map(|link| link.workflow_id).unwrap_or_default();
        let names: Vec<String> = (0..parts).map(|n| format!("part.{n}")).collect();
        let mut more: Vec<_> = names.iter().map(|name| task(name, "part", &["plan"])).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        more.push(task("sum", "part", &[&["prepare"], names.as_slice()].concat()));
        add(ctx.client(), &workflow, more).await?;
        Ok::<_, TaskError>(parts)
    };
    let agent = agent
        .handle("plan", supervisor)
        .handle("part", |ctx: Context, (): ()| async move { Ok::<_, TaskError>(ctx.dependencies().await?.len()) })
        .spawn()
        .unwrap();
    let plan = NewWorkflowTask::new("plan", NewTask::new("plan").input(&5).unwrap());
    let new = NewWorkflow::new("grows").task(NewWorkflowTask::new("prepare", NewTask::new("part"))).task(plan);
    let created = client.create_workflow(new).await.unwrap();
    let workflow = ended(&client, &created.workflow_id).await;
    assert_eq!((workflow.state(), workflow.tasks, workflow.completed_tasks), (WorkflowState::Completed, 8, 8));
    let tasks = tasks(&client, &created.workflow_id).await;
    let names: Vec<_> = tasks.iter().map(|task| task.workflow.clone().unwrap().name).collect();
    assert_eq!(names, ["prepare", "plan", "part.0", "part.1", "part.2", "part.3", "part.4", "sum"]);
    let sum = client.result::<usize>(&tasks[7].id, None).await.unwrap();
    assert_eq!(sum, 6, "it was given what it waited for, by names old and new");
    let late = add(&client, &created.workflow_id, vec![task("late", "part", &[])]).await.unwrap_err();
    assert_eq!(late.reason(), "WORKFLOW_STATE", "{late}");
    agent.stop();
}

#[tokio::test]
async fn thousands_are_added_held_and_released_over_kills() {
    let mut server = Server::start().await;
    let client = server.client();
    let new = NewWorkflow::new("wide").task(NewWorkflowTask::new("first", NewTask::new("idle")));
    let id = client.create_workflow(new).await.unwrap().workflow_id;
    let more: Vec<_> = (0..MANY).map(|n| task(format!("t{n}"), "idle", &[])).collect();
    let request = v1::AddWorkflowTasksRequest {
        workflow_id: id.clone(),
        tasks: more,
        request_id: "grow".into(),
        ..Default::default()
    };
    // Killed while they are added: it is asked again, under the same request id.
    let killing = async {
        server.kill_9().await;
        server.restart().await;
    };
    let (answer, ()) = tokio::join!(client.call(request.clone()), killing);
    let receipts = match answer {
        Ok(answer) => answer.receipts,
        Err(_) => client.call(request).await.unwrap().receipts,
    };
    let all = i32::try_from(MANY + 1).unwrap();
    assert_eq!((receipts.len(), client.get_workflow(&id).await.unwrap().tasks), (MANY, all));

    assert!(hold(&client, &id).await.held);
    server.kill_9().await;
    server.restart().await;
    all_are(&client, &id, TaskState::Waiting).await;
    let added = add(&client, &id, vec![task("more", "idle", &["t7"]), task("free", "idle", &[])]).await.unwrap();
    assert!(added.iter().all(|receipt| receipt.state() == TaskState::Waiting));
    assert!(client.get_workflow(&id).await.unwrap().held);

    assert!(!release(&client, &id).await.held);
    server.kill_9().await;
    server.restart().await;
    let expected = BTreeMap::from([("TASK_STATE_READY", MANY + 2), ("TASK_STATE_WAITING", 1)]);
    wait::look("every task to be released", || async {
        (counted(&tasks(&client, &id).await) == expected).then_some(())
    })
    .await;
    let history = client.history(&receipts[MANY - 1].task_id).await.unwrap();
    let kinds: Vec<_> = history.iter().map(|event| event.r#type()).collect();
    assert_eq!(kinds, [v1::EventType::Created, v1::EventType::Held, v1::EventType::Released]);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_waits_at_one_server_waits_for_what_is_added_at_another() {
    let cluster = Cluster::start(Settings { fsync: true, autovacuum: true });
    let url = cluster.database().await;
    let servers = [Server::builder().database(&url).start().await, Server::builder().database(&url).start().await];
    let [one, other] = servers.each_ref().map(Server::client);
    let new = NewWorkflow::new("short").task(NewWorkflowTask::new("a", NewTask::new("a")));
    let id = one.create_workflow(new).await.unwrap().workflow_id;
    let work = async {
        let lease = claim::lease(&other, "claimer", "a").await;
        // Both servers want the same name: one of them has it.
        let added = || vec![task("b", "b", &["a"]), task("c", "b", &["b"])];
        let (here, there) = tokio::join!(add(&one, &id, added()), add(&other, &id, added()));
        let refused: Vec<_> = [here, there].into_iter().filter_map(Result::err).collect();
        assert_eq!(refused.len(), 1, "{refused:?}");
        assert!(refused[0].to_string().contains("tasks[0].name"), "{}", refused[0]);
        claim::complete(&other, &lease, "done").await.unwrap();
        assert!(hold(&other, &id).await.held);
        assert!(one.get_workflow(&id).await.unwrap().held);
        assert!(!release(&one, &id).await.held);
        for _ in 0..2 {
            let lease = claim::lease(&other, "claimer", "b").await;
            claim::complete(&other, &lease, "done").await.unwrap();
        }
    };
    let both = async { tokio::join!(one.wait_workflow(&id, None), work).0 };
    let workflow = wait::soon("the end at the other server", both).await.unwrap();
    assert_eq!((workflow.state(), workflow.completed_tasks), (WorkflowState::Completed, 3));
}
