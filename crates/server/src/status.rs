//! Errors as statuses: the one place where that is decided.

use callboard_core::command::SessionEnd;
use callboard_core::rejection::{Reason, Rejection};
use callboard_engine::Error;
use callboard_proto::ERROR_DOMAIN;
use callboard_proto::v1::ErrorReason;
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
        Reason::AgentNotFound => (Code::NotFound, ErrorReason::AgentNotFound),
        Reason::NamespaceExists => (Code::AlreadyExists, ErrorReason::NamespaceExists),
        Reason::KeyExists => (Code::AlreadyExists, ErrorReason::KeyExists),
        Reason::RequestIdReused => (Code::InvalidArgument, ErrorReason::RequestIdReused),
        Reason::TaskState => (Code::FailedPrecondition, ErrorReason::TaskState),
        Reason::AgentState => (Code::FailedPrecondition, ErrorReason::AgentState),
        Reason::StaleAttempt => (Code::FailedPrecondition, ErrorReason::StaleAttempt),
        Reason::WrongLeaseToken => (Code::FailedPrecondition, ErrorReason::WrongLeaseToken),
        Reason::StaleSession => (Code::FailedPrecondition, ErrorReason::StaleSession),
        Reason::SessionSuperseded => (Code::Aborted, ErrorReason::SessionSuperseded),
        Reason::LimitReached => (Code::ResourceExhausted, ErrorReason::LimitReached),
        Reason::NotYourAgent => (Code::PermissionDenied, ErrorReason::NotYourAgent),
        Reason::NotYourLease => (Code::PermissionDenied, ErrorReason::NotYourLease),
    }
}

/// A status with its reason and nothing more.
pub(crate) fn plain(code: Code, reason: ErrorReason, message: impl Into<String>) -> Status {
    Status::with_error_details(code, message, details(reason))
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
            let message = "the store can't be reached now, and nothing was done; try again";
            again(ErrorReason::StoreUnavailable, message, RETRY_LATER)
        }
        Error::Unknown(cause) => {
            tracing::warn!(cause, "a call's outcome is unknown");
            let message = "the outcome is unknown; repeat the call with the same request_id";
            again(ErrorReason::StoreUnavailable, message, RETRY_LATER)
        }
        Error::Internal(cause) => {
            tracing::error!(cause, "a call failed by an error of the server's own");
            let message = "something went wrong in the server; its log says what";
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

/// A frame that the attach protocol does not allow.
pub(crate) fn protocol(message: &str) -> Status {
    plain(Code::FailedPrecondition, ErrorReason::ProtocolViolation, message)
}

/// A reader that did not keep up.
pub(crate) fn slow_reader() -> Status {
    let message = "the stream was not read fast enough, and was ended; attach or watch again";
    plain(Code::ResourceExhausted, ErrorReason::SlowReader, message)
}

/// A token or cursor that isn't ours.
pub(crate) fn cursor(field: &str) -> Status {
    let message = format!("{field}: it is not one that this method gave for this query; begin without one");
    let mut details = details(ErrorReason::InvalidCursor);
    details.add_bad_request_violation(field, message.clone());
    Status::with_error_details(Code::InvalidArgument, message, details)
}

/// Why a session's stream ends; `None`: in an orderly way.
pub(crate) fn of_session_end(why: SessionEnd) -> Option<Status> {
    match why {
        SessionEnd::Drained => None,
        SessionEnd::Superseded => Some(plain(
            Code::Aborted,
            ErrorReason::SessionSuperseded,
            "another session attached under this agent's name; stop this program, or give it another name",
        )),
        SessionEnd::Removed => {
            Some(plain(Code::Aborted, ErrorReason::SessionExpired, "the agent was removed; attach again to add it"))
        }
        SessionEnd::Expired => Some(plain(
            Code::Aborted,
            ErrorReason::SessionExpired,
            "the agent was silent for longer than its lease; attach again",
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

fn name(reason: ErrorReason) -> String {
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
