//! Another run for the tasks of a workflow that failed, and for those that were skipped because of them.
//!
//! Each is to find what it waits for as it will be: so that comes first. Places are in that order, but for dependencies that were
//! added: a task that waits for one behind it is put off, and the walk over the tasks comes by again.

use super::{Ruled, Step};
use crate::command::Reply;
use crate::decide::Stop;
use crate::model::{Errand, Round, Tally, Task, TaskId, WorkflowId, WorkflowLink};
use crate::rejection::Rejection;
use std::collections::BTreeMap;

impl Step<'_, '_> {
    /// Gives a workflow's tasks that failed another run, and those that were skipped because of them. In bounded steps.
    pub(super) fn retry_workflow(&mut self, id: WorkflowId) -> Ruled<Reply> {
        let mut workflow = self.workflow(id)?;
        if workflow.is_being_cancelled() {
            return Err(Rejection::workflow_state(id, "it is being cancelled; retry it when it has ended").into());
        }
        if workflow.is_being_retried() {
            return Ok(Reply::Done);
        }
        self.check_all_know_of_hold(&workflow)?;
        let cancelled = workflow.cancelling.is_some();
        let Tally { faults, skipped, cancelled: of_cancelled, .. } = workflow.tally;
        if faults == 0 && !(cancelled && of_cancelled > 0) {
            return Err(Rejection::workflow_state(
                id,
                "none of its tasks failed that may not; there is nothing to retry",
            )
            .into());
        }
        self.check_room_for(faults.max(of_cancelled) as usize + skipped as usize)?;
        // From now on it runs, also while the first of its tasks can't be given its run yet.
        workflow.ended_at = None;
        workflow.cancelling = None;
        let round = Some(Round::first(self.cx.now));
        self.set_out(workflow, Errand::Retry { cancelled, round })?;
        Ok(Reply::Done)
    }

    /// Retries those of these tasks that a retry of the workflow is for, in their order. Gives the ordinal of one whose dependents are
    /// still being told of its end: that one comes next.
    pub(super) fn retry_of_workflow(
        &mut self,
        tasks: &BTreeMap<u32, TaskId>,
        cancelled: bool,
        round: &mut Option<Round>,
    ) -> Ruled<Option<u32>> {
        self.want_to_wait_again(tasks.values().filter_map(|id| self.ws.loaded_task(*id)))?;
        for (ordinal, id) in tasks {
            let Some(mut task) = self.ws.loaded_task(*id).cloned() else { continue };
            if still_to_retry(&task, cancelled, round.as_ref()).is_none() {
                continue;
            }
            if task.releasing {
                return Ok(Some(*ordinal));
            }
            if let Some(round) = round.as_mut().filter(|round| !round.last)
                && self.waits_for_one_to_come(&task, cancelled, round)?
            {
                round.put_off = true;
                continue;
            }
            match self.run_again(&mut task) {
                Ok(()) => round.iter_mut().for_each(|round| round.opened = true),
                // It stays as it is: its deadline has passed, or what it waits for ended otherwise than it asks.
                Err(Stop::Reject(_)) => {}
                Err(stop) => return Err(stop),
            }
        }
        Ok(None)
    }

    /// Whether a task depends on one of its workflow that this retry is for, too, and has not come to yet.
    fn waits_for_one_to_come(&self, task: &Task, cancelled: bool, round: &Round) -> Ruled<bool> {
        if task.dependencies == 0 {
            return Ok(false);
        }
        let workflow = task.spec.workflow.as_deref().map(|link| link.workflow);
        let sources = self.ws.dependencies((task.namespace, task.id))?.iter();
        let mut to_come = sources.filter_map(|edge| {
            let source = self.ws.loaded_task(edge.source)?;
            still_to_retry(source, cancelled, Some(round))
        });
        Ok(to_come.any(|link| Some(link.workflow) == workflow))
    }
}

/// The link of a task that a retry of its workflow is for, and that was not given its run yet.
fn still_to_retry<'t>(task: &'t Task, cancelled: bool, round: Option<&Round>) -> Option<&'t WorkflowLink> {
    let link = task.spec.workflow.as_deref()?;
    let had_its_run = round.is_some_and(|round| task.run > 1 && task.run_opened_at >= round.since);
    (link.is_retried(task.state.name(), cancelled) && !had_its_run).then_some(link)
}
