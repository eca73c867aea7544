//! The rules on what agents have at a time.

use super::families::{AGENT, family};
use super::*;

/// The family, whose parent and child take so much of a gpu each, of an agent that has so much.
fn taking(parent: f64, child: f64, has: f64) -> World {
    let mut world = family();
    for (id, amount) in [("parent", parent), ("child", child)] {
        let resources = [("gpu".to_owned(), amount)].into();
        let requirements = Some(v1::Requirements { resources, ..Default::default() });
        world.task(id).task.spec.get_or_insert_default().requirements = requirements;
    }
    world.history.slots.clear();
    world.history.resources.insert(AGENT.to_owned(), [("gpu".to_owned(), has)].into());
    world
}

/// The child begins while its parent still runs.
fn begins_before_the_pause(world: &mut World) {
    at(world, "child", 1, 3);
}

fn at(world: &mut World, id: &str, event: usize, seconds: i64) {
    world.task(id).events[event].at = Some(prost_types::Timestamp { seconds, nanos: 0 });
}

fn noticed(rule: Rule, world: &World) -> bool {
    world.broken().contains(&rule)
}

#[test]
fn more_at_a_time_than_there_are_slots() {
    let begun_early = |event, seconds| {
        let mut world = family();
        at(&mut world, if event == 1 { "child" } else { "parent" }, event, seconds);
        world
    };
    assert!(!noticed(Rule::SlotsHold, &family()));
    assert!(noticed(Rule::SlotsHold, &begun_early(4, 9)));
    assert!(noticed(Rule::SlotsHold, &begun_early(1, 3)));
}

#[test]
fn one_behind_the_other_may_take_all_there_is() {
    assert!(!noticed(Rule::ResourcesHold, &taking(2.0, 2.0, 2.0)));
}

#[test]
fn more_at_a_time_than_the_agent_has() {
    let mut world = taking(1.5, 0.501, 2.0);
    begins_before_the_pause(&mut world);
    assert!(noticed(Rule::ResourcesHold, &world));
    let mut world = taking(1.5, 0.5, 2.0);
    begins_before_the_pause(&mut world);
    assert!(!noticed(Rule::ResourcesHold, &world), "beside each other they take all of it, and no more");
}

#[test]
fn one_that_takes_more_than_the_agent_has_in_all() {
    assert!(noticed(Rule::ResourcesHold, &taking(2.001, 0.0, 2.0)));
}

#[test]
fn what_goes_on_beside_one_that_took_its_place() {
    let mut world = taking(1.5, 1.5, 2.0);
    at(&mut world, "parent", 4, 9);
    assert!(noticed(Rule::ResourcesHold, &world));
}
