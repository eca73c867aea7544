//! Saving what stands beside tasks: edges, payloads, answers.

use super::super::convert::Values;
use super::super::transaction::PgTransaction;
use crate::Result;
use crate::codec::{condition_columns, have_conditions, on_failure_code, to_json};
use callboard_core::Settings;
use callboard_core::model::{Content, NamespaceId, Payload, RequestRecord, TaskId};
use callboard_core::working_set::{ChangeSet, PayloadValue, TaskRef};

use std::borrow::Cow;

const NEW_EDGES: &str = "INSERT INTO edges (namespace, source, target, ordinal, on_failure, resolved, \
     format, condition, name) SELECT * FROM unnest($1::bigint[], $2::uuid[], $3::uuid[], $4::bigint[], $5::bigint[], $6::bool[], \
     $7::bigint[], $8::text[], $9::text[])";
/// From the first edge with a condition on, older programs are refused.
const NEEDED: &str = "UPDATE callboard_meta SET value = 6 WHERE name = 'min_version' AND value < 6";
const RESOLVED: &str = "UPDATE edges AS e SET resolved = $4 FROM unnest($1::bigint[], $2::uuid[], $3::uuid[]) \
     AS v (namespace, source, target) WHERE e.namespace = v.namespace AND e.source = v.source AND e.target = v.target";

/// New ones, then those resolved, then those that wait again: a task that waits once too often is told again, one that waits
/// for nothing would wait for ever.
pub async fn save_edges(transaction: &mut PgTransaction, changes: &ChangeSet) -> Result<()> {
    let new = &changes.edges;
    if !new.is_empty() {
        if have_conditions(new) {
            transaction.execute(NEEDED, Values::default()).await?;
        }
        let conditions: Vec<(i64, Option<String>)> = new.iter().map(condition_columns).collect::<Result<_>>()?;
        let values = Values::default()
            .each(new, |edge| edge.namespace.0)
            .each(new, |edge| edge.source.0)
            .each(new, |edge| edge.target.0)
            .each(new, |edge| i64::from(edge.ordinal))
            .each(new, |edge| on_failure_code(edge.terms.on_failure))
            .each(new, |edge| edge.resolved)
            .each(&conditions, |(format, _)| *format)
            .each_text_or_null(&conditions, |(_, condition)| condition.as_deref())
            .each_text_or_null(new, |edge| edge.terms.name.as_deref());
        transaction.execute(NEW_EDGES, values).await?;
    }
    for (edges, resolved) in [(&changes.resolved_edges, true), (&changes.reopened_edges, false)] {
        if !edges.is_empty() {
            transaction.execute(RESOLVED, edge_columns(edges).one(resolved)).await?;
        }
    }
    Ok(())
}

fn edge_columns(edges: &[(NamespaceId, TaskId, TaskId)]) -> Values {
    Values::default()
        .each(edges, |(namespace, _, _)| namespace.0)
        .each(edges, |(_, source, _)| source.0)
        .each(edges, |(_, _, target)| target.0)
}

/// A payload's row.
pub struct Row<'a> {
    task: TaskRef,
    kind: i64,
    payload: Cow<'a, Payload>,
}

/// The row of a payload; each is in place of the one before.
pub fn row<'a>(((task, kind), value): &((TaskRef, i64), &'a PayloadValue)) -> Result<Row<'a>> {
    let payload = match value {
        PayloadValue::Result(payload) | PayloadValue::Checkpoint(payload) => Cow::Borrowed(&**payload),
        PayloadValue::Failure(failure) => Cow::Owned(Payload {
            content_type: "application/json".into(),
            metadata: Default::default(),
            content: Content::Text(to_json(&**failure)?.into()),
        }),
    };
    Ok(Row { task: *task, kind: *kind, payload })
}

/// The columns of payloads.
pub fn payload_columns(values: Values, rows: &[Row<'_>]) -> Values {
    values
        .each(rows, |row| row.task.0.0)
        .each(rows, |row| row.task.1.0)
        .each(rows, |row| row.kind)
        .payloads(rows, |row| &row.payload)
}

/// The columns of answers.
pub fn request_columns(values: Values, rows: &[&RequestRecord], settings: &Settings) -> Values {
    values
        .each(rows, |record| record.key.namespace.0)
        .each_text(rows, |record| &record.key.principal)
        .each_text(rows, |record| &record.key.method)
        .each_text(rows, |record| &record.key.request_id)
        .each(rows, |record| record.digest.as_slice())
        .each_text(rows, |record| &record.reply)
        .each(rows, |record| (record.expires_at - settings.remember_requests).0)
        .each(rows, |record| record.expires_at.0)
}
