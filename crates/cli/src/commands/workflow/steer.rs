//! `callboard workflow cancel|retry|hold|release`

use callboard::Client;
use callboard::v1::{HoldWorkflowRequest, ReleaseWorkflowRequest, Workflow};
use serde_json::json;

use super::Session;
use crate::args::workflow::{CancelArgs, HoldArgs, ReleaseArgs, RetryArgs};
use crate::commands::task::sum_up;
use crate::error::Error;
use crate::output::{json, workflow};
use crate::{ids, values};

/// Cancels workflows.
pub async fn cancel(session: &Session, args: &CancelArgs) -> Result<(), Error> {
    let reason = args.reason.as_deref().unwrap_or_default();
    each(session, &args.ids, async |client, id| client.cancel_workflow(id, reason).await).await
}

/// Retries workflows.
pub async fn retry(session: &Session, args: &RetryArgs) -> Result<(), Error> {
    each(session, &args.ids, async |client, id| client.retry_workflow(id).await).await
}

/// Holds workflows.
pub async fn hold(session: &Session, args: &HoldArgs) -> Result<(), Error> {
    each(session, &args.ids, async |client, id| {
        let reason = args.reason.clone().unwrap_or_default();
        let request = HoldWorkflowRequest { workflow_id: id.to_owned(), reason, ..HoldWorkflowRequest::default() };
        Ok(client.call(request).await?.workflow.unwrap_or_default())
    })
    .await
}

/// Releases workflows.
pub async fn release(session: &Session, args: &ReleaseArgs) -> Result<(), Error> {
    each(session, &args.ids, async |client, id| {
        let request = ReleaseWorkflowRequest { workflow_id: id.to_owned(), ..ReleaseWorkflowRequest::default() };
        Ok(client.call(request).await?.workflow.unwrap_or_default())
    })
    .await
}

/// Does the same to each workflow. One that fails doesn't keep the others from it.
async fn each(
    session: &Session,
    given: &[String],
    act: impl AsyncFn(&Client, &str) -> callboard::Result<Workflow>,
) -> Result<(), Error> {
    let (mut workflows, mut errors) = (Vec::with_capacity(given.len()), Vec::new());
    for given in given {
        let outcome = match ids::resolve_workflow(&session.client, given).await {
            Ok(id) => act(&session.client, &id).await.map_err(Error::from),
            Err(error) => Err(error),
        };
        match outcome {
            Ok(workflow) => workflows.push(workflow),
            Err(error) => errors.push((given, error)),
        }
    }
    let output = &session.output;
    if !workflows.is_empty() {
        match output.is_json() {
            true => {
                output.document(&json!({ "workflows": workflows.iter().map(json::workflow).collect::<Vec<_>>() }))?
            }
            false => output.table(&workflow::list(&workflows, output.style, values::now()))?,
        }
    }
    sum_up(errors, given.len())
}
