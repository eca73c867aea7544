//! What follows a failed, lost or handed-back attempt.

use crate::support::{in_every_mode, make::*};
use callboard_core::command::Report;
use callboard_core::model::{Failure, NotBefore, Span, StateName};
use callboard_core::{Command, Reason};

#[test]
fn a_failed_attempt_is_followed_by_another_after_a_growing_delay() {
    in_every_mode(|mut w| {
        w.attach("worker", 1);
        let id = w.start(task("work"));
        for (attempt, at_most) in [(1, 1), (2, 2)] {
            assert_eq!(w.task(id).attempt, attempt);
            assert_eq!(w.report(id, failed("Flaky")), Ok(StateName::Waiting));
            let Some(NotBefore::Retry(at)) = w.waiting(id).not_before else { panic!("a delay") };
            let delay = at.since(w.now);
            assert!(delay <= Span::seconds(at_most) && delay >= Span::millis(at_most * 800), "{delay:?}");
            w.pass(Span(delay.0 - 1));
            assert_eq!(w.state(id), StateName::Waiting);
            w.pass(Span(1));
            assert_eq!(w.state(id), StateName::Assigned);
        }
        assert_eq!(w.report(id, failed("Flaky")), Ok(StateName::Failed));
        assert_eq!(w.task(id).attempts_used, 3);
        assert_eq!(w.failure(id), "Flaky");
        assert_eq!(w.agent("worker").failed, 3);
    });
}

#[test]
fn a_failure_can_ask_for_a_longer_delay_but_not_for_a_shorter() {
    for (asked, at_least) in [(30, 30_000), (0, 800)] {
        in_every_mode(|mut w| {
            w.attach("worker", 1);
            let id = w.start(task("work"));
            let failure = Failure { retry_after: Some(Span::seconds(asked)), ..failure("Busy") };
            w.report(id, failed_with(failure)).unwrap();
            let at = w.waiting(id).not_before.expect("a delay").at();
            assert!(at.since(w.now) >= Span::millis(at_least));
        });
    }
}

#[test]
fn some_failures_are_final() {
    in_every_mode(|mut w| {
        w.attach("worker", 2);
        let said = w.start(task("work"));
        w.report(said, failed_with(Failure { retryable: false, ..failure("Broken") })).unwrap();
        let listed = w.start(task_with("work", |new| {
            new.spec.retry_policy.non_retryable_types = ["Broken".to_owned()].into();
        }));
        w.report(listed, failed("Broken")).unwrap();
        assert_eq!((w.state(said), w.state(listed)), (StateName::Failed, StateName::Failed));
        assert_eq!(w.task(said).attempts_used, 1);
    });
}

#[test]
fn one_attempt_can_be_all() {
    in_every_mode(|mut w| {
        w.attach("worker", 1);
        let id = w.start(task_with("work", |new| new.spec.retry_policy.max_attempts = 1));
        assert_eq!(w.report(id, failed("Flaky")), Ok(StateName::Failed));
        // A single loss is no poison.
        let lost = w.run_task(task_with("work", |new| new.spec.retry_policy.max_attempts = 1));
        w.attach("worker", 1);
        assert_eq!((w.state(lost), w.failure(lost).as_str()), (StateName::Failed, "callboard.lease_lost"));
    });
}

#[test]
fn a_lost_attempt_counts_and_is_followed_at_once() {
    in_every_mode(|mut w| {
        let first = w.attach("worker", 1);
        let id = w.run_task(task("work"));
        w.end_session(&first);
        assert_eq!(w.state(id), StateName::Ready);
        assert_eq!((w.task(id).attempts_used, w.task(id).lost_in_row), (1, 1));
        assert_eq!(w.failure(id), "callboard.lease_lost");
        assert_eq!(w.history(id), "created assigned started attempt_lost ready");
        w.attach("worker", 1);
        assert_eq!((w.state(id), w.task(id).attempt), (StateName::Assigned, 2));
    });
}

#[test]
fn an_attempt_that_was_never_accepted_does_not_count() {
    in_every_mode(|mut w| {
        let first = w.attach("worker", 1);
        let id = w.start(task("work"));
        w.end_session(&first);
        assert_eq!((w.state(id), w.task(id).attempts_used), (StateName::Ready, 0));
        assert_eq!(w.agent("worker").failed, 0);
    });
}

