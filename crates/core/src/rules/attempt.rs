//! An attempt's beginning and end: leases, retries, hand-backs, losses.

use super::{Ruled, Step};
use crate::command::{Effect, Fence, StopReason};
use crate::model::payload::SystemFailure;
use crate::model::task::ClaimLease;
use crate::model::{
    Agent, AgentId, Chosen, EventKind, Failure, Lease, LeaseToken, NotBefore, Span, Task, TaskState, Waiting,
};
use crate::planted::Bug;
use crate::rules::end::Ending;
use crate::rules::transition::Move;
use crate::working_set::PayloadValue;
use std::sync::Arc;

/// How an attempt ended without completing its task.
#[derive(Clone, Debug)]
pub(crate) enum AttemptEnd {
    /// Its agent reported a failure.
    Failed(Arc<Failure>),
    /// It ran out of time.
    TimedOut(Failure),
    /// Its agent was lost.
    Lost { reason: String },
    /// Its agent is back, and doesn't know of it: it came while the agent was away.
    NotReceived { reason: String },
    /// Its agent handed it back, or never accepted it.
    HandedBack { reason: String },
}

/// How an agent comes to an attempt.
#[derive(Clone, Debug)]
pub(crate) enum Given {
    /// It was chosen, and is told over its stream.
    Pushed(Chosen),
    /// It asked, and has so long.
    Claimed(Span),
}

impl Step<'_, '_> {
    /// Gives a ready task to an agent.
    pub(crate) fn assign(&mut self, task: &mut Task, agent: &Agent, given: Given) -> Ruled<Fence> {
        let now = self.cx.now;
        let (claim, chosen) = match given {
            Given::Pushed(chosen) => (None, Some(chosen)),
            Given::Claimed(span) => (Some(ClaimLease { until: now + span, span }), None),
        };
        let is_pushed = claim.is_none();
        let token = match self.cx.settings.planted.has(Bug::ReuseLeaseToken) {
            false => self.cx.entropy.token(),
            true => LeaseToken(task.id.0.as_u128()),
        };
        task.attempt += 1;
        task.agent_name = Some(agent.name.clone());
        let lease = Lease { agent: agent.id, epoch: agent.epoch, token, assigned_at: now, claim };
        self.go(task, Move::Assign(lease), EventKind::Assigned { agent: agent.name.clone(), chosen })?;
        if is_pushed {
            let task = Arc::new(task.clone());
            self.effects.push(Effect::Assign { agent: agent.id, epoch: agent.epoch, task });
        }
        Ok(Fence { task: task.id, attempt: task.attempt, token })
    }

    /// The agent begins an attempt that it was given; nothing happens if it has begun already.
    pub(super) fn accept(&mut self, task: &mut Task) -> Ruled<()> {
        if !matches!(task.state, TaskState::Assigned { .. }) {
            return Ok(());
        }
        task.started_at = Some(self.cx.now);
        let agent = self.agent_name(task);
        self.go(task, Move::Accept(self.cx.now), EventKind::Started { agent, pause: None })
    }

    /// Ends the current attempt, and decides what follows: another attempt, or the end of the task.
    pub(super) fn end_attempt(&mut self, task: &mut Task, end: AttemptEnd) -> Ruled<()> {
        let agent = self.agent_name(task);
        let holder = task.state.lease().map(|lease| lease.agent);
        let accepted = task.state.is_begun();
        let cancelling = task.state.cancelling().map(|cancelling| cancelling.reason.clone());
        match &end {
            AttemptEnd::Failed(failure) => {
                self.tell(task, EventKind::AttemptFailed { agent, failure: failure.brief() });
            }
            AttemptEnd::TimedOut(failure) => {
                self.tell(task, EventKind::AttemptTimedOut { agent, failure: failure.brief() });
            }
            AttemptEnd::Lost { reason } | AttemptEnd::NotReceived { reason } => {
                self.tell(task, EventKind::AttemptLost { agent, reason: reason.clone() });
            }
            AttemptEnd::HandedBack { reason } => {
                self.tell(task, EventKind::HandedBack { agent, reason: reason.clone() });
            }
        }
        if accepted && !matches!(end, AttemptEnd::HandedBack { .. }) {
            self.count_failure(holder)?;
            task.failed_at = holder;
        }
        if let Some(reason) = cancelling {
            return self.end(task, Ending::Cancelled { reason });
        }
        match end {
            AttemptEnd::Failed(failure) => self.after_failure(task, failure),
            AttemptEnd::TimedOut(failure) => self.after_failure(task, Arc::new(failure)),
            AttemptEnd::Lost { reason } if !accepted => self.after_early_loss(task, holder, &reason),
            // What was never accepted did not run, and does not count.
            AttemptEnd::NotReceived { .. } if !accepted => self.after_hand_back(task, holder),
            AttemptEnd::Lost { reason } | AttemptEnd::NotReceived { reason } => self.after_loss(task, &reason),
            AttemptEnd::HandedBack { .. } => self.after_hand_back(task, holder),
        }
    }

