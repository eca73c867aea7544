//! Workflows: what rules want and change. A batch without workflows runs none of these statements.

use super::error::sqlite_error;
use super::load::rows_at_most;
use super::many::{Binds, Many};
use super::script::Script;
use crate::codec::to_json;
use crate::rows::{self, TASK_COLUMNS, edge_columns, task_columns};
use crate::workflow_rows::{self, place_columns, state_code, workflow_columns};
use crate::{Result, WorkflowPage};
use callboard_core::model::{NamespaceId, Timestamp, Workflow, WorkflowId, WorkflowTask};
use callboard_core::working_set::{ChangeSet, Changed, Rows, TaskRef, Want, WorkflowRef};
use sqlx::SqliteConnection;
use sqlx::sqlite::SqliteRow;
use std::collections::BTreeSet;
use std::ops::Range;
use std::sync::Arc;
use uuid::Uuid;

static WORKFLOWS: Many = Many::values(
    concat!("SELECT ", workflow_columns!(), " FROM (VALUES "),
    "(?,?)",
    ") AS v CROSS JOIN workflows AS w ON w.namespace = v.column1 AND w.id = v.column2",
);
static TASKS: Many = Many::values(
    concat!("SELECT ", place_columns!(), " FROM (VALUES "),
    "(?,?,?,?)",
    ") AS v CROSS JOIN workflow_tasks AS p ON p.namespace = v.column1 AND p.workflow = v.column2 \
     AND p.ordinal >= v.column3 AND p.ordinal < v.column4",
);
static NAMES: Many = Many::values(
    concat!("SELECT ", place_columns!(), " FROM (VALUES "),
    "(?,?,?)",
    ") AS v CROSS JOIN workflow_tasks AS p INDEXED BY workflow_tasks_name ON p.namespace = v.column1 AND p.workflow = v.column2 \
     AND p.name = v.column3 AND p.name IS NOT NULL",
);
static NEW_WORKFLOWS: Many = Many::values(
    "INSERT OR ROLLBACK INTO workflows (namespace, id, version, state, ended_at, walk_next, data, format, name, created_by, created_at, spec) \
     SELECT * FROM (VALUES ",
    "(?,?,?,?,?,?,?,?,?,?,?,?)",
    ") WHERE column1 IS NOT NULL",
);
static CHANGED_WORKFLOWS: Many = Many::values(
    "UPDATE OR ROLLBACK workflows SET version = v.column4, state = v.column5, ended_at = v.column6, walk_next = v.column7, \
     data = v.column8, format = v.column9 FROM (VALUES ",
    "(?,?,?,?,?,?,?,?,?)",
    ") AS v WHERE workflows.namespace = v.column1 AND workflows.id = v.column2 AND workflows.version = v.column3",
);
static NEW_TASKS: Many = Many::values(
    "INSERT OR ROLLBACK INTO workflow_tasks (namespace, workflow, ordinal, task, name) SELECT * FROM (VALUES ",
    "(?,?,?,?,?)",
    ") WHERE column1 IS NOT NULL",
);
/// From the first workflow on, older programs are refused.
const NEEDED: &str = "UPDATE OR ROLLBACK meta SET value = 9 WHERE name = 'min_version' AND value < 9";
/// From the first one on that is held, those that know no holds.
const NEEDED_FOR_HOLDS: &str = "UPDATE OR ROLLBACK meta SET value = 10 WHERE name = 'min_version' AND value < 10";

const ONE: &str = concat!("SELECT ", workflow_columns!(), " FROM workflows AS w WHERE w.namespace = ? AND w.id = ?");
const LIST: &str = concat!(
    "SELECT ",
    workflow_columns!(),
    " FROM workflows AS w WHERE w.namespace = ? AND w.id < ? ORDER BY w.id DESC LIMIT ?"
);
const NAMED: &str = concat!(
    "SELECT ",
    workflow_columns!(),
    " FROM workflows AS w INDEXED BY workflows_name WHERE w.namespace = ? AND w.name = ? AND w.id < ? \
     ORDER BY w.id DESC LIMIT ?"
);
const PAGE: &str = concat!(
    "SELECT ",
    task_columns!(),
    ", ",
    place_columns!(),
    " FROM workflow_tasks AS p CROSS JOIN tasks AS t ON t.namespace = p.namespace AND t.id = p.task \
     CROSS JOIN task_specs AS s ON s.namespace = p.namespace AND s.task = p.task \
     WHERE p.namespace = ? AND p.workflow = ? AND p.ordinal >= ? ORDER BY p.ordinal LIMIT ?"
);
const EDGES: &str = concat!(
    "SELECT ",
    edge_columns!(),
    " FROM workflow_tasks AS p CROSS JOIN edges AS e INDEXED BY edges_target ON e.namespace = p.namespace AND e.target = p.task \
     WHERE p.namespace = ? AND p.workflow = ? AND p.ordinal >= ? AND p.ordinal <= ?"
);
const WALKING: &str =
    "SELECT namespace, id FROM workflows INDEXED BY workflows_walking WHERE walk_next IS NOT NULL ORDER BY id LIMIT ?";
