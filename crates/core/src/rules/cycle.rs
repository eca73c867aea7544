//! Tasks that would wait for themselves: what a task is to wait for must not wait for it.
//!
//! A new task can't close a cycle, since nothing waits for it; a task that is given more dependencies can. What is looked at is what tasks
//! still wait for. What has ended is waited for no more, and another run of it can't close a cycle either: its end told all who
//! waited, and none of them waits for it again before it is retried itself, behind it.
//!
//! A task may wait for its children, too, as far as can be known here: so its children count as waited for, but for those that outlive it,
//! which are looked at only among those of whom the task itself is a descendant.
//!
//! Every task on the way is locked in a shared store, and who would wait for more is one of them: of two commands that together
//! would close a cycle, one sees what the other did.

use super::retry::all_loaded;
use super::{Ruled, Step};
use crate::model::{NewDependency, Task, TaskId, TaskState};
use crate::plan::arrows;
use crate::rejection::Rejection;
use std::collections::HashMap;

/// How many tasks are looked at.
const MOST_TASKS: usize = 10_000;
/// How many of them behind each other. Each is a read of the store, of which a command has 256.
const MOST_LEVELS: usize = 200;

/// Tasks that were come upon: each with the one that waits for it.
type Way = HashMap<TaskId, TaskId>;

impl Step<'_, '_> {
    /// Refuses dependencies, each of another task that is loaded, that wait for the task themselves.
    pub(super) fn check_cycle(&self, task: &Task, added: &[NewDependency]) -> Ruled<()> {
        // Nobody waits for it.
        if !task.has_dependents && task.parent().is_none() {
            return Ok(());
        }
        let ends = self.ancestors(task)?;
        let mut way = Way::new();
        let mut level: Vec<TaskId> = added.iter().map(|dependency| dependency.source).collect();
        way.extend(level.iter().map(|source| (*source, task.id)));
        for _ in 0..MOST_LEVELS {
            if let Some(end) = level.iter().find(|id| ends.contains(id)) {
                return Err(self.cycle(task, added, &way, *end).into());
            }
            level.retain(|id| self.ws.loaded_task(*id).is_some_and(waits_for_others));
            if level.is_empty() {
                return Ok(());
            }
            level = self.awaited_by(&level, &mut way)?;
            if way.len() > MOST_TASKS {
                return Err(too_many("tasks", MOST_TASKS).into());
            }
        }
        Err(too_many("tasks behind each other", MOST_LEVELS).into())
    }

    /// What these tasks wait for that was not come upon before, loaded in one go.
    fn awaited_by(&self, level: &[TaskId], way: &mut Way) -> Ruled<Vec<TaskId>> {
        let namespace = self.namespace.id;
        let tasks: Vec<&Task> = level.iter().filter_map(|id| self.ws.loaded_task(*id)).collect();
        let waiting = tasks.iter().filter(|task| unmet(task) > 0).map(|task| (namespace, task.id));
        let edges = self.ws.want_dependencies(waiting);
        let parents = tasks.iter().filter(|task| task.has_children);
        let children = parents.map(|task| self.ws.run_children((namespace, task.id, task.run)).map(|_| ()));
        all_loaded(children.chain([edges]))?;
        let mut next = Vec::new();
        for task in tasks {
            for source in self.awaited(task)? {
                way.entry(source).or_insert_with(|| {
                    next.push(source);
                    task.id
                });
            }
        }
        Ok(next)
    }

    /// What a task waits for, its children included.
    fn awaited(&self, task: &Task) -> Ruled<Vec<TaskId>> {
        let mut awaited = Vec::new();
        if unmet(task) > 0 {
            let edges = self.ws.dependencies((task.namespace, task.id))?;
            awaited.extend(edges.iter().filter(|edge| self.ws.waits(edge)).map(|edge| edge.source));
        }
        if task.has_children {
            awaited.extend(self.ws.run_children((task.namespace, task.id, task.run))?);
        }
        Ok(awaited)
    }

    /// The refusal, with the way from the task to itself, or to the one that is its parent or further up.
    fn cycle(&self, task: &Task, added: &[NewDependency], way: &Way, end: TaskId) -> Rejection {
        let mut path = vec![end];
        let mut at = end;
        while let Some(waits) = way.get(&at).copied().filter(|waits| *waits != task.id) {
            path.push(waits);
            at = waits;
        }
        let first = added.iter().position(|dependency| dependency.source == at).unwrap_or_default();
        let parent = match end == task.id {
            true => String::new(),
            false => format!(" (task {end} is its parent, or further up, and may wait for it)"),
        };
        path.retain(|id| *id != task.id);
        path.push(task.id);
        path.reverse();
        let names: Vec<String> = path.into_iter().map(|id| self.called(task, id)).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let fault = format!("is a cycle: {}{parent}; leave it out", arrows(&names));
        Rejection::field(format!("dependencies[{first}].task_id"), fault)
    }

    /// What a task is called in the workflow of another; its id if it is of none, or of another workflow.
    fn called(&self, beside: &Task, id: TaskId) -> String {
        let workflow = beside.spec.workflow.as_deref().map(|link| link.workflow);
        let link = self.ws.loaded_task(id).and_then(|task| task.spec.workflow.as_deref());
        let name = link.filter(|link| Some(link.workflow) == workflow).and_then(|link| link.name.as_deref());
        name.map_or_else(|| id.to_string(), str::to_owned)
    }
}

fn unmet(task: &Task) -> u32 {
    match &task.state {
        TaskState::Waiting(waiting) => waiting.unmet,
        _ => 0,
    }
}

fn waits_for_others(task: &Task) -> bool {
    task.is_live() && (unmet(task) > 0 || task.has_children)
}

fn too_many(what: &str, most: usize) -> Rejection {
    let remedy = "let it wait for a task that itself waits for fewer, or add it when some of them have ended";
    Rejection::limit(&format!("dependencies: {what} that these wait for in turn"), most, remedy)
}
