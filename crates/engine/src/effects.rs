//! What is done after a commit: pushes, wake-ups, answers. All of it can be derived from rows, so that a death before it loses
//! nothing.

use crate::at_hand::AtHand;
use crate::committer::Committer;
use crate::error::{Error, Result};
use crate::hints;
use crate::hydrate;
use crate::log;
use crate::mail;
use crate::push::{Assignment, MessageReceipts, Push, Receipt, ReceiptStatus, Resumption, SendStatus, Stop};
use crate::queue::{Item, Sink};
use crate::shared::{Ended, Shared};
use callboard_core::WorkingSet;
use callboard_core::command::{Command, Effect, Fence, LaneLeft, Outcome, Reply, Report, Reporter, SessionEnd};
use callboard_core::model::{AgentId, NamespaceId, Span, Task, Timestamp};
use callboard_core::working_set::{ChangeSet, LaneRef};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use tokio::sync::oneshot;

/// How long a task with very many dependents waits between two steps of releasing them.
const RELEASE_EVERY: Span = Span::millis(16);

/// What a batch decided.
pub(crate) struct Decided {
    pub now: Timestamp,
    /// One for each item.
    pub results: Vec<Result<Outcome>>,
    /// The effects of the dispatch at the batch's end.
    pub dispatched: Vec<Effect>,
    pub left: Vec<LaneLeft>,
    /// The lanes of which the other replicas need not be told.
    pub heard: BTreeSet<LaneRef>,
    /// Agents that drain, and have nothing left, with the epochs of their sessions.
    pub drained: Vec<(NamespaceId, AgentId, i64)>,
    pub changes: ChangeSet,
}

impl Decided {
    pub fn new(now: Timestamp, items: usize) -> Self {
        Self {
            now,
            results: Vec::with_capacity(items),
            dispatched: Vec::new(),
            left: Vec::new(),
            heard: BTreeSet::new(),
            drained: Vec::new(),
            changes: ChangeSet::default(),
        }
    }

    /// Nobody knows whether it was committed, so that nothing of it is pushed. Agents who miss something by that, which nobody
    /// says again, are to attach anew.
    pub fn leave_untold(&self, shared: &Shared) {
        let now = shared.clock.elapsed();
        for effect in self.effects() {
            if let Effect::Assign { agent, .. } | Effect::Stop { agent, .. } | Effect::CloseSession { agent, .. } =
                effect
            {
                shared.sessions.missed(*agent, None, now);
            }
        }
        for (_, agent, epoch) in &self.drained {
            shared.sessions.missed(*agent, Some(*epoch), now);
        }
    }

    /// Those of the commands, and of the dispatch.
    fn effects(&self) -> impl Iterator<Item = &Effect> {
        self.results.iter().flatten().flat_map(|outcome| &outcome.effects).chain(&self.dispatched)
    }

    /// Remembers who drains and has nothing left, while the rows are as this batch leaves them.
    pub fn note_drained(&mut self, ws: &WorkingSet) {
        let agents = self.effects().filter_map(|effect| match effect {
            Effect::SessionChanged { agent } | Effect::SlotFreed { agent } => Some(*agent),
            _ => None,
        });
        let mut agents: Vec<AgentId> = agents.collect();
        agents.sort_unstable();
        agents.dedup();
        let drained = agents.into_iter().filter(|agent| ws.lease_count(*agent) == 0).filter_map(|agent| {
            let row = ws.loaded_agent(agent)?;
            let draining = row.session.as_ref().is_some_and(|session| session.draining);
            draining.then_some((row.namespace, row.id, row.epoch))
        });
        self.drained.extend(drained);
    }
}

/// What goes to one agent, in the order in which it is pushed: a receipt may free the slot that the assignment takes.
#[derive(Default)]
struct Outgoing {
    receipts: Vec<Receipt>,
    stops: Vec<Stop>,
    resumptions: Vec<Resumption>,
    assignments: Vec<Assignment>,
    mail: MessageReceipts,
    close: Option<SessionEnd>,
}

type ByAgent = BTreeMap<(AgentId, Option<i64>), Outgoing>;

