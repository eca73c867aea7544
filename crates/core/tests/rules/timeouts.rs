//! The four timeouts, the deadline, and the time in which nobody's silence counts.

use crate::support::{World, in_every_mode, make::*};
use callboard_core::command::{Report, StopReason};
use callboard_core::model::{NewTask, Progress, Span, StateName, TaskId};
use callboard_core::{Command, Effect, Reason};

fn timed(change: impl FnOnce(&mut callboard_core::model::Timeouts)) -> NewTask {
    task_with("work", |new| change(&mut new.spec.timeouts))
}

fn timed_out(w: &World, id: TaskId) -> bool {
    w.effects.iter().any(|e| matches!(e, Effect::Stop { fence, reason: StopReason::TimedOut, .. } if fence.task == id))
}

#[test]
fn a_task_that_nobody_begins_fails() {
    in_every_mode(|mut w| {
        let id = w.create(timed(|t| t.schedule_to_start = Some(Span::seconds(5))));
        w.pass(Span(4_999_999));
        assert_eq!(w.state(id), StateName::Ready);
        w.pass(Span(1));
        assert_eq!((w.state(id), w.failure(id).as_str()), (StateName::Failed, "callboard.schedule_to_start_timeout"));
    });
}

#[test]
fn an_assignment_alone_is_no_beginning() {
    in_every_mode(|mut w| {
        w.attach("worker", 1);
        let id = w.start(timed(|t| t.schedule_to_start = Some(Span::seconds(5))));
        assert_eq!(w.state(id), StateName::Assigned);
        w.pass(Span::seconds(5));
        assert_eq!(w.failure(id), "callboard.schedule_to_start_timeout");
        assert!(timed_out(&w, id));
        let begun = w.run_task(timed(|t| t.schedule_to_start = Some(Span::seconds(5))));
        w.pass(Span::seconds(60));
        assert_eq!(w.state(begun), StateName::Running);
    });
}

#[test]
fn an_attempt_that_takes_too_long_is_retried() {
    in_every_mode(|mut w| {
        w.attach("worker", 1);
        let id = w.run_task(timed(|t| t.start_to_close = Span::seconds(20)));
        let (fence, holder) = (w.fence(id), w.holder(id));
        w.pass(Span(19_999_999));
        assert_eq!(w.state(id), StateName::Running);
        w.pass(Span(1));
        assert_eq!((w.state(id), w.task(id).attempts_used), (StateName::Waiting, 1));
        assert_eq!(w.failure(id), "callboard.start_to_close_timeout");
        assert!(timed_out(&w, id));
        assert_eq!(w.report_as(fence, holder, completed("late")).unwrap_err().reason, Reason::StaleAttempt);
        assert_eq!(w.agent("worker").failed, 1);
    });
}

/// `start_to_close` counts from the assignment: a claim that says nothing, or an assignment that is slow to be accepted, had none.
#[test]
fn an_attempt_that_was_not_accepted_times_out_too() {
    in_every_mode(|mut w| {
        let id = w.create(timed(|t| t.start_to_close = Span::seconds(20)));
        w.claim("claimer", 1, Span::seconds(3_600));
        w.pass(Span::seconds(20));
        assert_eq!((w.state(id), w.failure(id).as_str()), (StateName::Waiting, "callboard.start_to_close_timeout"));
    });
    in_every_mode(|mut w| {
        w.attach("worker", 1);
        let id = w.start(timed(|t| t.start_to_close = Span::seconds(2)));
        w.pass(Span::seconds(2));
        assert_eq!((w.state(id), w.task(id).attempts_used), (StateName::Waiting, 1));
    });
}

#[test]
fn an_assignment_that_is_not_accepted_goes_to_another() {
    in_every_mode(|mut w| {
        w.attach("deaf", 1);
        let id = w.start(task("work"));
        w.attach("keen", 1);
        w.pass(Span::seconds(10));
        assert_eq!(w.has(id).as_deref(), Some("keen"));
        assert_eq!((w.task(id).attempts_used, w.task(id).attempt), (0, 2));
        assert_eq!(w.history(id), "created assigned handed_back ready assigned");
    });
}

#[test]
fn a_run_that_takes_too_long_fails_and_the_next_has_its_own_time() {
    in_every_mode(|mut w| {
        w.attach("worker", 1);
        let id = w.run_task(timed(|t| t.schedule_to_close = Some(Span::seconds(30))));
        w.pass(Span::seconds(30));
        assert_eq!((w.state(id), w.failure(id).as_str()), (StateName::Failed, "callboard.schedule_to_close_timeout"));
        assert!(timed_out(&w, id));
        w.run(Command::RetryTask { task: id }).unwrap();
        w.dispatch();
        w.report(id, Report::Accepted).unwrap();
        w.pass(Span::seconds(29));
        assert_eq!(w.state(id), StateName::Running);
        w.pass(Span::seconds(1));
        assert_eq!(w.state(id), StateName::Failed);
    });
}

