//! The suite itself: every scenario with the SDKs whose drivers are there, on a file.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use callboard_conformance::report::{self, Verdict};
use callboard_conformance::run;
use callboard_conformance::scenario;
use callboard_conformance::sdk::Sdk;
use callboard_conformance::stage::{Stage, Store};
use callboard_tests::program::root;
use std::sync::Arc;

/// As many as two cores play without one being late for another.
const BESIDE: usize = 4;

#[tokio::test(flavor = "multi_thread")]
async fn every_sdk_passes_every_scenario() {
    let scenarios = scenario::read_all(&root().join("tests/conformance/scenarios")).unwrap();
    assert!(scenarios.len() >= 40, "there are {} scenarios only", scenarios.len());
    let sdks = [Sdk::Rust, Sdk::Python];
    let stage = Arc::new(Stage::new(Store::Sqlite, None));
    let rows = run::all(stage, &scenarios, &sdks, BESIDE).await;
    let names: Vec<String> = scenarios.into_iter().map(|scenario| scenario.name).collect();
    println!("{}\n{}", report::table(&names, &sdks, &rows), report::summary(&sdks, &rows));
    assert_eq!(rows.len(), names.len() * sdks.len());
    let failed: Vec<_> = rows.iter().filter(|row| row.verdict != Verdict::Passed).collect();
    assert!(failed.is_empty(), "{failed:#?}");
}
