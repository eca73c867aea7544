//! How calls fail.

use std::time::Duration;

use callboard_proto::v1;
use tonic::{Code, Status};
use tonic_types::StatusExt;

/// Why a call, or the work of an agent, failed.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The request has a value that it may not have. Also what this crate refuses itself, before anything is sent.
    #[error("{0}")]
    InvalidArgument(CallError),
    /// What was asked for does not exist.
    #[error("{0}")]
    NotFound(CallError),
    /// What was to be created exists.
    #[error("{0}")]
    AlreadyExists(CallError),
    /// The state of the task, agent or session does not allow this.
    #[error("{0}")]
    FailedPrecondition(CallError),
    /// The caller may not do this.
    #[error("{0}")]
    PermissionDenied(CallError),
    /// A limit is reached.
    #[error("{0}")]
    ResourceExhausted(CallError),
    /// The server could not be reached, or could not answer now.
    #[error("{0}")]
    Unavailable(CallError),
    /// The call's time was over.
    #[error("{0}")]
    DeadlineExceeded(CallError),
    /// Any other status: see [`CallError::code`].
    #[error("{0}")]
    Other(CallError),
    /// The task ended badly, and its result was asked for.
    #[error("{}", describe_ended(.0))]
    TaskFailed(Box<v1::Task>),
    /// A payload could not be read as the type asked for.
    #[error("payload: {0}")]
    Decode(String),
}

/// What a status says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CallError {
    /// The status code.
    pub code: Code,
    /// The name from `ErrorReason` without its prefix (`TASK_NOT_FOUND`); empty when there is none.
    pub reason: String,
    /// The message, as the server sent it.
    pub message: String,
    /// The fields at fault, when the server named them.
    pub violations: Vec<FieldViolation>,
    /// How long the server asks to wait before the call is repeated.
    pub retry_after: Option<Duration>,
}

/// One field at fault.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FieldViolation {
    /// The field's path in the request: `task.input`.
    pub field: String,
    /// What is wrong with it, and what would be right.
    pub description: String,
}

impl std::fmt::Display for CallError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.message.is_empty() { write!(f, "{}", self.code) } else { f.write_str(&self.message) }
    }
}

impl CallError {
    pub(crate) fn local(code: Code, reason: v1::ErrorReason, message: impl Into<String>) -> Self {
        Self { code, reason: reason_name(reason), message: message.into(), violations: Vec::new(), retry_after: None }
    }

    fn from_status(status: &Status) -> Self {
        let details = status.get_error_details();
        let violations = details.bad_request().map(|bad| bad.field_violations.as_slice()).unwrap_or_default();
        Self {
            code: effective_code(status),
            reason: details.error_info().map(|info| info.reason.clone()).unwrap_or_default(),
            message: effective_message(status),
            violations: violations
                .iter()
                .map(|v| FieldViolation { field: v.field.clone(), description: v.description.clone() })
                .collect(),
            retry_after: details.retry_info().map(|info| info.retry_delay.unwrap_or_default()),
        }
    }

    /// Whether trying again can help: the server could not be reached, or said when to come back.
    pub(crate) fn is_retryable(&self) -> bool {
        self.code == Code::Unavailable || self.retry_after.is_some()
    }
}

impl Error {
    /// What the status said; `None` for what is no status.
    pub fn call(&self) -> Option<&CallError> {
        match self {
            Self::InvalidArgument(call)
            | Self::NotFound(call)
            | Self::AlreadyExists(call)
            | Self::FailedPrecondition(call)
            | Self::PermissionDenied(call)
            | Self::ResourceExhausted(call)
            | Self::Unavailable(call)
            | Self::DeadlineExceeded(call)
            | Self::Other(call) => Some(call),
            Self::TaskFailed(_) | Self::Decode(_) => None,
        }
    }

    /// The status code; `None` for what is no status.
    pub fn code(&self) -> Option<Code> {
        self.call().map(|call| call.code)
    }

    /// The name from `ErrorReason` without its prefix (`TASK_NOT_FOUND`); empty when there is none.
    pub fn reason(&self) -> &str {
        self.call().map(|call| call.reason.as_str()).unwrap_or_default()
    }

    /// The fields at fault, when the server named them.
    pub fn violations(&self) -> &[FieldViolation] {
        self.call().map(|call| call.violations.as_slice()).unwrap_or_default()
    }

    pub(crate) fn invalid(field: &str, message: impl Into<String>) -> Self {
        let message = message.into();
        let mut call = CallError::local(Code::InvalidArgument, v1::ErrorReason::InvalidField, message.clone());
        call.violations.push(FieldViolation { field: field.to_owned(), description: message });
        Self::InvalidArgument(call)
    }

    pub(crate) fn deadline(message: impl Into<String>) -> Self {
        CallError::local(Code::DeadlineExceeded, v1::ErrorReason::Unspecified, message).into()
    }

    pub(crate) fn missing(field: &str) -> Self {
        let message = format!("the answer has no `{field}`: is this a Callboard server of a version that fits?");
        CallError::local(Code::Internal, v1::ErrorReason::Unspecified, message).into()
    }

