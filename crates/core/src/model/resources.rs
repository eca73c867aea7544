//! Amounts of resources: what agents have, and what tasks take of it.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The smallest amount is one of so many parts.
const PARTS: f64 = 1_000.0;

/// Amounts by name, in thousandths: so that equal amounts are equal, and sums are exact. None is 0.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Amounts(BTreeMap<String, u64>);

/// What an amount is in thousandths; none if it is no whole number of them. The nearest `f64` to a decimal with three places is always one.
pub fn exact(amount: f64) -> Option<u64> {
    let parts = (amount * PARTS).round();
    let whole = amount.is_finite() && parts >= 0.0 && parts / PARTS == amount;
    // In range by the look above, but for what is larger than any sum: that saturates.
    whole.then_some(parts as u64)
}

/// What an agent that says it has an amount has in thousandths: what is less than one of them doesn't count.
pub fn declared(amount: f64) -> u64 {
    exact(amount).unwrap_or((amount * PARTS).floor() as u64)
}

/// An amount in thousandths as it was written.
pub fn written(parts: u64) -> f64 {
    parts as f64 / PARTS
}

impl Amounts {
    /// Of names and thousandths; what is 0 is left out.
    pub fn of(amounts: impl IntoIterator<Item = (String, u64)>) -> Self {
        Self(amounts.into_iter().filter(|(_, parts)| *parts > 0).collect())
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Of one resource.
    pub fn get(&self, name: &str) -> u64 {
        self.0.get(name).copied().unwrap_or(0)
    }

    /// All of them, by name.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&str, u64)> + Clone {
        self.0.iter().map(|(name, parts)| (name.as_str(), *parts))
    }

    /// As they were written, by name.
    pub fn written(&self) -> BTreeMap<String, f64> {
        self.0.iter().map(|(name, parts)| (name.clone(), written(*parts))).collect()
    }

    /// Adds others.
    pub fn add(&mut self, more: &Self) {
        self.add_times(more, 1);
    }

    /// Adds others so many times.
    pub fn add_times(&mut self, more: &Self, times: u64) {
        for (name, parts) in &more.0 {
            let parts = parts.saturating_mul(times);
            match self.0.get_mut(name) {
                Some(sum) => *sum = sum.saturating_add(parts),
                None => drop(self.0.insert(name.clone(), parts)),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_amount_is_a_whole_number_of_thousandths_or_none() {
        for (amount, parts) in [(0.1, 100), (0.3, 300), (4.35, 4_350), (8.0, 8_000), (0.001, 1), (1e12, 10_u64.pow(15))]
        {
            assert_eq!(exact(amount), Some(parts), "{amount}");
            assert_eq!(written(parts), amount);
        }
        for amount in [0.0001, 1.0 / 3.0, -1.0, f64::NAN, f64::INFINITY] {
            assert_eq!(exact(amount), None, "{amount}");
        }
        assert_eq!((declared(1.0 / 3.0), declared(0.0004), declared(f64::MAX)), (333, 0, u64::MAX));
    }

    #[test]
    fn sums_are_exact() {
        let tenth = Amounts::of([("gpu".to_owned(), 100), ("cpu".to_owned(), 0)]);
        let mut sum = Amounts::default();
        (0..10).for_each(|_| sum.add(&tenth));
        assert_eq!((sum.get("gpu"), sum.get("cpu")), (1_000, 0));
        assert_eq!(sum.written(), [("gpu".to_owned(), 1.0)].into());
        assert_eq!(tenth.iter().count(), 1);
    }
}
