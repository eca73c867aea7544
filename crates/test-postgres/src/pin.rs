//! A reader that holds a snapshot: what is deleted or changed meanwhile can't be removed.

use super::Cluster;
use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::{ConnectOptions, Connection};

/// A transaction that sees the database as it was, for as long as it is kept.
#[derive(Debug)]
pub struct Pin(PgConnection);

impl Cluster {
    /// Holds a snapshot of a database.
    ///
    /// # Panics
    ///
    /// When the database can't be connected to.
    pub async fn pin(&self, url: &str) -> Pin {
        let options: PgConnectOptions = url.parse().expect("a URL");
        let mut connection = options.connect().await.expect("a connection");
        let begin = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; TABLE pg_database";
        sqlx::raw_sql(begin).execute(&mut connection).await.expect("a snapshot is taken");
        Pin(connection)
    }
}

impl Pin {
    /// Lets it go.
    ///
    /// # Panics
    ///
    /// When it was lost meanwhile: then nothing was pinned.
    pub async fn release(mut self) {
        sqlx::raw_sql("TABLE pg_database; COMMIT")
            .execute(&mut self.0)
            .await
            .expect("the snapshot was held to the end");
        self.0.close().await.expect("the connection closes");
    }
}
