//! Children in the session: what handlers wait for, and when a handler that waits has no slot.
//!
//! A handler that waits for children is paused: its slot is free for another task. It goes on when the last child that it waits for
//! has ended and the server has a slot for it again; until then that child's end is held back.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::Duration;

use callboard_proto::v1;
use v1::attach_request::Frame;
use v1::report::Kind;

use super::awaits::Awaits;
use super::quorum::Quorum;
use super::saved::{lost, refusal};
use super::{Action, CHILDREN, HandlerId, Moment, Session};
use crate::Error;
use crate::planted::{self, Defect};

/// How long after a resume without a slot the next is sent.
const RESUME_AGAIN: Duration = Duration::from_secs(1);

/// One wait of a handler for children. Chosen by who waits, unique in the agent.
pub(in crate::agent) type WaitId = u64;

/// What a wait gives.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::agent) enum Awaited {
    /// The children that had ended when the wait was over, in their order; without a state there is no such task.
    Ended(Vec<v1::TaskEnd>),
    /// The server tells no ends: ask it for the tasks.
    Ask,
}

/// Whether a handler has a slot.
#[derive(Debug, Default)]
enum Slot {
    /// It has.
    #[default]
    Taken,
    /// It waits, and the server was told by this report. Whether it had its slot then: else it wanted it back, and the server has
    /// not said that it has it.
    Freed { pause: i64, had_slot: bool },
    /// It wants to go on.
    Wanted(Wanted),
}

/// A handler that wants to go on.
#[derive(Debug)]
struct Wanted {
    /// What freed the slot.
    pause: i64,
    /// The first report that says so. What is answered to earlier ones is of no interest any more.
    first: i64,
    /// The latest one, and when it was made.
    latest: i64,
    at: Moment,
    /// When to say so again: once the server answered that there is no slot.
    again_at: Option<Moment>,
}

/// What one handler waits for, and what it knows.
#[derive(Debug, Default)]
struct Waits {
    slot: Slot,
    /// It is taken without asking: the server of then gave none back. For one that does the handler is paused still.
    went_on_unasked: bool,
    /// Waits that are not over.
    under_way: BTreeMap<WaitId, Quorum>,
    /// Waits that are, until the handler may go on.
    held_back: BTreeMap<WaitId, Quorum>,
    /// How children ended, for as long as the attempt lives.
    ends: HashMap<String, v1::TaskEnd>,
}

/// Waits that are over by the end of a child.
struct Over {
    /// What of each had not ended.
    rests: Vec<(WaitId, Vec<String>)>,
    /// Whether the handler waits for nothing else.
    was_last: bool,
}

impl Waits {
    /// Lets a quorum take the ends that are known.
    fn fill(&self, quorum: &mut Quorum) {
        let known: Vec<&v1::TaskEnd> = quorum.children().filter_map(|child| self.ends.get(child)).collect();
        for end in known {
            quorum.take(end);
        }
    }

    /// What a wait that is over gives.
    fn ends_of(&self, quorum: &Quorum) -> Vec<v1::TaskEnd> {
        quorum.ended().filter_map(|child| self.ends.get(child)).cloned().collect()
    }
}

/// What a handler hears that was told to stop while it waited.
pub(in crate::agent) fn told_to_stop() -> Error {
    refusal(v1::ErrorReason::StaleAttempt, "the handler was told to stop")
}

#[derive(Debug, Default)]
pub(super) struct Children {
    handlers: HashMap<HandlerId, Waits>,
    /// Who waits.
    waiters: HashMap<WaitId, HandlerId>,
    awaits: Awaits,
    /// When handlers that want to go on say so again.
    resumes: BTreeSet<(Moment, HandlerId)>,
}

impl Children {
    /// How many handlers have no slot.
    pub(super) fn without_slot(&self) -> usize {
        self.handlers.values().filter(|waits| !matches!(waits.slot, Slot::Taken)).count()
    }

