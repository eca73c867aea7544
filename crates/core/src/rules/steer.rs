//! What owners and operators do to a task: cancel, hold, release, update, retry.

use super::{Ruled, Step};
use crate::command::{Reply, StopReason, TaskReceipt, TaskUpdate};
use crate::model::task::Cancelling;
use crate::model::{Edge, EventKind, StateName, Task, TaskId, TaskState, Waiting};
use crate::rejection::Rejection;
use crate::rules::end::Ending;
use crate::rules::transition::Move;
use std::sync::Arc;

impl Step<'_, '_> {
    /// Cancels a task: durable intent. What had not started ends now.
    pub(super) fn cancel_task(&mut self, id: TaskId, reason: &str) -> Ruled<Reply> {
        let mut task = self.task(id)?;
        let reason = if reason.is_empty() { "cancelled on request" } else { reason }.to_owned();
        if self.ask_to_cancel(&mut task, &reason)? {
            self.end(&mut task, Ending::Cancelled { reason })?;
        }
        Ok(receipt(&task))
    }

    /// Asks for the cancellation of a task that an agent has begun. Any other that has not ended is to be ended by the caller: then
    /// this is true.
    pub(super) fn ask_to_cancel(&mut self, task: &mut Task, reason: &str) -> Ruled<bool> {
        match &task.state {
            TaskState::Waiting(_) | TaskState::Ready { .. } | TaskState::Assigned { .. } => {
                self.stop_attempt(task, StopReason::LeaseLost, reason);
                Ok(true)
            }
            TaskState::Running { cancelling: None, .. } | TaskState::Paused { cancelling: None, .. } => {
                self.stop_attempt(task, StopReason::Requested, reason);
                let cancelling = Cancelling { since: self.cx.now, reason: reason.to_owned() };
                let told = EventKind::CancelRequested { reason: reason.to_owned() };
                self.go(task, Move::RequestCancel(cancelling), told)?;
                Ok(false)
            }
            // On its way already, or ended: what was asked for is so.
            TaskState::Running { .. }
            | TaskState::Paused { .. }
            | TaskState::Completed { .. }
            | TaskState::Failed { .. }
            | TaskState::Cancelled { .. }
            | TaskState::Skipped { .. } => Ok(false),
        }
    }

    /// Keeps a task from being assigned.
    pub(super) fn hold_task(&mut self, id: TaskId, reason: &str) -> Ruled<Reply> {
        let mut task = self.task(id)?;
        let waiting = match &task.state {
            TaskState::Waiting(waiting) if waiting.held => return Ok(receipt(&task)),
            TaskState::Waiting(waiting) => Waiting { held: true, ..waiting.clone() },
            TaskState::Ready { .. } => Waiting { held: true, ..Waiting::default() },
            _ => {
                let remedy = "only a WAITING or READY task can be held; cancel it instead";
                return Err(Rejection::task_state(id, task.state.name(), remedy).into());
            }
        };
        self.go(&mut task, Move::Wait(waiting), EventKind::Held { reason: reason.to_owned() })?;
        Ok(receipt(&task))
    }

    /// Ends a hold; a task that is not held stays as it is.
    pub(super) fn release_task(&mut self, id: TaskId) -> Ruled<Reply> {
        let mut task = self.task(id)?;
        if let TaskState::Waiting(waiting) = &task.state
            && waiting.held
        {
            let left = Waiting { held: false, ..waiting.clone() };
            let to = if left.over() { Move::Ready(self.cx.now) } else { Move::Wait(left) };
            self.go(&mut task, to, EventKind::Released)?;
        }
        Ok(receipt(&task))
    }

    /// Changes what the owner of a live task may change.
    pub(super) fn update_task(&mut self, id: TaskId, update: &TaskUpdate) -> Ruled<Reply> {
        let mut task = self.task(id)?;
        if !task.is_live() {
            let remedy = "only a task that has not ended can be updated";
            return Err(Rejection::task_state(id, task.state.name(), remedy).into());
        }
        let before = task.clone();
        let mut fields = Vec::new();
        let spec = Arc::make_mut(&mut task.spec);
        if let Some(priority) = update.priority {
            spec.priority = priority;
            fields.push("priority");
        }
        if let Some(assignee) = &update.assignee {
            spec.requirements.assignee = assignee.clone();
            fields.push("assignee");
        }
        if let Some(deadline) = update.deadline {
            spec.deadline = deadline;
            fields.push("deadline");
        }
        if let Some(tags) = &update.tags {
            spec.tags = tags.clone();
            fields.push("tags");
        }
        if *task.spec == *before.spec {
            return Ok(receipt(&before));
        }
        task.lane = self.lane_of(&task.spec)?;
        if matches!(task.state, TaskState::Ready { .. }) {
            let (namespace, lane) = (task.namespace, task.lane);
            self.effects.push(crate::Effect::LaneReady { namespace, lane });
        }
        self.tell(&mut task, EventKind::Updated { fields: fields.join(", ") });
        self.ws.spec_changed(id);
        self.write(&mut task);
        Ok(receipt(&task))
    }

