//! Each rule, shown red by a history that breaks it; the history that they break is green.

use super::{Observed, Rule, Seen, check, taken, taken_from_anybody};
use crate::load::history::{
    Creation, Delivery, HandlerRun, History, Letter, MARKER, Reported, Said, Steering, Verdict, Watching,
};
use crate::load::work::payload;
use callboard::v1;
use callboard::v1::{DependencyCondition as Condition, EventType as E, TaskState as S};
use std::time::Duration;

mod dependencies;
mod fallbacks;
mod families;
mod holding;
mod limits;
mod workflows;

/// A world in which everything was as it should be: `first` completed on its second attempt, `second` depends on it, `third`
/// was cancelled, retried, and completed.
struct World {
    history: History,
    observed: Observed,
}

impl World {
    fn good() -> Self {
        let mut world = Self { history: History::default(), observed: Observed::default() };
        world.create("one", &["first"]);
        world.create("many", &["second", "third"]);
        world.task("second").task.spec.as_mut().unwrap().dependencies = vec![on("first")];
        world.history.creations[1].specs[0].dependencies = vec![on("first")];
        world
            .tell("first", &[(E::Created, 0), (E::Ready, 0), (E::Assigned, 1), (E::Started, 1), (E::AttemptFailed, 1)]);
        world.tell(
            "first",
            &[(E::RetryScheduled, 1), (E::Ready, 1), (E::Assigned, 2), (E::Started, 2), (E::Completed, 2)],
        );
        world.tell("second", &[(E::Created, 0), (E::Ready, 0), (E::Assigned, 1), (E::Started, 1), (E::Completed, 1)]);
        world.tell("third", &[(E::Created, 0), (E::Ready, 0), (E::Cancelled, 0), (E::RunOpened, 0), (E::Ready, 0)]);
        world.tell("third", &[(E::Assigned, 1), (E::Started, 1), (E::Completed, 1)]);
        world.ran("first", 1, Said::Failed("Asked".into()));
        world.ran("first", 2, Said::Completed("result of first".into()));
        world.ran("second", 1, Said::Completed("result of second".into()));
        world.ran("third", 1, Said::Completed("result of third".into()));
        world.history.runs[2].dependencies = vec![("first".into(), S::Completed, Some("result of first".into()))];
        world.history.cancels = vec![steering("third", S::Cancelled, 1)];
        world.history.retries = vec![steering("third", S::Ready, 2)];
        for number in 1..=3 {
            world.wrote("ann", number);
            world.delivered("ann", number);
        }
        let tasks = world.observed.tasks.iter();
        let events = tasks.flat_map(|(id, seen)| seen.events.iter().map(|event| (id.clone(), event.sequence)));
        world.history.watches = vec![Watching { from: Some(0), seen: events.collect() }];
        world.history.reports = vec![report("first", 2, "result of first", Verdict::Committed)];
        world
    }

    /// A letter to `bob`, with its receipt.
    fn wrote(&mut self, sender: &str, number: u32) {
        let receipt = v1::MessageReceipt { message_id: format!("m{number}"), sequence: i64::from(number) };
        self.history.letters.push(Letter { answers: vec![receipt; 2], ..Letter::new(sender, number, "bob") });
    }

    fn delivered(&mut self, sender: &str, number: u32) {
        self.history.deliveries.push(Delivery {
            reader: "bob".into(),
            stream: 1,
            message_id: format!("m{number}"),
            sequence: i64::from(number),
            text: format!("{sender}/{number}"),
            acknowledged: false,
        });
    }

    fn create(&mut self, marker: &str, ids: &[&str]) {
        let spec = v1::TaskSpec { metadata: [(MARKER.to_owned(), marker.to_owned())].into(), ..Default::default() };
        let receipt = |id: &&str| v1::TaskReceipt { task_id: (*id).to_owned(), ..Default::default() };
        self.history.creations.push(Creation {
            marker: marker.to_owned(),
            specs: vec![spec.clone(); ids.len()],
            with_request_id: true,
            answers: vec![ids.iter().map(receipt).collect()],
            refused: None,
        });
        for id in ids {
            let task = v1::Task { id: (*id).to_owned(), spec: Some(spec.clone()), run: 1, ..Default::default() };
            self.observed.tasks.insert((*id).to_owned(), Seen { task, events: Vec::new(), output: Vec::new() });
        }
    }

    fn task(&mut self, id: &str) -> &mut Seen {
        self.observed.tasks.get_mut(id).unwrap()
    }