    pub(super) fn next_wake(&self) -> Option<Moment> {
        self.resumes.first().map(|(at, _)| *at)
    }

    pub(super) fn awaits_due(&self) -> bool {
        self.awaits.is_due()
    }

    fn begin(&mut self, handler: HandlerId, quorum: Quorum, wait: WaitId) {
        quorum.rest().for_each(|child| self.awaits.ask(child, handler));
        self.waiters.insert(wait, handler);
        self.handlers.entry(handler).or_default().under_way.insert(wait, quorum);
    }

    /// Takes a wait out. Whether it was the last of those that are not over.
    fn give_up(&mut self, wait: WaitId) -> Option<(HandlerId, bool)> {
        let handler = self.waiters.remove(&wait)?;
        let waits = self.handlers.get_mut(&handler)?;
        waits.held_back.remove(&wait);
        let was_under_way = waits.under_way.remove(&wait).is_some();
        Some((handler, was_under_way && waits.under_way.is_empty()))
    }

    /// A child has ended. The waits that are over by that are held back.
    fn note_end(&mut self, handler: HandlerId, end: &v1::TaskEnd) -> Option<Over> {
        let waits = self.handlers.get_mut(&handler)?;
        waits.ends.insert(end.task_id.clone(), end.clone());
        let over: Vec<(WaitId, Quorum)> = waits.under_way.extract_if(.., |_, quorum| quorum.take(end)).collect();
        let rests = over.iter().map(|(wait, quorum)| (*wait, quorum.rest().cloned().collect())).collect();
        waits.held_back.extend(over);
        Some(Over { rests, was_last: waits.under_way.is_empty() })
    }

    /// What a wait that begins gives at once, when it is over by what is known.
    fn known(&self, handler: HandlerId, quorum: &mut Quorum) -> Option<Vec<v1::TaskEnd>> {
        let waits = self.handlers.get(&handler)?;
        waits.fill(quorum);
        quorum.is_over().then(|| waits.ends_of(quorum))
    }

    fn slot(&mut self, handler: HandlerId) -> Option<&mut Slot> {
        self.handlers.get_mut(&handler).map(|waits| &mut waits.slot)
    }

    /// The handler has this slot from now on.
    fn set_slot(&mut self, handler: HandlerId, slot: Slot) {
        let again_at = match &slot {
            Slot::Wanted(wanted) => wanted.again_at,
            Slot::Taken | Slot::Freed { .. } => None,
        };
        let Some(waits) = self.handlers.get_mut(&handler) else { return };
        if let Slot::Wanted(Wanted { again_at: Some(at), .. }) = std::mem::replace(&mut waits.slot, slot) {
            self.resumes.remove(&(at, handler));
        }
        self.resumes.extend(again_at.map(|at| (at, handler)));
    }

    /// The server of now gives no slots back: the handler goes on as it can.
    fn go_on_unasked(&mut self, handler: HandlerId) {
        if let Some(waits) = self.handlers.get_mut(&handler) {
            waits.went_on_unasked |= !matches!(waits.slot, Slot::Taken);
        }
    }

    /// Those that went on without a slot, which there is somebody to ask for now.
    fn take_unasked(&mut self) -> Vec<HandlerId> {
        let handlers: Vec<HandlerId> = self.handlers.keys().copied().collect();
        handlers.into_iter().filter(|handler| self.take_unasked_of(*handler)).collect()
    }

    fn take_unasked_of(&mut self, handler: HandlerId) -> bool {
        self.handlers.get_mut(&handler).is_some_and(|waits| std::mem::take(&mut waits.went_on_unasked))
    }

