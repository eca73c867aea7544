//! Many dependents: released in bounded steps, each of them once.

use crate::support::flows::{COMPLETED, create, workflow};
use crate::support::{Mode, World, in_every_mode, make::*};
use callboard_core::command::Report;
use callboard_core::model::{OnFailure, Payload, StateName, TaskId};
use callboard_core::{Command, Effect, Reason};
use std::sync::Arc;

fn fan_out(w: &mut World, source: TaskId, count: usize) -> Vec<TaskId> {
    let tasks = (0..count).map(|_| after(&[source])).collect::<Vec<_>>();
    for some in tasks.chunks(500) {
        w.run(Command::CreateTasks { tasks: some.to_vec() }).unwrap();
    }
    w.tables.tasks.values().filter(|task| task.dependencies > 0).map(|task| task.id).collect()
}

fn count(w: &World, state: StateName) -> usize {
    w.tables.tasks.values().filter(|task| task.state.name() == state).count()
}

#[test]
fn more_than_a_thousand_dependents_are_released_in_bounded_steps() {
    in_every_mode(|mut w| {
        let source = w.create(task("source"));
        fan_out(&mut w, source, 1_100);
        w.complete(source);
        // The first step is committed with the end; the rest is durable, and due at once.
        assert_eq!((count(&w, StateName::Ready), w.task(source).releasing), (256, true));
        assert_eq!(w.task(source).wake_at(&w.settings).map(|at| at <= w.now), Some(true));
        for released in [512, 768, 1_024, 1_100] {
            let outcome = w.run(Command::Wake { task: source }).unwrap();
            assert_eq!(count(&w, StateName::Ready), released);
            let goes_on = |effect: &Effect| matches!(effect, Effect::Releasing { task, .. } if *task == source);
            assert_eq!(outcome.effects.iter().any(goes_on), released < 1_100, "the engine is told to go on");
        }
        assert!(!w.task(source).releasing);
        assert_eq!(w.task(source).wake_at(&w.settings), None);
        assert!(w.tables.edges.values().all(|edge| edge.resolved));
    });
}

#[test]
fn a_wide_cascade_is_bounded_too() {
    in_every_mode(|mut w| {
        w.settings.release_step = 10;
        let source = w.create(task("source"));
        let middle = fan_out(&mut w, source, 15);
        for id in &middle {
            let tasks = vec![after_or(&[*id], OnFailure::Fail); 3];
            w.run(Command::CreateTasks { tasks }).unwrap();
        }
        w.fail(source);
        assert_eq!(count(&w, StateName::Skipped), 10);
        w.wake_due();
        assert_eq!((count(&w, StateName::Skipped), count(&w, StateName::Failed)), (15, 46));
        assert!(w.tables.tasks.values().all(|task| !task.releasing));
        for task in w.tables.tasks.keys() {
            let ends = w.events(*task).iter().filter(|event| event.state.is_final()).count();
            assert_eq!(ends, 1, "each ends once");
        }
    });
}

#[test]
fn a_step_that_is_exactly_enough_is_the_last() {
    in_every_mode(|mut w| {
        let source = w.create(task("source"));
        fan_out(&mut w, source, 256);
        w.complete(source);
        assert_eq!(count(&w, StateName::Ready), 256);
        assert!(!w.task(source).releasing);
    });
}

#[test]
fn a_task_that_is_still_releasing_can_not_be_retried() {
    in_every_mode(|mut w| {
        w.settings.release_step = 1;
        let source = w.create(task("source"));
        fan_out(&mut w, source, 3);
        w.fail(source);
        assert_eq!(w.refused(Command::RetryTask { task: source }), Reason::TaskState);
        w.wake_due();
        w.run(Command::RetryTask { task: source }).unwrap();
    });
}

