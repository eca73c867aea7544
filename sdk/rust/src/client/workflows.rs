//! Submitting workflows, following them, steering them.

mod growing;

use std::collections::BTreeMap;
use std::time::Duration;

use callboard_proto::v1;
use futures::stream::{self, Stream};
use tokio::time::Instant;

use super::tasks::{flatten, following};
use super::{Client, Receipt};
use crate::{Error, NewTask, NewWorkflow, Result};
pub use growing::AddWorkflowTasks;

/// What creating a workflow did.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct WorkflowReceipt {
    /// The workflow's id.
    pub workflow_id: String,
    /// What was done for its tasks, by the names that they have in it.
    pub receipts: BTreeMap<String, Receipt>,
}

impl WorkflowReceipt {
    /// What was done for the task of this name.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidArgument`] when no task of the workflow has the name.
    pub fn receipt(&self, name: &str) -> Result<&Receipt> {
        self.receipts.get(name).ok_or_else(|| {
            let names: Vec<&str> = self.receipts.keys().map(String::as_str).collect();
            let there_are = names.join(", ");
            Error::invalid("name", format!("no task of the workflow is named {name:?}: there are {there_are}"))
        })
    }
}

impl Client {
    /// Creates a workflow with its tasks, all or none.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidArgument`] when it or one of its tasks is not as it may be: a cycle, a name that is no task's; all
    /// faults are named at once. And as [`Client::create`].
    pub async fn create_workflow(&self, workflow: NewWorkflow) -> Result<WorkflowReceipt> {
        let NewWorkflow { mut spec, request_id } = workflow;
        let tasks = std::mem::take(&mut spec.tasks);
        let mut workflow_id = None;
        let created = &mut workflow_id;
        let create = |tasks| async move {
            let workflow = Some(v1::WorkflowSpec { tasks, ..spec });
            let request = v1::CreateWorkflowRequest { workflow, request_id, ..Default::default() };
            let response = self.call(request).await?;
            *created = Some(response.workflow_id);
            Ok(response.receipts)
        };
        let receipts = submit_whole(self, tasks, create).await?;
        let workflow_id = workflow_id.ok_or_else(not_all)?;
        Ok(WorkflowReceipt { workflow_id, receipts })
    }

    /// Gives a workflow: where it is in its life, and how many of its tasks ended how.
    ///
    /// # Errors
    ///
    /// [`Error::NotFound`] when there is none of this id; and what every call may give.
    pub async fn get_workflow(&self, id: &str) -> Result<v1::Workflow> {
        let request = v1::GetWorkflowRequest { workflow_id: id.to_owned(), ..Default::default() };
        self.call(request).await?.workflow.ok_or_else(|| Error::missing("workflow"))
    }

