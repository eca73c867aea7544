//! The protocol of an attached agent, as `sdk/SPEC.md` section 6 has it: without I/O, clock, threads or tokio.
//!
//! In go frames that were received, what handlers say, and the time ([`Session::advance`]). Out come [`Action`]s, frames to
//! be sent, and when to come back. The driver only carries them out. So every rule here can be tested as a script.

mod attempts;
mod awaits;
mod children;
mod ending;
mod gathering;
mod inbound;
mod link;
mod mail;
mod messages;
mod outbox;
mod output;
mod progress;
mod quorum;
mod readiness;
mod saved;

use std::collections::VecDeque;
use std::time::Duration;

use callboard_proto::v1;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use v1::attach_request::Frame;

use crate::Error;
use crate::planted::{self, Defect};
use attempts::{Attempts, Standing};
use children::Children;
pub(super) use children::{Awaited, WaitId, told_to_stop};
use ending::Ending;
pub(super) use gathering::{MAX_CHUNK_BYTES, Piece};
use link::Link;
pub(super) use link::Target;
use mail::Mail;
use outbox::Outbox;
use output::Outputs;
use progress::ProgressGate;
pub(super) use quorum::Quorum;
pub(super) use readiness::Readiness;
pub(super) use saved::NO_STEPS;

/// A point in time: how long after the agent's beginning.
pub(super) type Moment = Duration;

/// How long a handler that was cancelled may go on before it is dropped.
const CANCEL_GRACE: Duration = Duration::from_secs(10);

/// Names in `features`.
const CANCELLATION: &str = "cancellation";
const DRAIN: &str = "drain";
const CHECKPOINT: &str = "checkpoint";
const PROGRESS: &str = "progress";
const SLOTS: &str = "slots";
const STEPS: &str = "steps";
const CHILDREN: &str = "children";
const OUTPUT: &str = "output";
const MESSAGES: &str = "messages";
const MESSAGE_RECEIPTS: &str = "message_receipts";

/// One handler that was started, for as long as the process lives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct HandlerId(pub(super) u64);

/// A checkpoint, a step, output or a message whose handler waits for what becomes of it.
pub(super) type Ticket = u64;

/// How a handler ended.
#[derive(Debug, Clone)]
pub(super) enum Outcome {
    Completed(v1::Payload),
    Failed(Box<v1::Failure>),
}

impl Outcome {
    pub(super) fn failed(failure: v1::Failure) -> Self {
        Self::Failed(Box::new(failure))
    }
}

/// What the driver is to do.
#[derive(Debug, Clone)]
pub(super) enum Action {
    /// Open a stream, with a first frame from [`Session::poll_frame`].
    Connect(Target),
    /// Cut the stream, or give up opening it.
    Disconnect,
    /// The stream is attached: for those who want to know.
    Attached { agent_id: String, epoch: i64, takes_children: bool },
    /// Start the handler of an assignment. Its type has one. Whether the server that gave it has steps.
    Start { handler: HandlerId, assignment: Box<v1::Assignment>, has_steps: bool },
    /// Tell the handler to stop.
    Cancel { handler: HandlerId, reason: v1::CancellationReason },
    /// Drop the handler: it was told to stop, and has not.
    Abort(HandlerId),
    /// Tell the handler what became of its checkpoint, step or output.
    ReportDone { ticket: Ticket, result: Result<(), Error> },
    /// Tell whoever waits for children which have not ended: as many have as it waits for, though it may have to wait for a slot.
    WaitOver { wait: WaitId, rest: Vec<String> },
    /// Tell the handler how the children that it waits for ended.
    WaitDone { wait: WaitId, result: Result<Awaited, Error> },
    /// The attempt of the handler times out at another time.
    Deadline { handler: HandlerId, deadline: prost_types::Timestamp },
    /// Run the handler of a message. There is one handler, which is at rest.
    Handle(Box<v1::Message>),
    /// Drop the handler of the message.
    AbortMessage,
    /// Tell a handler what became of its message.
    SendDone { ticket: Ticket, result: Result<v1::MessageReceipt, Error> },
    /// It is over. Drop what still runs.
    Stop(Result<(), Error>),
}

