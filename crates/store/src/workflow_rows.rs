//! What rows of workflows mean, whichever database gave them.

use crate::codec::{FORMAT, HOLD_FORMAT, from_json, readable, readable_workflow, to_json};
use crate::columns::Columns;
use crate::{Result, WorkflowPage};
use callboard_core::model::task::Cancelling;
use callboard_core::model::{
    Edge, Held, Tally, Task, TaskId, Timestamp, Walk, Workflow, WorkflowId, WorkflowState, WorkflowTask,
};
use callboard_core::working_set::{ChangeSet, WorkflowRef};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::sync::Arc;

/// What of a workflow changes, and is looked for by nothing.
#[derive(Serialize, Deserialize)]
struct Data {
    tally: Tally,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    cancelling: Option<Cancelling>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    held: Option<Held>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    walk: Option<Walk>,
}

/// The columns of [`workflow`], of `workflows AS w`.
macro_rules! workflow_columns {
    () => {
        "w.namespace, w.id, w.version, w.created_by, w.created_at, w.ended_at, w.spec, w.data, w.format"
    };
}
pub(crate) use workflow_columns;

/// A workflow.
pub fn workflow(row: &impl Columns) -> Result<Workflow> {
    readable_workflow(row.number(8)?)?;
    let Data { tally, cancelling, held, walk } = from_json(row.json(7)?, "a workflow")?;
    Ok(Workflow {
        namespace: row.namespace_id(0)?,
        id: WorkflowId(row.uuid(1)?),
        spec: Arc::new(from_json(row.json(6)?, "a workflow")?),
        tally,
        cancelling,
        held,
        walk,
        created_by: row.text(3)?.into(),
        created_at: row.time(4)?,
        ended_at: row.number_or_null(5)?.map(Timestamp),
        version: row.number(2)?,
    })
}

/// What changes of a workflow, as its row has it.
pub fn data(workflow: &Workflow) -> Result<String> {
    let Workflow { tally, cancelling, held, walk, .. } = workflow;
    to_json(&Data { tally: *tally, cancelling: cancelling.clone(), held: held.clone(), walk: *walk })
}

/// The format of its row: one that is held is not for a version that knows no holds.
pub fn format(workflow: &Workflow) -> i64 {
    if workflow.knows_holds() { HOLD_FORMAT } else { FORMAT }
}

/// Whether any of these is held.
pub fn have_holds(changes: &ChangeSet) -> bool {
    changes.workflows.iter().any(|changed| changed.row.knows_holds())
}

/// The number of a state.
pub fn state_code(state: WorkflowState) -> i64 {
    match state {
        WorkflowState::Running => 0,
        WorkflowState::Completed => 1,
        WorkflowState::Failed => 2,
        WorkflowState::Cancelled => 3,
    }
}

/// The columns of [`workflow_task`], of `workflow_tasks AS p`.
macro_rules! place_columns {
    () => {
        "p.namespace, p.workflow, p.ordinal, p.task, p.name, p.format"
    };
}
pub(crate) use place_columns;

/// A task of a workflow, its columns from `first` on.
pub fn workflow_task(row: &impl Columns, first: usize) -> Result<WorkflowTask> {
    readable(row.number(first + 5)?, "workflow_tasks")?;
    Ok(WorkflowTask {
        namespace: row.namespace_id(first)?,
        workflow: WorkflowId(row.uuid(first + 1)?),
        ordinal: row.small(first + 2)?,
        task: row.task_id(first + 3)?,
        name: row.text_or_null(first + 4)?.map(Arc::from),
    })
}

/// A workflow by its namespace and id.
pub fn workflow_ref(row: &impl Columns) -> Result<WorkflowRef> {
    Ok((row.namespace_id(0)?, WorkflowId(row.uuid(1)?)))
}

/// A page from its places, which may be more than were asked for by one: that there is another.
pub fn page(mut tasks: Vec<(WorkflowTask, Task)>, limit: usize, edges: Vec<Edge>) -> WorkflowPage {
    let more = tasks.len() > limit;
    tasks.truncate(limit);
    let next = tasks.last().filter(|_| more).map(|(place, _)| place.ordinal.saturating_add(1));
    let of_page: BTreeSet<TaskId> = tasks.iter().map(|(place, _)| place.task).collect();
    let mut edges = edges;
    edges.retain(|edge| of_page.contains(&edge.target));
    edges.sort_by_key(|edge| (edge.target, edge.ordinal));
    WorkflowPage { tasks, edges, next }
}
