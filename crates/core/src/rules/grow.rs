//! Growing plans: tasks that are added to a workflow which runs.

use super::hold::check_runs;
use super::workflows::{Found, Plan, link};
use super::{Ruled, Step};
use crate::command::Reply;
use crate::limits::{MAX_HEADER_BYTES, MAX_HEADERS, MAX_WORKFLOW_TASKS};
use crate::model::{AddedTasks, NewDependency, NewTask, TaskId, Workflow, WorkflowId};
use crate::rejection::Rejection;
use crate::validate::Faults;
use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

impl Step<'_, '_> {
    /// Adds tasks to a workflow, all or none, behind all that it has: what they wait for stands before them.
    pub(super) fn add_workflow_tasks(&mut self, id: WorkflowId, added: &AddedTasks) -> Ruled<Reply> {
        self.check_all_current("tasks", "would not keep them held")?;
        let mut workflow = self.workflow(id)?;
        check_runs(&workflow, "create another workflow, or retry it first when it has ended badly")?;
        check_size(&workflow, added.tasks.len())?;
        let (asked, behind) = self.asked_of(&workflow, added)?;
        self.check_room_for(asked.len())?;
        let by_id = asked.iter().flat_map(|task| &task.dependencies);
        let by_name = behind.values().flatten().map(|(_, dependency)| dependency);
        self.want_sources(std::iter::empty(), by_id.clone().chain(by_name.clone()))?;
        self.check_conditions(by_id.chain(by_name))?;
        let first = workflow.tally.tasks;
        // Before the first of them can end.
        added.tasks.iter().for_each(|planned| workflow.tally.add(&link(id, planned)));
        self.ws.put_workflow(workflow);
        let plan = Plan { tasks: &added.tasks, order: &added.order, asked, behind, first };
        Ok(Reply::Tasks(self.create_planned(id, plan)?))
    }

    /// The tasks with what their workflow gives to each, and what they wait for of it. Every fault that only its rows tell is told.
    fn asked_of(&self, workflow: &Workflow, added: &AddedTasks) -> Ruled<(Vec<NewTask>, Found)> {
        let own = added.tasks.iter().map(|planned| &planned.name);
        let names: BTreeSet<Arc<str>> = own.chain(added.behind.iter().map(|behind| &behind.name)).cloned().collect();
        let known = self.ws.workflow_names((workflow.namespace, workflow.id), &names)?;
        let mut faults = Faults::default();
        check_names_are_free(added, &known, &mut faults);
        let mut asked: Vec<NewTask> = added.tasks.iter().map(|planned| planned.task.clone()).collect();
        let behind = resolve(added, &known, &mut faults);
        for (place, task) in asked.iter_mut().enumerate() {
            task.hold |= workflow.held.is_some();
            inherit_headers(workflow, place, task, &mut faults);
        }
        faults.finish()?;
        Ok((asked, behind))
    }
}

fn check_size(workflow: &Workflow, more: usize) -> Result<(), Rejection> {
    let all = u32::try_from(more).ok().and_then(|more| workflow.tally.tasks.checked_add(more));
    if all.is_some_and(|all| all <= MAX_WORKFLOW_TASKS) {
        return Ok(());
    }
    let remedy = "go on with another workflow";
    Err(Rejection::limit("tasks of a workflow", MAX_WORKFLOW_TASKS, remedy))
}

fn check_names_are_free(added: &AddedTasks, known: &HashMap<Arc<str>, TaskId>, faults: &mut Faults) {
    for (place, planned) in added.tasks.iter().enumerate() {
        if let Some(task) = known.get(&planned.name) {
            let name = &*planned.name;
            let fault = format!("{name:?} is the name of task {task} of the workflow; give each its own");
            faults.add(format_args!("tasks[{place}].name"), fault);
        }
    }
}

/// Makes names of tasks that the workflow has into dependencies.
fn resolve(added: &AddedTasks, known: &HashMap<Arc<str>, TaskId>, faults: &mut Faults) -> Found {
    let mut found = Found::new();
    for behind in &added.behind {
        let Some(planned) = added.tasks.get(behind.place) else { continue };
        let field = format_args!("tasks[{}].depends_on[{}].task", behind.place, behind.index);
        let name = &*behind.name;
        match known.get(&behind.name) {
            None => faults.add(
                field,
                format!(
                    "there is no task {name:?}, neither among these nor in the workflow; add it, or check the name"
                ),
            ),
            // Names differ from each other, so that only what was asked for by its id can be the same.
            Some(source) if planned.task.dependencies.iter().any(|other| other.source == *source) => {
                faults.add(field, format!("task {name:?} stands among the task's dependencies, too; name it once"));
            }
            Some(source) => {
                let dependency = NewDependency { source: *source, terms: behind.terms.clone() };
                found.entry(behind.place).or_default().push((behind.index, dependency));
            }
        }
    }
    found
}

/// Copies the headers of the workflow that the task doesn't name.
fn inherit_headers(workflow: &Workflow, place: usize, task: &mut NewTask, faults: &mut Faults) {
    let headers = &mut task.spec.headers;
    for (name, value) in &workflow.spec.headers {
        headers.entry(name.clone()).or_insert_with(|| value.clone());
    }
    let bytes: usize = headers.iter().map(|(name, value)| name.len() + value.len()).sum();
    if headers.len() > MAX_HEADERS || bytes > MAX_HEADER_BYTES {
        let fault = format!(
            "has, with those of its workflow, {} entries and {bytes} bytes; at most {MAX_HEADERS} and {MAX_HEADER_BYTES}: \
             give fewer, or under the workflow's names",
            headers.len()
        );
        faults.add(format_args!("tasks[{place}].task.headers"), fault);
    }
}