/// What an agent is, and how it behaves.
#[derive(Debug, Clone)]
pub(super) struct Config {
    pub(super) namespace: String,
    pub(super) profile: v1::AgentProfile,
    /// Random; the same for as long as the agent lives.
    pub(super) instance_id: String,
    pub(super) addresses: usize,
    pub(super) drain_timeout: Duration,
    /// There is a handler for messages.
    pub(super) takes_messages: bool,
    pub(super) seed: u64,
}

/// The state of an agent.
#[derive(Debug)]
pub(super) struct Session {
    config: Config,
    link: Link,
    attempts: Attempts,
    outbox: Outbox,
    progress: ProgressGate,
    children: Children,
    outputs: Outputs,
    mail: Mail,
    ending: Ending,
    actions: VecDeque<Action>,
    chance: StdRng,
    stopped: bool,
}

impl Session {
    /// An agent that wants to attach at once.
    pub(super) fn new(config: Config) -> Self {
        Self {
            link: Link::new(config.addresses),
            attempts: Attempts::default(),
            outbox: Outbox::default(),
            progress: ProgressGate::default(),
            children: Children::default(),
            outputs: Outputs::default(),
            mail: Mail::default(),
            ending: Ending::new(config.drain_timeout),
            actions: VecDeque::new(),
            chance: StdRng::seed_from_u64(config.seed),
            stopped: false,
            config,
        }
    }

    /// Does everything that is due. Call it before polling, whenever anything happened or [`Session::next_wake`] came.
    pub(super) fn advance(&mut self, now: Moment) {
        if self.stopped {
            return;
        }
        for handler in self.attempts.take_due_aborts(now) {
            self.actions.push_back(Action::Abort(handler));
        }
        self.keep_link(now);
        self.resume_again(now);
        self.handle_next(now);
        self.end_when_due(now);
    }

    /// The next thing to do.
    pub(super) fn poll_action(&mut self) -> Option<Action> {
        self.actions.pop_front()
    }

    /// The next frame to send, when there is one. Ask only when it can be sent: what waits here is batched.
    pub(super) fn poll_frame(&mut self, now: Moment) -> Option<v1::AttachRequest> {
        if self.stopped || self.ending.is_final() {
            return None;
        }
        let frame = if self.link.take_hello() { Some(self.hello()) } else { self.attached_frame(now) };
        frame.map(|frame| {
            self.link.note_sent(now);
            v1::AttachRequest { frame: Some(frame) }
        })
    }

    /// When to call [`Session::advance`] again, if nothing happens before.
    pub(super) fn next_wake(&self) -> Option<Moment> {
        let link = if self.ending.is_final() { None } else { self.link.next_due() };
        let message = if self.ending.is_working() { self.mail.next_start() } else { None };
        let resume = if self.link.is_attached() { self.children.next_wake() } else { None };
        [link, self.attempts.next_abort(), self.ending.next_due(), resume, message].into_iter().flatten().min()
    }

    /// When to call [`Session::poll_frame`] again, if nothing happens before. Of no use while nothing can be sent.
    pub(super) fn next_frame(&self) -> Option<Moment> {
        if self.ending.is_final() || !self.link.is_attached() {
            return None;
        }
        let awaits = self.children.awaits_due().then_some(Moment::ZERO);
        let reports = [self.outbox.next_due(), self.outputs.next_due(), self.progress.next_due()];
        let others = [awaits, self.mail.next_frame(), self.heartbeat_at()];
        reports.into_iter().chain(others).flatten().min()
    }

    /// A handler says how far it is. The latest wins, and nothing is kept across streams.
    pub(super) fn on_progress(&mut self, now: Moment, handler: HandlerId, progress: v1::Progress) {
        let wanted = self.link.is_attached() && self.link.server_takes(PROGRESS);
        if wanted && self.attempts.reports(handler) {
            self.progress.offer(now, handler, progress);
        }
    }

