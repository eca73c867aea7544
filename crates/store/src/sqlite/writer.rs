//! The one connection that writes.

use super::checkpoint::{self, Checkpointer};
use super::commits::Commits;
use super::error::{commit_error, sqlite_error};
use super::script::Saved;
use super::trouble::Trouble;
use super::{SqliteOptions, load, save, script};
use crate::{Error, Result, Transaction};
use async_trait::async_trait;
use callboard_core::Settings;
use callboard_core::working_set::{ChangeSet, Rows, Want};
use sqlx::SqliteConnection;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Mutex, OwnedMutexGuard};

/// How often the size of the log is looked at, in commits.
const LOOK_AT_LOG: u32 = 1_000;
/// The log is reset by force beyond so many times the size at which it should be.
const LOG_FACTOR: u64 = 4;
/// How often it is told that the log can not be cut.
const TELL_AGAIN: Duration = Duration::from_secs(60);

/// Changes nothing, and writes the first page, in which it stands.
pub const MARK: &str = "PRAGMA application_id = 1128352834";

/// The writing connection, for one transaction at a time.
pub struct Writer {
    state: Arc<Mutex<State>>,
}

struct State {
    /// `None` once the store is closed.
    connection: Option<SqliteConnection>,
    commit_begins: Commits,
    checkpointer: Option<Checkpointer>,
    /// What the disk said of the log behind a commit, or beside one.
    trouble: Trouble,
    /// A transaction may be open: it was given up half-way, and must be rolled back before anything else.
    dirty: bool,
    commits: u32,
    /// The log may have begun anew without the first page in it.
    unmarked: bool,
    log: PathBuf,
    /// Beyond so many bytes it is cut.
    log_limit: u64,
    busy_timeout: Duration,
    /// When it was last told that the log can't be cut.
    told: Option<tokio::time::Instant>,
}

/// The write-ahead log of a file.
pub fn log_of(path: &Path) -> PathBuf {
    let mut log = path.as_os_str().to_owned();
    log.push("-wal");
    log.into()
}

impl Writer {
    /// Takes the connection over.
    pub async fn new(
        mut connection: SqliteConnection,
        (checkpointer, trouble): (Checkpointer, Trouble),
        path: &Path,
        options: &SqliteOptions,
    ) -> Result<Self> {
        let commit_begins = Commits::of(&mut connection).await?;
        let state = State {
            connection: Some(connection),
            commit_begins,
            checkpointer: Some(checkpointer),
            trouble,
            dirty: false,
            commits: 0,
            unmarked: true,
            log: log_of(path),
            log_limit: u64::from(options.log_pages) * 4096 * LOG_FACTOR,
            busy_timeout: options.busy_timeout,
            told: None,
        };
        Ok(Self { state: Arc::new(Mutex::new(state)) })
    }

    /// A transaction, when the one before has ended. SQLite's begins with what is done first in it.
    pub async fn begin(&self) -> Result<WriteTransaction> {
        let mut state = self.state.clone().lock_owned().await;
        state.clean().await?;
        state.connection()?;
        Ok(WriteTransaction { state, begun: false, void: false })
    }

    /// Checks the whole file.
    pub async fn check(&self) -> Result<()> {
        let mut state = self.state.lock().await;
        state.clean().await?;
        super::open::check(state.connection()?, "PRAGMA integrity_check(10)").await
    }

    /// Looks at the size of the log.
    pub async fn upkeep(&self) -> Result<()> {
        let mut state = self.state.lock().await;
        state.clean().await?;
        state.bound_log().await;
        state.connection().map(drop)
    }

    /// Closes the connection.
    pub async fn close(&self) {
        let mut state = self.state.lock().await;
        let _ = state.clean().await;
        // Before the writer: the last connection that closes copies the log.
        if let Some(checkpointer) = state.checkpointer.take() {
            checkpointer.close().await;
        }
        if let Some(connection) = state.connection.take() {
            super::open::close(connection).await;
        }
    }
}

impl State {
    fn connection(&mut self) -> Result<&mut SqliteConnection> {
        self.trouble.check()?;
        self.connection.as_mut().ok_or_else(closed)
    }

