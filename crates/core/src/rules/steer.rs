//! What owners and operators do to a task: cancel, hold, release, update, retry.

use super::{Ruled, Step};
use crate::command::{Reply, StopReason, TaskReceipt, TaskUpdate};
use crate::model::task::Cancelling;
use crate::model::{EventKind, LaneKey, Task, TaskId, TaskState, Waiting};
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
        if !matches!(task.state, TaskState::Waiting(_) | TaskState::Ready { .. }) {
            let remedy = "only a WAITING or READY task can be held; cancel it instead";
            return Err(Rejection::task_state(id, task.state.name(), remedy).into());
        }
        self.hold(&mut task, reason)?;
        Ok(receipt(&task))
    }

    /// Holds a task that no agent has; any other, and one that is held, stays as it is.
    pub(super) fn hold(&mut self, task: &mut Task, reason: &str) -> Ruled<()> {
        let waiting = match &task.state {
            TaskState::Waiting(waiting) if !waiting.held => Waiting { held: true, ..waiting.clone() },
            TaskState::Ready { .. } => Waiting { held: true, ..Waiting::default() },
            _ => return Ok(()),
        };
        self.go(task, Move::Wait(waiting), EventKind::Held { reason: reason.to_owned() })
    }

    /// Ends a hold; a task that is not held stays as it is.
    pub(super) fn release_task(&mut self, id: TaskId) -> Ruled<Reply> {
        let mut task = self.task(id)?;
        self.release(&mut task)?;
        Ok(receipt(&task))
    }

    /// Releases a task; one that is not held stays as it is.
    pub(super) fn release(&mut self, task: &mut Task) -> Ruled<()> {
        let TaskState::Waiting(waiting) = &task.state else { return Ok(()) };
        if !waiting.held {
            return Ok(());
        }
        let left = Waiting { held: false, ..waiting.clone() };
        let to = if left.over() { Move::Ready(self.cx.now) } else { Move::Wait(left) };
        self.go(task, to, EventKind::Released)
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
            // Whoever names an agent means it: what the task fell back to is over, and its fallbacks have their times again.
            task.fallback = 0;
        }
        if let Some(deadline) = update.deadline {
            spec.deadline = deadline;
            fields.push("deadline");
        }
        if let Some(tags) = &update.tags {
            spec.tags = tags.clone();
            fields.push("tags");
        }
        if *task.spec == *before.spec && task.fallback == before.fallback {
            return Ok(receipt(&before));
        }
        if update.assignee.is_some() && !task.spec.requirements.fallbacks.is_empty() {
            task.fallbacks_anew = Some(self.cx.now);
        }
        task.lane = self.lane_of(LaneKey::in_force(&task.spec, task.fallback))?;
        if matches!(task.state, TaskState::Ready { .. }) {
            let (namespace, lane) = (task.namespace, task.lane);
            self.effects.push(crate::Effect::LaneReady { namespace, lane });
        }
        self.tell(&mut task, EventKind::Updated { fields: fields.join(", "), fallback: None });
        self.ws.spec_changed(id);
        self.write(&mut task);
        Ok(receipt(&task))
    }
}

pub(super) fn receipt(task: &Task) -> Reply {
    Reply::Tasks(vec![TaskReceipt::of(task)])
}
