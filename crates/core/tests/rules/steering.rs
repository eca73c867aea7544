//! What owners do to tasks: hold, release, update, retry.

use crate::support::{in_every_mode, make::*};
use callboard_core::command::TaskUpdate;
use callboard_core::model::{NewDependency, OnFailure, Priority, Span, StateName, TaskId};
use callboard_core::{Command, Reason};
use uuid::Uuid;

fn hold(task: TaskId) -> Command {
    Command::HoldTask { task, reason: "not yet".into() }
}

fn update(task: TaskId, change: impl FnOnce(&mut TaskUpdate)) -> Command {
    let mut update = TaskUpdate::default();
    change(&mut update);
    Command::UpdateTask { task, update }
}

#[test]
fn a_held_task_is_not_given_out_until_it_is_released() {
    in_every_mode(|mut w| {
        let created_held = w.create(task_with("work", |new| new.hold = true));
        let held_later = w.create(task("work"));
        w.run(hold(held_later)).unwrap();
        w.attach("worker", 5);
        w.pass(Span::seconds(60));
        for id in [created_held, held_later] {
            assert_eq!(w.state(id), StateName::Waiting);
            w.run(Command::ReleaseTask { task: id }).unwrap();
            assert_eq!(w.state(id), StateName::Ready);
        }
        w.dispatch();
        assert_eq!(w.history(held_later), "created held released assigned");
    });
}

#[test]
fn holding_or_releasing_twice_changes_nothing() {
    in_every_mode(|mut w| {
        let id = w.create(task_with("work", |new| new.hold = true));
        let before = w.tables.clone();
        w.run(hold(id)).unwrap();
        assert!(w.tables == before);
        w.run(Command::ReleaseTask { task: id }).unwrap();
        let before = w.tables.clone();
        w.run(Command::ReleaseTask { task: id }).unwrap();
        assert!(w.tables == before);
    });
}

/// "Releasing a task that is not held is OK and changes nothing": also one that has ended.
#[test]
fn releasing_an_ended_task_changes_nothing() {
    in_every_mode(|mut w| {
        let id = w.create(task("work"));
        w.complete(id);
        let before = w.tables.clone();
        w.run(Command::ReleaseTask { task: id }).unwrap();
        assert!(w.tables == before);
    });
}

#[test]
fn what_an_agent_has_or_has_ended_can_not_be_held() {
    in_every_mode(|mut w| {
        w.attach("worker", 2);
        let (assigned, running) = (w.start(task("work")), w.run_task(task("work")));
        let ended = w.create(task("work"));
        w.complete(ended);
        for id in [assigned, running, ended] {
            assert_eq!(w.refused(hold(id)), Reason::TaskState);
        }
    });
}

#[test]
fn a_hold_keeps_the_other_waits() {
    in_every_mode(|mut w| {
        let source = w.create(task("source"));
        let id = w.create(task_with("work", |new| {
            new.dependencies = vec![NewDependency::on(source, OnFailure::Skip)];
            new.start_at = Some(second(30));
        }));
        w.run(hold(id)).unwrap();
        let waiting = w.waiting(id);
        assert!(waiting.held && waiting.unmet == 1 && waiting.not_before.is_some());
        w.run(Command::ReleaseTask { task: id }).unwrap();
        assert_eq!(w.waiting(id).reasons().len(), 2);
    });
}

#[test]
fn an_update_changes_what_it_names() {
    in_every_mode(|mut w| {
        let id = w.create(task("work"));
        let lane = w.lane_of(id);
        w.run(update(id, |u| {
            u.priority = Some(Priority::Urgent);
            u.tags = Some(["blue".to_owned()].into());
            u.deadline = Some(Some(second(500)));
        }))
        .unwrap();
        let spec = &w.task(id).spec;
        assert_eq!((spec.priority, spec.deadline), (Priority::Urgent, Some(second(500))));
        assert_eq!(w.lane_of(id), lane);
        w.run(update(id, |u| u.assignee = Some(Some("someone".into())))).unwrap();
        assert_ne!(w.lane_of(id), lane);
        w.run(update(id, |u| {
            u.assignee = Some(None);
            u.deadline = Some(None);
        }))
        .unwrap();
        assert_eq!((w.lane_of(id), w.task(id).spec.deadline), (lane, None));
        assert_eq!(w.history(id), "created updated updated updated");
        let before = w.tables.clone();
        w.run(update(id, |u| u.priority = Some(Priority::Urgent))).unwrap();
        assert!(w.tables == before, "nothing new changes nothing");
    });
}

