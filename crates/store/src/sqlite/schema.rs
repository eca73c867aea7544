//! Which schema a file has, whether we may use it, and how it becomes ours.

use super::error::sqlite_error;
use crate::{Error, Result};
use sqlx::{AssertSqlSafe, SqliteConnection};
use std::path::Path;

/// "CALB": what `file` and we know our files by.
pub const APPLICATION_ID: i64 = 0x4341_4c42;

/// A step of the schema: from the version before to this.
struct Migration {
    version: i64,
    sql: &'static str,
}

/// In order, without gaps. One that was released never changes.
const MIGRATIONS: [Migration; 13] = [
    Migration { version: 1, sql: include_str!("../../migrations/sqlite/0001_spine.sql") },
    Migration { version: 2, sql: include_str!("../../migrations/sqlite/0002_messages.sql") },
    Migration { version: 3, sql: include_str!("../../migrations/sqlite/0003_retention.sql") },
    Migration { version: 4, sql: include_str!("../../migrations/sqlite/0004_checksums.sql") },
    Migration { version: 5, sql: include_str!("../../migrations/sqlite/0005_steps.sql") },
    Migration { version: 6, sql: include_str!("../../migrations/sqlite/0006_output.sql") },
    Migration { version: 7, sql: include_str!("../../migrations/sqlite/0007_children.sql") },
    Migration { version: 8, sql: include_str!("../../migrations/sqlite/0008_conditions.sql") },
    Migration { version: 9, sql: include_str!("../../migrations/sqlite/0009_workflows.sql") },
    Migration { version: 10, sql: include_str!("../../migrations/sqlite/0010_workflow_names.sql") },
    Migration { version: 11, sql: include_str!("../../migrations/sqlite/0011_task_types.sql") },
    Migration { version: 12, sql: include_str!("../../migrations/sqlite/0012_placement.sql") },
    Migration { version: 13, sql: include_str!("../../migrations/sqlite/0013_limits.sql") },
];

/// The schema that this program knows.
pub const SCHEMA_VERSION: i64 = MIGRATIONS[MIGRATIONS.len() - 1].version;

/// Refuses what isn't ours or is too new, and brings what is older up to date.
pub async fn prepare(connection: &mut SqliteConnection, path: &Path) -> Result<()> {
    let version = verify(connection, path).await?;
    for migration in MIGRATIONS.iter().filter(|migration| migration.version > version) {
        migrate(connection, migration).await?;
    }
    Ok(())
}

/// Refuses what isn't ours or is too new. Gives the schema that the file has; 0: none yet.
pub async fn verify(connection: &mut SqliteConnection, path: &Path) -> Result<i64> {
    let file = path.display();
    let application: i64 = number(connection, "PRAGMA application_id").await?;
    let tables: i64 = number(connection, "SELECT count(*) FROM sqlite_schema").await?;
    if application != APPLICATION_ID && (application != 0 || tables != 0) {
        let remedy = "choose another file";
        return Err(Error::Unusable(format!("{file} is an SQLite file of another application; {remedy}")));
    }
    let version = number(connection, "PRAGMA user_version").await?;
    if tables > 0 {
        check_min_version(connection, path).await?;
    } else if version > 0 {
        return Err(Error::Corrupt(format!("{file} has schema {version} and no tables; restore it from a backup")));
    }
    Ok(version)
}

async fn check_min_version(connection: &mut SqliteConnection, path: &Path) -> Result<()> {
    let needed = number(connection, "SELECT value FROM meta WHERE name = 'min_version'").await;
    let needed = needed.map_err(|error| match error {
        // No such table or row: the file says that it is ours, and isn't.
        Error::Data(text) | Error::Unavailable(text) => Error::Corrupt(text),
        other => other,
    })?;
    if needed <= SCHEMA_VERSION {
        return Ok(());
    }
    Err(Error::Unusable(format!(
        "{} needs a version of callboard that knows schema {needed}, this one knows {SCHEMA_VERSION}; \
         start a newer version, or restore a backup made before the upgrade",
        path.display()
    )))
}

/// One transaction: a crash in it leaves the file as it was.
async fn migrate(connection: &mut SqliteConnection, migration: &Migration) -> Result<()> {
    let Migration { version, sql } = migration;
    let script = format!(
        "BEGIN IMMEDIATE; {sql} PRAGMA application_id = {APPLICATION_ID}; PRAGMA user_version = {version}; COMMIT"
    );
    if let Err(error) = sqlx::raw_sql(AssertSqlSafe(script)).execute(&mut *connection).await {
        let _ = sqlx::raw_sql("ROLLBACK").execute(&mut *connection).await;
        return Err(sqlite_error(error));
    }
    tracing::info!(version, "migrated the SQLite store");
    Ok(())
}

/// The only number that a query gives.
pub async fn number(connection: &mut SqliteConnection, sql: &'static str) -> Result<i64> {
    sqlx::query_scalar(sql).fetch_one(connection).await.map_err(sqlite_error)
}

/// The only text that a query gives.
pub async fn text(connection: &mut SqliteConnection, sql: &'static str) -> Result<String> {
    sqlx::query_scalar(sql).fetch_one(connection).await.map_err(sqlite_error)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_log_is_marked_with_our_id() {
        assert!(super::super::writer::MARK.ends_with(&format!("= {APPLICATION_ID}")));
    }

    #[test]
    fn migrations_are_numbered_without_gaps() {
        assert!(MIGRATIONS.iter().map(|migration| migration.version).eq(1..=SCHEMA_VERSION));
    }
}
