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
    /// This machine allows too few open files.
    #[error(
        "{agents} agents on a connection each need {needed} open files in the server, and the hard limit is {limit}: raise it \
         (`ulimit -Hn`, LimitNOFILE=, /etc/security/limits.conf), or attach fewer with --attached-agents"
    )]
    OpenFiles {
        /// That were to be attached.
        agents: u64,
        /// What they need.
        needed: u64,
        /// What there is.
        limit: u64,
    },
    /// Agents were lost, or there are others.
    #[error("{attached} agents are attached instead of {agents}")]
    Left {
        /// What the server says.
        attached: u64,
        /// What was attached.
        agents: u64,
    },
    /// It failed with a server of our own, which may have said why.
    #[error("{source}\n--- the end of the server's log:\n{log}")]
    Logged {
        /// Why.
        source: Box<Error>,
        /// What the server said.
        log: String,
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
    /// With the end of a server's log, when there is one.
    pub fn with_log(self, log: String) -> Self {
        if log.is_empty() { self } else { Self::Logged { source: Box::new(self), log } }
    }

    /// The call that failed, when that was it.
    pub fn call(&self) -> Option<&callboard::Error> {
        match self {
            Self::Call(error) => Some(error),
            Self::Logged { source, .. } => source.call(),
            _ => None,
        }
    }

    /// Makes an error of an I/O error, with what was being done.
    pub fn io(doing: &'static str) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Io { doing, source }
    }
}
