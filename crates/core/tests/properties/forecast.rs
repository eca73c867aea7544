//! Forecasts of random workflows, compared with every way through them.

use callboard_core::forecast::{Expected, Forecast, Known, forecast};
use callboard_core::model::{Condition, Edge, NamespaceId, Span, StateName, TaskId, Terms, Timestamp};
use proptest::prelude::*;
use std::collections::HashMap;
use std::sync::Arc;
use uuid::Uuid;

const NOW: Timestamp = Timestamp(1_000_000);

/// A workflow in which every task waits for some of those before it.
#[derive(Clone, Debug)]
pub struct Plan {
    tasks: Vec<Known>,
    edges: Vec<Edge>,
    durations: HashMap<Arc<str>, Span>,
}

fn id(n: usize) -> TaskId {
    TaskId(Uuid::from_u128(n as u128))
}

fn state() -> impl Strategy<Value = StateName> {
    use StateName::{Completed, Paused, Ready, Running, Waiting};
    prop_oneof![6 => Just(Waiting), 1 => Just(Ready), 2 => Just(Running), 1 => Just(Paused), 1 => Just(Completed)]
}

/// A task, and for each of those before it whether it waits for that.
fn task() -> impl Strategy<Value = (StateName, i64, i64, Option<i64>, Vec<bool>)> {
    let not_before = prop::option::weighted(0.2, 0..3_000_000_i64);
    (state(), 0..5_i64, 0..2_000_000_i64, not_before, prop::collection::vec(any::<bool>(), 9))
}

/// Of at most nine tasks: all ways through it can be looked at.
pub fn plan() -> impl Strategy<Value = Plan> {
    (prop::collection::vec(task(), 1..10), prop::collection::vec(0..4_i64, 4)).prop_map(|(drawn, lengths)| {
        let mut plan = Plan { tasks: Vec::new(), edges: Vec::new(), durations: HashMap::new() };
        // The fifth type is one that nobody knows.
        let lengths =
            lengths.iter().enumerate().map(|(n, length)| (format!("type-{n}").into(), Span(length * 250_000)));
        plan.durations.extend(lengths);
        for (n, (state, of_type, started_at, not_before, waits)) in drawn.into_iter().enumerate() {
            let waiting = state == StateName::Waiting;
            plan.tasks.push(Known {
                task: id(n),
                task_type: format!("type-{of_type}").into(),
                state,
                started_at: (state != StateName::Ready && !waiting).then_some(Timestamp(started_at)),
                not_before: not_before.filter(|_| waiting).map(Timestamp),
            });
            let sources = (0..n).filter(|source| waits.get(*source).is_some_and(|waits| *waits));
            plan.edges.extend(sources.map(|source| Edge {
                namespace: NamespaceId(1),
                source: id(source),
                target: id(n),
                ordinal: 0,
                terms: Terms { condition: Condition::Completed, ..Terms::default() },
                resolved: false,
            }));
        }
        plan
    })
}

impl Plan {
    fn forecast(&self) -> Forecast {
        forecast(&self.tasks, &self.edges, &self.durations, NOW)
    }

    fn takes(&self, place: usize) -> Span {
        self.durations.get(&self.tasks[place].task_type).copied().unwrap_or_default()
    }

    /// Whether one waits for another that has not ended.
    fn waits(&self, target: usize, source: usize) -> bool {
        let edge = self.edges.iter().any(|edge| edge.source == id(source) && edge.target == id(target));
        edge && self.tasks[target].state == StateName::Waiting && self.tasks[source].state != StateName::Completed
    }

    /// When each way that ends with a task is over: what its first task begins with, and all that its tasks take.
    fn ways(&self, place: usize) -> Vec<Timestamp> {
        let task = &self.tasks[place];
        let from_here = match (task.state, task.started_at) {
            (StateName::Running | StateName::Paused, Some(at)) => (at + self.takes(place)).max(NOW),
            _ => NOW.max(task.not_before.unwrap_or(NOW)) + self.takes(place),
        };
        let before = (0..place).filter(|source| self.waits(place, *source)).flat_map(|source| self.ways(source));
        before.map(|end| end + self.takes(place)).chain([from_here]).collect()
    }

    fn open(&self) -> impl Iterator<Item = usize> {
        (0..self.tasks.len()).filter(|place| !self.tasks[*place].state.is_final())
    }
}

fn of(forecast: &Forecast, place: usize) -> Expected {
    forecast.tasks[place].expect("a task that has not ended")
}

pub fn check_longest(plan: &Plan) {
    let forecast = plan.forecast();
    for place in plan.open() {
        let longest = plan.ways(place).into_iter().max();
        assert_eq!(Some(of(&forecast, place).end), longest, "task {place}");
        assert!(forecast.end >= longest, "the whole ends before task {place}");
    }
    assert_eq!(forecast.end, plan.open().flat_map(|place| plan.ways(place)).max());
    assert_eq!(forecast.tasks.iter().flatten().count(), plan.open().count());
    for task in plan.open().map(|place| &plan.tasks[place].task_type) {
        assert_eq!(forecast.unknown_types.contains(task), !plan.durations.contains_key(task), "{task}");
    }
}

pub fn check_path(plan: &Plan) {
    let forecast = plan.forecast();
    let path = &forecast.critical_path;
    assert_eq!(path.is_empty(), plan.open().count() == 0);
    assert_eq!(path.last().map(|place| of(&forecast, *place).end), forecast.end);
    for pair in path.windows(2) {
        assert!(plan.waits(pair[1], pair[0]), "task {} does not wait for task {}", pair[1], pair[0]);
        assert_eq!(of(&forecast, pair[0]).end, of(&forecast, pair[1]).start, "a gap between {pair:?}");
    }
}

pub fn check_slack(plan: &Plan) {
    let whole = plan.forecast();
    let mut left = plan.clone();
    let path: Vec<TaskId> = whole.critical_path.iter().map(|place| plan.tasks[*place].task).collect();
    left.tasks.retain(|task| path.contains(&task.task));
    assert_eq!(left.forecast().end, whole.end);
    for place in plan.open().filter(|place| !whole.critical_path.contains(place)) {
        let mut left = plan.clone();
        left.tasks.remove(place);
        assert_eq!(left.forecast().end, whole.end, "without task {place}");
    }
}
