//! What is expected of workflows.

use callboard_core::forecast::{Forecast, Known, forecast};
use callboard_core::model::{
    Condition, Edge, NamespaceId, OnFailure, ResultCondition, Span, StateName, TaskId, Terms, Test, Timestamp,
};
use std::collections::HashMap;
use std::sync::Arc;
use uuid::Uuid;

/// Now is at 100 s.
const NOW: Timestamp = Timestamp(100_000_000);

fn at(seconds: i64) -> Timestamp {
    Timestamp(seconds * 1_000_000)
}

/// Tasks of types that are called by the seconds that they take; `?` is of a type that nobody knows.
#[derive(Default)]
struct Plan {
    tasks: Vec<Known>,
    edges: Vec<Edge>,
}

impl Plan {
    fn add(&mut self, takes: &str, state: StateName) -> usize {
        let (task, task_type) = (TaskId(Uuid::from_u128(self.tasks.len() as u128)), takes.into());
        self.tasks.push(Known { task, task_type, state, started_at: None, not_before: None });
        self.tasks.len() - 1
    }

    fn waiting(&mut self, takes: &str, sources: &[usize]) -> usize {
        let sources: Vec<_> = sources.iter().map(|source| (*source, Condition::Completed)).collect();
        self.waiting_so(takes, &sources, OnFailure::Skip)
    }

    fn waiting_so(&mut self, takes: &str, sources: &[(usize, Condition)], on_failure: OnFailure) -> usize {
        let target = self.add(takes, StateName::Waiting);
        for (source, condition) in sources {
            self.edges.push(Edge {
                namespace: NamespaceId(1),
                source: self.tasks[*source].task,
                target: self.tasks[target].task,
                ordinal: 0,
                terms: Terms { condition: condition.clone(), on_failure, name: None },
                resolved: false,
            });
        }
        target
    }

    fn forecast(&self) -> Forecast {
        let known = self.tasks.iter().filter_map(|task| {
            let seconds: i64 = task.task_type.parse().ok()?;
            Some((task.task_type.clone(), Span::seconds(seconds)))
        });
        let known: HashMap<Arc<str>, Span> = known.collect();
        forecast(&self.tasks, &self.edges, &known, NOW)
    }
}

fn times(forecast: &Forecast) -> Vec<Option<(i64, i64)>> {
    let seconds = |at: Timestamp| at.seconds();
    forecast.tasks.iter().map(|task| task.map(|task| (seconds(task.start), seconds(task.end)))).collect()
}

#[test]
fn each_begins_when_the_last_that_it_waits_for_has_ended() {
    let mut plan = Plan::default();
    let fetch = plan.add("5", StateName::Ready);
    let long = plan.waiting("7", &[fetch]);
    let short = plan.waiting("2", &[fetch]);
    let merge = plan.waiting("1", &[long, short]);
    let forecast = plan.forecast();
    assert_eq!(times(&forecast), [(100, 105), (105, 112), (105, 107), (112, 113)].map(Some));
    assert_eq!((forecast.end, &*forecast.critical_path), (Some(at(113)), &[fetch, long, merge][..]));
    assert!(forecast.unknown_types.is_empty());
}

#[test]
fn what_runs_ends_when_it_should_but_not_in_the_past() {
    let mut plan = Plan::default();
    for started_at in [98, 60] {
        let task = plan.add("5", StateName::Running);
        plan.tasks[task].started_at = Some(at(started_at));
        plan.waiting("1", &[task]);
    }
    // Its latest attempt began long ago, and was lost.
    let retried = plan.add("5", StateName::Waiting);
    plan.tasks[retried].started_at = Some(at(10));
    plan.tasks[retried].not_before = Some(at(130));
    let forecast = plan.forecast();
    assert_eq!(times(&forecast), [(98, 103), (103, 104), (60, 100), (100, 101), (130, 135)].map(Some));
    assert_eq!(forecast.critical_path, [retried]);
}

#[test]
fn what_has_ended_is_waited_for_no_more() {
    let mut plan = Plan::default();
    let done = plan.add("50", StateName::Completed);
    let failed = plan.add("50", StateName::Failed);
    plan.waiting_so("3", &[(done, Condition::Completed), (failed, Condition::Failed)], OnFailure::Skip);
    assert_eq!(times(&plan.forecast()), [None, None, Some((100, 103))]);
    plan.tasks[2].state = StateName::Completed;
    assert_eq!(plan.forecast(), Forecast { tasks: vec![None; 3], ..Forecast::default() });
}

