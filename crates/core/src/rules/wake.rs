//! A task's times: what happens when one of them has come.

use super::{Ruled, Step};
use crate::command::{Reply, StopReason};
use crate::model::payload::SystemFailure;
use crate::model::{EventKind, Failure, Lease, Task, TaskId, TaskState, Timestamp, Waiting};
use crate::planted::Bug;
use crate::rules::attempt::AttemptEnd;
use crate::rules::end::Ending;
use crate::rules::transition::Move;

impl Step<'_, '_> {
    /// Does what is due on a task, if anything is. Waking a task too often, or too late, is harmless.
    pub(super) fn wake(&mut self, id: TaskId) -> Ruled<Reply> {
        let Some(mut task) = self.ws.task((self.namespace.id, id))?.cloned() else { return Ok(Reply::Done) };
        if task.releasing {
            self.go_on_releasing(id)?;
        } else if task.is_live() {
            self.look(&mut task)?;
        }
        Ok(Reply::Done)
    }

    fn look(&mut self, task: &mut Task) -> Ruled<()> {
        if self.revoke_if_due(task)? || self.close_if_due(task)? {
            return Ok(());
        }
        match task.state.clone() {
            TaskState::Waiting(waiting) => self.end_wait_if_due(task, waiting),
            TaskState::Ready { since } => {
                if !self.give_up_if_not_started(task, since)? {
                    self.fall_back_if_due(task, since)?;
                }
                Ok(())
            }
            // Its agent may have begun it, and not come through to us yet.
            TaskState::Assigned { .. } if !self.silence_counts() => Ok(()),
            TaskState::Assigned { lease, ready_since } => {
                if !self.give_up_if_not_started(task, ready_since)? && !self.time_out_if_due(task, &lease)? {
                    self.take_back_if_not_accepted(task, &lease)?;
                }
                Ok(())
            }
            TaskState::Running { lease, heard_at, .. } => self.end_attempt_if_due(task, &lease, heard_at),
            // Of a paused one the attempt's times stand still.
            _ => Ok(()),
        }
    }

    /// Silence counts only from when we were listening long enough to have heard.
    fn silence_counts(&self) -> bool {
        self.cx.now >= self.cx.grace_until
    }

    /// An agent that was told to stop had its time.
    fn revoke_if_due(&mut self, task: &mut Task) -> Ruled<bool> {
        let Some(cancelling) = task.state.cancelling() else { return Ok(false) };
        if cancelling.since + self.cx.settings.cancel_grace > self.cx.now {
            return Ok(false);
        }
        let reason = format!("{} (its agent did not stop in time, and lost it)", cancelling.reason);
        self.stop_attempt(task, StopReason::LeaseLost, "the task is cancelled");
        self.end(task, Ending::Cancelled { reason })?;
        Ok(true)
    }

    /// The run's time, or the task's deadline, is over.
    fn close_if_due(&mut self, task: &mut Task) -> Ruled<bool> {
        if task.closes_at().is_none_or(|at| at > self.cx.now) {
            return Ok(false);
        }
        let (kind, message) = if task.spec.deadline.is_some_and(|at| at <= self.cx.now) {
            (SystemFailure::Deadline, "it had not ended by its deadline")
        } else {
            (SystemFailure::ScheduleToClose, "the run took longer than schedule_to_close")
        };
        self.stop_attempt(task, StopReason::TimedOut, message);
        if let Some(cancelling) = task.state.cancelling() {
            let reason = cancelling.reason.clone();
            self.end(task, Ending::Cancelled { reason })?;
            return Ok(true);
        }
        self.end(task, Ending::system(kind, message))?;
        Ok(true)
    }

    fn end_wait_if_due(&mut self, task: &mut Task, waiting: Waiting) -> Ruled<()> {
        if waiting.not_before.is_none_or(|n| n.at() > self.cx.now) {
            return Ok(());
        }
        let left = Waiting { not_before: None, ..waiting };
        if left.over() {
            return self.go(task, Move::Ready(self.cx.now), EventKind::Ready);
        }
        self.step_state(task, Move::Wait(left))?;
        self.write(task);
        Ok(())
    }

    fn give_up_if_not_started(&mut self, task: &mut Task, ready_since: Timestamp) -> Ruled<bool> {
        if task.starts_by(ready_since).is_none_or(|at| at > self.cx.now) {
            return Ok(false);
        }
        let message =
            "no agent began it within schedule_to_start; is one attached that fits its type and requirements?";
        self.stop_attempt(task, StopReason::TimedOut, message);
        self.end(task, Ending::system(SystemFailure::ScheduleToStart, message))?;
        Ok(true)
    }

    /// Every assignment is accepted within a time, or given to another.
    fn take_back_if_not_accepted(&mut self, task: &mut Task, lease: &Lease) -> Ruled<()> {
        let accepted_by = lease.assigned_at + self.cx.settings.accept_within;
        let claim_over = lease.claim.is_some_and(|claim| claim.until <= self.cx.now);
        // A claim is accepted by whoever asked for it; only its lease counts.
        let planted = self.cx.settings.planted;
        let too_late = lease.claim.is_none() && accepted_by <= self.cx.now && !planted.has(Bug::LeaveUnaccepted);
        let claim_over = claim_over && !planted.has(Bug::KeepLapsedClaims);
        if !(too_late || claim_over) {
            return Ok(());
        }
        let reason = if claim_over { "its lease ran out" } else { "it was not accepted in time" };
        self.stop_attempt(task, StopReason::LeaseLost, reason);
        if claim_over {
            // Whoever claimed it may have worked on it: the attempt counts.
            self.accept(task)?;
            return self.end_attempt(task, AttemptEnd::Lost { reason: reason.to_owned() });
        }
        self.end_attempt(task, AttemptEnd::HandedBack { reason: reason.to_owned() })
    }

    fn end_attempt_if_due(&mut self, task: &mut Task, lease: &Lease, heard_at: Timestamp) -> Ruled<()> {
        let now = self.cx.now;
        // A result may be on its way from an agent that could not reach us.
        if !self.silence_counts() || self.time_out_if_due(task, lease)? {
            return Ok(());
        }
        if task.spec.timeouts.heartbeat.is_some_and(|span| heard_at + span <= now) {
            let message = "the handler reported nothing for longer than the heartbeat timeout";
            return self.time_out(task, SystemFailure::Heartbeat, message);
        }
        let kept = self.cx.settings.planted.has(Bug::KeepLapsedClaims);
        if lease.claim.is_some_and(|claim| claim.until <= now) && !kept {
            let reason = "its lease ran out";
            self.stop_attempt(task, StopReason::LeaseLost, reason);
            return self.end_attempt(task, AttemptEnd::Lost { reason: reason.to_owned() });
        }
        Ok(())
    }

    /// The attempt's time is over, whether or not its agent has accepted it.
    fn time_out_if_due(&mut self, task: &mut Task, lease: &Lease) -> Ruled<bool> {
        if task.attempt_ends_by(lease) > self.cx.now {
            return Ok(false);
        }
        self.time_out(task, SystemFailure::StartToClose, "the attempt took longer than start_to_close")?;
        Ok(true)
    }

    fn time_out(&mut self, task: &mut Task, kind: SystemFailure, message: &str) -> Ruled<()> {
        self.stop_attempt(task, StopReason::TimedOut, message);
        self.end_attempt(task, AttemptEnd::TimedOut(Failure::system(kind, message)))
    }
}
