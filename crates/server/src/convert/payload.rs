//! Payloads and failures.

use super::{cut, time};
use callboard_core::limits::{MAX_DELAY, MAX_FAILURE_DEPTH, MAX_FAILURE_MESSAGE, MAX_PAYLOAD};
use callboard_core::model::{Content, Failure, NewCheckpoint, Payload, Span};
use callboard_core::validate::Faults;
use callboard_proto::v1;
use sha2::{Digest, Sha256};
use std::fmt::Display;
use std::sync::Arc;

/// Reads a payload; unset is an empty text.
pub(crate) fn payload(field: impl Display + Copy, payload: Option<v1::Payload>, faults: &mut Faults) -> Arc<Payload> {
    let Some(message) = payload else { return Arc::new(Payload::text("")) };
    let (content, default_type) = match message.content {
        Some(v1::payload::Content::Binary(bytes)) => (Content::Binary(Arc::from(&*bytes)), "application/octet-stream"),
        Some(v1::payload::Content::Text(text)) => (Content::Text(text.into()), "text/plain"),
        None => (Content::default(), "text/plain"),
    };
    let content_type = if message.content_type.is_empty() { default_type.into() } else { message.content_type };
    let payload = Payload { content_type, metadata: message.metadata, content };
    faults.payload(field, &payload);
    Arc::new(payload)
}

/// Reads a checkpoint; unset is an empty text.
pub(crate) fn checkpoint(
    field: impl Display + Copy,
    message: Option<v1::Payload>,
    faults: &mut Faults,
) -> NewCheckpoint {
    let data = payload(field, message, faults);
    NewCheckpoint { digest: digest(&data), data }
}

/// Writes a payload.
pub(crate) fn to_payload(payload: &Payload) -> v1::Payload {
    let content = match &payload.content {
        Content::Text(text) => v1::payload::Content::Text(text.to_string()),
        Content::Binary(bytes) => v1::payload::Content::Binary(bytes.to_vec().into()),
    };
    v1::Payload {
        content_type: payload.content_type.clone(),
        metadata: payload.metadata.clone(),
        content: Some(content),
    }
}

/// Reads a failure. What is too long is cut: a failure must never fail to be reported.
pub(crate) fn failure(field: impl Display + Copy, failure: Option<v1::Failure>, faults: &mut Faults) -> Failure {
    let mut failure = read_failure(field, failure.unwrap_or_default(), 1, faults);
    drop_excess_details(&mut failure);
    failure
}

/// A failure's details, its causes' included, are together no larger than one payload: else a task could grow beyond what
/// an answer can carry. What is nearest to the outside stays.
fn drop_excess_details(failure: &mut Failure) {
    let mut room = MAX_PAYLOAD;
    let mut next = Some(failure);
    while let Some(failure) = next {
        failure.details.take_if(|details| details.len() > room);
        room -= failure.details.as_ref().map_or(0, Payload::len);
        next = failure.cause.as_deref_mut();
    }
}

fn read_failure(field: impl Display + Copy, message: v1::Failure, depth: usize, faults: &mut Faults) -> Failure {
    let kind = if message.r#type.is_empty() { "Error".to_owned() } else { cut(message.r#type, 256) };
    let retry_after = time::span(format_args!("{field}.retry_after"), message.retry_after, faults);
    if let Some(span) = retry_after {
        faults.span(format_args!("{field}.retry_after"), span, Span(0), MAX_DELAY);
    }
    let details =
        message.details.map(|details| (*payload(format_args!("{field}.details"), Some(details), faults)).clone());
    let cause = message.cause.filter(|_| depth < MAX_FAILURE_DEPTH);
    Failure {
        kind,
        message: cut(message.message, MAX_FAILURE_MESSAGE),
        retryable: message.retryable.unwrap_or(true),
        retry_after,
        details,
        cause: cause.map(|cause| Box::new(read_failure(format_args!("{field}.cause"), *cause, depth + 1, faults))),
    }
}

/// Writes a failure.
pub(crate) fn to_failure(failure: &Failure) -> v1::Failure {
    v1::Failure {
        r#type: failure.kind.clone(),
        message: failure.message.clone(),
        retryable: Some(failure.retryable),
        retry_after: failure.retry_after.map(time::to_duration),
        details: failure.details.as_ref().map(to_payload),
        cause: failure.cause.as_ref().map(|cause| Box::new(to_failure(cause))),
    }
}

/// A digest that tells a result from another.
pub(crate) fn digest(payload: &Payload) -> u64 {
    let mut hash = Sha256::new();
    hash.update(payload.content_type.as_bytes());
    hash.update([0]);
    hash.update(payload.content.bytes());
    for (key, value) in &payload.metadata {
        hash.update([0]);
        hash.update(key.as_bytes());
        hash.update([0]);
        hash.update(value.as_bytes());
    }
    first(hash)
}

/// A digest that tells a failure from another.
pub(crate) fn failure_digest(failure: &Failure) -> u64 {
    let mut hash = Sha256::new();
    // Failures are plain data, and writing them to memory does not fail.
    hash.update(serde_json::to_vec(failure).unwrap_or_default());
    first(hash)
}

fn first(hash: Sha256) -> u64 {
    let digest = hash.finalize();
    let mut first = [0; 8];
    first.copy_from_slice(&digest[..8]);
    u64::from_be_bytes(first)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_is_cut_rather_than_refused() {
        let mut deep = v1::Failure { message: "é".repeat(20_000), ..Default::default() };
        for _ in 0..20 {
            deep = v1::Failure { cause: Some(Box::new(deep)), ..Default::default() };
        }
        let mut faults = Faults::default();
        let read = failure("failure", Some(deep), &mut faults);
        assert!(faults.finish().is_ok());
        let depth = std::iter::successors(Some(&read), |f| f.cause.as_deref()).count();
        assert_eq!(depth, MAX_FAILURE_DEPTH);
        assert_eq!(read.kind, "Error");
        assert!(read.retryable);
    }

    #[test]
    fn details_are_together_no_larger_than_one_payload() {
        let details = |bytes| {
            let content = Some(v1::payload::Content::Text("x".repeat(bytes)));
            Some(v1::Payload { content, ..Default::default() })
        };
        let mut failed = v1::Failure { details: details(10), ..Default::default() };
        for bytes in [MAX_PAYLOAD - 5, 20, 30] {
            failed = v1::Failure { details: details(bytes), cause: Some(Box::new(failed)), ..Default::default() };
        }
        let mut faults = Faults::default();
        let read = failure("failure", Some(failed), &mut faults);
        assert!(faults.finish().is_ok());
        let kept = std::iter::successors(Some(&read), |f| f.cause.as_deref());
        let kept: Vec<_> = kept.map(|f| f.details.as_ref().map(Payload::len)).collect();
        assert_eq!(kept, [Some(30), Some(20), None, Some(10)]);
    }

    #[test]
    fn metadata_counts_in_the_digest() {
        let plain = Payload::text("x");
        let marked = Payload { metadata: [("a".to_owned(), "b".to_owned())].into(), ..Payload::text("x") };
        assert_ne!(digest(&plain), digest(&marked));
    }
}
