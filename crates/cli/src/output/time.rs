//! Times and durations of the protocol, for programs and for people.

use jiff::{SignedDuration, SpanRound, Timestamp, Unit};

/// As RFC 3339 in UTC. What no calendar has is given as its seconds.
pub fn rfc3339(timestamp: &prost_types::Timestamp) -> String {
    match to_jiff(timestamp) {
        Some(at) => at.to_string(),
        None => timestamp.seconds.to_string(),
    }
}

/// As seconds with an `s`, as the protocol's own JSON has them: `1.5s`.
pub fn seconds(duration: &prost_types::Duration) -> String {
    let sign = if duration.seconds < 0 || duration.nanos < 0 { "-" } else { "" };
    let text = format!("{sign}{}.{:09}", duration.seconds.unsigned_abs(), duration.nanos.unsigned_abs());
    format!("{}s", text.trim_end_matches('0').trim_end_matches('.'))
}

/// As people say it: `5m`, `1h 30m`.
pub fn human(duration: &prost_types::Duration) -> String {
    format!("{:#}", SignedDuration::new(duration.seconds, duration.nanos))
}

/// How long ago, to two units at most: `3m 20s`. What is in the future (clocks differ) is `0s`.
pub fn age(at: &prost_types::Timestamp, now: Timestamp) -> String {
    to_jiff(at).map_or_else(|| "-".to_owned(), |at| coarse(now.duration_since(at)))
}

/// Between two times, like an age.
pub fn between(from: &prost_types::Timestamp, to: &prost_types::Timestamp) -> String {
    to_jiff(to).map_or_else(|| "-".to_owned(), |to| age(from, to))
}

/// A length of time to two units at most, like an age: `1s 250ms`.
pub fn brief(duration: &prost_types::Duration) -> String {
    coarse(SignedDuration::new(duration.seconds, duration.nanos))
}

/// A time to the second, without its date when that is today's (in UTC, as all times here).
pub fn near(timestamp: &prost_types::Timestamp, now: Timestamp) -> String {
    let day = |at: &prost_types::Timestamp| strftime(at, "%Y-%m-%d");
    let today = day(timestamp) == day(&to_proto(now));
    strftime(timestamp, if today { "%H:%M:%SZ" } else { "%Y-%m-%d %H:%M:%SZ" })
}

/// Date and time to the second.
pub fn to_the_second(timestamp: &prost_types::Timestamp) -> String {
    strftime(timestamp, "%Y-%m-%d %H:%M:%SZ")
}

/// The time of the day to the millisecond.
pub fn of_day(timestamp: &prost_types::Timestamp) -> String {
    strftime(timestamp, "%H:%M:%S%.3f")
}

/// A time for the protocol.
pub fn to_proto(at: Timestamp) -> prost_types::Timestamp {
    let (mut seconds, mut nanos) = (at.as_second(), at.subsec_nanosecond());
    // jiff's fraction has the sign of the whole; the protocol's is never negative.
    if nanos < 0 {
        seconds -= 1;
        nanos += 1_000_000_000;
    }
    prost_types::Timestamp { seconds, nanos }
}

/// A duration for the protocol; what does not fit becomes the longest.
pub fn duration_to_proto(duration: std::time::Duration) -> prost_types::Duration {
    let longest = prost_types::Duration { seconds: i64::MAX, nanos: 0 };
    duration.try_into().unwrap_or(longest)
}

fn to_jiff(timestamp: &prost_types::Timestamp) -> Option<Timestamp> {
    Timestamp::new(timestamp.seconds, timestamp.nanos).ok()
}

fn strftime(timestamp: &prost_types::Timestamp, format: &str) -> String {
    to_jiff(timestamp).map_or_else(|| "-".to_owned(), |at| at.strftime(format).to_string())
}

fn coarse(duration: SignedDuration) -> String {
    let duration = duration.max(SignedDuration::ZERO);
    let smallest = match duration.as_secs() {
        0..60 if duration.as_secs() < 10 => Unit::Millisecond,
        0..3600 => Unit::Second,
        3600..86_400 => Unit::Minute,
        _ => Unit::Hour,
    };
    let options =
        SpanRound::new().largest(Unit::Day).smallest(smallest).mode(jiff::RoundMode::Trunc).days_are_24_hours();
    let rounded = jiff::Span::try_from(duration).and_then(|span| span.round(options));
    rounded.map_or_else(|_| "-".to_owned(), |span| format!("{span:#}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> prost_types::Timestamp {
        to_proto(text.parse().unwrap())
    }

    #[test]
    fn durations_for_programs_are_seconds() {
        for (seconds, nanos, text) in
            [(300, 0, "300s"), (1, 500_000_000, "1.5s"), (0, 1_000, "0.000001s"), (0, 0, "0s"), (-1, 0, "-1s")]
        {
            assert_eq!(super::seconds(&prost_types::Duration { seconds, nanos }), text);
        }
    }

    #[test]
    fn times_before_1970_keep_their_fraction() {
        assert_eq!(at("1969-12-31T23:59:59.5Z"), prost_types::Timestamp { seconds: -1, nanos: 500_000_000 });
        assert_eq!(rfc3339(&at("1969-12-31T23:59:59.5Z")), "1969-12-31T23:59:59.5Z");
    }

    #[test]
    fn ages_have_two_units_at_most() {
        let now: Timestamp = "2026-01-03T12:00:00Z".parse().unwrap();
        for (then, text) in [
            ("2026-01-03T11:59:58.5Z", "1s 500ms"),
            ("2026-01-03T11:59:30Z", "30s"),
            ("2026-01-03T11:56:40Z", "3m 20s"),
            ("2026-01-03T10:30:10Z", "1h 29m"),
            ("2026-01-01T10:30:10Z", "2d 1h"),
            ("2026-01-03T12:00:09Z", "0s"),
        ] {
            assert_eq!(age(&at(then), now), text);
        }
    }

    #[test]
    fn nonsense_from_the_wire_is_shown_not_hidden() {
        let absurd = prost_types::Timestamp { seconds: i64::MAX, nanos: 0 };
        assert_eq!(rfc3339(&absurd), i64::MAX.to_string());
        assert_eq!(of_day(&absurd), "-");
    }
}
