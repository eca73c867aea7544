//! Describing a child to be created.

use callboard_proto::v1;

use crate::NewTask;

/// A child to be created: a task, what its parent's handler calls it, and what becomes of it when the parent's run ends.
/// A [`NewTask`] is one by itself.
#[derive(Debug, Clone)]
pub struct NewChild {
    pub(crate) task: NewTask,
    pub(crate) name: Option<String>,
    pub(crate) on_parent_end: v1::ParentEndAction,
}

impl NewChild {
    /// This task as a child.
    pub fn new(task: NewTask) -> Self {
        Self { task, name: None, on_parent_end: v1::ParentEndAction::Cancel }
    }

    /// What tells it from other children of the run: 1 to 128 bytes. Default: its task type.
    #[must_use]
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.name = Some(name.into());
        self
    }

    /// It goes on by itself when the parent's run ends. Else it is cancelled then.
    #[must_use]
    pub fn detached(mut self) -> Self {
        self.on_parent_end = v1::ParentEndAction::Detach;
        self
    }
}

impl From<NewTask> for NewChild {
    fn from(task: NewTask) -> Self {
        Self::new(task)
    }
}
