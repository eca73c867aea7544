//! Tasks in an SQLite file.
//!
//! One process per file, which a lock file holds to; one connection writes ([`writer`]), a few read. `synchronous=FULL` and the
//! write-ahead log make a commit durable. Reads have a time limit ([`readers`]). The driver costs some 25 us a statement, whatever its rows, so rows go in and out
//! by statements of up to 256 rows ([`many`]).

mod checkpoint;
mod children;
mod commits;
mod convert;
mod durations;
mod error;
mod events;
mod forget;
mod inspect;
mod limits;
mod list;
mod load;
mod lock;
mod log;
mod mail;
mod many;
mod open;
mod pages;
mod placement;
#[cfg(test)]
mod plans;
mod readers;
#[cfg(test)]
mod readers_tests;
mod reads;
mod results;

mod output;
mod save;
mod schema;
mod script;
mod steps;
mod store;
mod trouble;
mod upkeep;
mod workflows;
mod writer;

pub use inspect::Inspection;
pub use open::SqliteOptions;
pub use store::SqliteStore;
