//! What handlers have saved, and wait for: checkpoints and steps.

use callboard_proto::v1;
use tonic::Code;
use v1::report::Kind;

use super::outbox::Kept;
use super::{Action, CHECKPOINT, HandlerId, Moment, STEPS, Session, Ticket};
use crate::Error;
use crate::error::CallError;

const NO_CHECKPOINTS: &str = "the server takes no checkpoints";
/// What steps are told, also those of an attempt that came from a server without them.
pub(in crate::agent) const NO_STEPS: &str = "the server takes no steps";

impl Session {
    /// A handler saves a checkpoint, and waits for [`Action::ReportDone`].
    pub(in crate::agent) fn on_checkpoint(
        &mut self,
        now: Moment,
        handler: HandlerId,
        data: v1::Payload,
        ticket: Ticket,
    ) {
        self.save(now, handler, Kind::Checkpoint(v1::Checkpoint { data: Some(data) }), ticket);
    }

    /// A handler records a step, and waits for [`Action::ReportDone`].
    pub(in crate::agent) fn on_step(
        &mut self,
        now: Moment,
        handler: HandlerId,
        record: v1::StepRecord,
        ticket: Ticket,
    ) {
        self.save(now, handler, Kind::Step(record), ticket);
    }

    fn save(&mut self, now: Moment, handler: HandlerId, kind: Kind, ticket: Ticket) {
        let unfit = match self.attempts.reporting_attempt(handler) {
            None => lost(),
            Some(attempt) => match self.missing_feature(&kind).filter(|_| self.link.is_attached()) {
                Some(missing) => refusal(v1::ErrorReason::Unspecified, missing),
                None => {
                    self.flush_output(now, handler);
                    self.report(attempt, kind, Some(ticket));
                    return;
                }
            },
        };
        self.actions.push_back(Action::ReportDone { ticket, result: Err(unfit) });
    }

    /// The server that is attached takes none of what waits: that will never have a receipt.
    pub(super) fn give_up_untaken(&mut self) {
        for (feature, missing) in [(CHECKPOINT, NO_CHECKPOINTS), (STEPS, NO_STEPS)] {
            if self.link.server_takes(feature) {
                continue;
            }
            for kept in self.outbox.take(|kept| kept.is_awaited(|kind| feature_of(kind) == Some(feature))) {
                self.conclude(&kept, Err(refusal(v1::ErrorReason::Unspecified, missing)));
            }
        }
    }

    /// What is wrong when the server takes no such reports.
    fn missing_feature(&self, kind: &Kind) -> Option<&'static str> {
        let feature = feature_of(kind).filter(|feature| !self.link.server_takes(feature))?;
        Some(if feature == STEPS { NO_STEPS } else { NO_CHECKPOINTS })
    }
}

fn feature_of(kind: &Kind) -> Option<&'static str> {
    match kind {
        Kind::Checkpoint(_) => Some(CHECKPOINT),
        Kind::Step(_) => Some(STEPS),
        _ => None,
    }
}

/// Whether a report was refused for what it is, and not for its attempt: then its handler decides how to go on.
pub(super) fn spares_the_attempt(refused: &Kept, reason: v1::ErrorReason) -> bool {
    match refused.report.kind {
        Some(Kind::Step(_)) => code_of(reason) != Code::FailedPrecondition,
        Some(Kind::Output(_)) => reason == v1::ErrorReason::LimitReached,
        _ => false,
    }
}

/// What a handler that waits is told.
pub(super) fn refused(kept: &Kept, receipt: &v1::Receipt) -> Error {
    let code = match kept.report.kind {
        Some(Kind::Step(_) | Kind::Output(_)) => code_of(receipt.reason()),
        _ => Code::FailedPrecondition,
    };
    CallError::local(code, receipt.reason(), receipt.message.as_str()).into()
}

fn code_of(reason: v1::ErrorReason) -> Code {
    match reason {
        v1::ErrorReason::LimitReached => Code::ResourceExhausted,
        v1::ErrorReason::StepExists => Code::AlreadyExists,
        v1::ErrorReason::InvalidField | v1::ErrorReason::PayloadTooLarge => Code::InvalidArgument,
        _ => Code::FailedPrecondition,
    }
}

/// The attempt is another's, or nobody's.
pub(super) fn lost() -> Error {
    refusal(v1::ErrorReason::StaleAttempt, "the attempt is no longer current")
}

pub(super) fn refusal(reason: v1::ErrorReason, message: &str) -> Error {
    CallError::local(Code::FailedPrecondition, reason, message).into()
}
