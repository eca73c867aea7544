//! What the server says, and what becomes of the connection.

use std::collections::HashSet;

use callboard_proto::v1;
use v1::attach_response::Frame;
use v1::report::Kind;

use super::attempts::Standing;
use super::outbox::Kept;
use super::saved::{refusal, refused, spares_the_attempt};
use super::{Action, CANCEL_GRACE, CHILDREN, MESSAGES, Moment, STEPS, Session};
use crate::Error;
use crate::error::{CallError, reason_name};
use crate::planted::{self, Defect};
use crate::settings;
use crate::task_error::{INVALID_RESULT, TaskError};

/// Why an assignment is handed back.
const DRAINING: &str = "drain";

impl Session {
    /// A frame came.
    pub(in crate::agent) fn on_frame(&mut self, now: Moment, response: v1::AttachResponse) {
        if self.stopped || self.ending.is_final() {
            return;
        }
        self.link.note_received(now);
        match response.frame {
            Some(Frame::Welcome(welcome)) => self.on_welcome(now, welcome),
            Some(Frame::Assignments(batch)) => {
                batch.assignments.into_iter().for_each(|assignment| self.on_assignment(Box::new(assignment)));
            }
            Some(Frame::Receipts(batch)) => {
                batch.receipts.into_iter().for_each(|receipt| self.on_receipt(now, receipt));
            }
            Some(Frame::Cancellations(batch)) => {
                batch.cancellations.iter().for_each(|cancellation| self.on_cancellation(now, cancellation));
            }
            Some(Frame::Drain(notice)) => self.on_drain_notice(now, notice),
            Some(Frame::Messages(batch)) => self.on_messages(batch),
            Some(Frame::MessageReceipts(batch)) => self.on_message_receipts(now, batch),
            Some(Frame::TaskEnds(batch)) => self.on_task_ends(now, &batch),
            Some(Frame::Resumptions(batch)) => self.on_resumptions(batch),
            Some(Frame::Heartbeat(_)) | None => {}
        }
    }

    /// The stream has ended, or could not be opened. `None`: it ended without an error.
    pub(in crate::agent) fn on_disconnected(&mut self, now: Moment, refused: Option<CallError>) {
        // The end of a stream that was given up here is no news.
        if self.stopped || self.link.is_detached() || self.ending.is_final() {
            return;
        }
        if let Some(fault) = refused.as_ref().filter(|refused| self.link.is_final(refused)) {
            return self.end_with(now, fault.clone().into());
        }
        if self.link.is_attached() && planted::has(Defect::NoReattach) {
            return self.end_with(now, Error::stopped());
        }
        match &refused {
            None if self.has_drained() => tracing::debug!("the server ended the stream behind the drain"),
            None => tracing::info!("the server ended the stream, attaching again"),
            Some(refused) if self.has_drained() => {
                tracing::debug!(error = %refused, reason = refused.reason, "the stream broke behind the drain")
            }
            Some(refused) => {
                tracing::warn!(error = %refused, reason = refused.reason, "the stream broke, attaching again")
            }
        }
        self.detach(now, refused.and_then(|refused| refused.retry_after));
    }

    /// Opens the stream when that is due, and cuts it when it is dead.
    pub(super) fn keep_link(&mut self, now: Moment) {
        if self.ending.is_final() {
            return;
        }
        if let Some(fault) = self.link.overdue(now) {
            tracing::warn!("{fault}: attaching again");
            self.actions.push_back(Action::Disconnect);
            self.detach(now, None);
        }
        if let Some(target) = self.link.open_when_due(now) {
            self.actions.push_back(Action::Connect(target));
        }
    }

    fn detach(&mut self, now: Moment, asked: Option<std::time::Duration>) {
        let fraction = self.fraction();
        self.link.detach(now, asked, fraction);
        self.progress.clear();
        self.ending.note_detached();
    }

