//! Workflows: what rules want and change. A batch without workflows runs none of these statements.

use super::convert::Values;
use super::save::check;
use super::transaction::{PgTransaction, Table};
use crate::Result;
use crate::codec::to_json;
use crate::workflow_rows::{self, state_code, workflow_columns};
use callboard_core::model::Workflow;
use callboard_core::working_set::{ChangeSet, Changed, Rows, TaskRef, Want, WorkflowRef};
use std::collections::BTreeSet;

const WORKFLOWS: &str = concat!(
    "SELECT ",
    workflow_columns!(),
    " FROM workflows AS w WHERE w.namespace = ANY($1) AND w.id = ANY($2) ORDER BY w.namespace, w.id FOR UPDATE"
);
const TASKS: &str = "SELECT w.namespace, w.workflow, w.ordinal, w.task, w.name, w.format \
     FROM unnest($1::bigint[], $2::uuid[], $3::bigint[], $4::bigint[]) AS v (namespace, workflow, first, behind) \
     JOIN workflow_tasks AS w ON w.namespace = v.namespace AND w.workflow = v.workflow \
     AND w.ordinal >= v.first AND w.ordinal < v.behind";
const NEW_WORKFLOWS: &str = "INSERT INTO workflows (namespace, id, version, state, ended_at, cancel_next, data, name, created_by, \
     created_at, spec) SELECT * FROM unnest($1::bigint[], $2::uuid[], $3::bigint[], $4::bigint[], $5::bigint[], $6::bigint[], \
     $7::text[], $8::text[], $9::text[], $10::bigint[], $11::text[])";
const CHANGED_WORKFLOWS: &str = "UPDATE workflows AS w SET version = v.version, state = v.state, ended_at = v.ended_at, \
     cancel_next = v.cancel_next, data = v.data, format = 1 \
     FROM unnest($1::bigint[], $2::uuid[], $3::bigint[], $4::bigint[], $5::bigint[], $6::bigint[], $7::text[], $8::bigint[]) \
     AS v (namespace, id, version, state, ended_at, cancel_next, data, expected) \
     WHERE w.namespace = v.namespace AND w.id = v.id AND w.version = v.expected";
const NEW_TASKS: &str = "INSERT INTO workflow_tasks (namespace, workflow, ordinal, task, name) \
     SELECT * FROM unnest($1::bigint[], $2::uuid[], $3::bigint[], $4::uuid[], $5::text[])";
/// From the first workflow on, older programs are refused.
const NEEDED: &str = "UPDATE callboard_meta SET value = 7 WHERE name = 'min_version' AND value < 7";

/// Tasks of workflows, which are added to `tasks`, to be locked with the others.
pub async fn load_tasks(
    transaction: &mut PgTransaction,
    want: &Want,
    rows: &mut Rows,
    tasks: &mut BTreeSet<TaskRef>,
) -> Result<()> {
    if want.workflow_tasks.is_empty() {
        return Ok(());
    }
    let wanted: Vec<_> = want.workflow_tasks.iter().collect();
    let values = Values::default()
        .each(&wanted, |(workflow, _)| workflow.0.0)
        .each(&wanted, |(workflow, _)| workflow.1.0)
        .each(&wanted, |(_, ordinals)| i64::from(ordinals.start))
        .each(&wanted, |(_, ordinals)| i64::from(ordinals.end));
    let found = transaction.fetch(TASKS, values).await?;
    rows.workflow_tasks = found.iter().map(workflow_rows::workflow_task).collect::<Result<_>>()?;
    tasks.extend(rows.workflow_tasks.iter().map(|task| (task.namespace, task.task)));
    Ok(())
}

/// The workflows that are wanted and exist, locked.
pub async fn load(transaction: &mut PgTransaction, want: &Want, rows: &mut Rows) -> Result<()> {
    if want.workflows.is_empty() {
        return Ok(());
    }
    let wanted: Vec<WorkflowRef> = want.workflows.iter().copied().collect();
    transaction.will_lock(Table::Workflows, wanted.iter().map(|(namespace, id)| (*namespace, id.0))).await?;
    let namespaces: BTreeSet<i64> = wanted.iter().map(|(namespace, _)| namespace.0).collect();
    let ids: Vec<_> = wanted.iter().map(|(_, id)| id.0).collect();
    let values = Values::default().one(Vec::from_iter(namespaces)).one(ids);
    let found = transaction.fetch(WORKFLOWS, values).await?;
    let found = found.iter().map(workflow_rows::workflow).collect::<Result<Vec<_>>>()?;
    rows.workflows = found.into_iter().filter(|row| want.workflows.contains(&(row.namespace, row.id))).collect();
    Ok(())
}

/// Saves workflows, and adds their new tasks.
pub async fn save(transaction: &mut PgTransaction, changes: &ChangeSet) -> Result<()> {
    let (new, changed): (Vec<_>, Vec<_>) = changes.workflows.iter().partition(|changed| changed.expected == 0);
    if !changed.is_empty() {
        let values = changing(&changed).each(&changed, |changed| changed.expected);
        let updated = transaction.execute(CHANGED_WORKFLOWS, values).await?;
        check(changed.len(), "workflows", updated)?;
    }
    if !new.is_empty() {
        transaction.execute(NEEDED, Values::default()).await?;
        let values = changing(&new)
            .each_text(&new, |new| &new.row.spec.name)
            .each_text(&new, |new| &new.row.created_by)
            .each(&new, |new| new.row.created_at.0)
            .each_made(&new, |new| to_json(&*new.row.spec));
        transaction.execute(NEW_WORKFLOWS, values).await?;
    }
    let tasks = &changes.workflow_tasks;
    if !tasks.is_empty() {
        let values = Values::default()
            .each(tasks, |task| task.namespace.0)
            .each(tasks, |task| task.workflow.0)
            .each(tasks, |task| i64::from(task.ordinal))
            .each(tasks, |task| task.task.0)
            .each_text_or_null(tasks, |task| task.name.as_deref());
        transaction.execute(NEW_TASKS, values).await?;
    }
    Ok(())
}

fn changing(rows: &[&Changed<Workflow>]) -> Values {
    Values::default()
        .each(rows, |changed| changed.row.namespace.0)
        .each(rows, |changed| changed.row.id.0)
        .each(rows, |changed| changed.row.version)
        .each(rows, |changed| state_code(changed.row.state()))
        .each(rows, |changed| changed.row.ended_at.map(|at| at.0))
        .each(rows, |changed| changed.row.cancel_next.map(i64::from))
        .each_made(rows, |changed| workflow_rows::data(&changed.row))
}
