//! The same seed does the same, and what is broken is found. (That two hundred seeds keep every promise is a test of `tests/faults`.)

// Helpers of tests stand outside of tests.
#![allow(clippy::unwrap_used, clippy::panic)]

use callboard_simulation::report::{Outcome, Report};
use std::path::Path;
use std::process::Command;

/// With so many a planted bug is found.
const A_FEW: u64 = 20;

/// Runs a seed in a process of its own.
fn run(seed: u64, more: &[&str]) -> Report {
    let mut command = Command::new(env!("CARGO_BIN_EXE_callboard-simulation"));
    let output = command.env_clear().args(["--seed", &seed.to_string()]).args(more).output().unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    serde_json::from_str(&said).unwrap_or_else(|error| panic!("seed {seed} gave no report: {error}\n{said}"))
}

fn run_to(seed: u64, trace: &Path) -> Report {
    run(seed, &["--trace", trace.to_str().unwrap()])
}

#[test]
fn the_same_seed_does_the_same_to_the_byte_and_another_does_not() {
    let folder = tempfile::tempdir().unwrap();
    let [first, again, other] = ["first", "again", "other"].map(|name| folder.path().join(name));
    for seed in [3, 4] {
        let reports = [run_to(seed, &first), run_to(seed, &again)];
        assert_eq!(reports[0], reports[1]);
        let lines = std::fs::read_to_string(&first).unwrap();
        assert!(lines == std::fs::read_to_string(&again).unwrap(), "seed {seed}: the traces differ");
        // Messages of the network, commands as the log tells of them, events as they were committed, faults.
        for part in ["network: Send", "log: task created", "server-0: [ChangeSet", "fault:", "history: History"] {
            assert!(lines.contains(part), "seed {seed}: no {part:?} in its trace");
        }
        assert_ne!(run_to(seed + 100, &other).trace, reports[0].trace);
        assert_eq!(run(seed, &[]).outcome, reports[0].outcome, "also without its lines");
    }
}

/// Worlds in which something was left behind for ever, or a surprise was none; RELIABILITY.md tells of each.
const ONCE_RED: [u64; 9] = [12_723, 12_777, 13_209, 14_337, 14_464, 14_865, 16_044, 17_850, 20_232];

#[test]
fn worlds_that_were_red_are_kept() {
    for seed in ONCE_RED {
        let report = run(seed, &[]);
        assert_ne!(report.outcome, Outcome::Violated, "{seed}: {}", report.note);
    }
}

#[track_caller]
fn is_found(bug: &str) {
    let found = (1..=A_FEW).find(|seed| run(*seed, &["--plant", bug]).outcome == Outcome::Violated);
    println!("{bug}: found by seed {:?}", found.unwrap_or_else(|| panic!("{bug} was not found with {A_FEW} seeds")));
}

#[test]
fn a_report_that_is_not_compared_with_the_attempt_is_found() {
    is_found("skip-attempt-check");
}

#[test]
fn an_answer_before_the_commit_is_found() {
    is_found("answer-before-commit");
}

#[test]
fn dependents_that_are_forgotten_are_found() {
    is_found("forget-dependents");
}

#[test]
fn attempts_that_are_not_counted_for_limits_are_found() {
    is_found("skip-limit-count");
}
