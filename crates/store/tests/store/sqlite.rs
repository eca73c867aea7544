//! What an SQLite file must stand: being closed, copied away mid-way, opened twice, damaged, or not ours.

// Helpers of tests stand outside of tests.
#![allow(clippy::unwrap_used, clippy::panic)]

use crate::conformance::placement::{lane_with_gpus, with_gpus};
use crate::conformance::samples::*;
use crate::conformance::workflows::{held, workflow, written};
use callboard_core::model::{Condition, Edge, Terms, Workflow};
use callboard_core::working_set::ChangeSet;
use callboard_store::sqlite::{SqliteOptions, SqliteStore};
use callboard_store::{Error, EventScope, Result, Store, TaskFilter};
use sqlx::{ConnectOptions, Connection};
use std::path::{Path, PathBuf};
use std::sync::Arc;

async fn open(path: &Path) -> Result<SqliteStore> {
    SqliteStore::open(path.to_str().unwrap(), SqliteOptions::default()).await
}

struct Folder(tempfile::TempDir);

impl Folder {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }
}

/// A store with some tasks and events, as a fixture.
async fn filled(path: &Path) -> Fixture {
    let fixture = Fixture::new(Arc::new(open(path).await.unwrap()));
    let rows: Vec<_> = (0..300).map(task).collect();
    let events = (0..300).map(|n| event(n, 1)).collect();
    fixture.save(ChangeSet { events, ..new_tasks(&rows) }).await;
    fixture.save(tasks([changed(&step(&task(5), running(1)))])).await;
    fixture
}

async fn assert_filled(store: &dyn Store) {
    let page = store.tasks(NAMESPACE, &TaskFilter::default(), None, 1_000).await.unwrap();
    assert_eq!(page.tasks.len(), 300);
    assert_eq!(store.task((NAMESPACE, task_id(5))).await.unwrap().unwrap().task, step(&task(5), running(1)));
    assert_eq!(store.events(EventScope::Namespace(NAMESPACE), None, 1_000).await.unwrap().events.len(), 300);
}

#[tokio::test]
async fn a_closed_store_opens_again_with_everything() {
    let folder = Folder::new();
    let path = folder.path("a.db");
    let fixture = filled(&path).await;
    fixture.store.close().await;
    let store = open(&path).await.unwrap();
    assert_filled(&store).await;
    store.check().await.unwrap();
    assert!(!path.with_extension("db-journal").exists());
}

/// What a crash leaves: the file, and the log that was not copied into it.
#[tokio::test]
async fn a_crash_loses_nothing_that_was_committed() {
    let folder = Folder::new();
    let path = folder.path("a.db");
    let fixture = filled(&path).await;
    let mut unfinished = fixture.store.begin().await.unwrap();
    unfinished.save(&new_tasks([&task(1_000)]), &fixture.settings).await.unwrap();
    let after = folder.path("after.db");
    for (from, to) in [("a.db", "after.db"), ("a.db-wal", "after.db-wal")] {
        std::fs::copy(folder.path(from), folder.path(to)).unwrap();
    }
    let store = open(&after).await.unwrap();
    assert_filled(&store).await;
    assert_eq!(store.task((NAMESPACE, task_id(1_000))).await.unwrap(), None);
    store.check().await.unwrap();
}

#[tokio::test]
async fn a_file_serves_one_process() {
    let folder = Folder::new();
    let path = folder.path("a.db");
    let store = open(&path).await.unwrap();
    let link = folder.path("link.db");
    #[cfg(unix)]
    std::os::unix::fs::symlink(&path, &link).unwrap();
    for name in [&path, &link] {
        let Err(Error::Unusable(text)) = open(name).await else { panic!("opened twice") };
        assert!(text.contains("a.db") && text.contains("another callboard process"), "{text}");
    }
    store.close().await;
    open(&path).await.unwrap();
}

/// By a program that knows nothing of us.
async fn sql(path: &Path, sql: &'static str) {
    run(sqlx::sqlite::SqliteConnectOptions::new().filename(path).create_if_missing(true), sql).await;
}