    /// What is held back from the handler, which is to have it now.
    fn take_held_back(&mut self, handler: HandlerId) -> Vec<(WaitId, Vec<v1::TaskEnd>)> {
        let Some(waits) = self.handlers.get_mut(&handler) else { return Vec::new() };
        let held_back = std::mem::take(&mut waits.held_back).into_iter();
        let ended: Vec<_> = held_back.map(|(wait, quorum)| (wait, waits.ends_of(&quorum))).collect();
        self.forget_waiters(ended.iter().map(|(wait, _)| wait));
        ended
    }

    /// All waits of the handler, which are over.
    fn take_waits(&mut self, handler: HandlerId) -> Vec<WaitId> {
        let Some(waits) = self.handlers.get_mut(&handler) else { return Vec::new() };
        let under_way = std::mem::take(&mut waits.under_way).into_keys();
        let over: Vec<WaitId> = under_way.chain(std::mem::take(&mut waits.held_back).into_keys()).collect();
        self.forget_waiters(over.iter());
        over
    }

    fn forget_waiters<'a>(&mut self, over: impl Iterator<Item = &'a WaitId>) {
        for wait in over {
            self.waiters.remove(wait);
        }
    }

    fn forget(&mut self, handler: HandlerId) {
        self.set_slot(handler, Slot::Taken);
        if self.handlers.remove(&handler).is_some() {
            self.awaits.forget(handler);
        }
    }
}

impl Session {
    /// A handler waits for children. [`Action::WaitOver`] tells at once that the quorum is over, when some have not ended then,
    /// [`Action::WaitDone`] how the others did, when the handler may go on.
    pub(in crate::agent) fn on_wait(&mut self, handler: HandlerId, mut quorum: Quorum, wait: WaitId) {
        if !self.attempts.reports(handler) {
            return self.end_wait(wait, Err(lost()));
        }
        if let Some(ends) = self.children.known(handler, &mut quorum) {
            self.tell_rest(wait, quorum.rest().cloned().collect());
            return self.end_wait(wait, Ok(Awaited::Ended(ends)));
        }
        if self.link.is_attached() && !self.link.server_takes(CHILDREN) {
            return self.end_wait(wait, Ok(Awaited::Ask));
        }
        self.children.begin(handler, quorum, wait);
        self.free_slot(handler);
    }

    /// Nobody waits any more.
    pub(in crate::agent) fn on_wait_given_up(&mut self, now: Moment, wait: WaitId) {
        if let Some((handler, true)) = self.children.give_up(wait) {
            self.want_slot(now, handler);
        }
    }

    pub(super) fn on_task_ends(&mut self, now: Moment, batch: &v1::TaskEndBatch) {
        for end in &batch.ends {
            for handler in self.children.awaits.take_askers(&end.task_id) {
                self.on_task_end(now, handler, end);
            }
        }
    }

    /// A wait that is over is answered at once while the handler waits for others, too; the last one's answer is held back
    /// until it may go on.
    fn on_task_end(&mut self, now: Moment, handler: HandlerId, end: &v1::TaskEnd) {
        let Some(Over { rests, was_last }) = self.children.note_end(handler, end) else { return };
        if rests.is_empty() {
            return;
        }
        rests.into_iter().for_each(|(wait, rest)| self.tell_rest(wait, rest));
        match was_last {
            true => self.want_slot(now, handler),
            false => self.give_held_back(handler),
        }
    }

    pub(super) fn on_resumptions(&mut self, batch: v1::ResumptionBatch) {
        for resumption in batch.resumptions {
            let handler = resumption.attempt.as_ref().and_then(|attempt| self.attempts.handler_of(attempt));
            let Some(handler) = handler else { continue };
            if let Some(deadline) = resumption.deadline {
                self.actions.push_back(Action::Deadline { handler, deadline });
            }
            // One that was sent before the server heard of the latest pause is of the time before it.
            let is_of_now = match self.children.slot(handler) {
                Some(Slot::Wanted(wanted)) => !self.outbox.has(wanted.pause),
                _ => false,
            };
            if is_of_now {
                self.go_on(handler);
            }
        }
    }

