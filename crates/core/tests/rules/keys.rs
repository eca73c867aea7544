//! A caller's own id for a task, and what becomes of a second task under it.

use crate::support::{in_every_mode, make::*};
use callboard_core::command::StopReason;
use callboard_core::model::{KeyConflict, NewTask, StateName};
use callboard_core::{Command, Effect, Reason, Reply};

fn keyed(policy: KeyConflict) -> NewTask {
    task_with("work", |new| {
        new.spec.key = Some("mine".into());
        new.on_key_conflict = policy;
    })
}

#[test]
fn the_existing_task_is_the_answer() {
    in_every_mode(|mut w| {
        let first = w.create(keyed(KeyConflict::UseExisting));
        let before = w.tables.clone();
        let second = w.try_create(keyed(KeyConflict::UseExisting)).unwrap();
        assert_eq!((second.task, second.existing), (first, true));
        assert!(w.tables == before, "nothing is created");
    });
}

#[test]
fn a_conflict_can_be_refused() {
    in_every_mode(|mut w| {
        w.create(keyed(KeyConflict::Fail));
        assert_eq!(w.refused(Command::CreateTasks { tasks: vec![keyed(KeyConflict::Fail)] }), Reason::KeyExists);
        // Also half-way: all or none.
        let tasks = vec![task("other"), keyed(KeyConflict::Fail)];
        assert_eq!(w.refused(Command::CreateTasks { tasks }), Reason::KeyExists);
    });
}

#[test]
fn a_new_task_can_replace_one_in_any_live_state() {
    in_every_mode(|mut w| {
        w.attach("worker", 1);
        let running = w.run_task(keyed(KeyConflict::Fail));
        let fence = w.fence(running);
        let holder = w.holder(running);
        w.take_effects();
        let ready = w.create(keyed(KeyConflict::Replace));
        assert_eq!((w.state(running), w.state(ready)), (StateName::Cancelled, StateName::Ready));
        let told =
            |e: &Effect| matches!(e, Effect::Stop { fence: f, reason: StopReason::LeaseLost, .. } if *f == fence);
        assert!(w.effects.iter().any(told), "its agent is told to stop");
        assert_eq!(w.report_as(fence, holder, completed("late")).unwrap_err().reason, Reason::StaleAttempt);
        let third = w.create(keyed(KeyConflict::Replace));
        assert_eq!((w.state(ready), w.state(third)), (StateName::Cancelled, StateName::Ready));
        // The key is the newest one's.
        assert_eq!(w.try_create(keyed(KeyConflict::UseExisting)).unwrap().task, third);
    });
}

#[test]
fn an_end_frees_the_key() {
    in_every_mode(|mut w| {
        let first = w.create(keyed(KeyConflict::Fail));
        w.complete(first);
        let second = w.create(keyed(KeyConflict::Fail));
        assert_ne!(first, second);
    });
}

#[test]
fn a_retried_task_needs_its_key_again() {
    in_every_mode(|mut w| {
        let first = w.create(keyed(KeyConflict::Fail));
        w.fail(first);
        let second = w.create(keyed(KeyConflict::Fail));
        assert_eq!(w.refused(Command::RetryTask { task: first }), Reason::KeyExists);
        w.cancel(second);
        w.run(Command::RetryTask { task: first }).unwrap();
        assert_eq!(w.try_create(keyed(KeyConflict::UseExisting)).unwrap().task, first);
    });
}

#[test]
fn a_batch_sees_its_own_keys() {
    in_every_mode(|mut w| {
        let tasks = vec![keyed(KeyConflict::UseExisting), keyed(KeyConflict::UseExisting)];
        let outcome = w.run(Command::CreateTasks { tasks }).unwrap();
        let Reply::Tasks(receipts) = outcome.reply else { panic!("receipts") };
        assert_eq!(receipts[0].task, receipts[1].task);
        assert_eq!(w.tables.tasks.len(), 1);
        let tasks = vec![keyed(KeyConflict::Replace), keyed(KeyConflict::Replace)];
        w.run(Command::CreateTasks { tasks }).unwrap();
        assert_eq!(w.tables.live().count(), 1);
    });
}

#[test]
fn keys_of_namespaces_do_not_meet() {
    in_every_mode(|mut w| {
        let settings = Default::default();
        w.run_as(crate::support::in_namespace("other", Command::CreateNamespace { settings })).unwrap();
        w.create(keyed(KeyConflict::Fail));
        let tasks = vec![keyed(KeyConflict::Fail)];
        w.run_as(crate::support::in_namespace("other", Command::CreateTasks { tasks })).unwrap();
        assert_eq!(w.tables.live().count(), 2);
    });
}
