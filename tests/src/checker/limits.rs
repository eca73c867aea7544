//! The rule on limits by key: neither too many at once nor too many in a time.

use super::turns::{Turn, turns};
use super::{Findings, Observed, Rule, Seen};
use crate::load::history::History;
use callboard::v1;
use std::collections::BTreeMap;
use std::time::Duration;

/// The time of a rate that names none.
const PERIOD: Duration = Duration::from_secs(1);

/// What the tasks with a key did.
#[derive(Default)]
struct Under<'a> {
    /// Who has a slot for certain, from when and until when.
    turns: Vec<(i128, Turn, &'a str)>,
    /// When attempts began.
    begun: Vec<(i128, &'a str)>,
}

/// Limits stand before the first task that is under one is asked for, and don't change.
pub(super) fn check(history: &History, observed: &Observed, findings: &mut Findings) {
    let apart = nanos(observed.apart);
    for (key, mut under) in by_key(observed, apart) {
        let Some(limit) = limit_of(&history.limits, key) else { continue };
        under.turns.sort_unstable();
        under.begun.sort_unstable();
        if let Some(max) = limit.max_concurrent {
            no_more_at_once(key, i64::from(max), &under, findings);
        }
        if let Some(rate) = limit.rate {
            let period = limit.rate_period.and_then(|period| period.try_into().ok()).unwrap_or(PERIOD);
            let slack = apart + nanos(observed.late);
            no_more_in_a_time(key, i128::from(rate), nanos(period), slack, &under, findings);
        }
    }
}

/// An attempt begins beside fewer than there may be. What goes on behind a pause may be one more, and counts for those that begin then.
fn no_more_at_once(key: &str, max: i64, under: &Under<'_>, findings: &mut Findings) {
    let mut taken = 0;
    for (_, turn, id) in &under.turns {
        taken += turn.step();
        findings.demand(*turn != Turn::Begins || taken <= max, Rule::LimitsHold, id, || {
            format!("it begins as one of {taken} under {key}, of which {max} may be at work")
        });
    }
}

/// In any time of length `w` no more than `rate + w * rate / period` begin: from the first to the last of `n` it takes at least `n - rate`
/// times `period / rate`. In whole numbers; `slack` is by how much the time may look shorter than it was.
fn no_more_in_a_time(key: &str, rate: i128, period: i128, slack: i128, under: &Under<'_>, findings: &mut Findings) {
    let mut latest = i128::MIN;
    for (place, (at, id)) in (0..).zip(&under.begun) {
        // How late it is for its place, if they come evenly.
        let late = at * rate - place * period;
        latest = latest.max(late);
        findings.demand(late + slack * rate + (rate - 1) * period >= latest, Rule::LimitsHold, id, || {
            format!("too many began under {key} in a time that ends with it: {rate} may in {period} ns")
        });
    }
}

fn by_key(observed: &Observed, apart: i128) -> BTreeMap<&str, Under<'_>> {
    let mut by_key: BTreeMap<&str, Under<'_>> = BTreeMap::new();
    for (id, seen) in &observed.tasks {
        for key in seen.task.spec.iter().flat_map(|spec| &spec.limit_keys) {
            add(id, seen, apart, by_key.entry(key).or_default());
        }
    }
    by_key
}

/// Adds a task. Where times of different tasks can't be compared to the instant, it has its slot from when on it has it for certain until
/// it may be that it has it no more. (An attempt counts from its beginning: of some that were all at work at a time, the one that truly
/// began last is one too many, whichever it is. One that went on must have done so before all of them.)
fn add<'a>(id: &'a str, seen: &'a Seen, apart: i128, under: &mut Under<'a>) {
    let mut came = None;
    for (_, at, turn) in turns(seen) {
        match turn {
            Turn::Begins => {
                under.begun.push((at, id));
                came = Some((at, turn));
            }
            Turn::GoesOn => came = Some((at + apart, turn)),
            Turn::Goes => under.has_slot(came.take(), at - apart, id),
        }
    }
    under.has_slot(came, i128::MAX, id);
}

impl<'a> Under<'a> {
    fn has_slot(&mut self, came: Option<(i128, Turn)>, until: i128, id: &'a str) {
        if let Some((from, turn)) = came.filter(|(from, _)| *from <= until) {
            self.turns.extend([(from, turn, id), (until, Turn::Goes, id)]);
        }
    }
}

/// The limit of a key: its own, else the longest that it begins with.
fn limit_of<'a>(limits: &'a [v1::Limit], key: &str) -> Option<&'a v1::Limit> {
    let own = limits.iter().find(|limit| limit.key == key);
    let begins = |limit: &&v1::Limit| limit.key.strip_suffix('*').is_some_and(|start| key.starts_with(start));
    own.or_else(|| limits.iter().filter(begins).max_by_key(|limit| limit.key.len()))
}

fn nanos(length: Duration) -> i128 {
    length.as_nanos().cast_signed()
}
