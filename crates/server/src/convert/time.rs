//! Times.

use callboard_core::model::{Span, Timestamp};
use callboard_core::validate::Faults;
use std::fmt::Display;

/// The first and last second that a well-formed timestamp can have: years 1 to 9999.
const FIRST: i64 = -62_135_596_800;
const LAST: i64 = 253_402_300_799;

/// Reads a time.
pub(crate) fn timestamp(
    field: impl Display + Copy,
    time: Option<prost_types::Timestamp>,
    faults: &mut Faults,
) -> Option<Timestamp> {
    let time = time?;
    if !(FIRST..=LAST).contains(&time.seconds) {
        faults.add(field, format!("has {} seconds since 1970; must be in the years 1 to 9999", time.seconds));
        return None;
    }
    if !whole_nanos(time.nanos) {
        faults.add(field, format!("has {} nanos; must be 0 to 999999999, also before 1970", time.nanos));
        return None;
    }
    Some(Timestamp(time.seconds * 1_000_000 + i64::from(time.nanos) / 1_000))
}

/// Reads a length of time. Absurdly long ones come out as the longest, for the range check to name.
pub(crate) fn span(
    field: impl Display + Copy,
    span: Option<prost_types::Duration>,
    faults: &mut Faults,
) -> Option<Span> {
    let span = span?;
    if span.seconds < 0 || span.nanos < 0 {
        faults.add(field, format!("is negative ({} s, {} ns); give a length of time from 0", span.seconds, span.nanos));
        return None;
    }
    if !whole_nanos(span.nanos) {
        faults.add(field, format!("has {} nanos; must be 0 to 999999999, the rest in seconds", span.nanos));
        return None;
    }
    Some(Span(span.seconds.saturating_mul(1_000_000).saturating_add(i64::from(span.nanos) / 1_000)))
}

/// Whether nanoseconds are a part of a second.
fn whole_nanos(nanos: i32) -> bool {
    (0..1_000_000_000).contains(&nanos)
}

/// Writes a time.
pub(crate) fn to_timestamp(time: Timestamp) -> prost_types::Timestamp {
    let nanos = i32::try_from(time.0.rem_euclid(1_000_000) * 1_000).unwrap_or(0);
    prost_types::Timestamp { seconds: time.0.div_euclid(1_000_000), nanos }
}

/// Writes a length of time.
pub(crate) fn to_duration(span: Span) -> prost_types::Duration {
    let nanos = i32::try_from(span.0 % 1_000_000 * 1_000).unwrap_or(0);
    prost_types::Duration { seconds: span.0 / 1_000_000, nanos }
}
