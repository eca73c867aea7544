//! Which schema a database has, whether we may use it, and how it becomes ours.

use super::connections::Lent;
use super::convert::Values;
use super::error::pg_error;
use crate::columns::Columns;
use crate::{Error, Result};
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// What replicas that start at once wait for, one after the other: "CALB".
const LOCK: i64 = 0x4341_4c42;
/// How long a migration waits for a table. Longer than PostgreSQL's `deadlock_timeout` (1 s, if nobody changed it), behind which it takes
/// an autovacuum out of the way; a third of the time in which servers that run must have renewed their registrations.
const MOST_WAITED: &str = "'1500ms'";
/// How long it leaves the tables to others before it tries again.
const LEFT_TO_OTHERS: Duration = Duration::from_secs(1);
/// How often it is told that a migration waits.
const TELL_AGAIN: Duration = Duration::from_secs(10);
/// The oldest PostgreSQL that its statements are written for.
const OLDEST_POSTGRES: i64 = 140_000;

/// A step of the schema: from the version before to this.
struct Migration {
    version: i64,
    sql: &'static str,
}

/// In order, without gaps. One that was released never changes.
const MIGRATIONS: [Migration; 17] = [
    Migration { version: 1, sql: include_str!("../../migrations/postgres/0001_spine.sql") },
    Migration { version: 2, sql: include_str!("../../migrations/postgres/0002_replicas.sql") },
    Migration { version: 3, sql: include_str!("../../migrations/postgres/0003_steps.sql") },
    Migration { version: 4, sql: include_str!("../../migrations/postgres/0004_output.sql") },
    Migration { version: 5, sql: include_str!("../../migrations/postgres/0005_children.sql") },
    Migration { version: 6, sql: include_str!("../../migrations/postgres/0006_conditions.sql") },
    Migration { version: 7, sql: include_str!("../../migrations/postgres/0007_workflows.sql") },
    Migration { version: 8, sql: include_str!("../../migrations/postgres/0008_workflow_names.sql") },
    Migration { version: 9, sql: include_str!("../../migrations/postgres/0009_task_types.sql") },
    Migration { version: 10, sql: include_str!("../../migrations/postgres/0010_placement.sql") },
    Migration { version: 11, sql: include_str!("../../migrations/postgres/0011_limits.sql") },
    Migration { version: 12, sql: include_str!("../../migrations/postgres/0012_timelines.sql") },
    Migration { version: 13, sql: include_str!("../../migrations/postgres/0013_floors.sql") },
    Migration { version: 14, sql: include_str!("../../migrations/postgres/0014_agent_counts.sql") },
    Migration { version: 15, sql: include_str!("../../migrations/postgres/0015_live_counts.sql") },
    Migration { version: 16, sql: include_str!("../../migrations/postgres/0016_vacuum.sql") },
    Migration { version: 17, sql: include_str!("../../migrations/postgres/0017_addresses.sql") },
];

/// The schema that this program knows.
pub const SCHEMA_VERSION: i64 = MIGRATIONS[MIGRATIONS.len() - 1].version;

/// What the server says of itself, and of our schema.
const SERVER: &str = "SELECT current_setting('server_version_num')::bigint, current_setting('server_encoding'), \
     current_setting('synchronous_commit'), current_setting('fsync'), pg_is_in_recovery(), \
     to_regclass('callboard_meta') IS NOT NULL, EXISTS (SELECT 1 FROM pg_class AS c \
     WHERE c.relnamespace = (SELECT oid FROM pg_namespace WHERE nspname = current_schema()) AND c.relkind IN ('r', 'p') \
     AND NOT EXISTS (SELECT 1 FROM pg_depend AS d WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e')), \
     current_schema() IS NOT NULL, pg_database_size(current_database())";

/// What is known of a database before it is used.
pub struct Found {
    /// 0: none yet.
    pub schema: i64,
    /// Its size.
    pub bytes: i64,
    /// The server's version, as `150004`.
    pub server: i64,
}

