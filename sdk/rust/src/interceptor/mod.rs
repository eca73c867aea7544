//! What an application wants done around every task, in one place.

mod batch;
mod logging;

use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use callboard_proto::v1;
use futures::FutureExt;
pub use futures::future::BoxFuture;

use crate::agent::{Context, Handler};
use crate::client::{Client, Receipt};
use crate::task_error::{self, TaskError};
use crate::{Error, NewTask, Result};
pub use logging::Logging;

/// What is done around submitting tasks, and around handling them. Give it to [`crate::ClientBuilder::interceptor`], to
/// [`crate::AgentBuilder::interceptor`], or both. Each method does nothing of its own unless it is written.
///
/// ```
/// use callboard::{BoxFuture, Context, HandleNext, Interceptor, NewTask, Result, SubmitNext, Submitted, TaskError, v1};
///
/// /// Says who asked, and refuses to work for nobody.
/// struct Tenant(String);
///
/// impl Interceptor for Tenant {
///     fn submit<'a>(&'a self, task: NewTask, next: SubmitNext<'a>) -> BoxFuture<'a, Result<Submitted>> {
///         next.run(task.header("tenant", &self.0))
///     }
///
///     fn handle<'a>(
///         &'a self,
///         ctx: &'a Context,
///         input: v1::Payload,
///         next: HandleNext<'a>,
///     ) -> BoxFuture<'a, Result<v1::Payload, TaskError>> {
///         Box::pin(async move {
///             if !ctx.headers().contains_key("tenant") {
///                 return Err(TaskError::new("the task has no tenant").permanent());
///             }
///             next.run(input).await
///         })
///     }
/// }
/// ```
pub trait Interceptor: Send + Sync + 'static {
    /// Around [`Client::create`], each task of [`Client::create_all`], of [`Client::create_workflow`] and of
    /// [`Client::add_workflow_tasks`], [`Client::run`], [`Client::create_child`], and [`Context::start_child`]. It may change the task before it goes on with `next`. An error of its own is what the call
    /// gives, and nothing is sent. It can't answer by itself for a task of a workflow, which is created with all of its tasks.
    fn submit<'a>(&'a self, task: NewTask, next: SubmitNext<'a>) -> BoxFuture<'a, Result<Submitted>> {
        next.run(task)
    }

    /// Around each attempt's handler, in its place: it sees the same cancellation, and an error of its own fails the attempt.
    /// A handler that panicked gives an error, of type `panic`.
    fn handle<'a>(
        &'a self,
        context: &'a Context,
        input: v1::Payload,
        next: HandleNext<'a>,
    ) -> BoxFuture<'a, Result<v1::Payload, TaskError>> {
        let _ = context;
        next.run(input)
    }
}

/// What came of submitting a task.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Submitted {
    /// It was created.
    Created(Receipt),
    /// It was run to its end.
    Ended(Box<v1::Task>),
}

impl Submitted {
    /// The task's id.
    pub fn task_id(&self) -> &str {
        match self {
            Self::Created(receipt) => &receipt.task_id,
            Self::Ended(task) => &task.id,
        }
    }

    pub(crate) fn into_receipt(self) -> Result<Receipt> {
        match self {
            Self::Created(receipt) => Ok(receipt),
            Self::Ended(_) => Err(Error::invalid("interceptors", "an interceptor gave a task in place of a receipt")),
        }
    }

    pub(crate) fn into_task(self) -> Result<v1::Task> {
        match self {
            Self::Ended(task) => Ok(*task),
            Self::Created(_) => Err(Error::invalid("interceptors", "an interceptor gave a receipt in place of a task")),
        }
    }
}

type Last<'a> = Box<dyn FnOnce(NewTask) -> BoxFuture<'a, Result<Submitted>> + Send + 'a>;

/// The rest of submitting a task: the interceptors further in, and then the call.
pub struct SubmitNext<'a> {
    rest: &'a [Arc<dyn Interceptor>],
    last: Last<'a>,
}

impl std::fmt::Debug for SubmitNext<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SubmitNext").field("interceptors", &self.rest.len()).finish_non_exhaustive()
    }
}

impl<'a> SubmitNext<'a> {
    /// Goes on with this task, and gives what the call gives.
    pub fn run(self, task: NewTask) -> BoxFuture<'a, Result<Submitted>> {
        match self.rest.split_first() {
            Some((first, rest)) => first.submit(task, SubmitNext { rest, last: self.last }),
            None => (self.last)(task),
        }
    }
}

/// The rest of an attempt: the interceptors further in, and then the handler.
pub struct HandleNext<'a> {
    rest: &'a [Arc<dyn Interceptor>],
    context: &'a Context,
    handler: &'a Handler,
}

impl std::fmt::Debug for HandleNext<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("HandleNext").field("interceptors", &self.rest.len()).finish_non_exhaustive()
    }
}

impl<'a> HandleNext<'a> {
    /// Goes on with this input, and gives what the handler gives.
    pub fn run(self, input: v1::Payload) -> BoxFuture<'a, Result<v1::Payload, TaskError>> {
        let HandleNext { rest, context, handler } = self;
        match rest.split_first() {
            Some((first, rest)) => first.handle(context, input, HandleNext { rest, context, handler }),
            None => Box::pin(async move {
                let running = AssertUnwindSafe(async move { handler(context.clone(), input).await });
                running.catch_unwind().await.unwrap_or_else(|panic| Err(task_error::panicked(panic.as_ref())))
            }),
        }
    }
}

/// The interceptors of a client or an agent; the first is the outermost.
#[derive(Clone, Default)]
pub(crate) struct Interceptors(Vec<Arc<dyn Interceptor>>);

impl std::fmt::Debug for Interceptors {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Interceptors").field(&self.0.len()).finish()
    }
}

impl Interceptors {
    pub(crate) fn push(&mut self, interceptor: Arc<dyn Interceptor>) {
        self.0.push(interceptor);
    }

    /// Handles the context's input.
    pub(crate) fn handle<'a>(
        &'a self,
        context: &'a Context,
        handler: &'a Handler,
    ) -> BoxFuture<'a, Result<v1::Payload, TaskError>> {
        HandleNext { rest: &self.0, context, handler }.run(context.payload().clone())
    }

    fn submit<'a, F, Fut>(&'a self, task: NewTask, last: F) -> BoxFuture<'a, Result<Submitted>>
    where
        F: FnOnce(NewTask) -> Fut + Send + 'a,
        Fut: Future<Output = Result<Submitted>> + Send + 'a,
    {
        let last: Last<'a> = Box::new(|task| Box::pin(last(task)));
        SubmitNext { rest: &self.0, last }.run(task)
    }
}

impl Client {
    /// Submits a task by this call, with the client's interceptors around it.
    pub(crate) fn submit<'a, F, Fut>(&'a self, task: NewTask, call: F) -> BoxFuture<'a, Result<Submitted>>
    where
        F: FnOnce(NewTask) -> Fut + Send + 'a,
        Fut: Future<Output = Result<Submitted>> + Send + 'a,
    {
        self.interceptors().submit(task, call)
    }
}

#[cfg(test)]
mod tests;
