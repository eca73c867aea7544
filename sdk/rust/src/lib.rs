//! The Rust SDK of Callboard, the control plane for AI agents.
//!
//! A [`Client`] submits tasks, follows and steers them. An [`Agent`] attaches to the server and runs a handler for each
//! task that it is given.
//!
//! ```no_run
//! use callboard::{Agent, Client, Context, NewTask, TaskError};
//!
//! # async fn example() -> Result<(), callboard::Error> {
//! // The agent: runs until SIGTERM or SIGINT, then drains.
//! let agent = Agent::builder("greeter")
//!     .handle("greet", |_ctx: Context, name: String| async move { Ok::<_, TaskError>(format!("Hello, {name}!")) });
//! let agent = agent.spawn()?;
//!
//! // The client: submits a task and waits for its result.
//! let client = Client::from_env()?;
//! let greeting: String = client.run(NewTask::new("greet").input(&"Ada")?).await?;
//! assert_eq!(greeting, "Hello, Ada!");
//! # agent.drain();
//! # agent.join().await
//! # }
//! ```
//!
//! # Where to look
//!
//! - Tasks: [`NewTask`] describes one, [`NewDependency`] what it depends on, [`NewFallback`] what it asks for when nobody takes it, [`NewLimit`] what limits it; [`Client`] creates, runs, watches ([`Watch`]) and steers them. [`Error`] says what went wrong.
//! - Workflows: [`NewWorkflow`], [`NewWorkflowTask`], [`NewWorkflowDependency`]; [`Client::create_workflow`], [`Client::add_workflow_tasks`], [`Client::wait_workflow`].
//! - Agents: [`AgentBuilder`] describes one; [`AgentHandle`] steers it in the background. A handler gets its input and a [`Context`],
//!   and fails with a [`TaskError`].
//! - Work that survives its agent: [`Context::save_checkpoint`], [`Context::step`].
//! - Children: [`Context::start_child`], [`Context::run_child`], [`Context::wait_children`], [`Child`], [`NewChild`].
//! - Output while a handler works: [`Context::output`], [`Client::watch_output`], [`Client::output`].
//! - Messages between agents: [`AgentBuilder::on_message`], [`Message`], [`NewMessage`].
//! - What is done around every task: [`Interceptor`], [`Logging`], and with the feature `opentelemetry` the module of that name.
//! - Who calls: [`Credentials`].
//!
//! # Features
//!
//! Both are off by default:
//!
//! - `opentelemetry`: traces of submitting and running tasks.
//! - `schemars`: handlers whose types say their JSON Schemas, `AgentBuilder::handle_with_schemas`.
//!
//! The crate needs Rust 1.94 or newer, and tokio.
//!
//! What every SDK of Callboard does alike is written down in `sdk/SPEC.md`.

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;

mod agent;
mod client;
mod connector;
mod credentials;
mod entropy;
mod error;
mod interceptor;
#[cfg(test)]
mod logged;
mod new_child;
mod new_dependency;
mod new_fallback;
mod new_limit;
mod new_message;
mod new_task;
mod new_workflow;
#[cfg(feature = "opentelemetry")]
pub mod opentelemetry;
mod payload;
#[cfg(feature = "planted")]
#[doc(hidden)]
pub mod planted;
#[cfg(not(feature = "planted"))]
mod planted;
mod retry;
mod settings;
mod task_error;
mod time;
mod transport;

pub use agent::{Agent, AgentBuilder, AgentHandle, Child, Context, Dependency, Message, WaitChildren};
pub use client::{
    AddDependencies, AddWorkflowTasks, Client, ClientBuilder, EventStream, OutputChunk, OutputQuery, OutputStream,
    Receipt, Unary, Watch, WorkflowReceipt,
};
pub use connector::Connector;
pub use credentials::Credentials;
pub use error::{CallError, Error, FieldViolation};
pub use interceptor::{BoxFuture, HandleNext, Interceptor, Logging, SubmitNext, Submitted};
pub use new_child::NewChild;
pub use new_dependency::{NewDependency, ResultCondition};
pub use new_fallback::NewFallback;
pub use new_limit::NewLimit;
pub use new_message::NewMessage;
pub use new_task::NewTask;
pub use new_workflow::{NewWorkflow, NewWorkflowDependency, NewWorkflowTask};
pub use payload::{Bytes, from_payload, to_payload};
pub use task_error::TaskError;
pub use transport::Connection;

/// The protocol's messages and raw clients.
pub use callboard_proto::v1;

/// An address, as a [`Connector`] is given it.
pub use tonic::transport::Uri;

/// What a call gives: a value, or the crate's [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;
