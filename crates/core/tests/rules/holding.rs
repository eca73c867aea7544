//! Workflows that are held and released.

use crate::support::flows::*;
use crate::support::{World, in_every_mode, make::*};
use callboard_core::command::Report;
use callboard_core::model::{Errand, StateName, WorkflowState};
use callboard_core::{Command, Reason, Reply};

fn hold(w: &mut World, created: &Created) {
    w.run(Command::HoldWorkflow { workflow: created.id, reason: "look first".into() }).unwrap();
}

fn release(w: &mut World, created: &Created) {
    w.run(Command::ReleaseWorkflow { workflow: created.id }).unwrap();
}

#[test]
fn a_hold_keeps_what_no_agent_has_until_the_release() {
    in_every_mode(|mut w| {
        w.settings.release_step = 2;
        let created =
            create(&mut w, workflow(&[("runs", &[]), ("ready", &[]), ("waits", &[("runs", COMPLETED)]), ("own", &[])]));
        let [runs, ready, waits, own] = created.tasks[..] else { panic!("four tasks") };
        w.run(Command::HoldTask { task: ready, reason: String::new() }).unwrap();
        w.run(Command::HoldTask { task: own, reason: String::new() }).unwrap();
        w.attach("worker", 1);
        w.dispatch();
        w.report(runs, Report::Accepted).unwrap();
        w.run(Command::ReleaseTask { task: ready }).unwrap();
        let fence = w.fence(runs);
        let reply = w.run(Command::CreateChild { fence, child: Box::new(new_child("part", 0, task("part"))) }).unwrap();
        let Reply::Tasks(child) = reply.reply else { panic!("a child is answered by its receipt") };

        hold(&mut w, &created);
        assert_eq!(row(&w, &created).walk.map(|walk| (walk.errand, walk.next)), Some((Errand::Hold, 2)));
        walk_to_the_end(&mut w, &created);
        assert_eq!(w.state(runs), StateName::Running);
        assert_eq!(w.state(child[0].task), StateName::Ready, "a child goes on with its parent");
        assert!([ready, waits, own].iter().all(|id| w.waiting(*id).held));
        assert!(w.history(ready).ends_with(&w.history(waits)[w.history(waits).rfind(' ').unwrap()..]));
        let added = add(&mut w, &created, added(&[("more", &[])])).unwrap()[0];
        assert!(w.waiting(added).held, "what is added is held, too");
        let before = w.tables.clone();
        hold(&mut w, &created);
        assert!(w.tables == before, "once more changes nothing");

        w.complete(child[0].task);
        w.report(runs, completed("done")).unwrap();
        w.settle();
        assert_eq!((w.waiting(waits).unmet, w.waiting(waits).held), (0, true));
        release(&mut w, &created);
        walk_to_the_end(&mut w, &created);
        assert_eq!(row(&w, &created).held, None);
        assert!([ready, waits, own, added].iter().all(|id| w.state(*id) == StateName::Ready));
        let before = w.tables.clone();
        release(&mut w, &created);
        assert!(w.tables == before, "once more changes nothing");
    });
}

#[test]
fn a_release_of_what_is_not_held_leaves_tasks_that_are_held_by_themselves() {
    in_every_mode(|mut w| {
        let created = create(&mut w, workflow(&[("a", &[])]));
        w.run(Command::HoldTask { task: created.tasks[0], reason: String::new() }).unwrap();
        release(&mut w, &created);
        assert!(w.waiting(created.tasks[0]).held);
    });
}

#[test]
fn a_hold_and_a_release_replace_each_other_on_their_way() {
    in_every_mode(|mut w| {
        w.settings.release_step = 1;
        let created = create(&mut w, workflow(&[("a", &[]), ("b", &[]), ("c", &[])]));
        hold(&mut w, &created);
        release(&mut w, &created);
        walk_to_the_end(&mut w, &created);
        assert!(created.tasks.iter().all(|id| w.state(*id) == StateName::Ready));
        hold(&mut w, &created);
        walk_to_the_end(&mut w, &created);
        release(&mut w, &created);
        hold(&mut w, &created);
        walk_to_the_end(&mut w, &created);
        assert!(created.tasks.iter().all(|id| w.waiting(*id).held));
    });
}

