//! What `callboard demo` and its hidden companion can be told.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args as ClapArgs, ValueEnum};

/// What `callboard demo --help` says at its end.
const ABOUT: &str = "\
The crew: a supervisor, a reviewer and Rust analysts (this program), Python analysts (`ast`), and a shell script run by
`callboard work`. All of them are processes of their own, attached to a server of their own with a temporary SQLite file.
One is killed with `kill -9` while it has a task, and another takes its task over. Nothing leaves the machine.

The Python analysts need the Python SDK: `cargo xtask demo` sets it up, or `pip install ./sdk/python`.

Exit code 0: the report is written and, unless --no-chaos, the takeover was seen in the task's history.";

/// Let a crew of agents review a source tree: Callboard at work, on real files.
#[derive(ClapArgs, Debug, Clone)]
#[command(after_long_help = ABOUT)]
pub struct Args {
    /// The tree to review: any folder.
    #[arg(default_value = ".")]
    pub path: PathBuf,
    /// Where the report goes.
    #[arg(long, value_name = "FILE", default_value = "review.md")]
    pub out: PathBuf,
    /// Kill no agent on the way.
    #[arg(long)]
    pub no_chaos: bool,
    /// The Python that has the SDK.
    #[arg(long, env = "CALLBOARD_DEMO_PYTHON", value_name = "PROGRAM", default_value = "python3")]
    pub python: PathBuf,
    /// Give up after so many seconds.
    #[arg(long, value_name = "SECONDS", default_value_t = 900, value_parser = clap::value_parser!(u64).range(1..=86_400))]
    pub give_up_after: u64,
}

/// One Rust agent of the demo's crew; started by the demo.
#[derive(ClapArgs, Debug, Clone)]
pub struct AgentArgs {
    /// What it is.
    pub kind: AgentKind,
    /// Its name.
    #[arg(long)]
    pub name: String,
    /// Seconds that its first task waits after it began, so that the agent can be killed at work.
    #[arg(long, default_value_t = 0)]
    pub linger: u64,
}

impl AgentArgs {
    /// How long the first task waits.
    pub fn linger(&self) -> Duration {
        Duration::from_secs(self.linger)
    }
}

/// The Rust agents.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum AgentKind {
    /// Lists the tree and creates the tasks of the others.
    Supervisor,
    /// Analyses Rust files.
    Rust,
    /// Writes the report.
    Reviewer,
}
