//! What tasks gave, as far as conditions of dependencies ask for it. A batch without such conditions runs no statement of these.

use super::load::bind_task;
use super::many::Many;
use crate::{Result, rows};
use callboard_core::limits::MAX_CONDITION_RESULT;
use callboard_core::working_set::{Rows, TaskRef, Want};
use sqlx::SqliteConnection;

/// SQLite knows a content's size without reading it.
static RESULTS: Many = Many::values(
    "SELECT r.namespace, r.task, r.content_type, r.metadata, r.content FROM (VALUES ",
    "(?,?,?)",
    ") AS v CROSS JOIN payloads AS r ON r.namespace = v.column1 AND r.task = v.column2 AND r.kind = 0 \
     WHERE octet_length(r.content) <= v.column3",
);

/// The results that are wanted, and are not too large.
pub async fn load(connection: &mut SqliteConnection, want: &Want, rows: &mut Rows) -> Result<()> {
    let tasks: Vec<TaskRef> = want.results.iter().copied().collect();
    let results = &mut rows.results;
    let bind = |binds: &mut super::many::Binds, task: &TaskRef| {
        bind_task(binds, task)?;
        binds.add(MAX_CONDITION_RESULT as i64)
    };
    RESULTS
        .fetch(connection, &tasks, bind, |row| {
            let task = rows::task_ref(row)?;
            results.extend(rows::payload(row, 2)?.map(|result| (task, result)));
            Ok(())
        })
        .await
}

/// Every statement over many rows, so that a test can look at its plan.
#[cfg(test)]
pub(super) fn statements() -> Vec<&'static Many> {
    vec![&RESULTS]
}
