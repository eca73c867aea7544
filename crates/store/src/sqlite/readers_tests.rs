//! Long reads: SQLite counts without end, or a transaction is held open, in the store's own connections.

use super::error::sqlite_error;
use super::{SqliteOptions, SqliteStore};
use crate::{Error, Result, Store};
use sqlx::SqliteConnection;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::oneshot;

const ENDLESS: &str = "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n";
/// So long that a test that waits for it hangs.
const FOR_EVER: Duration = Duration::from_secs(86_400);

struct Open {
    store: Arc<SqliteStore>,
    folder: tempfile::TempDir,
}

/// With one reader: what a long read leaves behind, the next one meets.
async fn open(read_limit: Duration) -> Open {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.db");
    let options = SqliteOptions { readers: 1, read_limit, log_pages: 1, ..SqliteOptions::default() };
    let store = Arc::new(SqliteStore::open(path.to_str().unwrap(), options).await.unwrap());
    Open { store, folder }
}

impl Open {
    /// Writes until the log is longer than it may be, and has it looked at: it can be cut when nobody looks into it.
    async fn log_after_writing(&self) -> u64 {
        let log = || std::fs::metadata(self.folder.path().join("a.db-wal")).map_or(0, |log| log.len());
        // At least once: a reader that began when the log was copied holds only what comes after it.
        self.write().await;
        while log() <= 4 * 4_096 {
            self.write().await;
        }
        self.store.upkeep().await.unwrap();
        log()
    }

    async fn write(&self) {
        let options = sqlx::sqlite::SqliteConnectOptions::new().filename(self.folder.path().join("a.db"));
        let mut outside = sqlx::ConnectOptions::connect(&options).await.unwrap();
        let sql = "INSERT INTO meta VALUES ('outside', 0) ON CONFLICT (name) DO UPDATE SET value = value + 1";
        sqlx::query(sql).execute(&mut outside).await.unwrap();
    }
}

async fn count_for_ever(connection: &mut SqliteConnection) -> Result<()> {
    sqlx::query(ENDLESS).execute(connection).await.map(|_| ()).map_err(sqlite_error)
}

async fn look(connection: &mut SqliteConnection) -> Result<i64> {
    sqlx::query_scalar("SELECT count(*) FROM tasks").fetch_one(connection).await.map_err(sqlite_error)
}

fn assert_too_long(found: Result<()>) {
    let Err(Error::Unavailable(text)) = found else { panic!("{found:?}") };
    assert!(text.contains("took longer than 50ms") && text.contains("ask for less"), "{text}");
}

#[tokio::test]
async fn a_statement_without_end_is_interrupted_and_the_log_can_be_cut() {
    let open = open(Duration::from_millis(50)).await;
    assert_too_long(open.store.readers.read(count_for_ever).await);
    assert_too_long(open.store.readers.snapshot(count_for_ever).await);
    // The same connection, of which there is one: its thread is free again.
    assert_eq!(open.store.readers.read(look).await.unwrap(), 0);
    assert_eq!(open.log_after_writing().await, 0);
    open.store.close().await;
}

#[tokio::test]
async fn a_transaction_that_is_held_open_is_ended_and_the_log_can_be_cut() {
    let open = open(Duration::from_millis(50)).await;
    let held = open.store.readers.snapshot(async |connection| {
        look(connection).await?;
        std::future::pending().await
    });
    assert_too_long(held.await);
    assert_eq!(open.store.readers.snapshot(look).await.unwrap(), 0);
    assert_eq!(open.log_after_writing().await, 0);
    open.store.close().await;
}

/// Within its limit a reader does hold the log: else the tests above would show nothing.
#[tokio::test]
async fn a_reader_within_its_limit_keeps_its_view() {
    let open = open(FOR_EVER).await;
    let (looked, looking) = oneshot::channel();
    let (end, ended) = oneshot::channel::<()>();
    let read = open.store.readers.snapshot(async |connection| {
        look(connection).await?;
        let _ = looked.send(());
        let _ = ended.await;
        look(connection).await
    });
    let write = async {
        looking.await.unwrap();
        let held = open.log_after_writing().await;
        end.send(()).unwrap();
        held
    };
    let (found, held) = tokio::join!(read, write);
    assert_eq!(found.unwrap(), 0);
    assert!(held > 0);
    assert_eq!(open.log_after_writing().await, 0);
}

/// A call that was given up: nothing goes on for it, however long it may take.
#[tokio::test]
async fn a_read_that_nobody_waits_for_is_interrupted() {
    let open = open(FOR_EVER).await;
    for _ in 0..3 {
        let given_up = Duration::from_millis(20);
        assert!(tokio::time::timeout(given_up, open.store.readers.read(count_for_ever)).await.is_err());
        assert!(tokio::time::timeout(given_up, open.store.readers.snapshot(count_for_ever)).await.is_err());
        assert_eq!(open.store.readers.snapshot(look).await.unwrap(), 0);
    }
    assert_eq!(open.log_after_writing().await, 0);
    open.store.close().await;
}

#[tokio::test]
async fn a_closed_store_has_no_readers() {
    let open = open(FOR_EVER).await;
    let (looked, looking) = oneshot::channel();
    let read = open.store.readers.read(async |connection| {
        let _ = looked.send(());
        look(connection).await
    });
    let close = async {
        looking.await.unwrap();
        open.store.close().await;
    };
    let (found, ()) = tokio::join!(read, close);
    assert_eq!(found.unwrap(), 0);
    assert!(matches!(open.store.readers.read(look).await, Err(Error::Unavailable(text)) if text.contains("closed")));
}