#[test]
fn a_deadline_ends_a_task_in_every_live_state() {
    in_every_mode(|mut w| {
        let due = |new: &mut NewTask| new.spec.deadline = Some(second(60));
        let running = w.create(task_with("run", due));
        w.attach_with("runner", profile_for(&["run"], 1));
        w.report(running, Report::Accepted).unwrap();
        let ready = w.create(task_with("work", due));
        let held = w.create(task_with("work", |new| {
            new.hold = true;
            due(new);
        }));
        w.now = second(55);
        let assigned = w.create(task_with("assign", due));
        w.attach_with("assignee", profile_for(&["assign"], 1));
        assert_eq!(w.state(assigned), StateName::Assigned);
        w.now = second(60);
        w.wake_due();
        for id in [running, ready, held, assigned] {
            assert_eq!((w.state(id), w.failure(id).as_str()), (StateName::Failed, "callboard.deadline_exceeded"));
        }
        assert_eq!(w.refused(Command::RetryTask { task: ready }), Reason::TaskState);
    });
}

#[test]
fn a_silent_handler_is_timed_out_and_a_talking_one_is_not() {
    in_every_mode(|mut w| {
        w.attach("worker", 2);
        let silent = w.run_task(timed(|t| t.heartbeat = Some(Span::seconds(10))));
        let talking = w.run_task(timed(|t| t.heartbeat = Some(Span::seconds(10))));
        for _ in 0..5 {
            w.pass(Span::seconds(9));
            w.report(talking, Report::Progress(Progress::default())).unwrap();
        }
        assert_eq!(w.state(talking), StateName::Running);
        assert!(w.history(silent).contains("attempt_timed_out"));
        assert_eq!(w.failure(silent), "callboard.heartbeat_timeout");
    });
}

#[test]
fn nobodys_silence_counts_before_we_listened_long_enough() {
    in_every_mode(|mut w| {
        let session = w.attach("worker", 3);
        let silent = w.run_task(timed(|t| t.heartbeat = Some(Span::seconds(10))));
        let long = w.run_task(timed(|t| t.start_to_close = Span::seconds(20)));
        let unaccepted = w.start(task("work"));
        let claimed = w.create(task("claim"));
        w.claim("claimer", 1, Span::seconds(15));
        // We were away for a minute.
        w.sleep(Span::seconds(60));
        w.grace_until = w.now + Span::seconds(30);
        w.pass(Span(29_999_999));
        for id in [silent, long, unaccepted, claimed] {
            assert!(w.has(id).is_some(), "{}", w.history(id));
        }
        // What had been done all the while is taken.
        assert_eq!(w.report(long, completed("done")), Ok(StateName::Completed));
        w.pass(Span(1));
        for id in [silent, unaccepted, claimed] {
            assert_eq!(w.task(id).attempt, if w.has(id).is_some() { 2 } else { 1 }, "{}", w.history(id));
            assert!(
                w.history(id).contains("attempt_timed_out") || w.history(id).contains("ready"),
                "{}",
                w.history(id)
            );
        }
        assert_eq!(w.agent("worker").epoch, session.epoch);
    });
}

/// While its agent is away, a handler can't be heard: what it missed to say then is not held against it.
#[test]
fn an_agent_that_comes_back_has_a_whole_heartbeat_again() {
    in_every_mode(|mut w| {
        let session = w.attach("worker", 1);
        let id = w.run_task(timed(|t| t.heartbeat = Some(Span::seconds(60))));
        w.break_session(&session);
        w.sleep(Span::seconds(100));
        w.grace_until = w.now + Span::seconds(30);
        w.sleep(Span::seconds(1));
        let held = vec![w.fence(id)];
        w.hello(Hello { held, previous_epoch: 1, ..Hello::new("worker", profile(1)) }).unwrap();
        w.pass(Span::seconds(59));
        assert_eq!(w.state(id), StateName::Running, "{}", w.history(id));
        w.pass(Span::seconds(1));
        assert_eq!(w.failure(id), "callboard.heartbeat_timeout");
    });
}

#[test]
fn a_start_time_is_waited_for() {
    in_every_mode(|mut w| {
        let id = w.create(at(second(60)));
        w.pass(Span(59_999_999));
        assert_eq!(w.state(id), StateName::Waiting);
        w.pass(Span(1));
        assert_eq!(w.history(id), "created ready");
        let past = w.create(at(second(1)));
        assert_eq!(w.state(past), StateName::Ready);
    });
}

#[test]
fn a_wake_too_early_or_for_nothing_is_harmless() {
    in_every_mode(|mut w| {
        w.attach("worker", 1);
        let id = w.run_task(task("work"));
        let ended = w.create(task("work"));
        w.complete(ended);
        let before = w.tables.clone();
        for task in [id, ended, TaskId(uuid::Uuid::from_u128(9))] {
            w.run(Command::Wake { task }).unwrap();
        }
        assert!(w.tables == before);
    });
}
