//! Several servers on one PostgreSQL database: they are one system.

// Helpers of tests stand outside of tests.
#![allow(clippy::unwrap_used)]

use callboard::{Agent, AgentHandle, Context, NewTask, TaskError};
use callboard_test_postgres::{Cluster, Settings};
use callboard_tests::server::Server;
use callboard_tests::{http, wait};
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
    cross(&replicas(2, "").await).await;
}

/// The agent was given one address. Where the other server is it is told when the first drains.
#[tokio::test(flavor = "multi_thread")]
async fn agents_of_a_server_that_drains_are_sent_to_another() {
    let url = cluster().database().await;
    let mut there = Server::builder().database(&url).start().await;
    there.terminate().await;
    let address = there.address();
    there.set_env("CALLBOARD_ADVERTISE", &address);
    there.restart().await;
    let mut here = Server::builder().database(&url).args("--drain 30s").start().await;
    let agent = echoer(&here).await;
    assert!(here.terminate().await.success());
    let client = there.client();
    let result = client.run::<String>(NewTask::new("echo").input("there").unwrap());
    assert_eq!(wait::soon("the result at the server that is left", result).await.unwrap(), "there");
    agent.stop();
}

/// Behind PgBouncer in transaction mode nobody hears a notification, unless there is a way past it; what crosses crosses all the same.
#[tokio::test(flavor = "multi_thread")]
async fn behind_a_pooler_hints_are_heard_past_it_and_are_not_needed() {
    let pooler = tokio::task::spawn_blocking(|| cluster().pooler()).await.unwrap();
    for past in [true, false] {
        let direct = cluster().database().await;
        let name = direct.rsplit('/').next().unwrap().split('?').next().unwrap();
        let url = format!("{}?pgbouncer=true", pooler.url(name));
        let mut servers = Vec::new();
        for _ in 0..2 {
            let server = Server::builder().database(&url);
            let server = if past { server.arg("--database-direct").arg(&direct) } else { server };
            servers.push(server.start().await);
        }
        cross(&servers).await;
        let heard = || http::metric(&servers[1], "callboard_hints_total{direction=\"heard\"}");
        match past {
            true => wait::look("a hint that is heard", || async { (heard().await > 0.0).then_some(()) }).await,
            false => assert_eq!(heard().await, 0.0),
        }
    }
}

/// Tasks of the first are done by an agent of the second.
async fn cross(servers: &[Server]) {
    let agent = echoer(&servers[1]).await;
    let client = servers[0].client();
    for n in 0..20 {
        let text = format!("text {n}");
        let result = client.run::<String>(NewTask::new("echo").input(text.as_str()).unwrap());
        assert_eq!(wait::soon("the result at the other server", result).await.unwrap(), text);
    }
    agent.stop();
}
