//! Cancelling is durable intent: the outcome is CANCELLED whatever still arrives.

use crate::support::{World, in_every_mode, make::*};
use callboard_core::command::{Report, StopReason};
use callboard_core::model::{Failure, Progress, Span, StateName, TaskId};
use callboard_core::{Command, Effect, Reason};

fn stops(w: &mut World, id: TaskId) -> Vec<StopReason> {
    let stop = |e| match e {
        Effect::Stop { fence, reason, .. } if fence.task == id => Some(reason),
        _ => None,
    };
    w.take_effects().into_iter().filter_map(stop).collect()
}

/// A task that runs, and was told to stop.
fn cancelling(w: &mut World) -> TaskId {
    w.attach("worker", 1);
    let id = w.run_task(task("work"));
    w.take_effects();
    w.cancel(id);
    id
}

#[test]
fn what_had_not_started_ends_at_once() {
    in_every_mode(|mut w| {
        let waiting = w.create(task_with("work", |new| new.hold = true));
        let ready = w.create(task_with("work", |new| new.spec.requirements.role = Some("nobody".into())));
        w.attach("worker", 1);
        let assigned = w.start(task("work"));
        w.take_effects();
        for id in [waiting, ready, assigned] {
            w.cancel(id);
            assert_eq!(w.state(id), StateName::Cancelled);
            assert!(w.history(id).ends_with("cancelled"));
        }
        assert_eq!(stops(&mut w, assigned), [StopReason::LeaseLost]);
    });
}

#[test]
fn a_running_handler_is_asked_to_stop() {
    in_every_mode(|mut w| {
        let id = cancelling(&mut w);
        assert_eq!(w.state(id), StateName::Running);
        assert_eq!(stops(&mut w, id), [StopReason::Requested]);
        let before = w.tables.clone();
        w.cancel(id);
        assert!(w.tables == before, "a second cancellation changes nothing");
        assert!(stops(&mut w, id).is_empty());
    });
}

#[test]
fn the_outcome_is_cancelled_whatever_arrives() {
    let reports = [
        completed("done"),
        failed("callboard.cancelled"),
        failed_with(Failure { retryable: false, ..failure("Broken") }),
        rejected(),
    ];
    for report in reports {
        in_every_mode(|mut w| {
            let id = cancelling(&mut w);
            assert_eq!(w.report(id, report.clone()), Ok(StateName::Cancelled));
            assert!(!w.tables.payloads.contains_key(&(id, "result")));
            assert!(w.history(id).ends_with("cancelled"));
        });
    }
}

#[test]
fn a_loss_or_a_timeout_ends_it_cancelled_too() {
    in_every_mode(|mut w| {
        let id = cancelling(&mut w);
        w.attach("worker", 1);
        assert_eq!(w.state(id), StateName::Cancelled);
    });
    in_every_mode(|mut w| {
        w.attach("worker", 1);
        let id = w.run_task(task_with("work", |new| new.spec.timeouts.start_to_close = Span::seconds(5)));
        w.cancel(id);
        w.pass(Span::seconds(5));
        assert_eq!(w.state(id), StateName::Cancelled);
    });
    in_every_mode(|mut w| {
        w.attach("worker", 1);
        let id = w.run_task(task_with("work", |new| new.spec.deadline = Some(second(5))));
        w.cancel(id);
        w.pass(Span::seconds(5));
        assert_eq!(w.state(id), StateName::Cancelled);
    });
}

#[test]
fn the_handler_may_go_on_talking_but_not_for_longer() {
    in_every_mode(|mut w| {
        let id = cancelling(&mut w);
        w.take_effects();
        let fence = w.fence(id);
        let holder = w.holder(id);
        w.pass(Span::seconds(15));
        w.report(id, Report::Progress(Progress::default())).unwrap();
        w.report(id, Report::Checkpoint(checkpoint("half"))).unwrap();
        w.pass(Span(14_999_999));
        assert_eq!(w.state(id), StateName::Running);
        w.pass(Span(1));
        assert_eq!(w.state(id), StateName::Cancelled);
        assert_eq!(stops(&mut w, id), [StopReason::LeaseLost]);
        assert_eq!(w.report_as(fence, holder, completed("late")).unwrap_err().reason, Reason::StaleAttempt);
    });
}

#[test]
fn an_agent_that_comes_back_keeps_the_attempt_to_end_it() {
    in_every_mode(|mut w| {
        let id = cancelling(&mut w);
        let held = vec![w.fence(id)];
        w.take_effects();
        let back = w.hello(Hello { held: held.clone(), previous_epoch: 1, ..Hello::new("worker", profile(1)) });
        assert_eq!(back.unwrap().held, held);
        assert_eq!(stops(&mut w, id), [StopReason::Requested], "it is told what it missed");
        assert_eq!(w.report(id, completed("done")), Ok(StateName::Cancelled));
    });
}

#[test]
fn cancelling_what_has_ended_changes_nothing() {
    in_every_mode(|mut w| {
        let (done, broken, gone) = (w.create(task("work")), w.create(task("work")), w.create(task("work")));
        let skipped = w.create(after(&[broken]));
        w.complete(done);
        w.fail(broken);
        w.cancel(gone);
        let before = w.tables.clone();
        for id in [done, broken, gone, skipped] {
            w.run(Command::CancelTask { task: id, reason: String::new() }).unwrap();
        }
        assert!(w.tables == before);
    });
}

#[test]
fn a_cancelled_claim_hears_of_it_by_its_heartbeat() {
    in_every_mode(|mut w| {
        let id = w.create(task("work"));
        let fence = w.claim("claimer", 1, Span::seconds(60))[0];
        let beat = Command::Heartbeat {
            fence,
            lease: None,
            progress: None,
            checkpoint: None,
            steps: Vec::new(),
            output: None,
        };
        w.run(beat.clone()).unwrap();
        w.cancel(id);
        let reply = w.run(beat).unwrap().reply;
        let callboard_core::Reply::Extended { cancel_requested, .. } = reply else { panic!("an extension") };
        assert!(cancel_requested);
    });
}