    /// Adds events, and brings the task to where they lead. Each comes a second behind the one before, and behind `first`'s
    /// for those that depend on it.
    fn tell(&mut self, id: &str, events: &[(E, i32)]) {
        let later = if id == "first" { 0 } else { 100 };
        let seen = self.task(id);
        for (event_type, attempt) in events {
            let sequence = i64::try_from(seen.events.len()).unwrap() + 1;
            seen.task.run += i32::from(*event_type == E::RunOpened);
            seen.task.attempt = seen.task.attempt.max(*attempt);
            let event = v1::Event {
                task_id: id.to_owned(),
                sequence,
                at: Some(prost_types::Timestamp { seconds: later + sequence, nanos: 0 }),
                r#type: (*event_type).into(),
                state: state_behind(*event_type).into(),
                run: seen.task.run,
                attempt: seen.task.attempt,
                failure: (*event_type == E::AttemptFailed).then(asked),
                ..Default::default()
            };
            seen.task.state = event.state;
            seen.events.push(event);
        }
        seen.task.result =
            (seen.task.state() == S::Completed).then(|| payload("text/plain", format!("result of {id}")));
    }

    fn ran(&mut self, id: &str, attempt: i32, gave: Said) {
        self.history.runs.push(HandlerRun {
            task_id: id.to_owned(),
            attempt,
            agent: "sdk-0".to_owned(),
            began: Duration::ZERO,
            ended: Some(Duration::ZERO),
            gave: Some(gave),
            output: String::new(),
            dependencies: Vec::new(),
        });
    }

    /// The rules that are broken, each once.
    fn broken(&self) -> Vec<Rule> {
        let mut rules: Vec<Rule> = check(&self.history, &self.observed).iter().map(|found| found.rule).collect();
        rules.sort_unstable();
        rules.dedup();
        rules
    }
}

fn on(id: &str) -> v1::Dependency {
    v1::Dependency { task_id: id.to_owned(), ..Default::default() }
}