    async fn run(&mut self, sql: &'static str) -> sqlx::Result<()> {
        let connection = self.connection.as_mut().ok_or(sqlx::Error::PoolClosed)?;
        sqlx::query(sql).execute(connection).await.map(|_| ())
    }

    /// Rolls back what was given up half-way. SQLite may have done so by itself, and then says that there is nothing to do.
    async fn clean(&mut self) -> Result<()> {
        if self.dirty {
            match self.run("ROLLBACK").await {
                Err(sqlx::Error::Database(error)) if error.message().contains("no transaction is active") => {}
                other => other.map_err(sqlite_error)?,
            }
            self.dirty = false;
        }
        Ok(())
    }

    /// Copies what the checkpointer left of the log; looks at the log's size once in so many commits.
    async fn after_commit(&mut self) {
        if self.checkpointer.as_mut().is_some_and(Checkpointer::committed) {
            match self.checkpoint("PRAGMA wal_checkpoint(PASSIVE)").await {
                Ok(_) => self.unmarked = true,
                Err(error) => self.trouble.heed(error, "the rest of the write-ahead log could not be copied"),
            }
        }
        self.mark_log().await;
        self.commits += 1;
        if self.commits >= LOOK_AT_LOG {
            self.bound_log().await;
        }
    }

    /// Writes the first page, as it is, into a log that begins anew. A shell that looks at the file of a killed server copies the
    /// log into it, without checksums: the next start sees that by the first page ([`super::pages`]).
    async fn mark_log(&mut self) {
        if self.unmarked {
            match self.run(MARK).await {
                Ok(()) => self.unmarked = false,
                Err(error) => self.trouble.heed(error, "the write-ahead log could not be marked"),
            }
        }
    }

    /// Readers that follow one another without a gap keep SQLite from starting the log anew; one that holds its view keeps what
    /// came since from being copied at all. When the log has grown too long it is cut; but nobody waits for a reader from
    /// outside who does not end.
    async fn bound_log(&mut self) {
        self.commits = 0;
        let size = tokio::fs::metadata(&self.log).await.map_or(0, |log| log.len());
        if size <= self.log_limit {
            return;
        }
        match self.cut_log().await {
            Ok(true) => {
                tracing::info!(size, "the write-ahead log was long, and was cut");
                self.told = None;
                self.unmarked = true;
            }
            Ok(false) => self.tell_of_log(size),
            Err(error) => self.trouble.heed(error, "the write-ahead log is long and could not be cut"),
        }
    }

    /// False when a reader is in the way.
    async fn cut_log(&mut self) -> sqlx::Result<bool> {
        let (in_log, copied) = self.checkpoint("PRAGMA wal_checkpoint(PASSIVE)").await?;
        if copied < in_log {
            return Ok(false);
        }
        // All is copied. Readers that are in the log still end soon, if they are ours.
        self.run("PRAGMA busy_timeout = 100").await?;
        let cut = self.checkpoint("PRAGMA wal_checkpoint(TRUNCATE)").await;
        let connection = self.connection.as_mut().ok_or(sqlx::Error::PoolClosed)?;
        let timeout = format!("PRAGMA busy_timeout = {}", self.busy_timeout.as_millis());
        sqlx::query(sqlx::AssertSqlSafe(timeout)).execute(connection).await?;
        Ok(cut?.0 == 0)
    }

    async fn checkpoint(&mut self, sql: &'static str) -> sqlx::Result<(i64, i64)> {
        checkpoint::checkpoint(self.connection.as_mut().ok_or(sqlx::Error::PoolClosed)?, sql).await
    }

    /// Once a minute.
    fn tell_of_log(&mut self, size: u64) {
        let now = tokio::time::Instant::now();
        if self.told.is_none_or(|told| now - told >= TELL_AGAIN) {
            self.told = Some(now);
            tracing::warn!(
                size,
                "the write-ahead log is long, and grows until a reader ends: a program from outside holds its view of the \
                 store (a backup? a shell?); end it, or copy with VACUUM INTO"
            );
        }
    }
}

