//! The short form of the battery: a few rounds of every fault, one fault after the other.
//!
//! `CALLBOARD_SEED` chooses the seed; `CALLBOARD_LONG=1` makes ten times as many rounds.

// Helpers of tests stand outside of tests.
#![allow(clippy::unwrap_used, clippy::panic)]

use callboard_faults::fault::{Plan, Store};
use callboard_faults::faults::{self, PowerCut};
use callboard_faults::namespace::{Namespace, Unavailable};
use callboard_faults::report::Outcome;
use callboard_faults::run;
use callboard_tests::load::chance::{Seed, is_long};
use std::io::{Write, stderr, stdout};
use tokio::sync::Mutex;
use tokio::time::Instant;

/// Faults have the machine to themselves: two at once are a third one.
static ONE_AT_A_TIME: Mutex<()> = Mutex::const_new(());
/// How much of what is said of a broken promise goes past the harness of tests, in characters.
const NOTE: usize = 2_000;
/// How often a fault may be tried that does not meet anybody.
const TRIES: u32 = 3;

async fn kept(name: &str, store: Store) {
    let _one = ONE_AT_A_TIME.lock().await;
    let fault = faults::find(name).unwrap();
    let rounds = fault.short_rounds() * if is_long() { 10 } else { 1 };
    let (mut tries, began) = (1, Instant::now());
    let (seed, ended) = loop {
        let seed = Seed::choose();
        let plan = Plan { seed: seed.0, store, rounds, short: true, planted: String::new(), in_vain: false };
        let ended = run::run(fault, &plan).await;
        // A run in which the fault met nobody says nothing, neither good nor bad.
        if ended.outcome != Outcome::Void || tries == TRIES {
            break (seed, ended);
        }
        tries += 1;
    };
    // Past what a test's output is kept in: how long each takes stands in the log of a run that is green, too.
    let _ = writeln!(stderr(), "{name} on {store}: {:.1} s, tried {tries} times", began.elapsed().as_secs_f64());
    let facts = ended.facts;
    if ended.outcome != Outcome::Kept {
        let note: String = format!("{}\n{}", ended.note, facts.broken.join("\n")).chars().take(NOTE).collect();
        let _ = writeln!(stderr(), "FAILED {name} on {store}, seed {}: {}: {note}", seed.0, ended.outcome);
        panic!("{}: {}\n{}\n{}", ended.outcome, ended.note, facts.broken.join("\n"), facts.story);
    }
    println!("seed {}: {rounds} rounds, {} operations, {:?}", seed.0, facts.operations, facts.seen);
}

#[tokio::test(flavor = "multi_thread")]
async fn kill_server_on_sqlite() {
    kept("kill-server", Store::Sqlite).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn kill_server_on_postgres() {
    kept("kill-server", Store::Postgres).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn kill_agents_on_sqlite() {
    kept("kill-agents", Store::Sqlite).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn kill_agents_on_postgres() {
    kept("kill-agents", Store::Postgres).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn kill_postgres() {
    kept("kill-postgres", Store::Postgres).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn restart_postgres() {
    kept("restart-postgres", Store::Postgres).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn promote_standby() {
    kept("promote-standby", Store::Postgres).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn pause_on_sqlite() {
    kept("pause", Store::Sqlite).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn pause_on_postgres() {
    kept("pause", Store::Postgres).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn rolling_restart() {
    kept("rolling-restart", Store::Postgres).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn reconnect_on_sqlite() {
    kept("reconnect-10000", Store::Sqlite).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn reconnect_on_postgres() {
    kept("reconnect-10000", Store::Postgres).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn stalled_watchers_on_sqlite() {
    kept("stalled-watchers", Store::Sqlite).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn stalled_watchers_on_postgres() {
    kept("stalled-watchers", Store::Postgres).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn simulation_in_memory() {
    kept("simulation", Store::Memory).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn power_cut_on_sqlite() {
    kept("power-cut", Store::Sqlite).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn power_cut_on_postgres() {
    kept("power-cut", Store::Postgres).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn partition_on_sqlite() {
    kept("partition", Store::Sqlite).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn partition_on_postgres() {
    kept("partition", Store::Postgres).await;
}

/// Where a system lets us have no network namespace (a container without rights, say), what needs one is not run, and says so.
fn has_namespaces(needs_one: &str) -> bool {
    match Namespace::make() {
        Ok(_) => true,
        Err(Unavailable::Missing(what)) => panic!("{what}"),
        Err(Unavailable::Refused(why)) => {
            // Past what a test's output is kept in.
            let _ = writeln!(stdout(), "NOT RUN: {needs_one}. This system lets us have no network namespace: {why}");
            false
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn link_loss_on_sqlite() {
    if has_namespaces("link_loss_on_sqlite") {
        kept("link-loss", Store::Sqlite).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn link_loss_on_postgres() {
    if has_namespaces("link_loss_on_postgres") {
        kept("link-loss", Store::Postgres).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn clock_jump_on_sqlite() {
    kept("clock-jump", Store::Sqlite).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn clock_jump_on_postgres() {
    kept("clock-jump", Store::Postgres).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn disk_full_on_sqlite() {
    kept("disk-full", Store::Sqlite).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn disk_full_on_postgres() {
    kept("disk-full", Store::Postgres).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn io_error_on_sqlite() {
    kept("io-error", Store::Sqlite).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn io_error_on_postgres() {
    kept("io-error", Store::Postgres).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn slow_fsync_on_sqlite() {
    kept("slow-fsync", Store::Sqlite).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn slow_fsync_on_postgres() {
    kept("slow-fsync", Store::Postgres).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn late_commit_on_sqlite() {
    kept("late-commit", Store::Sqlite).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn late_commit_on_postgres() {
    kept("late-commit", Store::Postgres).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn flipped_bytes_on_sqlite() {
    kept("flipped-bytes", Store::Sqlite).await;
}

/// The harness itself is tested: a disk that lies about fsync breaks promises, and the checker sees it.
#[tokio::test(flavor = "multi_thread")]
async fn a_power_cut_of_a_disk_that_lies_is_seen() {
    let _one = ONE_AT_A_TIME.lock().await;
    static LYING: PowerCut = PowerCut { lying_disk: true };
    let seed = Seed::choose().0;
    let plan = Plan { seed, store: Store::Sqlite, rounds: 4, short: true, planted: String::new(), in_vain: true };
    let ended = run::run(&LYING, &plan).await;
    assert_eq!(ended.outcome, Outcome::Violated, "{:?}", ended.facts);
}

#[test]
fn every_fault_has_its_short_form() {
    let us = include_str!("short.rs");
    for fault in faults::ALL {
        for goal in fault.goals() {
            let call = format!("kept(\"{}\", Store::{:?})", fault.name(), goal.store);
            assert!(us.contains(&call), "no test here says {call}");
        }
    }
}
