//! From creation to the end, and the history of it.

use crate::support::{World, in_every_mode, make::*, receipt};
use callboard_core::Command;
use callboard_core::Effect;
use callboard_core::command::Report;
use callboard_core::model::{Payload, Progress, Span, StateName};
use callboard_core::working_set::PayloadValue;
use std::sync::Arc;

#[test]
fn a_task_is_created_assigned_accepted_and_completed() {
    in_every_mode(|mut w| {
        let worker = w.attach("worker", 1);
        let id = w.create(task("work"));
        assert_eq!(w.state(id), StateName::Ready);
        w.dispatch();
        assert_eq!(w.state(id), StateName::Assigned);
        assert_eq!(w.has(id).as_deref(), Some("worker"));
        assert_eq!(w.report(id, Report::Accepted), Ok(StateName::Running));
        assert_eq!(w.report(id, completed("done")), Ok(StateName::Completed));
        assert_eq!(w.history(id), "created assigned started completed");
        let row = w.task(id);
        assert_eq!((row.run, row.attempt, row.attempts_used, row.has_checkpoint), (1, 1, 0, false));
        assert_eq!(row.state.ended_at(), Some(w.now));
        let result = w.tables.payloads[&(id, "result")].clone();
        assert_eq!(result, PayloadValue::Result(Arc::new(Payload::text("done"))));
        assert_eq!(w.tables.agents[&worker.agent].completed, 1);
    });
}

#[test]
fn any_report_but_a_rejection_implies_acceptance() {
    let reports = [
        Report::Progress(Progress { fraction: 0.5, phase: "executing".into(), message: "half".into() }),
        Report::Checkpoint(checkpoint("here")),
        completed("done"),
        failed("Broken"),
    ];
    in_every_mode(|mut w| {
        w.attach("worker", 10);
        for report in reports.clone() {
            let id = w.start(task("work"));
            w.report(id, report).unwrap();
            assert!(w.history(id).starts_with("created assigned started"), "{}", w.history(id));
            assert_eq!(w.task(id).started_at, Some(w.now));
        }
        let id = w.start(task("work"));
        w.report(id, rejected()).unwrap();
        assert_eq!(w.history(id), "created assigned handed_back ready");
        assert_eq!(w.task(id).started_at, None);
    });
}

#[test]
fn progress_is_kept_and_is_no_event() {
    in_every_mode(|mut w| {
        w.attach("worker", 1);
        let id = w.run_task(task("work"));
        let before = w.task(id).clone();
        let progress = Progress { fraction: 0.25, phase: "reasoning".into(), message: String::new() };
        w.report(id, Report::Progress(progress.clone())).unwrap();
        assert_eq!(w.task(id).progress, progress);
        assert_eq!(w.task(id).last_event, before.last_event);
        assert!(w.task(id).version > before.version);
    });
}

#[test]
fn a_checkpoint_is_kept_for_the_next_attempt() {
    in_every_mode(|mut w| {
        w.attach("worker", 1);
        let id = w.run_task(task("work"));
        w.report(id, Report::Checkpoint(checkpoint("one"))).unwrap();
        w.report(id, Report::Checkpoint(checkpoint("two"))).unwrap();
        w.report(id, failed("Flaky")).unwrap();
        w.pass(callboard_core::model::Span::seconds(2));
        assert_eq!(w.state(id), StateName::Assigned);
        assert!(w.task(id).has_checkpoint);
        let saved = PayloadValue::Checkpoint(Arc::new(Payload::text("two")));
        assert_eq!(w.tables.payloads[&(id, "checkpoint")], saved);
        let history =
            "created assigned started checkpointed checkpointed attempt_failed retry_scheduled ready assigned";
        assert_eq!(w.history(id), history);
    });
}

