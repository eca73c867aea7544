//! Submitting tasks, following them, steering them.

use std::time::Duration;

use callboard_proto::v1;
use futures::stream::{self, Stream, StreamExt, TryStreamExt};
use serde::de::DeserializeOwned;
use tokio::time::Instant;

use super::unary::check_spec;
use super::{Client, Receipt};
use crate::interceptor::Submitted;
use crate::time::proto_duration;
use crate::{Error, NewTask, Result, payload};

/// How long one RunTask waits. Short, so that its retries fit into the call's timeout with the same request.
const RUN_WAIT: Duration = Duration::from_secs(10);

impl Client {
    /// Creates a task.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidArgument`] when the task is not as it may be, [`Error::AlreadyExists`] when its key is taken and
    /// that is to be refused, [`Error::ResourceExhausted`] at a limit of the namespace; and what every call may give.
    pub async fn create(&self, task: NewTask) -> Result<Receipt> {
        let create = |task| async move {
            let NewTask { spec, request_id } = task;
            let request = v1::CreateTaskRequest { task: Some(spec), request_id, ..Default::default() };
            let receipt = self.call(request).await?.receipt.ok_or_else(|| Error::missing("receipt"))?;
            Ok(Submitted::Created(receipt))
        };
        self.submit(task, create).await?.into_receipt()
    }

    /// Creates up to 1,000 tasks, all or none; their receipts come in the same order. The request id is that of the first
    /// task that has one.
    ///
    /// # Errors
    ///
    /// As [`Client::create`].
    pub async fn create_all(&self, tasks: impl IntoIterator<Item = NewTask>) -> Result<Vec<Receipt>> {
        let tasks: Vec<NewTask> = tasks.into_iter().collect();
        let create_all = |tasks: Vec<NewTask>| async move {
            let mut request = v1::BatchCreateTasksRequest::default();
            for task in tasks {
                if request.request_id.is_empty() {
                    request.request_id = task.request_id;
                }
                request.tasks.push(task.spec);
            }
            Ok(self.call(request).await?.receipts)
        };
        self.interceptors().submit_all(tasks, create_all).await
    }

    /// Creates a task, waits for its end, however long that takes, and gives its result.
    ///
    /// # Errors
    ///
    /// [`Error::TaskFailed`] when it ended in any other state than COMPLETED; [`Error::Decode`] when its result is no
    /// `T`; and as [`Client::create`].
    pub async fn run<T: DeserializeOwned>(&self, task: NewTask) -> Result<T> {
        read_result(self.run_until_ended(task, None).await?)
    }

    /// Creates a task and waits for its end. The task comes with its result, without its input.
    ///
    /// # Errors
    ///
    /// [`Error::DeadlineExceeded`] when it has not ended by the timeout; it goes on. And as [`Client::create`].
    pub async fn run_until_ended(&self, task: NewTask, timeout: Option<Duration>) -> Result<v1::Task> {
        let until = timeout.map(|timeout| Instant::now() + timeout);
        let run = |NewTask { spec, request_id }| async move {
            check_spec("task", Some(&spec))?;
            Ok(Submitted::Ended(self.run_task(spec, request_id, until).await?))
        };
        self.submit(task, run).await?.into_task()
    }

    /// Creates a task by RunTask, and waits for its end by WaitTask.
    pub(super) async fn run_by_calls(
        &self,
        task: v1::TaskSpec,
        request_id: &str,
        until: Option<Instant>,
    ) -> Result<v1::Task> {
        let left = until.map(|until| until.saturating_duration_since(Instant::now()));
        let wait = Some(proto_duration(left.map_or(RUN_WAIT, |left| left.min(RUN_WAIT))));
        let request_id = request_id.to_owned();
        let request = v1::RunTaskRequest { task: Some(task), request_id, wait, ..Default::default() };
        let response = self.call(request).await?;
        let task = response.task.ok_or_else(|| Error::missing("task"))?;
        if response.ended {
            return Ok(task);
        }
        self.wait_until(&task.id, until).await
    }

    /// Gives a task with its input and result.
    ///
    /// # Errors
    ///
    /// [`Error::NotFound`] when there is none of this id; and what every call may give.
    pub async fn get(&self, id: &str) -> Result<v1::Task> {
        let request = v1::GetTaskRequest { task_id: id.to_owned(), ..Default::default() };
        self.call(request).await?.task.ok_or_else(|| Error::missing("task"))
    }

