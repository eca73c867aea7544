//! Workflows: what rules want and change. A batch without workflows runs none of these statements.

use super::convert::Values;
use super::save::check;
use super::store::{Shared, Sql, rows_at_most};
use super::transaction::{PgTransaction, Table};
use crate::codec::to_json;
use crate::rows::{self, TASK_COLUMNS, edge_columns, task_columns};
use crate::workflow_rows::{self, place_columns, state_code, workflow_columns};
use crate::{Result, WorkflowPage};
use callboard_core::model::{NamespaceId, Timestamp, Workflow, WorkflowId, WorkflowTask};
use callboard_core::working_set::{ChangeSet, Changed, Rows, TaskRef, Want, WorkflowRef};
use sqlx::postgres::PgRow;
use std::collections::BTreeSet;
use std::sync::Arc;
use uuid::Uuid;

const WORKFLOWS: &str = concat!(
    "SELECT ",
    workflow_columns!(),
    " FROM workflows AS w WHERE w.namespace = ANY($1) AND w.id = ANY($2) ORDER BY w.namespace, w.id FOR UPDATE"
);
const TASKS: &str = concat!(
    "SELECT ",
    place_columns!(),
    " FROM unnest($1::bigint[], $2::uuid[], $3::bigint[], $4::bigint[]) AS v (namespace, workflow, first, behind) \
     JOIN workflow_tasks AS p ON p.namespace = v.namespace AND p.workflow = v.workflow \
     AND p.ordinal >= v.first AND p.ordinal < v.behind"
);
const NAMES: &str = concat!(
    "SELECT ",
    place_columns!(),
    " FROM workflow_tasks AS p WHERE p.namespace = ANY($1) AND p.workflow = ANY($2) AND p.name = ANY($3)"
);
const NEW_WORKFLOWS: &str = "INSERT INTO workflows (namespace, id, version, state, ended_at, walk_next, data, format, name, \
     created_by, created_at, spec) SELECT * FROM unnest($1::bigint[], $2::uuid[], $3::bigint[], $4::bigint[], $5::bigint[], \
     $6::bigint[], $7::text[], $8::bigint[], $9::text[], $10::text[], $11::bigint[], $12::text[])";
const CHANGED_WORKFLOWS: &str = "UPDATE workflows AS w SET version = v.version, state = v.state, ended_at = v.ended_at, \
     walk_next = v.walk_next, data = v.data, format = v.format \
     FROM unnest($1::bigint[], $2::uuid[], $3::bigint[], $4::bigint[], $5::bigint[], $6::bigint[], $7::text[], $8::bigint[], \
     $9::bigint[]) AS v (namespace, id, version, state, ended_at, walk_next, data, format, expected) \
     WHERE w.namespace = v.namespace AND w.id = v.id AND w.version = v.expected";
const NEW_TASKS: &str = "INSERT INTO workflow_tasks (namespace, workflow, ordinal, task, name) \
     SELECT * FROM unnest($1::bigint[], $2::uuid[], $3::bigint[], $4::uuid[], $5::text[])";
/// From the first workflow on, older programs are refused.
const NEEDED: &str = "UPDATE callboard_meta SET value = 7 WHERE name = 'min_version' AND value < 7";
/// From the first one on that is held, those that know no holds.
const NEEDED_FOR_HOLDS: &str = "UPDATE callboard_meta SET value = 8 WHERE name = 'min_version' AND value < 8";

const ONE: &str = concat!("SELECT ", workflow_columns!(), " FROM workflows AS w WHERE w.namespace = $1 AND w.id = $2");
const LIST: &str = concat!(
    "SELECT ",
    workflow_columns!(),
    " FROM workflows AS w WHERE w.namespace = $1 AND w.id < $2 ORDER BY w.id DESC LIMIT $3"
);
const NAMED: &str = concat!(
    "SELECT ",
    workflow_columns!(),
    " FROM workflows AS w WHERE w.namespace = $1 AND w.id < $2 AND w.name = $4 ORDER BY w.id DESC LIMIT $3"
);
const PAGE: &str = concat!(
    "SELECT ",
    task_columns!(),
    ", ",
    place_columns!(),
    " FROM (SELECT * FROM workflow_tasks WHERE namespace = $1 AND workflow = $2 AND ordinal >= $3 ORDER BY ordinal LIMIT $4) AS p \
     JOIN tasks AS t ON t.namespace = p.namespace AND t.id = p.task \
     JOIN task_specs AS s ON s.namespace = p.namespace AND s.task = p.task ORDER BY p.ordinal"
);
const EDGES: &str = concat!(
    "SELECT ",
    edge_columns!(),
    " FROM workflow_tasks AS p JOIN edges AS e ON e.namespace = p.namespace AND e.target = p.task \
     WHERE p.namespace = $1 AND p.workflow = $2 AND p.ordinal >= $3 AND p.ordinal <= $4"
);
const WALKING: &str = "SELECT namespace, id FROM workflows WHERE walk_next IS NOT NULL ORDER BY id LIMIT $1";
const PURGED: &str = "DELETE FROM workflows WHERE (namespace, id) IN (SELECT w.namespace, w.id FROM workflows AS w \
     WHERE w.ended_at IS NOT NULL AND w.ended_at < $1 AND NOT EXISTS (SELECT 1 FROM workflow_tasks AS p \
     WHERE p.namespace = w.namespace AND p.workflow = w.id) ORDER BY w.ended_at, w.id LIMIT $2 FOR UPDATE SKIP LOCKED)";

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
    rows.workflow_tasks = found.iter().map(|row| workflow_rows::workflow_task(row, 0)).collect::<Result<_>>()?;
    tasks.extend(rows.workflow_tasks.iter().map(|task| (task.namespace, task.task)));
    Ok(())
}

