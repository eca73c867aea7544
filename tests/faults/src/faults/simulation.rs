//! Whole systems in one thread, on a network and with clocks that a seed makes up (`tests/simulation`): a round is a seed, with faults of
//! its own choice. Each runs in a process of its own.

use crate::fault::{Fault, Goal, Plan};
use crate::programs;
use crate::report::Report;
use async_trait::async_trait;
use callboard_simulation::report::{Outcome, Report as Seed};
use std::collections::BTreeMap;
use std::process::Stdio;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::Command;

/// As a test it is always these, beginning here: what fails there fails for everybody.
const FIRST_OF_TEST: u64 = 1;
/// A seed that plans faults which nothing ran into is no round; another is run in its place, up to so many for each.
const TRIES: u64 = 2;

/// What the ledger calls such a seed.
const VOID: &str = "seeds that do not count";

/// The fault.
pub struct Simulation;

#[async_trait]
impl Fault for Simulation {
    fn name(&self) -> &'static str {
        "simulation"
    }

    fn what(&self) -> &'static str {
        "deterministic simulation: dropped, delayed and held messages, partitions, crashes, power cuts, drains, a store that is cut off or \
         answers late, clocks that jump; 1 to 3 replicas"
    }

    fn goals(&self) -> &'static [Goal] {
        const { &[Goal::memory(10_000)] }
    }

    fn short_rounds(&self) -> u32 {
        200
    }

    fn part(&self) -> u32 {
        500
    }

    fn seeds_of(&self, rounds: u32, seen: &BTreeMap<String, u64>) -> u64 {
        u64::from(rounds) + seen.get(VOID).copied().unwrap_or_default()
    }

    async fn run(&self, plan: &Plan, report: &Report) {
        let mut next = if plan.short { FIRST_OF_TEST } else { plan.seed };
        let mut left = u64::from(plan.rounds);
        let mut tries = left * TRIES;
        while left > 0 && tries > 0 {
            let counted = seeds(plan, next, left.min(tries), report).await;
            next = next.wrapping_add(left);
            tries = tries.saturating_sub(left);
            left -= counted;
        }
    }
}

/// Runs so many seeds; gives how many counted.
async fn seeds(plan: &Plan, first: u64, count: u64, report: &Report) -> u64 {
    let jobs = std::thread::available_parallelism().map_or(1, usize::from);
    let mut command = Command::new(programs::beside("callboard-simulation"));
    command.env_clear().args([
        "--seed",
        &first.to_string(),
        "--seeds",
        &count.to_string(),
        "--jobs",
        &jobs.to_string(),
    ]);
    command.args(["--apart"]).stdout(Stdio::piped()).kill_on_drop(true);
    if !plan.planted.is_empty() {
        command.args(["--plant", &plan.planted]);
    }
    let mut running = command.spawn().expect("the simulation starts");
    let said = running.stdout.take().expect("its output is taken");
    let mut lines = BufReader::new(said).lines();
    let (mut heard, mut counted) = (0, 0);
    while let Some(line) = lines.next_line().await.expect("its output can be read") {
        let seed: Seed = serde_json::from_str(&line).unwrap_or_else(|error| panic!("{line:?} is no report: {error}"));
        heard += 1;
        counted += u64::from(take(seed, report));
    }
    let ended = running.wait().await.expect("it ends");
    report.demand(heard == count, || format!("{heard} of {count} seeds gave a report: {ended}"));
    counted
}

/// Whether the seed counts.
fn take(seed: Seed, report: &Report) -> bool {
    match seed.outcome {
        Outcome::Void => {
            report.saw(VOID, 1);
            return false;
        }
        Outcome::Violated => {
            let Seed { seed, note, .. } = &seed;
            report
                .broken(format!("seed {seed} (again: cargo xtask chaos simulation --rounds 1 --seed {seed}): {note}"));
        }
        Outcome::Kept => {}
    }
    report.fired("seeds");
    report.operations(seed.operations);
    seed.seen.iter().for_each(|(what, times)| report.saw(what, *times));
    true
}
