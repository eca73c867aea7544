//! Why the demo failed.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

/// Why the demo failed. Messages say what to do.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The tree to review is none.
    #[error("cannot review `{}`: {reason}; give the path of a folder", .path.display())]
    Path {
        /// What was given.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The report can't go where it is to go.
    #[error("cannot write the report to `{}`: {reason}; give another file with --out", .path.display())]
    Out {
        /// What was given.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The Python agents would not run.
    #[error(
        "`{}` cannot import the Python SDK `callboard`: {reason}\n\
         Run `cargo xtask demo`, which sets it up; or `pip install ./sdk/python`; or name a Python that has it with --python",
        .python.display()
    )]
    Python {
        /// The Python.
        python: PathBuf,
        /// What it said.
        reason: String,
    },
    /// A process of the crew could not be started.
    #[error("cannot start {name}: {source}")]
    Start {
        /// Which.
        name: String,
        /// Why not.
        source: io::Error,
    },
    /// A process of the crew ended while it was needed.
    #[error("{name} ended before its time ({status})")]
    Ended {
        /// Which.
        name: String,
        /// How.
        status: String,
    },
    /// The server did not say where it listens.
    #[error("the server did not come up: {0}")]
    Server(String),
    /// A call to the server failed.
    #[error(transparent)]
    Call(#[from] callboard::Error),
    /// The review took too long.
    #[error("the review was not done after {} s: give it more time with --give-up-after, or a smaller tree", .0.as_secs())]
    TooLong(Duration),
    /// The agent to be killed got no task in time.
    #[error("{0} got no task within {1} s, so that it could not be killed at work")]
    NoVictim(String, u64),
    /// The takeover is not in the task's history.
    #[error("the takeover of task {task} from {victim} is not in its history: {what}")]
    NoTakeover {
        /// The task.
        task: String,
        /// The agent that was killed.
        victim: String,
        /// What is there.
        what: String,
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
