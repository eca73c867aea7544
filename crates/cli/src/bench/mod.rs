//! `callboard bench`: throughput, latency and memory, measured through the SDK, with every task verified afterwards.
//!
//! `measure` takes the parts one after the other. Each has a world of its own (`world`: a server, agents, a namespace), loads it
//! (`submit`, `batch`, `latency`, `attached`, `dependents`, `graphs`, `workflows`, `growth`), and then reads all that really happened (`events`) and
//! verifies it (`verify`). `figures` and `report` say what came out. `soak` loads a world for long, and samples it.

mod agent;
mod args;
mod attached;
mod batch;
mod clock;
mod dependents;
mod error;
mod events;
mod figures;
mod fill;
mod graphs;
mod growth;
mod latency;
mod machine;
mod measure;
mod process;
mod report;
mod soak;
mod submit;
mod usage;
mod verify;
mod workflows;
mod world;

use callboard::Client;
use tokio::signal::unix::{SignalKind, signal};

pub use args::{AgentArgs, Args};
pub use error::Error;
pub use world::Target;

use args::What;

use crate::open_files;
use crate::output::{self, Output};

/// Measures what was asked for, and writes the report.
///
/// # Errors
///
/// When the server or a process fails, and when a history is not as it must be. What was started has ended then, too.
pub async fn run(args: Args, target: Target, output: Output) -> Result<(), Error> {
    open_files::raise();
    if cfg!(debug_assertions) {
        output::note("warning: this is a debug build: its figures say nothing. Build with `cargo build --release`.");
    }
    let measured = async {
        match &args.what {
            None => measure::run(&args.measure, &args.setup, &target, &output).await,
            Some(What::Soak(soak)) => soak::run(soak, &target, &output).await,
        }
    };
    tokio::select! {
        outcome = measured => outcome,
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

/// Completes when the user or the system wants it to end.
async fn interrupted() -> Result<(), Error> {
    let mut terminate = signal(SignalKind::terminate()).map_err(Error::io("cannot listen for SIGTERM"))?;
    tokio::select! {
        pressed = tokio::signal::ctrl_c() => pressed.map_err(Error::io("cannot listen for Ctrl-C"))?,
        _ = terminate.recv() => {}
    }
    Err(Error::Interrupted)
}
