//! How fast the SQLite store is: each task is created, assigned, and completed with a result, in three group commits.
//!
//! `cargo run --release -p callboard-store --example store_bench -- [TASKS] [BATCH] [load]`
//!
//! With `load`, every batch loads its tasks before it changes them; without, rows stay in memory, as in the engine.

// The rows of the tests, of which only a few are needed here.
#[path = "../tests/store/conformance/samples.rs"]
#[allow(dead_code, clippy::unwrap_used, clippy::panic)]
mod samples;

use callboard_core::model::task::TaskState;
use callboard_core::model::{Chosen, EventKind, KeptScore, Payload, Task};
use callboard_core::working_set::{ChangeSet, PayloadValue, Want};
use callboard_store::Store;
use callboard_store::sqlite::{SqliteOptions, SqliteStore};
use samples::{changed, completed, event, new, running, step, task, write};
use std::time::{Duration, Instant};

type Outcome<T> = Result<T, Box<dyn std::error::Error>>;

#[tokio::main]
async fn main() -> Outcome<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let number = |place: usize, otherwise: u32| arguments.get(place).map_or(Ok(otherwise), |text| text.parse());
    let (count, batch) = (number(0, 51_200)?, number(1, 256)?);
    let load = arguments.iter().any(|argument| argument == "load");
    let folder = tempfile::tempdir_in(".")?;
    let path = folder.path().join("bench.db");
    let store = SqliteStore::open(&path.to_string_lossy(), SqliteOptions::default()).await?;
    let mut commits = Vec::new();
    // As of a lone agent.
    let chosen = Chosen { score: KeptScore::of(0.9), compared: 1, runners_up: Vec::new() };
    let begun = now();
    for first in (0..count).step_by(batch as usize) {
        let mut rows: Vec<Task> = (first..count.min(first + batch)).map(task).collect();
        let created = ChangeSet { tasks: rows.iter().map(new).collect(), ..events(&rows, 1, EventKind::Created) };
        save(&store, created, &[], &mut commits).await?;
        rows.iter_mut().for_each(|row| *row = step(row, running(1)));
        let assigned = ChangeSet {
            tasks: rows.iter().map(changed).collect(),
            ..events(&rows, 2, EventKind::Assigned { agent: "agent-1".into(), chosen: Some(chosen.clone()) })
        };
        save(&store, assigned, if load { &rows } else { &[] }, &mut commits).await?;
        rows.iter_mut().for_each(|row| *row = step(row, completed(9)));
        let ended = ChangeSet {
            tasks: rows.iter().map(changed).collect(),
            payloads: rows.iter().map(result).collect(),
            ..events(&rows, 3, EventKind::Completed { agent: "agent-1".into() })
        };
        save(&store, ended, if load { &rows } else { &[] }, &mut commits).await?;
    }
    report(count, batch, begun.elapsed(), commits, folder.path())?;
    store.close().await;
    Ok(())
}

fn events(rows: &[Task], sequence: i64, kind: EventKind) -> ChangeSet {
    let of = |(n, row): (u32, &Task)| {
        let mut event = event(n, sequence);
        (event.task, event.kind) = (row.id, kind.clone());
        event
    };
    ChangeSet { events: (0..).zip(rows).map(of).collect(), ..ChangeSet::default() }
}

fn result(row: &Task) -> callboard_core::working_set::PayloadWrite {
    debug_assert!(matches!(row.state, TaskState::Completed { .. }));
    write((row.namespace, row.id), PayloadValue::Result(Payload::text(&"x".repeat(100)).into()))
}

async fn save(store: &SqliteStore, changes: ChangeSet, load: &[Task], commits: &mut Vec<Duration>) -> Outcome<()> {
    let begun = now();
    let mut transaction = store.begin().await?;
    if !load.is_empty() {
        let tasks = load.iter().map(|row| (row.namespace, row.id)).collect();
        let rows = transaction.load(&Want { tasks, ..Want::default() }).await?;
        assert_eq!(rows.tasks.len(), load.len());
    }
    transaction.save(&changes, &callboard_core::Settings::default()).await?;
    transaction.commit().await?;
    commits.push(begun.elapsed());
    Ok(())
}

fn report(count: u32, batch: u32, took: Duration, mut commits: Vec<Duration>, folder: &std::path::Path) -> Outcome<()> {
    commits.sort();
    let at = |share: f64| commits[((commits.len() - 1) as f64 * share) as usize];
    let rate = f64::from(count) / took.as_secs_f64();
    println!("{count} tasks in batches of {batch}: {rate:.0} tasks/s; {:.1} us a task", 1e6 / rate);
    println!("a transaction: p50 {:?}, p99 {:?}, longest {:?}", at(0.5), at(0.99), at(1.0));
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        println!("{}: {} KiB", entry.file_name().to_string_lossy(), entry.metadata()?.len() >> 10);
    }
    Ok(())
}

// A measurement is about the real clock.
#[allow(clippy::disallowed_methods)]
fn now() -> Instant {
    Instant::now()
}
