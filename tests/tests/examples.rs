//! The Rust SDK's examples do what they say, against a real server.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use callboard_tests::program;
use callboard_tests::server::Server;
use std::process::Stdio;
use std::time::Duration;
use tokio::process::Command;

/// Runs the example to its end, and gives what it printed.
async fn said(server: &Server, name: &str, args: &[&str]) -> String {
    let mut command = Command::from(program::command(program::rust_example(name)));
    command.args(args).env("CALLBOARD_ADDRESS", server.address()).kill_on_drop(true).stderr(Stdio::inherit());
    let output = tokio::time::timeout(Duration::from_secs(60), command.output()).await;
    let output = output.unwrap_or_else(|_| panic!("{name} did not end")).unwrap();
    assert!(output.status.success(), "{name}: {}", output.status);
    String::from_utf8(output.stdout).unwrap()
}

#[tokio::test]
async fn hello_says_hello() {
    let server = Server::start().await;
    let said = said(&server, "hello", &[]).await;
    assert!(said.starts_with("Hello, Ada! This is attempt 1 of task "), "{said}");
}

#[tokio::test]
async fn pipeline_counts_what_was_fetched() {
    let server = Server::start().await;
    assert_eq!(said(&server, "pipeline", &[]).await, "3 words in 2 pages\n");
}

#[tokio::test]
async fn supervisor_gives_its_work_to_children() {
    let server = Server::start().await;
    assert_eq!(said(&server, "supervisor", &[]).await, "14 trees in 3 regions, by 2 of 3 reviews\n");
}

#[tokio::test]
async fn workflow_goes_in_a_row_then_side_by_side_and_is_joined() {
    let server = Server::start().await;
    let text = "polished draft by the outline of trees";
    let expected = format!("{text} in de\n{text} in fr\n{text} in ja\n7 of 7 tasks completed\n");
    assert_eq!(said(&server, "workflow", &[]).await, expected);
}

#[tokio::test]
async fn hierarchy_has_a_leader_that_joins_what_its_children_found() {
    let server = Server::start().await;
    assert_eq!(said(&server, "hierarchy", &[]).await, "25 trees\n6 tasks, 4 of them children\n");
}

#[tokio::test]
async fn streaming_shows_what_is_given() {
    let server = Server::start().await;
    assert_eq!(said(&server, "streaming", &[]).await, "To be, or not to be\n6 words\n");
}

/// What it measures here is of no interest.
#[tokio::test]
async fn throughput_prints_a_line_of_figures() {
    let server = Server::start().await;
    let mut agent = Command::from(program::command(program::rust_example("throughput")));
    agent.args(["agent", "--slots", "8"]).env("CALLBOARD_ADDRESS", server.address()).kill_on_drop(true);
    let _agent = agent.spawn().unwrap();
    let line = said(&server, "throughput", &["client", "--tasks", "50", "--in-flight", "8", "--idle", "5"]).await;
    let figures: serde_json::Value = serde_json::from_str(&line).unwrap();
    assert_eq!((&figures["sdk"], &figures["tasks"], &figures["in_flight"]), (&"rust".into(), &50.into(), &8.into()));
    for figure in ["tasks_per_second", "idle_p50_ms", "idle_p99_ms"] {
        assert!(figures[figure].as_f64().is_some_and(|figure| figure > 0.0), "{line}");
    }
}