/// Carries everything out.
pub(crate) fn carry_out(committer: &mut Committer, items: Vec<Item>, decided: Decided) {
    let waiting = decided.left.iter().map(|left| ((left.namespace, left.lane), left.ready));
    let waiting = waiting.filter(|(lane, _)| !decided.heard.contains(lane));
    let waiting = waiting.filter(|(lane, ready)| *ready > 0 || committer.ws.has_backlog(*lane));
    hints::committed(&committer.shared, &decided, waiting.map(|(lane, _)| lane));
    let mut at_hand = AtHand::of(decided.effects());
    let Decided { now, results, dispatched, left, heard: _, drained, changes } = decided;
    let shared = committer.shared.clone();
    shared.signals.tell(&changes);
    log::events(&shared, &changes);
    for lane in &changes.removed_lanes {
        committer.board.remove_lane(*lane);
    }
    if let Some(at) = changes.tasks.iter().filter_map(|task| task.row.wake_at(&shared.config.rules)).min() {
        shared.wake_by(at);
    }
    let mut outgoing = ByAgent::new();
    let mut answers = Vec::with_capacity(items.len());
    for (item, result) in items.into_iter().zip(results) {
        let ended = match &item.envelope.command {
            Command::EndSession { agent, epoch, .. } if result.is_ok() => Some((*agent, *epoch)),
            Command::AcknowledgeMessages { agent, messages, .. } if result.is_ok() => {
                if shared.sessions.release_mail(*agent, messages) {
                    shared.mail.look(*agent);
                }
                None
            }
            Command::Report { fence, reporter: Reporter::Session { agent, epoch }, report: Report::Pause } => {
                take_back(&mut outgoing, (*agent, Some(*epoch)), fence);
                None
            }
            _ => None,
        };
        let mut replayed = false;
        let result = result.map(|outcome| {
            apply(committer, outcome.effects, &mut at_hand, &mut outgoing);
            replayed = outcome.replayed;
            outcome.reply
        });
        shared.metrics.mail.decided(&item.envelope.command, &result);
        if let Some((agent, epoch)) = ended {
            let lease = shared.config.rules.stream_lease;
            shared.sessions.forget_gone(agent, epoch, shared.clock.elapsed(), lease);
        }
        match item.sink {
            // Before anything else can be pushed to it.
            Sink::Attach { reply, live } => {
                if let Ok(Reply::Attached(attached)) = &result {
                    let takes_mail = live.mail.is_some();
                    shared.sessions.open(attached.agent, attached.epoch, *live);
                    if takes_mail {
                        shared.mail.look(attached.agent);
                    }
                    refresh_board(committer, attached.agent);
                }
                answers.push((Sink::Caller(reply), result));
            }
            // Nobody will tell of the end of a task that may have ended long ago.
            Sink::Runner { reply, .. } if replayed => answers.push((Sink::Caller(reply), result)),
            // Before its end, which another of this batch may have brought.
            Sink::Runner { reply, ended, namespace } => {
                let result = result.and_then(|reply| await_end(&shared, reply, &namespace, ended));
                answers.push((Sink::Caller(reply), result));
            }
            sink => answers.push((sink, result)),
        }
    }
    apply(committer, dispatched, &mut at_hand, &mut outgoing);
    for (sink, result) in answers {
        answer(committer, sink, result, &mut outgoing);
    }
    for drained in drained {
        let_go(&shared, drained, &mut outgoing);
    }
    send(committer, outgoing);
    mail::committed(&shared, &changes);
    after_dispatch(committer, &left, now);
}

/// A handler that pauses again is not told of a slot that it had before: the receipt of its pause goes out first.
fn take_back(outgoing: &mut ByAgent, agent: (AgentId, Option<i64>), fence: &Fence) {
    if let Some(outgoing) = outgoing.get_mut(&agent) {
        outgoing.resumptions.retain(|resumption| resumption.fence != *fence);
    }
}

/// Tells everyone that nothing came of their commands. Agents are told to report again.
pub(crate) fn refuse(committer: &Committer, items: Vec<Item>, error: &Error) {
    let mut outgoing = ByAgent::new();
    for item in items {
        answer(committer, item.sink, Err(error.clone()), &mut outgoing);
    }
    send(committer, outgoing);
}

