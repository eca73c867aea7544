//! Output of attempts: what was given is there once, in its order, and has limits.

use crate::support::{World, in_every_mode, make::*};
use callboard_core::command::{Report, Reporter};
use callboard_core::limits::{MAX_OUTPUT_BYTES, MAX_OUTPUT_CHUNKS};
use callboard_core::model::{OutputBatch, OutputChunk, Payload, Span, StateName, TaskId};
use callboard_core::{Command, Reason};
use std::sync::Arc;

fn chunks(w: &World, id: TaskId) -> &[OutputChunk] {
    let task = w.task(id);
    w.tables.output.get(&(task.namespace, id, task.run)).map_or(&[], Vec::as_slice)
}

/// Offsets, texts and attempts of the run's output.
fn told(w: &World, id: TaskId) -> Vec<(u64, String, u32)> {
    let text = |chunk: &OutputChunk| String::from_utf8_lossy(chunk.data.content.bytes()).into_owned();
    chunks(w, id).iter().map(|chunk| (chunk.offset, text(chunk), chunk.attempt)).collect()
}

fn give(w: &mut World, id: TaskId, batch: OutputBatch) {
    assert_eq!(w.report(id, Report::Output(batch)), Ok(StateName::Running));
}

fn refused(w: &mut World, id: TaskId, batch: OutputBatch) -> Reason {
    let (fence, reporter) = (w.fence(id), w.holder(id));
    w.refused(Command::Report { fence, reporter, report: Report::Output(batch) })
}

#[test]
fn output_is_there_in_its_order_and_costs_the_task_nothing() {
    in_every_mode(|mut w| {
        w.attach("worker", 1);
        let id = w.start(task("work"));
        give(&mut w, id, output(0, &["Once", " upon"]));
        assert_eq!(w.history(id), "created assigned started", "it implies acceptance, and is no event");
        let version = w.task(id).version;
        give(&mut w, id, output(9, &[" a time"]));
        assert_eq!(told(&w, id), [(0, "Once".into(), 1), (4, " upon".into(), 1), (9, " a time".into(), 1)]);
        assert_eq!(w.task(id).version, version, "the task's row is not written");
    });
}

#[test]
fn what_was_given_before_is_not_added_again() {
    in_every_mode(|mut w| {
        w.attach("worker", 1);
        let id = w.start(task("work"));
        give(&mut w, id, output(0, &["abc", "de"]));
        let before = w.tables.clone();
        for again in [output(0, &["abc", "de"]), output(0, &["abc"]), output(3, &["de"]), output(0, &["ab", "cde"])] {
            give(&mut w, id, again);
            assert!(w.tables == before, "a repetition changes nothing");
        }
        give(&mut w, id, output(3, &["de", "f"]));
        assert_eq!(told(&w, id), [(0, "abc".into(), 1), (3, "de".into(), 1), (5, "f".into(), 1)]);
    });
}

#[test]
fn a_gap_and_a_chunk_cut_in_the_middle_are_refused() {
    in_every_mode(|mut w| {
        w.attach("worker", 1);
        let id = w.start(task("work"));
        give(&mut w, id, output(0, &["abc"]));
        for wrong in [output(4, &["e"]), output(u64::MAX, &["e"]), output(0, &["abcd"]), output(2, &["cd", "e"])] {
            assert_eq!(refused(&mut w, id, wrong), Reason::InvalidField);
        }
        let (fence, reporter) = (w.fence(id), w.holder(id));
        let gap = Command::Report { fence, reporter, report: Report::Output(output(4, &["e"])) };
        let rejection = w.run(gap).unwrap_err();
        assert!(rejection.message.contains("output.offset: is 4, and the attempt gave 3 bytes"), "{rejection}");
        assert_eq!(told(&w, id), [(0, "abc".into(), 1)]);
    });
}

#[test]
fn each_attempt_counts_its_own_bytes_and_the_run_goes_on() {
    in_every_mode(|mut w| {
        w.attach("worker", 1);
        let id = w.start(task("work"));
        give(&mut w, id, output(0, &["abc"]));
        w.report(id, failed("Flaky")).unwrap();
        w.pass_delay(id);
        give(&mut w, id, output(0, &["xy"]));
        give(&mut w, id, output(2, &["z"]));
        assert_eq!(told(&w, id), [(0, "abc".into(), 1), (3, "xy".into(), 2), (5, "z".into(), 2)]);
    });
}

#[test]
fn a_new_run_begins_with_none() {
    in_every_mode(|mut w| {
        w.attach("worker", 1);
        let id = w.start(task_with("work", |new| new.spec.retry_policy.max_attempts = 1));
        give(&mut w, id, output(0, &["abc"]));
        w.report(id, failed("Broken")).unwrap();
        w.run(Command::RetryTask { task: id }).unwrap();
        w.dispatch();
        assert_eq!(told(&w, id), []);
        give(&mut w, id, output(0, &["anew"]));
        assert_eq!(told(&w, id), [(0, "anew".into(), 2)]);
        let first = (w.task(id).namespace, id, 1);
        assert_eq!(w.tables.output[&first].len(), 1, "that of the run before stays");
    });
}