#[test]
fn what_waits_for_a_failure_is_skipped_when_that_cannot_come_any_more() {
    let mut plan = Plan::default();
    let main = plan.add("4", StateName::Running);
    plan.tasks[main].started_at = Some(NOW);
    let fallback = plan.waiting_so("60", &[(main, Condition::Failed)], OnFailure::Skip);
    let of_fallback = plan.waiting("60", &[fallback]);
    let alarm = plan.waiting_so("60", &[(main, Condition::NotCompleted)], OnFailure::Fail);
    let on_alarm = plan.waiting_so("1", &[(alarm, Condition::Failed)], OnFailure::Skip);
    let either = plan.waiting_so("2", &[(main, Condition::Ended), (fallback, Condition::Ended)], OnFailure::Skip);
    let forecast = plan.forecast();
    let outcomes: Vec<StateName> = forecast.tasks.iter().flatten().map(|task| task.outcome).collect();
    use StateName::{Completed, Failed, Skipped};
    assert_eq!(outcomes, [Completed, Skipped, Skipped, Failed, Completed, Completed]);
    for skipped in [fallback, of_fallback, alarm] {
        assert_eq!(times(&forecast)[skipped], Some((104, 104)));
    }
    assert_eq!(times(&forecast)[on_alarm], Some((104, 105)));
    assert_eq!(forecast.end, Some(at(106)));
    assert_eq!(forecast.critical_path, [main, either], "it waits for the task itself, too");
}

#[test]
fn results_count_as_what_is_asked_for() {
    let mut plan = Plan::default();
    let judge = plan.add("1", StateName::Ready);
    let asked = Condition::Result(Arc::new(ResultCondition { pointer: "/ok".into(), test: Test::Exists }));
    plan.waiting_so("2", &[(judge, asked.clone())], OnFailure::Skip);
    let doubt = plan.waiting_so("9", &[(judge, Condition::Failed)], OnFailure::Skip);
    plan.waiting_so("9", &[(doubt, asked)], OnFailure::Skip);
    assert_eq!(times(&plan.forecast()), [(100, 101), (101, 103), (101, 101), (101, 101)].map(Some));
}

#[test]
fn unknown_types_take_no_time_and_are_named() {
    let mut plan = Plan::default();
    let first = plan.add("?a", StateName::Ready);
    let alone = plan.add("?b", StateName::Ready);
    let second = plan.waiting("?a", &[first]);
    plan.add("?done", StateName::Completed);
    let forecast = plan.forecast();
    assert_eq!(forecast.end, Some(NOW));
    assert_eq!(forecast.unknown_types.iter().map(|name| &**name).collect::<Vec<_>>(), ["?a", "?b"]);
    assert_eq!(forecast.critical_path, [first, second], "the longest chain, though {alone} ends as late");
}

#[test]
fn of_chains_that_are_alike_the_first_is_told() {
    let mut plan = Plan::default();
    let sources = [plan.add("3", StateName::Ready), plan.add("3", StateName::Ready)];
    let target = plan.waiting("1", &[sources[1], sources[0]]);
    plan.waiting("1", &[sources[1]]);
    assert_eq!(plan.forecast().critical_path, [sources[0], target]);
}

/// Rules rule it out; what is read of a store that somebody else wrote to must not hang.
#[test]
fn a_cycle_is_left_out() {
    let mut plan = Plan::default();
    let free = plan.add("1", StateName::Ready);
    let a = plan.waiting("1", &[free]);
    let b = plan.waiting("1", &[a]);
    let back = Edge { source: plan.tasks[b].task, target: plan.tasks[a].task, ..plan.edges[0].clone() };
    plan.edges.push(back);
    assert_eq!(times(&plan.forecast()), [Some((100, 101)), None, None]);
}

/// A chain as long as may be does not exhaust the stack, and as many edges as may be take no time that somebody would wait for.
#[test]
fn the_largest_workflow() {
    let mut plan = Plan::default();
    plan.add("1", StateName::Ready);
    for n in 1..10_000 {
        let sources: Vec<usize> = (n.max(5) - 5..n).collect();
        plan.waiting("1", &sources);
    }
    let forecast = plan.forecast();
    assert_eq!((forecast.end, forecast.critical_path.len()), (Some(at(10_100)), 10_000));
}