/// Tells agents that these reports wait for earlier ones of their attempts, and are to be repeated behind them.
pub(crate) fn hold_back(committer: &Committer, behind: Vec<Item>) {
    let mut outgoing = ByAgent::new();
    for item in behind {
        if let Sink::Report { agent, epoch, report_id, fence, .. } = item.sink {
            let status = ReceiptStatus::Retry("an earlier report of its attempt is to be repeated first".into());
            let receipts = &mut outgoing.entry((agent, Some(epoch))).or_default().receipts;
            receipts.push(Receipt { report_id, fence, status });
        }
    }
    send(committer, outgoing);
}

fn apply(committer: &mut Committer, effects: Vec<Effect>, at_hand: &mut AtHand, outgoing: &mut ByAgent) {
    let shared = committer.shared.clone();
    for effect in effects {
        match effect {
            // At once when all that its handler needs is at hand, else when it was read.
            Effect::Assign { agent, epoch, task } => {
                let Some(namespace) = shared.names.name(task.namespace) else { continue };
                match at_hand.assignment(namespace, &task) {
                    Some(assignment) => outgoing.entry((agent, Some(epoch))).or_default().assignments.push(assignment),
                    None => shared.hydrate(hydrate::Wanted { agent, epoch, task }),
                }
            }
            Effect::Stop { agent, fence, reason, message } => {
                outgoing.entry((agent, None)).or_default().stops.push(Stop { fence, reason, message });
            }
            Effect::Resumed { agent, epoch, task } => {
                let resumption = task.state.lease().map(|lease| task.attempt_ends_by(lease));
                let resumption = resumption.map(|deadline| Resumption { fence: fence_of(&task), deadline });
                outgoing.entry((agent, Some(epoch))).or_default().resumptions.extend(resumption);
            }
            Effect::CloseSession { agent, epoch, why } => shared.sessions.close(agent, epoch, why),
            Effect::Ended { task, result, failure } => {
                let id = task.id;
                shared.waiters.ended(id, &Arc::new(Ended { task, result, failure }));
            }
            Effect::SessionChanged { agent } => refresh_board(committer, agent),
            // The task is due; between two steps others have the writer.
            Effect::Releasing { .. } => shared.wake_by(shared.clock.now() + RELEASE_EVERY),
            // The sweep finds it; between two steps others have the writer.
            Effect::WalkingWorkflow { .. } => shared.wake_by(shared.clock.now() + RELEASE_EVERY),
            Effect::WorkflowEnded { workflow } => shared.workflow_waiters.ended(workflow.id),
            // Seen to with the batch.
            Effect::SlotFreed { .. }
            | Effect::Released { .. }
            | Effect::LaneReady { .. }
            | Effect::LimitFreed { .. }
            | Effect::LimitsChanged { .. } => {}
        }
    }
}

/// The fence of a leased task; of one without a lease, a fence that fits nothing.
pub(crate) fn fence_of(task: &Task) -> Fence {
    let token = task.state.lease().map_or(callboard_core::model::LeaseToken(0), |lease| lease.token);
    Fence { task: task.id, attempt: task.attempt, token }
}

/// The board has the agents that this replica may push to.
fn refresh_board(committer: &mut Committer, agent: AgentId) {
    let open = committer.shared.sessions.is_open(agent);
    match committer.ws.loaded_agent(agent).filter(|row| open && row.takes_pushes()) {
        Some(row) => {
            committer.board.set_agent(row);
            // The next batch looks whether there is something for it.
            committer.lanes.extend(committer.board.lanes_of(agent));
        }
        None => committer.board.remove_agent(agent),
    }
}

/// An agent that drains is let go when its last attempt has ended.
fn let_go(shared: &Shared, (namespace, agent, epoch): (NamespaceId, AgentId, i64), outgoing: &mut ByAgent) {
    let Some(namespace) = shared.names.name(namespace) else { return };
    outgoing.entry((agent, Some(epoch))).or_default().close = Some(SessionEnd::Drained);
    let command = Command::EndSession { agent, epoch, reason: "its agent drained" };
    // If the queue is full, the agent's own end of the stream does it.
    let _ = shared.queue.offer(Item::system(namespace, command));
}

