//! Tasks in a PostgreSQL database, which any number of replicas share.
//!
//! What a transaction loads is locked until it ends ([`transaction`], [`load`]); what it saves must have the version that it
//! loaded ([`save`]). Rows go in and out by arrays ([`convert`]), a statement and so a round trip for each kind, but one
//! for all that almost every batch saves. A read is one statement: it sees one state of the database, and leaves nothing behind when
//! its future is dropped. The order of commits is that of transaction ids, of which readers see what nobody can come before any more
//! ([`events`]). Replicas tell each other of theirs by NOTIFY ([`cluster`]).

mod children;
mod cluster;
mod connections;
mod convert;
mod durations;
mod error;
mod events;
mod forget;
mod limits;
mod list;
mod load;
mod mail;
mod open;
mod output;
mod placement;
mod reads;
mod results;
mod sample;
mod save;
mod schema;
mod statistics;
mod steps;
mod store;
mod text;
mod transaction;
mod url;
mod workflows;

pub use open::{Inspection, PostgresOptions};
pub use store::PostgresStore;
pub use url::without_password;

/// The token of this transaction: its id and `$1`, the offset. See `events` in the migrations.
macro_rules! own_token {
    () => {
        "(pg_current_xact_id()::text::bigint + $1)"
    };
}
/// What is below has been committed or given up, and nothing comes before it any more. With `$1`, the offset.
macro_rules! horizon {
    () => {
        "(pg_snapshot_xmin(pg_current_snapshot())::text::bigint + $1)"
    };
}
/// The place behind everything of a table of `(token, position)` that is shown below a horizon. Readers go on from there, and never
/// from the horizon itself: a crash forgets ids that were given to transactions without leaving anything on the disk, and gives them
/// once more, to what readers would then take for seen. What is shown was committed, so its id is on the disk.
macro_rules! shown {
    ($table:literal, $horizon:literal) => {
        concat!(
            "least(",
            $horizon,
            ", 1 + coalesce((SELECT shown.token FROM ",
            $table,
            " AS shown WHERE shown.token < ",
            $horizon,
            " ORDER BY shown.token DESC LIMIT 1), -1))"
        )
    };
}
pub(in crate::postgres) use {horizon, own_token, shown};
