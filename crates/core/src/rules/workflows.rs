//! Workflows: created with their tasks, told of each of their ends, cancelled with all of them.

use super::{Ruled, Step};
use crate::command::{Effect, Reply, TaskReceipt};
use crate::limits::MAX_TASKS_BEHIND;
use crate::model::task::Cancelling;
use crate::model::{
    Errand, NewDependency, NewTask, NewWorkflow, NewWorkflowTask, Tally, Task, TaskId, Walk, Workflow, WorkflowId,
    WorkflowLink, WorkflowTask,
};
use crate::rejection::Rejection;
use crate::rules::end::Ending;
use std::collections::BTreeMap;
use std::sync::Arc;

impl Step<'_, '_> {
    /// Creates a workflow with its tasks, all or none.
    pub(super) fn create_workflow(&mut self, new: &NewWorkflow) -> Ruled<Reply> {
        self.check_all_current("workflow", "would not tell it of its tasks' ends")?;
        let asked: Vec<_> = new.tasks.iter().map(|planned| planned.task.clone()).collect();
        self.want_all(&asked)?;
        self.check_room_for(new.tasks.len())?;
        self.check_conditions(asked.iter().flat_map(|task| &task.dependencies))?;
        let id = WorkflowId(self.cx.entropy.uuid_v7(self.cx.now));
        self.insert_workflow(id, new);
        let tasks = self
            .create_planned(id, Plan { tasks: &new.tasks, order: &new.order, asked, behind: Found::new(), first: 0 })?;
        Ok(Reply::Workflow { workflow: id, tasks })
    }

    /// Creates the tasks of a plan, which the workflow's tally has already; gives their receipts by their places.
    pub(super) fn create_planned(&mut self, workflow: WorkflowId, plan: Plan<'_>) -> Ruled<Vec<TaskReceipt>> {
        let Plan { tasks, order, mut asked, mut behind, first } = plan;
        let tasks_behind = tasks_behind(tasks, order);
        let mut receipts: Vec<Option<TaskReceipt>> = vec![None; tasks.len()];
        for (ordinal, place) in (first..).zip(order) {
            let planned = &tasks[*place];
            let task = &mut asked[*place];
            let tasks_behind = tasks_behind[*place];
            task.spec.workflow = Some(Box::new(WorkflowLink { tasks_behind, ..link(workflow, planned) }));
            let behind = behind.remove(place).unwrap_or_default();
            task.dependencies.extend(named_dependencies(planned, &receipts, behind));
            let receipt = self.create_task(task, *place)?;
            receipts[*place] = Some(receipt);
            self.ws.add_workflow_task(WorkflowTask {
                namespace: self.namespace.id,
                workflow,
                ordinal,
                task: receipt.task,
                name: Some(planned.name.clone()),
            });
        }
        Ok(receipts.into_iter().flatten().collect())
    }

    fn insert_workflow(&mut self, id: WorkflowId, new: &NewWorkflow) {
        let mut tally = Tally::default();
        new.tasks.iter().for_each(|planned| tally.add(&link(id, planned)));
        self.ws.put_workflow(Workflow {
            namespace: self.namespace.id,
            id,
            spec: Arc::new(new.spec.clone()),
            tally,
            cancelling: None,
            held: None,
            walk: None,
            created_by: self.principal.clone(),
            created_at: self.cx.now,
            ended_at: None,
            version: 0,
        });
    }

    /// A task has ended: its workflow counts it, and ends with its last.
    pub(super) fn tally_end(&mut self, task: &Task) -> Ruled<()> {
        let Some((link, mut workflow)) = self.workflow_of(task)? else { return Ok(()) };
        workflow.tally.end(&link, task.state.name());
        self.put_ended_or_not(workflow);
        Ok(())
    }

