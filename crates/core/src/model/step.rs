//! Durable steps: results of parts of a handler's work, which later attempts of the same run are given.

use super::id::{NamespaceId, TaskId};
use super::payload::Payload;
use super::time::Timestamp;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// What tells a step from the others of its run.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct StepKey {
    /// What the handler calls it.
    pub name: Arc<str>,
    /// How many steps of this name its attempt had begun before it.
    #[serde(default)]
    pub occurrence: u32,
}

/// A step whose result is to be recorded.
#[derive(Clone, Debug, PartialEq)]
pub struct NewStep {
    /// Which.
    pub key: StepKey,
    /// What it gave.
    pub result: Arc<Payload>,
    /// A digest of that.
    pub digest: u64,
}

/// A step that is recorded. It never changes.
#[derive(Clone, Debug, PartialEq)]
pub struct TaskStep {
    /// Its namespace.
    pub namespace: NamespaceId,
    /// Its task.
    pub task: TaskId,
    /// The run that it is of.
    pub run: u32,
    /// Its place among the run's steps: 1, 2, 3, … in the order of the commits.
    pub ordinal: u32,
    /// Which.
    pub key: StepKey,
    /// The attempt that recorded it.
    pub attempt: u32,
    /// When.
    pub recorded_at: Timestamp,
    /// What it gave.
    pub result: Arc<Payload>,
    /// A digest of that.
    pub digest: u64,
    /// The bytes of the run's results, this one's included.
    pub bytes_so_far: u64,
}

/// What a run has recorded, in numbers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StepTotals {
    /// How many steps.
    pub count: u32,
    /// The bytes of their results.
    pub bytes: u64,
}