const PURGED: &str = "DELETE FROM workflows WHERE (namespace, id) IN (SELECT w.namespace, w.id FROM workflows AS w \
     INDEXED BY workflows_ended WHERE w.ended_at IS NOT NULL AND w.ended_at < ? AND NOT EXISTS (SELECT 1 FROM workflow_tasks AS p \
     WHERE p.namespace = w.namespace AND p.workflow = w.id) ORDER BY w.ended_at, w.id LIMIT ?)";

fn bind_workflow(binds: &mut Binds, (namespace, workflow): &WorkflowRef) -> Result<()> {
    binds.add(namespace.0)?;
    binds.id(workflow.0)
}

/// The workflows that are wanted and exist, and tasks of workflows, which are added to `tasks`.
pub async fn load(
    connection: &mut SqliteConnection,
    want: &Want,
    rows: &mut Rows,
    tasks: &mut BTreeSet<TaskRef>,
) -> Result<()> {
    let wanted: Vec<WorkflowRef> = want.workflows.iter().copied().collect();
    let workflows = &mut rows.workflows;
    WORKFLOWS
        .fetch(connection, &wanted, bind_workflow, |row| {
            workflows.push(workflow_rows::workflow(row)?);
            Ok(())
        })
        .await?;
    let wanted: Vec<(&WorkflowRef, &Range<u32>)> = want.workflow_tasks.iter().collect();
    let bind = |binds: &mut Binds, (workflow, ordinals): &(&WorkflowRef, &Range<u32>)| {
        bind_workflow(binds, workflow)?;
        binds.add(ordinals.start)?;
        binds.add(ordinals.end)
    };
    let found = &mut rows.workflow_tasks;
    TASKS
        .fetch(connection, &wanted, bind, |row| {
            let task = workflow_rows::workflow_task(row, 0)?;
            tasks.insert((task.namespace, task.task));
            found.push(task);
            Ok(())
        })
        .await?;
    load_names(connection, want, rows).await
}

async fn load_names(connection: &mut SqliteConnection, want: &Want, rows: &mut Rows) -> Result<()> {
    let wanted =
        want.workflow_names.iter().flat_map(|(workflow, names)| names.iter().map(move |name| (workflow, name)));
    let wanted: Vec<(&WorkflowRef, &Arc<str>)> = wanted.collect();
    let bind = |binds: &mut Binds, (workflow, name): &(&WorkflowRef, &Arc<str>)| {
        bind_workflow(binds, workflow)?;
        binds.add(Arc::clone(name))
    };
    let found = &mut rows.workflow_names;
    NAMES
        .fetch(connection, &wanted, bind, |row| {
            found.push(workflow_rows::workflow_task(row, 0)?);
            Ok(())
        })
        .await
}

/// Whether there is more than workflows that changed: new ones, new tasks of them, or what older programs must not see.
pub fn has_others(changes: &ChangeSet) -> bool {
    changes.workflows.iter().any(|changed| changed.expected == 0)
        || !changes.workflow_tasks.is_empty()
        || workflow_rows::have_holds(changes)
}

/// Those that changed.
pub fn save_changed<'a>(script: &mut Script<'a>, changed: &'a [&Changed<Workflow>]) {
    script.add(&CHANGED_WORKFLOWS, changed, bind_changed, Some("workflows"));
}

fn bind_changed(binds: &mut Binds, changed: &&Changed<Workflow>) -> Result<()> {
    bind_workflow(binds, &(changed.row.namespace, changed.row.id))?;
    binds.add(changed.expected)?;
    bind_changing(binds, &changed.row)
}

/// Adds new workflows and new tasks.
pub async fn save_others(connection: &mut SqliteConnection, changes: &ChangeSet) -> Result<()> {
    let new: Vec<_> = changes.workflows.iter().filter(|changed| changed.expected == 0).collect();
    if !new.is_empty() {
        sqlx::query(NEEDED).execute(&mut *connection).await.map_err(sqlite_error)?;
    }
    if workflow_rows::have_holds(changes) {
        sqlx::query(NEEDED_FOR_HOLDS).execute(&mut *connection).await.map_err(sqlite_error)?;
    }
    let bind = |binds: &mut Binds, Changed { row, .. }: &&Changed<Workflow>| {
        bind_workflow(binds, &(row.namespace, row.id))?;
        bind_changing(binds, row)?;
        binds.add(row.spec.name.clone())?;
        binds.add(row.created_by.clone())?;
        binds.add(row.created_at.0)?;
        binds.add(to_json(&*row.spec)?)
    };
    NEW_WORKFLOWS.execute(connection, &new, bind).await?;
    let bind = |binds: &mut Binds, task: &WorkflowTask| {
        bind_workflow(binds, &(task.namespace, task.workflow))?;
        binds.add(task.ordinal)?;
        binds.id(task.task.0)?;
        binds.add(task.name.clone())
    };
    NEW_TASKS.execute(connection, &changes.workflow_tasks, bind).await?;
    Ok(())
}

