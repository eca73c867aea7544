//! `callboard workflow list|show`

use callboard::v1::{ListWorkflowsRequest, Task, Workflow, WorkflowForecast, WorkflowState};
use serde_json::{Value, json};

use super::{Session, fetch_failures, forecast_of, tasks_of};
use crate::args::workflow::{ListArgs, ShowArgs};
use crate::commands::listing::{Listing, page_size};
use crate::commands::task::past;
use crate::error::Error;
use crate::output::{Output, details, forecast, json, workflow};
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
    let forecast = forecast_of(&session.client, &workflow).await?;
    write(&session.output, &workflow, &tasks, forecast.as_ref())
}

/// Writes it in full.
pub fn write(
    output: &Output,
    shown: &Workflow,
    tasks: &[Task],
    expected: Option<&WorkflowForecast>,
) -> Result<(), Error> {
    if output.is_json() {
        return output.document(&document(shown, tasks, expected));
    }
    let now = values::now();
    let mut rows = workflow::details(shown, now);
    rows.extend(details::filled(expected.map(|expected| forecast::rows(expected, now)).unwrap_or_default()));
    output.table(&output.style.details(rows))?;
    output.line("")?;
    output.table(&workflow::tasks(tasks, output.style))?;
    let waiting = forecast::waiting(tasks);
    if !waiting.is_empty() {
        output.line("")?;
    }
    waiting.iter().try_for_each(|line| output.line(line))
}

fn document(workflow: &Workflow, tasks: &[Task], expected: Option<&WorkflowForecast>) -> Value {
    json!({
        "workflow": json::workflow(workflow),
        "tasks": tasks.iter().map(json::task).collect::<Vec<_>>(),
        "forecast": expected.map(forecast::forecast_json),
        "waiting": forecast::waiting_json(tasks),
    })
}