/// A transaction of the writer. Dropped, it stays open until the next begins, which rolls it back first.
pub struct WriteTransaction {
    state: OwnedMutexGuard<State>,
    /// It has begun: what is in it is seen by nobody else, and nobody else writes.
    begun: bool,
    /// Saving failed half-way: it must never be committed.
    void: bool,
}

impl WriteTransaction {
    /// Its connection. None behind a failure, which may have ended the transaction: what is run then would stand by itself.
    pub async fn connection(&mut self) -> Result<&mut SqliteConnection> {
        if self.void {
            return Err(void());
        }
        if !self.begun {
            // Before the statement: a future that is dropped in it leaves a transaction too.
            self.state.dirty = true;
            script::begin(self.state.connection()?).await?;
            self.begun = true;
        }
        self.state.connection()
    }
}

impl WriteTransaction {
    async fn save_all(&mut self, changes: &ChangeSet, settings: &Settings, commit: bool) -> Result<Saved> {
        if self.void {
            return Err(void());
        }
        (self.void, self.state.dirty) = (true, true);
        let State { connection, commit_begins, .. } = &mut *self.state;
        let connection = connection.as_mut().ok_or_else(closed)?;
        let saved = save::save(connection, changes, settings, self.begun, commit.then_some(&*commit_begins)).await;
        let saved = saved.inspect_err(|error| self.state.trouble.note_commit(error))?;
        (self.void, self.begun) = (false, true);
        Ok(saved)
    }

    async fn committed(&mut self) {
        self.state.dirty = false;
        self.state.after_commit().await;
    }
}

fn closed() -> Error {
    Error::Unavailable("the store is closed".into())
}

fn void() -> Error {
    Error::Conflict("the transaction failed before: begin another".into())
}

#[async_trait]
impl Transaction for WriteTransaction {
    async fn load(&mut self, want: &Want) -> Result<Rows> {
        load::load(self.connection().await?, want).await
    }

    async fn save(&mut self, changes: &ChangeSet, settings: &Settings) -> Result<()> {
        self.save_all(changes, settings, false).await.map(drop)
    }

    async fn commit(mut self: Box<Self>) -> Result<()> {
        if self.void {
            return Err(void());
        }
        if !self.begun {
            return Ok(());
        }
        let done = self.state.run("COMMIT").await.map_err(commit_error);
        done.inspect_err(|error| self.state.trouble.note_commit(error))?;
        self.committed().await;
        Ok(())
    }

    async fn save_and_commit(mut self: Box<Self>, changes: &ChangeSet, settings: &Settings) -> Result<()> {
        match self.save_all(changes, settings, true).await {
            Ok(Saved::Open) => self.commit().await,
            Ok(Saved::Committed) => {
                self.committed().await;
                Ok(())
            }
            Err(error) => {
                self.roll_back().await;
                Err(error)
            }
        }
    }

    async fn roll_back(mut self: Box<Self>) {
        if let Err(error) = self.state.clean().await {
            tracing::warn!(%error, "a transaction could not be rolled back; it will be before the next begins");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sqlite::SqliteStore;

    /// Each of those who might write is told; none writes.
    #[tokio::test]
    async fn behind_a_disk_that_failed_nobody_writes() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.db");
        let store = SqliteStore::open(path.to_str().unwrap(), SqliteOptions::default()).await.unwrap();
        let writer = store.writer();
        let mut open = writer.begin().await.unwrap();
        open.connection().await.unwrap();
        let trouble = open.state.trouble.clone();
        let failed = sqlx::Error::Io(std::io::Error::other("EIO"));
        trouble.heed(failed, "the write-ahead log could not be copied beside the writer");
        let told = |said: Result<()>| matches!(said, Err(Error::Io(text)) if text.contains("could not be copied"));
        assert!(told(open.connection().await.map(drop)), "who has begun");
        drop(open);
        assert!(told(writer.begin().await.map(drop)), "who begins");
        assert!(told(writer.upkeep().await), "who looks after the log");
    }
}
