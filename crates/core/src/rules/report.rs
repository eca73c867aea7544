//! What agents report: checked against the lease first, so that nothing stale has an effect.

use super::{Ruled, Step};
use crate::command::{DirectReport, Fence, Reply, Report, Reporter, TaskReceipt};
use crate::model::task::ClaimLease;
use crate::model::{
    Agent, AgentId, AgentProfile, Closed, EventKind, LastCheckpoint, NewCheckpoint, NewStep, OutputBatch, Payload,
    Progress, Span, Task, TaskId, TaskState,
};
use crate::planted::Bug;
use crate::rejection::{Reason, Rejection};
use crate::rules::attempt::{AttemptEnd, Given};
use crate::rules::end::Ending;
use crate::rules::transition::Move;
use crate::working_set::PayloadValue;
use std::sync::Arc;
use uuid::Uuid;

/// What the handler of a claimed task says with a heartbeat.
#[derive(Clone, Copy, Debug)]
pub(super) struct Said<'a> {
    pub progress: Option<&'a Progress>,
    pub checkpoint: Option<&'a NewCheckpoint>,
    pub steps: &'a [NewStep],
    pub output: Option<&'a OutputBatch>,
}

impl Step<'_, '_> {
    /// Applies a report of the attempt's holder.
    pub(super) fn report(&mut self, fence: Fence, reporter: Reporter, report: &Report) -> Ruled<Reply> {
        if let Reporter::Session { agent, .. } = reporter {
            // Most reports change their agent as well: a store that has them both need not be asked twice.
            self.ws.want_both((self.namespace.id, fence.task), agent)?;
        }
        let mut task = self.task(fence.task)?;
        if self.is_repetition(&task, fence, report)? {
            return Ok(answer(&task, reporter));
        }
        self.check_fence(&task, fence, reporter)?;
        if let Some((by, digest)) = report.closes() {
            task.closed = Some(Closed { attempt: fence.attempt, token: fence.token, by, digest });
        }
        match report {
            Report::Rejected { reason } => {
                self.end_attempt(&mut task, AttemptEnd::HandedBack { reason: reason.clone() })?;
            }
            Report::Accepted => self.accept(&mut task)?,
            Report::Progress(progress) => {
                self.accept(&mut task)?;
                self.hear(&mut task, Some(progress), None)?;
            }
            Report::Checkpoint(checkpoint) => {
                self.accept(&mut task)?;
                self.hear(&mut task, None, Some(checkpoint))?;
            }
            Report::Step(step) => {
                self.accept(&mut task)?;
                self.record_steps(&mut task, std::slice::from_ref(step))?;
            }
            Report::Output(batch) => {
                self.accept(&mut task)?;
                self.add_output(&mut task, batch)?;
            }
            Report::Pause => self.pause(&mut task)?,
            Report::Resume => self.resume(&mut task)?,
            Report::Completed { result, .. } => {
                self.accept(&mut task)?;
                self.complete(&mut task, result.clone())?;
            }
            Report::Failed { failure, .. } => {
                self.accept(&mut task)?;
                self.end_attempt(&mut task, AttemptEnd::Failed(failure.clone()))?;
            }
        }
        Ok(answer(&task, reporter))
    }

