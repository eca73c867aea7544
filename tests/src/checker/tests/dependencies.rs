//! The rules on tasks that depend on others.

use super::*;
use callboard::v1::DependencyFailureAction as Action;

/// The good world, in which `second` waits for `third` too, whose first run ended CANCELLED and whose second COMPLETED: with a condition, and
/// what it does when that does not hold.
fn also_on_third(condition: Condition, action: Action) -> World {
    let mut world = World::good();
    let mut also = on("third");
    also.set_condition(condition);
    also.set_on_failure(action);
    world.history.creations[1].specs[0].dependencies.push(also.clone());
    world.task("second").task.spec.as_mut().unwrap().dependencies.push(also);
    // Behind the cancellation, before the retry.
    for (event, seconds) in world.task("third").events.iter_mut().skip(3).zip(200..) {
        event.at.as_mut().unwrap().seconds = seconds;
    }
    for (event, seconds) in world.task("second").events.iter_mut().zip(110..) {
        event.at.as_mut().unwrap().seconds = seconds;
    }
    world.history.runs[2].dependencies.push(("third".into(), S::Cancelled, None));
    world
}

/// The same, and `second` ended by `third`, without an attempt.
fn ended_by_third(condition: Condition, asked: Action, done: E) -> World {
    let mut world = also_on_third(condition, asked);
    world.history.runs.remove(2);
    world.history.watches.clear();
    world.task("second").events.truncate(1);
    world.task("second").task.attempt = 0;
    world.tell("second", &[(done, 0)]);
    let end = world.task("second").events.last_mut().unwrap();
    end.at.as_mut().unwrap().seconds = 110;
    let by_dependency = v1::Failure { r#type: "callboard.dependency_failed".to_owned(), ..Default::default() };
    end.failure = (done == E::Failed).then_some(by_dependency);
    world
}

#[track_caller]
fn is_green(world: &World) {
    assert_eq!(check(&world.history, &world.observed), []);
}

#[track_caller]
fn is_red(world: &World) {
    let broken = world.broken();
    assert!(broken.contains(&Rule::DependentsFollow), "not noticed; noticed: {broken:?}");
}

#[test]
fn a_dependent_that_was_too_early() {
    red(Rule::DependentsFollow, |world| {
        for event in &mut world.task("second").events {
            event.at.as_mut().unwrap().seconds -= 95;
        }
    });
}

#[test]
fn a_dependent_that_saw_something_else() {
    red(Rule::DependentsFollow, |world| world.history.runs[2].dependencies[0].2 = Some("another".to_owned()));
    red(Rule::DependentsFollow, |world| world.history.runs[2].dependencies.clear());
}

#[test]
fn a_dependent_that_ended_without_cause() {
    red(Rule::DependentsFollow, |world| {
        world.task("second").events.truncate(1);
        world.tell("second", &[(E::Skipped, 0)]);
    });
}

#[test]
fn a_dependent_runs_behind_the_end_that_it_asked_for_alone() {
    for (condition, holds) in [
        (Condition::Completed, false),
        (Condition::Failed, false),
        (Condition::NotCompleted, true),
        (Condition::Ended, true),
    ] {
        let world = also_on_third(condition, Action::Skip);
        if holds { is_green(&world) } else { is_red(&world) }
    }
}

#[test]
fn a_dependent_that_waits_for_an_end_was_too_early() {
    for condition in [Condition::NotCompleted, Condition::Ended] {
        let mut world = also_on_third(condition, Action::Skip);
        world.task("third").events[2].at.as_mut().unwrap().seconds = 150;
        is_red(&world);
    }
}

#[test]
fn a_dependent_ends_by_what_ended_otherwise_and_in_the_way_that_was_asked() {
    for condition in [Condition::Completed, Condition::Failed] {
        is_green(&ended_by_third(condition, Action::Skip, E::Skipped));
        is_green(&ended_by_third(condition, Action::Fail, E::Failed));
        is_red(&ended_by_third(condition, Action::Fail, E::Skipped));
        is_red(&ended_by_third(condition, Action::Skip, E::Failed));
    }
}

#[test]
fn a_dependent_that_ended_though_all_ended_as_it_asked() {
    for condition in [Condition::NotCompleted, Condition::Ended] {
        is_red(&ended_by_third(condition, Action::Skip, E::Skipped));
        is_red(&ended_by_third(condition, Action::Fail, E::Failed));
    }
}

#[test]
fn what_is_shown_of_a_dependency_that_was_not_to_complete() {
    let shown = |state, result: Option<&str>| {
        let mut world = also_on_third(Condition::Ended, Action::Skip);
        world.history.runs[2].dependencies[1] = ("third".into(), state, result.map(str::to_owned));
        world
    };
    is_green(&shown(S::Running, None));
    is_green(&shown(S::Completed, Some("result of third")));
    is_red(&shown(S::Completed, Some("another")));
    is_red(&shown(S::Cancelled, Some("result of third")));
    is_red(&shown(S::Failed, None));
}
