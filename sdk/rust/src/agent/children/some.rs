//! Waiting for some of several children.

use std::collections::{HashMap, HashSet};
use std::future::IntoFuture;

use callboard_proto::v1;
use futures::stream::{self, FuturesUnordered, StreamExt, TryStreamExt};
use tokio::sync::oneshot;

use super::Child;
use crate::agent::context::Context;
use crate::agent::session::{Awaited, Quorum};
use crate::interceptor::BoxFuture;
use crate::{Error, Result};

/// How many calls are made beside each other: cancelling children, fetching large results.
const CALLS: usize = 32;

/// A wait for some of several children, which begins when it is awaited: see [`Context::wait_children`].
#[derive(Debug, Clone)]
#[must_use = "nothing is waited for unless it is awaited"]
pub struct WaitChildren {
    context: Context,
    children: Vec<Child>,
    count: Option<usize>,
    cancels_rest: bool,
}

impl WaitChildren {
    /// Goes on when so many have completed: 1 to the number of the children. Default: all.
    pub fn count(mut self, count: usize) -> Self {
        self.count = Some(count);
        self
    }

    /// Cancels those that have not ended when so many have completed, or can't any more. Default: they go on, and when the
    /// run of their parent ends it is as [`crate::NewChild`] says.
    pub fn cancel_rest(mut self) -> Self {
        self.cancels_rest = true;
        self
    }

    async fn done(self) -> Result<Vec<v1::Task>> {
        let count = self.checked_count()?;
        if self.children.is_empty() {
            return Ok(Vec::new());
        }
        let (tell, rest) = oneshot::channel();
        let quorum = Quorum::new(self.children.iter().map(|child| child.id().to_owned()).collect(), count);
        let awaited = self.context.await_end(quorum, self.cancels_rest.then_some(tell));
        // It begins when the quorum is over, which may be long before the handler has a slot again: one of the rest may have that.
        let cancelled = async { Ok(self.cancel_when_told(rest).await) };
        let (ends, cancelled) = match tokio::try_join!(awaited, cancelled)? {
            (Awaited::Ended(ends), cancelled) => (ends, cancelled),
            (Awaited::Ask, _) => self.ask(count).await?,
        };
        let tasks = self.completed(count, ends).await?;
        cancelled.map(|()| tasks)
    }

    fn checked_count(&self) -> Result<usize> {
        let mut ids = HashSet::new();
        if let Some(twice) = self.children.iter().find(|child| !ids.insert(child.id())) {
            return Err(Error::invalid("children", format!("the child {} stands there twice", twice.id())));
        }
        let all = self.children.len();
        match self.count {
            None => Ok(all),
            Some(count) if (1..=all).contains(&count) => Ok(count),
            Some(count) => {
                Err(Error::invalid("count", format!("count is {count}; of {all} children it is 1 to {all}")))
            }
        }
    }

    /// The tasks of those that completed, in the order of the children; or, if they are too few, what the result of the first
    /// that ended badly is.
    async fn completed(&self, count: usize, ends: Vec<v1::TaskEnd>) -> Result<Vec<v1::Task>> {
        let (done, badly): (Vec<_>, Vec<_>) = ends.into_iter().partition(|end| end.state() == v1::TaskState::Completed);
        if let Some(first) = badly.into_iter().next().filter(|_| done.len() < count) {
            return Err(Error::TaskFailed(Box::new(self.context.ended_task(first).await?)));
        }
        let tasks = done.into_iter().map(|end| self.context.ended_task(end));
        stream::iter(tasks).buffered(CALLS).try_collect().await
    }

    /// The same by calls, for a server that tells no ends: gives them, and cancels the rest.
    async fn ask(&self, count: usize) -> Result<(Vec<v1::TaskEnd>, Result<()>)> {
        let mut quorum = Quorum::new(self.children.iter().map(|child| child.id().to_owned()).collect(), count);
        let mut asked: FuturesUnordered<_> = self.children.iter().map(Child::ask_for_end).collect();
        let mut ends = HashMap::new();
        while !quorum.is_over() {
            let Some(end) = asked.try_next().await? else { break };
            quorum.take(&end);
            ends.insert(end.task_id.clone(), end);
        }
        drop(asked);
        let cancelled = match self.cancels_rest {
            true => self.cancel(quorum.rest().cloned().collect()).await,
            false => Ok(()),
        };
        Ok((quorum.ended().filter_map(|child| ends.remove(child)).collect(), cancelled))
    }

    async fn cancel_when_told(&self, rest: oneshot::Receiver<Vec<String>>) -> Result<()> {
        // Nobody tells when nothing is to be cancelled.
        let Ok(rest) = rest.await else { return Ok(()) };
        self.cancel(rest).await
    }

    /// Cancels all of these. The first error, when all were tried.
    async fn cancel(&self, rest: Vec<String>) -> Result<()> {
        let calls = stream::iter(rest.into_iter().map(|child| self.cancel_one(child))).buffer_unordered(CALLS);
        calls.fold(Ok(()), |first: Result<()>, one| async move { first.and(one) }).await
    }

    async fn cancel_one(&self, task_id: String) -> Result<()> {
        // The same in every attempt: one that comes to the same end again repeats it.
        let request_id = format!("rest/{task_id}");
        let request = v1::CancelTaskRequest { task_id, request_id, ..Default::default() };
        match self.context.client().call(request).await {
            // One that is forgotten had ended.
            Ok(_) | Err(Error::NotFound(_)) => Ok(()),
            Err(error) => Err(error),
        }
    }
}

impl IntoFuture for WaitChildren {
    type Output = Result<Vec<v1::Task>>;
    type IntoFuture = BoxFuture<'static, Self::Output>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.done())
    }
}

impl Context {
    /// Waits until so many of these children have completed, all of them unless [`WaitChildren::count`] says another, and gives
    /// the tasks of those that have by then, in the order in which the children are given: the first that has what is asked
    /// for, or a quorum. Of no children it gives none, at once. It is a wait as [`Child::wait`] is: meanwhile the handler holds
    /// no slot.
    ///
    /// ```no_run
    /// # use callboard::{NewTask, from_payload};
    /// # async fn handler(ctx: callboard::Context) -> Result<Vec<String>, callboard::TaskError> {
    /// let mut searches = Vec::new();
    /// for place in ["library", "archive", "web"] {
    ///     searches.push(ctx.start_child(NewTask::new("search").input(place)?).await?);
    /// }
    /// // The two that are there first. The third is cancelled.
    /// let found = ctx.wait_children(&searches).count(2).cancel_rest().await?;
    /// # let read = |task: &callboard::v1::Task| from_payload(&task.result.clone().unwrap_or_default());
    /// # Ok(found.iter().map(read).collect::<callboard::Result<_>>()?)
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// [`Error::InvalidArgument`] when the count is below 1 or above the number of children, or a child stands there twice.
    /// As soon as so many can't complete any more, what [`Child::result`] gives of the first of them that ended badly:
    /// [`Error::TaskFailed`], or [`Error::NotFound`]. Else as [`Child::wait`]. With [`WaitChildren::cancel_rest`] also what
    /// [`crate::Client::cancel`] gives.
    pub fn wait_children<'a>(&self, children: impl IntoIterator<Item = &'a Child>) -> WaitChildren {
        let children = children.into_iter().cloned().collect();
        WaitChildren { context: self.clone(), children, count: None, cancels_rest: false }
    }
}

#[cfg(test)]
mod tests;
