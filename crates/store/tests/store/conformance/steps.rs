//! Durable steps.

use super::samples::*;
use callboard_core::model::{Content, Event, Payload, StateName, StepKey, StepTotals, Task, TaskStep};
use callboard_core::working_set::{ChangeSet, Rows, RunRef, Want};
use callboard_store::{Cursor, Error};
use std::sync::Arc;

fn run(n: u32, run: u32) -> RunRef {
    (NAMESPACE, task_id(n), run)
}

pub fn key(name: &str, occurrence: u32) -> StepKey {
    StepKey { name: name.into(), occurrence }
}

/// Steps of a run, which have these results.
pub fn recorded((namespace, task, run): RunRef, results: &[&str]) -> Vec<TaskStep> {
    let mut bytes_so_far = 0;
    let step = |(ordinal, result): (u32, &&str)| {
        bytes_so_far += result.len() as u64;
        TaskStep {
            namespace,
            task,
            run,
            ordinal,
            key: key("step", ordinal - 1),
            attempt: 1,
            recorded_at: at(i64::from(ordinal)),
            result: Arc::new(Payload::text(result)),
            digest: u64::MAX - u64::from(ordinal),
            bytes_so_far,
        }
    };
    (1..).zip(results).map(step).collect()
}

fn steps(steps: Vec<TaskStep>) -> ChangeSet {
    ChangeSet { steps, ..ChangeSet::default() }
}

async fn all(fixture: &Fixture, run: RunRef) -> Vec<TaskStep> {
    fixture.store.steps(run, 0, 10_000, 1 << 30).await.unwrap().steps
}

async fn wanted(fixture: &Fixture, steps: &[(RunRef, StepKey)]) -> Rows {
    fixture.load(Want { steps: steps.iter().cloned().collect(), ..Want::default() }).await
}

/// Whatever a step holds comes back as it was.
pub async fn every_field_of_a_step(fixture: Fixture) {
    let metadata = [(TEXT.to_owned(), TEXT.to_owned())].into();
    let binary = Content::Binary(vec![0, 255, 10].into());
    let payloads = [
        Payload::text(TEXT),
        Payload { content_type: TEXT.into(), metadata, content: binary },
        Payload::text(""),
        Payload::text(&"x".repeat(1 << 20)),
    ];
    let mut rows = recorded(run(1, u32::MAX), &["", "", "", ""]);
    let mut bytes_so_far = 0;
    for (row, payload) in rows.iter_mut().zip(payloads) {
        bytes_so_far += payload.len() as u64;
        let key = StepKey { name: TEXT.into(), occurrence: u32::MAX - row.ordinal };
        *row = TaskStep { key, attempt: u32::MAX, result: Arc::new(payload), bytes_so_far, ..row.clone() };
    }
    fixture.save(new_tasks(&[task(1)])).await;
    fixture.save(steps(rows.clone())).await;
    assert!(all(&fixture, run(1, u32::MAX)).await == rows);
    let keys: Vec<_> = rows.iter().map(|row| (run(1, u32::MAX), row.key.clone())).collect();
    let found = wanted(&fixture, &keys).await;
    let mut digests: Vec<_> = keys.into_iter().zip(rows.iter().map(|row| row.digest)).collect();
    digests.sort();
    assert_eq!(found.steps, digests);
}

/// Those that are wanted and recorded, and what their runs have; of several tasks and runs in one go.
pub async fn wanted_steps_and_what_their_runs_have(fixture: Fixture) {
    fixture.save(new_tasks(&[task(1), task(2)])).await;
    fixture.save(steps(recorded(run(1, 1), &["a", "bc"]))).await;
    fixture.save(steps([recorded(run(1, 2), &["d"]), recorded(run(2, 1), &["efg", "h", "i"])].concat())).await;
    let asked = [
        (run(1, 1), key("step", 1)),
        (run(1, 2), key("step", 1)),
        (run(2, 1), key("step", 0)),
        (run(2, 1), key("steps", 0)),
        (run(3, 1), key("step", 0)),
    ];
    let rows = wanted(&fixture, &asked).await;
    let digest = |n: u64| u64::MAX - n;
    assert_eq!(rows.steps, [(asked[0].clone(), digest(2)), (asked[2].clone(), digest(1))]);
    let totals = |run, count, bytes| (run, StepTotals { count, bytes });
    assert_eq!(rows.step_totals, [totals(run(1, 1), 2, 3), totals(run(1, 2), 1, 1), totals(run(2, 1), 3, 5)]);
}

