//! How an agent ends: by a drain, by what the server said, or at once.

use std::time::Duration;

use callboard_proto::v1;

use super::{Action, CANCEL_GRACE, DRAIN, Moment, Session};
use crate::Error;

/// How long receipts are waited for when nothing else is left.
const RECEIPTS: Duration = Duration::from_secs(5);

#[derive(Debug)]
enum Stage {
    /// The agent works.
    Working,
    /// It takes nothing new, and lets its handlers go on until this moment.
    Draining { until: Moment },
    /// Its time was over: what still ran was cancelled and handed back.
    HandedBack { give_up_at: Moment },
    /// The server said what trying again can't mend. Handlers were cancelled, and may clean up until this moment.
    Final { error: Error, until: Moment },
}

#[derive(Debug)]
pub(super) struct Ending {
    stage: Stage,
    drain_timeout: Duration,
    /// Attached, with nothing left but receipts to come, and since when.
    receipts_since: Option<Moment>,
}

impl Ending {
    pub(super) fn new(drain_timeout: Duration) -> Self {
        Self { stage: Stage::Working, drain_timeout, receipts_since: None }
    }

    pub(super) fn is_working(&self) -> bool {
        matches!(self.stage, Stage::Working)
    }

    pub(super) fn is_draining(&self) -> bool {
        matches!(self.stage, Stage::Draining { .. } | Stage::HandedBack { .. })
    }

    pub(super) fn is_final(&self) -> bool {
        matches!(self.stage, Stage::Final { .. })
    }

    pub(super) fn note_detached(&mut self) {
        self.receipts_since = None;
    }

    pub(super) fn next_due(&self) -> Option<Moment> {
        let stage = match &self.stage {
            Stage::Working => None,
            Stage::Draining { until } | Stage::Final { until, .. } => Some(*until),
            Stage::HandedBack { give_up_at } => Some(*give_up_at),
        };
        let receipts = self.receipts_since.map(|since| since + RECEIPTS);
        stage.into_iter().chain(receipts).min()
    }
}

impl Session {
    /// Take nothing new, let handlers go on, deliver what there is, end.
    pub(in crate::agent) fn drain(&mut self, now: Moment) {
        if matches!(self.ending.stage, Stage::Working) {
            self.ending.stage = Stage::Draining { until: now + self.ending.drain_timeout };
        }
    }

    /// End now, whatever is left.
    pub(in crate::agent) fn stop(&mut self) {
        self.finish(Ok(()));
    }

    /// The server said what trying again can't mend.
    pub(super) fn end_with(&mut self, now: Moment, error: Error) {
        tracing::error!(%error, reason = error.reason(), "the agent can't go on");
        self.give_up_waits(&error);
        self.give_up_outputs(&error);
        for attempt in self.attempts.wanted() {
            self.lose(now, &attempt, v1::CancellationReason::LeaseLost);
        }
        for kept in self.outbox.take(|kept| kept.is_awaited(|_| true)) {
            self.conclude(&kept, Err(error.clone()));
        }
        self.give_up_messages(&error);
        self.actions.push_back(Action::Disconnect);
        self.ending.stage = Stage::Final { error, until: now + CANCEL_GRACE };
    }

    /// No handler is at work.
    fn is_idle(&self) -> bool {
        self.attempts.running() == 0 && !self.mail.is_running()
    }

    /// It drains, nothing is at work, and everything has its receipt: without a stream it ends.
    pub(super) fn has_drained(&self) -> bool {
        self.ending.is_draining() && self.is_idle() && self.outbox.is_empty() && self.mail.is_idle()
    }

    /// Ends the agent when its time is over, or nothing is left.
    pub(super) fn end_when_due(&mut self, now: Moment) {
        let idle = self.is_idle();
        // A server that knows of drains ends the stream when nothing is left: until then it might still be giving us a task.
        let let_go = !(self.link.is_attached() && self.link.server_takes(DRAIN));
        let done = self.has_drained() && let_go;
        match &self.ending.stage {
            Stage::Working => {}
            Stage::Final { error, until } if idle || *until <= now => {
                let error = error.clone();
                self.finish(Err(error));
            }
            Stage::Final { .. } => {}
            Stage::Draining { .. } | Stage::HandedBack { .. } if done => self.finish(Ok(())),
            Stage::Draining { until } if *until <= now => {
                self.hand_back(now);
                self.ending.stage = Stage::HandedBack { give_up_at: now + RECEIPTS };
            }
            Stage::HandedBack { give_up_at } if *give_up_at <= now => self.give_up(),
            Stage::Draining { .. } | Stage::HandedBack { .. } => self.wait_for_receipts(now, idle),
        }
    }

    /// While detached the agent tries to deliver its reports for as long as its drain may take; once attached, receipts
    /// are waited for a short time only.
    fn wait_for_receipts(&mut self, now: Moment, idle: bool) {
        if !(idle && self.link.is_attached()) {
            return;
        }
        let since = *self.ending.receipts_since.get_or_insert(now);
        if since + RECEIPTS <= now {
            self.give_up();
        }
    }

    fn hand_back(&mut self, now: Moment) {
        for attempt in self.attempts.wanted() {
            let reason = "drain".to_owned();
            self.lose(now, &attempt, v1::CancellationReason::LeaseLost);
            self.report(attempt, v1::report::Kind::Rejected(v1::Rejected { reason }), None);
        }
        if self.mail.is_running() {
            self.mail.abort();
            self.actions.push_back(Action::AbortMessage);
        }
    }

    fn give_up(&mut self) {
        if !self.outbox.is_empty() {
            tracing::warn!("the agent ends with reports that have no receipt: their tasks will be done again");
        }
        self.finish(Ok(()));
    }

    fn finish(&mut self, result: Result<(), Error>) {
        if !self.stopped {
            self.stopped = true;
            self.actions.push_back(Action::Stop(result));
        }
    }
}
