//! Parsers of option values: durations, times, pairs. Each error names what is accepted.

use std::time::Duration;

use jiff::{SignedDuration, Span, SpanRelativeTo, Timestamp};

/// A point in time as people say it: absolute, or from now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moment {
    /// At this time.
    At(Timestamp),
    /// This long from now.
    In(Duration),
}

impl Moment {
    /// The absolute time; `None` when it is out of the range of timestamps.
    pub fn resolve(self, now: Timestamp) -> Option<Timestamp> {
        match self {
            Self::At(at) => Some(at),
            Self::In(delay) => now.checked_add(SignedDuration::try_from(delay).ok()?).ok(),
        }
    }

    /// The absolute time, of what is read as "this long ago".
    pub fn resolve_past(self, now: Timestamp) -> Option<Timestamp> {
        match self {
            Self::At(at) => Some(at),
            Self::In(ago) => now.checked_sub(SignedDuration::try_from(ago).ok()?).ok(),
        }
    }
}

/// Parses `90s`, `5m`, `1h30m`, `2 days`; days have 24 hours.
pub fn duration(text: &str) -> Result<Duration, String> {
    let accepted = "write a duration like `90s`, `5m`, `1h30m` or `2d`";
    let span: Span = text.trim().parse().map_err(|_| accepted.to_owned())?;
    let signed = span
        .to_duration(SpanRelativeTo::days_are_24_hours())
        .map_err(|_| format!("months and years have no fixed length: {accepted}"))?;
    Duration::try_from(signed).map_err(|_| format!("it is negative: {accepted}"))
}

/// Parses an RFC 3339 time (`2026-01-31T12:00:00Z`) or a duration from now (`2h`).
pub fn moment(text: &str) -> Result<Moment, String> {
    if let Ok(at) = text.trim().parse::<Timestamp>() {
        return Ok(Moment::At(at));
    }
    duration(text).map(Moment::In).map_err(|_| {
        "write a time with its offset like `2026-01-31T12:00:00Z`, or a duration from now like `2h`".to_owned()
    })
}

/// What becomes of the limit of a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LimitChange {
    /// The key.
    pub key: String,
    /// Its limit from now on; `None` takes it away.
    pub limit: Option<KeyLimit>,
}

/// A limit: how many at once, and how many in which time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct KeyLimit {
    /// How many tasks may hold a slot at once.
    pub max_concurrent: Option<i32>,
    /// How many attempts may be given out in a time.
    pub rate: Option<(i32, Duration)>,
}

/// Parses `KEY=max:10`, `KEY=rate:60/1m`, both with a comma between them, and `KEY=none`. A key may have `=`; a limit has none.
pub fn limit(text: &str) -> Result<LimitChange, String> {
    let accepted =
        "write a limit like `openai=max:10`, `openai=rate:60/1m`, `openai=max:10,rate:60/1m` or `openai=none`";
    let (key, parts) = text.rsplit_once('=').filter(|(key, _)| !key.is_empty()).ok_or(accepted)?;
    let key = key.to_owned();
    if parts == "none" {
        return Ok(LimitChange { key, limit: None });
    }
    let mut limit = KeyLimit::default();
    for part in parts.split(',') {
        match part.split_once(':') {
            Some(("max", max)) if limit.max_concurrent.is_none() => {
                limit.max_concurrent = Some(max.parse().map_err(|_| accepted)?);
            }
            Some(("rate", rate)) if limit.rate.is_none() => limit.rate = Some(rate_of(rate).ok_or(accepted)?),
            _ => return Err(accepted.to_owned()),
        }
    }
    Ok(LimitChange { key, limit: Some(limit) })
}

/// `60/1m`, `60/m`; `60` is for a second.
fn rate_of(text: &str) -> Option<(i32, Duration)> {
    let (count, period) = text.split_once('/').unwrap_or((text, "1s"));
    let period = duration(period).or_else(|_| duration(&format!("1{period}"))).ok()?;
    Some((count.parse().ok()?, period))
}

/// Parses `key=value`; the value may be empty and may have more `=`.
pub fn pair(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), value.to_owned())),
        _ => Err("write `key=value`".to_owned()),
    }
}

/// Parses `name=amount`; what amounts there are says the server.
pub fn amount(text: &str) -> Result<(String, f64), String> {
    let accepted = || "write `name=amount`, like `gpu=1` or `memory=0.5`".to_owned();
    let (name, amount) = pair(text).map_err(|_| accepted())?;
    amount.trim().parse().map(|amount| (name, amount)).map_err(|_| accepted())
}

/// The present time, for ages in tables and for times given as a duration from now.
pub fn now() -> Timestamp {
    Timestamp::now()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_human() {
        for (text, seconds) in [("90s", 90), ("5m", 300), ("1h30m", 5400), ("2d", 172_800), ("2 days", 172_800)] {
            assert_eq!(duration(text), Ok(Duration::from_secs(seconds)), "{text}");
        }
        assert_eq!(duration("250ms"), Ok(Duration::from_millis(250)));
        assert_eq!(duration("PT5M"), Ok(Duration::from_secs(300)));
    }

    #[test]
    fn bad_durations_say_what_is_accepted() {
        for text in ["", "5", "fast", "1 parsec"] {
            assert!(duration(text).unwrap_err().contains("90s"), "{text}");
        }
        assert!(duration("1 month").unwrap_err().contains("no fixed length"));
        assert!(duration("-5s").unwrap_err().contains("negative"));
    }

    #[test]
    fn moments_are_absolute_or_from_now() {
        let now: Timestamp = "2026-01-01T00:00:00Z".parse().unwrap();
        let at: Timestamp = "2026-01-01T02:00:00Z".parse().unwrap();
        assert_eq!(moment("2h").unwrap().resolve(now), Some(at));
        assert_eq!(moment("2h").unwrap().resolve_past(at), Some(now));
        assert_eq!(moment("2026-01-01T03:00:00+01:00").unwrap(), Moment::At(at));
        assert!(moment("tomorrow").unwrap_err().contains("from now"));
        assert_eq!(Moment::In(Duration::MAX).resolve(now), None);
    }

    #[test]
    fn pairs_split_at_the_first_equals_sign() {
        assert_eq!(pair("a=b=c"), Ok(("a".into(), "b=c".into())));
        assert_eq!(pair("a="), Ok(("a".into(), String::new())));
        assert!(pair("=b").is_err());
        assert!(pair("ab").is_err());
    }
}
