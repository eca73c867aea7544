//! `callboard workflow …`

mod add;
mod follow;
mod graph;
mod look;
mod run;
mod steer;
mod tell;
mod timeline;

use callboard::v1::{
    ForecastWorkflowRequest, ListWorkflowTasksRequest, Task, TaskState, Workflow, WorkflowForecast, WorkflowState,
};
use futures::TryStreamExt;
use tonic::Code;

use super::Session;
use crate::args::workflow::{StateName, WorkflowCommand};
use crate::error::Error;
use crate::output::Output;
use crate::workflow::file;

/// How many tasks are fetched at once.
const PAGE: i32 = 1_000;

/// Does it. `connect` is asked for a server only where one is needed.
pub async fn run(
    output: Output,
    connect: impl FnOnce() -> Result<Session, Error>,
    command: WorkflowCommand,
) -> Result<(), Error> {
    match command {
        WorkflowCommand::Schema => output.line(file::SCHEMA.trim_end()),
        WorkflowCommand::Graph(args) => graph::run(output, connect, &args).await,
        WorkflowCommand::Run(args) => run::run(connect, args).await,
        WorkflowCommand::Add(args) => add::run(connect, args).await,
        WorkflowCommand::List(args) => look::list(&connect()?, args).await,
        WorkflowCommand::Show(args) => look::show(&connect()?, &args).await,
        WorkflowCommand::Watch(args) => follow::watch(&connect()?, &args).await,
        WorkflowCommand::Timeline(args) => timeline::run(&connect()?, &args).await,
        WorkflowCommand::Cancel(args) => steer::cancel(&connect()?, &args).await,
        WorkflowCommand::Retry(args) => steer::retry(&connect()?, &args).await,
        WorkflowCommand::Hold(args) => steer::hold(&connect()?, &args).await,
        WorkflowCommand::Release(args) => steer::release(&connect()?, &args).await,
    }
}

/// All tasks of a workflow: it has so many that memory holds them.
async fn tasks_of(client: &callboard::Client, workflow_id: &str) -> Result<Vec<Task>, Error> {
    let request = ListWorkflowTasksRequest {
        workflow_id: workflow_id.to_owned(),
        page_size: PAGE,
        ..ListWorkflowTasksRequest::default()
    };
    Ok(client.workflow_tasks(request).try_collect().await?)
}

/// What is expected of a workflow. Nothing of one that has ended, of one too large for that, and where the server is of a version
/// that expects nothing.
async fn forecast_of(client: &callboard::Client, workflow: &Workflow) -> Result<Option<WorkflowForecast>, Error> {
    if workflow.state() != WorkflowState::Running {
        return Ok(None);
    }
    let request = ForecastWorkflowRequest { workflow_id: workflow.id.clone(), ..ForecastWorkflowRequest::default() };
    match client.call(request).await {
        Ok(answer) => Ok(answer.forecast),
        Err(error) if is_no_forecast(&error) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

fn is_no_forecast(error: &callboard::Error) -> bool {
    error.code() == Some(Code::Unimplemented) || error.reason() == "LIMIT_REACHED"
}

/// Failures are not in lists: they are fetched, of this many tasks at most.
const FAILURES: usize = 50;

/// Gives tasks that failed their failures: the first of them, and those that may not fail before all others.
async fn fetch_failures<'a>(
    client: &callboard::Client,
    tasks: impl IntoIterator<Item = &'a mut Task>,
) -> Result<(), Error> {
    let mut failed: Vec<&mut Task> =
        tasks.into_iter().filter(|task| task.state() == TaskState::Failed && task.failure.is_none()).collect();
    failed.sort_by_key(|task| may_fail(task));
    for task in failed.into_iter().take(FAILURES) {
        task.failure = client.get(&task.id).await?.failure;
    }
    Ok(())
}

fn may_fail(task: &Task) -> bool {
    task.workflow.as_ref().is_some_and(|link| link.allow_failure)
}

/// Fails unless it has completed; says which task made it so.
fn judge(workflow: &Workflow, tasks: &[Task]) -> Result<(), Error> {
    if workflow.state() == WorkflowState::Completed {
        return Ok(());
    }
    let in_state = |state| tasks.iter().find(move |task| task.state() == state && !may_fail(task));
    let culprit = in_state(TaskState::Failed).or_else(|| in_state(TaskState::Cancelled)).cloned().map(Box::new);
    Err(Error::WorkflowNotCompleted { workflow: Box::new(workflow.clone()), culprit })
}

impl From<StateName> for WorkflowState {
    fn from(name: StateName) -> Self {
        match name {
            StateName::Running => Self::Running,
            StateName::Completed => Self::Completed,
            StateName::Failed => Self::Failed,
            StateName::Cancelled => Self::Cancelled,
        }
    }
}
