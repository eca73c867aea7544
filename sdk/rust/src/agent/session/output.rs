//! Output in the session: gathered into reports, at most one of an attempt on its way, at most twenty a second.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::time::Duration;

use callboard_proto::v1;
use tonic::Code;
use v1::report::Kind;

use super::gathering::{Buffer, Piece};
use super::saved::{lost, refusal};
use super::{Action, HandlerId, Moment, OUTPUT, Session, Ticket};
use crate::Error;
use crate::error::CallError;

/// The least time between two reports of an attempt.
const INTERVAL: Duration = Duration::from_millis(50);

/// A handler waits while at least so much of its output does.
const FULL: usize = 1 << 20;

const NO_OUTPUT: &str = "the server takes no output";

/// The output of one handler.
#[derive(Debug, Default)]
struct Given {
    buffer: Buffer,
    /// What found the buffer full.
    waiting: VecDeque<(Ticket, Piece)>,
    /// How many bytes are in reports.
    reported: i64,
    /// Reports without a receipt.
    on_their_way: usize,
    sent_at: Option<Moment>,
    due: Option<Moment>,
    /// Why nothing more is taken.
    closed: Option<Error>,
}

#[derive(Debug, Default)]
pub(super) struct Outputs {
    handlers: HashMap<HandlerId, Given>,
    /// When there is something to be reported of a handler.
    due: BTreeSet<(Moment, HandlerId)>,
}

impl Outputs {
    pub(super) fn next_due(&self) -> Option<Moment> {
        self.due.first().map(|(at, _)| *at)
    }

    /// Notes when the next report of the handler is to be made: after the receipt of the one before, and not too soon.
    fn schedule(&mut self, now: Moment, handler: HandlerId) {
        let Some(given) = self.handlers.get_mut(&handler) else { return };
        let is_wanted = !given.buffer.is_empty() && given.on_their_way == 0;
        let due = is_wanted.then(|| given.sent_at.map_or(now, |sent_at| now.max(sent_at + INTERVAL)));
        if let Some(before) = std::mem::replace(&mut given.due, due) {
            self.due.remove(&(before, handler));
        }
        self.due.extend(due.map(|at| (at, handler)));
    }

    /// Takes out what is known of the handler. Gives those who wait.
    fn forget(&mut self, handler: HandlerId) -> Vec<Ticket> {
        let Some(given) = self.handlers.remove(&handler) else { return Vec::new() };
        if let Some(at) = given.due {
            self.due.remove(&(at, handler));
        }
        given.waiting.into_iter().map(|(ticket, _)| ticket).collect()
    }
}

impl Session {
    /// A handler gives output, and waits for [`Action::ReportDone`], which says that it was taken.
    pub(in crate::agent) fn on_output(&mut self, now: Moment, handler: HandlerId, piece: Piece, ticket: Ticket) {
        let refused = if !self.attempts.reports(handler) {
            Some(lost())
        } else if self.link.is_attached() && !self.link.server_takes(OUTPUT) {
            Some(refusal(v1::ErrorReason::Unspecified, NO_OUTPUT))
        } else {
            self.outputs.handlers.get(&handler).and_then(|given| given.closed.clone())
        };
        if let Some(refused) = refused {
            return self.actions.push_back(Action::ReportDone { ticket, result: Err(refused) });
        }
        self.outputs.handlers.entry(handler).or_default().waiting.push_back((ticket, piece));
        self.take_output(now, handler);
    }

    /// Takes what waits, as far as there is room.
    fn take_output(&mut self, now: Moment, handler: HandlerId) {
        let Some(given) = self.outputs.handlers.get_mut(&handler) else { return };
        while given.buffer.bytes() < FULL {
            let Some((ticket, piece)) = given.waiting.pop_front() else { break };
            given.buffer.push(piece);
            self.actions.push_back(Action::ReportDone { ticket, result: Ok(()) });
        }
        self.outputs.schedule(now, handler);
    }

    /// Makes reports of the output that is due.
    pub(super) fn report_due_output(&mut self, now: Moment) {
        while let Some((_, handler)) = self.outputs.due.first().copied().filter(|(at, _)| *at <= now) {
            self.report_output(now, handler);
            self.take_output(now, handler);
        }
    }