#[test]
fn an_assignee_by_update_gets_the_task() {
    in_every_mode(|mut w| {
        w.attach("other", 1);
        let id = w.create(task_with("work", |new| new.spec.requirements.assignee = Some("nobody".into())));
        w.dispatch();
        assert_eq!(w.state(id), StateName::Ready);
        w.run(update(id, |u| u.assignee = Some(Some("other".into())))).unwrap();
        w.dispatch();
        assert_eq!(w.has(id).as_deref(), Some("other"));
        // Whoever has it keeps it for this attempt; the next goes to the new assignee.
        w.run(update(id, |u| u.assignee = Some(Some("third".into())))).unwrap();
        assert_eq!(w.has(id).as_deref(), Some("other"));
        w.attach("third", 1);
        w.report(id, rejected()).unwrap();
        w.dispatch();
        assert_eq!(w.has(id).as_deref(), Some("third"));
    });
}

#[test]
fn an_ended_task_can_not_be_updated() {
    in_every_mode(|mut w| {
        let id = w.create(task("work"));
        w.cancel(id);
        assert_eq!(w.refused(update(id, |u| u.priority = Some(Priority::Low))), Reason::TaskState);
    });
}

#[test]
fn what_does_not_exist_is_not_found() {
    in_every_mode(|mut w| {
        let id = TaskId(Uuid::from_u128(5));
        let commands = [
            hold(id),
            update(id, |_| {}),
            Command::ReleaseTask { task: id },
            Command::RetryTask { task: id },
            Command::CancelTask { task: id, reason: String::new() },
        ];
        for command in commands {
            assert_eq!(w.refused(command), Reason::TaskNotFound);
        }
    });
}

#[test]
fn only_what_ended_badly_can_be_retried() {
    in_every_mode(|mut w| {
        w.attach("worker", 2);
        let ready = w.create(task_with("work", |new| new.spec.requirements.role = Some("nobody".into())));
        let held = w.create(task_with("work", |new| new.hold = true));
        let (assigned, running) = (w.start(task("work")), w.run_task(task("work")));
        let completed = w.create(task_with("work", |new| new.spec.requirements.role = Some("nobody".into())));
        w.complete(completed);
        for id in [ready, held, assigned, running, completed] {
            assert_eq!(w.refused(Command::RetryTask { task: id }), Reason::TaskState);
        }
    });
}

#[test]
fn a_skipped_task_waits_for_its_dependencies_again() {
    in_every_mode(|mut w| {
        let (first, other) = (w.create(task("source")), w.create(task("source")));
        let target = w.create(after(&[first, other]));
        w.fail(first);
        assert_eq!(w.state(target), StateName::Skipped);
        assert_eq!(w.refused(Command::RetryTask { task: target }), Reason::TaskState);
        w.run(Command::RetryTask { task: first }).unwrap();
        w.run(Command::RetryTask { task: target }).unwrap();
        assert_eq!(w.waiting(target).unmet, 2);
        w.complete(other);
        w.complete(first);
        assert_eq!((w.state(target), w.task(target).run), (StateName::Ready, 2));
        assert_eq!(w.history(target), "created skipped run_opened dependency_met ready");
    });
}

#[test]
fn a_retried_task_whose_dependencies_are_done_is_ready() {
    in_every_mode(|mut w| {
        let source = w.create(task("source"));
        let target = w.create(after(&[source]));
        w.complete(source);
        w.cancel(target);
        w.run(Command::RetryTask { task: target }).unwrap();
        assert_eq!(w.state(target), StateName::Ready);
        assert_eq!(w.history(target), "created ready cancelled run_opened ready");
    });
}

#[test]
fn a_task_created_skipped_can_be_retried_when_its_dependency_is() {
    in_every_mode(|mut w| {
        let source = w.create(task("source"));
        w.fail(source);
        let target = w.create(after(&[source]));
        w.run(Command::RetryTask { task: source }).unwrap();
        w.run(Command::RetryTask { task: target }).unwrap();
        assert_eq!(w.waiting(target).unmet, 1);
        w.complete(source);
        assert_eq!(w.state(target), StateName::Ready);
    });
}

/// The edges of a task that is new in the same batch are not in the store yet: it looked as if it depended on nothing.
#[test]
fn a_batch_sees_the_dependencies_that_it_created() {
    in_every_mode(|mut w| {
        let source = w.create(task("source"));
        w.fail(source);
        let create = crate::support::envelope(Command::CreateTasks { tasks: vec![after(&[source])] });
        let target = crate::support::receipt(&w.decide(&create).unwrap()).task;
        let retry = w.decide(&crate::support::envelope(Command::RetryTask { task: target }));
        assert_eq!(retry.unwrap_err().reason, Reason::TaskState);
        w.commit();
        assert_eq!(w.state(target), StateName::Skipped);
    });
}
