//! Fairness keys take turns: of two that both have tasks, neither is given two more than the other.

use crate::support::make::*;
use crate::support::{Mode, World};
use callboard_core::Effect;
use callboard_core::command::Reporter;
use callboard_core::model::{Priority, Span, Task, TaskId};
use proptest::prelude::*;
use std::collections::BTreeMap;

const PRIORITIES: [Priority; 5] =
    [Priority::Low, Priority::Normal, Priority::High, Priority::Urgent, Priority::Critical];
const KEYS: usize = 5;

/// One thing that happens.
#[derive(Clone, Debug)]
pub enum Op {
    /// A key gets so many more tasks, of one of two types.
    Add {
        key: usize,
        count: usize,
        task_type: usize,
        priority: usize,
    },
    /// Tasks end, one at a time, and their slots are given again.
    Free {
        count: usize,
    },
    /// Somebody claims so many.
    Claim {
        count: usize,
    },
    Sleep {
        seconds: i64,
    },
}

pub fn operations() -> impl Strategy<Value = Vec<Op>> {
    let op = prop_oneof![
        3 => (0..KEYS, 1..9usize, 0..2usize, 0..PRIORITIES.len())
            .prop_map(|(key, count, task_type, priority)| Op::Add { key, count, task_type, priority }),
        4 => (1..12usize).prop_map(|count| Op::Free { count }),
        1 => (1..5usize).prop_map(|count| Op::Claim { count }),
        1 => (0..900i64).prop_map(|seconds| Op::Sleep { seconds }),
    ];
    prop::collection::vec(op, 1..40)
}

/// What each key was given and has still to be given.
#[derive(Default)]
struct Ledger {
    ready: [usize; KEYS],
    /// How many more the one was given than the other, since both have tasks.
    ahead: BTreeMap<(usize, usize), i64>,
}

impl Ledger {
    fn given(&mut self, key: usize) {
        for other in (0..KEYS).filter(|other| *other != key && self.ready[*other] > 0) {
            *self.ahead.entry((key, other)).or_default() += 1;
            *self.ahead.entry((other, key)).or_default() -= 1;
            assert!(self.ahead[&(key, other)] <= 1, "key {key} was given two more than key {other}");
        }
        self.ready[key] -= 1;
        let ready = self.ready;
        self.ahead.retain(|(one, other), _| ready[*one] > 0 && ready[*other] > 0);
    }
}

/// The first key is none.
fn key_of(number: usize) -> Option<String> {
    (number > 0).then(|| number.to_string())
}

fn number_of(task: &Task) -> usize {
    task.spec.fairness_key.as_ref().map_or(0, |key| key.parse().expect("a key is a number"))
}

pub fn check(mode: Mode, slots: u32, ops: &[Op]) {
    let mut w = World::new(mode);
    let mut ledger = Ledger::default();
    w.attach("worker", slots);
    for op in ops {
        match op {
            Op::Add { key, count, task_type, priority } => {
                let new = task_with(["a", "b"][*task_type], |new| {
                    new.spec.fairness_key = key_of(*key);
                    new.spec.priority = PRIORITIES[*priority];
                });
                w.run(callboard_core::Command::CreateTasks { tasks: vec![new; *count] }).expect("they are created");
                ledger.ready[*key] += count;
                give(&mut w, &mut ledger);
            }
            Op::Free { count } => {
                for id in leased(&w).into_iter().take(*count) {
                    w.report(id, completed("done")).expect("it is taken");
                    give(&mut w, &mut ledger);
                }
            }
            Op::Claim { count } => {
                let fences = w.try_claim("claimer", &profile(1_000).into(), *count, Span::seconds(9_000));
                for fence in fences.expect("never refused") {
                    ledger.given(number_of(w.task(fence.task)));
                    w.report_as(fence, Reporter::Token, completed("done")).expect("it is taken");
                }
            }
            Op::Sleep { seconds } => w.sleep(Span::seconds(*seconds)),
        }
    }
}

/// Those that a stream has; what was claimed has ended.
fn leased(w: &World) -> Vec<TaskId> {
    w.tables.live().filter(|task| task.state.lease().is_some()).map(|task| task.id).collect()
}

fn give(w: &mut World, ledger: &mut Ledger) {
    w.take_effects();
    w.dispatch();
    for effect in w.take_effects() {
        if let Effect::Assign { task, .. } = effect {
            ledger.given(number_of(&task));
        }
    }
}
