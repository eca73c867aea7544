//! Several commands in one commit: each sees what those before it did, and the store is told the end, not the detours.

use crate::support::{Mode, World, envelope, in_every_mode, make::*, receipt};
use callboard_core::command::DirectReport;
use callboard_core::model::{Failure, KeyConflict, Payload, StateName, TaskId};
use callboard_core::{Command, Envelope};
use std::sync::Arc;

fn retry(task: TaskId) -> Envelope {
    envelope(Command::RetryTask { task })
}

fn end(task: TaskId, report: DirectReport) -> Envelope {
    envelope(Command::DirectReport { task, agent: "passer-by".into(), report })
}

fn complete(task: TaskId) -> Envelope {
    end(task, DirectReport::Completed(Arc::default()))
}

fn fail(task: TaskId) -> Envelope {
    end(task, DirectReport::Failed(Arc::new(Failure { retryable: false, ..failure("Broken") })))
}

fn pending(w: &World) -> usize {
    w.tables.edges.values().filter(|edge| !edge.resolved).count()
}

/// Each load is a trip to a store that others write to: first the namespace, and then all that is known to be needed.
#[test]
fn what_new_tasks_need_is_loaded_in_one_go() {
    let mut w = World::new(Mode::Shared);
    let keyed = || {
        task_with("a", |new| {
            new.spec.key = Some("mine".into());
            new.on_key_conflict = KeyConflict::UseExisting;
        })
    };
    w.create(keyed());
    let source = w.create(task("source"));
    let create = envelope(Command::CreateTasks { tasks: vec![keyed(), after(&[source]), task("b")] });
    let before = w.loads;
    w.run_batch(&[create]).remove(0).unwrap();
    assert_eq!(w.loads - before, 2);
}

#[test]
fn an_edge_that_is_resolved_and_reopened_waits() {
    in_every_mode(|mut w| {
        let source = w.create(task("source"));
        let target = w.create(after(&[source]));
        let results = w.run_batch(&[fail(source), retry(source), retry(target)]);
        assert!(results.iter().all(Result::is_ok));
        assert_eq!((w.waiting(target).unmet, pending(&w)), (1, 1));
        w.run_batch(&[complete(source)]);
        assert_eq!((w.state(target), pending(&w)), (StateName::Ready, 0));
    });
}

#[test]
fn an_edge_that_is_reopened_and_resolved_is_resolved() {
    in_every_mode(|mut w| {
        let source = w.create(task("source"));
        let target = w.create(after(&[source]));
        let results = w.run_batch(&[fail(source), retry(source), retry(target), complete(source), complete(target)]);
        assert!(results.iter().all(Result::is_ok));
        assert_eq!((w.state(target), pending(&w)), (StateName::Completed, 0));
    });
}

#[test]
fn a_refused_retry_leaves_the_edges_as_they_were() {
    in_every_mode(|mut w| {
        let (live, broken) = (w.create(task("source")), w.create(task("source")));
        w.fail(broken);
        let create = envelope(Command::CreateTasks { tasks: vec![after(&[live, broken])] });
        let target = receipt(&w.decide(&create).unwrap()).task;
        assert!(w.decide(&retry(target)).is_err());
        w.decide(&complete(live)).unwrap();
        w.commit();
        assert_eq!((w.state(target), pending(&w)), (StateName::Skipped, 0));
        assert!(!w.task(live).releasing);
    });
}

#[test]
fn what_stands_beside_a_small_input_counts_for_what_memory_keeps() {
    let mut w = World::new(Mode::Exclusive);
    let metadata = [("trace".to_owned(), "x".repeat(16_000))].into();
    let input = Arc::new(Payload { metadata, ..Payload::text("") });
    let task = w.create(task_with("index", |new| new.input = input));
    assert!(w.keeps_within(32_000, task));
    assert!(!w.keeps_within(16_000, task));
}
