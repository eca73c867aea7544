//! Tasks in a PostgreSQL database, which any number of replicas share.
//!
//! What a transaction loads is locked until it ends ([`transaction`], [`load`]); what it saves must have the version that it
//! loaded ([`save`]). Rows go in and out by arrays ([`convert`]), a statement and so a round trip for each kind, but one
//! for all that almost every batch saves. A read is one statement: it sees one state of the database, and leaves nothing behind when
//! its future is dropped. The order of commits is that of transaction ids, of which readers see what nobody can come before any more
//! ([`events`]); what a standby doesn't know when it is promoted is not given once more ([`timeline`]).
//! What is read again and again is read from where it was last seen to begin ([`floors`]). Replicas tell each other of theirs by NOTIFY ([`cluster`]).

mod agents;
mod children;
mod cluster;
mod connections;
mod convert;
mod durations;
mod error;
mod events;
mod floors;
mod forget;
mod limits;
mod list;
mod load;
mod mail;
mod open;
mod output;
mod placement;
mod reads;
mod ready;
mod results;
mod sample;
mod save;
mod schema;
mod statistics;
mod steps;
mod store;
mod text;
mod timeline;
mod transaction;
mod url;
mod workflows;

pub use open::{Inspection, PostgresOptions};
pub use store::PostgresStore;
pub use url::without_password;

/// How often a standby took its primary's place since the database was settled, as far as timelines tell. With `$1`, a [`timeline::Order`]. Asked
/// within the statement, and once in it: whatever is in between, the server that answers is the one that says so.
macro_rules! past {
    () => {
        concat!(
            "(SELECT CASE WHEN $1[2] IS NULL THEN 0 ELSE greatest(",
            crate::postgres::log_timeline!(),
            " - $1[2], 0) END)"
        )
    };
}
/// The timeline of the server's log. Every promotion begins another. An error on a server that is a standby, or does not tell.
macro_rules! log_timeline {
    () => {
        "callboard_timeline()"
    };
}
/// What is added to transactions' ids to make tokens: the offset, and how many primaries were before. So it is also the lowest token that can be of this
/// timeline. With `$1`, a [`timeline::Order`].
macro_rules! since {
    () => {
        concat!("($1[1] + (", crate::postgres::past!(), " << 42))")
    };
}
/// The token of this transaction. See `events` in the migrations, and [`timeline`]. With `$1`, a [`timeline::Order`].
macro_rules! own_token {
    () => {
        concat!("(pg_current_xact_id()::text::bigint + ", crate::postgres::since!(), ")")
    };
}
/// What is below has been committed or given up, and nothing comes before it any more. With `$1`, a [`timeline::Order`].
macro_rules! horizon {
    () => {
        concat!("(pg_snapshot_xmin(pg_current_snapshot())::text::bigint + ", crate::postgres::since!(), ")")
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
pub(in crate::postgres) use {horizon, log_timeline, own_token, past, shown, since};