/// As the store does it: with checksums.
async fn sql_in_store(path: &Path, sql: &'static str) {
    run(sqlx::sqlite::SqliteConnectOptions::new().filename(path).vfs(callboard_sqlite_checksum::vfs()), sql).await;
}

/// The number that a query gives.
async fn number_in_store(path: &Path, sql: &'static str) -> i64 {
    let options = sqlx::sqlite::SqliteConnectOptions::new().filename(path).vfs(callboard_sqlite_checksum::vfs());
    let mut connection = options.connect().await.unwrap();
    let number = sqlx::query_scalar(sql).fetch_one(&mut connection).await.unwrap();
    connection.close().await.unwrap();
    number
}

async fn run(options: sqlx::sqlite::SqliteConnectOptions, sql: &'static str) {
    let mut connection = options.connect().await.unwrap();
    sqlx::raw_sql(sql).execute(&mut connection).await.unwrap();
    connection.close().await.unwrap();
}

#[tokio::test]
async fn a_store_that_needs_a_newer_version_is_refused_and_one_that_does_not_is_used() {
    let folder = Folder::new();
    let path = folder.path("a.db");
    filled(&path).await.store.close().await;
    // A newer version was here, which older ones can work with.
    sql_in_store(&path, "PRAGMA user_version = 99").await;
    let store = open(&path).await.unwrap();
    assert_filled(&store).await;
    store.close().await;
    sql_in_store(&path, "UPDATE meta SET value = 99 WHERE name = 'min_version'").await;
    let Err(Error::Unusable(text)) = open(&path).await else { panic!("opened") };
    assert!(text.contains("99") && text.contains("newer version"), "{text}");
}

#[tokio::test]
async fn the_first_condition_makes_older_versions_refuse_the_file() {
    let folder = Folder::new();
    let path = folder.path("a.db");
    let fixture = filled(&path).await;
    let needed = "SELECT value FROM meta WHERE name = 'min_version'";
    assert!(number_in_store(&path, needed).await < 8);
    let rows = [task(401), task(402)];
    let plain = edge(401, 402, 0);
    fixture.save(ChangeSet { edges: vec![plain.clone()], ..new_tasks(&rows) }).await;
    assert!(number_in_store(&path, needed).await < 8, "an edge that older versions know");
    let rows = [task(403), task(404)];
    let terms = Terms { condition: Condition::Ended, ..Terms::default() };
    fixture.save(ChangeSet { edges: vec![Edge { terms, ..edge(403, 404, 0) }], ..new_tasks(&rows) }).await;
    assert_eq!(number_in_store(&path, needed).await, 8);
}

#[tokio::test]
async fn the_first_hold_makes_older_versions_refuse_the_file() {
    let folder = Folder::new();
    let path = folder.path("a.db");
    let fixture = filled(&path).await;
    let (needed, format) = ("SELECT value FROM meta WHERE name = 'min_version'", "SELECT max(format) FROM workflows");
    let row = workflow(901, "report", 1);
    fixture.save(written(&row)).await;
    assert_eq!((number_in_store(&path, needed).await, number_in_store(&path, format).await), (9, 1));
    let held = held(&row);
    fixture.save(written(&held)).await;
    assert_eq!((number_in_store(&path, needed).await, number_in_store(&path, format).await), (10, 2));
    fixture.save(written(&Workflow { held: None, version: held.version + 1, ..held })).await;
    assert_eq!(number_in_store(&path, format).await, 1, "a row that is not held is as it ever was");
}

#[tokio::test]
async fn the_first_task_that_takes_resources_makes_older_versions_refuse_the_file() {
    let folder = Folder::new();
    let path = folder.path("a.db");
    let fixture = filled(&path).await;
    let needed = "SELECT value FROM meta WHERE name = 'min_version'";
    fixture.save(ChangeSet { lanes: vec![lane("plain")], ..ChangeSet::default() }).await;
    assert!(number_in_store(&path, needed).await < 12, "a lane that older versions know");
    fixture.save(ChangeSet { lanes: vec![lane_with_gpus(1)], ..new_tasks([&with_gpus(501, 1)]) }).await;
    assert_eq!(number_in_store(&path, needed).await, 12);
}