/// A dependent that was retried while its dependency's release was still on its way was told of it a second time, and ran
/// before its other dependency had ended.
#[test]
fn a_dependency_is_met_once_though_its_release_comes_late() {
    in_every_mode(|mut w| {
        w.settings.release_step = 1;
        let (first, second) = (w.create(task("source")), w.create(task("source")));
        // Edges are told in the order of their targets: the target is the last one.
        for _ in 0..3 {
            w.create(after(&[first]));
            w.now.0 += 1_000;
        }
        let target = w.create(after(&[first, second]));
        w.fail(second);
        assert_eq!(w.state(target), StateName::Skipped);
        w.complete(first);
        assert!(w.task(first).releasing);
        w.run(Command::RetryTask { task: second }).unwrap();
        w.run(Command::RetryTask { task: target }).unwrap();
        assert_eq!(w.waiting(target).unmet, 1);
        w.wake_due();
        assert!(!w.task(first).releasing);
        assert_eq!(w.waiting(target).unmet, 1, "the second has not ended");
        w.complete(second);
        assert_eq!(w.state(target), StateName::Ready);
    });
}

#[test]
fn a_dependent_created_while_its_dependency_releases_is_not_told_again() {
    in_every_mode(|mut w| {
        w.settings.release_step = 1;
        let (first, second) = (w.create(task("source")), w.create(task("source")));
        fan_out(&mut w, first, 3);
        w.complete(first);
        let target = w.create(after(&[first, second]));
        w.wake_due();
        assert_eq!(w.waiting(target).unmet, 1);
    });
}

/// With a store of its own a server has the edges of a plan that it works through in memory, and the plan's workflow.
#[test]
fn the_end_of_a_link_asks_for_nothing_that_its_server_created() {
    let mut w = World::new(Mode::Exclusive);
    let created = create(&mut w, workflow(&[("a", &[]), ("b", &[("a", COMPLETED)]), ("c", &[("b", COMPLETED)])]));
    w.attach("agent", 1);
    let before = w.loads;
    for id in &created.tasks {
        w.report(*id, Report::Accepted).unwrap();
        w.report(*id, Report::Completed { result: Arc::new(Payload::text("result")), digest: 0 }).unwrap();
        w.dispatch();
    }
    assert_eq!(w.state(created.tasks[2]), StateName::Completed);
    assert_eq!(w.loads, before);
}

/// What memory has lost, or never had room for, is read ahead: the longer a graph is worked through, the more of it in one go.
#[test]
fn the_links_of_a_long_chain_are_read_many_at_once() {
    let mut w = World::new(Mode::Exclusive);
    let names: Vec<String> = (0..800).map(|place| format!("t{place}")).collect();
    let edges: Vec<_> = names.iter().map(|name| [(name.as_str(), COMPLETED)]).collect();
    let of = |place: usize| place.checked_sub(1).map_or(&[][..], |before| &edges[before][..]);
    let plan: Vec<_> = names.iter().enumerate().map(|(place, name)| (name.as_str(), of(place))).collect();
    let chain = create(&mut w, workflow(&plan)).tasks;
    w.attach("agent", 1);
    w.start_anew();
    let before = w.loads;
    for id in &chain {
        w.report(*id, Report::Accepted).unwrap();
        w.report(*id, Report::Completed { result: Arc::new(Payload::text("result")), digest: 0 }).unwrap();
        w.dispatch();
    }
    assert_eq!(w.state(chain[799]), StateName::Completed);
    let looks = w.loads - before;
    assert!(looks < 30, "{looks} looks into the store for 800 links");
}

/// One that is kept waits for a task that has ended since, and was forgotten: the store is asked again.
#[test]
fn edges_to_what_was_forgotten_are_not_followed_from_memory() {
    in_every_mode(|mut w| {
        let source = w.create(task("source"));
        let (gone, other) = (w.create(after(&[source])), w.create(after(&[source])));
        w.cancel(gone);
        w.tables.tasks.remove(&gone);
        w.tables.edges.retain(|_, edge| edge.target != gone);
        w.complete(source);
        assert_eq!(w.state(other), StateName::Ready);
        assert!(!w.task(source).releasing);
    });
}
