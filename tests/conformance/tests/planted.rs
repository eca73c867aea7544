//! The suite is tested itself: with a defect in its SDK, a driver must fail the scenario that is about it, and the table is red.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use callboard_conformance::report::{self, Row, Verdict};
use callboard_conformance::run;
use callboard_conformance::scenario::{self, Scenario};
use callboard_conformance::sdk::Sdk;
use callboard_conformance::stage::{Stage, Store};
use callboard_tests::program::root;
use std::sync::Arc;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

/// So many of an SDK's defects at a time: what they wait for, they mostly wait for in vain.
const BESIDE: usize = 3;

/// Each defect, and a scenario that is red with it.
const NOTICED: [(&str, &str); 10] = [
    ("heartbeat-on-handlers-thread", "burning-handler-keeps-its-lease"),
    ("silent-while-draining", "heartbeats-go-on-while-draining"),
    ("receipt-ignored", "checkpoint-waits-for-its-receipt"),
    ("report-forgotten", "checkpoint-waits-for-its-receipt"),
    ("cancellation-ignored", "cancel-a-waiting-handler"),
    ("assignment-run-twice", "repeated-assignment-runs-once"),
    ("no-reattach", "reattach-behind-a-cut"),
    ("child-key-per-attempt", "rerun-parent-finds-its-children"),
    ("slot-held-while-waiting", "slot-is-free-while-a-handler-waits"),
    ("runs-not-asked-again", "runs-behind-a-cut"),
];

async fn are_noticed(sdk: Sdk, defects: &'static [(&str, &str)]) {
    let all = scenario::read_all(&root().join("tests/conformance/scenarios")).unwrap();
    let places = Arc::new(Semaphore::new(BESIDE));
    let mut noticing = JoinSet::new();
    for &(defect, scenario) in defects {
        let about = all.iter().find(|known| known.name == scenario).unwrap().clone();
        let places = places.clone();
        noticing.spawn(async move {
            let _place = places.acquire_owned().await;
            is_noticed(sdk, defect, about).await;
        });
    }
    while let Some(noticed) = noticing.join_next().await {
        noticed.unwrap();
    }
}

async fn is_noticed(sdk: Sdk, defect: &'static str, about: Scenario) {
    let stage = Arc::new(Stage::new(Store::Sqlite, Some(defect.to_owned())));
    let name = about.name.clone();
    let rows = run::all(stage, &[about], &[sdk], 1, Row::tell).await;
    let table = report::table(&[name], &[sdk], &rows);
    assert!(table.contains("FAILED"), "{defect} in the SDK of {sdk} was not noticed:\n{table}");
    // By its verdict: a driver that can't plant the defect would be red, too.
    let Verdict::Failed(fault) = &rows[0].verdict else { panic!("{table}") };
    assert!(fault.starts_with("step "), "{defect}: {fault}");
    assert!(!fault.contains("the driver's fault") && !fault.contains("was not ready"), "{defect}: {fault}");
}

#[tokio::test(flavor = "multi_thread")]
async fn defects_in_the_rust_sdk_are_noticed() {
    are_noticed(Sdk::Rust, &NOTICED).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn defects_in_the_python_sdk_are_noticed() {
    are_noticed(Sdk::Python, &NOTICED).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn defects_in_the_typescript_sdk_are_noticed() {
    are_noticed(Sdk::Typescript, &NOTICED).await;
}

/// Go has no thread that handlers could keep from the heartbeats: the first can't be planted.
#[tokio::test(flavor = "multi_thread")]
async fn defects_in_the_go_sdk_are_noticed() {
    are_noticed(Sdk::Go, &NOTICED[1..]).await;
}
