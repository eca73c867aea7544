//! The protocol holds, in every state that the model can reach: two replicas on one store, three agents.
//!
//! `CALLBOARD_LONG=1` goes further: two faults in a run, with two agents. It takes minutes.

#![allow(clippy::panic, reason = "a test fails by a panic")]

use callboard_model::graph;
use callboard_model::model::{Protocol, Size};
use stateright::{Checker, Model};

const THREE_AGENTS: Size = Size { replicas: 2, agents: 3, tasks: 1, max_attempts: 2, faults: 1, cancels: 1 };
const TWO_TASKS: Size = Size { replicas: 2, agents: 2, tasks: 2, max_attempts: 2, faults: 1, cancels: 0 };
const TWO_FAULTS: Size = Size { replicas: 2, agents: 2, tasks: 1, max_attempts: 2, faults: 2, cancels: 0 };

fn holds(size: Size) {
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let checker = Protocol::new(size.clone()).checker().threads(threads).spawn_bfs().join();
    println!("{size:?}: {} states, {} steps", checker.unique_state_count(), checker.state_count());
    checker.assert_properties();
}

fn ends(size: Size) {
    let graph = graph::explore(&Protocol::new(size.clone())).unwrap_or_else(|fault| panic!("{fault}"));
    let graph::Graph { states, last, deepest } = graph;
    println!("{size:?}: {states} states, {last} of them the last of a run, a run of {deepest} steps");
    assert!(last > 0);
}

fn long() -> bool {
    std::env::var("CALLBOARD_LONG").is_ok_and(|long| long == "1")
}

#[test]
fn everything_holds_with_two_replicas_and_three_agents() {
    holds(THREE_AGENTS);
}

#[test]
fn every_run_ends_and_so_does_every_task() {
    ends(THREE_AGENTS);
}

#[test]
fn two_tasks_end_beside_each_other() {
    ends(TWO_TASKS);
}

#[test]
fn two_faults_are_no_worse_than_one() {
    if long() {
        holds(TWO_FAULTS);
        ends(TWO_FAULTS);
    }
}
