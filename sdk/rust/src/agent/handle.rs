//! Steering an agent that runs in the background.

use std::net::SocketAddr;

use tokio::sync::{oneshot, watch};

use super::session::Readiness;
use crate::{Error, Result};

/// What the agent is asked to do. Only ever rises.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Wish {
    Run,
    Drain,
    Stop,
}

/// What the agent tells of its connection.
#[derive(Debug, Clone, Default)]
pub(super) struct Status {
    pub(super) agent_id: String,
    pub(super) epoch: i64,
    pub(super) attached: bool,
    pub(super) readiness: Readiness,
}

/// An agent that runs in the background. Dropping the handle stops the agent at once.
#[derive(Debug)]
pub struct AgentHandle {
    pub(super) name: String,
    pub(super) health_address: Option<SocketAddr>,
    pub(super) wish: watch::Sender<Wish>,
    pub(super) status: watch::Receiver<Status>,
    pub(super) ended: oneshot::Receiver<Result<()>>,
    /// How it ended, once that is known.
    pub(super) outcome: Option<Result<()>>,
}

impl AgentHandle {
    /// The agent's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The agent's id; `None` before it was first attached.
    pub fn agent_id(&self) -> Option<String> {
        let status = self.status.borrow();
        Some(status.agent_id.clone()).filter(|id| !id.is_empty())
    }

    /// The epoch of the latest session; 0 before it was first attached.
    pub fn session_epoch(&self) -> i64 {
        self.status.borrow().epoch
    }

    /// Whether the stream is open now.
    pub fn is_attached(&self) -> bool {
        self.status.borrow().attached
    }

    /// Where it answers probes; `None` without [`AgentBuilder::health`](crate::AgentBuilder::health).
    pub fn health_address(&self) -> Option<SocketAddr> {
        self.health_address
    }

    /// Completes when the agent is attached.
    ///
    /// # Errors
    ///
    /// What ended the agent; [`Error::Unavailable`] when it has ended without an error.
    pub async fn attached(&mut self) -> Result<()> {
        if self.status.wait_for(|status| status.attached).await.is_ok() {
            return Ok(());
        }
        self.ended().await.and(Err(Error::stopped()))
    }

    /// Waits until the agent has ended. Can be dropped and called again; it says the same again.
    ///
    /// # Errors
    ///
    /// What the server said when attaching again can't help.
    pub async fn ended(&mut self) -> Result<()> {
        if self.outcome.is_none() {
            self.outcome = Some((&mut self.ended).await.unwrap_or_else(|_| Err(Error::stopped())));
        }
        self.outcome.clone().unwrap_or(Ok(()))
    }

    /// Asks the agent to drain: it takes no new tasks, lets its handlers go on for at most the drain timeout, hands back
    /// what is left, and ends. Does not wait: see [`AgentHandle::join`].
    pub fn drain(&self) {
        self.raise(Wish::Drain);
    }

    /// Asks the agent to end at once: handlers are dropped at their next `.await`, and nothing more is reported. The
    /// server gives their tasks to others.
    pub fn stop(&self) {
        self.raise(Wish::Stop);
    }

    /// Waits until the agent has ended.
    ///
    /// # Errors
    ///
    /// What the server said when attaching again can't help.
    pub async fn join(mut self) -> Result<()> {
        self.ended().await
    }

    fn raise(&self, wish: Wish) {
        self.wish.send_if_modified(|current| {
            let rises = wish > *current;
            *current = wish.max(*current);
            rises
        });
    }
}

impl Drop for AgentHandle {
    fn drop(&mut self) {
        self.stop();
    }
}