#[test]
fn who_lost_the_lease_gives_nothing() {
    in_every_mode(|mut w| {
        let old = w.attach("worker", 1);
        let id = w.run_task(task("work"));
        let fence = w.fence(id);
        w.end_session(&old);
        let reporter = Reporter::Session { agent: old.agent, epoch: old.epoch };
        let late = Command::Report { fence, reporter, report: Report::Output(output(0, &["late"])) };
        assert_eq!(w.refused(late), Reason::StaleAttempt);
        assert_eq!(told(&w, id), []);
    });
}

/// An agent that had no receipts repeats everything, also what came before the end of its attempt.
#[test]
fn behind_the_end_only_what_was_given_gets_its_receipt_again() {
    in_every_mode(|mut w| {
        w.attach("worker", 1);
        let id = w.start(task("work"));
        let (fence, reporter) = (w.fence(id), w.holder(id));
        give(&mut w, id, output(0, &["abc", "de"]));
        w.report(id, completed("done")).unwrap();
        let before = w.tables.clone();
        let repeated = Report::Output(output(3, &["de"]));
        assert_eq!(w.report_as(fence, reporter, repeated), Ok(StateName::Completed));
        assert!(w.tables == before);
        let never = Report::Output(output(5, &["f"]));
        assert_eq!(w.refused(Command::Report { fence, reporter, report: never }), Reason::StaleAttempt);
    });
}

#[test]
fn output_of_a_run_has_so_many_bytes_and_no_more_over_its_attempts() {
    in_every_mode(|mut w| {
        w.attach("worker", 1);
        let id = w.start(task("work"));
        let piece = "x".repeat(1 << 20);
        let half = MAX_OUTPUT_BYTES >> 21;
        for n in 0..half {
            give(&mut w, id, output(n << 20, &[&piece]));
        }
        w.report(id, failed("Flaky")).unwrap();
        w.pass_delay(id);
        for n in 0..half {
            give(&mut w, id, output(n << 20, &[&piece]));
        }
        assert_eq!(refused(&mut w, id, output(half << 20, &["x"])), Reason::LimitReached);
        give(&mut w, id, output((half - 1) << 20, &[&piece]));
        assert_eq!(w.report(id, completed("done")), Ok(StateName::Completed), "the attempt goes on");
    });
}

#[test]
fn output_of_a_run_has_so_many_chunks_and_no_more() {
    in_every_mode(|mut w| {
        w.attach("worker", 1);
        let id = w.start(task("work"));
        let letter = Arc::new(Payload::text("x"));
        let letters = |offset, count| OutputBatch { offset, chunks: vec![letter.clone(); count] };
        for n in 0..u64::from(MAX_OUTPUT_CHUNKS / 1_000) {
            give(&mut w, id, letters(n * 1_000, 1_000));
        }
        let all = u64::from(MAX_OUTPUT_CHUNKS);
        assert_eq!(refused(&mut w, id, letters(all, 1)), Reason::LimitReached);
        give(&mut w, id, letters(all - 10, 10));
        assert_eq!(chunks(&w, id).len() as u64, all);
    });
}

#[test]
fn a_heartbeat_gives_all_of_its_output_with_all_else_or_nothing() {
    in_every_mode(|mut w| {
        let id = w.create(task("work"));
        let fence = w.claim("claimer", 1, Span::seconds(60))[0];
        let beat = |steps, output| Command::Heartbeat {
            fence,
            lease: None,
            progress: None,
            checkpoint: None,
            steps,
            output: Some(output),
        };
        w.run(beat(vec![step("fetch", 0, "page")], output(0, &["abc"]))).unwrap();
        let before = w.tables.clone();
        assert_eq!(w.refused(beat(vec![step("fetch", 0, "other")], output(3, &["de"]))), Reason::StepExists);
        assert_eq!(w.refused(beat(vec![step("write", 0, "")], output(4, &["e"]))), Reason::InvalidField);
        assert!(w.tables == before);
        w.run(beat(Vec::new(), output(0, &["abc", "de"]))).unwrap();
        assert_eq!(told(&w, id), [(0, "abc".into(), 1), (3, "de".into(), 1)]);
    });
}

/// Silence of the handler is what a task's heartbeat timeout counts.
#[test]
fn output_is_heard() {
    in_every_mode(|mut w| {
        w.attach("worker", 1);
        let id = w.run_task(task_with("work", |new| new.spec.timeouts.heartbeat = Some(Span::seconds(10))));
        w.pass(Span::seconds(8));
        give(&mut w, id, output(0, &["abc"]));
        w.pass(Span::seconds(8));
        assert_eq!(w.state(id), StateName::Running);
        give(&mut w, id, output(0, &["abc"]));
        w.pass(Span::seconds(8));
        assert_ne!(w.state(id), StateName::Running, "a repetition says nothing of the handler");
    });
}

#[test]
fn a_handler_that_is_told_to_stop_may_still_say_something() {
    in_every_mode(|mut w| {
        w.attach("worker", 1);
        let id = w.run_task(task("work"));
        w.cancel(id);
        give(&mut w, id, output(0, &["stopping"]));
        assert_eq!(told(&w, id).len(), 1);
    });
}