/// Has a caller told how the task that it created ends; of one that has ended already nobody tells.
fn await_end(shared: &Shared, reply: Reply, namespace: &str, ended: oneshot::Sender<Arc<Ended>>) -> Result<Reply> {
    if let Reply::Tasks(receipts) = &reply
        && let Some(created) = receipts.first().filter(|receipt| !receipt.state.is_final())
        && let Some(namespace) = shared.names.met(namespace)
    {
        shared.waiters.add((namespace, created.task), ended)?;
    }
    Ok(reply)
}

fn answer(committer: &Committer, sink: Sink, result: Result<Reply>, outgoing: &mut ByAgent) {
    let shared = &committer.shared;
    if let Ok(Reply::Namespace(namespace)) = &result {
        shared.names.add(namespace);
    }
    match sink {
        Sink::Nobody => {
            if let Err(error) = result {
                tracing::debug!(%error, "a command of the engine's own was refused");
            }
        }
        // A caller that has gone needs no answer.
        Sink::Caller(reply) | Sink::Runner { reply, .. } | Sink::Attach { reply, .. } => drop(reply.send(result)),
        Sink::Send { agent, epoch, request_id } => {
            let status = match result {
                Ok(Reply::Sent(receipt)) => SendStatus::Committed(receipt),
                Ok(other) => SendStatus::Retry(format!("unexpected answer {other:?}")),
                Err(Error::Rejected(rejection)) => SendStatus::Refused(rejection.reason, rejection.message),
                Err(error) => SendStatus::Retry(error.to_string()),
            };
            outgoing.entry((agent, Some(epoch))).or_default().mail.sent.push((request_id, status));
        }
        Sink::Acknowledge { agent, epoch, messages } => {
            let mail = &mut outgoing.entry((agent, Some(epoch))).or_default().mail;
            match result {
                Ok(_) => mail.acknowledged.extend(messages),
                // The session is over: nobody hears this.
                Err(Error::Rejected(_)) => {}
                Err(_) => mail.retry.extend(messages),
            }
        }
        Sink::Report { agent, epoch, report_id, fence, quiet } => {
            let status = match result {
                Ok(Reply::Reported(_)) if quiet => return,
                Ok(Reply::Reported(state)) => ReceiptStatus::Committed(state),
                Ok(other) => ReceiptStatus::Retry(format!("unexpected answer {other:?}")),
                Err(Error::Rejected(rejection)) => ReceiptStatus::Refused(rejection.reason, rejection.message),
                Err(error) => ReceiptStatus::Retry(error.to_string()),
            };
            let receipts = &mut outgoing.entry((agent, Some(epoch))).or_default().receipts;
            receipts.push(Receipt { report_id, fence, status });
        }
    }
}

fn send(committer: &Committer, outgoing: ByAgent) {
    let shared = &committer.shared;
    let now = shared.clock.elapsed();
    for ((agent, epoch), Outgoing { receipts, stops, resumptions, assignments, mail, close }) in outgoing {
        let push = |push: Push| shared.sessions.push(agent, epoch, push, now);
        if !receipts.is_empty() {
            push(Push::Receipts(receipts));
        }
        if !mail.is_empty() {
            push(Push::MessageReceipts(mail));
        }
        if !stops.is_empty() {
            push(Push::Stop(stops));
        }
        if !resumptions.is_empty() {
            push(Push::Resume(resumptions));
        }
        if !assignments.is_empty() && !push(Push::Assign(assignments)) {
            // The stream went away since: the session's end, or the time for acceptance, gives the tasks to others.
            tracing::debug!(%agent, "an assignment could not be pushed");
        }
        if let (Some(why), Some(epoch)) = (close, epoch) {
            shared.sessions.close(agent, epoch, why);
        }
    }
}

/// Claims that wait get what attached agents left; lanes that wait for a preferred agent are looked at again.
fn after_dispatch(committer: &Committer, left: &[LaneLeft], now: Timestamp) {
    let shared = &committer.shared;
    for left in left {
        let lane = (left.namespace, left.lane);
        let waits = left.ready > 0 || committer.ws.has_backlog(lane);
        if let Some(known) = committer.ws.lane(lane).filter(|_| waits) {
            shared.claims.offer(known, left.ready.max(1));
        }
        if let Some(at) = left.look_again_at {
            shared.look_again(lane, at.since(now));
        }
    }
}