    /// A resume was committed. The answer to one before the latest pause is of no interest any more.
    pub(super) fn on_resume_committed(&mut self, attempt: &v1::Attempt, receipt: &v1::Receipt) {
        let Some(handler) = self.attempts.handler_of(attempt) else { return };
        let Some(Slot::Wanted(wanted)) = self.children.slot(handler) else { return };
        if receipt.report_id < wanted.first {
            return;
        }
        if receipt.state() == v1::TaskState::Running {
            return self.go_on(handler);
        }
        if receipt.report_id == wanted.latest {
            let wanted = Wanted { again_at: Some(wanted.at + RESUME_AGAIN), ..*wanted };
            self.children.set_slot(handler, Slot::Wanted(wanted));
        }
    }

    /// Says again of handlers that they want to go on, when that is due.
    pub(super) fn resume_again(&mut self, now: Moment) {
        if !self.link.is_attached() {
            return;
        }
        while let Some((at, handler)) = self.children.resumes.first().copied().filter(|(at, _)| *at <= now) {
            self.children.resumes.remove(&(at, handler));
            let Some(&mut Slot::Wanted(Wanted { pause, first, .. })) = self.children.slot(handler) else { continue };
            let Some(attempt) = self.attempts.reporting_attempt(handler) else { continue };
            let latest = self.report(attempt, Kind::Resume(v1::Resume {}), None);
            self.children.set_slot(handler, Slot::Wanted(Wanted { pause, first, latest, at: now, again_at: None }));
        }
    }

    /// A new stream: what is awaited is asked for again, and who wants to go on says so again.
    pub(super) fn await_again(&mut self, now: Moment) {
        if !self.link.server_takes(CHILDREN) {
            return self.wait_by_asking();
        }
        let Children { handlers, awaits, .. } = &mut self.children;
        let under_way = handlers.iter().flat_map(|(handler, waits)| {
            waits.under_way.values().flat_map(Quorum::rest).map(|child| (*handler, child.as_str()))
        });
        awaits.restart(under_way);
        for handler in self.children.take_unasked() {
            self.send_resume(now, handler, 0);
        }
        let answered: Vec<HandlerId> = self.children.resumes.iter().map(|(_, handler)| *handler).collect();
        for handler in answered {
            if let Some(&mut Slot::Wanted(Wanted { pause, first, latest, at, .. })) = self.children.slot(handler) {
                let wanted = Wanted { pause, first, latest, at, again_at: Some(now) };
                self.children.set_slot(handler, Slot::Wanted(wanted));
            }
        }
    }

    /// The server that is attached knows no children: it has no part in who waits.
    fn wait_by_asking(&mut self) {
        let taken = self.outbox.take(|kept| kept.is(|kind| matches!(kind, Kind::Pause(_) | Kind::Resume(_))));
        taken.iter().for_each(|kept| self.conclude(kept, Ok(())));
        let handlers: Vec<HandlerId> = self.children.handlers.keys().copied().collect();
        for handler in handlers {
            self.children.go_on_unasked(handler);
            self.go_on(handler);
            for wait in self.children.take_waits(handler) {
                self.end_wait(wait, Ok(Awaited::Ask));
            }
        }
        self.children.awaits.restart(std::iter::empty());
    }

    /// The handler was told to stop: what it waits for is of no interest, and it wants its slot back.
    pub(super) fn interrupt_waits(&mut self, now: Moment, handler: HandlerId) {
        let over = self.children.take_waits(handler);
        over.iter().for_each(|wait| self.end_wait(*wait, Err(told_to_stop())));
        if !over.is_empty() {
            self.want_slot(now, handler);
        }
    }

    /// Nothing more is to be reported of the handler, or it has ended.
    pub(super) fn forget_waits(&mut self, handler: HandlerId) {
        for wait in self.children.take_waits(handler) {
            self.end_wait(wait, Err(lost()));
        }
        self.children.forget(handler);
    }

