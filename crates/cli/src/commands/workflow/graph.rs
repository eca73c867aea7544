//! `callboard workflow graph`

use std::path::Path;

use super::{Session, forecast_of, tasks_of};
use crate::args::workflow::{FileArgs, GraphArgs};
use crate::error::Error;
use crate::output::Output;
use crate::workflow::file::{self, Purpose};
use crate::workflow::graph::Graph;
use crate::{ids, values};

/// Draws a workflow of a file, without a server, or of a server.
pub async fn run(
    output: Output,
    connect: impl FnOnce() -> Result<Session, Error>,
    args: &GraphArgs,
) -> Result<(), Error> {
    let graph = match (&args.file, &args.id) {
        (Some(path), _) => of_file(path, &args.parameters)?,
        (None, Some(id)) => of_server(&connect()?, id, args).await?,
        (None, None) => return Err(Error::Usage("say what to draw: a workflow's id, or --file".to_owned())),
    };
    output.text(&graph.write(args.format, output.width())?)
}

fn of_file(path: &Path, parameters: &FileArgs) -> Result<Graph, Error> {
    let spec = file::read(path, std::io::stdin().lock(), &parameters.set, values::now(), Purpose::Create)?;
    Ok(Graph::of_spec(&spec))
}

async fn of_server(session: &Session, id: &str, args: &GraphArgs) -> Result<Graph, Error> {
    if !args.parameters.set.is_empty() {
        return Err(Error::Usage("--set gives parameters of a file their values: use it with --file".to_owned()));
    }
    let id = ids::resolve_workflow(&session.client, id).await?;
    let workflow = session.client.get_workflow(&id).await?;
    let mut graph = Graph::of_tasks(&workflow.name, &tasks_of(&session.client, &id).await?);
    if args.critical {
        let forecast = forecast_of(&session.client, &workflow).await?.unwrap_or_default();
        graph.mark(forecast.critical_path.iter().map(|task| task.task_id.as_str()));
    }
    Ok(graph)
}
