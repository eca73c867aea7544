//! Children of runs: what rules want and create, and reads. A batch without children runs none of these statements.

use super::error::sqlite_error;
use super::load::rows_at_most;
use super::many::{Binds, Many};
use crate::codec::on_parent_end_code;
use crate::columns::Columns;
use crate::rows::{self, child_columns, task_columns};
use crate::{ChildPage, Result};
use callboard_core::model::TaskChild;
use callboard_core::working_set::{ChildRef, Rows, RunRef, TaskRef, Want};
use sqlx::SqliteConnection;
use std::collections::BTreeSet;

static FOUND: Many = Many::values(
    "SELECT c.namespace, c.task, c.run, c.name, c.occurrence, c.child FROM (VALUES ",
    "(?,?,?,?,?)",
    ") AS v CROSS JOIN children AS c INDEXED BY children_key ON c.namespace = v.column1 AND c.task = v.column2 \
     AND c.run = v.column3 AND c.name = v.column4 AND c.occurrence = v.column5",
);
static COUNTS: Many = Many::union(
    "SELECT * FROM (SELECT namespace, task, run, ordinal FROM children INDEXED BY children_run \
     WHERE namespace = ? AND task = ? AND run = ? ORDER BY ordinal DESC LIMIT 1)",
);
/// Those that are cancelled with their run, and whether they live.
static OF_RUNS: Many = Many::values(
    "SELECT c.namespace, c.task, c.run, c.child, t.live IS NOT NULL FROM (VALUES ",
    "(?,?,?)",
    ") AS v CROSS JOIN children AS c INDEXED BY children_run ON c.namespace = v.column1 AND c.task = v.column2 \
     AND c.run = v.column3 LEFT JOIN tasks AS t ON t.namespace = c.namespace AND t.id = c.child WHERE c.on_parent_end = 0",
);
static NEW_CHILDREN: Many = Many::values(
    "INSERT OR ROLLBACK INTO children (namespace, task, run, ordinal, name, occurrence, child, on_parent_end) SELECT * FROM (VALUES ",
    "(?,?,?,?,?,?,?,?)",
    ") WHERE column1 IS NOT NULL",
);
const PAGE: &str = concat!(
    "SELECT ",
    task_columns!(),
    ", ",
    child_columns!(),
    " FROM children AS c INDEXED BY children_run LEFT JOIN tasks AS t ON t.namespace = c.namespace AND t.id = c.child \
     LEFT JOIN task_specs AS s ON s.namespace = c.namespace AND s.task = c.child \
     WHERE c.namespace = ? AND c.task = ? AND c.run = ? AND c.ordinal > ? ORDER BY c.ordinal LIMIT ?"
);

fn bind_run(binds: &mut Binds, (namespace, task, run): &RunRef) -> Result<()> {
    binds.add(namespace.0)?;
    binds.id(task.0)?;
    binds.add(*run)
}

/// Children that end with their runs; those of them that live are added to `tasks`.
pub async fn load_of_runs(
    connection: &mut SqliteConnection,
    want: &Want,
    rows: &mut Rows,
    tasks: &mut BTreeSet<TaskRef>,
) -> Result<()> {
    let runs: Vec<RunRef> = want.run_children.iter().copied().collect();
    let found = &mut rows.run_children;
    OF_RUNS
        .fetch(connection, &runs, bind_run, |row| {
            let (run, child) = (rows::run(row)?, row.task_id(3)?);
            found.push((run, child));
            if row.flag(4)? {
                tasks.insert((run.0, child));
            }
            Ok(())
        })
        .await
}

/// The children that are wanted and exist, and how many their runs have.
pub async fn load(connection: &mut SqliteConnection, want: &Want, rows: &mut Rows) -> Result<()> {
    let wanted: Vec<&ChildRef> = want.children.iter().collect();
    let bind = |binds: &mut Binds, (run, key): &&ChildRef| {
        bind_run(binds, run)?;
        binds.add(&*key.name)?;
        binds.add(key.occurrence)
    };
    let children = &mut rows.children;
    FOUND
        .fetch(connection, &wanted, bind, |row| {
            children.push(rows::found_child(row)?);
            Ok(())
        })
        .await?;
    let runs: Vec<RunRef> = BTreeSet::from_iter(wanted.iter().map(|(run, _)| *run)).into_iter().collect();
    let counts = &mut rows.child_counts;
    COUNTS
        .fetch(connection, &runs, bind_run, |row| {
            counts.push((rows::run(row)?, row.small(3)?));
            Ok(())
        })
        .await
}

/// Adds new ones.
pub async fn save(connection: &mut SqliteConnection, children: &[TaskChild]) -> Result<()> {
    let bind = |binds: &mut Binds, child: &TaskChild| {
        bind_run(binds, &(child.namespace, child.parent, child.run))?;
        binds.add(child.ordinal)?;
        binds.add(&*child.key.name)?;
        binds.add(child.key.occurrence)?;
        binds.id(child.child.0)?;
        binds.add(on_parent_end_code(child.on_parent_end))
    };
    NEW_CHILDREN.execute(connection, children, bind).await?;
    Ok(())
}

/// A page of a run's children, each with its task.
pub async fn page(connection: &mut SqliteConnection, run: RunRef, after: u32, limit: usize) -> Result<ChildPage> {
    let query = sqlx::query(PAGE).bind(run.0.0).bind(run.1.0.as_bytes().to_vec()).bind(run.2).bind(after);
    let found = query.bind(rows_at_most(limit)).fetch_all(connection).await.map_err(sqlite_error)?;
    found.iter().map(|row| rows::child(row, run)).collect()
}

/// Every statement, to look at its plan.
#[cfg(test)]
pub fn statements() -> Vec<&'static Many> {
    vec![&FOUND, &COUNTS, &OF_RUNS, &NEW_CHILDREN]
}

/// Every query of one row of values, for the same.
#[cfg(test)]
pub const QUERIES: [&str; 1] = [PAGE];
