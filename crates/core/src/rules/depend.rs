//! A task that waits is made to wait for more.

use super::retry::all_loaded;
use super::steer::receipt;
use super::{Ruled, Step};
use crate::command::{Effect, Reply};
use crate::limits::MAX_DEPENDENCIES;
use crate::model::{Edge, EventKind, NewDependency, Task, TaskId, TaskState, Waiting};
use crate::rejection::{Reason, Rejection};
use crate::rules::transition::Move;
use crate::validate::Faults;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

impl Step<'_, '_> {
    /// Makes a WAITING task wait for more, all or none, behind what it has.
    pub(super) fn add_dependencies(&mut self, id: TaskId, added: &[NewDependency]) -> Ruled<Reply> {
        self.check_all_current("dependencies", "would not retry the tasks of a workflow in their order")?;
        self.want_to_depend(id, added)?;
        let mut task = self.task(id)?;
        let TaskState::Waiting(waiting) = &task.state else {
            return Err(Rejection::task_state(id, task.state.name(), remedy(&task)).into());
        };
        let waiting = waiting.clone();
        let had: Vec<Edge> = self.ws.dependencies((task.namespace, id))?.to_vec();
        let mut faults = Faults::default();
        check_beside(&task, &had, added, &mut faults);
        let dependencies = self.examine_dependencies("dependencies", added, &mut faults)?;
        let only_missing = faults.count() == dependencies.missing;
        faults.finish().map_err(|refused| match only_missing {
            true => Rejection { reason: Reason::TaskNotFound, ..refused },
            false => refused,
        })?;
        self.check_cycle(&task, added)?;
        self.connect(id, task.dependencies, &dependencies)?;
        self.remember_agents(&mut task, &dependencies);
        task.dependencies += u32::try_from(added.len()).unwrap_or(u32::MAX);
        let more = Waiting { unmet: waiting.unmet + dependencies.unmet, ..waiting };
        self.go(&mut task, Move::Wait(more), told(added.len()))?;
        if let Some(ending) = dependencies.ending {
            self.end_one(&mut task, ending)?;
            // In steps of its own: this one may have read much already.
            self.effects.extend(task.releasing.then_some(Effect::Releasing { task: id }));
        }
        Ok(receipt(&task))
    }

    /// Asks for the task with what it waits for, and for what it is to wait for, in one go. (Of results no more are asked for than a
    /// command may read: a task has no more dependencies than that.)
    fn want_to_depend(&self, id: TaskId, added: &[NewDependency]) -> Ruled<()> {
        let at = (self.namespace.id, id);
        let sources = added.iter().map(|dependency| (self.namespace.id, dependency.source));
        let rows = self.ws.want_loaded(std::iter::empty(), sources.chain([at]));
        all_loaded([rows, self.ws.want_dependencies(std::iter::once(at))].into_iter())?;
        self.want_sources(std::iter::empty(), added.iter())
    }
}

/// What to do about a task that is not WAITING.
fn remedy(task: &Task) -> &'static str {
    match task.state {
        TaskState::Ready { .. } => "only a WAITING task can be made to wait for more; hold it, or its workflow, first",
        _ if task.is_live() => "only a WAITING task can be made to wait for more, and an agent has it; create another",
        _ => "only a WAITING task can be made to wait for more; create another",
    }
}

/// Looks at what is added beside the task itself and what it has.
fn check_beside(task: &Task, had: &[Edge], added: &[NewDependency], faults: &mut Faults) {
    let all = task.dependencies as usize + added.len();
    if all > MAX_DEPENDENCIES {
        let fault = format!("the task has {}, and would have {all}; at most {MAX_DEPENDENCIES}", task.dependencies);
        faults.add("dependencies", format!("{fault}: gather what it waits for in a task between them"));
    }
    let sources: HashSet<TaskId> = had.iter().map(|edge| edge.source).collect();
    let named = had.iter().filter_map(|edge| Some((edge.terms.name.as_ref()?, edge.source)));
    let names: HashMap<&Arc<str>, TaskId> = named.collect();
    for (place, NewDependency { source, terms }) in added.iter().enumerate() {
        let field = format_args!("dependencies[{place}].task_id");
        if *source == task.id {
            faults.add(field, format!("task {source} would wait for itself; leave it out"));
        } else if sources.contains(source) {
            faults.add(field, format!("task {source} is one of its dependencies already; leave it out"));
        }
        if let Some((name, taken)) = terms.name.as_ref().and_then(|name| names.get_key_value(name)) {
            let fault = format!("{name:?} is what the task calls {taken} already; give each its own");
            faults.add(format_args!("dependencies[{place}].name"), fault);
        }
    }
}

fn told(more: usize) -> EventKind {
    EventKind::Updated { fields: format!("dependencies ({more} more)"), fallback: None }
}
