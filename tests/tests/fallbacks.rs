//! What nobody takes asks for less: with real servers, over a kill, and once though two servers look.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use callboard::Client;
use callboard::v1::{self, EventType, Requirements, RequirementsFallback, TaskSpec, TaskState};
use callboard_test_postgres::{Cluster, Settings};
use callboard_tests::agent::{RawAgent, hello};
use callboard_tests::server::Server;
use callboard_tests::{seconds, wait};

/// An expert's task, which the lead gets when nobody has taken it for so many seconds.
fn for_an_expert(after: f64) -> TaskSpec {
    let fallback = RequirementsFallback { after: seconds(after), role: "lead".into(), ..Default::default() };
    let requirements = Requirements { role: "expert".into(), fallbacks: vec![fallback], ..Default::default() };
    TaskSpec { r#type: "review".into(), requirements: Some(requirements), ..Default::default() }
}

async fn create(client: &Client, spec: TaskSpec) -> String {
    client.create(callboard::NewTask::from(spec)).await.unwrap().task_id
}

async fn with_role(server: &Server, role: &str) -> RawAgent {
    let mut hello = hello(role, "review");
    if let Some(profile) = &mut hello.profile {
        profile.role = role.into();
    }
    RawAgent::attach(server, hello).await.unwrap().beating()
}

async fn fallen_back(client: &Client, task: &str) -> v1::Task {
    wait::look("the task to fall back", || async {
        let task = client.get(task).await.unwrap();
        (task.fallback > 0).then_some(task)
    })
    .await
}

/// The reasons of its moves.
async fn moves(client: &Client, task: &str) -> Vec<String> {
    let history = client.history(task).await.unwrap();
    let moves = history.into_iter().filter(|event| event.r#type() == EventType::FellBack);
    moves.map(|event| event.reason).collect()
}

#[tokio::test]
async fn the_lead_gets_what_no_expert_took_though_nobody_calls() {
    let server = Server::start().await;
    let client = server.client();
    let mut lead = with_role(&server, "lead").await;
    let id = create(&client, for_an_expert(0.5)).await;
    let attempt = lead.accepted().await;
    assert_eq!(attempt.task_id, id);
    let task = client.get(&id).await.unwrap();
    let spec = task.spec.clone().unwrap();
    assert_eq!((task.fallback, task.agent.as_str()), (1, "lead"));
    assert_eq!(spec.requirements, for_an_expert(0.5).requirements, "what was asked for is still shown");
    assert_eq!(moves(&client, &id).await, ["nobody took it within 0.5 s: now role lead"]);
    lead.complete(&attempt, "done").await;
    assert_eq!(client.get(&id).await.unwrap().state(), TaskState::Completed);
}

#[tokio::test]
async fn an_expert_that_comes_in_time_gets_it() {
    let server = Server::start().await;
    let client = server.client();
    let _lead = with_role(&server, "lead").await;
    let id = create(&client, for_an_expert(60.0)).await;
    assert_eq!(client.get(&id).await.unwrap().state(), TaskState::Ready, "the lead is there, and doesn't get it");
    let mut expert = with_role(&server, "expert").await;
    let attempt = expert.accepted().await;
    assert_eq!(attempt.task_id, id);
    assert!(moves(&client, &id).await.is_empty());
    assert_eq!(client.get(&id).await.unwrap().fallback, 0);
}

#[tokio::test]
async fn its_time_goes_on_over_a_kill() {
    let mut server = Server::start().await;
    let client = server.client();
    let id = create(&client, for_an_expert(1.0)).await;
    let again = create(&client, for_an_expert(0.001)).await;
    fallen_back(&client, &again).await;
    server.kill_9().await;
    server.restart().await;
    let task = fallen_back(&client, &id).await;
    assert_eq!((task.state(), task.fallback), (TaskState::Ready, 1));
    // What it had come to before is not lost, and is not told again.
    assert_eq!((client.get(&again).await.unwrap().fallback, moves(&client, &again).await.len()), (1, 1));
    let mut lead = with_role(&server, "lead").await;
    lead.accepted().await;
}

#[tokio::test]
async fn a_new_assignee_takes_it_back() {
    let server = Server::start().await;
    let client = server.client();
    let id = create(&client, for_an_expert(0.001)).await;
    fallen_back(&client, &id).await;
    let mut request = v1::UpdateTaskRequest { task_id: id.clone(), assignee: "expert".into(), ..Default::default() };
    request.update_mask = Some(prost_types::FieldMask { paths: vec!["assignee".into()] });
    client.update(request).await.unwrap();
    wait::look("its fallback to have its time again", || async {
        (moves(&client, &id).await.len() == 2).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_servers_one_moves_it_and_once() {
    const TASKS: usize = 50;
    let cluster = Cluster::start(Settings { fsync: true, autovacuum: true });
    let url = cluster.database().await;
    let servers = [Server::builder().database(&url).start().await, Server::builder().database(&url).start().await];
    let [one, other] = servers.each_ref().map(Server::client);
    let mut ids = Vec::new();
    for _ in 0..TASKS {
        ids.push(create(&one, for_an_expert(0.5)).await);
    }
    for id in &ids {
        fallen_back(&other, id).await;
        assert_eq!(moves(&one, id).await.len(), 1);
    }
    // The agent of the other server gets what one of them moved.
    let mut lead = with_role(&servers[1], "lead").await;
    let attempt = lead.accepted().await;
    assert!(ids.contains(&attempt.task_id));
}
