//! `callboard task list|show|history|steps|children`

use callboard::v1::{ListTasksRequest, TaskState};
use serde_json::json;

use super::{Session, past};
use crate::args::task::{ChildrenArgs, ListArgs, ShowArgs, StepsArgs};
use crate::commands::listing::{Listing, page_size};
use crate::error::Error;
use crate::output::{details, json, table};
use crate::{ids, values};

/// Lists tasks.
pub async fn list(session: &Session, args: ListArgs) -> Result<(), Error> {
    let request = ListTasksRequest {
        states: args.state.iter().map(|&state| TaskState::from(state).into()).collect(),
        r#type: args.task_type.unwrap_or_default(),
        agent: args.agent.unwrap_or_default(),
        key: args.key.unwrap_or_default(),
        tags: args.tag,
        created_after: args.since.map(|since| past("--since", since)).transpose()?,
        created_before: args.until.map(|until| past("--until", until)).transpose()?,
        page_size: page_size(&args.limit),
        ..ListTasksRequest::default()
    };
    let listing = Listing { plural: "tasks", json: json::task, table: table::tasks };
    listing.write(&session.output, &args.limit, session.client.list(request)).await
}

/// Shows one task, or the content of its result.
pub async fn show(session: &Session, args: &ShowArgs) -> Result<(), Error> {
    let id = ids::resolve(&session.client, &args.id).await?;
    let task = session.client.get(&id).await?;
    let output = &session.output;
    match (args.result, output.is_json()) {
        (true, _) if task.state() != TaskState::Completed => Err(Error::NoResult(Box::new(task))),
        (true, _) => output.content(task.result.as_ref()),
        (false, true) => output.document(&json::task(&task)),
        (false, false) => output.table(&output.style.details(details::task(&task, values::now()))),
    }
}

/// Shows what happened to a task.
pub async fn history(session: &Session, id: &str) -> Result<(), Error> {
    let id = ids::resolve(&session.client, id).await?;
    let events = session.client.history(&id).await?;
    match session.output.is_json() {
        true => session.output.document(&json!({ "events": events.iter().map(json::event).collect::<Vec<_>>() })),
        false => session.output.table(&table::history(&events, session.output.style)),
    }
}

/// Shows what a run of a task recorded.
pub async fn steps(session: &Session, args: &StepsArgs) -> Result<(), Error> {
    let id = ids::resolve(&session.client, &args.id).await?;
    let steps = session.client.steps(&id, args.run.unwrap_or_default()).await?;
    match session.output.is_json() {
        true => session.output.document(&json!({ "steps": steps.iter().map(json::step).collect::<Vec<_>>() })),
        false => session.output.table(&table::steps(&steps, session.output.style)),
    }
}

/// Lists the children that a run of a task created.
pub async fn children(session: &Session, args: &ChildrenArgs) -> Result<(), Error> {
    let id = ids::resolve(&session.client, &args.id).await?;
    let children = session.client.children(&id, args.run.unwrap_or_default()).await?;
    match session.output.is_json() {
        true => session.output.document(&json!({ "children": children.iter().map(json::child).collect::<Vec<_>>() })),
        false => session.output.table(&table::children(&children, session.output.style)),
    }
}
