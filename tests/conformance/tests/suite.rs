//! The suite itself: every scenario with every SDK, on both stores.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use callboard_conformance::report::{self, Row, Verdict};
use callboard_conformance::run;
use callboard_conformance::scenario;
use callboard_conformance::sdk::Sdk;
use callboard_conformance::stage::{Stage, Store};
use callboard_tests::program::root;
use std::io::{Write, stderr};
use std::sync::Arc;
use tokio::sync::Mutex;

/// As many as two cores play without one being late for another.
const BESIDE: usize = 4;

#[tokio::test(flavor = "multi_thread", worker_threads = 8)]
async fn every_sdk_passes_every_scenario_on_sqlite() {
    all_pass(Store::Sqlite).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 8)]
async fn every_sdk_passes_every_scenario_on_postgres() {
    all_pass(Store::Postgres).await;
}

async fn all_pass(store: Store) {
    // One table after the other: beside each other they would be late.
    static TURN: Mutex<()> = Mutex::const_new(());
    let _turn = TURN.lock().await;
    let mut scenarios = scenario::read_all(&root().join("tests/conformance/scenarios")).unwrap();
    scenarios.retain(|scenario| scenario.is_for(store));
    assert!(scenarios.len() >= 40, "there are {} scenarios only", scenarios.len());
    let sdks = [Sdk::Rust, Sdk::Python, Sdk::Typescript, Sdk::Go];
    let stage = Arc::new(Stage::new(store, None));
    let rows = run::all(stage, &scenarios, &sdks, BESIDE, |row| tell_failure(store, row)).await;
    println!("{}", report::summary(&sdks, &rows));
    let failed: Vec<&Row> = rows.iter().filter(|row| row.verdict != Verdict::Passed).collect();
    // Logs are cut at their ends: which they are comes first, and all that is known of them behind it.
    let lines: Vec<String> = failed.iter().map(|row| row.in_a_line()).collect();
    let stories: Vec<String> = failed.iter().map(|row| row.to_string()).collect();
    assert!(failed.is_empty(), "on {store}:\n{}\n\n{}", lines.join("\n"), stories.join("\n\n"));
    assert_eq!(rows.len(), scenarios.len() * sdks.len());
}

/// Past what a test's output is kept in, and at once: a log that ends too early has it, too.
fn tell_failure(store: Store, row: &Row) {
    if row.verdict != Verdict::Passed {
        let _ = writeln!(stderr(), "on {store}: {}", row.in_a_line());
    }
}
