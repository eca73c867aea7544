//! Nothing stale has an effect, and the same report twice is one report.

use crate::support::{in_every_mode, make::*};
use callboard_core::command::{Fence, Report, Reporter};
use callboard_core::model::{LeaseToken, Progress, Span, StateName};
use callboard_core::{Command, Reason};

fn reports() -> [Report; 7] {
    [
        Report::Accepted,
        rejected(),
        Report::Progress(Progress::default()),
        Report::Checkpoint(checkpoint("here")),
        Report::Step(step("fetch", 0, "page")),
        completed("done"),
        failed("Broken"),
    ]
}

#[test]
fn a_report_that_is_not_the_holders_is_refused_and_changes_nothing() {
    in_every_mode(|mut w| {
        let first = w.attach("worker", 1);
        let id = w.run_task(task("work"));
        let old = w.fence(id);
        w.report(id, failed("Flaky")).unwrap();
        w.pass(Span::seconds(2));
        let other = w.attach("other", 1);
        let (current, holder) = (w.fence(id), w.holder(id));
        assert_eq!(current.attempt, 2);
        let wrong_token = Fence { token: LeaseToken(1), ..current };
        let future = Fence { attempt: 3, ..current };
        let stranger = Reporter::Session { agent: other.agent, epoch: other.epoch };
        let old_session = Reporter::Session { agent: first.agent, epoch: first.epoch - 1 };
        let next_session = Reporter::Session { agent: first.agent, epoch: first.epoch + 1 };
        let cases = [
            (Fence { token: LeaseToken(1), ..old }, holder, Reason::StaleAttempt),
            (future, holder, Reason::StaleAttempt),
            (wrong_token, holder, Reason::WrongLeaseToken),
            (wrong_token, Reporter::Token, Reason::WrongLeaseToken),
            (current, stranger, Reason::NotYourLease),
            (current, old_session, Reason::StaleSession),
            (current, next_session, Reason::StaleSession),
        ];
        for (fence, reporter, reason) in cases {
            for report in reports() {
                assert_eq!(w.refused(Command::Report { fence, reporter, report }), reason);
            }
        }
        let beat = |fence| Command::Heartbeat {
            fence,
            lease: None,
            progress: None,
            checkpoint: None,
            steps: Vec::new(),
            output: None,
        };
        assert_eq!(w.refused(beat(old)), Reason::StaleAttempt);
        assert_eq!(w.refused(beat(wrong_token)), Reason::WrongLeaseToken);
        assert_eq!(w.refused(beat(current)), Reason::AgentState, "a stream keeps its own lease");
        // A late failure with other words is another report.
        let late = Command::Report { fence: old, reporter: holder, report: failed("Other") };
        assert_eq!(w.refused(late), Reason::StaleAttempt);
    });
}

#[test]
fn a_superseded_session_is_deaf() {
    in_every_mode(|mut w| {
        let old = w.attach("worker", 1);
        let id = w.run_task(task("work"));
        let fence = w.fence(id);
        let hello = Hello { held: vec![fence], previous_epoch: 1, ..Hello::new("worker", profile(1)) };
        let new = w.hello(hello).unwrap();
        let reporter = Reporter::Session { agent: old.agent, epoch: old.epoch };
        for report in reports() {
            assert_eq!(w.refused(Command::Report { fence, reporter, report }), Reason::StaleSession);
        }
        let reporter = Reporter::Session { agent: new.agent, epoch: new.epoch };
        assert_eq!(w.report_as(fence, reporter, completed("done")), Ok(StateName::Completed));
    });
}

#[test]
fn the_same_report_twice_gets_the_same_receipt() {
    for last in [completed("done"), failed("Broken"), rejected()] {
        in_every_mode(|mut w| {
            w.attach("worker", 1);
            let id = w.start(task_with("work", |new| new.spec.retry_policy.max_attempts = 1));
            let (fence, holder) = (w.fence(id), w.holder(id));
            let receipt = w.report_as(fence, holder, last.clone());
            assert!(receipt.is_ok());
            let before = w.tables.clone();
            for _ in 0..2 {
                assert_eq!(w.report_as(fence, holder, last.clone()), receipt);
            }
            assert!(w.tables == before, "a repetition changes nothing");
        });
    }
}

/// An agent that had no receipts repeats everything in its old order, also what came before the end of its attempt.
#[test]
fn what_came_before_the_end_gets_its_receipt_again() {
    in_every_mode(|mut w| {
        w.attach("worker", 1);
        let id = w.start(task("work"));
        let (fence, holder) = (w.fence(id), w.holder(id));
        let said = [Report::Accepted, Report::Checkpoint(checkpoint("half")), completed("done")];
        for report in &said {
            w.report_as(fence, holder, report.clone()).unwrap();
        }
        let before = w.tables.clone();
        let back = w.attach("worker", 1);
        let again = Reporter::Session { agent: back.agent, epoch: back.epoch };
        for report in &said {
            assert_eq!(w.report_as(fence, again, report.clone()), Ok(StateName::Completed), "{report:?}");
        }
        assert_eq!((&w.tables.tasks, &w.tables.events), (&before.tasks, &before.events));
    });
}

#[test]
fn a_repetition_is_known_while_the_next_attempt_runs() {
    in_every_mode(|mut w| {
        w.attach("worker", 1);
        let id = w.start(task("work"));
        let (fence, holder) = (w.fence(id), w.holder(id));
        w.report_as(fence, holder, failed("Flaky")).unwrap();
        w.pass(Span::seconds(2));
        let before = w.tables.clone();
        assert!(w.report_as(fence, holder, failed("Flaky")).is_ok());
        assert!(w.tables == before);
        assert_eq!(w.task(id).attempt, 2);
    });
}

#[test]
fn a_token_is_enough_for_a_unary_call() {
    in_every_mode(|mut w| {
        let id = w.create(task("work"));
        let fence = w.claim("claimer", 1, Span::seconds(60))[0];
        assert_eq!(fence, w.fence(id));
        assert_eq!(w.report_as(fence, Reporter::Token, completed("done")), Ok(StateName::Completed));
        assert_eq!(w.agent("claimer").completed, 1);
    });
}
