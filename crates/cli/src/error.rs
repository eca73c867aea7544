//! Why a command failed: what is said on standard error, and the exit code.

use std::io;

use callboard::v1::{Task, TaskState, Workflow, WorkflowState};
use tonic::Code;

use crate::exit::Exit;
use crate::ids::{self, Noun};
use crate::input::InputError;
use crate::output::names;
use crate::workflow::file::FileError;
use crate::workflow::graph;

/// Why a command failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A call failed.
    #[error("{0}")]
    Call(#[from] callboard::Error),
    /// A value on the command line is wrong.
    #[error("{0}")]
    Usage(String),
    /// The input is not what it should be.
    #[error("{0}")]
    Input(#[from] InputError),
    /// A workflow file is not what it should be.
    #[error("{0}")]
    File(#[from] FileError),
    /// No task has this short id.
    #[error("no {}'s id ends in `{suffix}` in namespace `{namespace}`", .noun.name())]
    UnknownId {
        /// What was looked for.
        noun: Noun,
        /// What was given.
        suffix: String,
        /// Where it was looked for.
        namespace: String,
    },
    /// More than one task has this short id.
    #[error("the ids of several {}s end in `{suffix}`: {}", .noun.name(), .candidates.join(", "))]
    AmbiguousId {
        /// What was looked for.
        noun: Noun,
        /// What was given.
        suffix: String,
        /// Some of those that fit.
        candidates: Vec<String>,
    },
    /// The task that was waited for ended badly.
    #[error("{}", describe_end(.0))]
    NotCompleted(Box<Task>),
    /// The task that was waited for has not ended in time.
    #[error("task {} has not ended in time: it is {}", ids::short(&.0.id), names::task_state(.0.state))]
    StillRunning(Box<Task>),
    /// The server refused a workflow.
    #[error("the workflow was refused, and nothing created:\n  {}", .faults.join("\n  "))]
    WorkflowRefused {
        /// What is wrong, by the names of tasks.
        faults: Vec<String>,
        /// As for any refusal.
        exit: Exit,
    },
    /// The workflow that was followed ended badly.
    #[error("{}", describe_workflow_end(.workflow, .culprit.as_deref()))]
    WorkflowNotCompleted {
        /// What became of it.
        workflow: Box<Workflow>,
        /// The first of its tasks that failed, or was cancelled, and may not.
        culprit: Option<Box<Task>>,
    },
    /// The workflow that was followed has not ended in time.
    #[error("workflow {} has not ended in time: it is {}", ids::short(&.0.id), names::workflow_state(.0.state))]
    WorkflowStillRunning(Box<Workflow>),
    /// The result of a task that has none was asked for.
    #[error("task {} has no result: it is {}", ids::short(&.0.id), names::task_state(.0.state))]
    NoResult(Box<Task>),
    /// Results can't be written.
    #[error("cannot write to standard output: {0}")]
    Write(#[from] io::Error),
    /// The demo failed.
    #[cfg(unix)]
    #[error("{0}")]
    Demo(#[from] crate::demo::Error),
    /// The measurement failed.
    #[cfg(unix)]
    #[error("{0}")]
    Bench(#[from] crate::bench::Error),
    /// The server can't start, or had to stop.
    #[error("{0}")]
    Serve(String),
    /// Some of several things failed; each has been told already.
    #[error("{failed} of {total} failed")]
    Several {
        /// How many failed.
        failed: usize,
        /// How many there were.
        total: usize,
        /// The first failure's.
        exit: Exit,
    },
}

impl Error {
    /// The exit code.
    pub fn exit(&self) -> Exit {
        match self {
            Self::Call(error) => exit_of_call(error),
            Self::Usage(_) | Self::Input(_) | Self::File(_) | Self::AmbiguousId { .. } => Exit::Usage,
            Self::UnknownId { .. } => Exit::NotFound,
            Self::NotCompleted(_) | Self::NoResult(_) | Self::WorkflowNotCompleted { .. } => Exit::NotCompleted,
            Self::StillRunning(_) | Self::WorkflowStillRunning(_) => Exit::Timeout,
            Self::Write(_) | Self::Serve(_) => Exit::Error,
            #[cfg(unix)]
            Self::Demo(error) => exit_of_demo(error),
            #[cfg(unix)]
            Self::Bench(error) => error.call().map_or(Exit::Error, exit_of_call),
            Self::Several { exit, .. } | Self::WorkflowRefused { exit, .. } => *exit,
        }
    }

    /// What to do about it, when the message doesn't say.
    pub fn hint(&self, address: &str) -> Option<String> {
        match self {
            Self::Call(callboard::Error::Unavailable(call)) if call.reason.is_empty() => Some(format!(
                "is a server running at {address}? Start one with `callboard serve`, or say where it is with --address"
            )),
            Self::Call(callboard::Error::DeadlineExceeded(_)) => Some("give it more time with --timeout".to_owned()),
            Self::Call(error) if error.reason() == "NAMESPACE_NOT_FOUND" => {
                Some("`callboard namespace list` shows those that exist".to_owned())
            }
            Self::UnknownId { noun, .. } => {
                Some(format!("`callboard {} list` shows ids; another --namespace may have it", noun.name()))
            }
            Self::AmbiguousId { .. } => Some("give more digits, or the whole id".to_owned()),
            Self::StillRunning(task) => Some(format!("go on with `callboard task wait {}`", ids::short(&task.id))),
            Self::WorkflowStillRunning(workflow) => {
                Some(format!("go on with `callboard workflow watch {}`", ids::short(&workflow.id)))
            }
            _ => None,
        }
    }

    /// The reader of our output has gone, as `head` does: no error, the work is done.
    pub fn is_broken_pipe(&self) -> bool {
        matches!(self, Self::Write(error) if error.kind() == io::ErrorKind::BrokenPipe)
    }
}

fn exit_of_call(error: &callboard::Error) -> Exit {
    if matches!(error, callboard::Error::TaskFailed(_)) {
        return Exit::NotCompleted;
    }
    match error.code() {
        Some(Code::InvalidArgument | Code::OutOfRange) => Exit::Usage,
        Some(Code::NotFound) => Exit::NotFound,
        Some(
            Code::FailedPrecondition
            | Code::AlreadyExists
            | Code::PermissionDenied
            | Code::Unauthenticated
            | Code::ResourceExhausted
            | Code::Aborted,
        ) => Exit::Refused,
        Some(Code::Unavailable) => Exit::Unavailable,
        Some(Code::DeadlineExceeded) => Exit::Timeout,
        _ => Exit::Error,
    }
}

#[cfg(unix)]
fn exit_of_demo(error: &crate::demo::Error) -> Exit {
    use crate::demo::Error as Demo;
    match error {
        Demo::Path { .. } | Demo::Out { .. } | Demo::Python { .. } => Exit::Usage,
        Demo::TooLong { .. } => Exit::Timeout,
        _ => Exit::Error,
    }
}

fn describe_workflow_end(workflow: &Workflow, culprit: Option<&Task>) -> String {
    let id = ids::short(&workflow.id);
    if workflow.state() != WorkflowState::Failed {
        return format!("workflow {id} was {}", names::workflow_state(workflow.state));
    }
    let how = culprit.map(|task| match &task.failure {
        Some(failure) => format!(": task {}: {}: {}", graph::name_of(task), failure.r#type, failure.message),
        None => format!(": task {} {}", graph::name_of(task), names::task_state(task.state)),
    });
    format!("workflow {id} failed{}", how.unwrap_or_default())
}

fn describe_end(task: &Task) -> String {
    let (id, state) = (ids::short(&task.id), names::task_state(task.state));
    match &task.failure {
        Some(failure) if task.state() == TaskState::Failed => {
            format!("task {id} {state}: {}: {}", failure.r#type, failure.message)
        }
        _ => format!("task {id} was {state}"),
    }
}

#[cfg(test)]
mod tests {
    use callboard::v1::Failure;
    use tonic::Status;

    use super::*;

    fn call(code: Code) -> Error {
        Error::Call(Status::new(code, "said").into())
    }

    #[test]
    fn every_code_has_its_exit() {
        for (code, exit) in [
            (Code::InvalidArgument, Exit::Usage),
            (Code::NotFound, Exit::NotFound),
            (Code::FailedPrecondition, Exit::Refused),
            (Code::AlreadyExists, Exit::Refused),
            (Code::PermissionDenied, Exit::Refused),
            (Code::Unauthenticated, Exit::Refused),
            (Code::ResourceExhausted, Exit::Refused),
            (Code::Unavailable, Exit::Unavailable),
            (Code::DeadlineExceeded, Exit::Timeout),
            (Code::Internal, Exit::Error),
            (Code::Unimplemented, Exit::Error),
        ] {
            assert_eq!(call(code).exit(), exit, "{code:?}");
        }
    }

    #[test]
    fn an_absent_server_gets_a_hint() {
        let hint = call(Code::Unavailable).hint("http://here:1").unwrap();
        assert!(hint.contains("http://here:1") && hint.contains("callboard serve"), "{hint}");
        assert_eq!(call(Code::InvalidArgument).hint(""), None);
    }

    #[test]
    fn a_bad_end_says_how() {
        let failure = Failure { r#type: "Boom".into(), message: "it broke".into(), ..Failure::default() };
        let mut task = Task { id: "0198-12345678".into(), failure: Some(failure), ..Task::default() };
        task.set_state(TaskState::Failed);
        let error = Error::NotCompleted(Box::new(task));
        assert_eq!(error.to_string(), "task 12345678 failed: Boom: it broke");
        assert_eq!(error.exit(), Exit::NotCompleted);
    }

    #[test]
    fn a_workflow_that_ended_badly_says_which_task_it_was() {
        let workflow = |state| {
            let mut workflow = Workflow { id: "0198-12345678".into(), ..Workflow::default() };
            workflow.set_state(state);
            Box::new(workflow)
        };
        let said = |state, culprit: Option<&Task>| {
            let culprit = culprit.cloned().map(Box::new);
            let error = Error::WorkflowNotCompleted { workflow: workflow(state), culprit };
            assert_eq!(error.exit(), Exit::NotCompleted);
            error.to_string()
        };
        let mut task = Task { id: "0198-87654321".into(), ..Task::default() };
        task.set_state(TaskState::Cancelled);
        assert_eq!(said(WorkflowState::Failed, Some(&task)), "workflow 12345678 failed: task 87654321 cancelled");
        task.failure = Some(Failure { r#type: "Boom".into(), message: "it broke".into(), ..Failure::default() });
        assert_eq!(said(WorkflowState::Failed, Some(&task)), "workflow 12345678 failed: task 87654321: Boom: it broke");
        assert_eq!(said(WorkflowState::Cancelled, Some(&task)), "workflow 12345678 was cancelled");
        let error = Error::WorkflowStillRunning(workflow(WorkflowState::Running));
        assert_eq!(error.to_string(), "workflow 12345678 has not ended in time: it is running");
        assert_eq!((error.exit(), error.hint("").unwrap().contains("workflow watch 12345678")), (Exit::Timeout, true));
    }

    #[test]
    fn only_a_closed_reader_is_a_broken_pipe() {
        assert!(Error::Write(io::ErrorKind::BrokenPipe.into()).is_broken_pipe());
        assert!(!Error::Write(io::ErrorKind::StorageFull.into()).is_broken_pipe());
    }
}
