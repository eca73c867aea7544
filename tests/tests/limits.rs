//! Limits by key with real servers: over two of them, over a kill, and as they are told.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use callboard::Client;
use callboard::v1::{self, AssignmentObstacleType, Attempt, Limit, NamespaceSettings, TaskSpec, TaskState};
use callboard_test_postgres::{Cluster, Settings};
use callboard_tests::agent::{RawAgent, hello_with_slots};
use callboard_tests::server::Server;
use callboard_tests::wait;

async fn limit(client: &Client, limits: Vec<Limit>) {
    let settings = NamespaceSettings { limits: limits.clone(), ..Default::default() };
    let updated = client.update_namespace("default", settings).await.unwrap();
    assert_eq!(updated.settings.unwrap().limits, limits);
}

fn at_once(key: &str, max: i32) -> Limit {
    Limit { key: key.into(), max_concurrent: Some(max), ..Default::default() }
}

async fn create(client: &Client, keys: &[&str]) -> String {
    let limit_keys = keys.iter().map(|key| (*key).to_owned()).collect();
    let spec = TaskSpec { r#type: "chat".into(), limit_keys, ..Default::default() };
    client.create(callboard::NewTask::from(spec)).await.unwrap().task_id
}

async fn with_slots(server: &Server, name: &str) -> RawAgent {
    RawAgent::attach(server, hello_with_slots(name, "chat", 10)).await.unwrap().beating()
}

async fn explain(client: &Client, task: &str) -> v1::AssignmentExplanation {
    let request = v1::ExplainAssignmentRequest { task_id: task.into(), ..Default::default() };
    client.call(request).await.unwrap().explanation.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_limit_of_three_over_two_servers_on_postgres() {
    const TASKS: usize = 30;
    let cluster = Cluster::start(Settings { fsync: true, autovacuum: true });
    let url = cluster.database().await;
    let servers = [Server::builder().database(&url).start().await, Server::builder().database(&url).start().await];
    let client = servers[0].client();
    limit(&client, vec![at_once("openai", 3)]).await;
    let [mut ann, mut ben] = [with_slots(&servers[0], "ann").await, with_slots(&servers[1], "ben").await];
    for _ in 0..TASKS {
        create(&client, &["openai"]).await;
    }
    let (mut held, mut done, mut by): (Vec<(usize, Attempt)>, usize, [usize; 2]) = (Vec::new(), 0, [0, 0]);
    while done < TASKS {
        while held.len() < 3.min(TASKS - done) {
            let (agent, assignment) = tokio::select! {
                assignment = ann.assignment() => (0, assignment),
                assignment = ben.assignment() => (1, assignment),
            };
            held.push((agent, assignment.attempt.unwrap()));
            by[agent] += 1;
        }
        let states = vec![TaskState::Assigned.into(), TaskState::Running.into()];
        let at_work = client.call(v1::ListTasksRequest { states, ..Default::default() }).await.unwrap().tasks;
        assert!(at_work.len() <= 3, "{} at once", at_work.len());
        let (agent, attempt) = held.remove(0);
        let agent = if agent == 0 { &mut ann } else { &mut ben };
        agent.complete(&attempt, "done").await;
        done += 1;
    }
    println!("{by:?} tasks at each server");
}

#[tokio::test]
async fn a_limit_outlives_a_kill_of_its_server() {
    let mut server = Server::start().await;
    let client = server.client();
    limit(&client, vec![at_once("tenant/*", 1)]).await;
    let mut ann = with_slots(&server, "ann").await;
    let first = create(&client, &["tenant/a"]).await;
    let attempt = ann.accepted().await;
    assert_eq!(attempt.task_id, first);
    let second = create(&client, &["tenant/a"]).await;
    server.kill_9().await;
    server.restart().await;
    let mut ben = with_slots(&server, "ben").await;
    let other = create(&client, &["tenant/b"]).await;
    assert_eq!(ben.accepted().await.task_id, other, "another tenant has a limit of its own");
    let told = explain(&client, &second).await;
    assert_eq!((told.limits[0].key.as_str(), told.limits[0].in_use, told.limits[0].reached), ("tenant/a", 1, true));
    assert_eq!(told.limits[0].limit, Some(at_once("tenant/*", 1)));
    let ben_told = told.candidates.iter().find(|candidate| candidate.agent == "ben").unwrap();
    assert_eq!(ben_told.obstacles[0].r#type(), AssignmentObstacleType::Limit);
    let complete = v1::CompleteTaskRequest { attempt: Some(attempt), ..Default::default() };
    client.call(complete).await.unwrap();
    assert_eq!(ben.accepted().await.task_id, second);
    assert_eq!(wait::ended(&client, &first).await.state(), TaskState::Completed);
}