fn asked() -> v1::Failure {
    v1::Failure { r#type: "Asked".to_owned(), ..Default::default() }
}

fn steering(id: &str, state: S, run: i32) -> Steering {
    let receipt = v1::TaskReceipt { task_id: id.to_owned(), state: state.into(), run, ..Default::default() };
    Steering { task_id: id.to_owned(), answers: vec![receipt] }
}

fn report(id: &str, attempt: i32, result: &str, verdict: Verdict) -> Reported {
    let attempt = v1::Attempt { task_id: id.to_owned(), attempt, lease_token: "token".to_owned() };
    Reported { attempt, said: Said::Completed(result.to_owned()), bogus: false, receipts: vec![verdict] }
}

fn state_behind(event_type: E) -> S {
    match event_type {
        E::Assigned => S::Assigned,
        E::Started => S::Running,
        E::Completed => S::Completed,
        E::Failed => S::Failed,
        E::Cancelled => S::Cancelled,
        E::Skipped => S::Skipped,
        E::Ready => S::Ready,
        _ => S::Waiting,
    }
}

/// Breaks the good world, and names the rules that must notice. Others may, too: one lie often breaks several promises.
#[track_caller]
fn red(rule: Rule, break_it: impl FnOnce(&mut World)) {
    let mut world = World::good();
    break_it(&mut world);
    let broken = world.broken();
    assert!(broken.contains(&rule), "{rule:?} did not notice; noticed by {broken:?}");
}

#[test]
fn a_good_world_is_green() {
    let world = World::good();
    assert_eq!(check(&world.history, &world.observed), []);
}

#[test]
fn an_acknowledged_task_that_is_gone() {
    red(Rule::NothingLost, |world| drop(world.observed.tasks.remove("first")));
}

#[test]
fn a_task_that_is_not_what_was_asked() {
    red(Rule::NothingLost, |world| world.history.creations[0].specs[0].description = "another".to_owned());
    red(Rule::NothingLost, |world| world.history.creations[1].specs[0].dependencies[0].set_condition(Condition::Ended));
}

#[test]
fn a_task_that_nobody_asked_for() {
    red(Rule::NothingInvented, |world| drop(world.history.creations.remove(0)));
}

#[test]
fn a_repeated_request_that_made_two_tasks() {
    red(Rule::RepeatedOnce, |world| {
        let mut twin = world.task("first").clone();
        twin.task.id = "twin".to_owned();
        world.observed.tasks.insert("twin".to_owned(), twin);
    });
}

#[test]
fn a_repeated_request_that_was_answered_otherwise() {
    red(Rule::RepeatedOnce, |world| {
        let mut other = world.history.creations[0].answers[0].clone();
        other[0].version += 1;
        world.history.creations[0].answers.push(other);
    });
    red(Rule::RepeatedOnce, |world| {
        let mut other = world.history.cancels[0].answers[0].clone();
        other.version += 1;
        world.history.cancels[0].answers.push(other);
    });
}

#[test]
fn half_a_batch() {
    red(Rule::AllOrNone, |world| {
        world.history.creations[1].answers.clear();
        world.observed.tasks.remove("third");
    });
    red(Rule::AllOrNone, |world| drop(world.history.creations[1].answers[0].pop()));
    red(Rule::AllOrNone, |world| {
        world.history.creations[1].answers.clear();
        world.history.creations[1].refused = Some("the key of live task third".to_owned());
    });
    red(Rule::AllOrNone, |world| {
        let once = &mut world.history.creations[1];
        once.answers.clear();
        once.refused = Some("the key of live task first".to_owned());
        once.with_request_id = false;
    });
}

/// Its first try waited at a server when its second was refused by another.
#[test]
fn a_try_that_waited_may_be_carried_out_behind_one_that_was_refused() {
    let mut world = World::good();
    let twice = &mut world.history.creations[1];
    twice.answers.clear();
    twice.refused = Some("the key of live task first".to_owned());
    assert_eq!(world.broken(), []);
}

#[test]
fn two_live_tasks_with_one_key() {
    red(Rule::OneLivePerKey, |world| {
        for id in ["second", "third"] {
            world.task(id).task.spec.as_mut().unwrap().key = "key".to_owned();
        }
    });
}

/// One task is replaced by another, and the clock of the server that did so is behind by some milliseconds.
#[test]
fn one_task_behind_the_other_by_clocks_that_are_apart() {
    let mut world = World::good();
    for (id, from, until) in [("second", 500, 470), ("third", 460, 900)] {
        let seen = world.task(id);
        seen.task.spec.as_mut().unwrap().key = "key".to_owned();
        let at = |millis: i32| Some(prost_types::Timestamp { seconds: 200, nanos: millis * 1_000_000 });
        seen.events.retain(|event| !matches!(event.r#type(), E::Cancelled | E::RunOpened));
        seen.events.first_mut().unwrap().at = at(from);
        seen.events.last_mut().unwrap().at = at(until);
    }
    assert!(world.broken().contains(&Rule::OneLivePerKey));
    world.observed.apart = Duration::from_millis(50);
    assert!(!world.broken().contains(&Rule::OneLivePerKey));
}

#[test]
fn a_task_that_does_not_end() {
    red(Rule::EveryTaskEnds, |world| {
        world.task("first").events.pop();
        world.task("first").task.state = S::Running.into();
    });
}

#[test]
fn two_ends_of_a_run() {
    red(Rule::OneEndPerRun, |world| world.tell("first", &[(E::Completed, 2)]));
    red(Rule::OneEndPerRun, |world| world.tell("first", &[(E::Ready, 2)]));
    red(Rule::OneEndPerRun, |world| drop(world.task("third").events.remove(2)));
}

#[test]
fn a_gap_in_a_history() {
    red(Rule::Gapless, |world| drop(world.task("first").events.remove(3)));
    red(Rule::Gapless, |world| world.task("first").events.clear());
}

#[test]
fn attempts_that_do_not_rise() {
    red(Rule::AttemptsRise, |world| world.task("first").events[7].attempt = 1);
    red(Rule::AttemptsRise, |world| world.task("first").events[7].attempt = 3);
}

#[test]
fn two_leases_at_once() {
    red(Rule::OneLease, |world| drop(world.task("first").events.remove(4)));
    red(Rule::OneLease, |world| world.task("first").events[8].attempt = 1);
}

#[test]
fn a_state_that_is_not_the_history() {
    red(Rule::StateIsHistory, |world| world.task("first").task.state = S::Failed.into());
    red(Rule::StateIsHistory, |world| world.task("first").task.attempt = 3);
}

#[test]
fn a_result_that_no_handler_gave() {
    red(Rule::TrueResult, |world| world.task("first").task.result = Some(payload("text/plain", "invented")));
    red(Rule::TrueResult, |world| world.history.runs[1].attempt = 1);
    red(Rule::TrueResult, |world| world.task("first").task.state = S::Cancelled.into());
}

#[test]
fn a_failure_that_no_handler_gave() {
    red(Rule::TrueFailure, |world| world.history.runs[0].gave = Some(Said::Completed("well".to_owned())));
}

#[test]
fn a_stop_that_nobody_asked_for() {
    red(Rule::TrueFailure, |world| {
        let stopped = v1::Failure { r#type: "callboard.cancelled".to_owned(), ..Default::default() };
        world.task("first").events[4].failure = Some(stopped);
    });
}

#[test]
fn an_attempt_that_ran_twice() {
    red(Rule::AttemptRunsOnce, |world| world.history.runs.push(world.history.runs[0].clone()));
}

#[test]
fn a_receipt_that_does_not_hold() {
    red(Rule::ReceiptHolds, |world| world.history.reports[0].said = Said::Completed("another".to_owned()));
    red(Rule::ReceiptHolds, |world| world.history.reports[0].said = Said::Failed("Asked".to_owned()));
    red(Rule::ReceiptHolds, |world| world.history.reports[0].receipts.push(Verdict::Refused));
}

#[test]
fn a_lie_that_was_taken() {
    red(Rule::LiesRefused, |world| world.history.reports[0].bogus = true);
}

#[test]
fn two_attempts_with_one_token() {
    red(Rule::TokensDiffer, |world| {
        let mut other = world.history.reports[0].clone();
        other.attempt.attempt = 1;
        other.said = Said::Failed("Asked".to_owned());
        world.history.reports.push(other);
    });
}

#[test]
fn a_cancellation_without_effect() {
    red(Rule::CancelHolds, |world| world.history.cancels.push(steering("third", S::Running, 2)));
    red(Rule::CancelHolds, |world| world.history.cancels.push(steering("third", S::Failed, 1)));
}

#[test]
fn a_retry_without_a_run() {
    red(Rule::RetryHolds, |world| world.history.retries.push(steering("third", S::Ready, 3)));
    red(Rule::RetryHolds, |world| world.history.retries.push(steering("third", S::Ready, 2)));
}

#[test]
fn an_attempt_that_was_taken_from_its_handler() {
    let mut world = World::good();
    assert_eq!(taken(&world.history, &world.observed), []);
    world.task("first").events[4].r#type = E::AttemptLost.into();
    let taken = taken(&world.history, &world.observed);
    assert_eq!(taken.iter().map(|(run, _)| run.attempt).collect::<Vec<_>>(), [1]);
}

#[test]
fn an_attempt_that_was_taken_from_a_claimer_that_had_not_forgotten_it() {
    let mut world = World::good();
    world.task("first").events[4].r#type = E::AttemptLost.into();
    let run = world.history.runs.iter_mut().find(|run| run.task_id == "first" && run.attempt == 1).unwrap();
    run.agent = "claims-0".to_owned();
    assert_eq!(taken(&world.history, &world.observed), []);
    let anybody = taken_from_anybody(&world.history, &world.observed);
    assert_eq!(anybody.iter().map(|(run, _)| run.agent.as_str()).collect::<Vec<_>>(), ["claims-0"]);
    world.history.runs.iter_mut().find(|run| run.agent == "claims-0").unwrap().gave = None;
    assert_eq!(taken_from_anybody(&world.history, &world.observed), []);
}

#[test]
fn a_message_that_never_came_or_came_to_somebody_else() {
    red(Rule::MessageArrives, |world| drop(world.history.deliveries.remove(1)));
    red(Rule::MessageArrives, |world| world.history.deliveries[1].reader = "cid".to_owned());
}

#[test]
fn a_message_that_came_again_behind_its_acknowledgement() {
    red(Rule::AcknowledgedIsGone, |world| world.history.deliveries[2].acknowledged = true);
}

#[test]
fn messages_out_of_order() {
    red(Rule::MessagesInOrder, |world| world.history.deliveries.swap(0, 1));
    red(Rule::MessagesInOrder, |world| {
        world.history.deliveries.swap(0, 1);
        world.history.deliveries[1].stream = 2;
    });
}

#[test]
fn a_message_that_was_sent_twice_or_by_nobody() {
    red(Rule::RepeatedOnce, |world| world.history.letters[0].answers[1].sequence = 9);
    red(Rule::RepeatedOnce, |world| world.history.deliveries[0].message_id = "m9".to_owned());
    red(Rule::NothingInvented, |world| world.history.deliveries[0].text = "eve/1".to_owned());
}

#[test]
fn a_watch_that_missed_or_repeated_an_event() {
    red(Rule::WatchMissesNothing, |world| drop(world.history.watches[0].seen.pop()));
    red(Rule::WatchMissesNothing, |world| drop(world.history.watches[0].seen.remove(1)));
    red(Rule::WatchMissesNothing, |world| world.history.watches[0].seen.insert(1, ("first".to_owned(), 1)));
    red(Rule::WatchMissesNothing, |world| world.history.watches[0].seen.retain(|(id, _)| id != "third"));
}

#[test]
fn a_surprise() {
    red(Rule::NoSurprise, |world| world.history.surprises.push("INTERNAL".to_owned()));
}
