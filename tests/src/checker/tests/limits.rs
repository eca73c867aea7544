//! The rule on limits by key.

use super::*;

const MODEL: &str = "model";

/// When an attempt of a task begins, and when it ends; by seconds.
type Stay = (i64, i64);

fn at_once(key: &str, max: i32) -> v1::Limit {
    v1::Limit { key: key.to_owned(), max_concurrent: Some(max), ..Default::default() }
}

fn in_seconds(key: &str, rate: i32, seconds: i64) -> v1::Limit {
    let rate_period = Some(prost_types::Duration { seconds, nanos: 0 });
    v1::Limit { key: key.to_owned(), rate: Some(rate), rate_period, ..Default::default() }
}

/// A task with a key for each stay.
fn under(key: &str, limit: v1::Limit, stays: &[Stay]) -> World {
    let mut world = World::good();
    world.history.limits.push(limit);
    for (number, (begins, ends)) in stays.iter().enumerate() {
        let id = format!("limited-{number}");
        task(&mut world, &id, key, &[(E::Assigned, *begins), (E::Completed, *ends)]);
    }
    world
}

fn task(world: &mut World, id: &str, key: &str, events: &[(E, i64)]) {
    world.create(id, &[id]);
    world.task(id).task.spec.as_mut().unwrap().limit_keys = vec![key.to_owned()];
    let told: Vec<_> = events.iter().map(|(event, _)| (*event, 1)).collect();
    world.tell(id, &told);
    for (event, (_, seconds)) in world.task(id).events.iter_mut().zip(events) {
        event.at = Some(prost_types::Timestamp { seconds: *seconds, nanos: 0 });
    }
}

#[track_caller]
fn red(world: &World) {
    assert!(world.broken().contains(&Rule::LimitsHold), "it was not noticed");
}

#[track_caller]
fn green(world: &World) {
    let found = check(&world.history, &world.observed);
    let found: Vec<_> = found.iter().filter(|found| found.rule == Rule::LimitsHold).collect();
    assert!(found.is_empty(), "{found:?}");
}

#[test]
fn one_more_at_once_than_there_may_be() {
    red(&under(MODEL, at_once(MODEL, 2), &[(1, 9), (2, 8), (3, 7)]));
    green(&under(MODEL, at_once(MODEL, 3), &[(1, 9), (2, 8), (3, 7)]));
}

#[test]
fn one_that_begins_at_the_time_at_which_another_ends() {
    green(&under(MODEL, at_once(MODEL, 1), &[(1, 2), (2, 3), (3, 4)]));
}

#[test]
fn a_key_without_a_limit_holds_nothing_up() {
    green(&under("another", at_once(MODEL, 1), &[(1, 9), (2, 8), (3, 7)]));
}

#[test]
fn each_key_of_a_beginning_has_its_own_and_the_longest_counts() {
    let mut world = under("tenant/a", at_once("tenant/*", 1), &[(1, 9)]);
    task(&mut world, "other", "tenant/b", &[(E::Assigned, 2), (E::Completed, 3)]);
    green(&world);
    task(&mut world, "same", "tenant/b", &[(E::Assigned, 2), (E::Completed, 3)]);
    red(&world);
    world.history.limits.push(at_once("tenant/b*", 2));
    green(&world);
    world.history.limits.push(at_once("tenant/b", 1));
    red(&world);
}

/// One that paused from 2 to 6, while another had its place.
fn paused(until: i64) -> World {
    let mut world = under(MODEL, at_once(MODEL, 1), &[(3, 8)]);
    let events = [(E::Assigned, 1), (E::Paused, 2), (E::Resumed, until), (E::Completed, 10)];
    task(&mut world, "paused", MODEL, &events);
    world
}

#[test]
fn what_was_paused_goes_on_beyond_the_limit() {
    green(&paused(6));
}

#[test]
fn what_goes_on_counts_for_those_that_begin_then() {
    let mut world = paused(6);
    task(&mut world, "late", MODEL, &[(E::Assigned, 9), (E::Completed, 11)]);
    red(&world);
}

