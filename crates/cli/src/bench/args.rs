//! What `callboard bench` and its hidden companion can be told, and what follows from it.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args as ClapArgs, ValueEnum};

use crate::values;

/// What `callboard bench --help` says at its end.
const ABOUT: &str = "\
Everything goes through the Rust SDK; server, client (this process) and agents are processes of their own, and every commit is
as durable as the server's defaults make it. After each part the history of every task is verified: created once, assigned,
started and completed once, without gaps. A history that is wrong is an error, and the exit code is 1.

Without --address a server is started for each part, with its defaults, on a temporary database that is removed afterwards.
With --address (on the command line; the environment doesn't count here) that server is measured, in a namespace of its own
that stays behind. BENCHMARKS.md says what each figure means.";

/// Measure throughput, latency and memory.
#[derive(ClapArgs, Debug, Clone)]
#[command(after_long_help = ABOUT)]
pub struct Args {
    /// What is measured, and how long.
    #[command(flatten)]
    pub measure: MeasureArgs,
    /// Server and agents.
    #[command(flatten)]
    pub setup: SetupArgs,
}

/// What is measured, and how long.
#[derive(ClapArgs, Debug, Clone)]
pub struct MeasureArgs {
    /// Only these parts, separated by commas.
    #[arg(long, value_name = "PARTS", value_delimiter = ',')]
    pub only: Vec<Part>,
    /// Small counts: to see that it works, not how fast.
    #[arg(long)]
    pub quick: bool,
    /// How long each throughput part is measured. [default: 10s]
    #[arg(long = "for", value_name = "DURATION", value_parser = values::duration)]
    pub window: Option<Duration>,
    /// How long each throughput part runs before it is measured. [default: 2s]
    #[arg(long, value_name = "DURATION", value_parser = values::duration)]
    pub warm_up: Option<Duration>,
    /// How many tasks `idle` and `dispatch` submit, one at a time. [default: 2000]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub latency_tasks: Option<u64>,
    /// How `batch` learns of its results.
    #[arg(long, value_name = "WAY", default_value = "watch")]
    pub batch_results: BatchResults,
}

/// Server and agents.
#[derive(ClapArgs, Debug, Clone)]
pub struct SetupArgs {
    /// Where the temporary databases are made: a folder on the disk to be measured. [default: the system's]
    #[arg(long, value_name = "DIR")]
    pub data: Option<PathBuf>,
    /// How many agents do the tasks, each a process of its own.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=64))]
    pub agents: u32,
    /// How many tasks each agent takes at once.
    #[arg(long, value_name = "N", default_value_t = 1_000, value_parser = clap::value_parser!(i32).range(1..=1_000))]
    pub slots: i32,
    /// Given to the `callboard serve` that is started: `--serve-arg=--batch=256`. Can be repeated.
    #[arg(long, value_name = "ARG", allow_hyphen_values = true)]
    pub serve_arg: Vec<String>,
    /// The process of the server at --address, when it is on this machine: for its memory and processor time.
    #[arg(long, value_name = "PID")]
    pub server_pid: Option<u32>,
}

/// A part of the measurement.
#[derive(ValueEnum, Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[value(rename_all = "snake_case")]
pub enum Part {
    /// Submit and wait, 64 in flight.
    #[value(name = "unary_64")]
    Unary64,
    /// Submit and wait, 512 in flight.
    #[value(name = "unary_512")]
    Unary512,
    /// Requests of 64 tasks, four in flight.
    Batch,
    /// Submit to result known, one at a time.
    Idle,
    /// Submit to handler begun, one at a time.
    Dispatch,
}

impl Part {
    /// All, in their order.
    pub const ALL: [Self; 5] = [Self::Unary64, Self::Unary512, Self::Batch, Self::Idle, Self::Dispatch];

    /// Its key in the JSON.
    pub fn key(self) -> &'static str {
        match self {
            Self::Unary64 => "unary_64",
            Self::Unary512 => "unary_512",
            Self::Batch => "batch",
            Self::Idle => "idle",
            Self::Dispatch => "dispatch",
        }
    }
}

/// How the submitter of batches learns of the results.
#[derive(ValueEnum, Debug, Clone, Copy, PartialEq, Eq)]
pub enum BatchResults {
    /// By watching the namespace's events.
    Watch,
    /// By a `WaitTask` for each task.
    Wait,
}

/// An agent that does the tasks of `bench`; started by it.
#[derive(ClapArgs, Debug, Clone)]
pub struct AgentArgs {
    /// Its name.
    #[arg(long)]
    pub name: String,
    /// How many tasks it takes at once.
    #[arg(long)]
    pub slots: i32,
}

/// How much is measured: what was said, or what fits.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Amounts {
    /// Before a throughput part is measured.
    pub warm_up: Duration,
    /// For which a throughput part is measured.
    pub window: Duration,
    /// Tasks that are submitted one at a time.
    pub latency_tasks: u64,
}

impl MeasureArgs {
    /// The parts, in their order, each once.
    pub fn parts(&self) -> Vec<Part> {
        Part::ALL.into_iter().filter(|part| self.only.is_empty() || self.only.contains(part)).collect()
    }

    /// How much is measured.
    pub fn amounts(&self) -> Amounts {
        let quick = self.quick;
        let time = |normal, quickly| Duration::from_millis(if quick { quickly } else { normal });
        let count = |normal, quickly| if quick { quickly } else { normal };
        Amounts {
            warm_up: self.warm_up.unwrap_or(time(2_000, 200)),
            window: self.window.unwrap_or(time(10_000, 500)),
            latency_tasks: self.latency_tasks.unwrap_or(count(2_000, 50)),
        }
    }
}