    /// Lists tasks, newest first, without inputs and results, fetching page after page.
    pub fn list(&self, request: v1::ListTasksRequest) -> impl Stream<Item = Result<v1::Task>> + Send + 'static {
        let client = self.clone();
        let pages = stream::try_unfold(Some(request), move |next| {
            let client = client.clone();
            async move {
                let Some(request) = next else { return Ok(None) };
                let page = client.list_page(request.clone()).await?;
                let next = following(page.next_page_token, |page_token| v1::ListTasksRequest { page_token, ..request });
                Ok(Some((page.tasks, next)))
            }
        });
        flatten(pages)
    }

    /// One page of tasks, newest first, without inputs and results.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidArgument`] when a filter or the page token is not as it may be; and what every call may give.
    pub async fn list_page(&self, request: v1::ListTasksRequest) -> Result<v1::ListTasksResponse> {
        self.call(request).await
    }

    /// Cancels a task. Cancelling one that has ended is no error and changes nothing.
    ///
    /// # Errors
    ///
    /// [`Error::NotFound`] when there is none of this id; and what every call may give.
    pub async fn cancel(&self, id: &str, reason: &str) -> Result<Receipt> {
        let request = v1::CancelTaskRequest { task_id: id.to_owned(), reason: reason.to_owned(), ..Default::default() };
        self.call(request).await?.receipt.ok_or_else(|| Error::missing("receipt"))
    }

    /// Opens the next run of a task that ended FAILED, CANCELLED or SKIPPED.
    ///
    /// # Errors
    ///
    /// [`Error::FailedPrecondition`] when it is in another state; and as [`Client::get`].
    pub async fn retry(&self, id: &str) -> Result<Receipt> {
        let request = v1::RetryTaskRequest { task_id: id.to_owned(), ..Default::default() };
        self.call(request).await?.receipt.ok_or_else(|| Error::missing("receipt"))
    }

    /// Keeps a WAITING or READY task from being assigned until it is released.
    ///
    /// # Errors
    ///
    /// [`Error::FailedPrecondition`] when it is in another state; and as [`Client::get`].
    pub async fn hold(&self, id: &str, reason: &str) -> Result<Receipt> {
        let request = v1::HoldTaskRequest { task_id: id.to_owned(), reason: reason.to_owned(), ..Default::default() };
        self.call(request).await?.receipt.ok_or_else(|| Error::missing("receipt"))
    }

    /// Ends a hold. Releasing a task that is not held is no error and changes nothing.
    ///
    /// # Errors
    ///
    /// As [`Client::get`].
    pub async fn release(&self, id: &str) -> Result<Receipt> {
        let request = v1::ReleaseTaskRequest { task_id: id.to_owned(), ..Default::default() };
        self.call(request).await?.receipt.ok_or_else(|| Error::missing("receipt"))
    }

    /// Says who could have a task now, who could not and why, as placement sees it at this moment. Of a task that is READY that
    /// is who gets it next; of any other, who would if it were. `limits` has what is used of those that the task is under, `past`
    /// who it was given to so far, and who else could have had it then.
    ///
    /// # Errors
    ///
    /// As [`Client::get`].
    pub async fn explain(&self, id: &str) -> Result<v1::AssignmentExplanation> {
        let request = v1::ExplainAssignmentRequest { task_id: id.to_owned(), ..Default::default() };
        self.call(request).await?.explanation.ok_or_else(|| Error::missing("explanation"))
    }

    /// Changes the priority, assignee, deadline or tags of a live task: those in `update_mask`.
    ///
    /// # Errors
    ///
    /// [`Error::FailedPrecondition`] when it has ended; and as [`Client::get`].
    pub async fn update(&self, request: v1::UpdateTaskRequest) -> Result<Receipt> {
        self.call(request).await?.receipt.ok_or_else(|| Error::missing("receipt"))
    }

    /// Waits until a task has ended. It comes with its result, without its input. No timeout means for ever.
    ///
    /// # Errors
    ///
    /// [`Error::DeadlineExceeded`] when it has not ended by the timeout; and as [`Client::get`].
    pub async fn wait(&self, id: &str, timeout: Option<Duration>) -> Result<v1::Task> {
        self.wait_until(id, timeout.map(|timeout| Instant::now() + timeout)).await
    }

    /// Waits until a task has ended, and gives its result. No timeout means for ever.
    ///
    /// # Errors
    ///
    /// [`Error::TaskFailed`] when it ended in any other state than COMPLETED; [`Error::Decode`] when its result is no
    /// `T`; and as [`Client::wait`].
    pub async fn result<T: DeserializeOwned>(&self, id: &str, timeout: Option<Duration>) -> Result<T> {
        read_result(self.wait(id, timeout).await?)
    }

    /// The events of a task, oldest first.
    ///
    /// # Errors
    ///
    /// As [`Client::get`].
    pub async fn history(&self, id: &str) -> Result<Vec<v1::Event>> {
        let mut request = v1::ListTaskEventsRequest { task_id: id.to_owned(), page_size: 1000, ..Default::default() };
        let mut events = Vec::new();
        loop {
            let page = self.call(request.clone()).await?;
            events.extend(page.events);
            if page.next_page_token.is_empty() {
                return Ok(events);
            }
            request.page_token = page.next_page_token;
        }
    }

    /// The results of the tasks that a task depends on, in the order of its dependencies.
    ///
    /// # Errors
    ///
    /// As [`Client::get`].
    pub async fn dependency_results(&self, id: &str) -> Result<Vec<v1::DependencyResult>> {
        let mut request = v1::ListDependencyResultsRequest { task_id: id.to_owned(), ..Default::default() };
        let mut results = Vec::new();
        loop {
            let page = self.call(request.clone()).await?;
            results.extend(page.results);
            if page.next_page_token.is_empty() {
                return Ok(results);
            }
            request.page_token = page.next_page_token;
        }
    }

    /// The steps that a run of a task recorded, in the order in which they were recorded. Run 0 is the latest.
    ///
    /// # Errors
    ///
    /// As [`Client::get`].
    pub async fn steps(&self, id: &str, run: i32) -> Result<Vec<v1::Step>> {
        let mut request = v1::ListStepsRequest { task_id: id.to_owned(), run, page_size: 1000, ..Default::default() };
        let mut steps = Vec::new();
        loop {
            let page = self.call(request.clone()).await?;
            steps.extend(page.steps);
            if page.next_page_token.is_empty() {
                return Ok(steps);
            }
            request.page_token = page.next_page_token;
        }
    }

    async fn wait_until(&self, id: &str, until: Option<Instant>) -> Result<v1::Task> {
        let ask = |wait| v1::WaitTaskRequest { task_id: id.to_owned(), wait: Some(wait), ..Default::default() };
        let ended = |answer: v1::WaitTaskResponse| {
            let task = answer.task.ok_or_else(|| Error::missing("task"))?;
            Ok(answer.ended.then_some(task))
        };
        let over = || Error::deadline(format!("task {id} had not ended when the time was over: it goes on"));
        self.until_ended(until, ask, ended).await?.ok_or_else(over)
    }
}