/// Refuses what isn't ours, is too new, or could not keep our promises. Changes nothing.
pub async fn verify(connection: &mut Lent) -> Result<Found> {
    let row = connection.fetch(SERVER, Values::default()).await?;
    let row = row.first().ok_or_else(|| Error::Corrupt("the server says nothing of itself".into()))?;
    let server = row.number(0)?;
    if server < OLDEST_POSTGRES {
        return refuse(format!("PostgreSQL is {}, and must be 14 or newer; upgrade it", server / 10_000));
    }
    let encoding = row.text(1)?;
    if encoding != "UTF8" {
        let remedy = "create the database with ENCODING 'UTF8'";
        return refuse(format!("the database's encoding is {encoding}, and must be UTF8; {remedy}"));
    }
    if row.text(2)? == "off" {
        return refuse("synchronous_commit is off: what was acknowledged could be lost; set it to on".into());
    }
    if row.text(3)? == "off" {
        tracing::warn!("fsync is off on the PostgreSQL server: a power cut loses what was acknowledged");
    }
    if row.flag(4)? {
        return refuse("the server is a standby, which can't be written to; name the primary".into());
    }
    if !row.flag(7)? {
        return refuse("no schema of the search path exists; create it, or set another search_path".into());
    }
    let schema = match (row.flag(5)?, row.flag(6)?) {
        (true, _) => version(connection).await?,
        (false, false) => 0,
        (false, true) => {
            let remedy = "create one for callboard alone";
            return refuse(format!("the database has tables of another application; {remedy}"));
        }
    };
    Ok(Found { schema, bytes: row.number(8)?, server })
}

fn refuse<T>(text: String) -> Result<T> {
    Err(Error::Unusable(text))
}

/// The schema of a database that is ours. One that needs a newer program is refused.
async fn version(connection: &mut Lent) -> Result<i64> {
    let sql = "SELECT name, value FROM callboard_meta WHERE name IN ('schema', 'min_version')";
    let (mut schema, mut needed) = (None, None);
    for row in &connection.fetch(sql, Values::default()).await? {
        match &*row.text(0)? {
            "schema" => schema = Some(row.number(1)?),
            _ => needed = Some(row.number(1)?),
        }
    }
    let (Some(schema), Some(needed)) = (schema, needed) else {
        let text = "callboard_meta does not say which schema the database has; restore a backup";
        return Err(Error::Corrupt(text.into()));
    };
    is_known(needed).map(|()| schema)
}

/// Refuses a database that needs a newer program than this. One whose schema is newer and needs none is used: what was added to it is
/// left alone.
pub fn is_known(needed: i64) -> Result<()> {
    if needed <= SCHEMA_VERSION {
        return Ok(());
    }
    refuse(format!(
        "the database needs a version of callboard that knows schema {needed}, this one knows {SCHEMA_VERSION}; \
         start a newer version, or restore a backup made before the upgrade"
    ))
}

/// Brings the database up to date. Any number of replicas may do so at once.
pub async fn migrate(connection: &mut Lent) -> Result<()> {
    for Migration { version: to, sql } in &MIGRATIONS {
        let mut told = None;
        while !take_step(connection, *to, sql).await? {
            if told.is_none_or(|told: Instant| told.elapsed() >= TELL_AGAIN) {
                told = Some(Instant::now());
                tracing::warn!(
                    version = to,
                    "a migration waits for whoever uses a table that it changes (a pg_dump? a transaction that was left open? a vacuum?)"
                );
            }
            sleep(LEFT_TO_OTHERS).await;
        }
    }
    Ok(())
}

/// False when somebody had a table for too long. Whoever waits for a whole table has all those behind it who want a row of it, servers
/// that run too; so it waits for a moment, and gives way to them.
async fn take_step(connection: &mut Lent, to: i64, sql: &str) -> Result<bool> {
    connection.run(begin()).await.map_err(pg_error)?;
    // Another may have done it meanwhile.
    if verify(connection).await?.schema < to {
        let wait = format!("SET LOCAL lock_timeout = {MOST_WAITED}");
        let script = format!("{wait}; {sql}; UPDATE callboard_meta SET value = {to} WHERE name = 'schema'");
        match connection.run(script).await {
            Err(error) if is_in_the_way(&error) => {
                connection.run("ROLLBACK".into()).await.map_err(pg_error)?;
                return Ok(false);
            }
            said => said.map_err(pg_error)?,
        }
        tracing::info!(version = to, "migrated the PostgreSQL store");
    }
    connection.run("COMMIT".into()).await.map_err(pg_error)?;
    Ok(true)
}

/// `lock_not_available`. A deadlock is none: no migration may have one table and wait for another.
fn is_in_the_way(error: &sqlx::Error) -> bool {
    error.as_database_error().and_then(sqlx::error::DatabaseError::code).as_deref() == Some("55P03")
}

/// A transaction that is alone with the schema, and has time, whatever the role's settings are. The lock goes with the transaction: a pooler that gives the session's server to
/// another does no harm.
pub fn begin() -> String {
    format!("BEGIN; SET LOCAL statement_timeout = 0; SET LOCAL lock_timeout = 0; SELECT pg_advisory_xact_lock({LOCK})")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn migrations_are_numbered_without_gaps() {
        assert!(MIGRATIONS.iter().map(|migration| migration.version).eq(1..=SCHEMA_VERSION));
    }
}
