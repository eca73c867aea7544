//! Output of attempts: what rules want and add, and reads. A batch without output runs none of these statements.
//!
//! Whoever asks for output has loaded its task before, and so has it locked: nobody else adds any meanwhile.

use super::convert::Values;
use super::store::{Shared, rows_at_most};
use super::transaction::PgTransaction;
use crate::output_rows::{self, output_columns};
use crate::{OutputPage, Result};
use callboard_core::model::OutputChunk;
use callboard_core::working_set::{Rows, RunRef, TaskRef, Want};

const TOTALS: &str = "SELECT v.namespace, v.task, v.run, l.start, l.size, l.ordinal, l.attempt, l.attempt_bytes \
     FROM unnest($1::bigint[], $2::uuid[], $3::bigint[]) AS v (namespace, task, run) CROSS JOIN LATERAL \
     (SELECT start, size, ordinal, attempt, attempt_bytes FROM output AS o WHERE o.namespace = v.namespace AND o.task = v.task \
     AND o.run = v.run ORDER BY start DESC LIMIT 1) AS l";
const NEW_OUTPUT: &str = "INSERT INTO output (namespace, task, run, start, size, ordinal, attempt, attempt_bytes, given_at, \
     content_type, metadata, content, is_text) SELECT * FROM unnest($1::bigint[], $2::uuid[], $3::bigint[], $4::bigint[], \
     $5::bigint[], $6::bigint[], $7::bigint[], $8::bigint[], $9::bigint[], $10::text[], $11::text[], $12::bytea[], $13::bool[])";
/// As many as fit the bytes, or one; the first is the one that the page's beginning falls into.
const PAGE: &str = concat!(
    "SELECT (SELECT e.start + e.size FROM output AS e WHERE e.namespace = $1 AND e.task = $2 AND e.run = $3 \
     ORDER BY e.start DESC LIMIT 1) AS bytes, ",
    output_columns!(),
    ", is_text FROM output WHERE namespace = $1 AND task = $2 AND run = $3 \
     AND start >= coalesce((SELECT b.start FROM output AS b WHERE b.namespace = $1 AND b.task = $2 AND b.run = $3 \
     AND b.start <= $4 ORDER BY b.start DESC LIMIT 1), 0) AND start < $5 \
     AND start + size > $4 AND (start <= $4 OR start + size <= $5) ORDER BY start LIMIT $6"
);
const TRIMMED: &str = "DELETE FROM output WHERE (namespace, task, run, start) IN (SELECT namespace, task, run, start \
     FROM output WHERE namespace = $1 AND task = $2 ORDER BY run, start LIMIT $3)";

/// What the output of wanted runs has come to.
pub async fn load(transaction: &mut PgTransaction, want: &Want, rows: &mut Rows) -> Result<()> {
    if want.output.is_empty() {
        return Ok(());
    }
    let runs: Vec<RunRef> = want.output.iter().copied().collect();
    let values =
        Values::default().each(&runs, |run| run.0.0).each(&runs, |run| run.1.0).each(&runs, |run| i64::from(run.2));
    let found = transaction.fetch(TOTALS, values).await?;
    rows.output = found.iter().map(output_rows::totals).collect::<Result<_>>()?;
    Ok(())
}

/// Adds output.
pub async fn save(transaction: &mut PgTransaction, output: &[OutputChunk]) -> Result<()> {
    if output.is_empty() {
        return Ok(());
    }
    let values = Values::default()
        .each(output, |chunk| chunk.namespace.0)
        .each(output, |chunk| chunk.task.0)
        .each(output, |chunk| i64::from(chunk.run))
        .each(output, |chunk| chunk.offset.cast_signed())
        .each(output, |chunk| (chunk.data.len() as u64).cast_signed())
        .each(output, |chunk| i64::from(chunk.ordinal))
        .each(output, |chunk| i64::from(chunk.attempt))
        .each(output, |chunk| chunk.attempt_bytes.cast_signed())
        .each(output, |chunk| chunk.given_at.0)
        .payloads(output, |chunk| &chunk.data);
    transaction.execute(NEW_OUTPUT, values).await?;
    Ok(())
}

/// A page of a run's output.
pub async fn page(shared: &Shared, run: RunRef, offset: u64, limit: usize, max_bytes: usize) -> Result<OutputPage> {
    let (from, to) = output_rows::bounds(offset, max_bytes);
    let values = || {
        let values = Values::default().one(run.0.0).one(run.1.0).one(i64::from(run.2));
        values.one(from).one(to).one(rows_at_most(limit))
    };
    let found = shared.read_page(PAGE, values).await?;
    output_rows::page(&found, run)
}

/// Removes the first output of a task that has much.
pub async fn trim(transaction: &mut PgTransaction, (namespace, task): TaskRef, most: i64) -> Result<()> {
    transaction.execute(TRIMMED, Values::default().one(namespace.0).one(task.0).one(most)).await?;
    Ok(())
}