    /// Lists workflows, newest first, fetching page after page.
    pub fn list_workflows(
        &self,
        request: v1::ListWorkflowsRequest,
    ) -> impl Stream<Item = Result<v1::Workflow>> + Send + 'static {
        let client = self.clone();
        let pages = stream::try_unfold(Some(request), move |next| {
            let client = client.clone();
            async move {
                let Some(request) = next else { return Ok(None) };
                let page = client.call(request.clone()).await?;
                let next =
                    following(page.next_page_token, |page_token| v1::ListWorkflowsRequest { page_token, ..request });
                Ok(Some((page.workflows, next)))
            }
        });
        flatten(pages)
    }

    /// The tasks of a workflow, without inputs and results, fetching page after page: each behind those that it waits
    /// for, children behind them. `workflow` of each says what it is called, `spec.dependencies` what it waits for.
    pub fn workflow_tasks(
        &self,
        request: v1::ListWorkflowTasksRequest,
    ) -> impl Stream<Item = Result<v1::Task>> + Send + 'static {
        let client = self.clone();
        let pages = stream::try_unfold(Some(request), move |next| {
            let client = client.clone();
            async move {
                let Some(request) = next else { return Ok(None) };
                let page = client.call(request.clone()).await?;
                let next = following(page.next_page_token, |page_token| v1::ListWorkflowTasksRequest {
                    page_token,
                    ..request
                });
                Ok(Some((page.tasks, next)))
            }
        });
        flatten(pages)
    }

    /// Waits until a workflow has ended, however that is: its state tells. No timeout means for ever.
    ///
    /// # Errors
    ///
    /// [`Error::DeadlineExceeded`] when it has not ended by the timeout; it goes on. And as [`Client::get_workflow`].
    pub async fn wait_workflow(&self, id: &str, timeout: Option<Duration>) -> Result<v1::Workflow> {
        let until = timeout.map(|timeout| Instant::now() + timeout);
        let ask = |wait| v1::WaitWorkflowRequest { workflow_id: id.to_owned(), wait: Some(wait), ..Default::default() };
        let ended = |answer: v1::WaitWorkflowResponse| {
            let workflow = answer.workflow.ok_or_else(|| Error::missing("workflow"))?;
            Ok(answer.ended.then_some(workflow))
        };
        let over = || Error::deadline(format!("workflow {id} had not ended when the time was over: it goes on"));
        self.until_ended(until, ask, ended).await?.ok_or_else(over)
    }

    /// Cancels a workflow: all of its tasks that have not ended, as [`Client::cancel`] does; they may end later.
    /// Cancelling one that has ended is no error and changes nothing. The reason is for people: at most 1 KiB.
    ///
    /// # Errors
    ///
    /// As [`Client::get_workflow`].
    pub async fn cancel_workflow(&self, id: &str, reason: &str) -> Result<v1::Workflow> {
        let (workflow_id, reason) = (id.to_owned(), reason.to_owned());
        let request = v1::CancelWorkflowRequest { workflow_id, reason, ..Default::default() };
        self.call(request).await?.workflow.ok_or_else(|| Error::missing("workflow"))
    }

    /// Retries a workflow from what failed: each of its tasks that ended FAILED or CANCELLED and may not, and those that
    /// were SKIPPED because of it, get another run; of one that was cancelled, all that were CANCELLED. What completed is
    /// kept, and so is a task whose deadline has passed.
    ///
    /// # Errors
    ///
    /// [`Error::FailedPrecondition`] when there is no such task, or its cancellation is under way; and as
    /// [`Client::get_workflow`].
    pub async fn retry_workflow(&self, id: &str) -> Result<v1::Workflow> {
        let request = v1::RetryWorkflowRequest { workflow_id: id.to_owned(), ..Default::default() };
        self.call(request).await?.workflow.ok_or_else(|| Error::missing("workflow"))
    }

    /// Holds a workflow: none of its tasks that are WAITING or READY is given out until it is released, nor are those that are
    /// added. What agents have goes on. Holding one that is held is no error. The reason is for people: at most 1 KiB.
    ///
    /// # Errors
    ///
    /// [`Error::FailedPrecondition`] when it has ended, or is being cancelled or retried; and as [`Client::get_workflow`].
    pub async fn hold_workflow(&self, id: &str, reason: &str) -> Result<v1::Workflow> {
        let (workflow_id, reason) = (id.to_owned(), reason.to_owned());
        let request = v1::HoldWorkflowRequest { workflow_id, reason, ..Default::default() };
        self.call(request).await?.workflow.ok_or_else(|| Error::missing("workflow"))
    }

    /// Ends the hold of a workflow, and those of its tasks that were held by themselves. Releasing one that is not held is no
    /// error and changes nothing.
    ///
    /// # Errors
    ///
    /// As [`Client::get_workflow`].
    pub async fn release_workflow(&self, id: &str) -> Result<v1::Workflow> {
        let request = v1::ReleaseWorkflowRequest { workflow_id: id.to_owned(), ..Default::default() };
        self.call(request).await?.workflow.ok_or_else(|| Error::missing("workflow"))
    }

    /// Says when a workflow is expected to end, and which tasks its end waits for, from how long tasks of the same types took.
    /// There is no expected end when it is held, and nothing at all when it has ended.
    ///
    /// # Errors
    ///
    /// [`Error::ResourceExhausted`] when it has more than 20,000 tasks; and as [`Client::get_workflow`].
    pub async fn forecast_workflow(&self, id: &str) -> Result<v1::WorkflowForecast> {
        let request = v1::ForecastWorkflowRequest { workflow_id: id.to_owned(), ..Default::default() };
        Ok(self.call(request).await?.forecast.unwrap_or_default())
    }
}

/// Submits tasks of a workflow by one call, all or none, each with the client's interceptors around it. Gives what was done for
/// them by their names.
async fn submit_whole<F, Fut>(
    client: &Client,
    mut tasks: Vec<v1::WorkflowTask>,
    call: F,
) -> Result<BTreeMap<String, Receipt>>
where
    F: FnOnce(Vec<v1::WorkflowTask>) -> Fut + Send,
    Fut: Future<Output = Result<Vec<Receipt>>> + Send,
{
    let names: Vec<String> = tasks.iter().map(|task| task.name.clone()).collect();
    let specs: Vec<NewTask> = tasks.iter_mut().map(|task| task.task.take().unwrap_or_default().into()).collect();
    let submit = |specs: Vec<NewTask>| async move {
        if specs.len() != tasks.len() {
            return Err(not_all());
        }
        for (task, new) in tasks.iter_mut().zip(specs) {
            task.task = Some(new.spec);
        }
        call(tasks).await
    };
    let receipts = match specs.as_slice() {
        // Without tasks there is nothing to intercept: the server says that there are none.
        [] => submit(specs).await?,
        _ => client.interceptors().submit_all(specs, submit).await?,
    };
    if receipts.len() != names.len() {
        return Err(Error::missing("receipts"));
    }
    Ok(names.into_iter().zip(receipts).collect())
}

fn not_all() -> Error {
    let fault = "an interceptor answered for a task of a workflow by itself: all of its tasks are created, or none";
    Error::invalid("interceptors", fault)
}

#[cfg(test)]
mod tests;
