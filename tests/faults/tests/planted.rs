//! The checker is tested itself: with a guard of the server taken out, the battery must end violated, by a rule that says what is
//! wrong.

// Helpers of tests stand outside of tests.
#![allow(clippy::unwrap_used)]

use callboard_faults::fault::{Plan, Store};
use callboard_faults::faults;
use callboard_faults::report::Outcome;
use callboard_faults::run::{self, Ended};
use callboard_tests::load::chance::Seed;
use tokio::sync::Mutex;

/// Each has the machine to itself: see `short.rs`.
static ONE_AT_A_TIME: Mutex<()> = Mutex::const_new(());
const ROUNDS: u32 = 4;

async fn with_planted(bugs: &str, store: Store, in_vain: bool) -> Ended {
    let _one = ONE_AT_A_TIME.lock().await;
    let fault = faults::find("kill-server").unwrap();
    let seed = Seed::choose();
    let plan = Plan { seed: seed.0, store, rounds: ROUNDS, short: true, planted: bugs.to_owned(), in_vain };
    run::run(fault, &plan).await
}

/// Whether the run ended violated, and one of the rules told of it.
async fn is_caught(bug: &str, store: Store, rules: &[&str]) {
    let ended = with_planted(bug, store, true).await;
    let broken = &ended.facts.broken;
    assert_eq!(ended.outcome, Outcome::Violated, "{bug} was not caught");
    let told = broken.iter().any(|what| rules.iter().any(|rule| what.starts_with(rule)));
    assert!(told, "{bug} was caught by none of {rules:?}: {broken:#?}");
    println!("{bug}: {} broken: {}", broken.len(), ended.note);
}

#[tokio::test(flavor = "multi_thread")]
async fn reports_that_are_not_compared_with_the_attempt_are_caught() {
    is_caught("skip-attempt-check", Store::Sqlite, &["LiesRefused", "TrueResult"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_before_the_commit_are_caught() {
    is_caught("answer-before-commit", Store::Sqlite, &["NothingLost", "ReceiptHolds"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn dependents_that_are_forgotten_are_caught() {
    is_caught("forget-dependents", Store::Sqlite, &["EveryTaskEnds"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_for_all_attempts_is_caught() {
    is_caught("reuse-lease-token", Store::Sqlite, &["TokensDiffer"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn attempts_that_are_not_counted_for_limits_are_caught() {
    is_caught("skip-limit-count", Store::Sqlite, &["LimitsHold"]).await;
}

/// The streams of agents that lived end, and so do their sessions.
#[tokio::test(flavor = "multi_thread")]
async fn adopted_sessions_of_live_replicas_are_caught() {
    is_caught("adopt-live-session", Store::Postgres, &["NoSurprise", "an attempt was taken"]).await;
}

/// Hints are never needed: what none tells is found by looking. That nobody hears any is caught by their count, and by nothing else.
#[tokio::test(flavor = "multi_thread")]
async fn hints_that_are_never_sent_are_caught_and_harm_no_promise() {
    let ended = with_planted("drop-every-notify", Store::Postgres, false).await;
    assert_eq!(ended.outcome, Outcome::Violated, "drop-every-notify was not caught");
    assert_eq!(ended.facts.broken, ["no server heard of another's commits"], "{}", ended.note);
}
