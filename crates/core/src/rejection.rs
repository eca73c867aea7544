//! Why a command is refused.

use crate::model::{StateName, TaskId, WorkflowId};
use crate::validate::Faults;
use std::fmt::Write as _;
use thiserror::Error;

/// The longest message, in bytes. With its details a refusal must stay below 8 KiB, which is what some clients take of an answer's
/// headers: a larger one would reach its caller as another error altogether.
const MAX_MESSAGE: usize = 1 << 10;
/// How many fields at fault the message names, and how many bytes the list of all that are told has.
const MAX_NAMED: usize = 5;
const MAX_VIOLATIONS: usize = 2 << 10;

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
    WorkflowNotFound,
    /// The workflow is in a state in which that can't be done.
    WorkflowState,
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
    StepExists,
    ChildExists,
    NotYourAgent,
    NotYourLease,
    UpgradeUnfinished,
}

impl Rejection {
    /// With a reason and a text.
    pub fn new(reason: Reason, message: impl Into<String>) -> Self {
        Self { reason, message: readable(&message.into(), MAX_MESSAGE), fields: Vec::new() }
    }

    /// Of fields. The first few are named in the text, since many clients print nothing else.
    pub fn invalid(fields: Vec<Violation>) -> Self {
        Self::of_fields(Reason::InvalidField, fields)
    }

    /// Of fields, for a reason.
    pub fn of_fields(reason: Reason, fields: Vec<Violation>) -> Self {
        let found = fields.len();
        let mut room = MAX_VIOLATIONS;
        let fields: Vec<Violation> = fields
            .into_iter()
            .map(|violation| Violation {
                field: readable(&violation.field, MAX_MESSAGE / 4),
                description: readable(&violation.description, MAX_MESSAGE / 2),
            })
            .take_while(|violation| {
                let length = violation.field.len() + violation.description.len();
                let fits = length <= room;
                room = room.saturating_sub(length);
                fits
            })
            .collect();
        let mut message = String::new();
        let mut named = 0;
        for Violation { field, description } in fields.iter().take(MAX_NAMED) {
            // The remedies of several faults must not run into each other.
            let between = if named == 0 { "" } else { "; " };
            if message.len() + between.len() + field.len() + description.len() > MAX_MESSAGE - 32 {
                break;
            }
            let _ = write!(message, "{between}{field}: {description}");
            named += 1;
        }
        if found > named {
            let _ = write!(message, "; and {} more", found - named);
        }
        Self { reason, message, fields }
    }

    /// Of one field.
    pub fn field(field: impl Into<String>, description: impl Into<String>) -> Self {
        Self::invalid(vec![Violation { field: field.into(), description: description.into() }])
    }

    /// The namespace does not exist, or the name is none that it could have: then it isn't repeated in a command to copy.
    pub fn namespace_not_found(name: &str) -> Self {
        let mut faults = Faults::default();
        faults.namespace("namespace", name);
        if let Err(rejection) = faults.finish() {
            return rejection;
        }
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

    /// The workflow does not exist.
    pub fn workflow_not_found(workflow: WorkflowId) -> Self {
        Self::new(
            Reason::WorkflowNotFound,
            format!("workflow_id: there is no workflow {workflow} in this namespace; check the id and the namespace"),
        )
    }

    /// The workflow is in a state in which that can't be done: why, and what to do.
    pub fn workflow_state(workflow: WorkflowId, why: &str) -> Self {
        Self::new(Reason::WorkflowState, format!("workflow_id: workflow {workflow}: {why}"))
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
                "message.to.agent: there is no agent {name:?} in this namespace; check the name, \
                 or have the agent attach once: from then on it has a mailbox"
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

    /// A limit is reached: `what` is its name.
    pub fn limit(what: &str, limit: impl std::fmt::Display, remedy: &str) -> Self {
        Self::new(Reason::LimitReached, format!("{what}: the limit of {limit} is reached; {remedy}"))
    }
}

/// A text as it can be printed on one line, and in so many bytes: control characters are escaped, what is too long is cut.
pub fn readable(text: &str, max: usize) -> String {
    let mut out = String::with_capacity(text.len().min(max));
    for c in text.chars() {
        let length = out.len();
        match c.is_control() {
            true => out.extend(c.escape_default()),
            false => out.push(c),
        }
        if out.len() > max {
            out.truncate(length);
            while out.len() + '…'.len_utf8() > max {
                out.pop();
            }
            out.push('…');
            break;
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_fits_and_can_be_printed() {
        assert_eq!(readable("a\n\u{1b}[31mé", 100), "a\\n\\u{1b}[31mé");
        for max in 3..40 {
            let cut = readable(&"é\u{7f}x".repeat(20), max);
            assert!(cut.len() <= max && cut.ends_with('…'), "{max}: {cut:?}");
        }
    }

    #[test]
    fn many_faults_are_counted_and_the_first_are_told() {
        let fault = |n| Violation { field: format!("tasks[{n}].type"), description: "x".repeat(200) };
        let rejection = Rejection::invalid((0..1_000).map(fault).collect());
        assert!(rejection.message.len() <= MAX_MESSAGE, "{}", rejection.message.len());
        assert!(rejection.message.starts_with("tasks[0].type: x"));
        assert!(rejection.message.ends_with("; and 996 more"), "{}", rejection.message);
        let told: usize = rejection.fields.iter().map(|f| f.field.len() + f.description.len()).sum();
        assert!(told <= MAX_VIOLATIONS, "{told}");
    }

    #[test]
    fn a_name_that_no_namespace_can_have_is_not_repeated() {
        assert_eq!(Rejection::namespace_not_found("nowhere").reason, Reason::NamespaceNotFound);
        let rejection = Rejection::namespace_not_found("x; rm -rf ~");
        assert_eq!(rejection.reason, Reason::InvalidField);
        assert!(!rejection.message.contains("rm"), "{rejection}");
    }
}
