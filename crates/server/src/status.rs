//! Errors as statuses: the one place where that is decided.

use callboard_core::command::SessionEnd;
use callboard_core::rejection::{Reason, Rejection, readable};
use callboard_core::validate::Faults;
use callboard_engine::Error;
use callboard_proto::v1::ErrorReason;
use callboard_proto::{ERROR_DOMAIN, MAX_MESSAGE_BYTES};
use prost::Message;
use std::collections::HashMap;
use std::time::Duration;
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt};

/// When to try again after an overload or a drain.
const RETRY_SOON: Duration = Duration::from_millis(100);
/// When to try again after a trouble of the store.
const RETRY_LATER: Duration = Duration::from_secs(1);

/// The code and the reason of a refusal.
pub(crate) fn reason(reason: Reason) -> (Code, ErrorReason) {
    match reason {
        Reason::InvalidField => (Code::InvalidArgument, ErrorReason::InvalidField),
        Reason::PayloadTooLarge => (Code::InvalidArgument, ErrorReason::PayloadTooLarge),
        Reason::NamespaceNotFound => (Code::NotFound, ErrorReason::NamespaceNotFound),
        Reason::TaskNotFound => (Code::NotFound, ErrorReason::TaskNotFound),
        Reason::WorkflowNotFound => (Code::NotFound, ErrorReason::WorkflowNotFound),
        Reason::AgentNotFound => (Code::NotFound, ErrorReason::AgentNotFound),
        Reason::NamespaceExists => (Code::AlreadyExists, ErrorReason::NamespaceExists),
        Reason::KeyExists => (Code::AlreadyExists, ErrorReason::KeyExists),
        Reason::RequestIdReused => (Code::InvalidArgument, ErrorReason::RequestIdReused),
        Reason::WorkflowState => (Code::FailedPrecondition, ErrorReason::WorkflowState),
        Reason::TaskState => (Code::FailedPrecondition, ErrorReason::TaskState),
        Reason::AgentState => (Code::FailedPrecondition, ErrorReason::AgentState),
        Reason::StaleAttempt => (Code::FailedPrecondition, ErrorReason::StaleAttempt),
        Reason::WrongLeaseToken => (Code::FailedPrecondition, ErrorReason::WrongLeaseToken),
        Reason::StaleSession => (Code::FailedPrecondition, ErrorReason::StaleSession),
        Reason::SessionSuperseded => (Code::Aborted, ErrorReason::SessionSuperseded),
        Reason::LimitReached => (Code::ResourceExhausted, ErrorReason::LimitReached),
        Reason::StepExists => (Code::AlreadyExists, ErrorReason::StepExists),
        Reason::ChildExists => (Code::AlreadyExists, ErrorReason::ChildExists),
        Reason::UpgradeUnfinished => (Code::FailedPrecondition, ErrorReason::UpgradeUnfinished),
        Reason::NotYourAgent => (Code::PermissionDenied, ErrorReason::NotYourAgent),
        Reason::NotYourLease => (Code::PermissionDenied, ErrorReason::NotYourLease),
    }
}

/// A status with its reason and nothing more.
pub(crate) fn plain(code: Code, reason: ErrorReason, message: impl Into<String>) -> Status {
    Status::with_error_details(code, readable(&message.into(), 1 << 10), details(reason))
}

/// A refusal by the rules, or by what reads requests.
pub(crate) fn of_rejection(rejection: Rejection) -> Status {
    let (code, error_reason) = reason(rejection.reason);
    let mut details = details(error_reason);
    for field in &rejection.fields {
        details.add_bad_request_violation(field.field.clone(), field.description.clone());
    }
    match code {
        Code::FailedPrecondition => {
            let subject = rejection.message.split(':').next().unwrap_or_default().to_owned();
            details.add_precondition_failure_violation(name(error_reason), subject, rejection.message.clone());
        }
        Code::ResourceExhausted => {
            let subject = rejection.message.split(':').next().unwrap_or_default().to_owned();
            details.add_quota_failure_violation(subject, rejection.message.clone());
        }
        _ => {}
    }
    Status::with_error_details(code, rejection.message, details)
}

/// An error of the engine.
pub(crate) fn of_engine(error: Error) -> Status {
    match error {
        Error::Rejected(rejection) => of_rejection(rejection),
        Error::Overloaded => again(ErrorReason::Overloaded, &Error::Overloaded.to_string(), RETRY_SOON),
        Error::Draining => draining(),
        Error::Store(cause) => {
            tracing::warn!(cause, "a call failed by the store");
            let message = "store: it can't be reached now or took too long, and nothing was done; try again, or ask for less at a time";
            again(ErrorReason::StoreUnavailable, message, RETRY_LATER)
        }
        Error::Unknown(cause) => {
            tracing::warn!(cause, "a call's outcome is unknown");
            let message = "store: nobody knows whether it took this; repeat the call with the same request_id";
            again(ErrorReason::StoreUnavailable, message, RETRY_LATER)
        }
        Error::Internal(cause) => {
            tracing::error!(cause, "a call failed by an error of the server's own");
            let message = "server: something went wrong in it; its log says what";
            plain(Code::Internal, ErrorReason::Internal, message)
        }
    }
}

