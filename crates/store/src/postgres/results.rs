//! What tasks gave, as far as conditions of dependencies ask for it. A batch without such conditions runs no statement of these.

use super::convert::Values;
use super::transaction::PgTransaction;
use crate::{Result, rows};
use callboard_core::limits::MAX_CONDITION_RESULT;
use callboard_core::working_set::{Rows, TaskRef, Want};

/// PostgreSQL knows a content's size without reading it.
const RESULTS: &str = "SELECT r.namespace, r.task, r.content_type, r.metadata, r.content, r.is_text \
     FROM unnest($1::bigint[], $2::uuid[]) AS v (namespace, task) JOIN payloads AS r USING (namespace, task) \
     WHERE r.kind = 0 AND octet_length(r.content) <= $3";

/// The results that are wanted, and are not too large. Their tasks have ended, and what they gave stays.
pub async fn load(transaction: &mut PgTransaction, want: &Want, rows: &mut Rows) -> Result<()> {
    if want.results.is_empty() {
        return Ok(());
    }
    let tasks: Vec<TaskRef> = want.results.iter().copied().collect();
    let values = Values::default().each(&tasks, |task| task.0.0).each(&tasks, |task| task.1.0);
    for row in &transaction.fetch(RESULTS, values.one(MAX_CONDITION_RESULT as i64)).await? {
        let task = rows::task_ref(row)?;
        rows.results.extend(rows::payload(row, 2)?.map(|result| (task, result)));
    }
    Ok(())
}
