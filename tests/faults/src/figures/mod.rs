//! How soon something happens that was promised within a time, on three replicas and a PostgreSQL of their own. Figures are for
//! BENCHMARKS.md; no test asserts one.

mod cancel;
mod pinned;
mod reassign;

use crate::fault::{Plan, Store};
use crate::stage::Servers;
use clap::ValueEnum;
use serde::Serialize;
use serde_json::{Map, Value};
use std::time::Duration;

/// What can be measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Figure {
    /// From an agent's last word to the begin of its task's next attempt, elsewhere.
    ReassignSilent,
    /// The same from the break of its connection.
    ReassignBroken,
    /// From a call at one replica to the handler at another, which is told to stop.
    Cancel,
    /// Claims while a snapshot is held in PostgreSQL, and without one, by turns.
    PinnedReader,
}

/// How much is measured.
#[derive(Clone, Copy, Debug)]
pub struct Extent {
    /// Rounds of what is done in rounds.
    pub rounds: u32,
    /// How long claims are measured, with and without the snapshot by turns.
    pub during: Duration,
}

/// What came out: a line of JSON.
#[derive(Debug, Serialize)]
pub struct Outcome {
    /// What was measured.
    figure: &'static str,
    /// How often.
    count: usize,
    p50_ms: f64,
    p90_ms: f64,
    p99_ms: f64,
    max_ms: f64,
    /// What its 99th percentile is to be within.
    #[serde(skip_serializing_if = "Option::is_none")]
    limit_ms: Option<u64>,
    #[serde(flatten)]
    more: Map<String, Value>,
}

impl Outcome {
    /// Of lengths of time, of which there is at least one.
    fn of(figure: &'static str, limit_ms: Option<u64>, mut lengths: Vec<Duration>) -> Self {
        assert!(!lengths.is_empty(), "{figure}: nothing was measured");
        lengths.sort_unstable();
        let (p50_ms, p90_ms) = (percentile(&lengths, 50), percentile(&lengths, 90));
        let (p99_ms, max_ms) = (percentile(&lengths, 99), percentile(&lengths, 100));
        Self { figure, count: lengths.len(), p50_ms, p90_ms, p99_ms, max_ms, limit_ms, more: Map::new() }
    }

    fn with(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.more.insert(name.to_owned(), value.into());
        self
    }
}

/// The smallest length of sorted ones that so many of a hundred don't exceed, in milliseconds.
fn percentile(sorted: &[Duration], of_a_hundred: usize) -> f64 {
    let place = (sorted.len() * of_a_hundred).div_ceil(100).clamp(1, sorted.len());
    (sorted[place - 1].as_secs_f64() * 1e6).round() / 1e3
}

/// Measures one, and gives a line for each thing that was measured.
pub async fn measure(figure: Figure, extent: Extent) -> Vec<Outcome> {
    match figure {
        Figure::ReassignSilent => vec![reassign::silent(extent.rounds).await],
        Figure::ReassignBroken => vec![reassign::broken(extent.rounds).await],
        Figure::Cancel => vec![cancel::across(extent.rounds).await],
        Figure::PinnedReader => pinned::both(extent.during).await,
    }
}

/// The settings that everybody has.
const SETTINGS: &str = "--log warn";

/// Three replicas.
async fn replicas() -> Servers {
    Servers::start(&plan(), SETTINGS).await
}

/// The same on a database that is there already.
async fn replicas_at(url: &str) -> Servers {
    Servers::start_at(&plan(), SETTINGS, url).await
}

fn plan() -> Plan {
    Plan { seed: 0, store: Store::Postgres, rounds: 0, short: false, planted: String::new(), in_vain: false }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_percentile_is_one_of_the_lengths() {
        let lengths: Vec<Duration> = (1..=200).map(Duration::from_millis).collect();
        assert_eq!([50, 99, 100].map(|percent| percentile(&lengths, percent)), [100.0, 198.0, 200.0]);
        assert_eq!(percentile(&lengths[..1], 99), 1.0);
    }
}
