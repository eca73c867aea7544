//! What is pushed to an agent's stream.

use callboard_core::command::{Fence, MessageReceipt, SessionEnd, StopReason};
use callboard_core::model::{Failure, Message, MessageId, Payload, StateName, Task, TaskId, TaskStep, Timestamp};
use callboard_core::rejection::Reason;
use std::sync::Arc;
use tokio::sync::OwnedSemaphorePermit;

/// One push; the server makes one or more frames of it.
#[derive(Clone, Debug)]
pub enum Push {
    /// Tasks for the agent.
    Assign(Vec<Assignment>),
    /// What became of its reports.
    Receipts(Vec<Receipt>),
    /// Attempts to stop.
    Stop(Vec<Stop>),
    /// Paused attempts that have a slot again.
    Resume(Vec<Resumption>),
    /// How tasks ended that the agent awaited.
    TaskEnds(TaskEnds),
    /// Messages for the agent.
    Messages(Vec<Arc<Message>>),
    /// What became of its own messages and acknowledgements.
    MessageReceipts(MessageReceipts),
    /// The server goes away.
    Drain(Leave),
    /// The server is alive.
    Heartbeat,
    /// The stream ends.
    Close(SessionEnd),
}

/// What agents of a server that goes away are told.
#[derive(Clone, Debug)]
pub struct Leave {
    /// When it goes.
    pub by: Timestamp,
    /// Where the others are, as far as they say so.
    pub to: Vec<Arc<str>>,
}

/// A task leased to an agent, with what its handler needs.
#[derive(Clone, Debug)]
pub struct Assignment {
    /// The task as it was assigned.
    pub task: Arc<Task>,
    /// The lease.
    pub fence: Fence,
    /// Its namespace's name.
    pub namespace: Arc<str>,
    /// What the handler is given.
    pub input: Arc<Payload>,
    /// What the last attempt saved.
    pub checkpoint: Option<Arc<Payload>>,
    /// How its dependencies ended, in their order.
    pub dependencies: Vec<DependencyOutcome>,
    /// There are more than fit.
    pub dependencies_truncated: bool,
    /// The first of the steps that earlier attempts of its run recorded.
    pub steps: Vec<TaskStep>,
    /// How many there are.
    pub step_count: u32,
}

/// How a dependency ended.
#[derive(Clone, Debug)]
pub struct DependencyOutcome {
    /// Its place among the dependencies.
    pub ordinal: u32,
    /// What the dependent calls it.
    pub name: Option<Arc<str>>,
    /// Its id.
    pub task: TaskId,
    /// Its type.
    pub task_type: Arc<str>,
    /// Its key.
    pub key: Option<String>,
    /// Its state.
    pub state: StateName,
    /// What it gave.
    pub result: Option<Arc<Payload>>,
    /// How it failed.
    pub failure: Option<Arc<Failure>>,
}

/// What became of a report.
#[derive(Clone, Debug)]
pub struct Receipt {
    /// The agent's own number of the report.
    pub report_id: i64,
    /// Which attempt.
    pub fence: Fence,
    /// What became of it.
    pub status: ReceiptStatus,
}

/// Committed, refused, or to be repeated.
#[derive(Clone, Debug)]
pub enum ReceiptStatus {
    /// It is durable; this is the task's state after it.
    Committed(StateName),
    /// It changed nothing.
    Refused(Reason, String),
    /// It could not be decided now.
    Retry(String),
}

/// An attempt to stop.
#[derive(Clone, Debug)]
pub struct Stop {
    /// Which.
    pub fence: Fence,
    /// Why.
    pub reason: StopReason,
    /// The same, for people.
    pub message: String,
}

/// A paused attempt that has a slot again.
#[derive(Clone, Debug)]
pub struct Resumption {
    /// Which.
    pub fence: Fence,
    /// When it times out now.
    pub deadline: Timestamp,
}

/// How tasks ended. While it is on its way to the agent, no other is made.
#[derive(Clone, Debug)]
pub struct TaskEnds {
    /// At least one.
    pub ends: Vec<TaskEnd>,
    _way: Arc<OwnedSemaphorePermit>,
}

impl TaskEnds {
    /// The next may follow when this is dropped.
    pub(crate) fn on_its_way(ends: Vec<TaskEnd>, way: OwnedSemaphorePermit) -> Self {
        Self { ends, _way: Arc::new(way) }
    }
}

/// A task that was awaited.
#[derive(Clone, Debug)]
pub struct TaskEnd {
    /// Its id.
    pub task: TaskId,
    /// How it ended; none: there is no such task.
    pub outcome: Option<TaskOutcome>,
}

/// How a task ended.
#[derive(Clone, Debug)]
pub struct TaskOutcome {
    /// Its state.
    pub state: StateName,
    /// The run that ended.
    pub run: u32,
    /// What it gave.
    pub result: Option<Arc<Payload>>,
    /// It gave more than is told.
    pub result_omitted: bool,
    /// How it failed.
    pub failure: Option<Arc<Failure>>,
}

/// What became of an agent's own messages and acknowledgements.
#[derive(Clone, Debug, Default)]
pub struct MessageReceipts {
    /// What it sent, by its request id.
    pub sent: Vec<(String, SendStatus)>,
    /// What it acknowledged.
    pub acknowledged: Vec<MessageId>,
    /// Acknowledgements that could not be decided now.
    pub retry: Vec<MessageId>,
}

impl MessageReceipts {
    /// Whether there is nothing to say.
    pub fn is_empty(&self) -> bool {
        self.sent.is_empty() && self.acknowledged.is_empty() && self.retry.is_empty()
    }
}

/// Committed, refused, or to be repeated.
#[derive(Clone, Debug)]
pub enum SendStatus {
    /// It is durable.
    Committed(MessageReceipt),
    /// It changed nothing.
    Refused(Reason, String),
    /// It could not be decided now.
    Retry(String),
}
