//! Output of attempts.

use super::samples::*;
use callboard_core::model::{Content, Event, OutputChunk, OutputTotals, Payload, StateName, Task};
use callboard_core::working_set::{ChangeSet, RunRef, Want};
use callboard_store::{Cursor, Error};
use std::sync::Arc;

fn run(n: u32, run: u32) -> RunRef {
    (NAMESPACE, task_id(n), run)
}

/// Output of a run that one attempt gave.
pub fn given((namespace, task, run): RunRef, texts: &[&str]) -> Vec<OutputChunk> {
    let mut offset = 0;
    let chunk = |(ordinal, text): (u32, &&str)| {
        let start = offset;
        offset += text.len() as u64;
        OutputChunk {
            namespace,
            task,
            run,
            offset: start,
            ordinal,
            attempt: 1,
            attempt_bytes: offset,
            given_at: at(i64::from(ordinal)),
            data: Arc::new(Payload::text(text)),
        }
    };
    (1..).zip(texts).map(chunk).collect()
}

fn output(output: Vec<OutputChunk>) -> ChangeSet {
    ChangeSet { output, ..ChangeSet::default() }
}

async fn all(fixture: &Fixture, run: RunRef) -> Vec<OutputChunk> {
    fixture.store.output(run, 0, 100_000, 1 << 30).await.unwrap().chunks
}

async fn wanted(fixture: &Fixture, runs: &[RunRef]) -> Vec<(RunRef, OutputTotals)> {
    fixture.load(Want { output: runs.iter().copied().collect(), ..Want::default() }).await.output
}

/// Whatever a chunk holds comes back as it was.
pub async fn every_field_of_a_chunk(fixture: Fixture) {
    let metadata = [(TEXT.to_owned(), TEXT.to_owned())].into();
    let payloads = [
        Payload::text(TEXT),
        Payload { content_type: TEXT.into(), metadata, content: Content::Binary(vec![0, 255, 10].into()) },
        Payload::text(&"x".repeat(64 << 10)),
    ];
    let mut rows = given(run(1, u32::MAX), &["", "", ""]);
    let mut offset = 0;
    for (row, data) in rows.iter_mut().zip(payloads) {
        let size = data.len() as u64;
        let (attempt, attempt_bytes) = (u32::MAX, (1 << 40) + size);
        *row = OutputChunk { offset, attempt, attempt_bytes, data: Arc::new(data), ..row.clone() };
        offset += size;
    }
    fixture.save(new_tasks(&[task(1)])).await;
    fixture.save(output(rows.clone())).await;
    assert!(all(&fixture, run(1, u32::MAX)).await == rows);
    let totals = OutputTotals { bytes: offset, chunks: 3, attempt: u32::MAX, attempt_bytes: (1 << 40) + (64 << 10) };
    assert_eq!(wanted(&fixture, &[run(1, u32::MAX)]).await, [(run(1, u32::MAX), totals)]);
}

/// What the output of runs has come to, of several tasks and runs in one go.
pub async fn what_output_of_runs_has_come_to(fixture: Fixture) {
    fixture.save(new_tasks(&[task(1), task(2)])).await;
    fixture.save(output([given(run(1, 1), &["a", "bc"]), given(run(2, 1), &["d"])].concat())).await;
    let second =
        OutputChunk { offset: 3, ordinal: 3, attempt: 2, attempt_bytes: 1, ..given(run(1, 1), &["e"])[0].clone() };
    fixture.save(output(vec![second])).await;
    let totals =
        |run, bytes, chunks, attempt, attempt_bytes| (run, OutputTotals { bytes, chunks, attempt, attempt_bytes });
    let found = wanted(&fixture, &[run(1, 1), run(1, 2), run(2, 1), run(3, 1)]).await;
    assert_eq!(found, [totals(run(1, 1), 4, 3, 2, 1), totals(run(2, 1), 1, 1, 1, 1)]);
}

/// In pages that begin at a byte, in a chunk or between two, and end by number or by bytes; the first chunk is always given.
pub async fn pages_of_output(fixture: Fixture) {
    // They begin at 0, 4, 6, 8 and 16.
    let rows = given(run(1, 1), &["aaaa", "bb", "cc", "dddddddd", "e"]);
    fixture.save(new_tasks(&[task(1)])).await;
    fixture.save(output(rows.clone())).await;
    for (offset, limit, bytes, expected) in [
        (0, 10, 100, 0..5),
        (0, 2, 100, 0..2),
        (4, 10, 100, 1..5),
        (5, 10, 100, 1..5),
        (3, 1, 100, 0..1),
        (6, 2, 100, 2..4),
        (0, 10, 6, 0..2),
        (0, 10, 7, 0..2),
        (0, 10, 0, 0..1),
        (8, 10, 1, 3..4),
        (15, 10, 1, 3..4),
        (16, 10, 1, 4..5),
    ] {
        let page = fixture.store.output(run(1, 1), offset, limit, bytes).await.unwrap();
        assert!(page.chunks == rows[expected.clone()], "{offset} {limit} {bytes}: {page:?}");
        assert_eq!(page.bytes, 17);
    }
    for (of, offset) in [(run(1, 1), 17), (run(1, 1), u64::MAX), (run(1, 2), 0), (run(2, 1), 0)] {
        let page = fixture.store.output(of, offset, 10, usize::MAX).await.unwrap();
        assert_eq!((page.chunks.len(), page.bytes), (0, 0), "{of:?} {offset}");
    }
}

