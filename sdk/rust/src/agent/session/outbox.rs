//! Reports that have no receipt yet. They are sent in their order, and again in their order, under the ids they have.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use callboard_proto::{MAX_FRAME_BYTES, v1};
use prost::Message;
use v1::report::Kind;

use super::attempts::Key;
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
    key: Key,
    size: usize,
    was_sent: bool,
}

impl Kept {
    /// Whether a handler waits for its receipt, and it is of a kind that is wanted.
    pub(super) fn is_awaited(&self, wanted: impl Fn(&Kind) -> bool) -> bool {
        self.ticket.is_some() && self.is(wanted)
    }

    /// Whether it ever left this process.
    pub(super) fn was_sent(&self) -> bool {
        self.was_sent
    }

    /// Whether it is of a kind that is wanted.
    pub(super) fn is(&self, wanted: impl Fn(&Kind) -> bool) -> bool {
        self.report.kind.as_ref().is_some_and(wanted)
    }

    fn weight(&self) -> Weight {
        self.report.kind.as_ref().map_or(Weight::Beginning, Weight::of)
    }
}

/// What the receipt of a report says of those before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Weight {
    /// Implied by any other report.
    Beginning,
    /// The latest replaces those before it.
    Checkpoint,
    /// The same.
    Slot,
    /// Counts by itself, whatever comes behind it.
    Step,
    /// The same, while the attempt is current.
    Output,
    /// After it nothing is to be said of the attempt.
    End,
}

impl Weight {
    fn of(kind: &Kind) -> Self {
        match kind {
            Kind::Accepted(_) | Kind::Progress(_) => Self::Beginning,
            Kind::Checkpoint(_) => Self::Checkpoint,
            Kind::Pause(_) | Kind::Resume(_) => Self::Slot,
            Kind::Step(_) => Self::Step,
            Kind::Output(_) => Self::Output,
            Kind::Rejected(_) | Kind::Completed(_) | Kind::Failed(_) => Self::End,
        }
    }

    /// Whether an earlier report of this weight is done with when a later one was committed.
    fn is_implied_by(self, later: Self) -> bool {
        match self {
            Self::Step => false,
            Self::Beginning | Self::End => true,
            Self::Checkpoint | Self::Slot => later == self || later == Self::End,
            Self::Output => later == Self::End,
        }
    }
}

/// The reports of one attempt.
#[derive(Debug, Default)]
struct Line {
    ids: BTreeSet<i64>,
    /// One is to be sent again while later ones are on their way: it waits for their receipts, and newer ones wait behind
    /// it. Otherwise an old checkpoint could replace a new one.
    waiting: BTreeSet<i64>,
    /// The latest of each weight that was committed.
    committed: HashMap<Weight, i64>,
}

#[derive(Debug, Default)]
pub(super) struct Outbox {
    last_id: i64,
    kept: BTreeMap<i64, Kept>,
    lines: HashMap<Key, Line>,
    /// Of those kept, what can be sent: it was not yet on this stream, or is to be again.
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

    pub(super) fn push(&mut self, attempt: v1::Attempt, kind: Kind, ticket: Option<Ticket>) -> i64 {
        let id = self.next_id();
        let key = Key::of(&attempt);
        let report = v1::Report { report_id: id, attempt: Some(attempt), kind: Some(kind) };
        let size = report.encoded_len();
        let line = self.lines.entry(key.clone()).or_default();
        line.ids.insert(id);
        let queue = if line.waiting.is_empty() { &mut self.unsent } else { &mut line.waiting };
        queue.insert(id);
        self.kept.insert(id, Kept { report, ticket, key, size, was_sent: false });
        id
    }

