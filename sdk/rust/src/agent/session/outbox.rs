//! Reports that have no receipt yet. They are sent in their order, and again in their order, under the ids they have.

use std::collections::{BTreeMap, BTreeSet};

use callboard_proto::{MAX_FRAME_BYTES, v1};
use prost::Message;

use super::{Moment, Ticket};
use crate::retry::Backoff;

/// The most reports in a batch, by the protocol.
pub(super) const MAX_REPORTS: usize = 1000;

/// Room in a frame for its own headers, and for progress.
const BATCH_BYTES: usize = MAX_FRAME_BYTES - (64 << 10);

/// A report, until its receipt.
#[derive(Debug)]
pub(super) struct Kept {
    pub(super) report: v1::Report,
    pub(super) ticket: Option<Ticket>,
    size: usize,
    was_sent: bool,
}

#[derive(Debug, Default)]
pub(super) struct Outbox {
    last_id: i64,
    kept: BTreeMap<i64, Kept>,
    /// Of those kept, what was not sent on this stream.
    unsent: BTreeSet<i64>,
    /// The server could not decide a report: send nothing before this, so that the order stays.
    paused_until: Option<Moment>,
    backoff: Backoff,
}

impl Outbox {
    /// An id that no report of this process had.
    pub(super) fn next_id(&mut self) -> i64 {
        self.last_id += 1;
        self.last_id
    }

    pub(super) fn is_empty(&self) -> bool {
        self.kept.is_empty()
    }

    pub(super) fn len(&self) -> usize {
        self.kept.len()
    }

    pub(super) fn push(&mut self, attempt: v1::Attempt, kind: v1::report::Kind, ticket: Option<Ticket>) -> i64 {
        let id = self.next_id();
        let report = v1::Report { report_id: id, attempt: Some(attempt), kind: Some(kind) };
        let size = report.encoded_len();
        self.kept.insert(id, Kept { report, ticket, size, was_sent: false });
        self.unsent.insert(id);
        id
    }

    /// Forgets a report, unless it ever left.
    pub(super) fn withdraw(&mut self, id: i64) -> bool {
        let unseen = self.kept.get(&id).is_some_and(|kept| !kept.was_sent);
        if unseen {
            self.kept.remove(&id);
            self.unsent.remove(&id);
        }
        unseen
    }

    /// What can be sent now, as much as fits into a frame.
    pub(super) fn take_batch(&mut self, now: Moment) -> Vec<v1::Report> {
        if self.paused_until.is_some_and(|until| now < until) {
            return Vec::new();
        }
        self.paused_until = None;
        let mut batch = Vec::with_capacity(self.unsent.len().min(MAX_REPORTS));
        let mut bytes = 0;
        while let Some(id) = self.unsent.first().copied().filter(|_| batch.len() < MAX_REPORTS) {
            let Some(kept) = self.kept.get_mut(&id) else {
                self.unsent.remove(&id);
                continue;
            };
            // A report by itself always fits: payloads are checked when they are made.
            if !batch.is_empty() && bytes + kept.size > BATCH_BYTES {
                break;
            }
            bytes += kept.size;
            kept.was_sent = true;
            batch.push(kept.report.clone());
            self.unsent.remove(&id);
        }
        batch
    }

    /// The report has its receipt. `None` when it had one before, or was progress.
    pub(super) fn settle(&mut self, id: i64) -> Option<Kept> {
        self.backoff.reset();
        self.unsent.remove(&id);
        self.kept.remove(&id)
    }

    /// The server could not decide: send it again, after a while.
    pub(super) fn send_again(&mut self, id: i64, now: Moment, fraction: f64) {
        if !self.kept.contains_key(&id) || !self.unsent.insert(id) {
            return;
        }
        if self.paused_until.is_none_or(|until| until <= now) {
            self.paused_until = Some(now + self.backoff.next(None, fraction));
        }
    }

    /// A new stream: everything without a receipt is sent again.
    pub(super) fn send_all_again(&mut self) {
        self.unsent = self.kept.keys().copied().collect();
        self.paused_until = None;
    }

    /// Takes out all checkpoints.
    pub(super) fn take_checkpoints(&mut self) -> Vec<Kept> {
        let ids: Vec<i64> = self.kept.iter().filter(|(_, kept)| kept.ticket.is_some()).map(|(id, _)| *id).collect();
        ids.into_iter().filter_map(|id| self.settle(id)).collect()
    }

    /// When there is something to send; the beginning of time when there is at once.
    pub(super) fn next_due(&self) -> Option<Moment> {
        (!self.unsent.is_empty()).then(|| self.paused_until.unwrap_or_default())
    }
}
