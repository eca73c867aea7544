//! When SQLite has run what stands before a commit.
//!
//! A text of many statements is answered one by one, and each answer wakes whoever waits for the last: a dozen switches of threads for
//! each commit. So its answers are not asked for before SQLite says that it commits.

use super::error::sqlite_error;
use crate::Result;
use sqlx::SqliteConnection;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Notify;
use tokio::time::timeout;

/// What fails before its commit is seen behind this.
const PATIENCE: Duration = Duration::from_millis(2);

/// The commits of a connection.
pub struct Commits(Arc<Notify>);

impl Commits {
    /// Those of this connection, from now on.
    pub async fn of(connection: &mut SqliteConnection) -> Result<Self> {
        let begun = Arc::new(Notify::new());
        let told = begun.clone();
        connection.lock_handle().await.map_err(sqlite_error)?.set_commit_hook(move || {
            told.notify_one();
            true
        });
        Ok(Self(begun))
    }

    /// Those that have begun are not the next.
    pub fn forget(&self) {
        pin!(self.0.notified()).enable();
    }

    /// Waits until the next begins, but no longer than makes a difference: it is a matter of speed alone.
    pub async fn next(&self) {
        let _ = timeout(PATIENCE, self.0.notified()).await;
    }
}