    /// Nobody will say any more how children end.
    pub(super) fn give_up_waits(&mut self, error: &Error) {
        let handlers: Vec<HandlerId> = self.children.handlers.keys().copied().collect();
        for handler in handlers {
            for wait in self.children.take_waits(handler) {
                self.end_wait(wait, Err(error.clone()));
            }
        }
    }

    pub(super) fn awaits_frame(&mut self) -> Option<Frame> {
        let task_ids = self.children.awaits.take_frame();
        (!task_ids.is_empty()).then_some(Frame::Awaits(v1::TaskAwaitBatch { task_ids }))
    }

    /// The handler waits: its slot is for others, unless it is already.
    fn free_slot(&mut self, handler: HandlerId) {
        if planted::has(Defect::SlotHeldWhileWaiting) {
            return;
        }
        let (had_slot, pause_stands) = match self.children.slot(handler) {
            None | Some(Slot::Freed { .. }) => return,
            Some(Slot::Taken) => (!self.children.take_unasked_of(handler), None),
            // It never said that it wants to go on: the pause before stands.
            Some(&mut Slot::Wanted(Wanted { pause, first, latest, .. })) => {
                (false, (first == latest && self.withdraw(handler, latest)).then_some(pause))
            }
        };
        self.give_held_back(handler);
        let Some(attempt) = self.attempts.reporting_attempt(handler) else { return };
        let pause = pause_stands.unwrap_or_else(|| self.report(attempt, Kind::Pause(v1::Pause {}), None));
        self.children.set_slot(handler, Slot::Freed { pause, had_slot });
    }

    /// The handler waits for nothing any more: it wants its slot back, unless it has it.
    fn want_slot(&mut self, now: Moment, handler: HandlerId) {
        match self.children.slot(handler) {
            None | Some(Slot::Wanted(_)) => {}
            Some(Slot::Taken) => self.give_held_back(handler),
            Some(&mut Slot::Freed { pause, had_slot }) => {
                // A pause that never left freed nothing, if there was a slot to be freed.
                if had_slot && self.withdraw(handler, pause) {
                    return self.go_on(handler);
                }
                self.send_resume(now, handler, pause);
            }
        }
    }

    /// Says for the first time since this pause that the handler wants its slot back.
    fn send_resume(&mut self, now: Moment, handler: HandlerId, pause: i64) {
        let Some(attempt) = self.attempts.reporting_attempt(handler) else { return };
        let first = self.report(attempt, Kind::Resume(v1::Resume {}), None);
        let wanted = Wanted { pause, first, latest: first, at: now, again_at: None };
        self.children.set_slot(handler, Slot::Wanted(wanted));
    }

    /// The handler has its slot.
    fn go_on(&mut self, handler: HandlerId) {
        self.children.set_slot(handler, Slot::Taken);
        self.give_held_back(handler);
    }

    fn give_held_back(&mut self, handler: HandlerId) {
        for (wait, ends) in self.children.take_held_back(handler) {
            self.end_wait(wait, Ok(Awaited::Ended(ends)));
        }
    }

    /// These have not ended, and the wait is over. One of them may have the slot that the handler needs to go on.
    fn tell_rest(&mut self, wait: WaitId, rest: Vec<String>) {
        if !rest.is_empty() {
            self.actions.push_back(Action::WaitOver { wait, rest });
        }
    }

    /// Forgets a report that never left. Whether it is so.
    fn withdraw(&mut self, handler: HandlerId, report_id: i64) -> bool {
        let attempt = self.attempts.reporting_attempt(handler);
        let withdrawn = self.outbox.withdraw(report_id);
        if let Some(attempt) = attempt.filter(|_| withdrawn) {
            self.attempts.settle(&attempt);
        }
        withdrawn
    }

    fn end_wait(&mut self, wait: WaitId, result: Result<Awaited, Error>) {
        self.actions.push_back(Action::WaitDone { wait, result });
    }
}
