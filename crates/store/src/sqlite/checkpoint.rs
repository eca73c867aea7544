//! Copies the write-ahead log into the file, beside the writer.
//!
//! Left to the writer, one commit in some hundreds would take as long as 80 MiB take to be copied (measured: 60 to 80 ms), and all
//! others would wait for it. A connection of its own copies while the writer goes on; the writer then copies only what came
//! meanwhile, whereupon SQLite starts the log anew. Should it never get that far, the writer copies all by itself at three times the
//! size, and the log is cut at four times.

use super::error::sqlite_error;
use super::trouble::Trouble;
use crate::Result;
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions, Row, SqliteConnection};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use tokio::sync::mpsc;
use tokio::task::JoinSet;

/// Once in so many commits it is asked how long the log is.
const LOOK: u32 = 16;
/// The writer copies the log by itself at so many times the size.
pub const BY_ITSELF: u32 = 3;

/// The connection that copies, as the writer sees it.
pub struct Checkpointer {
    wake: mpsc::Sender<()>,
    /// Most of the log is copied; the rest is the writer's.
    copied: Arc<AtomicBool>,
    commits: u32,
    task: JoinSet<()>,
}

impl Checkpointer {
    /// Copies whenever so many pages wait.
    pub async fn start(options: SqliteConnectOptions, pages: u32, trouble: Trouble) -> Result<Self> {
        let options = options.pragma("wal_autocheckpoint", "0").thread_name(|_| "sqlite-copier".to_owned());
        let connection = options.connect().await.map_err(sqlite_error)?;
        let (wake, woken) = mpsc::channel(1);
        let copied = Arc::new(AtomicBool::new(false));
        let mut task = JoinSet::new();
        task.spawn(run(connection, woken, copied.clone(), i64::from(pages), trouble));
        Ok(Self { wake, copied, commits: 0, task })
    }

    /// To be called after a commit. True when the writer is to copy the rest.
    pub fn committed(&mut self) -> bool {
        self.commits += 1;
        if self.commits >= LOOK {
            self.commits = 0;
            // When it is awake already it will look.
            let _ = self.wake.try_send(());
        }
        self.copied.swap(false, Ordering::AcqRel)
    }

    /// Ends it, and closes its connection.
    pub async fn close(self) {
        let Self { wake, mut task, .. } = self;
        drop(wake);
        while task.join_next().await.is_some() {}
    }
}

async fn run(
    mut connection: SqliteConnection,
    mut woken: mpsc::Receiver<()>,
    copied: Arc<AtomicBool>,
    pages: i64,
    trouble: Trouble,
) {
    while woken.recv().await.is_some() {
        match copy(&mut connection, pages).await {
            Ok(true) => copied.store(true, Ordering::Release),
            Ok(false) => {}
            Err(error) => trouble.heed(error, "the write-ahead log could not be copied beside the writer"),
        }
    }
    super::open::close(connection).await;
}

/// Copies the log if it is long enough.
async fn copy(connection: &mut SqliteConnection, pages: i64) -> sqlx::Result<bool> {
    let (in_log, copied) = checkpoint(connection, "PRAGMA wal_checkpoint(NOOP)").await?;
    if in_log - copied < pages {
        return Ok(false);
    }
    checkpoint(connection, "PRAGMA wal_checkpoint(PASSIVE)").await.map(|_| true)
}

/// How many pages the log has, and how many of them are copied into the file.
pub async fn checkpoint(connection: &mut SqliteConnection, sql: &'static str) -> sqlx::Result<(i64, i64)> {
    let row = sqlx::query(sql).fetch_one(connection).await?;
    Ok((row.try_get(1)?, row.try_get(2)?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use sqlx::{AssertSqlSafe, Executor};

    #[tokio::test]
    async fn a_long_log_is_copied_beside_the_writer() {
        let folder = tempfile::tempdir().unwrap();
        let options = SqliteConnectOptions::new().filename(folder.path().join("a.db")).create_if_missing(true);
        let options = options.journal_mode(sqlx::sqlite::SqliteJournalMode::Wal).pragma("wal_autocheckpoint", "0");
        let mut writer = options.connect().await.unwrap();
        let mut checkpointer = Checkpointer::start(options, 50, Trouble::default()).await.unwrap();
        writer.execute("CREATE TABLE t (x BLOB)").await.unwrap();
        for _ in 0..LOOK * 2 {
            assert!(!checkpointer.committed(), "a short log was copied");
            // It has looked, or will before it is asked again.
            checkpointer.wake.reserve().await.unwrap();
        }
        let (in_log, copied) = checkpoint(&mut writer, "PRAGMA wal_checkpoint(NOOP)").await.unwrap();
        assert!(in_log > 0 && copied == 0, "{in_log} {copied}");
        writer.execute(AssertSqlSafe(format!("INSERT INTO t VALUES (zeroblob({}))", 4096 * 60))).await.unwrap();
        while !checkpointer.committed() {
            tokio::task::yield_now().await;
        }
        let (in_log, copied) = checkpoint(&mut writer, "PRAGMA wal_checkpoint(NOOP)").await.unwrap();
        assert!(in_log >= 60 && copied == in_log, "{in_log} {copied}");
        checkpointer.close().await;
        super::super::open::close(writer).await;
        assert!(!folder.path().join("a.db-wal").exists(), "the checkpointer was still there");
    }
}
