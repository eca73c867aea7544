//! Several servers on one PostgreSQL database: they are one system.

// Helpers of tests stand outside of tests.
#![allow(clippy::unwrap_used)]

use callboard::{Agent, AgentHandle, Context, NewTask, TaskError};
use callboard_test_postgres::{Cluster, Settings};
use callboard_tests::checker::{self, Observed};
use callboard_tests::load::chance::{Seed, random_millis, rounds};
use callboard_tests::load::{Load, Size};
use callboard_tests::server::Server;
use callboard_tests::wait;
use rand::Rng;
use std::sync::OnceLock;

/// As it is used: with fsync, and vacuumed.
fn cluster() -> &'static Cluster {
    static CLUSTER: OnceLock<Cluster> = OnceLock::new();
    CLUSTER.get_or_init(|| Cluster::start(Settings { fsync: true, autovacuum: true }))
}

async fn replicas(count: usize, args: &str) -> Vec<Server> {
    let url = cluster().database().await;
    let mut servers = Vec::new();
    for _ in 0..count {
        servers.push(Server::builder().args(args).database(&url).start().await);
    }
    servers
}

async fn echoer(server: &Server) -> AgentHandle {
    let agent = Agent::builder("echoer").client(&server.client());
    let agent = agent.handle("echo", |_: Context, text: String| async move { Ok::<_, TaskError>(text) });
    let mut agent = agent.spawn().unwrap();
    agent.attached().await.unwrap();
    agent
}

#[tokio::test(flavor = "multi_thread")]
async fn a_task_of_one_is_done_by_an_agent_of_another() {
    let servers = replicas(2, "").await;
    let agent = echoer(&servers[1]).await;
    let client = servers[0].client();
    for n in 0..20 {
        let text = format!("text {n}");
        let result = client.run::<String>(NewTask::new("echo").input(text.as_str()).unwrap());
        assert_eq!(wait::soon("the result at the other server", result).await.unwrap(), text);
    }
    agent.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_lost_when_servers_of_three_are_killed_under_load() {
    let seed = Seed::choose();
    let mut random = seed.random();
    let settings = "--stream-lease 5s --reattach-grace 3s --restart-grace 10s --cancel-grace 5s --log warn";
    let mut servers = replicas(3, settings).await;
    let addresses: Vec<String> = servers.iter().map(Server::address).collect();
    let mut load = Load::start_on(&addresses, seed.0, Size::default());
    for _ in 0..rounds() {
        tokio::time::sleep(random_millis(&mut random, 200..900)).await;
        let victim = random.random_range(0..servers.len());
        servers[victim].kill_9().await;
        tokio::time::sleep(random_millis(&mut random, 0..900)).await;
        servers[victim].restart().await;
    }
    load.stop_asking().await;
    load.heal().await;
    let observed = Observed::read(&servers[0].client()).await.expect("everything can be read");
    let history = load.stop().await.history().clone();
    checker::assert_kept(&history, &observed);
    checker::assert_none_taken(&history, &observed);
    println!("seed {}: {} kills, {} tasks, {}", seed.0, rounds(), observed.tasks.len(), history.summary());
}
