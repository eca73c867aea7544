//! Children of runs: what rules want and create, and reads. A batch without children runs none of these statements.
//!
//! Whoever asks for children has loaded their parent before, and so has it locked: nobody else creates any meanwhile.

use super::convert::Values;
use super::store::{Shared, Sql, rows_at_most};
use super::transaction::PgTransaction;
use crate::codec::on_parent_end_code;
use crate::columns::Columns;
use crate::rows::{self, child_columns, task_columns};
use crate::{ChildPage, Result};
use callboard_core::model::TaskChild;
use callboard_core::working_set::{Rows, RunRef, TaskRef, Want};
use std::collections::BTreeSet;

const FOUND: &str = "SELECT c.namespace, c.task, c.run, c.name, c.occurrence, c.child \
     FROM unnest($1::bigint[], $2::uuid[], $3::bigint[], $4::text[], $5::bigint[]) AS v (namespace, task, run, name, occurrence) \
     JOIN children AS c USING (namespace, task, run, name, occurrence)";
const COUNTS: &str = "SELECT v.namespace, v.task, v.run, l.ordinal \
     FROM unnest($1::bigint[], $2::uuid[], $3::bigint[]) AS v (namespace, task, run) CROSS JOIN LATERAL \
     (SELECT ordinal FROM children AS c WHERE c.namespace = v.namespace AND c.task = v.task AND c.run = v.run \
     ORDER BY ordinal DESC LIMIT 1) AS l";
/// Those that are cancelled with their run, and whether they live.
const OF_RUNS: &str = "SELECT c.namespace, c.task, c.run, c.child, t.live \
     FROM unnest($1::bigint[], $2::uuid[], $3::bigint[]) AS v (namespace, task, run) \
     JOIN children AS c USING (namespace, task, run) LEFT JOIN tasks AS t ON t.namespace = c.namespace AND t.id = c.child \
     WHERE c.on_parent_end = 0";
const NEW_CHILDREN: &str = "INSERT INTO children (namespace, task, run, ordinal, name, occurrence, child, on_parent_end) \
     SELECT * FROM unnest($1::bigint[], $2::uuid[], $3::bigint[], $4::bigint[], $5::text[], $6::bigint[], $7::uuid[], $8::bigint[])";
const PAGE: &str = concat!(
    "SELECT ",
    task_columns!(),
    ", ",
    child_columns!(),
    " FROM children AS c LEFT JOIN tasks AS t ON t.namespace = c.namespace AND t.id = c.child \
     LEFT JOIN task_specs AS s ON s.namespace = c.namespace AND s.task = c.child \
     WHERE c.namespace = $1 AND c.task = $2 AND c.run = $3 AND c.ordinal > $4 ORDER BY c.ordinal LIMIT $5"
);

fn of_runs(runs: &[RunRef]) -> Values {
    Values::default().each(runs, |run| run.0.0).each(runs, |run| run.1.0).each(runs, |run| i64::from(run.2))
}

/// Children that end with their runs; those of them that live are added to `tasks`.
pub async fn load_of_runs(
    transaction: &mut PgTransaction,
    want: &Want,
    rows: &mut Rows,
    tasks: &mut BTreeSet<TaskRef>,
) -> Result<()> {
    if want.run_children.is_empty() {
        return Ok(());
    }
    let runs: Vec<RunRef> = want.run_children.iter().copied().collect();
    for row in &transaction.fetch(OF_RUNS, of_runs(&runs)).await? {
        let (run, child) = (rows::run(row)?, row.task_id(3)?);
        rows.run_children.push((run, child));
        if row.flag(4)? {
            tasks.insert((run.0, child));
        }
    }
    Ok(())
}

/// The children that are wanted and exist, and how many their runs have.
pub async fn load(transaction: &mut PgTransaction, want: &Want, rows: &mut Rows) -> Result<()> {
    if want.children.is_empty() {
        return Ok(());
    }
    let wanted: Vec<_> = want.children.iter().collect();
    let values = Values::default()
        .each(&wanted, |(run, _)| run.0.0)
        .each(&wanted, |(run, _)| run.1.0)
        .each(&wanted, |(run, _)| i64::from(run.2))
        .each_text(&wanted, |(_, key)| &key.name)
        .each(&wanted, |(_, key)| i64::from(key.occurrence));
    let found = transaction.fetch(FOUND, values).await?;
    rows.children = found.iter().map(rows::found_child).collect::<Result<_>>()?;
    let runs: Vec<RunRef> = BTreeSet::from_iter(wanted.iter().map(|(run, _)| *run)).into_iter().collect();
    let found = transaction.fetch(COUNTS, of_runs(&runs)).await?;
    rows.child_counts = found.iter().map(|row| Ok((rows::run(row)?, row.small(3)?))).collect::<Result<_>>()?;
    Ok(())
}

/// Adds new ones.
pub async fn save(transaction: &mut PgTransaction, children: &[TaskChild]) -> Result<()> {
    if children.is_empty() {
        return Ok(());
    }
    let values = Values::default()
        .each(children, |child| child.namespace.0)
        .each(children, |child| child.parent.0)
        .each(children, |child| i64::from(child.run))
        .each(children, |child| i64::from(child.ordinal))
        .each_text(children, |child| &child.key.name)
        .each(children, |child| i64::from(child.key.occurrence))
        .each(children, |child| child.child.0)
        .each(children, |child| on_parent_end_code(child.on_parent_end));
    transaction.execute(NEW_CHILDREN, values).await?;
    Ok(())
}

/// A page of a run's children, each with its task.
pub async fn page(shared: &Shared, run: RunRef, after: u32, limit: usize) -> Result<ChildPage> {
    let values = || {
        let values = Values::default().one(run.0.0).one(run.1.0).one(i64::from(run.2)).one(i64::from(after));
        values.one(rows_at_most(limit))
    };
    let found = shared.read(Sql::Fixed(PAGE), values).await?;
    found.iter().map(|row| rows::child(row, run)).collect()
}
