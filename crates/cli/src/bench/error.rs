//! Why a measurement failed.

use std::io;

use super::verify::Violations;

/// Why a measurement failed. Messages say what to do.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A process could not be started.
    #[error("cannot start {name}: {source}")]
    Start {
        /// Which.
        name: String,
        /// Why not.
        source: io::Error,
    },
    /// A process did not come up.
    #[error("{name} did not come up: {reason}\n{log}")]
    Silent {
        /// Which.
        name: String,
        /// What it did instead.
        reason: String,
        /// The end of its log.
        log: String,
    },
    /// A call to the server failed.
    #[error(transparent)]
    Call(#[from] callboard::Error),
    /// A task was not done as it should have been.
    #[error("task {task}: {fault}")]
    Outcome {
        /// Which.
        task: String,
        /// What is wrong.
        fault: String,
    },
    /// Histories are not as they must be.
    #[error("{0}")]
    Violations(Violations),
    /// Nothing happened for too long.
    #[error("{what} did not come within {seconds} s")]
    Stuck {
        /// What was waited for.
        what: &'static str,
        /// For how long.
        seconds: u64,
    },
    /// The user has had enough.
    #[error("interrupted")]
    Interrupted,
    /// Files, pipes and the like.
    #[error("{doing}: {source}")]
    Io {
        /// What was being done.
        doing: &'static str,
        /// What went wrong.
        source: io::Error,
    },
}

impl Error {
    /// Makes an error of an I/O error, with what was being done.
    pub fn io(doing: &'static str) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Io { doing, source }
    }
}
