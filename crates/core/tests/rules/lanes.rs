//! The number of lanes is limited, and idle ones make room.

use crate::support::{in_every_mode, make::*};
use callboard_core::command::TaskUpdate;
use callboard_core::model::{NamespaceSettings, StateName};
use callboard_core::{Command, Reason};

fn limited(lanes: u32) -> Command {
    Command::UpdateNamespace { settings: NamespaceSettings { max_lanes: lanes, ..NamespaceSettings::default() } }
}

fn create(task_type: &str) -> Command {
    Command::CreateTasks { tasks: vec![task(task_type)] }
}

#[test]
fn lanes_in_use_are_limited_and_idle_ones_make_room() {
    in_every_mode(|mut w| {
        w.run(limited(3)).unwrap();
        let first = w.create(task("a"));
        w.create(task("b"));
        w.create(task("c"));
        w.create(task("c"));
        assert_eq!(w.refused(create("d")), Reason::LimitReached);
        w.create(task("a"));
        w.complete(first);
        assert_eq!(w.refused(create("d")), Reason::LimitReached, "another task of the lane lives");
        let last = w.tables.live().find(|task| &*task.spec.task_type == "a").unwrap().id;
        w.complete(last);
        w.create(task("d"));
        assert_eq!(w.tables.lanes.len(), 3);
        assert_eq!(w.refused(create("a")), Reason::LimitReached);
    });
}

/// A retried task stayed in a lane that had made room for another, where no dispatch found it.
#[test]
fn a_retried_task_gets_its_lane_back() {
    in_every_mode(|mut w| {
        w.run(limited(1)).unwrap();
        let id = w.create(task("a"));
        w.cancel(id);
        let other = w.create(task("b"));
        assert_eq!(w.refused(Command::RetryTask { task: id }), Reason::LimitReached);
        w.complete(other);
        w.run(Command::RetryTask { task: id }).unwrap();
        assert!(w.tables.lanes.contains_key(&w.lane_of(id)));
        w.attach("worker", 1);
        assert_eq!(w.state(id), StateName::Assigned);
    });
}

/// With a limit below what is in use, one idle lane let a new one in.
#[test]
fn a_lowered_limit_holds() {
    in_every_mode(|mut w| {
        for task_type in ["a", "b", "c"] {
            w.create(task(task_type));
        }
        let idle = w.create(task("idle"));
        w.cancel(idle);
        w.run(limited(2)).unwrap();
        assert_eq!(w.refused(create("d")), Reason::LimitReached);
    });
}

#[test]
fn an_update_needs_room_too() {
    in_every_mode(|mut w| {
        w.run(limited(1)).unwrap();
        let id = w.create(task("a"));
        let update = TaskUpdate { assignee: Some(Some("someone".into())), ..TaskUpdate::default() };
        assert_eq!(w.refused(Command::UpdateTask { task: id, update }), Reason::LimitReached);
    });
}

#[test]
fn a_batch_that_moves_between_lanes_leaves_those_in_use() {
    in_every_mode(|mut w| {
        w.run(limited(1)).unwrap();
        let id = w.create(task("a"));
        let cancel = |task| crate::support::envelope(Command::CancelTask { task, reason: String::new() });
        let retry = |task| crate::support::envelope(Command::RetryTask { task });
        w.run_batch(&[cancel(id)]);
        // `b` takes the room of `a`, and gives it back.
        let b = w.decide(&crate::support::envelope(create("b"))).unwrap();
        let b = crate::support::receipt(&b).task;
        w.decide(&cancel(b)).unwrap();
        w.commit();
        w.run_batch(&[retry(id), retry(b)]);
        w.attach("worker", 1);
        assert_eq!(w.state(id), StateName::Assigned);
    });
}
