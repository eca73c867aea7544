//! Looking after agents, and being one by unary calls.

use callboard_proto::v1;
use futures::stream::{self, Stream};

use super::tasks::{flatten, following};
use super::{Client, Receipt};
use crate::{Error, Result};

impl Client {
    /// Claims tasks for a while. None come when none were ready in time.
    ///
    /// # Errors
    ///
    /// [`Error::FailedPrecondition`] while a stream is attached under the agent's name; and what every call may give.
    pub async fn claim(&self, request: v1::ClaimTasksRequest) -> Result<Vec<v1::Assignment>> {
        Ok(self.call(request).await?.assignments)
    }

    /// Extends the lease of a claimed task.
    ///
    /// # Errors
    ///
    /// [`Error::FailedPrecondition`] when the attempt is no longer current: stop the work; and what every call may give.
    pub async fn heartbeat(&self, request: v1::HeartbeatTaskRequest) -> Result<v1::HeartbeatTaskResponse> {
        self.call(request).await
    }

    /// Completes a task: one that was claimed, or one that nobody has.
    ///
    /// # Errors
    ///
    /// [`Error::FailedPrecondition`] when the attempt is no longer current, or the task has ended; and what every call
    /// may give.
    pub async fn complete(&self, request: v1::CompleteTaskRequest) -> Result<Receipt> {
        self.call(request).await?.receipt.ok_or_else(|| Error::missing("receipt"))
    }

    /// Fails an attempt: of a claimed task, or of one that nobody has.
    ///
    /// # Errors
    ///
    /// As [`Client::complete`].
    pub async fn fail(&self, request: v1::FailTaskRequest) -> Result<Receipt> {
        self.call(request).await?.receipt.ok_or_else(|| Error::missing("receipt"))
    }

    /// Gives one agent.
    ///
    /// # Errors
    ///
    /// [`Error::NotFound`] when there is none of this name; and what every call may give.
    pub async fn get_agent(&self, name: &str) -> Result<v1::Agent> {
        let request = v1::GetAgentRequest { name: name.to_owned(), ..Default::default() };
        self.call(request).await?.agent.ok_or_else(|| Error::missing("agent"))
    }

    /// Lists agents by name, fetching page after page.
    pub fn list_agents(
        &self,
        request: v1::ListAgentsRequest,
    ) -> impl Stream<Item = Result<v1::Agent>> + Send + 'static {
        let client = self.clone();
        let pages = stream::try_unfold(Some(request), move |next| {
            let client = client.clone();
            async move {
                let Some(request) = next else { return Ok(None) };
                let page = client.call(request.clone()).await?;
                let next =
                    following(page.next_page_token, |page_token| v1::ListAgentsRequest { page_token, ..request });
                Ok(Some((page.agents, next)))
            }
        });
        flatten(pages)
    }

    /// Gives an agent no new tasks; it keeps those that it has.
    ///
    /// # Errors
    ///
    /// As [`Client::get_agent`].
    pub async fn cordon(&self, name: &str) -> Result<v1::Agent> {
        let request = v1::CordonAgentRequest { name: name.to_owned(), ..Default::default() };
        self.call(request).await?.agent.ok_or_else(|| Error::missing("agent"))
    }

    /// Ends a cordon.
    ///
    /// # Errors
    ///
    /// As [`Client::get_agent`].
    pub async fn uncordon(&self, name: &str) -> Result<v1::Agent> {
        let request = v1::UncordonAgentRequest { name: name.to_owned(), ..Default::default() };
        self.call(request).await?.agent.ok_or_else(|| Error::missing("agent"))
    }

    /// Forgets an agent. Its session ends, and its tasks are requeued.
    ///
    /// # Errors
    ///
    /// As [`Client::get_agent`].
    pub async fn remove_agent(&self, name: &str) -> Result<()> {
        let request = v1::RemoveAgentRequest { name: name.to_owned(), ..Default::default() };
        self.call(request).await.map(|_| ())
    }
}
