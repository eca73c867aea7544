//! What can be said on the command line: clap types, a file per noun.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};

pub mod agent;
#[cfg(test)]
mod documented;
pub mod message;
pub mod namespace;
pub mod task;
pub mod token;
#[cfg(unix)]
pub mod work;
pub mod workflow;

use crate::{exit, values};

/// Callboard: a control plane for AI agents. Tasks go in, attached agents do them, every step is durable.
#[derive(Debug, Parser)]
#[command(name = "callboard", version, propagate_version = true, after_help = exit::HELP, max_term_width = 110)]
pub struct Cli {
    /// What holds for every command.
    #[command(flatten)]
    pub global: Global,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// The nouns and verbs.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Create tasks, follow them, steer them.
    #[command(subcommand, visible_alias = "tasks")]
    Task(task::TaskCommand),
    /// Run workflows, tasks that depend on each other; follow them, steer them, draw them.
    #[command(subcommand, visible_alias = "workflows")]
    Workflow(workflow::WorkflowCommand),
    /// Look at agents and look after them.
    #[command(subcommand, visible_alias = "agents")]
    Agent(agent::AgentCommand),
    /// Send messages to agents, and read their mailboxes.
    #[command(subcommand, visible_alias = "messages")]
    Message(message::MessageCommand),
    /// Create namespaces and change their settings.
    #[command(subcommand, visible_alias = "namespaces")]
    Namespace(namespace::NamespaceCommand),
    /// Make, list and revoke tokens in a server's identity file.
    #[command(subcommand, visible_alias = "tokens")]
    Token(token::TokenCommand),
    /// Show or set what a running server logs.
    LogLevel(LogLevelArgs),
    /// Run the server.
    #[cfg(unix)]
    Serve(Box<crate::serve::Args>),
    /// See a crew of agents review a source tree.
    #[cfg(unix)]
    Demo(Box<crate::demo::Args>),
    /// An agent of the demo: started by `demo` itself.
    #[cfg(unix)]
    #[command(hide = true)]
    DemoAgent(Box<crate::demo::AgentArgs>),
    /// Measure throughput, latency and memory.
    #[cfg(unix)]
    Bench(Box<crate::bench::Args>),
    /// An agent of the measurement: started by `bench` itself.
    #[cfg(unix)]
    #[command(hide = true)]
    BenchAgent(Box<crate::bench::AgentArgs>),
    /// Be an agent that runs a program per task.
    #[cfg(unix)]
    Work(Box<work::WorkArgs>),
    /// Kills the process groups of a `work` that died: started by `work` itself.
    #[cfg(unix)]
    #[command(name = crate::work::guard::COMMAND, hide = true)]
    Guard,
}

/// What a server is to log.
#[derive(Args, Debug)]
pub struct LogLevelArgs {
    /// `info`, or `info,callboard_engine=debug`, until the server ends; without one the present filter is shown.
    pub filter: Option<String>,
}

/// What holds for every command that talks to a server.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Global options")]
pub struct Global {
    /// Where the server is: comma-separated http:// or https:// URLs, tried in turn.
    #[arg(
        long,
        global = true,
        env = "CALLBOARD_ADDRESS",
        value_name = "URLS",
        default_value = "http://127.0.0.1:7470"
    )]
    pub address: String,
    /// Whether the address was said on the command line.
    #[arg(skip)]
    pub address_said: bool,
    /// The namespace.
    #[arg(
        long,
        short = 'n',
        global = true,
        env = "CALLBOARD_NAMESPACE",
        value_name = "NAME",
        default_value = "default"
    )]
    pub namespace: String,
    /// A table for people, or JSON for programs: one document; one line per event or message for `watch`.
    #[arg(long, short = 'o', global = true, env = "CALLBOARD_OUTPUT", value_name = "FORMAT", default_value = "table")]
    pub output: Format,
    /// A file with the token that says who you are [env: CALLBOARD_TOKEN_FILE; or the token itself in CALLBOARD_TOKEN]
    #[arg(long, global = true, value_name = "FILE")]
    pub token_file: Option<PathBuf>,
    /// The roots that the server's certificate is checked with, instead of the system's: PEM [env: CALLBOARD_CA]
    #[arg(long, global = true, value_name = "FILE")]
    pub ca: Option<PathBuf>,
    /// Your certificate, for servers that know it: PEM [env: CALLBOARD_CLIENT_CERT]
    #[arg(long, global = true, value_name = "FILE")]
    pub client_cert: Option<PathBuf>,
    /// Your certificate's private key: PEM [env: CALLBOARD_CLIENT_KEY]
    #[arg(long, global = true, value_name = "FILE")]
    pub client_key: Option<PathBuf>,
    /// Send the token to another machine without TLS, where it can be read on the way [env: CALLBOARD_ALLOW_PLAINTEXT]
    #[arg(long, global = true)]
    pub allow_plaintext: bool,
    /// How long a call may take, retries included.
    #[arg(long, global = true, env = "CALLBOARD_TIMEOUT", value_name = "DURATION", default_value = "5s")]
    #[arg(value_parser = values::duration)]
    pub timeout: Duration,
}

/// How results are written to standard output.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// For people.
    Table,
    /// For programs.
    Json,
}

/// How many rows a list gives.
#[derive(Args, Debug)]
pub struct Limit {
    /// At most this many.
    #[arg(long, value_name = "N", default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..))]
    pub limit: u32,
    /// Everything there is.
    #[arg(long, conflicts_with = "limit")]
    pub all: bool,
}

impl Limit {
    /// The number of rows; `None` for all.
    pub fn rows(&self) -> Option<usize> {
        (!self.all).then_some(self.limit as usize)
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_definitions_are_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn the_help_documents_the_exit_codes() {
        let help = Cli::command().render_help().to_string();
        assert!(help.contains("Exit codes:") && help.contains("the server can't be reached"), "{help}");
    }

    #[test]
    fn options_may_follow_the_command() {
        let cli = Cli::parse_from(["callboard", "task", "show", "abcdef", "-o", "json", "--timeout", "1m"]);
        assert_eq!(cli.global.output, Format::Json);
        assert_eq!(cli.global.timeout, Duration::from_secs(60));
    }
}
