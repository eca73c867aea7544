//! Durable steps: what is recorded stays, counts for its run alone, and has limits.

use crate::support::{World, in_every_mode, make::*};
use callboard_core::command::{Report, Reporter};
use callboard_core::limits::{MAX_STEP_BYTES, MAX_STEPS};
use callboard_core::model::{EventKind, NewStep, Span, StateName, TaskId, TaskStep};
use callboard_core::{Command, Reason};
use serde::{Deserialize, Serialize};

fn steps(w: &World, id: TaskId) -> &[TaskStep] {
    let task = w.task(id);
    w.tables.steps.get(&(task.namespace, id, task.run)).map_or(&[], Vec::as_slice)
}

/// Names, ordinals and attempts of the run's steps.
fn told(w: &World, id: TaskId) -> Vec<(String, u32, u32)> {
    steps(w, id).iter().map(|step| (step.key.name.to_string(), step.ordinal, step.attempt)).collect()
}

fn record(w: &mut World, id: TaskId, new: NewStep) {
    assert_eq!(w.report(id, Report::Step(new)), Ok(StateName::Running));
}

fn refused(w: &mut World, id: TaskId, new: NewStep) -> Reason {
    let (fence, reporter) = (w.fence(id), w.holder(id));
    w.refused(Command::Report { fence, reporter, report: Report::Step(new) })
}

#[test]
fn a_step_is_recorded_and_told_in_the_history() {
    in_every_mode(|mut w| {
        w.attach("worker", 1);
        let id = w.start(task("work"));
        record(&mut w, id, step("fetch", 0, "page"));
        assert_eq!(w.history(id), "created assigned started step_recorded", "it implies acceptance");
        record(&mut w, id, step("fetch", 1, "next page"));
        record(&mut w, id, step("write", 0, ""));
        assert_eq!(told(&w, id), [("fetch".into(), 1, 1), ("fetch".into(), 2, 1), ("write".into(), 3, 1)]);
        assert_eq!(steps(&w, id)[2].bytes_so_far, 13);
        assert_eq!(w.events(id).len(), 6);
    });
}

#[test]
fn the_same_step_again_changes_nothing_and_another_result_is_refused() {
    in_every_mode(|mut w| {
        w.attach("worker", 1);
        let id = w.start(task("work"));
        record(&mut w, id, step("fetch", 0, "page"));
        record(&mut w, id, step("write", 0, "done"));
        let before = w.tables.clone();
        record(&mut w, id, step("fetch", 0, "page"));
        assert!(w.tables == before, "a repetition changes nothing");
        assert_eq!(refused(&mut w, id, step("fetch", 0, "another page")), Reason::StepExists);
        record(&mut w, id, step("fetch", 1, "another page"));
        assert_eq!(steps(&w, id).len(), 3);
    });
}

#[test]
fn steps_stay_for_later_attempts_and_what_they_recorded_can_not_be_recorded_otherwise() {
    in_every_mode(|mut w| {
        w.attach("worker", 1);
        let id = w.start(task("work"));
        assert!(w.task(id).is_first_attempt());
        record(&mut w, id, step("fetch", 0, "page"));
        w.report(id, failed("Flaky")).unwrap();
        w.pass_delay(id);
        assert_eq!(w.task(id).attempt, 2);
        assert!(!w.task(id).is_first_attempt(), "it is to be told what is recorded");
        assert_eq!(refused(&mut w, id, step("fetch", 0, "other")), Reason::StepExists);
        record(&mut w, id, step("fetch", 0, "page"));
        record(&mut w, id, step("write", 0, "done"));
        assert_eq!(told(&w, id), [("fetch".into(), 1, 1), ("write".into(), 2, 2)]);
    });
}

/// An attempt that is handed back may have recorded something, too.
#[test]
fn an_attempt_behind_one_that_was_handed_back_is_not_the_first() {
    in_every_mode(|mut w| {
        w.attach("worker", 1);
        let id = w.start(task("work"));
        record(&mut w, id, step("fetch", 0, "page"));
        w.report(id, rejected()).unwrap();
        w.dispatch();
        assert_eq!((w.task(id).attempt, w.task(id).attempts_used), (2, 0));
        assert!(!w.task(id).is_first_attempt());
    });
}

#[test]
fn a_new_run_begins_with_none() {
    in_every_mode(|mut w| {
        w.attach("worker", 1);
        let id = w.start(task_with("work", |new| new.spec.retry_policy.max_attempts = 1));
        record(&mut w, id, step("fetch", 0, "page"));
        w.report(id, failed("Broken")).unwrap();
        w.run(Command::RetryTask { task: id }).unwrap();
        w.dispatch();
        assert!(w.task(id).is_first_attempt());
        assert_eq!(steps(&w, id), []);
        record(&mut w, id, step("fetch", 0, "a newer page"));
        assert_eq!(told(&w, id), [("fetch".into(), 1, 2)]);
        let first = (w.task(id).namespace, id, 1);
        assert_eq!(w.tables.steps[&first].len(), 1, "those of the run before stay");
    });
}

