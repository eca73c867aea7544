//! Several servers on one PostgreSQL database: they are one system.

// Helpers of tests stand outside of tests.
#![allow(clippy::unwrap_used)]

use callboard::{Agent, AgentHandle, Context, NewTask, TaskError};
use callboard_test_postgres::{Cluster, Settings};
use callboard_tests::server::Server;
use callboard_tests::wait;
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
