//! Workflows: what rules want and change. A batch without workflows runs none of these statements.

use super::error::sqlite_error;
use super::many::{Binds, Many};
use super::script::check;
use crate::Result;
use crate::codec::to_json;
use crate::workflow_rows::{self, state_code, workflow_columns};
use callboard_core::model::{Workflow, WorkflowTask};
use callboard_core::working_set::{ChangeSet, Changed, Rows, TaskRef, Want, WorkflowRef};
use sqlx::SqliteConnection;
use std::collections::BTreeSet;
use std::ops::Range;

static WORKFLOWS: Many = Many::values(
    concat!("SELECT ", workflow_columns!(), " FROM (VALUES "),
    "(?,?)",
    ") AS v CROSS JOIN workflows AS w ON w.namespace = v.column1 AND w.id = v.column2",
);
static TASKS: Many = Many::values(
    "SELECT w.namespace, w.workflow, w.ordinal, w.task, w.name, w.format FROM (VALUES ",
    "(?,?,?,?)",
    ") AS v CROSS JOIN workflow_tasks AS w ON w.namespace = v.column1 AND w.workflow = v.column2 \
     AND w.ordinal >= v.column3 AND w.ordinal < v.column4",
);
static NEW_WORKFLOWS: Many = Many::values(
    "INSERT OR ROLLBACK INTO workflows (namespace, id, version, state, ended_at, cancel_next, data, name, created_by, created_at, spec) \
     SELECT * FROM (VALUES ",
    "(?,?,?,?,?,?,?,?,?,?,?)",
    ") WHERE column1 IS NOT NULL",
);
static CHANGED_WORKFLOWS: Many = Many::values(
    "UPDATE OR ROLLBACK workflows SET version = v.column4, state = v.column5, ended_at = v.column6, cancel_next = v.column7, \
     data = v.column8, format = 1 FROM (VALUES ",
    "(?,?,?,?,?,?,?,?)",
    ") AS v WHERE workflows.namespace = v.column1 AND workflows.id = v.column2 AND workflows.version = v.column3",
);
static NEW_TASKS: Many = Many::values(
    "INSERT OR ROLLBACK INTO workflow_tasks (namespace, workflow, ordinal, task, name) SELECT * FROM (VALUES ",
    "(?,?,?,?,?)",
    ") WHERE column1 IS NOT NULL",
);
/// From the first workflow on, older programs are refused.
const NEEDED: &str = "UPDATE OR ROLLBACK meta SET value = 9 WHERE name = 'min_version' AND value < 9";

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
            let task = workflow_rows::workflow_task(row)?;
            tasks.insert((task.namespace, task.task));
            found.push(task);
            Ok(())
        })
        .await
}

/// Whether workflows changed.
pub fn has_workflows(changes: &ChangeSet) -> bool {
    !changes.workflows.is_empty() || !changes.workflow_tasks.is_empty()
}

/// Saves workflows, and adds their new tasks.
pub async fn save(connection: &mut SqliteConnection, changes: &ChangeSet) -> Result<()> {
    let (new, changed): (Vec<_>, Vec<_>) = changes.workflows.iter().partition(|changed| changed.expected == 0);
    let bind = |binds: &mut Binds, changed: &&Changed<Workflow>| {
        bind_workflow(binds, &(changed.row.namespace, changed.row.id))?;
        binds.add(changed.expected)?;
        bind_changing(binds, &changed.row)
    };
    let updated = CHANGED_WORKFLOWS.execute(connection, &changed, bind).await?;
    check(changed.len(), "workflows", updated)?;
    if !new.is_empty() {
        sqlx::query(NEEDED).execute(&mut *connection).await.map_err(sqlite_error)?;
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
    binds.add(row.cancel_next)?;
    binds.add(workflow_rows::data(row)?)
}

/// Every statement over many rows, so that a test can look at its plan.
#[cfg(test)]
pub(super) fn statements() -> Vec<&'static Many> {
    vec![&WORKFLOWS, &TASKS, &NEW_WORKFLOWS, &CHANGED_WORKFLOWS, &NEW_TASKS]
}
