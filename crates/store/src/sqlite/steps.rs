//! Durable steps: what rules want and record, and reads. A batch without steps runs none of these statements.

use super::error::sqlite_error;
use super::load::rows_at_most;
use super::many::{Binds, Many};
use super::save::bind_payload;
use crate::columns::Columns;
use crate::rows::{self, step_columns};
use crate::{Result, StepPage};
use callboard_core::model::TaskStep;
use callboard_core::working_set::{Rows, RunRef, StepRef, TaskRef, Want};
use sqlx::SqliteConnection;
use std::collections::BTreeSet;

static RECORDED: Many = Many::values(
    "SELECT w.namespace, w.task, w.run, w.name, w.occurrence, w.digest FROM (VALUES ",
    "(?,?,?,?,?)",
    ") AS v CROSS JOIN steps AS w INDEXED BY steps_key ON w.namespace = v.column1 AND w.task = v.column2 \
     AND w.run = v.column3 AND w.name = v.column4 AND w.occurrence = v.column5",
);
static TOTALS: Many = Many::union(
    "SELECT * FROM (SELECT namespace, task, run, ordinal, bytes_so_far FROM steps INDEXED BY steps_run \
     WHERE namespace = ? AND task = ? AND run = ? ORDER BY ordinal DESC LIMIT 1)",
);
static NEW_STEPS: Many = Many::values(
    "INSERT OR ROLLBACK INTO steps (namespace, task, run, ordinal, name, occurrence, attempt, recorded_at, digest, bytes_so_far, \
     content_type, metadata, content) SELECT * FROM (VALUES ",
    "(?,?,?,?,?,?,?,?,?,?,?,?,?)",
    ") WHERE column1 IS NOT NULL",
);
/// As many as fit the bytes, or one: the bytes are counted from the step that the page begins behind.
const PAGE: &str = concat!(
    "SELECT (SELECT max(ordinal) FROM steps INDEXED BY steps_run WHERE namespace = ?1 AND task = ?2 AND run = ?3), ",
    step_columns!(),
    " FROM steps INDEXED BY steps_run WHERE namespace = ?1 AND task = ?2 AND run = ?3 AND ordinal > ?4 \
     AND (ordinal = ?4 + 1 OR bytes_so_far <= ?6 + ifnull((SELECT b.bytes_so_far FROM steps AS b INDEXED BY steps_run \
     WHERE b.namespace = ?1 AND b.task = ?2 AND b.run = ?3 AND b.ordinal = ?4), 0)) ORDER BY ordinal LIMIT ?5"
);
const TRIMMED: &str = "DELETE FROM steps WHERE rowid IN (SELECT rowid FROM steps INDEXED BY steps_run \
     WHERE namespace = ? AND task = ? ORDER BY run, ordinal LIMIT ?)";

fn bind_run(binds: &mut Binds, (namespace, task, run): &RunRef) -> Result<()> {
    binds.add(namespace.0)?;
    binds.id(task.0)?;
    binds.add(*run)
}

/// The steps that are wanted and recorded, and what their runs have.
pub async fn load(connection: &mut SqliteConnection, want: &Want, rows: &mut Rows) -> Result<()> {
    let wanted: Vec<&StepRef> = want.steps.iter().collect();
    let bind = |binds: &mut Binds, (run, key): &&StepRef| {
        bind_run(binds, run)?;
        binds.add(&*key.name)?;
        binds.add(key.occurrence)
    };
    let steps = &mut rows.steps;
    RECORDED
        .fetch(connection, &wanted, bind, |row| {
            steps.push(rows::recorded_step(row)?);
            Ok(())
        })
        .await?;
    let runs: Vec<RunRef> = BTreeSet::from_iter(wanted.iter().map(|(run, _)| *run)).into_iter().collect();
    let totals = &mut rows.step_totals;
    TOTALS
        .fetch(connection, &runs, bind_run, |row| {
            totals.push(rows::step_totals(row)?);
            Ok(())
        })
        .await
}

/// Records steps.
pub async fn save(connection: &mut SqliteConnection, steps: &[TaskStep]) -> Result<()> {
    let bind = |binds: &mut Binds, step: &TaskStep| {
        bind_run(binds, &(step.namespace, step.task, step.run))?;
        binds.add(step.ordinal)?;
        binds.add(&*step.key.name)?;
        binds.add(step.key.occurrence)?;
        binds.add(step.attempt)?;
        binds.add(step.recorded_at.0)?;
        binds.add(step.digest.cast_signed())?;
        binds.add(step.bytes_so_far.cast_signed())?;
        bind_payload(binds, &step.result)
    };
    NEW_STEPS.execute(connection, steps, bind).await?;
    Ok(())
}

/// A page of a run's steps.
pub async fn page(
    connection: &mut SqliteConnection,
    run: RunRef,
    after: u32,
    limit: usize,
    max_bytes: usize,
) -> Result<StepPage> {
    let query = sqlx::query(PAGE).bind(run.0.0).bind(run.1.0.as_bytes().to_vec()).bind(run.2).bind(after);
    let query = query.bind(rows_at_most(limit)).bind(rows_at_most(max_bytes));
    let found = query.fetch_all(connection).await.map_err(sqlite_error)?;
    let count = found.first().map_or(Ok(0), |row| row.small(0))?;
    let steps = found.iter().map(|row| rows::step(row, run)).collect::<Result<_>>()?;
    Ok(StepPage { steps, count })
}

/// Removes the first steps of a task that has many.
pub async fn trim(connection: &mut SqliteConnection, (namespace, task): TaskRef, most: i64) -> Result<()> {
    let query = sqlx::query(TRIMMED).bind(namespace.0).bind(task.0.as_bytes().to_vec()).bind(most);
    query.execute(connection).await.map_err(sqlite_error)?;
    Ok(())
}

/// Every statement, to look at its plan.
#[cfg(test)]
pub fn statements() -> Vec<&'static Many> {
    vec![&RECORDED, &TOTALS, &NEW_STEPS]
}

/// Every query of one row of values, for the same.
#[cfg(test)]
pub const QUERIES: [&str; 2] = [PAGE, TRIMMED];
