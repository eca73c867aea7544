//! `callboard workflow add`

use callboard::v1::AddWorkflowTasksRequest;

use super::Session;
use super::run::{document, explained};
use crate::args::workflow::AddArgs;
use crate::error::Error;
use crate::output::text::one_line;
use crate::workflow::file::{self, Purpose};
use crate::{ids, values};

/// Adds the tasks of a file to a workflow; prints their ids. A file that is wrong is told before a server is asked.
pub async fn run(connect: impl FnOnce() -> Result<Session, Error>, args: AddArgs) -> Result<(), Error> {
    let spec = file::read(&args.file, std::io::stdin().lock(), &args.parameters.set, values::now(), Purpose::Add)?;
    let session = connect()?;
    let id = ids::resolve_workflow(&session.client, &args.id).await?;
    if !spec.name.is_empty() {
        let name = session.client.get_workflow(&id).await?.name;
        check_name(&spec.name, &name)?;
    }
    let request = AddWorkflowTasksRequest {
        workflow_id: id.clone(),
        tasks: spec.tasks.clone(),
        request_id: args.request_id.unwrap_or_default(),
        ..AddWorkflowTasksRequest::default()
    };
    let added = session.client.call(request).await.map_err(|error| explained(error, &spec))?;
    let receipts = spec.tasks.iter().map(|task| task.name.as_str()).zip(&added.receipts);
    if session.output.is_json() {
        return session.output.document(&document(&id, receipts));
    }
    for (name, receipt) in receipts {
        session.output.line(&format!("{}  {name}", receipt.task_id))?;
    }
    Ok(())
}

/// A file that says whose it is is added to nothing else.
fn check_name(of_file: &str, of_workflow: &str) -> Result<(), Error> {
    if of_file == of_workflow {
        return Ok(());
    }
    let (file, workflow) = (one_line(of_file, 40), one_line(of_workflow, 40));
    let fault = format!("name: the file is of a workflow {file:?}, and this one is {workflow:?}; leave the name out");
    Err(Error::Usage(fault))
}