    /// A handler has ended. Nothing more comes from it.
    pub(super) fn on_finished(&mut self, now: Moment, handler: HandlerId, outcome: Outcome) {
        self.progress.forget(handler);
        self.forget_waits(handler);
        self.flush_output(now, handler);
        self.forget_output(handler);
        let Some(ended) = self.attempts.finish(handler) else { return };
        if ended.standing == Standing::Lost {
            return;
        }
        // A final report implies acceptance: an acceptance that never left this process says nothing more.
        if ended.accepted_as.is_some_and(|id| self.outbox.withdraw(id)) {
            self.attempts.settle(&ended.attempt);
        }
        let kind = match outcome {
            Outcome::Completed(result) => v1::report::Kind::Completed(v1::Completion { result: Some(result) }),
            Outcome::Failed(failure) => v1::report::Kind::Failed(v1::FailureReport { failure: Some(*failure) }),
        };
        self.report(ended.attempt, kind, None);
    }

    fn hello(&self) -> Frame {
        Frame::Hello(v1::Hello {
            namespace: self.config.namespace.clone(),
            profile: Some(self.config.profile.clone()),
            held: self.attempts.held(),
            features: self.features(),
            previous_epoch: self.link.epoch(),
            instance_id: self.config.instance_id.clone(),
            message_window: 0,
        })
    }

    fn attached_frame(&mut self, now: Moment) -> Option<Frame> {
        if !self.link.is_attached() {
            return None;
        }
        // Before the reports: one that frees a slot, or hands a task back, would be answered with another task.
        if let Some(frame) = self.drain_frame() {
            return Some(frame);
        }
        if let Some(batch) = self.report_batch(now) {
            return Some(Frame::Reports(batch));
        }
        if let Some(frame) = self.awaits_frame() {
            return Some(frame);
        }
        if let Some(frame) = self.mail_frame(now) {
            return Some(frame);
        }
        let heartbeat_due = self.heartbeat_at().is_some_and(|at| at <= now);
        heartbeat_due.then_some(Frame::Heartbeat(v1::Heartbeat {}))
    }

    /// When the next heartbeat is due. A drain changes nothing of it: what it waits for is leased as before.
    fn heartbeat_at(&self) -> Option<Moment> {
        if self.ending.is_draining() && planted::has(Defect::SilentWhileDraining) {
            return None;
        }
        self.link.heartbeat_at()
    }

    /// Says that the agent drains. The server ends the stream of an agent that has drained and has no attempt left: while
    /// a message is being handled, or has no receipt, it is only told to give nothing more.
    fn drain_frame(&mut self) -> Option<Frame> {
        if !self.ending.is_draining() {
            return None;
        }
        if !self.mail.is_idle() {
            let closes = self.link.server_takes(SLOTS) && self.link.take_slots_turn();
            return closes.then_some(Frame::Slots(v1::SlotsChange { slots: 0 }));
        }
        let drains = self.link.server_takes(DRAIN) && self.link.take_drain_turn();
        drains.then_some(Frame::Drain(v1::DrainRequest {}))
    }

    fn report_batch(&mut self, now: Moment) -> Option<v1::ReportBatch> {
        self.report_due_output(now);
        let mut reports = self.outbox.take_batch(now);
        if planted::has(Defect::ReportForgotten) {
            for report in &reports {
                self.outbox.commit(report.report_id).iter().for_each(|kept| self.conclude(kept, Ok(())));
            }
        }
        let room = outbox::MAX_REPORTS.saturating_sub(reports.len());
        for (handler, progress) in self.progress.take_due(now, room) {
            if let Some(attempt) = self.attempts.reporting_attempt(handler) {
                let report_id = self.outbox.next_id();
                let kind = Some(v1::report::Kind::Progress(progress));
                reports.push(v1::Report { report_id, attempt: Some(attempt), kind });
            }
        }
        (!reports.is_empty()).then_some(v1::ReportBatch { reports })
    }

    fn report(&mut self, attempt: v1::Attempt, kind: v1::report::Kind, ticket: Option<Ticket>) -> i64 {
        self.attempts.expect_receipt(&attempt);
        self.outbox.push(attempt, kind, ticket)
    }

    fn fraction(&mut self) -> f64 {
        self.chance.random()
    }
}

#[cfg(test)]
mod tests;