    /// Writes a workflow, which has ended if nothing of it lives, and nothing is about to live again.
    fn put_ended_or_not(&mut self, mut workflow: Workflow) {
        if workflow.tally.open() == 0 && !workflow.is_being_retried() && workflow.ended_at.is_none() {
            workflow.ended_at = Some(self.cx.now);
            // Nothing is left to be held, or to be released.
            workflow.held = None;
            workflow.walk = workflow.walk.filter(|_| !workflow.is_being_held_or_released());
            self.effects.push(Effect::WorkflowEnded { workflow: Arc::new(workflow.clone()) });
        }
        self.ws.put_workflow(workflow);
    }

    /// A task that had ended is about to live again, and its workflow with it.
    pub(super) fn tally_reopen(&mut self, task: &Task) -> Ruled<()> {
        let Some((link, mut workflow)) = self.workflow_of(task)? else { return Ok(()) };
        workflow.tally.reopen(&link, task.state.name());
        // Who lets one of them live again takes the cancellation back.
        workflow.ended_at = None;
        workflow.cancelling = None;
        self.ws.put_workflow(workflow);
        Ok(())
    }

    pub(super) fn workflow_of(&self, task: &Task) -> Ruled<Option<(WorkflowLink, Workflow)>> {
        let Some(link) = task.spec.workflow.as_deref() else { return Ok(None) };
        let workflow = self.ws.workflow((task.namespace, link.workflow))?;
        Ok(workflow.map(|workflow| (link.clone(), workflow.clone())))
    }

    /// A child of one of a workflow's tasks is the workflow's, too.
    pub(super) fn join_workflow(&mut self, link: &WorkflowLink) -> Ruled<u32> {
        let mut workflow = self.workflow(link.workflow)?;
        let ordinal = workflow.tally.tasks;
        workflow.tally.add(link);
        self.ws.put_workflow(workflow);
        Ok(ordinal)
    }

    /// Nothing was created that could have joined.
    pub(super) fn leave_workflow(&mut self, link: &WorkflowLink) -> Ruled<()> {
        let mut workflow = self.workflow(link.workflow)?;
        workflow.tally.remove(link);
        self.ws.put_workflow(workflow);
        Ok(())
    }

    /// Asks for the cancellation of a workflow: durable intent. Its tasks are told in bounded steps.
    pub(super) fn cancel_workflow(&mut self, id: WorkflowId, reason: &str) -> Ruled<Reply> {
        let mut workflow = self.workflow(id)?;
        if workflow.ended_at.is_none() && workflow.cancelling.is_none() {
            let reason = if reason.is_empty() { "its workflow was cancelled" } else { reason }.to_owned();
            workflow.cancelling = Some(Cancelling { since: self.cx.now, reason });
            workflow.held = None;
            self.set_out(workflow, Errand::Cancel)?;
        }
        Ok(Reply::Done)
    }

    pub(super) fn set_out(&mut self, mut workflow: Workflow, errand: Errand) -> Ruled<()> {
        let id = workflow.id;
        workflow.walk = Some(Walk { errand, next: 0 });
        self.ws.put_workflow(workflow);
        self.walk_on(id)
    }

    /// Goes on with what is being carried out over a workflow's tasks, a step's worth of them.
    pub(super) fn walk_on(&mut self, id: WorkflowId) -> Ruled<()> {
        let workflow = self.workflow(id)?;
        let Some(Walk { mut errand, next }) = workflow.walk else { return Ok(()) };
        let step = u32::try_from(self.cx.settings.release_step).unwrap_or(u32::MAX);
        let end = next.saturating_add(step).min(workflow.tally.tasks);
        let tasks = self.ws.workflow_tasks((self.namespace.id, id), next..end)?;
        let mut reached = end;
        match &mut errand {
            Errand::Cancel => {
                let reason = workflow.cancelling.map(|cancelling| cancelling.reason).unwrap_or_default();
                tasks.into_values().try_for_each(|task| self.cancel_of_workflow(task, &reason))?;
            }
            Errand::Retry { cancelled, round } => {
                reached = self.retry_of_workflow(&tasks, *cancelled, round)?.unwrap_or(end);
            }
            Errand::Hold => {
                let reason = workflow.held.map(|held| held.reason).unwrap_or_default();
                tasks.into_values().try_for_each(|task| self.hold_of_workflow(task, &reason))?;
            }
            Errand::Release => tasks.into_values().try_for_each(|task| self.release_of_workflow(task))?,
        }
        // Read again: each that ended or lives again changed it.
        let mut workflow = self.workflow(id)?;
        workflow.walk = match reached < workflow.tally.tasks {
            true => Some(Walk { errand, next: reached }),
            false => errand.again().map(|errand| Walk { errand, next: 0 }),
        };
        if workflow.walk.is_some() {
            self.effects.push(Effect::WalkingWorkflow { namespace: self.namespace.id, workflow: id });
        }
        self.put_ended_or_not(workflow);
        Ok(())
    }