    /// Forgets a report, unless it ever left.
    pub(super) fn withdraw(&mut self, id: i64) -> bool {
        let unseen = self.kept.get(&id).is_some_and(|kept| !kept.was_sent);
        if unseen {
            self.remove(id);
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
        self.remove(id)
    }

    /// The report is durable: it is done with, and so are those before it that were to be sent again and that it implies.
    pub(super) fn commit(&mut self, id: i64) -> Vec<Kept> {
        let mut done = vec![id];
        if let Some(later) = self.kept.get(&id)
            && let Some(line) = self.lines.get_mut(&later.key)
            // Of an attempt that has nothing else to be told, nothing need be noted.
            && line.ids.len() > 1
        {
            let weight = later.weight();
            let latest = line.committed.entry(weight).or_default();
            *latest = id.max(*latest);
            let earlier = line.ids.range(..id);
            let again = earlier.filter(|id| line.waiting.contains(id) || self.unsent.contains(id));
            done.extend(again.filter(|id| self.kept.get(id).is_some_and(|kept| kept.weight().is_implied_by(weight))));
        }
        done.into_iter().filter_map(|id| self.settle(id)).collect()
    }

    /// The server could not decide: send it again, after a while. Gives the report back when a later one that implies it was
    /// committed meanwhile, so that it is done with.
    pub(super) fn send_again(&mut self, id: i64, now: Moment, fraction: f64) -> Option<Kept> {
        let kept = self.kept.get(&id)?;
        let (key, weight) = (kept.key.clone(), kept.weight());
        let line = self.lines.get_mut(&key)?;
        if line.committed.iter().any(|(later, at)| id < *at && weight.is_implied_by(*later)) {
            return self.settle(id);
        }
        if self.unsent.contains(&id) || !line.waiting.insert(id) {
            return None;
        }
        let unsent = line.ids.iter().copied().filter(|id| self.unsent.remove(id));
        line.waiting.extend(unsent);
        self.release(&key);
        if self.paused_until.is_none_or(|until| until <= now) {
            self.paused_until = Some(now + self.backoff.next(None, fraction));
        }
        None
    }

    /// A new stream: everything without a receipt is sent again.
    pub(super) fn send_all_again(&mut self) {
        self.unsent = self.kept.keys().copied().collect();
        self.lines.values_mut().for_each(|line| line.waiting.clear());
        self.paused_until = None;
    }

    /// Whether the report has no receipt yet.
    pub(super) fn has(&self, id: i64) -> bool {
        self.kept.contains_key(&id)
    }

    /// Whether it is output, and output that its attempt gave before has no receipt yet.
    pub(super) fn is_behind_output(&self, id: i64) -> bool {
        let is_output = |id: &i64| self.kept.get(id).is_some_and(|kept| kept.weight() == Weight::Output);
        let line = self.kept.get(&id).filter(|_| is_output(&id)).and_then(|kept| self.lines.get(&kept.key));
        line.is_some_and(|line| line.ids.range(..id).any(is_output))
    }

    /// Takes out those reports that are wanted.
    pub(super) fn take(&mut self, wanted: impl Fn(&Kept) -> bool) -> Vec<Kept> {
        let ids: Vec<i64> = self.kept.iter().filter(|(_, kept)| wanted(kept)).map(|(id, _)| *id).collect();
        ids.into_iter().filter_map(|id| self.settle(id)).collect()
    }

    /// When there is something to send; the beginning of time when there is at once.
    pub(super) fn next_due(&self) -> Option<Moment> {
        (!self.unsent.is_empty()).then(|| self.paused_until.unwrap_or_default())
    }

    fn remove(&mut self, id: i64) -> Option<Kept> {
        self.unsent.remove(&id);
        let kept = self.kept.remove(&id)?;
        if let Some(line) = self.lines.get_mut(&kept.key) {
            line.ids.remove(&id);
            line.waiting.remove(&id);
            if line.ids.is_empty() {
                self.lines.remove(&kept.key);
            } else {
                self.release(&kept.key);
            }
        }
        Some(kept)
    }

    /// Lets what waits be sent, in its order, when nothing of the attempt is on its way any more.
    fn release(&mut self, key: &Key) {
        let Some(line) = self.lines.get_mut(key) else { return };
        if line.ids.iter().all(|id| line.waiting.contains(id) || self.unsent.contains(id)) {
            self.unsent.append(&mut line.waiting);
        }
    }
}
