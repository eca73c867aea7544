//! Children that would wait for their own ends: their parents may be waiting for them, and would be waited for.
//!
//! What a handler waits for isn't known here, so every child counts as waited for. A way back to an ancestor is there when the child is
//! created, or comes with dependencies that are added to a task later: see [`super::cycle`].

use super::{Ruled, Step};
use crate::model::{KeyConflict, NewDependency, NewTask, Task, TaskId, TaskState};
use crate::rejection::{Reason, Rejection};
use std::collections::BTreeSet;

/// How many dependencies behind each other are followed. Each is a read of the store.
const MOST_LEVELS: usize = 16;
/// How many dependencies are looked at in all.
const MOST_EDGES: usize = 1_000;

impl Step<'_, '_> {
    /// Refuses a child that waits for an ancestor, by itself or by others that do, or that is one by its key.
    pub(super) fn check_deadlock(&self, parent: &Task, new: &NewTask) -> Ruled<()> {
        let holder = match &new.spec.key {
            Some(key) => self.ws.task_by_key(&(parent.namespace, key.clone()))?,
            None => None,
        };
        if holder.is_none() && new.dependencies.is_empty() {
            return Ok(());
        }
        let ancestors = self.ancestors(parent)?;
        for (index, NewDependency { source, .. }) in new.dependencies.iter().enumerate() {
            if ancestors.contains(source) {
                return Err(waits_for_ancestor(index, *source, "is the child's parent, or further up").into());
            }
        }
        if let Some(holder) = holder.filter(|holder| ancestors.contains(holder)) {
            return Err(is_ancestor(holder, "the child's parent or further up").into());
        }
        let adopted = holder.filter(|_| new.on_key_conflict == KeyConflict::UseExisting);
        let starts: Vec<TaskId> = new.dependencies.iter().map(|dependency| dependency.source).chain(adopted).collect();
        self.ws.want_loaded(std::iter::empty(), starts.iter().map(|id| (parent.namespace, *id)))?;
        match self.way_back(parent, &starts, &ancestors)? {
            None => Ok(()),
            Some(start) if start < new.dependencies.len() => {
                let said = "waits itself for the child's parent, or for one further up";
                Err(waits_for_ancestor(start, starts[start], said).into())
            }
            Some(start) => {
                Err(is_ancestor(starts[start], "which waits for the child's parent, or for one further up").into())
            }
        }
    }

    /// A task, its parent, and so on.
    pub(super) fn ancestors(&self, task: &Task) -> Ruled<BTreeSet<TaskId>> {
        let mut found = BTreeSet::from([task.id]);
        let mut next = task.parent().map(|link| link.task);
        while let Some(id) = next {
            // A task is created behind its parent, so that there is no way back; a row that says otherwise must not keep us here.
            if !found.insert(id) {
                break;
            }
            let parent = self.ws.task((task.namespace, id))?;
            next = parent.and_then(Task::parent).map(|link| link.task);
        }
        Ok(found)
    }

    /// The place of the first of these tasks that waits for an ancestor by dependencies of others. What is too far away, or too
    /// much, isn't found: then the ancestor's own time ends it.
    fn way_back(&self, parent: &Task, starts: &[TaskId], ancestors: &BTreeSet<TaskId>) -> Ruled<Option<usize>> {
        let mut seen: BTreeSet<TaskId> = BTreeSet::new();
        let mut room = MOST_EDGES;
        let mut level: Vec<(usize, TaskId)> = starts.iter().copied().enumerate().collect();
        for _ in 0..MOST_LEVELS {
            level.retain(|(_, id)| seen.insert(*id) && self.may_lead_back(parent, *id, &mut room));
            if level.is_empty() {
                break;
            }
            self.ws.want_dependencies(level.iter().map(|(_, id)| (parent.namespace, *id)))?;
            let mut next = Vec::new();
            for (start, id) in level {
                for edge in self.ws.dependencies((parent.namespace, id))? {
                    let waits = self.ws.loaded_task(edge.source).is_some_and(Task::is_live);
                    if waits && ancestors.contains(&edge.source) {
                        return Ok(Some(start));
                    }
                    next.push((start, edge.source));
                }
            }
            level = next;
        }
        Ok(None)
    }

    /// Whether a task waits for others that it is worth looking at. Another child of the same parent was looked at when it was
    /// created, or given more to wait for.
    fn may_lead_back(&self, parent: &Task, id: TaskId, room: &mut usize) -> bool {
        let Some(task) = self.ws.loaded_task(id) else { return false };
        let waits = matches!(&task.state, TaskState::Waiting(waiting) if waiting.unmet > 0);
        if !waits || task.parent().is_some_and(|link| link.task == parent.id) {
            return false;
        }
        let edges = task.dependencies as usize;
        let fits = edges <= *room;
        *room -= if fits { edges } else { 0 };
        fits
    }
}

fn waits_for_ancestor(index: usize, source: TaskId, said: &str) -> Rejection {
    let fault =
        format!("task {source} {said}: that may wait for the child, which would wait for it; leave the dependency out");
    Rejection::field(format!("tasks[0].dependencies[{index}].task_id"), fault)
}

fn is_ancestor(holder: TaskId, said: &str) -> Rejection {
    let message = format!("tasks[0].key: it is the key of live task {holder}, {said}; use another key");
    Rejection::new(Reason::KeyExists, message)
}
