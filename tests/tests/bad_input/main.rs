//! Bad input: every RPC answers nonsense with a clear refusal, and nothing is lost or half done.
//!
//! The tables are data: call, request in protobuf's text format, what the refusal must be and name. An RPC of the descriptors
//! that has no row fails a test. What can be written in requests beyond that format stands at [`case::expand`].

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod admin;
mod agents;
mod attach;
mod case;
mod children;
mod claims;
mod malformed;
mod messages;
mod namespaces;
mod sizes;
mod stage;
mod steering;
mod submitting;
mod tasks;
mod workflows;

use callboard_tests::descriptors;
use case::Case;
use std::collections::BTreeSet;

/// Every row of every table of single calls.
fn tables() -> impl Iterator<Item = &'static Case> {
    let tables = [
        submitting::CASES,
        tasks::CASES,
        steering::CASES,
        claims::CASES,
        children::CASES,
        agents::CASES,
        namespaces::CASES,
        messages::CASES,
        workflows::CASES,
        admin::CASES,
    ];
    tables.into_iter().flatten()
}

#[test]
fn every_rpc_has_its_cases() {
    let covered: BTreeSet<&str> = tables().map(|case| case.rpc).chain([attach::RPC]).collect();
    // What has no field can only be malformed; that is tried with every method.
    let methods: Vec<_> =
        descriptors::methods().into_iter().filter(|method| method.input().fields().len() > 0).collect();
    let missing: Vec<_> = methods.iter().map(|method| method.name()).filter(|name| !covered.contains(name)).collect();
    assert!(missing.is_empty(), "no case of bad input for {missing:?}: add rows to a table in tests/tests/bad_input");
}

#[tokio::test]
async fn every_call_refuses_nonsense_and_changes_nothing() {
    let stage = stage::Stage::set().await;
    let mut failures = Vec::new();
    let (first, mut before) = (stage.snapshot().await, stage.glance().await);
    for case in tables().filter(|case| stage.serves(case.rpc)) {
        let verdict = case.run(&stage).await;
        let after = stage.glance().await;
        failures.extend(verdict.err().map(|fault| format!("{case}\n    {fault}")));
        failures.extend(before.changed(&after).map(|change| format!("{case}\n    changed {change}")));
        before = after;
    }
    failures.extend(first.changed(&stage.snapshot().await).map(|change| format!("in the end: changed {change}")));
    stage.still_works().await;
    assert!(failures.is_empty(), "{} faults:\n{}", failures.len(), failures.join("\n"));
}
