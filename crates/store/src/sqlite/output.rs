//! Output of attempts: what rules want and add, and reads. A batch without output runs none of these statements.

use super::error::sqlite_error;
use super::load::rows_at_most;
use super::many::{Binds, Many};
use super::save::bind_payload;
use super::script::Script;
use crate::output_rows::{self, output_columns};
use crate::{OutputPage, Result};
use callboard_core::model::OutputChunk;
use callboard_core::working_set::{Rows, RunRef, TaskRef, Want};
use sqlx::SqliteConnection;

static TOTALS: Many = Many::union(
    "SELECT * FROM (SELECT namespace, task, run, start, size, ordinal, attempt, attempt_bytes FROM output INDEXED BY output_run \
     WHERE namespace = ? AND task = ? AND run = ? ORDER BY start DESC LIMIT 1)",
);
static NEW_OUTPUT: Many = Many::values(
    "INSERT OR ROLLBACK INTO output (namespace, task, run, start, size, ordinal, attempt, attempt_bytes, given_at, content_type, \
     metadata, content) SELECT * FROM (VALUES ",
    "(?,?,?,?,?,?,?,?,?,?,?,?)",
    ") WHERE column1 IS NOT NULL",
);
/// As many as fit the bytes, or one; the first is the one that the page's beginning falls into.
const PAGE: &str = concat!(
    "SELECT (SELECT e.start + e.size FROM output AS e INDEXED BY output_run WHERE e.namespace = ?1 AND e.task = ?2 AND e.run = ?3 \
     ORDER BY e.start DESC LIMIT 1), ",
    output_columns!(),
    " FROM output INDEXED BY output_run WHERE namespace = ?1 AND task = ?2 AND run = ?3 \
     AND start >= ifnull((SELECT max(b.start) FROM output AS b INDEXED BY output_run \
     WHERE b.namespace = ?1 AND b.task = ?2 AND b.run = ?3 AND b.start <= ?4), 0) AND start < ?5 \
     AND start + size > ?4 AND (start <= ?4 OR start + size <= ?5) ORDER BY start LIMIT ?6"
);
const TRIMMED: &str = "DELETE FROM output WHERE rowid IN (SELECT rowid FROM output INDEXED BY output_run \
     WHERE namespace = ? AND task = ? ORDER BY run, start LIMIT ?)";

fn bind_run(binds: &mut Binds, (namespace, task, run): &RunRef) -> Result<()> {
    binds.add(namespace.0)?;
    binds.id(task.0)?;
    binds.add(*run)
}

/// What the output of wanted runs has come to.
pub async fn load(connection: &mut SqliteConnection, want: &Want, rows: &mut Rows) -> Result<()> {
    let runs: Vec<RunRef> = want.output.iter().copied().collect();
    let totals = &mut rows.output;
    TOTALS
        .fetch(connection, &runs, bind_run, |row| {
            totals.push(output_rows::totals(row)?);
            Ok(())
        })
        .await
}

/// Adds output. With the rest of a batch, since it is what most batches of a stream of tokens are.
pub fn save<'a>(script: &mut Script<'a>, output: &'a [OutputChunk]) {
    let bind = |binds: &mut Binds, chunk: &OutputChunk| {
        bind_run(binds, &(chunk.namespace, chunk.task, chunk.run))?;
        binds.add(chunk.offset.cast_signed())?;
        binds.add((chunk.data.len() as u64).cast_signed())?;
        binds.add(chunk.ordinal)?;
        binds.add(chunk.attempt)?;
        binds.add(chunk.attempt_bytes.cast_signed())?;
        binds.add(chunk.given_at.0)?;
        bind_payload(binds, &chunk.data)
    };
    script.add(&NEW_OUTPUT, output, bind, None);
}

/// A page of a run's output.
pub async fn page(
    connection: &mut SqliteConnection,
    run: RunRef,
    offset: u64,
    limit: usize,
    max_bytes: usize,
) -> Result<OutputPage> {
    let (from, to) = output_rows::bounds(offset, max_bytes);
    let query = sqlx::query(PAGE).bind(run.0.0).bind(run.1.0.as_bytes().to_vec()).bind(run.2);
    let query = query.bind(from).bind(to).bind(rows_at_most(limit));
    let found = query.fetch_all(connection).await.map_err(sqlite_error)?;
    output_rows::page(&found, run)
}

/// Removes the first output of a task that has much.
pub async fn trim(connection: &mut SqliteConnection, (namespace, task): TaskRef, most: i64) -> Result<()> {
    let query = sqlx::query(TRIMMED).bind(namespace.0).bind(task.0.as_bytes().to_vec()).bind(most);
    query.execute(connection).await.map_err(sqlite_error)?;
    Ok(())
}

/// Every statement, to look at its plan.
#[cfg(test)]
pub fn statements() -> Vec<&'static Many> {
    vec![&TOTALS, &NEW_OUTPUT]
}

/// Every query of one row of values, for the same.
#[cfg(test)]
pub const QUERIES: [&str; 2] = [PAGE, TRIMMED];