    fn after_failure(&mut self, task: &mut Task, failure: Arc<Failure>) -> Ruled<()> {
        task.attempts_used += 1;
        task.lost_in_row = 0;
        let policy = &task.spec.retry_policy;
        let final_kind = !failure.retryable || policy.non_retryable_types.contains(&failure.kind);
        if final_kind || task.attempts_used >= policy.max_attempts {
            return self.end(task, Ending::Failed { failure });
        }
        let backoff = policy.backoff(task.attempts_used, self.jitter());
        let delay = backoff.max(failure.retry_after.unwrap_or_default());
        self.ws.add_payload((task.namespace, task.id), PayloadValue::Failure(failure));
        self.requeue_after(task, delay)
    }

    fn after_loss(&mut self, task: &mut Task, reason: &str) -> Ruled<()> {
        task.attempts_used += 1;
        task.lost_in_row += 1;
        let given_up = task.lost_in_row >= self.cx.settings.poison_limit.min(task.spec.retry_policy.max_attempts);
        if given_up && task.lost_in_row > 1 {
            return self.give_up_as_poison(task, reason);
        }
        let failure = Arc::new(Failure::system(SystemFailure::LeaseLost, reason));
        if task.attempts_used >= task.spec.retry_policy.max_attempts {
            return self.end(task, Ending::Failed { failure });
        }
        self.ws.add_payload((task.namespace, task.id), PayloadValue::Failure(failure));
        self.requeue(task)
    }

    /// An attempt that was never accepted uses up none of the run's. But a task that kills its agents may do so before they
    /// can say that they have begun: that ends, too.
    fn after_early_loss(&mut self, task: &mut Task, holder: Option<AgentId>, reason: &str) -> Ruled<()> {
        task.lost_in_row += 1;
        if task.lost_in_row >= self.cx.settings.poison_limit {
            return self.give_up_as_poison(task, reason);
        }
        self.after_hand_back(task, holder)
    }

    fn give_up_as_poison(&mut self, task: &mut Task, reason: &str) -> Ruled<()> {
        let message = format!(
            "its last {} attempts each lost their agent ({reason}); it may be what kills them. \
             Look at what the agents' logs say, then retry it",
            task.lost_in_row
        );
        self.end(task, Ending::system(SystemFailure::Poisoned, message))
    }

    fn after_hand_back(&mut self, task: &mut Task, holder: Option<AgentId>) -> Ruled<()> {
        task.handed_back += 1;
        if task.handed_back >= self.cx.settings.hand_back_limit {
            let message =
                format!("agents handed it back {} times; the last reasons are in its history", task.handed_back);
            return self.end(task, Ending::system(SystemFailure::HandedBackTooOften, message));
        }
        let same_again = holder.is_some() && task.avoid == holder;
        task.avoid = holder;
        if !same_again {
            return self.requeue(task);
        }
        // Nobody else takes it: at once would be a busy loop.
        let delay = task.spec.retry_policy.backoff(task.handed_back, self.jitter());
        self.requeue_after(task, delay)
    }

    /// Chance that spreads what failed together.
    fn jitter(&mut self) -> f64 {
        match self.cx.settings.planted.has(Bug::RetryInStep) {
            false => self.cx.entropy.unit(),
            true => 0.0,
        }
    }

    fn requeue(&mut self, task: &mut Task) -> Ruled<()> {
        self.go(task, Move::Ready(self.cx.now), EventKind::Ready)
    }

    fn requeue_after(&mut self, task: &mut Task, delay: Span) -> Ruled<()> {
        let at = self.cx.now + delay;
        let waiting = Waiting { not_before: Some(NotBefore::Retry(at)), ..Waiting::default() };
        self.go(task, Move::Wait(waiting), EventKind::RetryScheduled { at })
    }

    /// Tells the agent that has a task, if one has, to stop.
    pub(super) fn stop_attempt(&mut self, task: &Task, reason: StopReason, message: &str) {
        if let Some(lease) = task.state.lease() {
            let fence = Fence { task: task.id, attempt: task.attempt, token: lease.token };
            self.effects.push(Effect::Stop { agent: lease.agent, fence, reason, message: message.to_owned() });
        }
    }

    pub(super) fn agent_name(&self, task: &Task) -> Arc<str> {
        task.agent_name.clone().unwrap_or_else(|| "".into())
    }

    /// Counts an attempt that an agent completed.
    pub(super) fn count_completion(&mut self, agent: AgentId) -> Ruled<()> {
        self.count(Some(agent), |agent| agent.completed += 1)
    }

    fn count_failure(&mut self, agent: Option<AgentId>) -> Ruled<()> {
        self.count(agent, |agent| agent.failed += 1)
    }

    fn count(&mut self, agent: Option<AgentId>, change: impl FnOnce(&mut Agent)) -> Ruled<()> {
        // A task that nobody had was claimed and ended in one step: there is no agent to count for.
        let Some(id) = agent.filter(|id| !id.0.is_nil()) else { return Ok(()) };
        if let Some(mut agent) = self.ws.agent(self.namespace.id, id)?.cloned() {
            change(&mut agent);
            self.ws.put_agent(agent);
        }
        Ok(())
    }
}