#[test]
fn who_lost_the_lease_records_nothing() {
    in_every_mode(|mut w| {
        let old = w.attach("worker", 1);
        let id = w.run_task(task("work"));
        let fence = w.fence(id);
        w.end_session(&old);
        let reporter = Reporter::Session { agent: old.agent, epoch: old.epoch };
        let late = Command::Report { fence, reporter, report: Report::Step(step("fetch", 0, "page")) };
        assert_eq!(w.refused(late), Reason::StaleAttempt);
        assert_eq!(steps(&w, id), []);
    });
}

/// An agent that had no receipts repeats everything, also what came before the end of its attempt.
#[test]
fn behind_the_end_only_what_was_recorded_gets_its_receipt_again() {
    in_every_mode(|mut w| {
        w.attach("worker", 1);
        let id = w.start(task("work"));
        let (fence, reporter) = (w.fence(id), w.holder(id));
        record(&mut w, id, step("fetch", 0, "page"));
        w.report(id, completed("done")).unwrap();
        let before = w.tables.clone();
        assert_eq!(w.report_as(fence, reporter, Report::Step(step("fetch", 0, "page"))), Ok(StateName::Completed));
        assert!(w.tables == before);
        for never in [step("fetch", 0, "other"), step("write", 0, "done")] {
            assert_eq!(
                w.refused(Command::Report { fence, reporter, report: Report::Step(never) }),
                Reason::StaleAttempt
            );
        }
    });
}

#[test]
fn a_run_has_so_many_steps_and_no_more() {
    in_every_mode(|mut w| {
        w.attach("worker", 1);
        let id = w.start(task("work"));
        for n in 0..MAX_STEPS {
            record(&mut w, id, step("count", n, "x"));
        }
        assert_eq!(refused(&mut w, id, step("count", MAX_STEPS, "x")), Reason::LimitReached);
        record(&mut w, id, step("count", 0, "x"));
        assert_eq!(w.report(id, completed("done")), Ok(StateName::Completed), "the attempt goes on");
    });
}

#[test]
fn results_of_a_run_have_so_many_bytes_and_no_more() {
    in_every_mode(|mut w| {
        w.attach("worker", 1);
        let id = w.start(task("work"));
        let piece = "x".repeat(1 << 20);
        let fitting = u32::try_from(MAX_STEP_BYTES >> 20).unwrap();
        for n in 0..fitting {
            record(&mut w, id, step("load", n, &piece));
        }
        assert_eq!(refused(&mut w, id, step("load", fitting, "x")), Reason::LimitReached);
        record(&mut w, id, step("note", 0, ""));
        assert_eq!(steps(&w, id).len() as u32, fitting + 1);
    });
}

#[test]
fn a_heartbeat_records_all_of_its_steps_or_none() {
    in_every_mode(|mut w| {
        let id = w.create(task("work"));
        let fence = w.claim("claimer", 1, Span::seconds(60))[0];
        let beat =
            |steps| Command::Heartbeat { fence, lease: None, progress: None, checkpoint: None, steps, output: None };
        w.run(beat(vec![step("fetch", 0, "page"), step("fetch", 1, "next")])).unwrap();
        assert_eq!(told(&w, id), [("fetch".into(), 1, 1), ("fetch".into(), 2, 1)]);
        w.run(beat(vec![step("fetch", 0, "page"), step("write", 0, "done")])).unwrap();
        assert_eq!(steps(&w, id).len(), 3);
        let one_is_wrong = vec![step("more", 0, "1"), step("fetch", 1, "other")];
        assert_eq!(w.refused(beat(one_is_wrong)), Reason::StepExists);
        let twice = vec![step("more", 0, "1"), step("more", 0, "1")];
        w.run(beat(twice)).unwrap();
        assert_eq!(steps(&w, id).len(), 4);
    });
}

/// Silence of the handler is what a task's heartbeat timeout counts.
#[test]
fn a_step_is_heard() {
    in_every_mode(|mut w| {
        w.attach("worker", 1);
        let id = w.run_task(task_with("work", |new| new.spec.timeouts.heartbeat = Some(Span::seconds(10))));
        w.pass(Span::seconds(8));
        record(&mut w, id, step("fetch", 0, "page"));
        w.pass(Span::seconds(8));
        assert_eq!(w.state(id), StateName::Running);
    });
}

/// As a version before steps and children has it in rows.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
enum Before {
    Checkpointed,
}

#[test]
fn a_version_without_steps_and_children_reads_their_events_as_checkpoints() {
    let child = TaskId(uuid::Uuid::from_u128(7));
    for (step, child) in [(None, None), (Some(step("fetch", 2, "").key), None), (None, Some(child))] {
        let written = serde_json::to_string(&EventKind::Checkpointed { step, child }).unwrap();
        assert_eq!(serde_json::from_str::<Before>(&written).unwrap(), Before::Checkpointed, "{written}");
    }
    let before = serde_json::to_string(&Before::Checkpointed).unwrap();
    let read = serde_json::from_str::<EventKind>(&before).unwrap();
    assert_eq!(read, EventKind::Checkpointed { step: None, child: None });
}
