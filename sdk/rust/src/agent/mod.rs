//! The agent: attaches to the server, runs a handler for each task that it is given, and reports how it ended.
//!
//! `session` is the protocol, without I/O, clock or threads. `driver` gives it those, on a thread of its own, so that a
//! handler that burns its processor does not stop the heartbeats. Handlers run on the runtime of the user's program.

mod builder;
mod children;
mod connection;
mod context;
mod dependency;
mod driver;
mod handle;
mod handlers;
mod health;
mod message;
mod name;
mod names;
mod output;
mod runner;
mod schemas;
mod session;
mod signals;
mod steps;

pub use builder::AgentBuilder;
pub use children::{Child, WaitChildren};
pub use context::Context;
pub use dependency::Dependency;
pub use handle::AgentHandle;
pub(crate) use handlers::Handler;
pub use message::Message;

/// An agent. Build one with [`Agent::builder`].
#[derive(Debug)]
#[non_exhaustive]
pub struct Agent;

impl Agent {
    /// An agent of this type, which many agents may be: `researcher`. An empty one means `agent`.
    pub fn builder(agent_type: impl Into<String>) -> AgentBuilder {
        AgentBuilder::new(agent_type.into())
    }
}
