//! Children: tasks that a handler creates for its own run, and waits for without holding its slot.

mod some;

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use callboard_proto::v1;
use serde::de::DeserializeOwned;
use tokio::sync::{mpsc, oneshot};
use tonic::Code;
use uuid::Uuid;

use super::context::Context;
use super::names::{self, Key};
use super::runner::HandlerEvent;
use super::session::{Awaited, Quorum, WaitId, told_to_stop};
use crate::client::read_result;
use crate::error::CallError;
use crate::interceptor::Submitted;
use crate::planted::{self, Defect};
use crate::{Error, NewChild, NewTask, Result};
pub use some::WaitChildren;

/// How handlers say what they wait for, and that they don't any more.
#[derive(Debug, Clone)]
pub(super) struct Waits {
    last: Arc<AtomicU64>,
    given_up: mpsc::UnboundedSender<WaitId>,
}

impl Waits {
    pub(super) fn new(given_up: mpsc::UnboundedSender<WaitId>) -> Self {
        Self { last: Arc::default(), given_up }
    }

    fn next(&self) -> WaitId {
        self.last.fetch_add(1, Ordering::Relaxed)
    }
}

/// A child of the run that a handler works on. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Child {
    receipt: v1::TaskReceipt,
    context: Context,
}

impl Child {
    /// Its task's id.
    pub fn id(&self) -> &str {
        &self.receipt.task_id
    }

    /// Whether it was there before: an earlier attempt of the run created it.
    pub fn existing(&self) -> bool {
        self.receipt.existing
    }

    /// Waits until it has ended. While a handler waits for children that have not, it holds no slot of its agent, and the
    /// time does not count for its timeouts; it goes on when there is a slot for it again. Children can be waited for beside
    /// each other, and each more than once.
    ///
    /// The task has its id, state and run, and its result or failure; ask [`crate::Client::get`] for more.
    ///
    /// # Errors
    ///
    /// [`Error::NotFound`] when there is no such task any more; [`Error::FailedPrecondition`] when the attempt is no longer
    /// current, or the handler was told to stop while it waited; [`Error::Unavailable`] when the agent has stopped; and what
    /// every call may give, when the result is large and has to be fetched.
    pub async fn wait(&self) -> Result<v1::Task> {
        match self.context.await_end(Quorum::of_one(self.id().to_owned()), None).await? {
            Awaited::Ended(ends) => {
                let end = ends.into_iter().next().ok_or_else(|| gone(self.id()))?;
                self.context.ended_task(end).await
            }
            Awaited::Ask => self.ask().await,
        }
    }

    /// Waits until it has ended, as [`Child::wait`], and gives its result.
    ///
    /// # Errors
    ///
    /// [`Error::TaskFailed`] when it ended in any other state than COMPLETED; [`Error::Decode`] when its result is no `T`;
    /// and as [`Child::wait`].
    pub async fn result<T: DeserializeOwned>(&self) -> Result<T> {
        read_result(self.wait().await?)
    }

    /// Waits until it has ended, by calls.
    async fn ask(&self) -> Result<v1::Task> {
        tokio::select! {
            biased;
            task = self.context.client().wait(self.id(), None) => task,
            () = self.context.cancelled() => Err(told_to_stop()),
        }
    }

    /// The same; gives what the server would have told.
    async fn ask_for_end(&self) -> Result<v1::TaskEnd> {
        let task_id = self.id().to_owned();
        match self.ask().await {
            Ok(v1::Task { state, run, result, failure, .. }) => {
                Ok(v1::TaskEnd { task_id, state, run, result, failure, ..v1::TaskEnd::default() })
            }
            Err(Error::NotFound(_)) => Ok(v1::TaskEnd { task_id, ..v1::TaskEnd::default() }),
            Err(error) => Err(error),
        }
    }
}

/// A wait that is under way. When it is dropped before its end came, the agent is told that nobody waits.
struct Waiting<'a> {
    wait: WaitId,
    ended: Option<oneshot::Receiver<Result<Awaited>>>,
    given_up: &'a mpsc::UnboundedSender<WaitId>,
}

impl Waiting<'_> {
    async fn ended(&mut self) -> Result<Awaited> {
        let Some(ended) = &mut self.ended else { return Err(Error::stopped()) };
        let end = ended.await.map_err(|_| Error::stopped());
        self.ended = None;
        end?
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        // The receiver first: a wait that the agent has not heard of is then seen to be closed.
        if self.ended.take().is_some() {
            let _ = self.given_up.send(self.wait);
        }
    }
}

