//! Children: tasks that a run of another task created, and gets back when a later attempt asks for them again.

use super::id::{NamespaceId, TaskId};
use super::spec::NewTask;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// What tells a child from the others of its parent's run.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ChildKey {
    /// What the parent's handler calls it.
    pub name: Arc<str>,
    /// How many children of this name its attempt had begun before it.
    #[serde(default)]
    pub occurrence: u32,
}

/// Whose child a task is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ParentLink {
    /// The parent.
    pub task: TaskId,
    /// The run of the parent that created it.
    pub run: u32,
    /// Which child of that run.
    pub key: ChildKey,
    /// 1 for the child of a task that is nobody's child.
    pub depth: u32,
}

/// What becomes of a live child when its parent's run ends.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnParentEnd {
    /// It is cancelled.
    #[default]
    Cancel,
    /// It goes on by itself.
    Detach,
}

/// A child that is asked for.
#[derive(Clone, Debug, PartialEq)]
pub struct NewChild {
    /// Which.
    pub key: ChildKey,
    /// What it is to be, if it is not there yet.
    pub task: NewTask,
    /// What becomes of it when the parent's run ends.
    pub on_parent_end: OnParentEnd,
}

/// A child of a run. It never changes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TaskChild {
    /// The namespace of both.
    pub namespace: NamespaceId,
    /// The parent.
    pub parent: TaskId,
    /// The parent's run.
    pub run: u32,
    /// Its place among the run's children: 1, 2, 3, … in the order of the commits.
    pub ordinal: u32,
    /// Which.
    pub key: ChildKey,
    /// The child.
    pub child: TaskId,
    /// What becomes of it when the parent's run ends.
    pub on_parent_end: OnParentEnd,
}
