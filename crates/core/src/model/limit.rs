//! Limits: how many tasks with a key may be done at once, and how many may be begun in a time.

use super::id::NamespaceId;
use super::time::{Span, Timestamp};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// What the tasks with a limit key may do, all agents and replicas together.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limit {
    /// The key; with `*` at its end, each key that begins with what stands before it and has no limit of its own.
    pub key: Arc<str>,
    /// How many tasks may hold a slot at once; none: any number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_concurrent: Option<u32>,
    /// How many attempts may be given out in a time; none: any number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rate: Option<Rate>,
}

/// So many attempts in each such time.
///
/// Kept by the generic cell rate algorithm (ITU-T I.371, annex A): one time says all, the theoretical arrival time (TAT) at which the next
/// attempt is due if they come evenly. One may come earlier by the tolerance, which is chosen such that `count` of them
/// may come at once behind a time without any. So in any time of length `w` at most `count + w / interval` are given
/// out, where `interval` is `period / count`, rounded up to whole microseconds: at most `2 * count` in any one period, and on
/// average never more than `count` in each.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rate {
    /// How many, at least 1.
    pub count: u32,
    /// In which time.
    pub period: Span,
}

/// All limits of a namespace. Cloned with its settings for every command, so that it must cost little.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Limits(Arc<[Limit]>);

/// What is used of a limit key: a row for each key that a task with a slot has, and for each whose rate is not yet forgotten. Kept
/// whether there is a limit or not, so that one that is set later counts right.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LimitUse {
    /// The namespace.
    pub namespace: NamespaceId,
    /// The key, as tasks have it.
    pub key: Arc<str>,
    /// How many tasks with the key hold a slot.
    pub in_use: u32,
    /// The theoretical arrival time of the next attempt: see [`Rate`]. Long ago where no rate counts.
    pub due_at: Timestamp,
    /// Rises with every change; 0 is never stored.
    pub version: i64,
}

impl Rate {
    /// The time from one attempt to the next if they come evenly, rounded up: never faster than asked.
    fn interval(self) -> i64 {
        let count = i64::from(self.count.max(1));
        self.period.0.max(1).saturating_add(count - 1) / count
    }

    /// By how much one may come before it is due.
    fn tolerance(self) -> i64 {
        self.interval().saturating_mul(i64::from(self.count.max(1)) - 1)
    }

    /// When the next attempt is due. A rate that was slower before, or a clock that was ahead, holds nothing up for longer than this rate would.
    fn due(self, due_at: Timestamp, now: Timestamp) -> Timestamp {
        due_at.min(now + Span(self.tolerance().saturating_add(self.interval())))
    }

    /// How many attempts may be given out now.
    pub fn room(self, due_at: Timestamp, now: Timestamp) -> usize {
        let early = self.due(due_at, now).since(now).0;
        match self.tolerance().checked_sub(early) {
            Some(left) if left >= 0 => usize::try_from(left / self.interval()).unwrap_or(usize::MAX).saturating_add(1),
            _ => 0,
        }
    }

    /// When the next may be given out; that may be past.
    pub fn next_at(self, due_at: Timestamp, now: Timestamp) -> Timestamp {
        self.due(due_at, now) - Span(self.tolerance())
    }

    /// When the one behind the next is due, if the next is given out now.
    pub fn behind_one(self, due_at: Timestamp, now: Timestamp) -> Timestamp {
        self.due(due_at, now).max(now) + Span(self.interval())
    }
}

impl Limit {
    /// What stands before the `*`; none: it is the limit of one key.
    pub fn prefix(&self) -> Option<&str> {
        self.key.strip_suffix('*')
    }

    /// How many more tasks may be given out now.
    pub fn room(&self, used: &LimitUse, now: Timestamp) -> usize {
        let by_rate = self.rate.map_or(usize::MAX, |rate| rate.room(used.due_at, now));
        self.free(used).min(by_rate)
    }

    /// When the rate lets the next one through, if it doesn't now.
    pub fn next_at(&self, used: &LimitUse, now: Timestamp) -> Option<Timestamp> {
        self.rate.map(|rate| rate.next_at(used.due_at, now)).filter(|at| *at > now)
    }

    /// How many more tasks may hold a slot.
    pub fn free(&self, used: &LimitUse) -> usize {
        self.max_concurrent.map_or(usize::MAX, |max| max.saturating_sub(used.in_use) as usize)
    }
}

