//! Between Rust's times and the protocol's.

use std::time::{Duration, SystemTime};

/// A duration as the protocol has it; what does not fit becomes the longest.
pub(crate) fn proto_duration(duration: Duration) -> prost_types::Duration {
    prost_types::Duration {
        seconds: i64::try_from(duration.as_secs()).unwrap_or(i64::MAX),
        nanos: i32::try_from(duration.subsec_nanos()).unwrap_or(0),
    }
}

/// A duration from the protocol; negative ones are nothing.
pub(crate) fn duration(proto: &prost_types::Duration) -> Duration {
    Duration::try_from(*proto).unwrap_or_default()
}

/// A time as the protocol has it.
pub(crate) fn proto_timestamp(time: SystemTime) -> prost_types::Timestamp {
    time.into()
}

/// A time from the protocol; `None` when this machine can't express it.
pub(crate) fn system_time(proto: &prost_types::Timestamp) -> Option<SystemTime> {
    SystemTime::try_from(*proto).ok()
}