/// Which tasks of workflows have wanted names. The workflows are locked by now, so that no name is taken meanwhile.
pub async fn load_names(transaction: &mut PgTransaction, want: &Want, rows: &mut Rows) -> Result<()> {
    if want.workflow_names.is_empty() {
        return Ok(());
    }
    let wanted = &want.workflow_names;
    let namespaces: BTreeSet<i64> = wanted.keys().map(|(namespace, _)| namespace.0).collect();
    let ids: Vec<_> = wanted.keys().map(|(_, id)| id.0).collect();
    let names: Vec<&Arc<str>> = wanted.values().flatten().collect();
    let values = Values::default().one(Vec::from_iter(namespaces)).one(ids).each_text(&names, |name| name);
    let found = transaction.fetch(NAMES, values).await?;
    let found = found.iter().map(|row| workflow_rows::workflow_task(row, 0)).collect::<Result<Vec<_>>>()?;
    // Of several workflows the names of all were asked of each.
    let is_wanted = |row: &WorkflowTask| {
        let names = wanted.get(&(row.namespace, row.workflow));
        names.zip(row.name.as_ref()).is_some_and(|(names, name)| names.contains(name))
    };
    rows.workflow_names = found.into_iter().filter(is_wanted).collect();
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
    if workflow_rows::have_holds(changes) {
        transaction.execute(NEEDED_FOR_HOLDS, Values::default()).await?;
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
        .each(rows, |changed| changed.row.walk.map(|walk| i64::from(walk.next)))
        .each_made(rows, |changed| workflow_rows::data(&changed.row))
        .each(rows, |changed| workflow_rows::format(&changed.row))
}

/// A workflow.
pub async fn one(shared: &Shared, (namespace, id): WorkflowRef) -> Result<Option<Workflow>> {
    let found = shared.read(Sql::Fixed(ONE), || Values::default().one(namespace.0).one(id.0)).await?;
    found.first().map(workflow_rows::workflow).transpose()
}

/// Workflows, newest first.
pub async fn list(
    shared: &Shared,
    namespace: NamespaceId,
    name: Option<&str>,
    before: Option<WorkflowId>,
    limit: usize,
) -> Result<Vec<Workflow>> {
    let values = || {
        let before = before.map_or(Uuid::max(), |before| before.0);
        let values = Values::default().one(namespace.0).one(before).one(rows_at_most(limit));
        match name {
            Some(name) => values.text(name),
            None => values,
        }
    };
    let sql = if name.is_some() { NAMED } else { LIST };
    let found = shared.read(Sql::Fixed(sql), values).await?;
    found.iter().map(workflow_rows::workflow).collect()
}

/// Tasks of a workflow, and the edges to them.
pub async fn page(shared: &Shared, (namespace, id): WorkflowRef, from: u32, limit: usize) -> Result<WorkflowPage> {
    let of_workflow = || Values::default().one(namespace.0).one(id.0).one(i64::from(from));
    let values = || of_workflow().one(rows_at_most(limit.saturating_add(1)));
    let found = shared.read(Sql::Fixed(PAGE), values).await?;
    let place = |row: &PgRow| Ok((workflow_rows::workflow_task(row, TASK_COLUMNS)?, rows::task(row)?));
    let tasks = found.iter().map(place).collect::<Result<Vec<_>>>()?;
    let last = tasks.last().map_or(from, |(place, _)| place.ordinal);
    let edges = shared.read(Sql::Fixed(EDGES), || of_workflow().one(i64::from(last))).await?;
    let edges = edges.iter().map(rows::edge).collect::<Result<Vec<_>>>()?;
    Ok(workflow_rows::page(tasks, limit, edges))
}

/// Workflows of which tasks are still to be asked to cancel.
pub async fn cancelling(shared: &Shared, limit: usize) -> Result<Vec<WorkflowRef>> {
    let found = shared.read(Sql::Fixed(WALKING), || Values::default().one(rows_at_most(limit))).await?;
    found.iter().map(workflow_rows::workflow_ref).collect()
}

/// Forgets workflows that have ended, and have no tasks any more.
pub async fn purge(shared: &Arc<Shared>, before: Timestamp, limit: usize) -> Result<usize> {
    let mut transaction = PgTransaction::begin(shared).await?;
    let purged = transaction.execute(PURGED, Values::default().one(before.0).one(rows_at_most(limit))).await?;
    transaction.finish().await?;
    Ok(usize::try_from(purged).unwrap_or(limit))
}