impl Limits {
    /// The limit that counts for a key: its own, else the one with the longest beginning.
    pub fn of(&self, key: &str) -> Option<&Limit> {
        // There are at most 1,000, and few lanes have several keys.
        let own = self.0.iter().find(|limit| *limit.key == *key && limit.prefix().is_none());
        let beginning = |limit: &&Limit| limit.prefix().is_some_and(|prefix| key.starts_with(prefix));
        own.or_else(|| self.0.iter().filter(beginning).max_by_key(|limit| limit.key.len()))
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// All of them, as they were given.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &Limit> {
        self.0.iter()
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self(Arc::new([]))
    }
}

impl FromIterator<Limit> for Limits {
    fn from_iter<I: IntoIterator<Item = Limit>>(limits: I) -> Self {
        Self(limits.into_iter().collect())
    }
}

impl LimitUse {
    /// Nothing is used of a key.
    pub fn none(namespace: NamespaceId, key: Arc<str>) -> Self {
        Self { namespace, key, in_use: 0, due_at: Timestamp(0), version: 0 }
    }

    /// Whether nothing is lost when the row goes.
    pub fn is_idle(&self, now: Timestamp) -> bool {
        self.in_use == 0 && self.due_at <= now
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn limit(key: &str, max: u32) -> Limit {
        Limit { key: key.into(), max_concurrent: Some(max), rate: None }
    }

    #[test]
    fn a_keys_own_limit_counts_before_beginnings_and_the_longest_of_those() {
        let limits: Limits =
            [limit("*", 1), limit("tenant/*", 2), limit("tenant/a*", 3), limit("tenant/ab", 4)].into_iter().collect();
        let max = |key: &str| limits.of(key).and_then(|limit| limit.max_concurrent);
        assert_eq!(max("tenant/ab"), Some(4));
        assert_eq!(max("tenant/abc"), Some(3));
        assert_eq!(max("tenant/"), Some(2));
        assert_eq!(max("openai"), Some(1));
        let few: Limits = [limit("tenant/*", 2)].into_iter().collect();
        assert_eq!(few.of("tenant"), None);
        // A task may have a key with a star: it is no beginning then.
        assert_eq!(few.of("tenant/*").and_then(|limit| limit.max_concurrent), Some(2));
    }

    #[test]
    fn a_burst_then_one_by_one() {
        let rate = Rate { count: 3, period: Span::seconds(3) };
        let (mut due, now) = (Timestamp(0), Timestamp(1_000_000_000));
        assert_eq!(rate.room(due, now), 3);
        for left in [2, 1, 0] {
            due = rate.behind_one(due, now);
            assert_eq!(rate.room(due, now), left);
        }
        let next = rate.next_at(due, now);
        assert_eq!(next, now + Span::seconds(1));
        assert_eq!((rate.room(due, next - Span(1)), rate.room(due, next)), (0, 1));
    }

    #[test]
    fn a_faster_rate_counts_at_once() {
        let (slow, fast) =
            (Rate { count: 1, period: Span::seconds(86_400) }, Rate { count: 10, period: Span::seconds(1) });
        let now = Timestamp(1_000_000_000);
        let due = slow.behind_one(Timestamp(0), now);
        assert_eq!(slow.next_at(due, now), now + Span::seconds(86_400));
        assert!(fast.next_at(due, now) <= now + Span::millis(100));
    }

    proptest! {
        /// In any time of length `w` at most `count + w / interval`, whenever somebody asks; and who waits until the time that is told is let
        /// through then.
        #[test]
        fn no_more_than_the_burst_and_the_rate(
            count in 1..20u32,
            period in 1_000..10_000_000i64,
            asks in prop::collection::vec(0..2_000_000i64, 1..200),
        ) {
            let rate = Rate { count, period: Span(period) };
            let (mut now, mut due) = (Timestamp(1 << 40), Timestamp(0));
            let mut given: Vec<i64> = Vec::new();
            for wait in asks {
                now = now + Span(wait);
                let room = rate.room(due, now);
                prop_assert!(room <= count as usize);
                prop_assert_eq!(room == 0, rate.next_at(due, now) > now);
                for left in (0..room).rev() {
                    due = rate.behind_one(due, now);
                    prop_assert_eq!(rate.room(due, now), left);
                    given.push(now.0);
                }
                prop_assert_eq!(rate.room(due, rate.next_at(due, now)), 1);
            }
            for (first, from) in given.iter().enumerate() {
                for (last, until) in given.iter().enumerate().skip(first) {
                    let most = i64::from(count) + (until - from) / rate.interval();
                    prop_assert!((last - first + 1) as i64 <= most);
                }
            }
        }
    }
}
