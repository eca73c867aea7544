//! `callboard bench`, in small: that it measures, verifies, reports and ends. Never how fast anything is.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use callboard_tests::program;
use callboard_tests::server::Server;
use serde_json::Value;
use std::process::Output;

fn bench(args: &[&str]) -> Output {
    program::command(program::callboard()).arg("bench").args(args).output().expect("the bench can be run")
}

/// What it wrote; fails the test when it failed.
fn document(args: &[&str]) -> Value {
    let output = bench(args);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{args:?}: {:?}\n{said}", output.status);
    serde_json::from_slice(&output.stdout).expect("JSON on standard output, and nothing else")
}

fn at<'a>(document: &'a Value, path: &str) -> &'a Value {
    path.split('.').fold(document, |value, key| &value[key])
}

fn positive(document: &Value, path: &str) -> f64 {
    let number = at(document, path).as_f64().unwrap_or_else(|| panic!("{path} is no number: {document:#}"));
    assert!(number > 0.0, "{path} is {number}");
    number
}

#[test]
fn every_part_is_measured_and_verified() {
    let figures = document(&["--quick", "--output", "json"]);
    // On a machine that is busy nothing may come of a window this short: how much is not asked.
    for path in [
        "unary_64.tasks_per_s",
        "unary_512.tasks_per_s",
        "stream_64.tasks_per_s",
        "stream_512.tasks_per_s",
        "batch.tasks_per_s",
        "growth.unary_64.tasks_per_s",
    ] {
        assert!(at(&figures, path).is_number(), "{path}: {figures:#}");
    }
    for path in [
        "idle.p50_ms",
        "idle.p99_ms",
        "idle.cpu_us_per_task.server",
        "dispatch.p50_ms",
        "attached.agents",
        "dependents.p99_ms",
        "dependents.before.p99_ms",
        "dependents.after.p99_ms",
        "chain.3.us_per_task",
        "star.300.tasks_per_s",
        "dag.cost_ratio",
        "chain_of_40.p50_ms",
        "fan_out_400.p50_ms",
        "growth.idle.ratio",
        "machine.cores",
    ] {
        positive(&figures, path);
    }
    let growth = figures["growth"].as_object().expect("figures of growth");
    assert!(growth.contains_key("ratio"), "{figures:#}");
    // In a small run the memory may also shrink, and then nothing is left of it.
    assert!(figures["attached"]["bytes_per_agent"].is_u64(), "{figures:#}");
    for part in
        ["unary_64", "unary_512", "stream_64", "stream_512", "batch", "idle", "attached", "dependents", "growth"]
    {
        let verified = positive(&figures[part], "verified_tasks");
        let measured = figures[part]["tasks"].as_f64().unwrap();
        assert!(verified >= measured, "{part}: {verified} of {measured} tasks were verified");
    }
    assert_eq!(positive(&figures, "growth.finished_tasks"), 2_000.0);
    assert!(positive(&figures, "dependents.verified_tasks") > 500.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_running_server_is_measured_in_a_namespace_of_its_own() {
    is_measured(Server::start().await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_running_server_on_postgres_is_measured() {
    let url = callboard_test_postgres::shared().database().await;
    is_measured(Server::builder().database(&url).start().await).await;
}

async fn is_measured(server: Server) {
    let address = server.address();
    let pid = server.pid().to_string();
    let run = move || {
        let args = ["--quick", "--only", "idle,batch", "--batch-results", "wait", "--batch-requests", "2"];
        document(&[&args[..], &["--address", &address, "--server-pid", &pid, "-o", "json"]].concat())
    };
    let figures = tokio::task::spawn_blocking(run).await.expect("it ends");
    positive(&figures, "idle.server_rss_bytes");
    assert!(figures["batch"]["tasks_per_s"].is_number(), "{figures:#}");
    assert_eq!(figures["settings"]["server"], Value::from(server.address()));
    assert_eq!(figures["settings"]["batch_requests"], Value::from(2));
    assert!(figures["unary_64"].is_null(), "only what was asked for: {figures:#}");
    let theirs = server.client().list_page(Default::default()).await.expect("tasks of `default`").tasks;
    assert!(theirs.is_empty(), "nothing of it is in anybody else's namespace");
}

#[test]
fn a_soak_samples_and_verifies() {
    let figures =
        document(&["soak", "--for", "3s", "--sample", "1s", "--rate", "200", "--in-flight", "8", "-o", "json"]);
    let samples = figures["samples"].as_array().expect("samples");
    assert!(!samples.is_empty(), "{figures:#}");
    positive(&samples[0], "tasks");
    positive(&samples[0], "server_rss_bytes");
    positive(&samples[0], "database_bytes");
    assert_eq!(samples[0]["sessions"], Value::from(1));
    positive(&figures, "verified.tasks");
}

#[test]
fn what_cannot_be_measured_is_an_error_with_its_code() {
    let nobody = bench(&["--quick", "--only", "idle", "--address", "http://127.0.0.1:1"]);
    assert_eq!(nobody.status.code(), Some(5), "{nobody:?}");
    assert!(nobody.stdout.is_empty());
    let nonsense = bench(&["--only", "nonsense"]);
    assert_eq!(nonsense.status.code(), Some(2), "{nonsense:?}");
    let server = bench(&["--quick", "--only", "idle", "--serve-arg=--batch=0"]);
    assert_eq!(server.status.code(), Some(1), "{server:?}");
    assert!(String::from_utf8_lossy(&server.stderr).contains("batch"), "why the server didn't start: {server:?}");
}