/// A place is taken once; and what is refused changes nothing.
pub async fn a_byte_is_given_once(fixture: Fixture) {
    fixture.save(new_tasks(&[task(1)])).await;
    let rows = given(run(1, 1), &["a"]);
    fixture.save(output(rows.clone())).await;
    let refused = fixture.try_save(output(given(run(1, 1), &["b"]))).await.unwrap_err();
    assert!(matches!(refused, Error::Conflict(_) | Error::Data(_)), "{refused:?}");
    assert!(all(&fixture, run(1, 1)).await == rows);
    fixture.save(output(given(run(1, 2), &["a"]))).await;
}

/// What was given up is not there, and may be given then.
pub async fn output_that_was_rolled_back_is_gone(fixture: Fixture) {
    fixture.save(new_tasks(&[task(1)])).await;
    let rows = given(run(1, 1), &["a", "b"]);
    let mut transaction = fixture.store.begin().await.unwrap();
    transaction.save(&output(rows.clone()), &fixture.settings).await.unwrap();
    let want = Want { output: [run(1, 1)].into(), ..Want::default() };
    assert_eq!(transaction.load(&want).await.unwrap().output.len(), 1, "it sees what it saved");
    transaction.roll_back().await;
    assert!(all(&fixture, run(1, 1)).await.is_empty());
    assert!(wanted(&fixture, &[run(1, 1)]).await.is_empty());
    fixture.save(output(rows.clone())).await;
    assert!(all(&fixture, run(1, 1)).await == rows);
}

/// With other changes or alone, few or more than a statement takes, of many runs.
pub async fn a_thousand_chunks_in_one_save(fixture: Fixture) {
    let tasks: Vec<Task> = (1..=10).map(task).collect();
    let texts = vec!["x"; 100];
    let rows: Vec<OutputChunk> = (1..=10).flat_map(|n| given(run(n, 1), &texts)).collect();
    fixture.save(ChangeSet { output: rows, ..new_tasks(&tasks) }).await;
    for few in 1..10 {
        fixture.save(output(given(run(1, 1 + few as u32), &texts[..few]))).await;
        assert_eq!(all(&fixture, run(1, 1 + few as u32)).await.len(), few);
    }
    let runs: Vec<_> = (1..=10).map(|n| run(n, 1)).collect();
    let found = wanted(&fixture, &runs).await;
    assert_eq!(found.len(), 10);
    assert!(found.iter().all(|(_, totals)| (totals.chunks, totals.bytes) == (100, 100)));
}

/// It goes with its task, however much it is, and no other does.
pub async fn output_goes_with_its_task(fixture: Fixture) {
    for n in [1, 2, 3] {
        let ended = Task { state: completed(10), ..task(n) };
        let event = Event { at: at(10), state: StateName::Completed, ..event(n, 1) };
        fixture.save(ChangeSet { events: vec![event], ..new_tasks(&[ended]) }).await;
    }
    let many = vec!["x"; 2_500];
    fixture.save(output([given(run(1, 1), &many), given(run(1, 2), &["a"])].concat())).await;
    fixture.save(output([given(run(2, 1), &["b"]), given(run(3, 1), &["c"])].concat())).await;
    let (mut left, mut rounds) = (vec![(NAMESPACE, task_id(1)), (NAMESPACE, task_id(2))], 0);
    while !left.is_empty() {
        left = fixture.store.forget_tasks(&left, at(20)).await.unwrap().left;
        rounds += 1;
        assert!(rounds < 20, "it comes to an end");
    }
    for (of, expected) in [(run(1, 1), 0), (run(1, 2), 0), (run(2, 1), 0), (run(3, 1), 1)] {
        assert_eq!(all(&fixture, of).await.len(), expected, "{of:?}");
    }
    let found = fixture.store.ended_tasks(at(20), None::<Cursor>, 10).await.unwrap();
    assert_eq!(found.tasks, [(NAMESPACE, task_id(3))]);
    fixture.save(new_tasks(&[task(1)])).await;
    fixture.save(output(given(run(1, 1), &["anew"]))).await;
}

/// A task's row is read without what stands beside it.
pub async fn a_row_alone(fixture: Fixture) {
    fixture.save(new_tasks(&[task(1)])).await;
    let view = fixture.store.task((NAMESPACE, task_id(1))).await.unwrap().unwrap();
    assert_eq!(fixture.store.task_row((NAMESPACE, task_id(1))).await.unwrap(), Some(view.task));
    assert_eq!(fixture.store.task_row((NAMESPACE, task_id(2))).await.unwrap(), None);
}
