//! A server on PostgreSQL: what it does on a file, it does there.

// Helpers of tests stand outside of tests.
#![allow(clippy::unwrap_used)]

use callboard::{Agent, Context, NewTask, TaskError};
use callboard_test_postgres::{Cluster, Settings};
use callboard_tests::program;
use callboard_tests::server::Server;
use std::sync::OnceLock;

/// As it is used: with fsync, and vacuumed.
fn cluster() -> &'static Cluster {
    static CLUSTER: OnceLock<Cluster> = OnceLock::new();
    CLUSTER.get_or_init(|| Cluster::start(Settings { fsync: true, autovacuum: true }))
}

async fn echo(server: &Server, text: &str) -> String {
    let client = server.client();
    let agent = Agent::builder("echoer").client(&client);
    let agent = agent.handle("echo", |_: Context, text: String| async move { Ok::<_, TaskError>(text) });
    let mut agent = agent.spawn().unwrap();
    agent.attached().await.unwrap();
    client.run::<String>(NewTask::new("echo").input(text).unwrap()).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_task_is_done_and_is_there_after_a_restart() {
    let url = cluster().database().await;
    let mut server = Server::builder().database(&url).start().await;
    assert_eq!(echo(&server, "a\0b é").await, "a\0b é");
    assert!(server.terminate().await.success());
    server.restart().await;
    let tasks = server.client().call(callboard::v1::ListTasksRequest::default()).await.unwrap().tasks;
    assert_eq!(tasks.len(), 1);
    let history = server.client().history(&tasks[0].id).await.unwrap();
    assert!(history.len() >= 3, "{history:?}");
    assert_eq!(echo(&server, "again").await, "again");
}

/// A version that changed what this one relies on says so in the database. Going on would be guessing.
#[tokio::test(flavor = "multi_thread")]
async fn a_server_ends_when_a_newer_version_made_the_database_its_own() {
    let url = cluster().database().await;
    let name = url.rsplit('/').next().unwrap().split('?').next().unwrap();
    let mut server = Server::builder().database(&url).start().await;
    cluster().run(name, "UPDATE callboard_meta SET value = 99 WHERE name IN ('schema', 'min_version')").await;
    assert!(!server.ended().await.success());
    assert!(server.logs().contains("start a newer version"), "{}", server.logs());
}

/// Not in the log at its loudest, not in errors, not in what `--check` says, and not in the database.
#[tokio::test(flavor = "multi_thread")]
async fn a_password_in_the_url_is_shown_nowhere() {
    let secret = "canary-7b1f";
    let with_password = |url: &str| url.replacen("postgres@", &format!("postgres:{secret}@"), 1);
    let url = with_password(&cluster().database().await);
    let mut server = Server::builder().args("--log trace").database(&url).start().await;
    assert_eq!(echo(&server, "x").await, "x");
    server.terminate().await;
    let logs = server.logs();
    assert!(logs.contains("postgres:***@"), "the log says where everything is");
    assert!(!logs.contains(secret));
    let missing = with_password(&cluster().url("no_such_database"));
    let nobody_there = format!("postgres://u:{secret}@127.0.0.1:1/d");
    let nonsense = format!("postgres://u:{secret}@h:port/d?password={secret}");
    for (url, check, works) in [
        (&url, true, true),
        (&missing, true, false),
        (&missing, false, false),
        (&nobody_there, true, false),
        (&nobody_there, false, false),
        (&nonsense, true, false),
        (&nonsense, false, false),
    ] {
        let mut command = program::command(program::callboard());
        command.args(["serve", "--listen", "127.0.0.1:0", "--log", "trace"]).env("CALLBOARD_DATABASE", url);
        let output = command.args(check.then_some("--check")).output().unwrap();
        let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
        assert_eq!(output.status.success(), works, "{said}");
        assert!(said.contains("***") && !said.contains(secret), "{said}");
    }
}