/// An error of a read.
pub(crate) fn of_store(error: callboard_store::Error) -> Status {
    of_engine(error.into())
}

/// The server goes away.
pub(crate) fn draining() -> Status {
    again(ErrorReason::Draining, &Error::Draining.to_string(), RETRY_SOON)
}

/// What the caller's identity may do was changed while a stream was open: the next one goes by the new.
pub(crate) fn identity_changed() -> Status {
    let message = "authorization: the identity was changed while the stream was open; attach or watch again";
    again(ErrorReason::IdentityChanged, message, RETRY_SOON)
}

/// A frame that the attach protocol does not allow.
pub(crate) fn protocol(message: &str) -> Status {
    plain(Code::FailedPrecondition, ErrorReason::ProtocolViolation, message)
}

/// A reader that did not keep up.
pub(crate) fn slow_reader() -> Status {
    let message = "stream: it was not read fast enough, and was ended; attach or watch again";
    plain(Code::ResourceExhausted, ErrorReason::SlowReader, message)
}

/// A stream has as many runs without an outcome as it may.
pub(crate) fn too_many_runs(most: usize) -> Status {
    let message = format!("runs: {most} of the stream have no outcome yet; ask again when some have");
    let mut details = details(ErrorReason::LimitReached);
    details.set_retry_info(Some(RETRY_SOON));
    Status::with_error_details(Code::ResourceExhausted, message, details)
}

/// A status as the bytes of a `google.rpc.Status`, for one that goes in a message.
pub(crate) fn to_bytes(status: &Status) -> Vec<u8> {
    if !status.details().is_empty() {
        return status.details().to_vec();
    }
    let status = tonic_types::Status { code: status.code().into(), message: status.message().into(), details: vec![] };
    status.encode_to_vec()
}

/// A status that isn't ours: tonic's own, of a request or a frame (`what`) that never became one.
pub(crate) fn of_transport(status: Status, what: &str) -> Status {
    if !status.details().is_empty() {
        return status;
    }
    match status.code() {
        // "Error, decoded message length too large: found 10000000 bytes, the limit is: 4194304 bytes"
        Code::OutOfRange | Code::ResourceExhausted => {
            let mut words = status.message().split_whitespace();
            let found = words.find(|word| word.bytes().all(|b| b.is_ascii_digit())).unwrap_or("too many");
            let mut faults = Faults::default();
            faults.too_large(
                what,
                format!("has {found} bytes; at most {MAX_MESSAGE_BYTES} (4 MiB): send less at a time"),
            );
            faults.finish().map_or_else(of_rejection, |()| status)
        }
        // What is internal and ours has details: this is a message that could not be read.
        Code::Internal => {
            let cause = status.message();
            let cause = cause.strip_prefix("failed to decode Protobuf message: ").unwrap_or(cause);
            let (field, cause) = unreadable(cause);
            let field = if field.is_empty() { what.to_owned() } else { field };
            let fault = format!("can't be read ({cause}); send it as the protobuf message of this method has it");
            of_rejection(Rejection::field(field, fault))
        }
        _ => status,
    }
}

/// The path of the field that prost could not read, and why. It says `TaskSpec.r#type: CreateTaskRequest.task: why`.
fn unreadable(cause: &str) -> (String, &str) {
    let mut path = Vec::new();
    let mut rest = cause;
    while let Some((place, why)) = rest.split_once(": ")
        && let Some((message, field)) = place.split_once('.')
        && message.starts_with(|c: char| c.is_ascii_uppercase())
        && !place.contains(' ')
    {
        path.push(field.trim_start_matches("r#"));
        rest = why;
    }
    path.reverse();
    (path.join("."), rest)
}

/// There is no room for a message that is not whole, or an answer that is not read.
pub(crate) fn no_room() -> Status {
    let message = "server: too much is on its way unread, on this connection or on all, and there is no room for more; \
                   read what was asked for, and try again";
    again(ErrorReason::Overloaded, message, RETRY_LATER)
}

/// A message that does not come to its end.
pub(crate) fn late_message(limit: Duration) -> Status {
    let fault = format!("is not whole after {} s; send it at once", limit.as_secs());
    of_rejection(Rejection::field("request", fault))
}