#[test]
fn a_task_that_kills_its_agents_is_given_up() {
    for (max_attempts, losses) in [(3, 3), (1_000, 5), (2, 2)] {
        in_every_mode(|mut w| {
            let id = w.create(task_with("work", |new| new.spec.retry_policy.max_attempts = max_attempts));
            for _ in 0..losses {
                assert_eq!(w.state(id), StateName::Ready);
                let session = w.attach("worker", 1);
                w.report(id, Report::Accepted).unwrap();
                w.end_session(&session);
            }
            assert_eq!((w.state(id), w.failure(id).as_str()), (StateName::Failed, "callboard.poisoned"));
        });
    }
}

#[test]
fn a_task_that_kills_its_agents_before_they_accept_is_given_up() {
    in_every_mode(|mut w| {
        let id = w.create(task("work"));
        for _ in 0..5 {
            let session = w.attach("worker", 1);
            assert_eq!(w.state(id), StateName::Assigned);
            w.end_session(&session);
            w.pass_delay(id);
        }
        assert_eq!((w.state(id), w.failure(id).as_str()), (StateName::Failed, "callboard.poisoned"));
        assert_eq!(w.task(id).attempts_used, 0);
    });
}

#[test]
fn assignments_that_never_came_are_no_poison() {
    in_every_mode(|mut w| {
        let id = w.create(task("work"));
        w.attach("worker", 1);
        for _ in 0..8 {
            w.pass_delay(id);
            w.dispatch();
            assert_eq!(w.state(id), StateName::Assigned);
            // The same process, which never heard of it.
            w.attach("worker", 1);
        }
        assert_eq!((w.task(id).attempts_used, w.task(id).lost_in_row), (0, 0));
    });
}

#[test]
fn a_loss_between_failures_is_no_poison() {
    in_every_mode(|mut w| {
        let id = w.create(task_with("work", |new| new.spec.retry_policy.max_attempts = 100));
        for _ in 0..8 {
            let session = w.attach("worker", 1);
            w.report(id, Report::Accepted).unwrap();
            w.end_session(&session);
            let session = w.attach("worker", 1);
            w.report(id, failed("Flaky")).unwrap();
            w.end_session(&session);
            w.pass_delay(id);
        }
        w.attach("worker", 1);
        assert_eq!((w.task(id).attempts_used, w.state(id)), (16, StateName::Assigned));
    });
}

#[test]
fn a_hand_back_does_not_count_and_goes_to_another() {
    in_every_mode(|mut w| {
        w.attach("first", 1);
        let id = w.run_task(task("work"));
        w.report(id, rejected()).unwrap();
        assert_eq!((w.state(id), w.task(id).attempts_used, w.task(id).handed_back), (StateName::Ready, 0, 1));
        w.attach("second", 1);
        w.dispatch();
        assert_eq!(w.has(id).as_deref(), Some("second"));
        assert_eq!(w.agent("first").failed, 0);
    });
}

#[test]
fn a_hand_back_without_another_agent_is_slowed_down() {
    in_every_mode(|mut w| {
        w.attach("only", 1);
        let id = w.start(task("work"));
        w.report(id, rejected()).unwrap();
        w.dispatch();
        assert_eq!(w.has(id).as_deref(), Some("only"));
        assert_eq!(w.report(id, rejected()), Ok(StateName::Waiting));
        assert_eq!(w.task(id).attempts_used, 0);
    });
}

#[test]
fn a_hundred_hand_backs_are_enough() {
    in_every_mode(|mut w| {
        w.attach("only", 1);
        let id = w.start(task("work"));
        for _ in 0..99 {
            w.report(id, rejected()).unwrap();
            w.pass_delay(id);
        }
        assert_eq!(w.report(id, rejected()), Ok(StateName::Failed));
        assert_eq!(w.failure(id), "callboard.handed_back_too_often");
        assert_eq!(w.task(id).attempt, 100);
    });
}

#[test]
fn the_next_run_begins_anew_but_for_the_numbers() {
    in_every_mode(|mut w| {
        w.attach("worker", 1);
        let id = w.start(task_with("work", |new| new.spec.retry_policy.max_attempts = 1));
        w.report(id, failed("Flaky")).unwrap();
        w.run(Command::RetryTask { task: id }).unwrap();
        w.dispatch();
        let row = w.task(id);
        assert_eq!((row.run, row.attempt, row.attempts_used, row.lost_in_row, row.handed_back), (2, 2, 0, 0, 0));
        assert_eq!(row.run_opened_at, w.now);
        w.report(id, completed("done")).unwrap();
        assert_eq!(w.refused(Command::RetryTask { task: id }), Reason::TaskState);
        let history = "created assigned started attempt_failed failed run_opened ready assigned started completed";
        assert_eq!(w.history(id), history);
    });
}