#[tokio::test]
async fn a_row_that_a_newer_version_wrote_is_not_guessed_at() {
    let folder = Folder::new();
    let path = folder.path("a.db");
    filled(&path).await.store.close().await;
    sql_in_store(&path, "UPDATE tasks SET format = 2").await;
    let store = open(&path).await.unwrap();
    let found = store.task((NAMESPACE, task_id(5))).await;
    assert!(matches!(&found, Err(Error::Corrupt(text)) if text.contains("newer")), "{found:?}");
}

#[tokio::test]
async fn another_applications_file_is_refused_and_left_alone() {
    let folder = Folder::new();
    let path = folder.path("other.db");
    sql(&path, "CREATE TABLE songs (name TEXT); INSERT INTO songs VALUES ('a')").await;
    let before = std::fs::read(&path).unwrap();
    assert!(matches!(open(&path).await, Err(Error::Unusable(text)) if text.contains("another application")));
    assert_eq!(std::fs::read(&path).unwrap()[..16], before[..16]);
    sql(&path, "SELECT * FROM songs").await;
    let marked = folder.path("marked.db");
    sql(&marked, "PRAGMA application_id = 7").await;
    assert!(matches!(open(&marked).await, Err(Error::Unusable(_))));
}

#[tokio::test]
async fn what_is_no_sqlite_file_is_refused_and_left_alone() {
    let folder = Folder::new();
    for (name, content) in
        [("short", &b"x"[..]), ("text", &b"The quick brown fox jumps over the lazy dog. ".repeat(200)[..])]
    {
        let path = folder.path(name);
        std::fs::write(&path, content).unwrap();
        let Err(Error::Corrupt(text)) = open(&path).await else { panic!("opened {name}") };
        assert!(text.contains(name), "{text}");
        assert_eq!(std::fs::read(&path).unwrap(), content);
    }
    let path = folder.path("folder");
    std::fs::create_dir(&path).unwrap();
    assert!(open(&path).await.is_err());
}

#[tokio::test]
async fn a_truncated_or_overwritten_file_is_refused() {
    let folder = Folder::new();
    let path = folder.path("a.db");
    filled(&path).await.store.close().await;
    let whole = std::fs::read(&path).unwrap();
    for keep in [whole.len() - 4_096, whole.len() / 2, 4_096, 600, 50] {
        let path = folder.path(&format!("{keep}.db"));
        std::fs::write(&path, &whole[..keep]).unwrap();
        let opened = open(&path).await;
        assert!(matches!(opened, Err(Error::Corrupt(_))), "{keep} of {} bytes", whole.len());
    }
    for place in [whole.len() / 3, whole.len() / 2] {
        let mut damaged = whole.clone();
        damaged[place / 4_096 * 4_096..][..4_096].fill(0x55);
        let path = folder.path(&format!("damaged-{place}.db"));
        std::fs::write(&path, &damaged).unwrap();
        let opened = open(&path).await;
        assert!(matches!(opened, Err(Error::Corrupt(_))), "{place}");
    }
}

/// Whatever a migration left when it was cut off, the next start ends it.
#[tokio::test]
async fn an_empty_file_becomes_a_store() {
    let folder = Folder::new();
    let path = folder.path("empty.db");
    std::fs::write(&path, b"").unwrap();
    let store = open(&path).await.unwrap();
    assert!(store.namespaces().await.unwrap().is_empty());
}

#[tokio::test]
async fn a_closed_store_says_so() {
    let folder = Folder::new();
    let store = open(&folder.path("a.db")).await.unwrap();
    store.close().await;
    assert!(matches!(store.begin().await.map(|_| ()), Err(Error::Unavailable(_))));
    assert!(matches!(store.namespaces().await, Err(Error::Unavailable(_))));
}

