//! `callboard serve`, and what is said when there is no server.

use super::run;
use callboard_tests::program;
use callboard_tests::server::Server;
use std::process::Output;

async fn serve(args: &[&str]) -> Output {
    let mut command = tokio::process::Command::from(program::command(program::callboard()));
    command.arg("serve").args(args).kill_on_drop(true);
    callboard_tests::wait::soon("the server's refusal", command.output()).await.unwrap()
}

#[tokio::test]
async fn a_server_that_is_not_there_is_unavailable() {
    let mut server = Server::start().await;
    server.kill_9().await;
    let error = run(&server, "task list --timeout 300ms").await.failed(5);
    assert!(error.contains(&server.address()), "it says where it looked: {error}");
    run(&server, "task list --address nowhere").await.failed(2);
}

#[tokio::test]
async fn what_can_not_be_served_is_refused_at_once_with_the_reason() {
    let server = Server::start().await;
    let database = format!("sqlite://{}", server.database().display());
    let port = server.address();
    let taken = port.trim_start_matches("http://");
    let folder = tempfile::tempdir().unwrap();
    let fresh = format!("sqlite://{}", folder.path().join("other.db").display());
    let broken = folder.path().join("broken.db");
    std::fs::write(&broken, "this is no database, but long enough to be looked at ".repeat(100)).unwrap();
    let broken = format!("sqlite://{}", broken.display());
    let refusals: [(&[&str], &str); 5] = [
        (&["--listen", "127.0.0.1:0", "--database", &database], "another"),
        (&["--listen", taken, "--database", &fresh], "listen"),
        (&["--listen", "0.0.0.0:0", "--database", &fresh], "--insecure"),
        (&["--listen", "127.0.0.1:0", "--database", &broken], "database"),
        (&["--listen", "127.0.0.1:0", "--database", &fresh, "--stream-lease", "1ms"], "stream_lease"),
    ];
    for (args, why) in refusals {
        let output = serve(args).await;
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success() && said.contains(why), "{args:?}: {said}");
        assert!(output.stdout.is_empty(), "it never said that it listens: {args:?}");
    }
    server.client().create(callboard::NewTask::new("t")).await.expect("the first server goes on");
}

#[tokio::test]
async fn settings_come_from_the_environment_and_logs_can_be_json() {
    let server =
        Server::builder().env("CALLBOARD_STREAM_LEASE", "7s").env("CALLBOARD_LOG_FORMAT", "json").start().await;
    let agent = callboard_tests::agent::RawAgent::start(&server, "ann", "t").await;
    assert_eq!(agent.welcome.lease, callboard_tests::seconds(7.0));
    let logs = server.logs();
    assert!(logs.lines().all(|line| serde_json::from_str::<serde_json::Value>(line).is_ok()), "{logs}");
    assert!(logs.contains("\"agent\""), "{logs}");
}
