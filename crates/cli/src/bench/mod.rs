//! `callboard bench`: throughput, latency and memory, measured through the SDK, with every task verified afterwards.
//!
//! [`run`] takes the parts one after the other. Each has a world of its own (`world`: a server, agents, a namespace), loads it
//! (`unary`, `batch`, `latency`), and then reads all that really happened (`events`) and verifies it (`verify`). `figures` and
//! `report` say what came out.

mod agent;
mod args;
mod batch;
mod clock;
mod error;
mod events;
mod figures;
mod latency;
mod machine;
mod process;
mod report;
mod unary;
mod usage;
mod verify;
mod world;

use std::time::Duration;

use callboard::Client;
use indicatif::{ProgressBar, ProgressStyle};
use tokio::signal::unix::{SignalKind, signal};

pub use args::{AgentArgs, Args};
pub use error::Error;

use args::{MeasureArgs, Part, SetupArgs};
use report::Report;
use world::{Target, World};

use crate::output::{self, Output};

/// Measures what was asked for, and writes the report.
///
/// # Errors
///
/// When the server or a process fails, and when a history is not as it must be. What was started has ended then, too.
pub async fn run(args: Args, running: Option<String>, output: Output) -> Result<(), Error> {
    let target = running.map_or(Target::Own, |address| Target::Running { address });
    if cfg!(debug_assertions) {
        output::note("warning: this is a debug build: its figures say nothing. Build with `cargo build --release`.");
    }
    tokio::select! {
        outcome = measure(&args.measure, &args.setup, &target, &output) => outcome,
        interrupted = interrupted() => interrupted,
    }
}

/// One of the agents that do the work.
///
/// # Errors
///
/// When it can't attach.
pub async fn run_agent(client: Client, args: AgentArgs) -> Result<(), Error> {
    agent::run(client, args).await
}

async fn measure(args: &MeasureArgs, setup: &SetupArgs, target: &Target, output: &Output) -> Result<(), Error> {
    let mut report = Report::default();
    machine::describe(&mut report, args, setup, target)?;
    let mut parts = args.parts();
    // The same tasks give both figures.
    let both = parts.contains(&Part::Idle) && parts.contains(&Part::Dispatch);
    parts.retain(|part| !(both && *part == Part::Dispatch));
    for part in parts {
        let spinner = spinner(part.key());
        let mut world = World::start(target, setup).await?;
        world.add_agents(setup).await?;
        take(part, both, args, &world, &mut report).await?;
        world.end().await;
        spinner.finish_and_clear();
    }
    report::write(&report, output)
}

async fn take(part: Part, both: bool, args: &MeasureArgs, world: &World, report: &mut Report) -> Result<(), Error> {
    let amounts = args.amounts();
    match part {
        Part::Unary64 => report.add(part.key(), unary::measure(world, 64, &amounts).await?),
        Part::Unary512 => report.add(part.key(), unary::measure(world, 512, &amounts).await?),
        Part::Batch => report.add(part.key(), batch::measure(world, &amounts, args.batch_results).await?),
        Part::Idle | Part::Dispatch => {
            let idle = latency::measure(world, &amounts).await?;
            if part == Part::Idle {
                report.add(Part::Idle.key(), idle.whole);
            }
            if part == Part::Dispatch || both {
                report.add(Part::Dispatch.key(), idle.dispatch);
            }
        }
    }
    Ok(())
}

fn spinner(part: &str) -> ProgressBar {
    let style =
        ProgressStyle::with_template("{spinner} {msg} {elapsed}").unwrap_or_else(|_| ProgressStyle::default_spinner());
    let spinner = ProgressBar::new_spinner().with_style(style).with_message(part.to_owned());
    spinner.enable_steady_tick(Duration::from_millis(200));
    spinner
}

/// Completes when the user or the system wants it to end.
async fn interrupted() -> Result<(), Error> {
    let mut terminate = signal(SignalKind::terminate()).map_err(Error::io("cannot listen for SIGTERM"))?;
    tokio::select! {
        pressed = tokio::signal::ctrl_c() => pressed.map_err(Error::io("cannot listen for Ctrl-C"))?,
        _ = terminate.recv() => {}
    }
    Err(Error::Interrupted)
}
