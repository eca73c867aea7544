//! What `callboard bench` and its hidden companion can be told, and what follows from it.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args as ClapArgs, Subcommand, ValueEnum};

use crate::values;

/// What `callboard bench --help` says at its end.
const ABOUT: &str = "\
Everything goes through the Rust SDK; server, client (this process) and agents are processes of their own, and every commit is
as durable as the server's defaults make it. After each part the history of every task is verified: created once, assigned,
started and completed once, without gaps. A history that is wrong is an error, and the exit code is 1.

Without --address a server is started for each part, with its defaults, on a temporary database that is removed afterwards.
With --address (on the command line; the environment doesn't count here) that server is measured, in a namespace of its own
that stays behind. --token-file, --ca, --client-cert, --client-key and --allow-plaintext, or their variables, hold for the client
and for the agents; an identity needs the role admin and all namespaces, since the namespace is new. BENCHMARKS.md says what each figure means.";

/// Measure throughput, latency and memory.
#[derive(ClapArgs, Debug, Clone)]
#[command(after_long_help = ABOUT, args_conflicts_with_subcommands = true)]
pub struct Args {
    /// Something else than the figures.
    #[command(subcommand)]
    pub what: Option<What>,
    /// What is measured, and how long.
    #[command(flatten)]
    pub measure: MeasureArgs,
    /// Server and agents.
    #[command(flatten)]
    pub setup: SetupArgs,
}

/// Something else than the figures.
#[derive(Subcommand, Debug, Clone)]
pub enum What {
    /// Constant mixed load for a long time, sampled as it goes: does anything grow?
    Soak(SoakArgs),
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
    /// Ten million finished tasks for `growth`, instead of one million.
    #[arg(long, conflicts_with_all = ["quick", "finished_tasks"])]
    pub long: bool,
    /// How long each throughput part is measured. [default: 10s]
    #[arg(long = "for", value_name = "DURATION", value_parser = values::duration)]
    pub window: Option<Duration>,
    /// How long each throughput part runs before it is measured. [default: 2s]
    #[arg(long, value_name = "DURATION", value_parser = values::duration)]
    pub warm_up: Option<Duration>,
    /// How many tasks `idle` and `dispatch` submit, one at a time. [default: 2000]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub latency_tasks: Option<u64>,
    /// How many idle agents `attached` attaches. [default: 10000]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub attached_agents: Option<u64>,
    /// How many finished tasks `growth` fills the store with. [default: 1000000]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub finished_tasks: Option<u64>,
    /// How many tasks `dependents` makes depend on one. [default: 100000]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub dependents: Option<u64>,
    /// How many tasks the largest graph of `chain`, `star` and `dag` has; the others have a tenth and a hundredth of it.
    /// [default: 100000]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(100..=1_000_000))]
    pub graph_tasks: Option<u64>,
    /// How often `chain_of_40` and `fan_out_400` run their workflow. [default: 20]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub workflows: Option<u64>,
    /// A command that does the tasks of `chain_of_40` in place of an agent of our own: it finds the server by CALLBOARD_ADDRESS
    /// and CALLBOARD_NAMESPACE, handles `bench.sleep` (the input is how many milliseconds), and says `attached`.
    #[arg(long, value_name = "COMMAND")]
    pub worker: Option<String>,
    /// How many requests `batch` has in flight, of 64 tasks each.
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = clap::value_parser!(u32).range(1..=256))]
    pub batch_requests: u32,
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

/// `callboard bench soak`.
#[derive(ClapArgs, Debug, Clone)]
pub struct SoakArgs {
    /// How long.
    #[arg(long = "for", value_name = "DURATION", default_value = "30m", value_parser = values::duration)]
    pub length: Duration,
    /// How often a sample is taken.
    #[arg(long, value_name = "DURATION", default_value = "1m", value_parser = sample_interval)]
    pub sample: Duration,
    /// How many tasks are submitted per second, at most.
    #[arg(long, value_name = "N", default_value_t = 1_000, value_parser = clap::value_parser!(u32).range(1..))]
    pub rate: u32,
    /// How many submitters there are: each waits for its tasks before it submits more.
    #[arg(long, value_name = "N", default_value_t = 64, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub in_flight: u32,
    /// Server and agents.
    #[command(flatten)]
    pub setup: SetupArgs,
}

fn sample_interval(text: &str) -> Result<Duration, String> {
    let interval = values::duration(text)?;
    if interval < Duration::from_millis(100) {
        Err("samples are at least 100ms apart".to_owned())
    } else {
        Ok(interval)
    }
}

