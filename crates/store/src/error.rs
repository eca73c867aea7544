//! What can go wrong in a store.

use thiserror::Error;

/// Short for a result of this crate.
pub type Result<T> = std::result::Result<T, Error>;

/// What went wrong, by what the caller has to do.
#[derive(Debug, Error)]
pub enum Error {
    /// A row had another version than expected, or exists though it must not. Load again and decide again.
    #[error("a row was changed by someone else: {0}")]
    Conflict(String),
    /// The data itself is refused (too large, a constraint). Trying the same again can't help.
    #[error("the store refuses the data: {0}")]
    Data(String),
    /// The store is away or too busy; nothing was changed. Try again.
    #[error("the store is not available: {0}")]
    Unavailable(String),
    /// The commit was sent, and nobody knows whether it happened. Read before you answer.
    #[error("the outcome of a commit is unknown: {0}")]
    UnknownCommit(String),
    /// Reading or writing the disk failed. With SQLite nothing more can be trusted: end the process.
    #[error("the disk failed: {0}")]
    Io(String),
    /// A row can't be read: the file is damaged, or was written by a newer version.
    #[error("the store is corrupt: {0}")]
    Corrupt(String),
    /// The store can't be opened as it is; the text says what to do.
    #[error("{0}")]
    Unusable(String),
}
