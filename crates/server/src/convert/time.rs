//! Times.

use callboard_core::model::{Span, Timestamp};
use callboard_core::validate::Faults;

/// The first and last second that a well-formed timestamp can have: years 1 to 9999.
const FIRST: i64 = -62_135_596_800;
const LAST: i64 = 253_402_300_799;

/// Reads a time.
pub(crate) fn timestamp(field: &str, time: Option<prost_types::Timestamp>, faults: &mut Faults) -> Option<Timestamp> {
    let time = time?;
    if !(FIRST..=LAST).contains(&time.seconds) || !(0..1_000_000_000).contains(&time.nanos) {
        faults.add(field, "is not a time between the years 1 and 9999");
        return None;
    }
    Some(Timestamp(time.seconds * 1_000_000 + i64::from(time.nanos) / 1_000))
}

/// Reads a length of time. Absurdly long ones come out as the longest, for the range check to name.
pub(crate) fn span(field: &str, span: Option<prost_types::Duration>, faults: &mut Faults) -> Option<Span> {
    let span = span?;
    if span.seconds < 0 || !(0..1_000_000_000).contains(&span.nanos) {
        faults.add(field, "is not a length of time; it must not be negative");
        return None;
    }
    Some(Span(span.seconds.saturating_mul(1_000_000).saturating_add(i64::from(span.nanos) / 1_000)))
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
