//! How long tasks of a type took.

use super::many::{Binds, Many};
use crate::Result;
use crate::codec;
use crate::codec::readable;
use crate::columns::Columns;
use crate::durations::{Durations, MAX_TYPES, looked_at};
use callboard_core::model::{NamespaceId, Span};
use sqlx::SqliteConnection;
use std::collections::HashMap;
use std::sync::Arc;

/// The latest of each type that completed (4), above the lowest that is looked at.
static LATEST: Many = Many::union(
    "SELECT * FROM (SELECT s.task_type, t.data, t.format FROM task_specs AS s INDEXED BY task_specs_type \
     CROSS JOIN tasks AS t ON t.namespace = s.namespace AND t.id = s.task \
     WHERE s.namespace = ? AND s.task_type = ? AND s.task >= ifnull((SELECT f.task FROM task_specs AS f INDEXED BY task_specs_type \
     WHERE f.namespace = ? AND f.task_type = ? ORDER BY f.task DESC LIMIT 1 OFFSET ifnull(?,0)), x'') AND t.state = 4 \
     ORDER BY s.task DESC LIMIT 100)",
);

/// See [`crate::Store::mean_durations`].
pub async fn means(
    connection: &mut SqliteConnection,
    namespace: NamespaceId,
    types: &[Arc<str>],
) -> Result<HashMap<Arc<str>, Span>> {
    let types = &types[..types.len().min(MAX_TYPES)];
    let behind = i64::try_from(looked_at(types.len()) - 1).unwrap_or(i64::MAX);
    let bind = |binds: &mut Binds, task_type: &Arc<str>| {
        for _ in 0..2 {
            binds.add(namespace.0)?;
            binds.add(task_type.clone())?;
        }
        binds.add(behind)
    };
    let mut durations = Durations::default();
    LATEST
        .fetch(connection, types, bind, |row| {
            readable(row.number(2)?, "tasks")?;
            durations.add(&row.text(0)?, codec::time_taken(row.json(1)?)?);
            Ok(())
        })
        .await?;
    Ok(durations.means())
}

/// Every statement, so that a test can look at its plan.
#[cfg(test)]
pub fn statements() -> Vec<&'static Many> {
    vec![&LATEST]
}
