//! Why a command is refused.

use crate::model::{StateName, TaskId};
use thiserror::Error;

/// A refusal. It changes nothing. The text names the field, the fault and the remedy.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{message}")]
pub struct Rejection {
    /// The kind, which programs act on.
    pub reason: Reason,
    /// For people.
    pub message: String,
    /// The fields at fault, when it is about fields.
    pub fields: Vec<Violation>,
}

/// A field at fault.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// The path in the request: `tasks[3].type`.
    pub field: String,
    /// The fault and the remedy.
    pub description: String,
}

/// The kinds of refusal; `proto/callboard/v1/error.proto` says what each means on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs, reason = "the names say it, and error.proto describes them")]
pub enum Reason {
    InvalidField,
    PayloadTooLarge,
    NamespaceNotFound,
    TaskNotFound,
    AgentNotFound,
    NamespaceExists,
    KeyExists,
    RequestIdReused,
    TaskState,
    AgentState,
    StaleAttempt,
    WrongLeaseToken,
    StaleSession,
    SessionSuperseded,
    LimitReached,
    NotYourAgent,
    NotYourLease,
}

impl Rejection {
    /// With a reason and a text.
    pub fn new(reason: Reason, message: impl Into<String>) -> Self {
        Self { reason, message: message.into(), fields: Vec::new() }
    }

    /// Of fields. The first few are named in the text, since many clients print nothing else.
    pub fn invalid(fields: Vec<Violation>) -> Self {
        let mut text: Vec<String> = fields.iter().take(5).map(|f| format!("{}: {}", f.field, f.description)).collect();
        if fields.len() > 5 {
            text.push(format!("and {} more", fields.len() - 5));
        }
        Self { reason: Reason::InvalidField, message: text.join("; "), fields }
    }

    /// Of one field.
    pub fn field(field: impl Into<String>, description: impl Into<String>) -> Self {
        Self::invalid(vec![Violation { field: field.into(), description: description.into() }])
    }

    /// The namespace does not exist.
    pub fn namespace_not_found(name: &str) -> Self {
        Self::new(
            Reason::NamespaceNotFound,
            format!("namespace: {name:?} does not exist; create it first (callboard namespace create {name})"),
        )
    }

    /// The task does not exist.
    pub fn task_not_found(task: TaskId) -> Self {
        Self::new(
            Reason::TaskNotFound,
            format!("task_id: there is no task {task} in this namespace; check the id and the namespace"),
        )
    }

    /// The agent does not exist.
    pub fn agent_not_found(name: &str) -> Self {
        Self::new(
            Reason::AgentNotFound,
            format!("name: there is no agent {name:?} in this namespace; it appears when it first attaches"),
        )
    }

    /// The agent that a message is for does not exist.
    pub fn recipient_not_found(name: &str) -> Self {
        Self::new(
            Reason::AgentNotFound,
            format!(
                "message.to.agent: there is no agent {name:?} in this namespace; check the name,                  or have the agent attach once: from then on it has a mailbox"
            ),
        )
    }

    /// The task's state does not allow it.
    pub fn task_state(task: TaskId, state: StateName, remedy: &str) -> Self {
        Self::new(Reason::TaskState, format!("task_id: task {task} is {}; {remedy}", state.as_str()))
    }

    /// The report is of an attempt that isn't current.
    pub fn stale_attempt(task: TaskId, attempt: u32, current: u32, state: StateName) -> Self {
        Self::new(
            Reason::StaleAttempt,
            format!(
                "attempt: attempt {attempt} of task {task} is not current (the task is {}, its latest attempt {current}); \
                 stop the work, its outcome is not wanted",
                state.as_str()
            ),
        )
    }

    /// A limit is reached.
    pub fn limit(what: &str, limit: impl std::fmt::Display, remedy: &str) -> Self {
        Self::new(Reason::LimitReached, format!("{what}: the limit of {limit} is reached; {remedy}"))
    }
}