    /// Extends a claim, and takes in what its handler says.
    pub(super) fn heartbeat(&mut self, fence: Fence, lease: Option<Span>, said: Said<'_>) -> Ruled<Reply> {
        let Said { progress, checkpoint, steps, output } = said;
        let mut task = self.task(fence.task)?;
        self.check_fence(&task, fence, Reporter::Token)?;
        let Some(claim) = task.state.lease().and_then(|lease| lease.claim) else {
            let message = format!(
                "attempt: task {} is leased to a stream, whose frames keep it; there is nothing to extend",
                task.id
            );
            return Err(Rejection::new(Reason::AgentState, message).into());
        };
        self.accept(&mut task)?;
        if progress.is_some() || checkpoint.is_some() {
            self.hear(&mut task, progress, checkpoint)?;
        }
        self.record_steps(&mut task, steps)?;
        if let Some(output) = output {
            self.add_output(&mut task, output)?;
        }
        let span = lease.unwrap_or(claim.span);
        let until = self.cx.now + span;
        // Written at most every third of the lease.
        let worth_it = until.since(claim.until) >= Span(span.0 / 3) || until < claim.until;
        let until = if worth_it { until } else { claim.until };
        if worth_it {
            self.step_state(&mut task, Move::Extend(ClaimLease { until, ..claim }))?;
            self.write(&mut task);
        }
        let cancel_requested = task.state.cancelling().is_some();
        Ok(Reply::Extended { until, cancel_requested })
    }

    /// Claims a task that nobody has, and ends the attempt, in one step.
    pub(super) fn direct_report(&mut self, task: TaskId, agent: &Arc<str>, report: &DirectReport) -> Ruled<Reply> {
        let mut task = self.task(task)?;
        if !matches!(task.state, TaskState::Ready { .. }) {
            let remedy = "only a READY task can be ended without an attempt: give attempt and lease_token, or wait";
            return Err(Rejection::task_state(task.id, task.state.name(), remedy).into());
        }
        // Nobody's lease, and yet not anybody's work: not under the name of another's agent, nor in place of one.
        for name in task.spec.requirements.assignee.as_deref().into_iter().chain([&**agent]) {
            if let Some(known) = self.ws.agent_by_name(&(self.namespace.id, name.into()))? {
                self.check_owner(known)?;
            }
        }
        let nobody = self.passer_by(agent);
        self.assign(&mut task, &nobody, Given::Claimed(Span::seconds(1)))?;
        self.accept(&mut task)?;
        match report {
            DirectReport::Completed(result) => self.complete(&mut task, result.clone())?,
            DirectReport::Failed(failure) => self.end_attempt(&mut task, AttemptEnd::Failed(failure.clone()))?,
        }
        Ok(Reply::Tasks(vec![TaskReceipt::of(&task)]))
    }

    /// Who ends a task without having attached: a name, and no row.
    fn passer_by(&self, name: &Arc<str>) -> Agent {
        Agent {
            namespace: self.namespace.id,
            id: AgentId(Uuid::nil()),
            name: name.clone(),
            profile: Arc::new(AgentProfile::default()),
            principal: self.principal.to_string(),
            cordoned: false,
            epoch: 0,
            session: None,
            completed: 0,
            failed: 0,
            created_at: self.cx.now,
            attached_at: self.cx.now,
            detached_at: None,
            version: 0,
        }
    }

    fn complete(&mut self, task: &mut Task, result: Arc<Payload>) -> Ruled<()> {
        if let Some(lease) = task.state.lease() {
            self.count_completion(lease.agent)?;
        }
        if let TaskState::Running { cancelling, .. } = &mut task.state
            && self.cx.settings.planted.has(Bug::CompleteAfterCancel)
        {
            *cancelling = None;
        }
        match task.state.cancelling().map(|cancelling| cancelling.reason.clone()) {
            Some(reason) => self.end(task, Ending::Cancelled { reason }),
            None => self.end(task, Ending::Completed { result }),
        }
    }

    /// The handler itself was heard.
    fn hear(&mut self, task: &mut Task, progress: Option<&Progress>, checkpoint: Option<&NewCheckpoint>) -> Ruled<()> {
        self.step_state(task, Move::Hear(self.cx.now))?;
        if let Some(progress) = progress {
            task.progress = progress.clone();
        }
        if let Some(checkpoint) = checkpoint {
            self.save_checkpoint(task, checkpoint);
        }
        self.write(task);
        Ok(())
    }

