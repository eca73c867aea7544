//! `callboard message …`

use std::time::Duration;

use clap::{Args, Subcommand};

use super::Limit;
use super::task::InputArgs;
use crate::values;

/// What can be done with messages to agents.
#[derive(Debug, Subcommand)]
pub enum MessageCommand {
    /// Send a message to an agent's mailbox and print its id.
    Send(SendArgs),
    /// List the messages that wait in an agent's mailbox, oldest first. Takes nothing away.
    #[command(visible_alias = "ls")]
    List(ListArgs),
    /// Follow an agent's mailbox: what waits, then each message that comes.
    Watch(WatchArgs),
    /// Take messages out of an agent's mailbox for good.
    Ack(AckArgs),
}

/// A message to be sent.
#[derive(Args, Debug)]
pub struct SendArgs {
    /// The agent, by name. It must be known; it need not be attached.
    #[arg(value_name = "AGENT")]
    pub to: String,
    /// What it says, as plain text; for anything else see --input.
    #[arg(value_name = "TEXT", conflicts_with = "input")]
    pub body: Option<String>,
    /// What it says.
    #[command(flatten)]
    pub input: InputArgs,
    /// What applications agree on: `correlation_id=7`. May be repeated.
    #[arg(long, value_name = "KEY=VALUE", value_parser = values::pair)]
    pub header: Vec<(String, String)>,
    /// How long it may wait for its acknowledgement; at most 30 days. Without it: 7 days.
    #[arg(long, value_name = "DURATION", value_parser = values::duration)]
    pub ttl: Option<Duration>,
    /// Makes a repetition of this command safe for 24 hours.
    #[arg(long, value_name = "ID")]
    pub request_id: Option<String>,
}

/// Whose mailbox.
#[derive(Args, Debug)]
pub struct ListArgs {
    /// The agent, by name.
    #[arg(value_name = "AGENT")]
    pub agent: String,
    /// How many.
    #[command(flatten)]
    pub limit: Limit,
}

/// Whose mailbox, and what to do with what comes.
#[derive(Args, Debug)]
pub struct WatchArgs {
    /// The agent, by name.
    #[arg(value_name = "AGENT")]
    pub agent: String,
    /// Take each message out of the mailbox once it is written.
    #[arg(long)]
    pub ack: bool,
    /// End after so many messages.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub count: Option<u32>,
}

/// Which messages.
#[derive(Args, Debug)]
pub struct AckArgs {
    /// The agent, by name.
    #[arg(value_name = "AGENT")]
    pub agent: String,
    /// The messages' ids. Those that are not in the mailbox (any more) are passed over.
    #[arg(value_name = "ID", required = true)]
    pub ids: Vec<String>,
}
