//! `callboard agent …`

use clap::{Args, Subcommand, ValueEnum};

use super::Limit;

/// What can be done with agents.
#[derive(Debug, Subcommand)]
pub enum AgentCommand {
    /// List agents by name.
    #[command(visible_alias = "ls")]
    List(ListArgs),
    /// Show one agent.
    Show(NameArgs),
    /// Give an agent no new tasks; it keeps those that it has.
    Cordon(NameArgs),
    /// End a cordon.
    Uncordon(NameArgs),
    /// Forget an agent; its tasks go to others.
    #[command(visible_alias = "rm")]
    Remove(NameArgs),
}

/// Filters of `agent list`, combined by AND.
#[derive(Args, Debug)]
pub struct ListArgs {
    /// In this state. May be repeated.
    #[arg(long, short = 's', value_name = "STATE")]
    pub state: Vec<AgentStateName>,
    /// Of this agent type.
    #[arg(long, value_name = "TYPE")]
    pub agent_type: Option<String>,
    /// How many.
    #[command(flatten)]
    pub limit: Limit,
}

/// Which agent.
#[derive(Args, Debug)]
pub struct NameArgs {
    /// The agent's name.
    pub name: String,
}

/// Whether and how an agent is attached.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum AgentStateName {
    /// Its stream is open.
    Attached,
    /// Its stream broke, and it may still come back to its leases.
    Reconnecting,
    /// It finishes what it has.
    Draining,
    /// It has no session.
    Detached,
    /// It claims by unary calls.
    Claiming,
}
