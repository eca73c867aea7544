//! A damaged SQLite file: whatever byte is another, there is an error that says so, or the answers are the same.

use crate::conformance::samples::*;
use callboard_core::model::Payload;
use callboard_core::working_set::ChangeSet;
use callboard_sqlite_checksum::page::{self, Page, SIZE, Verdict};
use callboard_store::sqlite::{SqliteOptions, SqliteStore};
use callboard_store::{Error, EventScope, Result, Store, TaskFilter};
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{AssertSqlSafe, ConnectOptions, Connection};
use std::fs::{self, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tempfile::TempDir;

const TASKS: u32 = 60;

async fn open(path: &Path) -> Result<SqliteStore> {
    SqliteStore::open(path.to_str().unwrap(), SqliteOptions::default()).await
}

/// A closed store: its file is whole, and has no log.
struct Original {
    folder: TempDir,
    bytes: Vec<u8>,
    answers: Vec<String>,
}

impl Original {
    async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("original.db");
        let store = Arc::new(open(&path).await.unwrap());
        let fixture = Fixture::new(store.clone());
        fill(&fixture, 0).await;
        let answers = answers(&store).await.unwrap();
        store.close().await;
        Self { bytes: fs::read(&path).unwrap(), folder, answers }
    }

    fn copy(&self, name: &str, bytes: &[u8]) -> PathBuf {
        let path = self.folder.path().join(name);
        for end in ["", "-wal", "-shm"] {
            let _ = fs::remove_file(format!("{}{end}", path.display()));
        }
        fs::write(&path, bytes).unwrap();
        path
    }

    /// Opened in this state, the file is refused, or what it answers is right.
    async fn is_noticed_or_harmless(&self, bytes: &[u8], what: &str) {
        let path = self.copy("damaged.db", bytes);
        let found = match open(&path).await {
            Ok(store) => {
                let found = answers(&store).await;
                store.close().await;
                found
            }
            Err(error) => Err(error),
        };
        self.judge(found, what);
    }

    fn judge(&self, found: Result<Vec<String>>, what: &str) {
        match found {
            Ok(found) => assert!(found == self.answers, "{what}: other answers"),
            Err(Error::Corrupt(text)) => assert!(text.contains("restore a backup"), "{what}: {text}"),
            Err(other) => panic!("{what}: {other:?}"),
        }
    }
}

/// Tasks with small inputs and one that needs pages of its own.
async fn fill(fixture: &Fixture, from: u32) {
    let rows: Vec<_> = (from..from + TASKS)
        .map(|n| {
            let mut task = task(n);
            let length = if n % 20 == 3 { 20_000 } else { 40 };
            task.input = Some(Arc::new(Payload::text(&format!("{n} in words, and again; ").repeat(length / 20))));
            task
        })
        .collect();
    let events = (from..from + TASKS).map(|n| event(n, 1)).collect();
    fixture.save(ChangeSet { events, ..new_tasks(&rows) }).await;
}

/// Everything that is read: by lists and by ids, so that tables and indexes are both asked.
async fn answers(store: &SqliteStore) -> Result<Vec<String>> {
    let mut found = Vec::new();
    let page = store.tasks(NAMESPACE, &TaskFilter::default(), None, 1_000).await?;
    found.extend(page.tasks.iter().map(|task| format!("{task:?}")));
    for n in 0..TASKS {
        found.push(format!("{:?}", store.task((NAMESPACE, task_id(n))).await?));
        found.push(format!("{:?}", store.task_events((NAMESPACE, task_id(n)), 0, 100).await?));
    }
    let events = store.events(EventScope::Namespace(NAMESPACE), None, 1_000).await?;
    found.push(format!("{:?}", events.events));
    found.push(format!("{:?}", store.namespaces().await?));
    found.push(format!("{:?}", store.ready_lanes(100).await?));
    Ok(found)
}

#[tokio::test]
async fn a_changed_byte_in_any_page_is_noticed_or_harmless() {
    let original = Original::new().await;
    let pages = original.bytes.len() / SIZE;
    assert!(pages > 20, "{pages}");
    // Of the header each, of each page one: behind the middle, where payloads and keys stand.
    let places = (16..100).chain((0..pages).map(|page| page * SIZE + 2_100 + page * 67 % 1_900));
    for place in places {
        let mut bytes = original.bytes.clone();
        bytes[place] ^= 0x20;
        original.is_noticed_or_harmless(&bytes, &format!("byte {} of page {}", place % SIZE, place / SIZE + 1)).await;
    }
    for (what, range) in [("the end of page 1", 3_584..4_096), ("a page", SIZE..2 * SIZE), ("an end", 9_728..10_240)] {
        let mut bytes = original.bytes.clone();
        bytes[range].fill(0);
        original.is_noticed_or_harmless(&bytes, &format!("zeros in {what}")).await;
    }
    let mut bytes = original.bytes.clone();
    bytes.copy_within(SIZE * 5..SIZE * 6, SIZE * 6);
    original.is_noticed_or_harmless(&bytes, "a page in another's place").await;
}

/// What was whole at the start, and isn't when it is read.
#[tokio::test]
async fn damage_under_a_running_store_is_noticed_when_it_is_read() {
    let original = Original::new().await;
    let mut noticed = 0;
    for page in (1..original.bytes.len() / SIZE).step_by(3) {
        let path = original.copy("running.db", &original.bytes);
        let store = open(&path).await.unwrap();
        let file = OpenOptions::new().write(true).open(&path).unwrap();
        let place = page * SIZE + 3_000;
        file.write_all_at(&[original.bytes[place] ^ 1], place as u64).unwrap();
        let found = answers(&store).await;
        noticed += u32::from(found.is_err());
        original.judge(found, &format!("page {}", page + 1));
        store.close().await;
    }
    assert!(noticed > 0);
}