/// An agent that attached again before it had the receipt repeats it.
#[test]
fn the_same_checkpoint_again_is_no_second_event() {
    in_every_mode(|mut w| {
        w.attach("worker", 1);
        let id = w.start(task("work"));
        let again = |w: &mut World, text| {
            w.report(id, Report::Checkpoint(checkpoint(text))).unwrap();
            w.events(id).len()
        };
        let saved = again(&mut w, "one");
        assert_eq!(again(&mut w, "one"), saved);
        assert_eq!(w.history(id), "created assigned started checkpointed");
        assert_eq!(again(&mut w, "two"), saved + 1);
        assert_eq!(again(&mut w, "one"), saved + 2, "the handler went back");
        w.report(id, failed("Flaky")).unwrap();
        w.pass(Span::seconds(2));
        let before = w.events(id).len();
        w.report(id, Report::Accepted).unwrap();
        assert_eq!(again(&mut w, "one"), before + 2, "another attempt's is its own");
    });
}

/// It says nothing new, but its handler was heard.
#[test]
fn the_same_checkpoint_again_is_a_sign_of_life() {
    in_every_mode(|mut w| {
        w.attach("worker", 1);
        let mut new = task("work");
        new.spec.timeouts.heartbeat = Some(Span::seconds(10));
        let id = w.run_task(new);
        for _ in 0..3 {
            w.report(id, Report::Checkpoint(checkpoint("here"))).unwrap();
            w.pass(Span::seconds(6));
        }
        assert_eq!((w.state(id), w.task(id).attempt), (StateName::Running, 1));
    });
}

#[test]
fn an_end_is_told_with_its_result_and_versions() {
    in_every_mode(|mut w| {
        w.attach("worker", 1);
        let id = w.start(task("work"));
        w.take_effects();
        w.report(id, completed("done")).unwrap();
        let ended: Vec<_> = w.effects.iter().filter(|e| matches!(e, Effect::Ended { .. })).collect();
        let [Effect::Ended { task, result, failure }] = ended[..] else { panic!("one end: {ended:?}") };
        assert_eq!((task.id, task.version), (id, w.task(id).version));
        assert_eq!(result.as_deref(), Some(&Payload::text("done")));
        assert!(failure.is_none());
    });
}

#[test]
fn an_assignment_carries_the_version_of_the_row() {
    in_every_mode(|mut w| {
        w.attach("worker", 1);
        let id = w.start(task("work"));
        let assigned =
            w.effects.iter().find_map(|e| if let Effect::Assign { task, .. } = e { Some(task) } else { None });
        assert_eq!(assigned.map(|task| task.version), Some(w.task(id).version));
    });
}

#[test]
fn a_ready_task_can_be_completed_or_failed_by_anybody() {
    in_every_mode(|mut w| {
        let done = w.create(task("work"));
        w.complete(done);
        assert_eq!(w.history(done), "created assigned started completed");
        assert_eq!(w.task(done).agent_name.as_deref(), Some("passer-by"));
        let broken = w.create(task("work"));
        w.fail(broken);
        assert_eq!(w.history(broken), "created assigned started attempt_failed failed");
        assert!(w.tables.agents.is_empty(), "a passer-by is no agent");
    });
}

#[test]
fn only_a_task_that_nobody_has_can_be_ended_without_an_attempt() {
    in_every_mode(|mut w| {
        w.attach("worker", 1);
        let direct = |task| Command::DirectReport {
            task,
            agent: "passer-by".into(),
            report: callboard_core::command::DirectReport::Completed(Arc::new(Payload::text("mine"))),
        };
        let leased = w.start(task("work"));
        let held = w.create(task_with("work", |new| new.hold = true));
        let ended = w.create(task("work"));
        w.complete(ended);
        for id in [leased, held, ended] {
            assert_eq!(w.refused(direct(id)), callboard_core::Reason::TaskState);
        }
    });
}

#[test]
fn the_receipt_of_a_creation_is_the_row() {
    in_every_mode(|mut w| {
        let outcome = w.run(Command::CreateTasks { tasks: vec![task("work")] }).unwrap();
        let receipt = receipt(&outcome);
        let row = w.task(receipt.task);
        assert_eq!((receipt.state, receipt.run, receipt.version), (StateName::Ready, 1, row.version));
        assert!(!receipt.existing);
    });
}
