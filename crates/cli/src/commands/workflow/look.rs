//! `callboard workflow list|show`

use callboard::v1::{ListWorkflowsRequest, Task, Workflow, WorkflowState};
use serde_json::{Value, json};

use super::{Session, fetch_failures, tasks_of};
use crate::args::workflow::{ListArgs, ShowArgs};
use crate::commands::listing::{Listing, page_size};
use crate::commands::task::past;
use crate::error::Error;
use crate::output::{Output, json, workflow};
use crate::{ids, values};

/// Lists workflows.
pub async fn list(session: &Session, args: ListArgs) -> Result<(), Error> {
    let request = ListWorkflowsRequest {
        states: args.state.iter().map(|&state| WorkflowState::from(state).into()).collect(),
        name: args.name.unwrap_or_default(),
        created_after: args.since.map(|since| past("--since", since)).transpose()?,
        created_before: args.until.map(|until| past("--until", until)).transpose()?,
        page_size: page_size(&args.limit),
        ..ListWorkflowsRequest::default()
    };
    let listing = Listing { plural: "workflows", json: json::workflow, table: workflow::list };
    listing.write(&session.output, &args.limit, session.client.list_workflows(request)).await
}

/// Shows one workflow with its tasks.
pub async fn show(session: &Session, args: &ShowArgs) -> Result<(), Error> {
    let id = ids::resolve_workflow(&session.client, &args.id).await?;
    let workflow = session.client.get_workflow(&id).await?;
    let mut tasks = tasks_of(&session.client, &id).await?;
    fetch_failures(&session.client, &mut tasks).await?;
    write(&session.output, &workflow, &tasks)
}

/// Writes it in full.
pub fn write(output: &Output, shown: &Workflow, tasks: &[Task]) -> Result<(), Error> {
    if output.is_json() {
        return output.document(&document(shown, tasks));
    }
    output.table(&output.style.details(workflow::details(shown, values::now())))?;
    output.line("")?;
    output.table(&workflow::tasks(tasks, output.style))
}

fn document(workflow: &Workflow, tasks: &[Task]) -> Value {
    json!({ "workflow": json::workflow(workflow), "tasks": tasks.iter().map(json::task).collect::<Vec<_>>() })
}
