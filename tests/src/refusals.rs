//! The form that every refusal has.

use callboard::v1::ErrorReason;
use callboard_proto::ERROR_DOMAIN;
use tonic::Status;
use tonic_types::StatusExt;

/// What the message and the details of a refusal may have together, in bytes as they are sent. grpcio's default limit on all
/// headers of an answer is 8 KiB; a refusal beyond it reaches its caller as another error altogether.
const MAX_REFUSAL: usize = 7 << 10;

/// What every refusal has: a reason of the enum, the domain, a message of the one form, and no more than clients take.
pub fn well_formed(status: &Status) -> Result<(), String> {
    let details = status.get_error_details();
    let Some(info) = details.error_info() else { return Err(format!("no ErrorInfo: {status:?}")) };
    let known = ErrorReason::from_str_name(&format!("ERROR_REASON_{}", info.reason));
    if known.is_none_or(|reason| reason == ErrorReason::Unspecified) || info.domain != ERROR_DOMAIN {
        return Err(format!("reason or domain is none of ours: {info:?}"));
    }
    let (subject, fault) = status.message().split_once(": ").unwrap_or_default();
    if subject.is_empty() || fault.is_empty() || subject.contains(' ') {
        return Err(format!("the message does not begin with what it is about: {:?}", status.message()));
    }
    let unprintable = |c: char| c.is_control();
    if status.message().contains(unprintable) {
        return Err(format!("the message can't be printed: {:?}", status.message()));
    }
    let as_sent = |b: u8| if (b' '..=b'~').contains(&b) && b != b'%' { 1 } else { 3 };
    let sent = status.message().bytes().map(as_sent).sum::<usize>() + status.details().len() * 4 / 3;
    if sent > MAX_REFUSAL {
        return Err(format!(
            "{sent} bytes of message and details are more than clients take: {:.200}",
            status.message()
        ));
    }
    let violations = details.bad_request().map(|bad| bad.field_violations.as_slice()).unwrap_or_default();
    let told: std::collections::BTreeSet<_> = violations.iter().map(|v| (&v.field, &v.description)).collect();
    if told.len() != violations.len() {
        return Err(format!("a fault is told twice: {}", status.message()));
    }
    if violations.iter().any(|violation| violation.field.is_empty()) {
        return Err(format!("a violation names no field: {}", status.message()));
    }
    Ok(())
}

/// A reason without its prefix, as it is in an `ErrorInfo`.
pub fn short_name(reason: ErrorReason) -> &'static str {
    reason.as_str_name().trim_start_matches("ERROR_REASON_")
}
