//! Commands that wait for the committer.

use crate::error::{Error, Result};
use crate::sessions::Live;
use callboard_core::command::{Command, Envelope, Fence, Reply};
use callboard_core::working_set::LaneRef;
use prometheus_client::metrics::counter::Counter;
use std::sync::Arc;
use tokio::sync::{mpsc, oneshot};

/// A command with whom to answer.
#[derive(Debug)]
pub(crate) struct Item {
    pub envelope: Envelope,
    pub sink: Sink,
}

/// Whom to answer, after the commit.
#[derive(Debug)]
pub(crate) enum Sink {
    /// Nobody: a timer's command.
    Nobody,
    /// A caller.
    Caller(oneshot::Sender<Result<Reply>>),
    /// A caller that also waits for the end of the first task of the reply; registered before anything else can happen.
    Runner {
        reply: oneshot::Sender<Result<Reply>>,
        ended: oneshot::Sender<Arc<crate::shared::Ended>>,
        namespace: Arc<str>,
    },
    /// A stream that attaches: it is known to the sessions before anything else can be pushed.
    Attach { reply: oneshot::Sender<Result<Reply>>, live: Box<Live> },
    /// A message that a stream's agent sent: its receipt is pushed.
    Send { agent: callboard_core::model::AgentId, epoch: i64, request_id: String },
    /// A stream's acknowledgements: their receipt is pushed.
    Acknowledge { agent: callboard_core::model::AgentId, epoch: i64, messages: Vec<callboard_core::model::MessageId> },
    /// A stream's report: its receipt is pushed.
    Report { agent: callboard_core::model::AgentId, epoch: i64, report_id: i64, fence: Fence, quiet: bool },
}

impl Item {
    /// Whoever asked has gone before it was decided, and may have asked another replica by now. A session that began here would end the
    /// one there; and what was refused there for good must not be done here behind it. The task of a run goes on, though, when its caller
    /// doesn't want its end any more.
    pub fn is_abandoned(&self) -> bool {
        match &self.sink {
            Sink::Caller(reply) | Sink::Attach { reply, .. } => reply.is_closed(),
            Sink::Nobody | Sink::Runner { .. } | Sink::Send { .. } | Sink::Acknowledge { .. } | Sink::Report { .. } => {
                false
            }
        }
    }
}

/// What the committer is told.
#[derive(Debug)]
pub(crate) enum Message {
    /// Decide this.
    Item(Box<Item>),
    /// The store has, or may have, ready tasks in these lanes.
    Lanes(Vec<LaneRef>),
    /// Say that you are there.
    Ping(oneshot::Sender<()>),
}

/// The sending end. Bounded.
#[derive(Clone, Debug)]
pub(crate) struct Queue {
    sender: mpsc::Sender<Message>,
    overloaded: Counter,
}

impl Queue {
    pub fn new(capacity: usize, overloaded: Counter) -> (Self, mpsc::Receiver<Message>) {
        let (sender, receiver) = mpsc::channel(capacity);
        (Self { sender, overloaded }, receiver)
    }

    /// How many messages wait.
    pub fn len(&self) -> usize {
        self.sender.max_capacity() - self.sender.capacity()
    }

    /// Whether the committer takes messages: it answers when all before are committed.
    pub async fn is_served(&self) -> bool {
        let (reply, answer) = oneshot::channel();
        self.sender.send(Message::Ping(reply)).await.is_ok() && answer.await.is_ok()
    }

    /// Sends a unary caller's command; refuses when too much waits.
    pub fn offer(&self, item: Item) -> Result<()> {
        self.sender.try_send(Message::Item(Box::new(item))).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => {
                self.overloaded.inc();
                Error::Overloaded
            }
            mpsc::error::TrySendError::Closed(_) => Error::Draining,
        })
    }

    /// Sends a command, waiting for room: for streams, which are not read meanwhile, and for timers.
    pub async fn send(&self, item: Item) -> Result<()> {
        self.sender.send(Message::Item(Box::new(item))).await.map_err(|_| Error::Draining)
    }

    /// Tells of lanes.
    pub async fn lanes(&self, lanes: Vec<LaneRef>) -> Result<()> {
        self.sender.send(Message::Lanes(lanes)).await.map_err(|_| Error::Draining)
    }

    /// Sends a command, and waits for the answer.
    pub async fn ask(&self, envelope: Envelope) -> Result<Reply> {
        let (reply, answer) = oneshot::channel();
        self.offer(Item { envelope, sink: Sink::Caller(reply) })?;
        answer.await.map_err(|_| Error::Unknown("the server stopped before it could answer".into()))?
    }
}

impl Item {
    /// A command of the engine's own.
    pub fn system(namespace: Arc<str>, command: Command) -> Self {
        let envelope =
            Envelope { namespace, principal: callboard_core::model::id::SYSTEM.into(), request: None, command };
        Self { envelope, sink: Sink::Nobody }
    }
}