    /// What the attempt saved last is saved: an agent that had no receipt repeats it, and it is no second event.
    fn save_checkpoint(&mut self, task: &mut Task, checkpoint: &NewCheckpoint) {
        let saved = Some(LastCheckpoint { attempt: task.attempt, digest: checkpoint.digest });
        if task.last_checkpoint == saved {
            return;
        }
        task.has_checkpoint = true;
        task.last_checkpoint = saved;
        self.ws.add_payload((task.namespace, task.id), PayloadValue::Checkpoint(checkpoint.data.clone()));
        self.tell(task, EventKind::Checkpointed { step: None, child: None });
    }

    /// Whether the report was committed before its attempt ended, or ended it: the same report gets the same receipt.
    fn is_repetition(&self, task: &Task, fence: Fence, report: &Report) -> Ruled<bool> {
        let closed = task.closed.as_ref();
        let Some(closed) = closed.filter(|closed| closed.attempt == fence.attempt && closed.token == fence.token)
        else {
            return Ok(false);
        };
        Ok(match report {
            // An agent says nothing of an attempt behind its end: these came before it.
            Report::Accepted | Report::Checkpoint(_) | Report::Pause | Report::Resume => true,
            // Each is recorded by itself, or it isn't.
            Report::Step(step) => self.is_recorded(task, step)?,
            Report::Output(batch) => self.is_given(task, fence.attempt, batch)?,
            Report::Progress(_) => false,
            Report::Rejected { .. } | Report::Completed { .. } | Report::Failed { .. } => {
                report.closes() == Some((closed.by, closed.digest))
            }
        })
    }

    /// Refuses what is not of the current attempt, or not by its holder.
    pub(super) fn check_fence(&self, task: &Task, fence: Fence, reporter: Reporter) -> Ruled<()> {
        let stale = || Rejection::stale_attempt(task.id, fence.attempt, task.attempt, task.state.name());
        let lease = task.state.lease().ok_or_else(stale)?;
        let planted = self.cx.settings.planted;
        let any_attempt = planted.has(Bug::SkipAttemptCheck);
        if fence.attempt != task.attempt && !any_attempt {
            return Err(stale().into());
        }
        if let Reporter::Token = reporter {
            self.check_holder(task, lease.agent)?;
        }
        if let Reporter::Session { agent, epoch } = reporter {
            if lease.agent != agent {
                let message = format!("attempt: task {} is leased to another agent; report only your own", task.id);
                return Err(Rejection::new(Reason::NotYourLease, message).into());
            }
            let current = self.ws.agent(task.namespace, agent)?.map_or(0, |agent| agent.epoch);
            if (epoch != current || epoch != lease.epoch) && !planted.has(Bug::SkipEpochCheck) {
                let message =
                    format!("session_epoch: {epoch} is not the agent's current session ({current}); attach again");
                return Err(Rejection::new(Reason::StaleSession, message).into());
            }
        }
        if lease.token != fence.token && !any_attempt {
            let message = format!(
                "lease_token: it is not that of attempt {} of task {}; give it as it was assigned",
                fence.attempt, task.id
            );
            return Err(Rejection::new(Reason::WrongLeaseToken, message).into());
        }
        Ok(())
    }

    /// A lease token alone is not enough: a lease is of its holder, and so of the holder's principal.
    fn check_holder(&self, task: &Task, holder: AgentId) -> Ruled<()> {
        let holder = self.ws.agent(task.namespace, holder)?;
        if holder.is_some_and(|agent| agent.belongs_to(&self.principal)) {
            return Ok(());
        }
        let message =
            format!("attempt: task {} is leased to an agent of another principal; report only your own", task.id);
        Err(Rejection::new(Reason::NotYourLease, message).into())
    }
}

/// A stream's receipt has the state alone; a unary call's is remembered whole, so that its repetition gets the same.
fn answer(task: &Task, reporter: Reporter) -> Reply {
    match reporter {
        Reporter::Session { .. } => Reply::Reported(task.state.name()),
        Reporter::Token => Reply::Tasks(vec![TaskReceipt::of(task)]),
    }
}
