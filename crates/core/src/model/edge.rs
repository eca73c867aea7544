//! Dependencies between tasks.

use super::condition::Condition;
use super::id::{NamespaceId, TaskId};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// `target` waits for `source`.
#[derive(Clone, Debug, PartialEq)]
pub struct Edge {
    /// The namespace of both.
    pub namespace: NamespaceId,
    /// What must end first.
    pub source: TaskId,
    /// What waits.
    pub target: TaskId,
    /// The place among the target's dependencies, from 0.
    pub ordinal: u32,
    /// What the target asks of the source.
    pub terms: Terms,
    /// The source has ended, and the target knows.
    pub resolved: bool,
}

/// A dependency that a new task is to have.
#[derive(Clone, Debug, PartialEq)]
pub struct NewDependency {
    /// What must end first.
    pub source: TaskId,
    /// What is asked of it.
    pub terms: Terms,
}

impl NewDependency {
    /// On a task that must complete.
    pub fn on(source: TaskId, on_failure: OnFailure) -> Self {
        Self { source, terms: Terms { on_failure, ..Terms::default() } }
    }
}

/// What a task asks of one that it depends on.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Terms {
    /// How that one must end.
    pub condition: Condition,
    /// What becomes of the dependent otherwise.
    pub on_failure: OnFailure,
    /// What the dependent's handler calls it.
    pub name: Option<Arc<str>>,
}

/// What becomes of a dependent when its dependency ends otherwise than its condition says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnFailure {
    /// It ends skipped.
    #[default]
    Skip,
    /// It ends failed.
    Fail,
}