/// The request for the next page, when there is one.
pub(super) fn following<R>(token: String, make: impl FnOnce(String) -> R) -> Option<R> {
    if token.is_empty() { None } else { Some(make(token)) }
}

/// Items one by one, from pages.
pub(super) fn flatten<T: Send + 'static>(
    pages: impl Stream<Item = Result<Vec<T>>> + Send + 'static,
) -> impl Stream<Item = Result<T>> + Send + 'static {
    pages.map_ok(|page| stream::iter(page).map(Ok)).try_flatten()
}

/// The result of a task that has ended.
pub(crate) fn read_result<T: DeserializeOwned>(task: v1::Task) -> Result<T> {
    if task.state() != v1::TaskState::Completed {
        return Err(Error::TaskFailed(Box::new(task)));
    }
    payload::from_optional(task.result.as_ref())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_completed_task_has_a_result() {
        let result = Some(payload::to_payload(&41).unwrap());
        let task =
            |state: v1::TaskState| v1::Task { state: state.into(), result: result.clone(), ..Default::default() };
        assert_eq!(read_result::<u32>(task(v1::TaskState::Completed)).unwrap(), 41);
        for state in [v1::TaskState::Failed, v1::TaskState::Cancelled, v1::TaskState::Skipped] {
            assert!(matches!(read_result::<u32>(task(state)), Err(Error::TaskFailed(_))), "{state:?}");
        }
        assert!(matches!(read_result::<Vec<u8>>(task(v1::TaskState::Completed)), Err(Error::Decode(_))));
    }
}