    /// Opens the next run of a task that ended badly.
    pub(super) fn retry_task(&mut self, id: TaskId) -> Ruled<Reply> {
        let mut task = self.task(id)?;
        if !matches!(task.state.name(), StateName::Failed | StateName::Cancelled | StateName::Skipped) {
            let remedy = "only a FAILED, CANCELLED or SKIPPED task can be retried";
            return Err(Rejection::task_state(id, task.state.name(), remedy).into());
        }
        if task.releasing {
            let remedy = "its dependents are still being told; try again in a moment";
            return Err(Rejection::task_state(id, task.state.name(), remedy).into());
        }
        self.check_retry_limits(&task)?;
        let unmet = self.wait_again(&task)?;
        self.tally_reopen(&task)?;
        // Without live tasks its lane may have been given to another.
        task.lane = self.lane_of(&task.spec)?;
        self.reset(&mut task);
        let waiting = Waiting { unmet, ..Waiting::default() };
        self.go(&mut task, Move::Reopen(waiting.clone()), EventKind::RunOpened)?;
        if waiting.over() {
            self.go(&mut task, Move::Ready(self.cx.now), EventKind::Ready)?;
        }
        self.ws.add_live(task.namespace, 1);
        Ok(receipt(&task))
    }

    /// A retried task is live again: its key must be free, and there must be room.
    fn check_retry_limits(&mut self, task: &Task) -> Ruled<()> {
        if let Some(deadline) = task.spec.deadline.filter(|at| *at <= self.cx.now) {
            let passed = self.cx.now.since(deadline).0 / 1_000_000;
            let remedy = format!("its deadline passed {passed} s ago: a run would end at once; create a new task");
            return Err(Rejection::task_state(task.id, task.state.name(), &remedy).into());
        }
        self.check_room()?;
        let Some(key) = &task.spec.key else { return Ok(()) };
        let at = (task.namespace, key.clone());
        if let Some(holder) = self.ws.task_by_key(&at)? {
            let message = format!("key: {key:?} is now the key of live task {holder}; cancel that first");
            return Err(Rejection::new(crate::Reason::KeyExists, message).into());
        }
        self.ws.put_key(at, Some(task.id));
        Ok(())
    }

    /// Looks at the dependencies again: those that are live are waited for; one that ended otherwise than its condition says must be retried first.
    fn wait_again(&mut self, task: &Task) -> Ruled<u32> {
        if task.dependencies == 0 {
            return Ok(0);
        }
        let edges: Vec<Edge> = self.ws.dependencies((task.namespace, task.id))?.to_vec();
        // Whether a forgotten dependency completed is known only from the task's having run since.
        if edges.len() < task.dependencies as usize && task.attempt == 0 {
            let remedy = "what it depended on has been forgotten since; create a new task";
            return Err(Rejection::task_state(task.id, task.state.name(), remedy).into());
        }
        self.want_results(edges.iter().map(|edge| (edge.source, &edge.terms)))?;
        let mut unmet = 0;
        for edge in edges {
            let mut source = self.task(edge.source)?;
            let state = source.state.name();
            if !state.is_final() {
                unmet += 1;
                self.ws.reopen_edge(&edge);
                if !source.has_dependents {
                    source.has_dependents = true;
                    self.write(&mut source);
                }
                continue;
            }
            let outcome = self.outcome(edge.source, state, std::iter::once(&edge.terms))?;
            if !edge.terms.condition.holds(&outcome) {
                let remedy = match state {
                    StateName::Completed => "its condition is not for that; create a new task",
                    _ => "retry that first",
                };
                let remedy = format!("its dependency {} is {}; {remedy}", edge.source, state.as_str());
                return Err(Rejection::task_state(task.id, task.state.name(), &remedy).into());
            }
            // One that is still being told of later would count as met twice.
            if source.releasing {
                self.ws.resolve_edge(&edge);
            }
        }
        Ok(unmet)
    }

    fn reset(&self, task: &mut Task) {
        task.run += 1;
        task.run_opened_at = self.cx.now;
        task.attempts_used = 0;
        task.lost_in_row = 0;
        task.handed_back = 0;
        task.avoid = None;
        task.failed_at = None;
        task.progress = Default::default();
        task.has_children = false;
    }
}

fn receipt(task: &Task) -> Reply {
    Reply::Tasks(vec![TaskReceipt::of(task)])
}
