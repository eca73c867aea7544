//! `callboard`, the command: parses what is said (`args`), does it through the public API (`commands`, `work`), writes
//! results (`output`) and ends with a documented code (`exit`).

mod args;
#[cfg(unix)]
mod bench;
mod commands;
mod credentials;
#[cfg(unix)]
mod demo;
mod dependency;
mod error;
mod exit;
mod fallback;
mod ids;
mod input;
mod logging;
#[cfg(unix)]
mod open_files;
mod output;
#[cfg(unix)]
mod serve;
mod values;
#[cfg(unix)]
mod work;
mod workflow;

use std::process::ExitCode;

use clap::parser::ValueSource;
use clap::{CommandFactory, FromArgMatches};

use args::{Cli, Command};
use exit::Exit;

// SQLite's and ours: a task costs some hundred small allocations on its way.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    let cli = parse();
    #[cfg(unix)]
    if matches!(cli.command, Command::Guard) {
        work::guard::run(std::io::stdin().lock());
        return Exit::Ok.into();
    }
    // A server starts its own logging, from its settings.
    if !matches!(cli.command, Command::Serve(_)) {
        logging::start(logging::default_for(&cli.command));
    }
    let runtime = match tokio::runtime::Runtime::new() {
        Ok(runtime) => runtime,
        Err(error) => {
            output::note(&format!("error: cannot start the runtime: {error}"));
            return Exit::Error.into();
        }
    };
    let exit = runtime.block_on(run(cli));
    // Whatever still blocks a thread (a read of standard input, say) must not keep the process.
    runtime.shutdown_background();
    exit.into()
}

fn parse() -> Cli {
    let matches = Cli::command().get_matches();
    let mut cli = Cli::from_arg_matches(&matches).unwrap_or_else(|error| error.exit());
    cli.global.address_said = matches.value_source("address") == Some(ValueSource::CommandLine);
    cli
}

async fn run(cli: Cli) -> Exit {
    let address = cli.global.address.clone();
    match commands::run(cli).await {
        Ok(()) => Exit::Ok,
        Err(error) if error.is_broken_pipe() => Exit::Ok,
        Err(error) => {
            output::complain(&error, &address);
            error.exit()
        }
    }
}
