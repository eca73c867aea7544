//! The harness of the tests from outside: real servers, real agents, real faults.
//!
//! A test starts a [`server::Server`], talks to it through the SDK's client or the raw ones, and attaches agents: the SDKs',
//! or a [`agent::RawAgent`] that says frames one by one. It waits by events ([`wait`]), never by a bare sleep.

// A harness that can't do its part fails the test that asked for it, at the line that asked.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

pub mod agent;
pub mod checker;
pub mod claim;
pub mod descriptors;
pub mod http;
pub mod identity;
pub mod load;
pub mod mail;
pub mod previous;
pub mod program;
pub mod refusals;
pub mod server;
pub mod wait;
pub mod watchers;
pub mod wire;

/// What a `google.rpc` status says beside its code: see [`refusal`].
pub use tonic_types::ErrorDetails;

use tonic::{Code, Status};
use tonic_types::StatusExt;

/// Checks that a status is a refusal as the contract has it: code, reason, domain, and a message that says more than the
/// code. Gives its details.
#[track_caller]
pub fn refusal(status: &Status, code: Code, reason: &str) -> ErrorDetails {
    let details = status.get_error_details();
    let info = details.error_info().unwrap_or_else(|| panic!("no ErrorInfo in {status:?}"));
    assert_eq!((status.code(), info.reason.as_str()), (code, reason), "{status:?}");
    assert_eq!(info.domain, callboard_proto::ERROR_DOMAIN);
    assert!(!status.message().is_empty(), "a refusal without a message: {status:?}");
    details
}

/// The same of an error of the SDK.
#[track_caller]
pub fn refused(error: &callboard::Error, code: Code, reason: &str) {
    assert_eq!((error.code(), error.reason()), (Some(code), reason), "{error:?}");
    assert!(!error.to_string().is_empty());
}

/// A text payload.
pub fn text(content: impl Into<String>) -> callboard::v1::Payload {
    let content = Some(callboard::v1::payload::Content::Text(content.into()));
    callboard::v1::Payload { content_type: "text/plain".into(), content, ..Default::default() }
}

/// The content of a text payload.
#[track_caller]
pub fn text_of(payload: Option<&callboard::v1::Payload>) -> String {
    use callboard::v1::payload::Content;
    match payload.expect("a payload").content.as_ref() {
        Some(Content::Text(text)) => text.clone(),
        None => String::new(),
        Some(Content::Binary(bytes)) => panic!("{} bytes instead of a text", bytes.len()),
    }
}

/// A length of time on the wire.
pub fn seconds(seconds: f64) -> Option<prost_types::Duration> {
    let whole = seconds.floor();
    let nanos = ((seconds - whole) * 1e9) as i32;
    Some(prost_types::Duration { seconds: whole as i64, nanos })
}

/// The time by the clock of this machine, which the server shares.
#[allow(clippy::disallowed_methods)]
pub fn now() -> std::time::SystemTime {
    std::time::SystemTime::now()
}

/// A time of the wire in seconds, to compare.
#[track_caller]
pub fn stamp(time: Option<prost_types::Timestamp>) -> f64 {
    let time = time.expect("a time");
    time.seconds as f64 + f64::from(time.nanos) / 1e9
}
