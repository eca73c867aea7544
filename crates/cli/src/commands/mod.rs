//! What each command does. Everything goes through the SDK, that is through the public API.

use std::time::Duration;

use callboard::Client;

use crate::args::{Cli, Command, Global};
use crate::credentials::credentials;
use crate::error::Error;
use crate::output::Output;

mod agent;
mod listing;
mod log_level;
mod message;
mod namespace;
mod task;
mod token;
mod workflow;

/// How long commands that wait or watch bear with a server that is away: a restart is no reason to give up.
const PATIENCE: Duration = Duration::from_secs(60);

/// What every command that talks to a server has.
pub struct Session {
    /// Gives up after `--timeout`.
    pub client: Client,
    /// Where results go.
    pub output: Output,
    global: Global,
}

impl Session {
    fn new(global: Global) -> Result<Self, Error> {
        let client = client(&global, global.timeout)?;
        Ok(Self { client, output: Output::new(global.output), global })
    }

    /// A client for what takes long, to be used once the server has answered: it outlasts a restart.
    pub fn patient(&self) -> Result<Client, Error> {
        client(&self.global, self.global.timeout.max(PATIENCE))
    }
}

/// An empty address or namespace counts as none, as an empty variable does.
fn client(global: &Global, timeout: Duration) -> Result<Client, Error> {
    let mut builder = Client::builder().timeout(timeout).credentials(credentials(global));
    if !global.address.trim().is_empty() {
        builder = builder.address(&global.address);
    }
    if !global.namespace.trim().is_empty() {
        builder = builder.namespace(&global.namespace);
    }
    Ok(builder.build()?)
}

/// Does what the command line says.
pub async fn run(cli: Cli) -> Result<(), Error> {
    match cli.command {
        Command::Task(command) => task::run(&Session::new(cli.global)?, command).await,
        Command::Workflow(command) => {
            let output = Output::new(cli.global.output);
            workflow::run(output, || Session::new(cli.global), command).await
        }
        Command::Agent(command) => agent::run(&Session::new(cli.global)?, command).await,
        Command::Message(command) => message::run(&Session::new(cli.global)?, command).await,
        Command::Namespace(command) => namespace::run(&Session::new(cli.global)?, command).await,
        Command::LogLevel(args) => log_level::run(&Session::new(cli.global)?, args).await,
        Command::Token(command) => token::run(&Output::new(cli.global.output), command),
        #[cfg(unix)]
        Command::Serve(args) => crate::serve::run(*args).await,
        #[cfg(unix)]
        Command::Demo(args) => Ok(crate::demo::run(*args).await?),
        #[cfg(unix)]
        Command::DemoAgent(args) => Ok(crate::demo::run_agent(*args).await?),
        #[cfg(unix)]
        Command::Bench(args) => {
            let output = Output::new(cli.global.output);
            Ok(crate::bench::run(*args, crate::bench::Target::of(&cli.global), output).await?)
        }
        #[cfg(unix)]
        Command::BenchAgent(args) => Ok(crate::bench::run_agent(client(&cli.global, PATIENCE)?, *args).await?),
        #[cfg(unix)]
        Command::Work(args) => crate::work::run(&Session::new(cli.global)?, *args).await,
        // Done before there is a runtime.
        #[cfg(unix)]
        Command::Guard => Ok(()),
    }
}
