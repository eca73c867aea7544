//! What the PostgreSQL store alone promises: what only several writers can show, and what a database must be.

// Helpers of tests stand outside of tests.
#![allow(clippy::unwrap_used, clippy::panic)]

mod crashes;
mod databases;
mod floors;
mod locks;
mod order;
mod outages;
mod plans;
mod pooler;
mod promotions;

use crate::conformance::samples::*;
use callboard_core::working_set::{ChangeSet, Rows, Want};
use callboard_store::postgres::{PostgresOptions, PostgresStore};
use callboard_store::{Result, Store, Transaction};
use sqlx::{Connection, PgConnection};
use std::sync::{Arc, OnceLock};
use tokio::sync::{Mutex, OwnedMutexGuard};

/// Transaction ids are the cluster's: a test that writes in one database holds up the order of commits in all others for
/// moments. So these tests run one after the other.
pub async fn alone() -> OwnedMutexGuard<()> {
    static TURN: OnceLock<Arc<Mutex<()>>> = OnceLock::new();
    TURN.get_or_init(Arc::default).clone().lock_owned().await
}

/// A store in a database of its own, for as long as the turn lasts.
pub async fn new_store() -> (Arc<dyn Store>, OwnedMutexGuard<()>) {
    let database = Database::new().await;
    (database.store().await, database.turn)
}

/// A database, and the turn in which it is used.
struct Database {
    url: String,
    turn: OwnedMutexGuard<()>,
}

impl Database {
    async fn new() -> Self {
        let turn = alone().await;
        Self { url: callboard_test_postgres::shared().database().await, turn }
    }

    async fn open(&self) -> Result<PostgresStore> {
        PostgresStore::open(&self.url, PostgresOptions::default()).await
    }

    /// A replica's store.
    async fn store(&self) -> Arc<dyn Store> {
        Arc::new(self.open().await.unwrap())
    }

    async fn fixture(&self) -> Fixture {
        Fixture::new(self.store().await)
    }

    /// Runs statements past the store.
    async fn run(&self, script: &str) {
        callboard_test_postgres::shared().run(self.name(), script).await;
    }

    /// The number that a query gives.
    async fn number(&self, sql: &'static str) -> i64 {
        let mut connection = PgConnection::connect(&self.url).await.unwrap();
        sqlx::query_scalar(sql).fetch_one(&mut connection).await.unwrap()
    }

    /// Waits until a transaction of this database waits for another's lock.
    async fn somebody_waits(&self) {
        let mut connection = PgConnection::connect(&self.url).await.unwrap();
        let waiting =
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'";
        while sqlx::query_scalar::<_, i64>(waiting).fetch_one(&mut connection).await.unwrap() == 0 {
            tokio::task::yield_now().await;
        }
        connection.close().await.unwrap();
    }

    fn name(&self) -> &str {
        self.url.rsplit('/').next().unwrap()
    }
}

/// A transaction step by step.
struct Steps(Box<dyn Transaction>);

impl Steps {
    async fn begin(fixture: &Fixture) -> Self {
        Self(fixture.store.begin().await.unwrap())
    }

    async fn load(&mut self, want: Want) -> Result<Rows> {
        self.0.load(&want).await.map(sorted)
    }

    async fn save(&mut self, changes: ChangeSet) {
        self.0.save(&changes, &Default::default()).await.unwrap();
    }

    async fn commit(self) {
        self.0.commit().await.unwrap();
    }

    /// Commits when another waits for it.
    async fn commit_late(self, database: &Database) {
        database.somebody_waits().await;
        self.commit().await;
    }
}

/// These tasks.
fn want(ids: impl IntoIterator<Item = u32>) -> Want {
    Want { tasks: ids.into_iter().map(|n| (NAMESPACE, task_id(n))).collect(), ..Want::default() }
}
