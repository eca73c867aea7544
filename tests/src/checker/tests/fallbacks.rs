//! The rules on tasks that ask for less when nobody takes them.

use super::*;
use crate::load::work::NOBODY;

/// The good world, with a fourth task that nobody could take, and that was retried behind its end.
fn with_a_fallback() -> World {
    let mut world = World::good();
    world.create("fourth", &["fourth"]);
    world.tell("fourth", &[(E::Created, 0), (E::FellBack, 0), (E::Assigned, 1), (E::Started, 1)]);
    world.tell("fourth", &[(E::Cancelled, 1), (E::RunOpened, 1), (E::Ready, 1), (E::FellBack, 1), (E::Cancelled, 1)]);
    let task = &mut world.task("fourth").task;
    let asked = v1::Requirements { role: NOBODY.to_owned(), ..Default::default() };
    task.spec.as_mut().unwrap().requirements = Some(asked);
    task.fallback = 1;
    world
}

fn broken(spoil: impl FnOnce(&mut World)) -> bool {
    let mut world = with_a_fallback();
    spoil(&mut world);
    world.broken().contains(&Rule::FallsBack)
}

#[test]
fn a_task_that_fell_back_once_a_run_is_as_it_should_be() {
    assert!(!broken(|_| {}));
}

#[test]
fn an_agent_that_has_not_what_is_asked() {
    assert!(broken(|world| {
        world.task("fourth").events.remove(1);
    }));
}

#[test]
fn a_task_that_fell_back_twice() {
    assert!(broken(|world| {
        let again = world.task("fourth").events[1].clone();
        world.task("fourth").events.insert(1, again);
    }));
}

#[test]
fn a_fallback_that_is_not_shown() {
    assert!(broken(|world| world.task("fourth").task.fallback = 0));
}
