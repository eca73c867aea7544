//! Workflows: created with their tasks, told of each of their ends, cancelled with all of them.

use super::{Ruled, Step};
use crate::command::{Effect, Reply, TaskReceipt};
use crate::model::task::Cancelling;
use crate::model::{
    NewDependency, NewWorkflow, NewWorkflowTask, Tally, Task, TaskId, Workflow, WorkflowId, WorkflowLink, WorkflowTask,
};
use crate::rejection::{Reason, Rejection};
use crate::rules::end::Ending;
use std::sync::Arc;

impl Step<'_, '_> {
    /// Creates a workflow with its tasks, all or none.
    pub(super) fn create_workflow(&mut self, new: &NewWorkflow) -> Ruled<Reply> {
        if !self.cx.all_current {
            let message = "workflow: a server of an older version shares the store and would not tell it of its tasks' \
                           ends; finish the upgrade, then repeat";
            return Err(Rejection::new(Reason::UpgradeUnfinished, message).into());
        }
        self.check_room_for(new.tasks.len())?;
        let asked: Vec<_> = new.tasks.iter().map(|planned| planned.task.clone()).collect();
        self.want_all(&asked)?;
        self.check_conditions(&asked)?;
        let id = WorkflowId(self.cx.entropy.uuid_v7(self.cx.now));
        self.insert_workflow(id, new);
        let mut receipts: Vec<Option<TaskReceipt>> = vec![None; new.tasks.len()];
        for place in &new.order {
            let task = planned_task(id, &new.tasks[*place], &receipts);
            let receipt = self.create_task(&task, *place)?;
            receipts[*place] = Some(receipt);
            self.ws.add_workflow_task(WorkflowTask {
                namespace: self.namespace.id,
                workflow: id,
                ordinal: u32::try_from(*place).unwrap_or(u32::MAX),
                task: receipt.task,
                name: Some(new.tasks[*place].name.clone()),
            });
        }
        Ok(Reply::Workflow { workflow: id, tasks: receipts.into_iter().flatten().collect() })
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
            cancel_next: None,
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
        if workflow.tally.open() == 0 {
            workflow.ended_at = Some(self.cx.now);
            self.effects.push(Effect::WorkflowEnded { workflow: Arc::new(workflow.clone()) });
        }
        self.ws.put_workflow(workflow);
        Ok(())
    }

    /// A task that had ended is about to live again, and its workflow with it.
    pub(super) fn tally_reopen(&mut self, task: &Task) -> Ruled<()> {
        let Some((link, mut workflow)) = self.workflow_of(task)? else { return Ok(()) };
        workflow.tally.reopen(&link, task.state.name());
        workflow.ended_at = None;
        workflow.cancelling = None;
        self.ws.put_workflow(workflow);
        Ok(())
    }

    fn workflow_of(&self, task: &Task) -> Ruled<Option<(WorkflowLink, Workflow)>> {
        let Some(link) = task.spec.workflow.as_deref() else { return Ok(None) };
        let workflow = self.ws.workflow((task.namespace, link.workflow))?;
        Ok(workflow.map(|workflow| (link.clone(), workflow.clone())))
    }

    /// Asks for the cancellation of a workflow: durable intent. Its tasks are told in bounded steps.
    pub(super) fn cancel_workflow(&mut self, id: WorkflowId, reason: &str) -> Ruled<Reply> {
        let mut workflow = self.workflow(id)?;
        if workflow.ended_at.is_none() && workflow.cancelling.is_none() {
            let reason = if reason.is_empty() { "its workflow was cancelled" } else { reason }.to_owned();
            workflow.cancelling = Some(Cancelling { since: self.cx.now, reason });
            workflow.cancel_next = Some(0);
            self.ws.put_workflow(workflow);
            self.go_on_cancelling(id)?;
        }
        Ok(Reply::Done)
    }

    /// Goes on asking for the cancellation of a workflow's tasks, a step's worth of them.
    pub(super) fn go_on_cancelling(&mut self, id: WorkflowId) -> Ruled<()> {
        let workflow = self.workflow(id)?;
        let (Some(next), Some(cancelling)) = (workflow.cancel_next, workflow.cancelling) else { return Ok(()) };
        let step = u32::try_from(self.cx.settings.release_step).unwrap_or(u32::MAX);
        let end = next.saturating_add(step).min(workflow.tally.tasks);
        for task in self.ws.workflow_tasks((self.namespace.id, id), next..end)? {
            self.cancel_of_workflow(task, &cancelling.reason)?;
        }
        // Read again: each that ended changed it.
        let mut workflow = self.workflow(id)?;
        workflow.cancel_next = (end < workflow.tally.tasks).then_some(end);
        if workflow.cancel_next.is_some() {
            self.effects.push(Effect::CancellingWorkflow { namespace: self.namespace.id, workflow: id });
        }
        self.ws.put_workflow(workflow);
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
    fn workflow(&self, id: WorkflowId) -> Ruled<Workflow> {
        match self.ws.workflow((self.namespace.id, id))? {
            Some(workflow) => Ok(workflow.clone()),
            None => Err(Rejection::workflow_not_found(id).into()),
        }
    }
}

fn link(workflow: WorkflowId, planned: &NewWorkflowTask) -> WorkflowLink {
    let NewWorkflowTask { name, allow_failure, weight, .. } = planned;
    WorkflowLink { workflow, name: Some(name.clone()), allow_failure: *allow_failure, weight: *weight }
}

/// A task as it is created: with its link, and with the ids of those that it waits for, which were created before.
fn planned_task(
    workflow: WorkflowId,
    planned: &NewWorkflowTask,
    receipts: &[Option<TaskReceipt>],
) -> crate::model::NewTask {
    let mut task = planned.task.clone();
    task.spec.workflow = Some(Box::new(link(workflow, planned)));
    let inner = planned.depends_on.iter().filter_map(|(place, terms)| {
        let source = receipts.get(*place).copied().flatten()?.task;
        Some(NewDependency { source, terms: terms.clone() })
    });
    task.dependencies.extend(inner);
    task
}