    /// What depends on it is told in steps of its own: each may have many.
    fn cancel_of_workflow(&mut self, id: TaskId, reason: &str) -> Ruled<()> {
        let Some(mut task) = self.ws.loaded_task(id).cloned() else { return Ok(()) };
        if self.ask_to_cancel(&mut task, reason)? {
            self.end_one(&mut task, Ending::Cancelled { reason: reason.to_owned() })?;
            self.effects.extend(task.releasing.then_some(Effect::Releasing { task: id }));
        }
        Ok(())
    }

    /// A workflow that must exist.
    pub(super) fn workflow(&self, id: WorkflowId) -> Ruled<Workflow> {
        match self.ws.workflow((self.namespace.id, id))? {
            Some(workflow) => Ok(workflow.clone()),
            None => Err(Rejection::workflow_not_found(id).into()),
        }
    }
}

/// Tasks by their plan.
pub(super) struct Plan<'a> {
    /// What they are called, and which of each other they wait for.
    pub tasks: &'a [NewWorkflowTask],
    /// Their places, each behind those that it waits for.
    pub order: &'a [usize],
    /// The tasks themselves, each with what it waits for by ids.
    pub asked: Vec<NewTask>,
    /// What they wait for of what the workflow has already.
    pub behind: Found,
    /// The ordinal of the first.
    pub first: u32,
}

/// For places of tasks what each waits for of what its workflow has already, with where in its `depends_on` that was said, in that
/// order.
pub(super) type Found = BTreeMap<usize, Vec<(usize, NewDependency)>>;

/// How many tasks of a plan stand behind each, one after the other, on the longest path; no more than are counted.
fn tasks_behind(tasks: &[NewWorkflowTask], order: &[usize]) -> Vec<u32> {
    let mut behind = vec![0; tasks.len()];
    // The last first: when a task's turn comes, all that wait for it have told it how far they reach.
    for place in order.iter().rev() {
        let through = (behind[*place] + 1).min(MAX_TASKS_BEHIND);
        for (source, _) in &tasks[*place].depends_on {
            behind[*source] = through.max(behind[*source]);
        }
    }
    behind
}

/// What a task's own spec says of its workflow, but for what stands behind it.
pub(super) fn link(workflow: WorkflowId, planned: &NewWorkflowTask) -> WorkflowLink {
    let NewWorkflowTask { name, allow_failure, weight, .. } = planned;
    WorkflowLink { workflow, name: Some(name.clone()), allow_failure: *allow_failure, weight: *weight, tasks_behind: 0 }
}

/// What a task waits for by names, in the order in which it said so: what is of its plan, which was created before, and what is not.
fn named_dependencies(
    planned: &NewWorkflowTask,
    receipts: &[Option<TaskReceipt>],
    behind: Vec<(usize, NewDependency)>,
) -> Vec<NewDependency> {
    let of_plan = planned.depends_on.iter().filter_map(|(place, terms)| {
        let source = receipts.get(*place).copied().flatten()?.task;
        Some(NewDependency { source, terms: terms.clone() })
    });
    let mut named: Vec<NewDependency> = of_plan.collect();
    for (index, dependency) in behind {
        named.insert(index.min(named.len()), dependency);
    }
    named
}
