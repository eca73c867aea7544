//! Developer commands: `cargo xtask generate`, `lint`, `tidy`, `test`, `fuzz`, `chaos`, `conformance`, `demo`, `throughput`. CONTRIBUTING.md says when to use which.

mod buf;
mod chaos;
mod command;
mod conformance;
mod demo;
mod deploy;
mod fuzz;
mod generate;
mod golang;
mod history;
mod lint;
mod python;
mod steps;
mod tally;
mod test;
mod throughput;
mod tidy;
mod tools;
mod typescript;
mod venv;
mod workspace;

use clap::{Parser, Subcommand};
use std::error::Error;
use std::process::ExitCode;

/// What every command returns. Errors are read by people only, so they are text: the fault, and the remedy.
type Result<T> = std::result::Result<T, Box<dyn Error>>;

#[derive(Parser)]
#[command(name = "cargo xtask", about = "Callboard's developer commands")]
struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Write what is generated from `proto/`: Rust, the descriptors for reflection, Python, TypeScript, Go.
    Generate {
        /// Write nothing; fail when something committed is stale.
        #[arg(long)]
        check: bool,
    },
    /// Check form: rustfmt, clippy, buf, ruff, mypy, gofmt, go vet, staticcheck, eslint, prettier, tidy.
    Lint,
    /// Check the invariants that can be read off the source tree.
    Tidy,
    /// Set up what the tests need, and run every check and every test. CI runs this.
    Test {
        /// Run the long form of the fault tests: 100 rounds of killing instead of 10; and of the model: two faults in a run.
        #[arg(long)]
        long: bool,
    },
    /// Run the fuzz targets under libFuzzer. Needs a nightly compiler and cargo-fuzz.
    Fuzz {
        /// Only this one: `requests` or `stream`.
        #[arg(value_parser = ["requests", "stream"])]
        target: Option<String>,
        /// How long each: `90s`, `10m`, `1h`.
        #[arg(long = "for", value_name = "TIME", default_value = "60s", value_parser = fuzz::seconds)]
        seconds: u64,
    },
    /// Set up what the fault battery needs, build it, and run it with these arguments.
    #[command(disable_help_flag = true)]
    Chaos {
        /// Arguments of the battery; `--help` lists them.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        args: Vec<String>,
    },
    /// Set up what the conformance suite needs, build it, and play its scenarios with these arguments.
    #[command(disable_help_flag = true)]
    Conformance {
        /// Arguments of the suite; `--help` lists them.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        args: Vec<String>,
    },
    /// Set up what the demo needs, build `callboard`, and run `callboard demo` with these arguments.
    #[command(disable_help_flag = true)]
    Demo {
        /// Arguments of `callboard demo`; `--help` lists them.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        args: Vec<String>,
    },
    /// Measure how many durable tasks a second go through each SDK, and how long one takes.
    Throughput(throughput::Args),
}

fn main() -> ExitCode {
    let outcome = match Args::parse().command {
        Command::Generate { check } => generate::run(check),
        Command::Lint => lint::run(),
        Command::Tidy => tidy::run(),
        Command::Test { long } => test::run(long),
        Command::Fuzz { target, seconds } => fuzz::run(target.as_deref(), seconds),
        Command::Chaos { args } => chaos::run(&args),
        Command::Conformance { args } => conformance::run(&args),
        Command::Demo { args } => demo::run(&args),
        Command::Throughput(args) => throughput::run(&args),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}
