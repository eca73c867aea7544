//! Children.

use super::task;
use callboard_core::model::{ChildKey, OnParentEnd, ParentLink, Task, TaskChild};
use callboard_core::validate::Faults;
use callboard_proto::v1;
use std::fmt::Display;

/// Reads what tells a child from the others of its run.
pub(crate) fn key(name: String, occurrence: i32, faults: &mut Faults) -> ChildKey {
    faults.child_name("name", &name);
    let occurrence = super::count("occurrence", occurrence, "0 or more: count the children of this name", 0, faults);
    ChildKey { name: name.into(), occurrence }
}

/// Reads what becomes of a child when its parent's run ends.
pub(crate) fn on_parent_end(field: impl Display + Copy, value: i32, faults: &mut Faults) -> OnParentEnd {
    use v1::ParentEndAction as Action;
    match Action::try_from(value) {
        Ok(Action::Unspecified | Action::Cancel) => OnParentEnd::Cancel,
        Ok(Action::Detach) => OnParentEnd::Detach,
        Err(_) => {
            faults.add(field, format!("{value} is not an action; use CANCEL (1) or DETACH (2)"));
            OnParentEnd::Cancel
        }
    }
}

/// Writes a child, with its task unless that was forgotten.
pub(crate) fn to_child(child: &TaskChild, task: Option<&Task>, namespace: &str) -> v1::Child {
    let on_parent_end = match child.on_parent_end {
        OnParentEnd::Cancel => v1::ParentEndAction::Cancel,
        OnParentEnd::Detach => v1::ParentEndAction::Detach,
    };
    v1::Child {
        name: child.key.name.to_string(),
        occurrence: task::number(child.key.occurrence),
        ordinal: task::number(child.ordinal),
        on_parent_end: on_parent_end.into(),
        task: task.map(|task| task::to_task(task, namespace)),
        task_id: child.child.to_string(),
    }
}

/// Writes whose child a task is.
pub(crate) fn to_parent_link(link: &ParentLink) -> v1::ParentLink {
    v1::ParentLink {
        task_id: link.task.to_string(),
        run: task::number(link.run),
        name: link.key.name.to_string(),
        occurrence: task::number(link.key.occurrence),
        depth: task::number(link.depth),
    }
}
