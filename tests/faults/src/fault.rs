//! What a fault is: a row of the table in RELIABILITY.md.

use crate::report::Report;
use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;

/// Where servers keep everything.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Store {
    /// One server on a file.
    Sqlite,
    /// Replicas on a PostgreSQL of their own.
    Postgres,
    /// In memory: simulated.
    Memory,
}

impl fmt::Display for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Sqlite => "sqlite",
            Self::Postgres => "postgres",
            Self::Memory => "memory",
        })
    }
}

/// How many rounds the ledger is to have on a store.
#[derive(Clone, Copy, Debug)]
pub struct Goal {
    /// On which.
    pub store: Store,
    /// How many.
    pub rounds: u32,
}

impl Goal {
    /// So many rounds on a file.
    pub const fn sqlite(rounds: u32) -> Self {
        Self { store: Store::Sqlite, rounds }
    }

    /// So many rounds on PostgreSQL.
    pub const fn postgres(rounds: u32) -> Self {
        Self { store: Store::Postgres, rounds }
    }

    /// So many rounds of what is simulated.
    pub const fn memory(rounds: u32) -> Self {
        Self { store: Store::Memory, rounds }
    }
}

/// What a run is asked to do.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Of all choices.
    pub seed: u64,
    /// On which store.
    pub store: Store,
    /// How often the fault fires.
    pub rounds: u32,
    /// As a test: where a round's length matters, it is seconds instead of minutes.
    pub short: bool,
    /// Bugs that are planted in the servers, to see that the checker finds them; separated by commas.
    pub planted: String,
    /// It is to end violated: what is broken is not waited for as long as it would be else.
    pub in_vain: bool,
}

/// Something bad, done in rounds to a system under load.
#[async_trait]
pub trait Fault: Sync {
    /// Its name on the command line and in the ledger.
    fn name(&self) -> &'static str;

    /// What is done, for the table.
    fn what(&self) -> &'static str;

    /// The stores on which it is run, and how often.
    fn goals(&self) -> &'static [Goal];

    /// How many rounds its test has.
    fn short_rounds(&self) -> u32;

    /// How many rounds one line of the ledger has: a few minutes, so that a session that is cut short loses little.
    fn part(&self) -> u32;

    /// Acknowledged operations without which a round shows nothing.
    fn operations_per_round(&self) -> u64 {
        20
    }

    /// Runs the rounds, heals, and checks. Says in the report what fired, what happened, and what was broken. A panic is a
    /// How many seeds a part took, so that the next begins behind them.
    fn seeds_of(&self, rounds: u32, _seen: &BTreeMap<String, u64>) -> u64 {
        u64::from(rounds)
    }

    /// violation, too: of what the harness relied on.
    async fn run(&self, plan: &Plan, report: &Report);
}
