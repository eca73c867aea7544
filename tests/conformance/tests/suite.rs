//! The suite itself: every scenario with every SDK, on both stores.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use callboard_conformance::report::{self, Verdict};
use callboard_conformance::run;
use callboard_conformance::scenario;
use callboard_conformance::sdk::Sdk;
use callboard_conformance::stage::{Stage, Store};
use callboard_tests::program::root;
use std::sync::Arc;
use tokio::sync::Mutex;

/// As many as two cores play without one being late for another.
const BESIDE: usize = 4;

#[tokio::test(flavor = "multi_thread")]
async fn every_sdk_passes_every_scenario_on_sqlite() {
    all_pass(Store::Sqlite).await;
}

#[tokio::test(flavor = "multi_thread")]
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
    let rows = run::all(stage, &scenarios, &sdks, BESIDE).await;
    let names: Vec<String> = scenarios.into_iter().map(|scenario| scenario.name).collect();
    println!("{}\n{}", report::table(&names, &sdks, &rows), report::summary(&sdks, &rows));
    assert_eq!(rows.len(), names.len() * sdks.len());
    let failed: Vec<_> = rows.iter().filter(|row| row.verdict != Verdict::Passed).collect();
    assert!(failed.is_empty(), "{failed:#?}");
}
