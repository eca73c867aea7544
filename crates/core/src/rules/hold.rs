//! Holding a workflow: durable intent, of which its tasks are told in bounded steps.
//!
//! What agents have goes on, with its retries and its children; all else waits for the release, and so does what is added.

use super::{Ruled, Step};
use crate::command::Reply;
use crate::model::{Errand, Held, Task, TaskId, Workflow, WorkflowId};
use crate::rejection::Rejection;

impl Step<'_, '_> {
    /// Holds a workflow. One that is held already stays as it is.
    pub(super) fn hold_workflow(&mut self, id: WorkflowId, reason: &str) -> Ruled<Reply> {
        self.check_all_current("workflow_id", "would give out what is held")?;
        let mut workflow = self.workflow(id)?;
        check_runs(&workflow, "there is nothing to hold")?;
        if workflow.held.is_some() {
            return Ok(Reply::Done);
        }
        if workflow.is_being_retried() {
            return Err(Rejection::workflow_state(id, BEING_RETRIED).into());
        }
        let reason = if reason.is_empty() { "its workflow is held" } else { reason }.to_owned();
        workflow.held = Some(Held { since: self.cx.now, reason });
        self.set_out(workflow, Errand::Hold)?;
        Ok(Reply::Done)
    }

    /// Ends the hold of a workflow, and that of each of its tasks. One that is not held stays as it is.
    pub(super) fn release_workflow(&mut self, id: WorkflowId) -> Ruled<Reply> {
        let mut workflow = self.workflow(id)?;
        if workflow.held.is_none() {
            return Ok(Reply::Done);
        }
        self.check_all_current("workflow_id", "would not go on with it")?;
        if workflow.is_being_retried() {
            return Err(Rejection::workflow_state(id, BEING_RETRIED).into());
        }
        workflow.held = None;
        self.set_out(workflow, Errand::Release)?;
        Ok(Reply::Done)
    }

    /// Refuses a retry while tasks are still told of a hold or a release: those that it has not reached would never be.
    pub(super) fn check_all_know_of_hold(&self, workflow: &Workflow) -> Ruled<()> {
        match workflow.is_being_held_or_released() {
            true => {
                let why = "it is just being held or released; repeat in a moment";
                Err(Rejection::workflow_state(workflow.id, why).into())
            }
            false => Ok(()),
        }
    }

    /// Holds a task of the plan; a child goes on with its parent.
    pub(super) fn hold_of_workflow(&mut self, id: TaskId, reason: &str) -> Ruled<()> {
        let Some(mut task) = self.ws.loaded_task(id).cloned() else { return Ok(()) };
        match is_of_plan(&task) {
            true => self.hold(&mut task, reason),
            false => Ok(()),
        }
    }

    /// Releases a task, whoever held it.
    pub(super) fn release_of_workflow(&mut self, id: TaskId) -> Ruled<()> {
        let Some(mut task) = self.ws.loaded_task(id).cloned() else { return Ok(()) };
        self.release(&mut task)
    }

    /// Whether a task that is about to live must wait for its workflow's release.
    pub(super) fn is_held_by_its_workflow(&self, task: &Task) -> Ruled<bool> {
        let workflow = self.workflow_of(task)?;
        Ok(is_of_plan(task) && workflow.is_some_and(|(_, workflow)| workflow.held.is_some()))
    }
}

const BEING_RETRIED: &str = "it is just being retried; repeat in a moment";

/// Refuses a workflow that has ended, or is about to end.
pub(super) fn check_runs(workflow: &Workflow, so: &str) -> Result<(), Rejection> {
    if workflow.is_being_cancelled() {
        let why = format!("it is being cancelled; {so}");
        return Err(Rejection::workflow_state(workflow.id, &why));
    }
    if workflow.ended_at.is_some() {
        let state = workflow.state().as_str();
        return Err(Rejection::workflow_state(workflow.id, &format!("it has ended {state}; {so}")));
    }
    Ok(())
}

fn is_of_plan(task: &Task) -> bool {
    task.spec.workflow.as_deref().is_some_and(|link| link.name.is_some())
}