/// A list ends after a bounded number of rows, and goes on from there.
#[tokio::test]
async fn a_long_list_is_read_in_bounded_steps() {
    let folder = Folder::new();
    // A debug build on a busy machine may be slower than a server may.
    let options = SqliteOptions { read_limit: std::time::Duration::from_secs(60), ..SqliteOptions::default() };
    let store = SqliteStore::open(folder.path("a.db").to_str().unwrap(), options).await.unwrap();
    let fixture = Fixture::new(Arc::new(store));
    for first in (0..45_000).step_by(5_000) {
        let rows: Vec<_> = (first..first + 5_000).map(task).collect();
        fixture.save(new_tasks(&rows)).await;
    }
    let filter = TaskFilter { agent: Some("nobody".into()), ..TaskFilter::default() };
    let mut before = None;
    let mut pages = 0;
    loop {
        let page = fixture.store.tasks(NAMESPACE, &filter, before, 10).await.unwrap();
        assert!(page.tasks.is_empty());
        pages += 1;
        before = page.next;
        if before.is_none() {
            break;
        }
    }
    assert_eq!(pages, 3);
    let filter = TaskFilter { id_suffix: Some("00000".into()), ..TaskFilter::default() };
    let mut found = Vec::new();
    let mut before = None;
    loop {
        let page = fixture.store.tasks(NAMESPACE, &filter, before, 10).await.unwrap();
        found.extend(page.tasks.into_iter().map(|task| task.id));
        before = page.next;
        if before.is_none() {
            break;
        }
    }
    assert_eq!(found, [task_id(0)]);
}

/// Futures that are dropped half-way leave no transaction behind, and no half of one.
#[tokio::test]
async fn a_future_dropped_half_way_leaves_nothing() {
    let folder = Folder::new();
    let fixture = Fixture::new(Arc::new(open(&folder.path("a.db")).await.unwrap()));
    let rows: Vec<_> = (0..2_000).map(task).collect();
    for micros in [0, 10, 50, 200, 500, 1_000, 2_000, 5_000, 10_000, 20_000] {
        let save = async {
            let mut transaction = fixture.store.begin().await.unwrap();
            transaction.save(&new_tasks(&rows), &fixture.settings).await.unwrap();
            // Never committed.
            std::future::pending::<()>().await;
        };
        let _ = tokio::time::timeout(std::time::Duration::from_micros(micros), save).await;
        assert_eq!(fixture.task(task_id(3)).await, None);
    }
    fixture.save(new_tasks(&rows)).await;
    assert!(fixture.task(task_id(1_999)).await.is_some());
}

/// A reader from outside who does not end makes the log grow; nobody waits for it, and the log is cut when it has ended.
#[tokio::test]
async fn the_log_shrinks_when_a_long_reader_has_ended() {
    let folder = Folder::new();
    let path = folder.path("a.db");
    let options = SqliteOptions { log_pages: 50, ..SqliteOptions::default() };
    let store = Arc::new(SqliteStore::open(path.to_str().unwrap(), options).await.unwrap());
    let fixture = Fixture::new(store.clone());
    let log = || std::fs::metadata(folder.path("a.db-wal")).map_or(0, |log| log.len());
    let limit = 50 * 4096 * 4;
    let mut next = 0;
    let mut write = async |until: u64| {
        while log() < until {
            let rows: Vec<_> = (next..next + 50).map(task).collect();
            fixture.save(new_tasks(&rows)).await;
            next += 50;
            // Without a reader it is always short.
            assert!(until == u64::MAX || log() <= until + limit);
            if until == u64::MAX && next % 2_000 == 0 {
                return;
            }
        }
    };
    write(u64::MAX).await;
    assert!(log() <= limit, "{} bytes without a reader", log());

    let outside = sqlx::sqlite::SqliteConnectOptions::new().filename(&path).read_only(true);
    let mut reader = outside.connect().await.unwrap();
    sqlx::raw_sql("BEGIN; SELECT count(*) FROM tasks").execute(&mut reader).await.unwrap();
    write(2 * limit).await;
    // It is looked at, and no writer is held up by the reader.
    store.upkeep().await.unwrap();
    assert!(store.sample().await.unwrap().log_bytes >= 2 * limit);
    fixture.save(new_tasks([&task(1_000_000)])).await;

    sqlx::raw_sql("ROLLBACK").execute(&mut reader).await.unwrap();
    reader.close().await.unwrap();
    store.upkeep().await.unwrap();
    assert_eq!(log(), 0);
    assert!(fixture.task(task_id(1_000_000)).await.is_some());
    store.check().await.unwrap();
}

