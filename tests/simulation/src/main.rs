//! Runs seeds, each in a process of its own, and says what came of them: a line of JSON each.
//!
//! In the process of a seed the operating system's answers to "what time is it" and "give me chance" are made up (by mad-turmoil, which
//! is linked into this binary alone), so that hash maps, ids, jitter and `select!` of all crates do the same for the same seed.

// A harness that can't do its part fails at the line that asked.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use callboard_core::planted::Bug;
use callboard_simulation::report::{Outcome, Report};
use callboard_simulation::{Options, run};
use clap::Parser;
use mad_turmoil::time::SimClocksGuard;
use rand_for_mad_turmoil::SeedableRng;
use rand_for_mad_turmoil::rngs::StdRng;
use std::fs::File;
use std::path::PathBuf;
use std::process::{Command, ExitCode, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};

/// What is to be run.
#[derive(Debug, Parser)]
struct Args {
    /// The first seed.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// How many seeds. One is run in this very process.
    #[arg(long, default_value_t = 1)]
    seeds: u64,
    /// Also one seed in a process of its own, without this one's environment.
    #[arg(long)]
    apart: bool,
    /// How many at the same time.
    #[arg(long, default_value_t = 2)]
    jobs: u64,
    /// A guard to take out, to see that it is missed.
    #[arg(long)]
    plant: Option<Bug>,
    /// A file for everything that happens. With one seed.
    #[arg(long)]
    trace: Option<PathBuf>,
}

fn main() -> ExitCode {
    let args = Args::parse();
    let all_kept = if args.seeds == 1 && !args.apart { one(&args) } else { many(&args) };
    if all_kept { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn one(args: &Args) -> bool {
    let trace = args.trace.as_ref().map(|path| File::create(path).expect("the trace's file can be written"));
    mad_turmoil::rand::set_rng(StdRng::seed_from_u64(args.seed));
    let clocks = SimClocksGuard::init();
    let report = run(args.seed, Options { planted: args.plant, trace });
    drop(clocks);
    println!("{}", serde_json::to_string(&report).expect("a report can be written"));
    report.outcome != Outcome::Violated
}

/// A process for each, so that each begins with the same statics.
fn many(args: &Args) -> bool {
    let next = AtomicU64::new(args.seed);
    let end = args.seed.saturating_add(args.seeds);
    let violated = AtomicU64::new(0);
    std::thread::scope(|scope| {
        for _ in 0..args.jobs {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= end {
                        return;
                    }
                    if !apart(args, seed) {
                        violated.fetch_add(1, Ordering::Relaxed);
                    }
                }
            });
        }
    });
    violated.load(Ordering::Relaxed) == 0
}

/// One seed in a process of its own, with nothing of this one's environment.
fn apart(args: &Args, seed: u64) -> bool {
    let mut command = Command::new(std::env::current_exe().expect("this binary"));
    command.env_clear().args(["--seed", &seed.to_string()]).stderr(Stdio::inherit());
    if let Some(bug) = args.plant {
        command.args(["--plant", bug.name()]);
    }
    let output = command.output().expect("a seed's process can be started");
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    print!("{said}");
    match serde_json::from_str::<Report>(&said) {
        Ok(report) if report.outcome != Outcome::Violated => true,
        Ok(report) => {
            eprintln!(
                "seed {seed}: {}\nagain: cargo run -p callboard-simulation -- --apart --seed {seed}",
                report.note
            );
            false
        }
        Err(_) => {
            eprintln!("seed {seed}: it gave no report: {}", output.status);
            false
        }
    }
}
