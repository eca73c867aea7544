//! What was measured, as it is reported.

use std::time::Duration;

use hdrhistogram::Histogram;
use serde::Serialize;
use serde_json::{Map, Value};

use super::usage::Usage;
use super::verify::Verified;
use super::world::Usages;

/// The longest latency that is told apart, in microseconds: ten minutes.
const LONGEST: u64 = 600_000_000;

/// Latencies, to three digits.
#[derive(Debug, Clone)]
pub struct Latencies {
    microseconds: Histogram<u64>,
}

impl Latencies {
    /// None yet.
    // The library refuses other bounds than these constants.
    #[allow(clippy::expect_used)]
    pub fn new() -> Self {
        Self { microseconds: Histogram::new_with_max(LONGEST, 3).expect("bounds that a histogram may have") }
    }

    /// One more.
    pub fn record(&mut self, latency: Duration) {
        self.microseconds.saturating_record(u64::try_from(latency.as_micros()).unwrap_or(LONGEST));
    }

    /// Those of another.
    pub fn add(&mut self, other: &Self) {
        // Both have the same bounds.
        let _ = self.microseconds.add(&other.microseconds);
    }

    /// How many.
    pub fn count(&self) -> u64 {
        self.microseconds.len()
    }

    fn milliseconds(&self, percentile: f64) -> Option<f64> {
        (self.count() > 0).then(|| round(self.microseconds.value_at_percentile(percentile) as f64 / 1e3))
    }
}

/// The figures of a part. What a part doesn't measure is left out.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Figures {
    /// Results known to the submitter, per second of the measured time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tasks_per_s: Option<f64>,
    /// The median of the latency.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub p50_ms: Option<f64>,
    /// Its 90th percentile.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub p90_ms: Option<f64>,
    /// Its 99th percentile.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub p99_ms: Option<f64>,
    /// The longest.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_ms: Option<f64>,
    /// Tasks that were measured.
    pub tasks: u64,
    /// For how long.
    pub seconds: f64,
    /// Processor time for each task.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cpu_us_per_task: Option<ProcessorTime>,
    /// The server's memory at the end.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub server_rss_bytes: Option<u64>,
    /// Tasks whose histories were verified, the warm-up's included.
    pub verified_tasks: u64,
    /// Attempts among them that were lost, timed out or handed back, though nobody was killed.
    pub faults: u64,
    /// What only this part measures.
    #[serde(flatten)]
    pub more: Map<String, Value>,
}

/// Processor time for each task, in microseconds.
#[derive(Debug, Clone, Copy, Default, Serialize)]
pub struct ProcessorTime {
    /// Of the server; none when its process is not known.
    pub server: Option<f64>,
    /// Of the submitter.
    pub client: Option<f64>,
    /// Of the agents.
    pub agents: Option<f64>,
}

impl Figures {
    /// Latencies and what they took.
    pub fn of(latencies: &Latencies, took: Duration) -> Self {
        Self {
            p50_ms: latencies.milliseconds(50.0),
            p90_ms: latencies.milliseconds(90.0),
            p99_ms: latencies.milliseconds(99.0),
            max_ms: latencies.milliseconds(100.0),
            tasks: latencies.count(),
            seconds: round(took.as_secs_f64()),
            ..Self::default()
        }
    }

    /// With the rate of so many tasks.
    #[must_use]
    pub fn with_rate(mut self, tasks: u64, took: Duration) -> Self {
        self.tasks = tasks;
        self.tasks_per_s = (!took.is_zero()).then(|| round(tasks as f64 / took.as_secs_f64()));
        self
    }

    /// With what everybody used meanwhile.
    #[must_use]
    pub fn with_usages(mut self, before: &Usages, after: &Usages) -> Self {
        let tasks = self.tasks;
        let each = |before: Option<Usage>, after: Option<Usage>| {
            let used = after?.processor.saturating_sub(before?.processor);
            (tasks > 0).then(|| round(used.as_secs_f64() * 1e6 / tasks as f64))
        };
        self.cpu_us_per_task = Some(ProcessorTime {
            server: each(before.server, after.server),
            client: each(before.client, after.client),
            agents: each(before.agents, after.agents),
        });
        self.server_rss_bytes = after.server.map(|usage| usage.resident_bytes);
        self
    }

    /// With a figure that only this part has.
    #[must_use]
    pub fn with_value(mut self, name: &str, value: Value) -> Self {
        self.more.insert(name.to_owned(), value);
        self
    }

    /// With what the histories say.
    #[must_use]
    pub fn with_verified(mut self, verified: Verified) -> Self {
        self.verified_tasks = verified.tasks;
        self.faults = verified.faults;
        self
    }
}

/// Three digits behind the point: finer than any of it is true.
pub fn round(value: f64) -> f64 {
    (value * 1e3).round() / 1e3
}
