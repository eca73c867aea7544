//! The reports of one attempt keep their order, also when one has to be repeated.
//!
//! An agent sends on without waiting for receipts. When the store can't save a batch, its reports are to be repeated (RETRY); those
//! that came behind them are in the queue by then, or in the batch behind, and would be committed first: a completion ahead of the
//! output that it is to end. So it is remembered which reports of an attempt are to be repeated, and later ones of the same attempt
//! get the same answer until those before them have come again.
//!
//! Nothing is remembered while the store takes what it is given: then all this is one look at an empty map for each batch. An
//! acceptance, and progress, count for nothing behind any other report: nobody waits for them, and they wait for nobody.

use crate::queue::{Item, Sink};
use callboard_core::command::{Command, Report};
use callboard_core::model::{AgentId, Span, TaskId};
use std::collections::{BTreeMap, HashMap};

/// How many reports are remembered in all. Those that were answered longest ago are forgotten first, and their order with them.
const MAX: usize = 1 << 18;
/// With fewer it is not looked whose session has ended.
const FEW: usize = 1 << 10;
/// Reports of an attempt wait in vain so often, counted at most once in a `ROUND`: then those before them are not awaited any
/// longer. An agent repeats after at most 5 s; time alone is no measure, as we may have been stopped meanwhile.
const ROUNDS: u32 = 16;
const ROUND: Span = Span::seconds(1);

/// The reports that are to be repeated, by their attempts.
#[derive(Debug, Default)]
pub(crate) struct Order {
    lines: HashMap<Key, Line>,
    /// How many there are.
    count: usize,
    /// With so many it is looked whose session has ended.
    look_at: usize,
    /// How many answers were given, which numbers them.
    answers: u64,
}

/// An attempt, and the session that reports of it: another stream begins anew, with all that has no receipt.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Key {
    agent: AgentId,
    epoch: i64,
    task: TaskId,
    attempt: u32,
}

/// What of an attempt is to be repeated.
#[derive(Debug, Default)]
struct Line {
    /// The reports by their ids, each with the number of the last answer that said so.
    answered: BTreeMap<i64, u64>,
    /// How many rounds others waited in vain, and when the last was counted.
    rounds: u32,
    counted: Span,
}

impl Order {
    /// Whether no report is to be repeated.
    pub fn is_empty(&self) -> bool {
        self.lines.is_empty()
    }

    /// Divides commands, in the order in which they came, into those that can be decided and those that are to be repeated,
    /// behind an earlier report of their attempt.
    pub fn divide(&mut self, items: Vec<Item>, now: Span) -> (Vec<Item>, Vec<Item>) {
        items.into_iter().partition(|item| !self.must_wait(item, now))
    }

    /// These could not be decided, and are to be repeated.
    pub fn repeat(&mut self, items: &[Item]) {
        for (key, report) in items.iter().filter_map(place) {
            self.remember(key, report);
        }
    }

    /// Forgets sessions that have ended, now and then.
    pub fn make_room(&mut self, is_known: impl Fn(AgentId, i64) -> bool) {
        if self.count < self.look_at.max(FEW) {
            return;
        }
        self.lines.retain(|key, _| is_known(key.agent, key.epoch));
        self.recount();
        if self.count >= MAX {
            let recent = self.answers.saturating_sub(MAX as u64 / 2);
            self.lines.values_mut().for_each(|line| line.answered.retain(|_, answer| *answer > recent));
            self.lines.retain(|_, line| !line.answered.is_empty());
            self.recount();
        }
        self.look_at = (self.count * 2).min(MAX);
    }

    fn recount(&mut self) {
        self.count = self.lines.values().map(|line| line.answered.len()).sum();
    }

    fn must_wait(&mut self, item: &Item, now: Span) -> bool {
        let Some((key, report)) = place(item) else { return false };
        let Some(line) = self.lines.get_mut(&key) else { return false };
        let before = line.answered.len();
        let waits = line.must_wait(report, now);
        self.count -= before - line.answered.len();
        if waits {
            self.remember(key, report);
        } else if line.answered.is_empty() {
            self.lines.remove(&key);
        }
        waits
    }

    fn remember(&mut self, key: Key, report: i64) {
        self.answers += 1;
        let line = self.lines.entry(key).or_default();
        if line.answered.insert(report, self.answers).is_none() {
            self.count += 1;
        }
    }
}

impl Line {
    /// Whether a report that came is to wait for an earlier one.
    fn must_wait(&mut self, report: i64, now: Span) -> bool {
        if let Some(told) = self.answered.remove(&report) {
            // Whoever repeats it had read its answer, and those before: an earlier report of which it was told by then, and that
            // did not come, was given up. One that failed again since is on its way again.
            self.answered.retain(|earlier, answer| *earlier > report || *answer > told);
        }
        let waits = self.answered.first_key_value().is_some_and(|(earlier, _)| *earlier < report);
        if waits { !self.is_in_vain(now) } else { self.goes_on() }
    }

    fn goes_on(&mut self) -> bool {
        self.rounds = 0;
        false
    }

    /// Whether it was waited for long enough: then nothing is awaited any more. So an agent that repeats its reports under
    /// other ids goes on, too.
    fn is_in_vain(&mut self, now: Span) -> bool {
        if self.rounds == 0 || now.0 - self.counted.0 >= ROUND.0 {
            self.rounds += 1;
            self.counted = now;
        }
        if self.rounds <= ROUNDS {
            return false;
        }
        self.answered.clear();
        true
    }
}

/// Where a report stands in the order of its attempt, if it has a place there.
fn place(item: &Item) -> Option<(Key, i64)> {
    let Command::Report { fence, report, .. } = &item.envelope.command else { return None };
    let Sink::Report { agent, epoch, report_id, .. } = &item.sink else { return None };
    let counts = !matches!(report, Report::Accepted | Report::Progress(_));
    let key = Key { agent: *agent, epoch: *epoch, task: fence.task, attempt: fence.attempt };
    counts.then_some((key, *report_id))
}
