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
/// The same of one attempt; beyond that they wait as well, but in what order is not remembered. SDKs have 4,000 on their way at most.
const LINE: usize = 4_096;
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
        if line.answered.len() < LINE && line.answered.insert(report, self.answers).is_none() {
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

#[cfg(test)]
mod tests {
    use super::*;
    use callboard_core::command::{Envelope, Fence, Reporter};
    use callboard_core::model::LeaseToken;
    use uuid::Uuid;

    fn item(agent: u128, report_id: i64, report: Report) -> Item {
        let (agent, epoch) = (AgentId(Uuid::from_u128(agent)), 1);
        let fence = Fence { task: TaskId(Uuid::nil()), attempt: 1, token: LeaseToken(1) };
        let command = Command::Report { fence, reporter: Reporter::Session { agent, epoch }, report };
        let envelope = Envelope { namespace: "default".into(), principal: "ann".into(), request: None, command };
        Item { envelope, sink: Sink::Report { agent, epoch, report_id, fence, quiet: false } }
    }

    /// Of any kind that counts.
    fn report(report_id: i64) -> Item {
        item(1, report_id, Report::Pause)
    }

    impl Order {
        fn failed(&mut self, reports: impl IntoIterator<Item = i64>) {
            let items: Vec<Item> = reports.into_iter().map(report).collect();
            self.repeat(&items);
        }

        /// Which of these can be decided.
        fn passes(&mut self, reports: impl IntoIterator<Item = i64>, now: Span) -> Vec<i64> {
            let (items, _) = self.divide(reports.into_iter().map(report).collect(), now);
            items.iter().filter_map(place).map(|(_, report)| report).collect()
        }
    }

    const NOW: Span = Span::seconds(100);

    #[test]
    fn later_reports_wait_until_the_earlier_ones_have_come_again() {
        let mut order = Order::default();
        order.failed([5]);
        assert_eq!(order.passes([4, 6, 7], NOW), [4]);
        assert_eq!(order.passes([5, 8], NOW), [5], "6 and 7 are not there yet");
        assert_eq!(order.passes([6, 7, 8, 9], NOW), [6, 7, 8, 9]);
        assert!(order.is_empty() && order.count == 0);
    }

    #[test]
    fn what_failed_again_is_waited_for_again_by_those_on_their_way_behind_it() {
        let mut order = Order::default();
        order.failed([5, 6]);
        assert_eq!(order.passes([5], NOW), [5]);
        order.failed([5]);
        assert!(order.passes([6], NOW).is_empty(), "it was sent before anybody knew that 5 failed again");
        assert_eq!(order.passes([6], NOW), [6], "but now its agent knows, and gave 5 up");
        assert!(order.is_empty() && order.count == 0);
    }

    #[test]
    fn acceptances_and_progress_have_no_place() {
        let mut order = Order::default();
        let progress = || Report::Progress(callboard_core::model::Progress::default());
        order.repeat(&[item(1, 5, Report::Accepted), item(1, 6, progress())]);
        assert!(order.is_empty());
        order.failed([7]);
        let (pass, wait) = order.divide(vec![item(1, 8, Report::Accepted), item(1, 9, progress())], NOW);
        assert_eq!((pass.len(), wait.len()), (2, 0));
    }

    #[test]
    fn an_agent_that_repeats_under_other_ids_goes_on_in_the_end() {
        let mut order = Order::default();
        order.failed([5]);
        let mut times = (0..).map(|second| Span(NOW.0 + Span::seconds(second * 5).0)).zip(6..);
        let passed = times.find(|(now, report)| !order.passes([*report], *now).is_empty());
        assert_eq!(passed.map(|(_, report)| report), Some(6 + i64::from(ROUNDS)));
        assert!(order.is_empty() && order.count == 0);
    }

    #[test]
    fn many_reports_at_once_or_behind_a_stop_of_ours_are_few_rounds() {
        let mut order = Order::default();
        order.failed([5]);
        assert!(order.passes(6..1_000, NOW).is_empty());
        assert!(order.passes(1_000..2_000, Span(NOW.0 + Span::seconds(3_600).0)).is_empty());
    }

    #[test]
    fn what_is_remembered_is_bounded_and_goes_with_its_session() {
        let mut order = Order::default();
        order.failed(0..LINE as i64 * 2);
        assert_eq!(order.count, LINE);
        let many = |n: usize| item(2 + n as u128 / 1_000, n as i64, Report::Pause);
        for n in 0..MAX * 2 {
            order.make_room(|_, _| true);
            order.repeat(&[many(n)]);
            assert!(order.count <= MAX);
        }
        assert!(!order.passes([LINE as i64], NOW).is_empty(), "the oldest are forgotten");
        assert!(order.divide(vec![many(MAX * 2)], NOW).0.is_empty(), "the latest are not");
        order.look_at = 0;
        order.make_room(|_, _| false);
        assert!(order.is_empty() && order.count == 0);
    }
}