impl Context {
    /// Creates a child: a task of this run, which any agent may do. Returns when it is durable. An attempt of the run that
    /// comes to the same child later (this one crashed, say) gets the one that is there.
    ///
    /// A child is told from others by its name (its task type, unless [`NewChild::name`] says another) and by how many
    /// children of that name the attempt began before it, as steps are: begin those of one name in the same order in every
    /// attempt. The request id follows from that; one that the task has is not used. A child that has not ended when this
    /// run ends is cancelled, unless it is [`NewChild::detached`].
    ///
    /// ```no_run
    /// # use callboard::NewTask;
    /// # async fn handler(ctx: callboard::Context) -> Result<String, callboard::TaskError> {
    /// let north = ctx.start_child(NewTask::new("survey").input("north")?).await?;
    /// let south = ctx.start_child(NewTask::new("survey").input("south")?).await?;
    /// let (north, south) = tokio::try_join!(north.result::<String>(), south.result::<String>())?;
    /// # Ok(north + &south)
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// [`Error::ResourceExhausted`] when the run has 1,000 children, or children stand 32 deep; [`Error::AlreadyExists`] when
    /// the child that is there has another type; [`Error::FailedPrecondition`] when the attempt is no longer current (stop
    /// the work), or the server takes no children; and as [`crate::Client::create`].
    pub fn start_child(&self, child: impl Into<NewChild>) -> impl Future<Output = Result<Child>> + Send {
        let NewChild { task, name, on_parent_end } = child.into();
        let begun = self.begin_child(name.unwrap_or_else(|| task.spec().r#type.clone()));
        async move {
            let key = begun?;
            let create = move |task| self.create_child(key, task, on_parent_end);
            let receipt = self.client().submit(task, create).await?.into_receipt()?;
            Ok(Child { receipt, context: self.clone() })
        }
    }

    /// Creates a child, waits for its end as [`Child::wait`], and gives its result.
    ///
    /// # Errors
    ///
    /// As [`Context::start_child`] and [`Child::result`].
    pub fn run_child<T: DeserializeOwned>(&self, child: impl Into<NewChild>) -> impl Future<Output = Result<T>> + Send {
        let started = self.start_child(child);
        async move { started.await?.result().await }
    }

    /// Waits until the quorum is over and the handler may go on. Those that have not ended are told as soon as it is over.
    async fn await_end(&self, quorum: Quorum, rest: Option<oneshot::Sender<Vec<String>>>) -> Result<Awaited> {
        let link = self.link();
        let (reply, ended) = oneshot::channel();
        let mut waiting = Waiting { wait: link.waits.next(), ended: Some(ended), given_up: &link.waits.given_up };
        let event = HandlerEvent::Wait { handler: self.handler(), quorum, wait: waiting.wait, reply, rest };
        link.events.send(event).await.map_err(|_| Error::stopped())?;
        waiting.ended().await
    }

    /// What the end of a child tells of its task.
    async fn ended_task(&self, end: v1::TaskEnd) -> Result<v1::Task> {
        let result = match end.state() {
            v1::TaskState::Unspecified => return Err(gone(&end.task_id)),
            _ if end.result_omitted => self.client().get(&end.task_id).await?.result,
            _ => end.result,
        };
        Ok(v1::Task {
            id: end.task_id,
            namespace: self.namespace().to_owned(),
            state: end.state,
            run: end.run,
            result,
            failure: end.failure,
            ..v1::Task::default()
        })
    }

    /// The key of the child that begins now.
    fn begin_child(&self, name: String) -> Result<Key> {
        names::check("child", &name)?;
        let mut key = self.children().next(name);
        if planted::has(Defect::ChildKeyPerAttempt) {
            key.occurrence += 1000 * self.attempt();
        }
        Ok(key)
    }

    async fn create_child(&self, key: Key, task: NewTask, on_parent_end: v1::ParentEndAction) -> Result<Submitted> {
        if !self.link().takes_children.load(Ordering::Relaxed) {
            return Err(no_children());
        }
        let request = v1::CreateChildRequest {
            request_id: request_id(self.task_id(), self.run(), &key)?,
            parent: Some(self.lease().clone()),
            name: key.name,
            occurrence: key.occurrence,
            task: Some(task.spec),
            on_parent_end: on_parent_end.into(),
            ..Default::default()
        };
        self.client().send_child(request).await.map(Submitted::Created)
    }
}

/// The same in every attempt of the run.
fn request_id(task_id: &str, run: i32, Key { name, occurrence }: &Key) -> Result<String> {
    let parent =
        Uuid::parse_str(task_id).map_err(|_| Error::invalid("parent", format!("{task_id:?} is no task's id")))?;
    let id = Uuid::new_v5(&parent, format!("{run}/{occurrence}/{name}").as_bytes());
    Ok(format!("child/{id}"))
}

fn no_children() -> Error {
    CallError::local(Code::FailedPrecondition, v1::ErrorReason::Unspecified, "the server takes no children").into()
}

fn gone(task_id: &str) -> Error {
    let message = format!("there is no task {task_id} any more");
    CallError::local(Code::NotFound, v1::ErrorReason::TaskNotFound, message).into()
}

#[cfg(test)]
mod tests;
