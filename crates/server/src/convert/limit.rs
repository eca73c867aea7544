//! Limits by key.

use super::time;
use callboard_core::limits::MAX_LIMITS;
use callboard_core::model::{Limit, Limits, Rate, Span};
use callboard_core::validate::Faults;
use callboard_proto::v1;
use std::fmt::Display;

/// What a rate is for when its period is unset.
const DEFAULT_PERIOD: Span = Span::seconds(1);

/// Reads limits. Of too many only the first are looked at.
pub(super) fn limits(field: impl Display + Copy, limits: Vec<v1::Limit>, faults: &mut Faults) -> Limits {
    let given = limits.len();
    if given > MAX_LIMITS {
        faults.add(field, format!("has {given} entries; at most {MAX_LIMITS}"));
    }
    let limits = limits.into_iter().take(MAX_LIMITS).enumerate();
    let read = limits.map(|(index, message)| limit(format_args!("{field}[{index}]"), message, faults));
    let read: Vec<Limit> = read.collect();
    faults.limits(field, &read);
    read.into_iter().collect()
}

fn limit(field: impl Display + Copy, message: v1::Limit, faults: &mut Faults) -> Limit {
    let period = time::span(format_args!("{field}.rate_period"), message.rate_period, faults);
    if message.rate.is_none() && period.is_some() {
        faults.add(format_args!("{field}.rate_period"), "is given without a rate; give both, or neither");
    }
    let max = message.max_concurrent;
    let rate = message.rate.map(|count| Rate {
        count: faults.limit_count(format_args!("{field}.rate"), count),
        period: period.unwrap_or(DEFAULT_PERIOD),
    });
    Limit {
        key: message.key.into(),
        max_concurrent: max.map(|max| faults.limit_count(format_args!("{field}.max_concurrent"), max)),
        rate,
    }
}

/// Writes a limit.
pub(super) fn to_limit(limit: &Limit) -> v1::Limit {
    let count = |count: u32| i32::try_from(count).unwrap_or(i32::MAX);
    v1::Limit {
        key: limit.key.to_string(),
        max_concurrent: limit.max_concurrent.map(count),
        rate: limit.rate.map(|rate| count(rate.count)),
        rate_period: limit.rate.map(|rate| time::to_duration(rate.period)),
    }
}
