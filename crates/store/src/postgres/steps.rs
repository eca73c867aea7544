//! Durable steps: what rules want and record, and reads. A batch without steps runs none of these statements.
//!
//! Whoever asks for steps has loaded their task before, and so has it locked: nobody else records any meanwhile.

use super::convert::Values;
use super::store::{Shared, Sql, rows_at_most};
use super::transaction::PgTransaction;
use crate::columns::Columns;
use crate::rows::{self, step_columns};
use crate::{Result, StepPage};
use callboard_core::model::TaskStep;
use callboard_core::working_set::{Rows, RunRef, TaskRef, Want};
use std::collections::BTreeSet;

const RECORDED: &str = "SELECT w.namespace, w.task, w.run, w.name, w.occurrence, w.digest \
     FROM unnest($1::bigint[], $2::uuid[], $3::bigint[], $4::text[], $5::bigint[]) AS v (namespace, task, run, name, occurrence) \
     JOIN steps AS w USING (namespace, task, run, name, occurrence)";
const TOTALS: &str = "SELECT v.namespace, v.task, v.run, l.ordinal, l.bytes_so_far \
     FROM unnest($1::bigint[], $2::uuid[], $3::bigint[]) AS v (namespace, task, run) CROSS JOIN LATERAL \
     (SELECT ordinal, bytes_so_far FROM steps AS w WHERE w.namespace = v.namespace AND w.task = v.task AND w.run = v.run \
     ORDER BY ordinal DESC LIMIT 1) AS l";
const NEW_STEPS: &str = "INSERT INTO steps (namespace, task, run, ordinal, name, occurrence, attempt, recorded_at, digest, \
     bytes_so_far, content_type, metadata, content, is_text) SELECT * FROM unnest($1::bigint[], $2::uuid[], $3::bigint[], \
     $4::bigint[], $5::text[], $6::bigint[], $7::bigint[], $8::bigint[], $9::bigint[], $10::bigint[], $11::text[], $12::text[], \
     $13::bytea[], $14::bool[])";
/// As many as fit the bytes, or one: the bytes are counted from the step that the page begins behind.
const PAGE: &str = concat!(
    "SELECT (SELECT ordinal FROM steps WHERE namespace = $1 AND task = $2 AND run = $3 ORDER BY ordinal DESC LIMIT 1) AS steps, ",
    step_columns!(),
    ", is_text FROM steps WHERE namespace = $1 AND task = $2 AND run = $3 AND ordinal > $4 \
     AND (ordinal = $4 + 1 OR bytes_so_far <= $6 + coalesce((SELECT b.bytes_so_far FROM steps AS b \
     WHERE b.namespace = $1 AND b.task = $2 AND b.run = $3 AND b.ordinal = $4), 0)) ORDER BY ordinal LIMIT $5"
);
const TRIMMED: &str = "DELETE FROM steps WHERE (namespace, task, run, ordinal) IN (SELECT namespace, task, run, ordinal \
     FROM steps WHERE namespace = $1 AND task = $2 ORDER BY run, ordinal LIMIT $3)";

/// The steps that are wanted and recorded, and what their runs have.
pub async fn load(transaction: &mut PgTransaction, want: &Want, rows: &mut Rows) -> Result<()> {
    if want.steps.is_empty() {
        return Ok(());
    }
    let wanted: Vec<_> = want.steps.iter().collect();
    let values = Values::default()
        .each(&wanted, |(run, _)| run.0.0)
        .each(&wanted, |(run, _)| run.1.0)
        .each(&wanted, |(run, _)| i64::from(run.2))
        .each_text(&wanted, |(_, key)| &key.name)
        .each(&wanted, |(_, key)| i64::from(key.occurrence));
    let found = transaction.fetch(RECORDED, values).await?;
    rows.steps = found.iter().map(rows::recorded_step).collect::<Result<_>>()?;
    let runs: Vec<RunRef> = BTreeSet::from_iter(wanted.iter().map(|(run, _)| *run)).into_iter().collect();
    let values =
        Values::default().each(&runs, |run| run.0.0).each(&runs, |run| run.1.0).each(&runs, |run| i64::from(run.2));
    let found = transaction.fetch(TOTALS, values).await?;
    rows.step_totals = found.iter().map(rows::step_totals).collect::<Result<_>>()?;
    Ok(())
}

/// Records steps.
pub async fn save(transaction: &mut PgTransaction, steps: &[TaskStep]) -> Result<()> {
    if steps.is_empty() {
        return Ok(());
    }
    let values = Values::default()
        .each(steps, |step| step.namespace.0)
        .each(steps, |step| step.task.0)
        .each(steps, |step| i64::from(step.run))
        .each(steps, |step| i64::from(step.ordinal))
        .each_text(steps, |step| &step.key.name)
        .each(steps, |step| i64::from(step.key.occurrence))
        .each(steps, |step| i64::from(step.attempt))
        .each(steps, |step| step.recorded_at.0)
        .each(steps, |step| step.digest.cast_signed())
        .each(steps, |step| step.bytes_so_far.cast_signed())
        .payloads(steps, |step| &step.result);
    transaction.execute(NEW_STEPS, values).await?;
    Ok(())
}

/// A page of a run's steps.
pub async fn page(shared: &Shared, run: RunRef, after: u32, limit: usize, max_bytes: usize) -> Result<StepPage> {
    let values = || {
        let values = Values::default().one(run.0.0).one(run.1.0).one(i64::from(run.2)).one(i64::from(after));
        values.one(rows_at_most(limit)).one(rows_at_most(max_bytes).min(1 << 40))
    };
    let found = shared.read(Sql::Fixed(PAGE), values).await?;
    let count = found.first().map_or(Ok(0), |row| row.small(0))?;
    let steps = found.iter().map(|row| rows::step(row, run)).collect::<Result<_>>()?;
    Ok(StepPage { steps, count })
}

/// Removes the first steps of a task that has many.
pub async fn trim(transaction: &mut PgTransaction, (namespace, task): TaskRef, most: i64) -> Result<()> {
    transaction.execute(TRIMMED, Values::default().one(namespace.0).one(task.0).one(most)).await?;
    Ok(())
}