/// By an SQLite that knows nothing of us.
async fn foreign(path: &Path, sql: &str) {
    let options = SqliteConnectOptions::new().filename(path);
    let mut connection = options.connect().await.unwrap();
    sqlx::raw_sql(AssertSqlSafe(sql.to_owned())).execute(&mut connection).await.unwrap();
    connection.close().await.unwrap();
}

fn verdicts(path: &Path) -> Vec<Verdict> {
    let bytes = fs::read(path).unwrap();
    let pages: &[Page] = bytes.as_chunks().0;
    (1..).zip(pages).map(|(number, page)| page::verify(number, page)).collect()
}

/// It opens, with the same answers, and then has checksums.
async fn is_taken(original: &Original, path: &Path) {
    SqliteStore::inspect(path.to_str().unwrap()).await.unwrap();
    let store = open(path).await.unwrap();
    assert_eq!(answers(&store).await.unwrap(), original.answers);
    store.check().await.unwrap();
    store.close().await;
    assert!(verdicts(path).iter().all(|verdict| *verdict == Verdict::Whole), "{:?}", verdicts(path));
}

#[tokio::test]
async fn what_sqlite_copied_or_vacuumed_without_us_is_taken_and_has_checksums_then() {
    let original = Original::new().await;
    let copied = original.folder.path().join("copied.db");
    foreign(&original.copy("source.db", &original.bytes), &format!("VACUUM INTO '{}'", copied.display())).await;
    assert!(verdicts(&copied).iter().all(|verdict| *verdict == Verdict::Unsealed));
    is_taken(&original, &copied).await;
    let vacuumed = original.copy("vacuumed.db", &original.bytes);
    foreign(&vacuumed, "VACUUM").await;
    is_taken(&original, &vacuumed).await;
    // Of a running store, log and all.
    let running = original.copy("running.db", &original.bytes);
    let store = open(&running).await.unwrap();
    let live = original.folder.path().join("live.db");
    foreign(&running, &format!("VACUUM INTO '{}'", live.display())).await;
    store.close().await;
    is_taken(&original, &live).await;
}

/// A server was killed, and somebody looked with `sqlite3` before the next start: it copies the log into the file when it leaves.
#[tokio::test]
async fn a_log_that_another_program_copied_is_taken() {
    let original = Original::new().await;
    let path = original.copy("killed.db", &original.bytes);
    let store = Arc::new(open(&path).await.unwrap());
    fill(&Fixture::new(store.clone()), TASKS).await;
    let expected = answers(&store).await.unwrap();
    let killed = original.copy("looked-at.db", &fs::read(&path).unwrap());
    fs::copy(original.folder.path().join("killed.db-wal"), original.folder.path().join("looked-at.db-wal")).unwrap();
    foreign(&killed, "SELECT count(*) FROM tasks").await;
    assert!(verdicts(&killed).contains(&Verdict::Unsealed));
    assert!(!verdicts(&killed).contains(&Verdict::Damaged));
    is_taken(&Original { answers: expected, ..original }, &killed).await;
    store.close().await;
}

/// The same as `original`, as a program of a time before there were checksums left it.
async fn of_before(original: &Original) -> PathBuf {
    let path = original.folder.path().join("old.db");
    let options = SqliteConnectOptions::new().filename(&path).create_if_missing(true);
    let mut old =
        options.foreign_keys(false).journal_mode(sqlx::sqlite::SqliteJournalMode::Wal).connect().await.unwrap();
    let schema = [
        include_str!("../../migrations/sqlite/0001_spine.sql"),
        include_str!("../../migrations/sqlite/0002_messages.sql"),
        include_str!("../../migrations/sqlite/0003_retention.sql"),
        "PRAGMA application_id = 1128352834; PRAGMA user_version = 3;",
    ];
    sqlx::raw_sql(AssertSqlSafe(schema.concat())).execute(&mut old).await.unwrap();
    let attach = format!("ATTACH '{}' AS n", original.copy("new.db", &original.bytes).display());
    sqlx::raw_sql(AssertSqlSafe(attach)).execute(&mut old).await.unwrap();
    let tables = "SELECT name FROM main.sqlite_schema WHERE type = 'table' AND name NOT IN ('meta', 'sqlite_sequence')";
    for table in sqlx::query_scalar::<_, String>(tables).fetch_all(&mut old).await.unwrap() {
        // Later versions added columns at the end.
        let columns = "SELECT group_concat(name) FROM pragma_table_info(?, 'main')";
        let columns: String = sqlx::query_scalar(columns).bind(&table).fetch_one(&mut old).await.unwrap();
        let copy = format!("INSERT INTO main.{table} ({columns}) SELECT {columns} FROM n.{table}");
        sqlx::raw_sql(AssertSqlSafe(copy)).execute(&mut old).await.unwrap();
    }
    old.close().await.unwrap();
    path
}

#[tokio::test]
async fn a_file_without_room_for_checksums_is_rewritten_once() {
    let original = Original::new().await;
    let path = of_before(&original).await;
    is_taken(&original, &path).await;
}

/// Rewriting would leave a file that looks whole.
#[tokio::test]
async fn a_damaged_file_of_before_is_not_rewritten() {
    let original = Original::new().await;
    let path = of_before(&original).await;
    let mut bytes = fs::read(&path).unwrap();
    // How many pages are free.
    bytes[39] ^= 1;
    fs::write(&path, &bytes).unwrap();
    let found = open(&path).await.map(drop);
    assert!(matches!(&found, Err(Error::Corrupt(text)) if text.contains("restore a backup")), "{found:?}");
    assert_eq!(fs::read(&path).unwrap(), bytes);
}