/// The caller gave a call no more time.
pub(crate) fn deadline_exceeded() -> Status {
    let message = "grpc-timeout: the call's time was over before it was answered, and its outcome is unknown; give it more \
                   time, and repeat it with the same request_id";
    plain(Code::DeadlineExceeded, ErrorReason::DeadlineExceeded, message)
}

/// A method that this server doesn't have, or with something that it doesn't take.
pub(crate) fn unknown_method(path: &str, fault: &str) -> Status {
    let fault = match fault.is_empty() {
        true => "does not exist on this server; check its name and the server's version",
        false => fault,
    };
    plain(Code::Unimplemented, ErrorReason::UnknownMethod, format!("method: {path} {fault}"))
}

/// A token or cursor that isn't ours.
pub(crate) fn cursor(field: &str) -> Status {
    let message = format!("{field}: it is not one that this method gave for this query; begin without one");
    let mut details = details(ErrorReason::InvalidCursor);
    details.add_bad_request_violation(field, message.clone());
    Status::with_error_details(Code::InvalidArgument, message, details)
}

/// A cursor behind which events are missing.
pub(crate) fn cursor_forgotten() -> Status {
    let message = "cursor: events behind it were forgotten with their tasks, since they are older than the server's \
                   retention; list the tasks, and watch without a cursor";
    let mut details = details(ErrorReason::CursorForgotten);
    details.add_precondition_failure_violation(name(ErrorReason::CursorForgotten), "cursor", message);
    Status::with_error_details(Code::FailedPrecondition, message, details)
}

/// Why a session's stream ends; `None`: in an orderly way.
pub(crate) fn of_session_end(why: SessionEnd) -> Option<Status> {
    match why {
        SessionEnd::Drained => None,
        SessionEnd::Superseded => Some(plain(
            Code::Aborted,
            ErrorReason::SessionSuperseded,
            "session: another one attached under this agent's name; stop this program, or give it another name",
        )),
        SessionEnd::Renewed => Some(plain(
            Code::Aborted,
            ErrorReason::SessionExpired,
            "session: the same program attached anew, by another stream; attach again if that one is gone",
        )),
        SessionEnd::Removed => Some(plain(
            Code::Aborted,
            ErrorReason::SessionExpired,
            "session: its agent was removed; attach again to add it",
        )),
        SessionEnd::Expired => Some(plain(
            Code::Aborted,
            ErrorReason::SessionExpired,
            "session: its agent was silent for longer than its lease; attach again",
        )),
    }
}

fn again(reason: ErrorReason, message: &str, delay: Duration) -> Status {
    let mut details = details(reason);
    details.set_retry_info(Some(delay));
    Status::with_error_details(Code::Unavailable, message, details)
}

fn details(reason: ErrorReason) -> ErrorDetails {
    ErrorDetails::with_error_info(name(reason), ERROR_DOMAIN, HashMap::new())
}

/// A reason as it stands in `ErrorInfo`.
pub(crate) fn name(reason: ErrorReason) -> String {
    reason.as_str_name().trim_start_matches("ERROR_REASON_").to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_names_reason_and_fields() {
        let status = of_rejection(Rejection::field("task.type", "is empty"));
        assert_eq!(status.code(), Code::InvalidArgument);
        assert_eq!(status.message(), "task.type: is empty");
        let details = status.get_error_details();
        assert_eq!(details.error_info().map(|info| info.reason.as_str()), Some("INVALID_FIELD"));
        assert_eq!(details.error_info().map(|info| info.domain.as_str()), Some(ERROR_DOMAIN));
        assert_eq!(details.bad_request().map(|bad| bad.field_violations.len()), Some(1));
    }

    #[test]
    fn a_message_that_can_not_be_read_names_its_field() {
        let cause = "failed to decode Protobuf message: TaskSpec.r#type: CreateTaskRequest.task: invalid string value: no UTF-8";
        let status = of_transport(Status::internal(cause), "request");
        assert_eq!(status.code(), Code::InvalidArgument);
        assert!(status.message().starts_with("task.type: can't be read (invalid string value: no UTF-8);"), "{status}");
        let status = of_transport(Status::internal("failed to decode Protobuf message: invalid varint"), "frame");
        assert!(status.message().starts_with("frame: can't be read (invalid varint);"), "{status}");
    }

    #[test]
    fn what_is_internal_is_not_told() {
        let status = of_engine(Error::Internal("secret".into()));
        assert!(!status.message().contains("secret"));
    }

    #[test]
    fn overload_says_when_to_try_again() {
        let details = of_engine(Error::Overloaded).get_error_details();
        assert!(details.retry_info().is_some());
    }
}