#[test]
fn between_two_attempts_a_task_holds_nothing() {
    let mut world = under(MODEL, at_once(MODEL, 1), &[(3, 5)]);
    let events = [(E::Assigned, 1), (E::AttemptFailed, 2), (E::RetryScheduled, 2), (E::Ready, 4), (E::Assigned, 5)];
    task(&mut world, "tried", MODEL, &events);
    green(&world);
    world.task("tried").events[4].at = Some(prost_types::Timestamp { seconds: 4, nanos: 0 });
    red(&world);
}

#[test]
fn where_times_are_apart_only_what_is_certain_counts() {
    let mut world = under(MODEL, at_once(MODEL, 1), &[(1, 4), (2, 9)]);
    red(&world);
    world.observed.apart = Duration::from_secs(1);
    red(&world);
    world.observed.apart = Duration::from_secs(2);
    green(&world);
}

#[test]
fn where_times_are_apart_what_goes_on_may_have_done_so_last() {
    let mut world = paused(6);
    task(&mut world, "late", MODEL, &[(E::Assigned, 9), (E::Completed, 20)]);
    world.task("paused").events[3].at = Some(prost_types::Timestamp { seconds: 20, nanos: 0 });
    world.observed.apart = Duration::from_secs(2);
    red(&world);
    world.observed.apart = Duration::from_secs(4);
    green(&world);
}

#[test]
fn more_in_a_time_than_a_rate_lets_through() {
    let stays = |begins: &[i64]| -> Vec<Stay> { begins.iter().map(|at| (*at, *at)).collect() };
    let rate = in_seconds(MODEL, 3, 3);
    green(&under(MODEL, rate.clone(), &stays(&[10, 10, 10, 11, 12, 13, 20, 20, 20])));
    red(&under(MODEL, rate.clone(), &stays(&[10, 10, 10, 10])));
    red(&under(MODEL, rate.clone(), &stays(&[10, 10, 10, 11, 12, 13, 13])));
    red(&under(MODEL, rate, &stays(&[1, 10, 10, 11, 11, 12, 12])));
}

#[test]
fn a_rate_without_a_time_is_for_a_second() {
    let rate = v1::Limit { rate_period: None, ..in_seconds(MODEL, 2, 0) };
    green(&under(MODEL, rate.clone(), &[(1, 1), (1, 1), (2, 2), (2, 2)]));
    red(&under(MODEL, rate, &[(1, 1), (1, 1), (1, 1)]));
}

#[test]
fn each_attempt_counts_for_a_rate() {
    let mut world = under(MODEL, in_seconds(MODEL, 1, 10), &[]);
    task(&mut world, "tried", MODEL, &[(E::Assigned, 1), (E::HandedBack, 2), (E::Ready, 2), (E::Assigned, 12)]);
    green(&world);
    world.task("tried").events[3].at = Some(prost_types::Timestamp { seconds: 10, nanos: 0 });
    red(&world);
}

#[test]
fn a_time_may_look_shorter_than_it_was() {
    let mut world = under(MODEL, in_seconds(MODEL, 1, 10), &[(1, 1), (9, 9)]);
    red(&world);
    for (apart, late) in [(2, 0), (0, 2), (1, 1)] {
        (world.observed.apart, world.observed.late) = (Duration::from_secs(apart), Duration::from_secs(late));
        green(&world);
    }
    (world.observed.apart, world.observed.late) = (Duration::ZERO, Duration::from_secs(1));
    red(&world);
    world.observed.late = Duration::MAX;
    green(&world);
}

#[test]
fn times_of_commits_are_off_by_how_unevenly_late_they_are() {
    let mut world = under(MODEL, in_seconds(MODEL, 1, 10), &[(1, 2), (11, 12)]);
    // The first is committed five seconds behind its decision, the second at once.
    world.observed.go_by_commits(|task, event| match (task, event) {
        ("limited-0", 1) => Some(Duration::from_secs(6)),
        ("limited-1", 1) => Some(Duration::from_secs(11)),
        _ => None,
    });
    assert_eq!(world.observed.late, Duration::from_secs(5));
    green(&world);
    world.observed.late = Duration::from_secs(3);
    red(&world);
}