/// What is forgotten makes room for what comes: the file does not grow with the time that it is used.
#[tokio::test]
async fn room_of_forgotten_tasks_is_used_again() {
    let folder = Folder::new();
    let fixture = Fixture::new(Arc::new(open(&folder.path("a.db")).await.unwrap()));
    let mut sizes = Vec::new();
    for round in 0..8_u32 {
        let rows: Vec<_> = (0..500).map(|n| task(round * 500 + n)).collect();
        let events = |sequence: i64| (0..500).map(move |n| event(round * 500 + n, sequence)).collect::<Vec<_>>();
        fixture.save(ChangeSet { events: events(1), ..new_tasks(&rows) }).await;
        let ended: Vec<_> = rows.iter().map(|task| step(task, completed(10))).collect();
        fixture.save(ChangeSet { events: events(2), ..tasks(ended.iter().map(changed)) }).await;
        for some in rows.chunks(50) {
            let some: Vec<_> = some.iter().map(|task| (task.namespace, task.id)).collect();
            assert_eq!(fixture.store.forget_tasks(&some, at(1 << 40)).await.unwrap().tasks, 50);
        }
        fixture.store.upkeep().await.unwrap();
        sql_checkpoint(&folder.path("a.db")).await;
        sizes.push(fixture.store.sample().await.unwrap().bytes);
    }
    assert!(sizes[7] <= sizes[1] + sizes[1] / 4, "{sizes:?}");
}

/// Copies the log into the file, from outside.
async fn sql_checkpoint(path: &Path) {
    sql_in_store(path, "PRAGMA wal_checkpoint(PASSIVE)").await;
}

#[tokio::test]
async fn a_store_can_be_looked_at_without_being_changed() {
    let folder = Folder::new();
    let path = folder.path("a.db");
    let inspect = async || SqliteStore::inspect(path.to_str().unwrap()).await;
    let new = inspect().await.unwrap();
    assert_eq!((new.bytes, new.schema, new.in_use), (0, 0, false));
    assert!(!path.exists());
    let fixture = filled(&path).await;
    let used = inspect().await.unwrap();
    assert_eq!((used.schema, used.in_use), (used.known, true));
    fixture.store.close().await;
    let before = std::fs::read(&path).unwrap();
    let names = || {
        std::fs::read_dir(path.parent().unwrap())
            .unwrap()
            .map(|e| e.unwrap().file_name())
            .collect::<std::collections::BTreeSet<_>>()
    };
    let files = names();
    let closed = inspect().await.unwrap();
    assert!(!closed.in_use && closed.bytes > 0);
    assert_eq!((std::fs::read(&path).unwrap(), names()), (before.clone(), files));
    let mut damaged = before.clone();
    let middle = damaged.len() / 2 / 4_096 * 4_096;
    damaged[middle..][..4_096].fill(0x55);
    std::fs::write(&path, &damaged).unwrap();
    assert!(matches!(inspect().await, Err(Error::Corrupt(_))));
    std::fs::write(&path, &before).unwrap();
    sql_in_store(&path, "PRAGMA user_version = 1").await;
    assert_eq!(inspect().await.unwrap().schema, 1);
    sql_in_store(&path, "UPDATE meta SET value = 99 WHERE name = 'min_version'").await;
    assert!(matches!(inspect().await, Err(Error::Unusable(_))));
}