    pub(crate) fn stopped() -> Self {
        CallError::local(Code::Unavailable, v1::ErrorReason::Unspecified, "the agent has stopped").into()
    }
}

impl From<CallError> for Error {
    fn from(call: CallError) -> Self {
        match call.code {
            Code::InvalidArgument => Self::InvalidArgument(call),
            Code::NotFound => Self::NotFound(call),
            Code::AlreadyExists => Self::AlreadyExists(call),
            Code::FailedPrecondition => Self::FailedPrecondition(call),
            Code::PermissionDenied => Self::PermissionDenied(call),
            Code::ResourceExhausted => Self::ResourceExhausted(call),
            Code::Unavailable => Self::Unavailable(call),
            Code::DeadlineExceeded => Self::DeadlineExceeded(call),
            _ => Self::Other(call),
        }
    }
}

impl From<Status> for CallError {
    fn from(status: Status) -> Self {
        Self::from_status(&status)
    }
}

impl From<Status> for Error {
    fn from(status: Status) -> Self {
        CallError::from(status).into()
    }
}

/// The name that a reason has in `google.rpc.ErrorInfo`; empty for the unspecified one.
pub(crate) fn reason_name(reason: v1::ErrorReason) -> String {
    match reason {
        v1::ErrorReason::Unspecified => String::new(),
        known => known.as_str_name().trim_start_matches("ERROR_REASON_").to_owned(),
    }
}

/// A status with a source was made on this side, of a connection that broke: tonic calls that UNKNOWN, CANCELLED or
/// INTERNAL; every other gRPC library calls it UNAVAILABLE, and so does the contract of the SDKs.
fn effective_code(status: &Status) -> Code {
    let broke = std::error::Error::source(status).is_some();
    match status.code() {
        Code::Unknown | Code::Cancelled | Code::Internal if broke => Code::Unavailable,
        code => code,
    }
}

/// What tonic says of a failed connection ("tcp connect error") hides the cause: append the innermost one.
fn effective_message(status: &Status) -> String {
    let mut innermost = None;
    let mut source = std::error::Error::source(status);
    while let Some(error) = source {
        innermost = Some(error.to_string());
        source = error.source();
    }
    match innermost {
        Some(cause) if !status.message().contains(&cause) => format!("{}: {cause}", status.message()),
        _ => status.message().to_owned(),
    }
}

fn describe_ended(task: &v1::Task) -> String {
    let state = task.state().as_str_name().trim_start_matches("TASK_STATE_").to_owned();
    match &task.failure {
        Some(failure) => format!("task {} ended {state}: {}: {}", task.id, failure.r#type, failure.message),
        None => format!("task {} ended {state}", task.id),
    }
}

#[cfg(test)]
mod tests {
    use tonic_types::{ErrorDetails, StatusExt};

    use super::*;

    #[test]
    fn a_status_is_read_with_its_details() {
        let mut details = ErrorDetails::new();
        details.set_error_info("INVALID_FIELD", "callboard.dev", std::collections::HashMap::new());
        details.add_bad_request_violation("task.type", "is empty: name a task type");
        details.set_retry_info(Some(Duration::from_millis(250)));
        let status = Status::with_error_details(Code::InvalidArgument, "task.type is empty: name a task type", details);

        let error = Error::from(status);

        assert!(matches!(error, Error::InvalidArgument(_)));
        assert_eq!(error.code(), Some(Code::InvalidArgument));
        assert_eq!(error.reason(), "INVALID_FIELD");
        assert_eq!(error.to_string(), "task.type is empty: name a task type");
        assert_eq!(error.violations()[0].field, "task.type");
        assert_eq!(error.call().and_then(|call| call.retry_after), Some(Duration::from_millis(250)));
    }

    #[test]
    fn only_unavailable_and_retry_info_are_retryable() {
        assert!(CallError::from(Status::unavailable("x")).is_retryable());
        for code in [Code::Internal, Code::Unknown, Code::DeadlineExceeded, Code::ResourceExhausted, Code::Aborted] {
            assert!(!CallError::from(Status::new(code, "x")).is_retryable(), "{code:?}");
        }
        let details = ErrorDetails::with_retry_info(None);
        let status = Status::with_error_details(Code::ResourceExhausted, "x", details);
        assert!(CallError::from(status).is_retryable());
    }

    #[test]
    fn a_broken_connection_is_unavailable() {
        let broken = std::io::Error::new(std::io::ErrorKind::ConnectionReset, "reset by peer");
        let call = CallError::from(Status::from_error(Box::new(broken)));
        assert_eq!(call.code, Code::Unavailable);
        assert!(call.message.contains("reset by peer"), "{}", call.message);
    }

    #[test]
    fn a_failed_task_says_how() {
        let failure = v1::Failure { r#type: "Boom".into(), message: "it broke".into(), ..Default::default() };
        let task = v1::Task {
            id: "t1".into(),
            state: v1::TaskState::Failed.into(),
            failure: Some(failure),
            ..Default::default()
        };
        assert_eq!(Error::TaskFailed(Box::new(task)).to_string(), "task t1 ended FAILED: Boom: it broke");
    }
}
