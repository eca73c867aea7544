//! Exit codes: one meaning each, the same for every command.

use std::process::ExitCode;

/// How the command ended, for scripts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Exit {
    /// It did what it was asked to.
    Ok = 0,
    /// Any error without a code of its own.
    Error = 1,
    /// The command line, or a value in it, is wrong. (clap uses the same code.)
    Usage = 2,
    /// The task, workflow, agent or namespace does not exist.
    NotFound = 3,
    /// The server refused.
    Refused = 4,
    /// No server could be reached, or it could not answer now.
    Unavailable = 5,
    /// The task or workflow that was waited for ended in another state than COMPLETED.
    NotCompleted = 6,
    /// The time given was over.
    Timeout = 7,
}

/// What `callboard --help` says of them.
pub const HELP: &str = "\
Exit codes:
  0  done
  1  any other error
  2  the command line, or a value in it, is wrong
  3  the task, workflow, agent or namespace does not exist
  4  refused: the state doesn't allow it, it exists already, a limit is reached, no permission
  5  the server can't be reached, or can't answer now
  6  the task or workflow that was waited for ended other than completed
  7  the time given was over (--for, --timeout)

JSON output has the field names of the protocol (proto/callboard/v1), all of them, unset ones
as null; states and other names in small letters without their prefix (completed); times in
RFC 3339; durations as seconds (\"1.5s\"). The content of a payload is under json, text or
base64, by its content type. Lists are {\"tasks\": [...], \"more\": false}.

CALLBOARD_LOG=debug shows what happens on the wire, NO_COLOR=1 takes the colours away.";

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}