    /// What was given keeps its place before what is reported now.
    pub(super) fn flush_output(&mut self, now: Moment, handler: HandlerId) {
        while self.report_output(now, handler) {
            self.take_output(now, handler);
        }
    }

    /// Makes one report of what waits. Whether there was anything.
    fn report_output(&mut self, now: Moment, handler: HandlerId) -> bool {
        let given = self.outputs.handlers.get_mut(&handler).filter(|given| !given.buffer.is_empty());
        let Some(given) = given else { return false };
        let Some(attempt) = self.attempts.reporting_attempt(handler) else { return false };
        let (chunks, bytes) = given.buffer.take_report();
        let batch = v1::OutputBatch { offset: given.reported, chunks };
        given.reported += i64::try_from(bytes).unwrap_or(i64::MAX);
        given.on_their_way += 1;
        given.sent_at = Some(now);
        self.report(attempt, Kind::Output(batch), None);
        true
    }

    /// A report of output is done with.
    pub(super) fn on_output_settled(&mut self, now: Moment, attempt: &v1::Attempt) {
        let Some(handler) = self.attempts.handler_of(attempt) else { return };
        if let Some(given) = self.outputs.handlers.get_mut(&handler) {
            given.on_their_way = given.on_their_way.saturating_sub(1);
        }
        self.outputs.schedule(now, handler);
    }

    /// Whether output was refused only because output before it was: that has to be sent again, or nothing more is taken.
    pub(super) fn is_gap_in_output(&self, receipt: &v1::Receipt) -> bool {
        receipt.reason() == v1::ErrorReason::InvalidField && self.outbox.is_behind_output(receipt.report_id)
    }

    /// Whether nothing more is taken of the attempt's output.
    pub(super) fn is_output_closed(&self, attempt: &v1::Attempt) -> bool {
        let given = self.attempts.handler_of(attempt).and_then(|handler| self.outputs.handlers.get(&handler));
        given.is_some_and(|given| given.closed.is_some())
    }

    /// The run has all the output that it may have: nothing more is taken, and the handler goes on.
    pub(super) fn close_output(&mut self, attempt: &v1::Attempt, message: &str) {
        let reason = v1::ErrorReason::LimitReached;
        let error = Error::from(CallError::local(Code::ResourceExhausted, reason, message));
        if let Some(handler) = self.attempts.handler_of(attempt) {
            self.close_output_of(handler, &error);
        }
        // What did not leave yet would only be refused, too.
        let unsent = self.outbox.take(|kept| {
            kept.is(|kind| matches!(kind, Kind::Output(_)))
                && !kept.was_sent()
                && kept.report.attempt.as_ref() == Some(attempt)
        });
        unsent.iter().for_each(|kept| self.conclude(kept, Ok(())));
    }

    /// The server that is attached takes no output: what others did not get is lost, and with it what comes behind.
    pub(super) fn give_up_untaken_output(&mut self) {
        if self.link.server_takes(OUTPUT) {
            return;
        }
        let error = refusal(v1::ErrorReason::Unspecified, NO_OUTPUT);
        self.give_up_outputs(&error);
        let taken = self.outbox.take(|kept| kept.is(|kind| matches!(kind, Kind::Output(_))));
        taken.iter().for_each(|kept| self.conclude(kept, Ok(())));
    }

    /// No output of any handler so far is taken any more.
    pub(super) fn give_up_outputs(&mut self, error: &Error) {
        let handlers: Vec<HandlerId> = self.outputs.handlers.keys().copied().collect();
        handlers.into_iter().for_each(|handler| self.close_output_of(handler, error));
    }

    /// The handler has ended, or nothing more is to be reported of it.
    pub(super) fn forget_output(&mut self, handler: HandlerId) {
        for ticket in self.outputs.forget(handler) {
            self.actions.push_back(Action::ReportDone { ticket, result: Err(lost()) });
        }
    }

    fn close_output_of(&mut self, handler: HandlerId, error: &Error) {
        for ticket in self.outputs.forget(handler) {
            self.actions.push_back(Action::ReportDone { ticket, result: Err(error.clone()) });
        }
        let closed = Given { closed: Some(error.clone()), ..Given::default() };
        self.outputs.handlers.insert(handler, closed);
    }
}