    fn on_welcome(&mut self, now: Moment, welcome: v1::Welcome) {
        self.link.welcome(now, &welcome);
        let held: HashSet<(&str, i32)> =
            welcome.held.iter().map(|attempt| (attempt.task_id.as_str(), attempt.attempt)).collect();
        for attempt in self.attempts.wanted() {
            if !held.contains(&(attempt.task_id.as_str(), attempt.attempt)) {
                self.lose(now, &attempt, v1::CancellationReason::LeaseLost);
            }
        }
        self.outbox.send_all_again();
        self.mail.send_all_again();
        if !self.link.server_takes(MESSAGES) {
            self.give_up_messages(&refusal(v1::ErrorReason::Unspecified, "the server takes no messages"));
        }
        self.give_up_untaken();
        self.give_up_untaken_output();
        self.await_again(now);
        tracing::info!(agent_id = welcome.agent_id, epoch = welcome.session_epoch, "attached");
        self.actions.push_back(Action::Attached {
            agent_id: welcome.agent_id,
            epoch: welcome.session_epoch,
            takes_children: self.link.server_takes(CHILDREN),
        });
    }

    fn on_assignment(&mut self, assignment: Box<v1::Assignment>) {
        let Some(attempt) = assignment.attempt.clone() else { return };
        // What is left unanswered goes to another agent after a while.
        let is_known = self.attempts.knows(&attempt) && !planted::has(Defect::AssignmentRunTwice);
        if is_known || self.outbox.len() >= self.most_reports() {
            return;
        }
        let task_type = assignment.spec.as_ref().map(|spec| spec.r#type.as_str()).unwrap_or_default();
        let unwanted = if self.ending.is_draining() {
            Some(DRAINING.to_owned())
        } else if !self.handles(task_type) {
            Some(format!("this agent has no handler for the task type `{task_type}`"))
        } else if self.attempts.running() >= self.most_running() + self.children.without_slot() {
            Some("all slots are taken".to_owned())
        } else {
            None
        };
        if let Some(reason) = unwanted {
            self.report(attempt, Kind::Rejected(v1::Rejected { reason }), None);
            return;
        }
        let handler = self.attempts.start(attempt.clone());
        let accepted_as = self.report(attempt, Kind::Accepted(v1::Accepted {}), None);
        self.attempts.note_accepted(handler, accepted_as);
        let has_steps = self.link.server_takes(STEPS);
        self.actions.push_back(Action::Start { handler, assignment, has_steps });
    }

    fn handles(&self, task_type: &str) -> bool {
        self.config.profile.handles.iter().any(|known| known.r#type == task_type || known.r#type == "*")
    }

    /// Handlers that lost their lease run on for a while beside those that took their slots. More than that is a server
    /// that doesn't count.
    fn most_running(&self) -> usize {
        usize::try_from(self.config.profile.slots).unwrap_or(1).max(1) * 2
    }

    /// Far beyond what handlers can bring about: only a server that gives no receipts comes here.
    pub(super) fn most_reports(&self) -> usize {
        (self.most_running() + self.children.without_slot()) * 4 + 64
    }

    fn on_receipt(&mut self, now: Moment, receipt: v1::Receipt) {
        if planted::has(Defect::ReceiptIgnored) {
            return;
        }
        match receipt.status() {
            v1::ReceiptStatus::Committed => {
                for kept in self.outbox.commit(receipt.report_id) {
                    self.on_committed(now, &kept, &receipt);
                }
            }
            v1::ReceiptStatus::Refused => self.on_refusal(now, receipt),
            v1::ReceiptStatus::Retry => {
                let fraction = self.fraction();
                if let Some(implied) = self.outbox.send_again(receipt.report_id, now, fraction) {
                    self.on_committed(now, &implied, &receipt);
                }
            }
            // Of a newer protocol: ignored.
            v1::ReceiptStatus::Unspecified => {}
        }
    }

    /// A report was committed by the receipt, or is implied by the one that was.
    fn on_committed(&mut self, now: Moment, kept: &Kept, receipt: &v1::Receipt) {
        self.conclude(kept, Ok(()));
        let Some(attempt) = &kept.report.attempt else { return };
        match kept.report.kind {
            Some(Kind::Resume(_)) if kept.report.report_id == receipt.report_id => {
                self.on_resume_committed(attempt, receipt);
            }
            Some(Kind::Output(_)) => self.on_output_settled(now, attempt),
            _ => {}
        }
    }

    fn on_refusal(&mut self, now: Moment, receipt: v1::Receipt) {
        if self.is_gap_in_output(&receipt) {
            let fraction = self.fraction();
            self.outbox.send_again(receipt.report_id, now, fraction);
            return;
        }
        let kept = self.outbox.settle(receipt.report_id);
        tracing::warn!(
            task = receipt.attempt.as_ref().map(|attempt| attempt.task_id.as_str()).unwrap_or_default(),
            reason = reason_name(receipt.reason()),
            message = receipt.message,
            "a report was refused"
        );
        if let Some(kept) = &kept {
            self.conclude(kept, Err(refused(kept, &receipt)));
            if self.goes_on_refused(kept, &receipt) {
                return;
            }
            self.follow_up(kept, &receipt);
        }
        // Progress is not kept; then the receipt itself says which attempt.
        let attempt = kept.and_then(|kept| kept.report.attempt).or(receipt.attempt);
        if let Some(attempt) = attempt {
            self.lose(now, &attempt, v1::CancellationReason::LeaseLost);
        }
    }

    /// Whether the handler goes on although the report was refused.
    fn goes_on_refused(&mut self, kept: &Kept, receipt: &v1::Receipt) -> bool {
        let output_of = match (&kept.report.kind, &kept.report.attempt) {
            (Some(Kind::Output(_)), Some(attempt)) => Some(attempt),
            _ => None,
        };
        let spared = spares_the_attempt(kept, receipt.reason());
        match output_of {
            Some(attempt) if spared => self.close_output(attempt, &receipt.message),
            // What was on its way when output was refused has a gap before it.
            Some(attempt) => {
                return receipt.reason() == v1::ErrorReason::InvalidField && self.is_output_closed(attempt);
            }
            None => {}
        }
        spared
    }

    /// A result that is refused for what it holds fails its attempt: else the task would hang until its timeout.
    fn follow_up(&mut self, refused: &Kept, receipt: &v1::Receipt) {
        let unfit = matches!(receipt.reason(), v1::ErrorReason::InvalidField | v1::ErrorReason::PayloadTooLarge);
        let (true, Some(Kind::Completed(_)), Some(attempt)) = (unfit, &refused.report.kind, &refused.report.attempt)
        else {
            return;
        };
        let error = TaskError::new(receipt.message.clone()).of_type(INVALID_RESULT).permanent();
        let failure = Some(error.into_failure());
        self.report(attempt.clone(), Kind::Failed(v1::FailureReport { failure }), None);
    }

    /// A report is done with: let its attempt go, and tell a handler that waits for it.
    pub(super) fn conclude(&mut self, kept: &Kept, result: Result<(), Error>) {
        if let Some(attempt) = &kept.report.attempt {
            self.attempts.settle(attempt);
        }
        if let Some(ticket) = kept.ticket {
            self.actions.push_back(Action::ReportDone { ticket, result });
        }
    }

    fn on_cancellation(&mut self, now: Moment, cancellation: &v1::Cancellation) {
        if planted::has(Defect::CancellationIgnored) {
            return;
        }
        let Some(attempt) = &cancellation.attempt else { return };
        match cancellation.reason() {
            v1::CancellationReason::Requested => {
                let told = self.attempts.stop(attempt, Standing::CancelRequested, now + CANCEL_GRACE);
                if let Some(handler) = told {
                    let reason = v1::CancellationReason::Requested;
                    self.actions.push_back(Action::Cancel { handler, reason });
                    self.interrupt_waits(now, handler);
                }
            }
            reason @ (v1::CancellationReason::LeaseLost | v1::CancellationReason::TimedOut) => {
                self.lose(now, attempt, reason);
            }
            // Of a newer protocol: ignored.
            v1::CancellationReason::Unspecified => {}
        }
    }

    /// The attempt is not the agent's any more: its handler is told to stop, and nothing is reported of it.
    pub(super) fn lose(&mut self, now: Moment, attempt: &v1::Attempt, reason: v1::CancellationReason) {
        if let Some(handler) = self.attempts.stop(attempt, Standing::Lost, now + CANCEL_GRACE) {
            self.progress.forget(handler);
            self.actions.push_back(Action::Cancel { handler, reason });
            self.forget_waits(handler);
            self.forget_output(handler);
        }
    }

    fn on_drain_notice(&mut self, now: Moment, notice: v1::DrainNotice) {
        tracing::info!(endpoints = notice.endpoints.len(), "the server drains, attaching elsewhere");
        let usable = notice.endpoints.into_iter().filter(|endpoint| {
            let usable = settings::parse_address(endpoint).is_ok();
            if !usable {
                tracing::warn!(endpoint, "the server drains and names an address that is none");
            }
            usable
        });
        let fraction = self.fraction();
        self.link.move_on(now, usable, fraction);
        self.progress.clear();
        self.ending.note_detached();
        self.actions.push_back(Action::Disconnect);
    }
}