/// A part of the measurement.
#[derive(ValueEnum, Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[value(rename_all = "snake_case")]
pub enum Part {
    /// Submit and wait by a `RunTask` each, 64 in flight.
    #[value(name = "unary_64")]
    Unary64,
    /// Submit and wait by a `RunTask` each, 512 in flight.
    #[value(name = "unary_512")]
    Unary512,
    /// Submit and wait over a stream of `RunTasks`, 64 in flight.
    #[value(name = "stream_64")]
    Stream64,
    /// Submit and wait over a stream of `RunTasks`, 512 in flight.
    #[value(name = "stream_512")]
    Stream512,
    /// Requests of 64 tasks, four in flight.
    Batch,
    /// Submit to result known, one at a time.
    Idle,
    /// Submit to handler begun, one at a time.
    Dispatch,
    /// Many idle agents, a connection each: the server's memory.
    Attached,
    /// One task with very many dependents completes: what unrelated submitters feel of it.
    Dependents,
    /// Tasks that each depend on the one before, in graphs of three sizes: what one costs.
    Chain,
    /// The same where all depend on the first.
    Star,
    /// The same where each depends on some before it, by chance.
    Dag,
    /// A workflow of forty tasks of ten milliseconds, one behind the other.
    #[value(name = "chain_of_40")]
    ChainOf40,
    /// A workflow of four hundred light tasks, for ten agents of one slot.
    #[value(name = "fan_out_400")]
    FanOut400,
    /// What was measured before, with very many finished tasks in the store.
    Growth,
}

impl Part {
    /// All, in their order.
    pub const ALL: [Self; 15] = [
        Self::Unary64,
        Self::Unary512,
        Self::Stream64,
        Self::Stream512,
        Self::Batch,
        Self::Idle,
        Self::Dispatch,
        Self::Attached,
        Self::Dependents,
        Self::Chain,
        Self::Star,
        Self::Dag,
        Self::ChainOf40,
        Self::FanOut400,
        Self::Growth,
    ];

    /// Its key in the JSON.
    pub fn key(self) -> &'static str {
        match self {
            Self::Unary64 => "unary_64",
            Self::Unary512 => "unary_512",
            Self::Stream64 => "stream_64",
            Self::Stream512 => "stream_512",
            Self::Batch => "batch",
            Self::Idle => "idle",
            Self::Dispatch => "dispatch",
            Self::Attached => "attached",
            Self::Dependents => "dependents",
            Self::Chain => "chain",
            Self::Star => "star",
            Self::Dag => "dag",
            Self::ChainOf40 => "chain_of_40",
            Self::FanOut400 => "fan_out_400",
            Self::Growth => "growth",
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
    /// The task types that it handles.
    #[arg(long, value_delimiter = ',')]
    pub handles: Vec<String>,
    /// How many agents there are in this process.
    #[arg(long, default_value_t = 1)]
    pub crowd: u64,
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
    /// Idle agents.
    pub attached_agents: u64,
    /// For how long they are looked at.
    pub settle: Duration,
    /// Finished tasks.
    pub finished_tasks: u64,
    /// Dependents of one task.
    pub dependents: u64,
    /// Tasks of the largest graph.
    pub graph_tasks: u64,
    /// How often a workflow is run.
    pub workflows: u64,
    /// How long unrelated submitters are looked at before and after.
    pub phase: Duration,
    /// Requests that `batch` has in flight.
    pub batch_requests: u32,
    /// How `batch` learns of its results.
    pub batch_results: BatchResults,
}

impl Amounts {
    /// How many tasks the graphs have, the smallest first.
    pub fn graph_sizes(&self) -> [usize; 3] {
        [100, 10, 1].map(|part| usize::try_from(self.graph_tasks / part).unwrap_or(usize::MAX))
    }
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
            attached_agents: self.attached_agents.unwrap_or(count(10_000, 20)),
            settle: time(10_000, 200),
            finished_tasks: self.finished_tasks.unwrap_or(if self.long { 10_000_000 } else { count(1_000_000, 2_000) }),
            dependents: self.dependents.unwrap_or(count(100_000, 500)),
            graph_tasks: self.graph_tasks.unwrap_or(count(100_000, 300)),
            workflows: self.workflows.unwrap_or(count(20, 2)),
            phase: time(3_000, 200),
            batch_requests: self.batch_requests,
            batch_results: self.batch_results,
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        args: Args,
    }

    fn parse(line: &str) -> Result<Args, clap::Error> {
        Line::try_parse_from(std::iter::once("bench").chain(line.split_whitespace())).map(|line| line.args)
    }

    #[test]
    fn parts_come_once_and_in_their_order() {
        let args = parse("--only idle,unary_64,idle").unwrap();
        assert_eq!(args.measure.parts(), [Part::Unary64, Part::Idle]);
        assert_eq!(parse("").unwrap().measure.parts(), Part::ALL);
        assert!(parse("--only nonsense").is_err());
    }

    #[test]
    fn what_is_said_wins_over_quick() {
        let amounts = parse("--quick --for 3s --dependents 7").unwrap().measure.amounts();
        assert_eq!((amounts.window, amounts.dependents), (Duration::from_secs(3), 7));
        assert!(amounts.finished_tasks < 10_000);
        assert_eq!(parse("--long").unwrap().measure.amounts().finished_tasks, 10_000_000);
        assert!(parse("--long --quick").is_err());
    }

    #[test]
    fn a_soak_has_options_of_its_own() {
        let Some(What::Soak(soak)) = parse("soak --for 3s --sample 1s --slots 5").unwrap().what else { panic!() };
        assert_eq!((soak.length, soak.sample, soak.setup.slots), (Duration::from_secs(3), Duration::from_secs(1), 5));
        assert!(parse("soak --sample 1ms").is_err());
        assert!(parse("--quick soak").is_err());
    }
}
