//! Dependencies between tasks.

use super::id::{NamespaceId, TaskId};
use serde::{Deserialize, Serialize};

/// `target` waits for `source`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Edge {
    /// The namespace of both.
    pub namespace: NamespaceId,
    /// What must end first.
    pub source: TaskId,
    /// What waits.
    pub target: TaskId,
    /// The place among the target's dependencies, from 0.
    pub ordinal: u32,
    /// What becomes of the target when the source does not complete.
    pub on_failure: OnFailure,
    /// The source has ended, and the target knows.
    pub resolved: bool,
}

/// What becomes of a dependent when its dependency does not complete.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnFailure {
    /// It ends skipped.
    #[default]
    Skip,
    /// It ends failed.
    Fail,
}