#[test]
fn what_lives_again_in_a_held_workflow_is_held() {
    in_every_mode(|mut w| {
        let created = create(&mut w, workflow(&[("broken", &[]), ("cancelled", &[]), ("lives", &[])]));
        let [broken, cancelled, _] = created.tasks[..] else { panic!("three tasks") };
        w.fail(broken);
        w.cancel(cancelled);
        hold(&mut w, &created);
        w.run(Command::RetryTask { task: cancelled }).unwrap();
        w.run(Command::RetryWorkflow { workflow: created.id }).unwrap();
        walk_to_the_end(&mut w, &created);
        assert!(w.waiting(cancelled).held && w.waiting(broken).held);
        release(&mut w, &created);
        walk_to_the_end(&mut w, &created);
        assert!(created.tasks.iter().all(|id| w.state(*id) == StateName::Ready));
    });
}

#[test]
fn an_end_and_a_cancellation_take_the_hold_back() {
    in_every_mode(|mut w| {
        w.settings.release_step = 1;
        let created = create(&mut w, workflow(&[("a", &[]), ("b", &[])]));
        hold(&mut w, &created);
        w.run(Command::CancelWorkflow { workflow: created.id, reason: String::new() }).unwrap();
        walk_to_the_end(&mut w, &created);
        let ended = row(&w, &created);
        assert_eq!((ended.state(), ended.held), (WorkflowState::Cancelled, None));
        let hold_it = || Command::HoldWorkflow { workflow: created.id, reason: String::new() };
        assert_eq!(w.refused(hold_it()), Reason::WorkflowState);
        release(&mut w, &created);

        let created = create(&mut w, workflow(&[("a", &[]), ("b", &[])]));
        hold(&mut w, &created);
        w.cancel(created.tasks[0]);
        w.cancel(created.tasks[1]);
        let ended = row(&w, &created);
        assert_eq!((ended.state(), ended.held, ended.walk), (WorkflowState::Failed, None, None));
        w.run(Command::RetryWorkflow { workflow: created.id }).unwrap();
        walk_to_the_end(&mut w, &created);
        assert!(created.tasks.iter().all(|id| w.state(*id) == StateName::Ready));
    });
}

#[test]
fn one_walk_does_not_lose_what_another_has_still_to_reach() {
    in_every_mode(|mut w| {
        w.settings.release_step = 1;
        let created = create(&mut w, workflow(&[("broken", &[]), ("b", &[]), ("c", &[])]));
        w.fail(created.tasks[0]);
        hold(&mut w, &created);
        let retry = || Command::RetryWorkflow { workflow: created.id };
        assert_eq!(w.refused(retry()), Reason::WorkflowState);
        walk_to_the_end(&mut w, &created);
        w.run(retry()).unwrap();
        assert_eq!(w.refused(Command::ReleaseWorkflow { workflow: created.id }), Reason::WorkflowState);
        walk_to_the_end(&mut w, &created);
        assert!(created.tasks.iter().all(|id| w.waiting(*id).held));
        release(&mut w, &created);
        assert_eq!(w.refused(Command::RetryWorkflow { workflow: created.id }), Reason::WorkflowState);
    });
}

#[test]
fn a_hold_is_refused_while_a_server_would_not_know_it() {
    in_every_mode(|mut w| {
        let created = create(&mut w, workflow(&[("a", &[])]));
        w.all_current = false;
        let hold_it = Command::HoldWorkflow { workflow: created.id, reason: String::new() };
        assert_eq!(w.refused(hold_it), Reason::UpgradeUnfinished);
    });
}
