//! What is used of limit keys. A batch without tasks that have any runs none of these statements.
//!
//! The rows are locked until the end: who gives tasks out, and who ends them, see what the others did. One that does not exist yet can't be
//! locked; of two that make it one is a conflict.

use super::convert::Values;
use super::save::check;
use super::store::{Shared, Sql, rows_at_most};
use super::transaction::{PgTransaction, Table};
use crate::Result;
use crate::rows::{self, limit_columns};
use callboard_core::model::{LimitUse, Timestamp};
use callboard_core::working_set::{ChangeSet, Changed, LimitRef, Rows, Want};
use std::collections::BTreeSet;
use uuid::Uuid;

const LOCKED: &str = concat!(
    "SELECT ",
    limit_columns!(),
    " FROM limit_uses AS u WHERE u.namespace = ANY($1) AND u.key = ANY($2) ORDER BY u.namespace, u.key FOR UPDATE"
);
const USES: &str =
    concat!("SELECT ", limit_columns!(), " FROM limit_uses AS u WHERE u.namespace = ANY($1) AND u.key = ANY($2)");
const NEW: &str = "INSERT INTO limit_uses (namespace, key, version, in_use, due_at) \
     SELECT * FROM unnest($1::bigint[], $2::text[], $3::bigint[], $4::bigint[], $5::bigint[])";
const CHANGED: &str = "UPDATE limit_uses AS u SET version = v.version, in_use = v.in_use, due_at = v.due_at \
     FROM unnest($1::bigint[], $2::text[], $3::bigint[], $4::bigint[], $5::bigint[], $6::bigint[]) \
     AS v (namespace, key, version, in_use, due_at, expected) \
     WHERE u.namespace = v.namespace AND u.key = v.key AND u.version = v.expected";
const REMOVED: &str = "DELETE FROM limit_uses AS u USING unnest($1::bigint[], $2::text[], $3::bigint[]) \
     AS v (namespace, key, expected) WHERE u.namespace = v.namespace AND u.key = v.key AND u.version = v.expected";
const IDLE: &str = "SELECT namespace, key FROM limit_uses WHERE in_use = 0 AND due_at <= $1 ORDER BY due_at LIMIT $2";

/// The arrays of namespaces and keys. Rows of all pairs of them may be found, not only those that are meant.
fn of_limits(limits: &[LimitRef]) -> Values {
    let namespaces: BTreeSet<i64> = limits.iter().map(|(namespace, _)| namespace.0).collect();
    Values::default().one(Vec::from_iter(namespaces)).each_text(limits, |(_, key)| key)
}

/// What is used of limit keys, locked.
pub async fn load(transaction: &mut PgTransaction, want: &Want, rows: &mut Rows) -> Result<()> {
    if want.limits.is_empty() {
        return Ok(());
    }
    let wanted: Vec<LimitRef> = want.limits.iter().cloned().collect();
    // Keys have no ids to be told apart by: those that are locked later are taken to be out of order.
    transaction.will_lock(Table::Limits, wanted.iter().map(|(namespace, _)| (*namespace, Uuid::nil()))).await?;
    let found = transaction.fetch(LOCKED, of_limits(&wanted)).await?;
    let found = found.iter().map(rows::limit_use).collect::<Result<Vec<_>>>()?;
    rows.limits = found.into_iter().filter(|row| want.limits.contains(&(row.namespace, row.key.clone()))).collect();
    Ok(())
}

/// Saves them; what is not as expected is a conflict.
pub async fn save(transaction: &mut PgTransaction, changes: &ChangeSet) -> Result<()> {
    let removed = &changes.removed_limits;
    if !removed.is_empty() {
        let values = Values::default()
            .each(removed, |((namespace, _), _)| namespace.0)
            .each_text(removed, |((_, key), _)| key)
            .each(removed, |(_, expected)| *expected);
        let gone = transaction.execute(REMOVED, values).await?;
        check(removed.len(), "limit keys", gone)?;
    }
    let (new, changed): (Vec<_>, Vec<_>) = changes.limits.iter().partition(|changed| changed.expected == 0);
    if !changed.is_empty() {
        let values = columns(&changed).each(&changed, |changed| changed.expected);
        let updated = transaction.execute(CHANGED, values).await?;
        check(changed.len(), "limit keys", updated)?;
    }
    if !new.is_empty() {
        transaction.execute(NEW, columns(&new)).await?;
    }
    Ok(())
}

fn columns(rows: &[&Changed<LimitUse>]) -> Values {
    Values::default()
        .each(rows, |changed| changed.row.namespace.0)
        .each_text(rows, |changed| &changed.row.key)
        .each(rows, |changed| changed.row.version)
        .each(rows, |changed| i64::from(changed.row.in_use))
        .each(rows, |changed| changed.row.due_at.0)
}

/// What is used of limit keys.
pub async fn uses(shared: &Shared, limits: &[LimitRef]) -> Result<Vec<LimitUse>> {
    if limits.is_empty() {
        return Ok(Vec::new());
    }
    let found = shared.read(Sql::Fixed(USES), || of_limits(limits)).await?;
    let found = found.iter().map(rows::limit_use).collect::<Result<Vec<_>>>()?;
    Ok(found.into_iter().filter(|row| limits.contains(&(row.namespace, row.key.clone()))).collect())
}

/// Those of which nothing is used, the longest idle first.
pub async fn idle(shared: &Shared, now: Timestamp, limit: usize) -> Result<Vec<LimitRef>> {
    let found = shared.read(Sql::Fixed(IDLE), || Values::default().one(now.0).one(rows_at_most(limit))).await?;
    found.iter().map(rows::limit_ref).collect()
}
