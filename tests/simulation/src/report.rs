//! What came of a seed.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// What came of a seed: a line of JSON on the binary's output.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// Which.
    pub seed: u64,
    /// Whether it counts, and what was kept.
    pub outcome: Outcome,
    /// What was asked: tasks, cancellations, retries, reports, letters.
    pub operations: u64,
    /// How often which fault was seen to fire, and what else was counted.
    pub seen: BTreeMap<String, u64>,
    /// How long it was, in simulated milliseconds.
    pub millis: u64,
    /// A digest of every command and event, every fault, and all that was asked and answered.
    pub trace: String,
    /// What was violated, or why the run is void.
    pub note: String,
}

/// Whether a run counts, and what was kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    /// Every promise.
    Kept,
    /// Not every promise.
    Violated,
    /// Too little happened for it to count.
    Void,
}
