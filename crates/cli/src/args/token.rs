//! `callboard token …`: the tokens in an identity file. It works on the file; a server that runs reads it again by itself.

use std::path::PathBuf;
use std::time::Duration;

use callboard_server::identity::Role;
use clap::{Args, Subcommand};

use crate::values;

/// What can be done with tokens.
#[derive(Debug, Subcommand)]
pub enum TokenCommand {
    /// Make a token. It is printed once, on standard output; its digest goes to the identity file, or is shown to be put there.
    Create(CreateArgs),
    /// List the tokens of an identity file: never the tokens themselves, which it doesn't have.
    #[command(visible_alias = "ls")]
    List(FileArgs),
    /// Remove a token from an identity file: who still uses it is refused within seconds, also on open streams.
    Revoke(RevokeArgs),
}

/// A token to be made.
#[derive(Args, Debug)]
#[command(group = clap::ArgGroup::new("where").required(true).args(["namespaces", "all_namespaces"]))]
pub struct CreateArgs {
    /// Who will have it: 1 to 128 letters, digits and -_./:@.
    pub principal: String,
    /// What it is for: viewer, submitter, agent, operator, admin. Comma-separated, or given more than once.
    #[arg(long, value_name = "ROLE", required = true, value_delimiter = ',', value_parser = role)]
    pub role: Vec<Role>,
    /// In which namespaces. Comma-separated, or given more than once.
    #[arg(long, value_name = "NAME", value_delimiter = ',')]
    pub namespaces: Vec<String>,
    /// In all namespaces, also those that come.
    #[arg(long)]
    pub all_namespaces: bool,
    /// How long it is good: `90d`. Without it, until it is revoked.
    #[arg(long, value_name = "DURATION", value_parser = values::duration)]
    pub expires: Option<Duration>,
    /// The identity file. Without one the entry is shown on standard error.
    #[arg(long, value_name = "FILE", env = "CALLBOARD_IDENTITIES")]
    pub identities: Option<PathBuf>,
}

/// Which file.
#[derive(Args, Debug)]
pub struct FileArgs {
    /// The identity file.
    #[arg(long, value_name = "FILE", env = "CALLBOARD_IDENTITIES")]
    pub identities: PathBuf,
}

/// Which token of which file.
#[derive(Args, Debug)]
pub struct RevokeArgs {
    /// Its id: the first eight or more digits of its digest, as `callboard token list` shows it.
    pub id: String,
    /// The identity file.
    #[arg(long, value_name = "FILE", env = "CALLBOARD_IDENTITIES")]
    pub identities: PathBuf,
}

fn role(text: &str) -> Result<Role, String> {
    Role::of(text).ok_or_else(|| format!("use one of {}", Role::ALL.map(Role::as_str).join(", ")))
}