fn bind_changing(binds: &mut Binds, row: &Workflow) -> Result<()> {
    binds.add(row.version)?;
    binds.add(state_code(row.state()))?;
    binds.add(row.ended_at.map(|at| at.0))?;
    binds.add(row.walk.map(|walk| walk.next))?;
    binds.add(workflow_rows::data(row)?)?;
    binds.add(workflow_rows::format(row))
}

/// A workflow.
pub async fn one(connection: &mut SqliteConnection, (namespace, id): WorkflowRef) -> Result<Option<Workflow>> {
    let query = sqlx::query(ONE).bind(namespace.0).bind(id.0.as_bytes().to_vec());
    let found = query.fetch_optional(connection).await.map_err(sqlite_error)?;
    found.map(|row| workflow_rows::workflow(&row)).transpose()
}

/// Workflows, newest first.
pub async fn list(
    connection: &mut SqliteConnection,
    namespace: NamespaceId,
    name: Option<&str>,
    before: Option<WorkflowId>,
    limit: usize,
) -> Result<Vec<Workflow>> {
    let query = match name {
        Some(name) => sqlx::query(NAMED).bind(namespace.0).bind(name.to_owned()),
        None => sqlx::query(LIST).bind(namespace.0),
    };
    let before = before.map_or(Uuid::max(), |before| before.0);
    let query = query.bind(before.as_bytes().to_vec()).bind(rows_at_most(limit));
    let found = query.fetch_all(connection).await.map_err(sqlite_error)?;
    found.iter().map(workflow_rows::workflow).collect()
}

/// Tasks of a workflow, and the edges to them. Needs a read transaction around it.
pub async fn page(
    connection: &mut SqliteConnection,
    (namespace, id): WorkflowRef,
    from: u32,
    limit: usize,
) -> Result<WorkflowPage> {
    let query = sqlx::query(PAGE).bind(namespace.0).bind(id.0.as_bytes().to_vec()).bind(from);
    let query = query.bind(rows_at_most(limit.saturating_add(1)));
    let found = query.fetch_all(&mut *connection).await.map_err(sqlite_error)?;
    let place = |row: &SqliteRow| Ok((workflow_rows::workflow_task(row, TASK_COLUMNS)?, rows::task(row)?));
    let tasks = found.iter().map(place).collect::<Result<Vec<_>>>()?;
    let last = tasks.last().map_or(from, |(place, _)| place.ordinal);
    let query = sqlx::query(EDGES).bind(namespace.0).bind(id.0.as_bytes().to_vec()).bind(from).bind(last);
    let edges = query.fetch_all(connection).await.map_err(sqlite_error)?;
    let edges = edges.iter().map(rows::edge).collect::<Result<Vec<_>>>()?;
    Ok(workflow_rows::page(tasks, limit, edges))
}

/// Workflows of which tasks are still to be asked to cancel.
pub async fn cancelling(connection: &mut SqliteConnection, limit: usize) -> Result<Vec<WorkflowRef>> {
    let found = sqlx::query(WALKING).bind(rows_at_most(limit)).fetch_all(connection).await.map_err(sqlite_error)?;
    found.iter().map(workflow_rows::workflow_ref).collect()
}

/// Forgets workflows that have ended, and have no tasks any more.
pub async fn purge(connection: &mut SqliteConnection, before: Timestamp, limit: usize) -> Result<usize> {
    let query = sqlx::query(PURGED).bind(before.0).bind(rows_at_most(limit));
    let done = query.execute(connection).await.map_err(sqlite_error)?;
    Ok(usize::try_from(done.rows_affected()).unwrap_or(limit))
}

/// Every query of one row of values, for the same.
#[cfg(test)]
pub const QUERIES: [&str; 7] = [ONE, LIST, NAMED, PAGE, EDGES, WALKING, PURGED];

/// Every statement over many rows, so that a test can look at its plan.
#[cfg(test)]
pub(super) fn statements() -> Vec<&'static Many> {
    vec![&WORKFLOWS, &TASKS, &NAMES, &NEW_WORKFLOWS, &CHANGED_WORKFLOWS, &NEW_TASKS]
}
