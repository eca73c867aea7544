//! What callers of the engine are told.

use callboard_core::Rejection;
use thiserror::Error;

/// Short for a result of this crate.
pub type Result<T> = std::result::Result<T, Error>;

/// Why a call failed.
#[derive(Clone, Debug, Error)]
pub enum Error {
    /// The rules refuse it.
    #[error(transparent)]
    Rejected(#[from] Rejection),
    /// Too much waits already; nothing was done.
    #[error("server: it is too busy and did nothing; try again in a moment")]
    Overloaded,
    /// The server is going away; nothing was done.
    #[error("server: it is draining and did nothing; try again, it or another will be back")]
    Draining,
    /// The store can't do it now. The text is for logs; callers are told less.
    #[error("the store can't do it now: {0}")]
    Store(String),
    /// It was sent to the store, and nobody knows whether it happened.
    #[error("the outcome is unknown: {0}")]
    Unknown(String),
    /// Something is wrong with us.
    #[error("internal error: {0}")]
    Internal(String),
}

impl From<callboard_store::Error> for Error {
    fn from(error: callboard_store::Error) -> Self {
        use callboard_store::Error as S;
        match error {
            S::Unavailable(_) | S::Conflict(_) => Self::Store(error.to_string()),
            S::UnknownCommit(_) | S::Io(_) => Self::Unknown(error.to_string()),
            S::Data(_) | S::Corrupt(_) | S::Unusable(_) => Self::Internal(error.to_string()),
        }
    }
}
