//! The W3C's trace context in a task's headers: https://www.w3.org/TR/trace-context/. (The API has no propagator of its own.)

use std::collections::BTreeMap;
use std::str::FromStr;

use ::opentelemetry::trace::{SpanContext, SpanId, TraceFlags, TraceId, TraceState};

use crate::NewTask;

const PARENT: &str = "traceparent";
const STATE: &str = "tracestate";

/// The task with the headers that say this span. One that is not valid is not said.
pub(super) fn write(span: &SpanContext, task: NewTask) -> NewTask {
    if !span.is_valid() {
        return task;
    }
    let flags = span.trace_flags() & TraceFlags::SAMPLED;
    let task = task.header(PARENT, format!("00-{}-{}-{flags:02x}", span.trace_id(), span.span_id()));
    match span.trace_state().header() {
        state if state.is_empty() => task,
        state => task.header(STATE, state),
    }
}

/// The span that the headers say; `None` when they say none, or wrongly.
pub(super) fn read(headers: &BTreeMap<String, String>) -> Option<SpanContext> {
    let mut parts = headers.get(PARENT)?.trim().split('-');
    let [version, trace, span, flags] = [parts.next()?, parts.next()?, parts.next()?, parts.next()?];
    let version = hexadecimal(version, 2).and_then(|version| u8::from_str_radix(version, 16).ok())?;
    // A later version may say more.
    if version == 0xff || (version == 0 && parts.next().is_some()) {
        return None;
    }
    let flags = u8::from_str_radix(hexadecimal(flags, 2)?, 16).ok()?;
    let state = headers.get(STATE).and_then(|state| TraceState::from_str(state).ok()).unwrap_or_default();
    let span = SpanContext::new(
        TraceId::from_hex(hexadecimal(trace, 32)?).ok()?,
        SpanId::from_hex(hexadecimal(span, 16)?).ok()?,
        TraceFlags::new(flags) & TraceFlags::SAMPLED,
        true,
        state,
    );
    span.is_valid().then_some(span)
}

/// So many digits, none of them a capital letter.
fn hexadecimal(text: &str, digits: usize) -> Option<&str> {
    let is_digit = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
    (text.len() == digits && text.bytes().all(is_digit)).then_some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(parent: &str, state: &str) -> BTreeMap<String, String> {
        [(PARENT.to_owned(), parent.to_owned()), (STATE.to_owned(), state.to_owned())].into()
    }

    #[test]
    fn what_is_written_is_read() {
        let parent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
        let span = read(&headers(parent, "a=1,b=2")).unwrap();
        assert!(span.is_sampled() && span.is_remote());
        let task = write(&span, NewTask::new("t").header("other", "x"));
        assert_eq!(task.spec().headers["traceparent"], parent);
        assert_eq!(task.spec().headers["tracestate"], "a=1,b=2");
        assert_eq!(task.spec().headers["other"], "x");
    }

    #[test]
    fn a_later_version_may_say_more() {
        assert!(read(&headers("01-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-09-more", "")).is_some());
    }

    #[test]
    fn what_is_no_span_is_none() {
        for parent in [
            "",
            "00",
            "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-more",
            "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b-01",
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-é",
        ] {
            assert!(read(&headers(parent, "")).is_none(), "{parent}");
        }
        assert!(read(&BTreeMap::new()).is_none());
        assert_eq!(write(&SpanContext::empty_context(), NewTask::new("t")).spec().headers.len(), 0);
    }
}
