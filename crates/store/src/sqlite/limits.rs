//! What is used of limit keys. A batch without tasks that have any runs none of these statements.

use super::error::sqlite_error;
use super::load::rows_at_most;
use super::many::{Binds, Many};
use super::script::check;
use crate::Result;
use crate::rows::{self, limit_columns};
use callboard_core::model::{LimitUse, Timestamp};
use callboard_core::working_set::{ChangeSet, Changed, LimitRef};
use sqlx::SqliteConnection;

static USES: Many = Many::values(
    concat!("SELECT ", limit_columns!(), " FROM (VALUES "),
    "(?,?)",
    ") AS v CROSS JOIN limit_uses AS u ON u.namespace = v.column1 AND u.key = v.column2",
);
static NEW: Many = Many::values(
    "INSERT OR ROLLBACK INTO limit_uses (namespace, key, version, in_use, due_at) SELECT * FROM (VALUES ",
    "(?,?,?,?,?)",
    ") WHERE column1 IS NOT NULL",
);
static CHANGED: Many = Many::values(
    "UPDATE OR ROLLBACK limit_uses SET version = v.column4, in_use = v.column5, due_at = v.column6 FROM (VALUES ",
    "(?,?,?,?,?,?)",
    ") AS v WHERE limit_uses.namespace = v.column1 AND limit_uses.key = v.column2 AND limit_uses.version = v.column3",
);
static REMOVED: Many = Many::single("DELETE FROM limit_uses WHERE namespace = ? AND key = ? AND version = ?");
const IDLE: &str = "SELECT namespace, key FROM limit_uses INDEXED BY limit_uses_idle WHERE in_use = 0 AND due_at <= ? \
     ORDER BY due_at LIMIT ?";

fn bind_ref(binds: &mut Binds, (namespace, key): &LimitRef) -> Result<()> {
    binds.add(namespace.0)?;
    binds.add(key.clone())
}

/// What is used of limit keys.
pub async fn load(connection: &mut SqliteConnection, wanted: &[LimitRef]) -> Result<Vec<LimitUse>> {
    let mut found = Vec::new();
    USES.fetch(connection, wanted, bind_ref, |row| {
        found.push(rows::limit_use(row)?);
        Ok(())
    })
    .await?;
    Ok(found)
}

/// Whether any changed.
pub fn has_limits(changes: &ChangeSet) -> bool {
    !changes.limits.is_empty() || !changes.removed_limits.is_empty()
}

/// Saves them; what is not as expected is a conflict.
pub async fn save(connection: &mut SqliteConnection, changes: &ChangeSet) -> Result<()> {
    let (new, changed): (Vec<_>, Vec<_>) = changes.limits.iter().partition(|changed| changed.expected == 0);
    let bind = |binds: &mut Binds, (at, expected): &(LimitRef, i64)| {
        bind_ref(binds, at)?;
        binds.add(*expected)
    };
    let removed = REMOVED.execute(connection, &changes.removed_limits, bind).await?;
    check(changes.removed_limits.len(), "limit keys", removed)?;
    let bind = |binds: &mut Binds, changed: &&Changed<LimitUse>| {
        bind_ref(binds, &(changed.row.namespace, changed.row.key.clone()))?;
        binds.add(changed.expected)?;
        bind_counts(binds, &changed.row)
    };
    let updated = CHANGED.execute(connection, &changed, bind).await?;
    check(changed.len(), "limit keys", updated)?;
    let bind = |binds: &mut Binds, changed: &&Changed<LimitUse>| {
        bind_ref(binds, &(changed.row.namespace, changed.row.key.clone()))?;
        bind_counts(binds, &changed.row)
    };
    NEW.execute(connection, &new, bind).await?;
    Ok(())
}

fn bind_counts(binds: &mut Binds, row: &LimitUse) -> Result<()> {
    binds.add(row.version)?;
    binds.add(i64::from(row.in_use))?;
    binds.add(row.due_at.0)
}

/// Those of which nothing is used, the longest idle first.
pub async fn idle(connection: &mut SqliteConnection, now: Timestamp, limit: usize) -> Result<Vec<LimitRef>> {
    let query = sqlx::query(IDLE).bind(now.0).bind(rows_at_most(limit));
    let found = query.fetch_all(connection).await.map_err(sqlite_error)?;
    found.iter().map(rows::limit_ref).collect()
}

/// Every query of one row of values, to look at its plan.
#[cfg(test)]
pub const QUERIES: [&str; 1] = [IDLE];

/// Every statement over many rows, for the same.
#[cfg(test)]
pub(super) fn statements() -> Vec<&'static Many> {
    vec![&USES, &NEW, &CHANGED, &REMOVED]
}