/// In pages that end by number or by bytes, and go on behind a place; the first of a page is always given.
pub async fn pages_of_steps(fixture: Fixture) {
    let rows = recorded(run(1, 1), &["aaaa", "bb", "cc", "dddddddd", "e"]);
    fixture.save(new_tasks(&[task(1)])).await;
    fixture.save(steps(rows.clone())).await;
    for (after, limit, bytes, expected) in [
        (0, 10, 100, 1..=5),
        (0, 2, 100, 1..=2),
        (2, 2, 100, 3..=4),
        (0, 10, 6, 1..=2),
        (0, 10, 0, 1..=1),
        (2, 10, 9, 3..=3),
        (3, 10, 1, 4..=4),
        (4, 10, 1, 5..=5),
    ] {
        let page = fixture.store.steps(run(1, 1), after, limit, bytes).await.unwrap();
        let ordinals: Vec<u32> = page.steps.iter().map(|step| step.ordinal).collect();
        assert_eq!(ordinals, expected.clone().collect::<Vec<_>>(), "{after} {limit} {bytes}");
        assert_eq!(page.steps, rows[*expected.start() as usize - 1..*expected.end() as usize]);
        assert_eq!(page.count, 5);
    }
    for (of, after) in [(run(1, 1), 5), (run(1, 2), 0), (run(2, 1), 0)] {
        let page = fixture.store.steps(of, after, 10, 100).await.unwrap();
        assert_eq!((page.steps.len(), page.count), (0, 0));
    }
}

/// A place, and a key, are taken once; and what is refused changes nothing.
pub async fn a_step_is_recorded_once(fixture: Fixture) {
    fixture.save(new_tasks(&[task(1)])).await;
    let rows = recorded(run(1, 1), &["a"]);
    fixture.save(steps(rows.clone())).await;
    let same_place = TaskStep { key: key("other", 0), ..rows[0].clone() };
    let same_key = TaskStep { ordinal: 2, ..rows[0].clone() };
    for wrong in [same_place, same_key] {
        let refused = fixture.try_save(steps(vec![wrong])).await.unwrap_err();
        assert!(matches!(refused, Error::Conflict(_) | Error::Data(_)), "{refused:?}");
        assert!(all(&fixture, run(1, 1)).await == rows);
    }
    let other_run = TaskStep { run: 2, ..rows[0].clone() };
    fixture.save(steps(vec![other_run])).await;
}

/// What was given up is not there, and may be recorded then.
pub async fn steps_that_were_rolled_back_are_gone(fixture: Fixture) {
    fixture.save(new_tasks(&[task(1)])).await;
    let rows = recorded(run(1, 1), &["a", "b"]);
    let mut transaction = fixture.store.begin().await.unwrap();
    transaction.save(&steps(rows.clone()), &fixture.settings).await.unwrap();
    let want = Want { steps: [(run(1, 1), key("step", 0))].into(), ..Want::default() };
    assert_eq!(transaction.load(&want).await.unwrap().steps.len(), 1, "it sees what it saved");
    transaction.roll_back().await;
    assert!(all(&fixture, run(1, 1)).await.is_empty());
    assert!(wanted(&fixture, &[(run(1, 1), key("step", 0))]).await.step_totals.is_empty());
    fixture.save(steps(rows.clone())).await;
    assert!(all(&fixture, run(1, 1)).await == rows);
}

/// More than a statement takes, of many runs.
pub async fn a_thousand_steps_in_one_save(fixture: Fixture) {
    let tasks: Vec<Task> = (1..=10).map(task).collect();
    fixture.save(new_tasks(&tasks)).await;
    let results = vec!["x"; 100];
    let rows: Vec<TaskStep> = (1..=10).flat_map(|n| recorded(run(n, 1), &results)).collect();
    fixture.save(steps(rows)).await;
    let keys: Vec<_> = (1..=10).flat_map(|n| (0..100).map(move |m| (run(n, 1), key("step", m)))).collect();
    let found = wanted(&fixture, &keys).await;
    assert_eq!((found.steps.len(), found.step_totals.len()), (1_000, 10));
    assert!(found.step_totals.iter().all(|(_, totals)| (totals.count, totals.bytes) == (100, 100)));
}

/// They go with their task, however many they are, and no others do.
pub async fn steps_go_with_their_task(fixture: Fixture) {
    for n in [1, 2, 3] {
        let ended = Task { state: completed(10), ..task(n) };
        let event = Event { at: at(10), state: StateName::Completed, ..event(n, 1) };
        fixture.save(ChangeSet { events: vec![event], ..new_tasks(&[ended]) }).await;
    }
    let many = vec!["x"; 250];
    fixture.save(steps([recorded(run(1, 1), &many), recorded(run(1, 2), &["a"])].concat())).await;
    fixture.save(steps([recorded(run(2, 1), &["b"]), recorded(run(3, 1), &["c"])].concat())).await;
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
    fixture.save(steps(recorded(run(1, 1), &["anew"]))).await;
}
