//! What the PostgreSQL store alone promises: what only several writers can show, and what a database must be.

// Helpers of tests stand outside of tests.
#![allow(clippy::unwrap_used, clippy::panic)]

use callboard_store::Store;
use callboard_store::postgres::{PostgresOptions, PostgresStore};
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
    let turn = alone().await;
    let url = callboard_test_postgres::shared().database().await;
    let store = PostgresStore::open(&url, PostgresOptions::default()).await.unwrap();
    (Arc::new(store), turn)
}
