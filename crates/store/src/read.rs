//! What reads give that decide nothing.

use callboard_core::model::{
    Agent, AgentId, Amounts, Edge, Event, Failure, Message, NamespaceId, OutputChunk, Payload, Slot, StateName, Task,
    TaskChild, TaskId, TaskStep, Timestamp, WorkflowTask,
};
use callboard_core::working_set::{MailboxRef, TaskRef};
use std::collections::BTreeMap;
use std::sync::Arc;

/// A task with everything kept beside it.
#[derive(Clone, Debug, PartialEq)]
pub struct TaskView {
    /// Its row. `input` of the row is `None`; see below.
    pub task: Task,
    /// What the handler is given.
    pub input: Arc<Payload>,
    /// What its payload table has: result, failure, checkpoint.
    pub saved: SavedPayload,
}

/// How a task ended that another depends on, without its input and checkpoint.
#[derive(Clone, Debug, PartialEq)]
pub struct DependencyView {
    /// Its place among the dependencies.
    pub ordinal: u32,
    /// What the dependent calls it.
    pub name: Option<Arc<str>>,
    /// The task.
    pub view: TaskView,
}

/// What is kept beside a task.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SavedPayload {
    /// What it gave.
    pub result: Option<Arc<Payload>>,
    /// How it, or its last attempt, failed.
    pub failure: Option<Arc<Failure>>,
    /// What the next attempt begins from.
    pub checkpoint: Option<Arc<Payload>>,
}

/// What an agent is given with an assignment, beside the row.
#[derive(Clone, Debug, PartialEq)]
pub struct Hydrated {
    /// The task.
    pub task: TaskId,
    /// Its input.
    pub input: Arc<Payload>,
    /// What the last attempt saved.
    pub checkpoint: Option<Arc<Payload>>,
}

/// Some steps of a run.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct StepPage {
    /// By their ordinals.
    pub steps: Vec<TaskStep>,
    /// How many the run has in all; 0 when there are none on the page.
    pub count: u32,
}

/// Some of a run's output.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct OutputPage {
    /// In their order.
    pub chunks: Vec<OutputChunk>,
    /// How many bytes the run has in all; 0 when there is nothing on the page.
    pub bytes: u64,
}

/// Some children of a run by their ordinals, each with its task, unless that was forgotten.
pub type ChildPage = Vec<(TaskChild, Option<Task>)>;

/// Some tasks of a workflow by their ordinals.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct WorkflowPage {
    /// Each with its place.
    pub tasks: Vec<(WorkflowTask, Task)>,
    /// All edges to them, by target and ordinal.
    pub edges: Vec<Edge>,
    /// The ordinal behind the last place that was looked at; none if there are no more.
    pub next: Option<u32>,
}

/// Which tasks a list has; all conditions hold.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct TaskFilter {
    /// In any of these states; empty: all.
    pub states: Vec<StateName>,
    /// Of this type.
    pub task_type: Option<String>,
    /// With this agent now or last, by name.
    pub agent: Option<String>,
    /// With this key.
    pub key: Option<String>,
    /// With all of these tags.
    pub tags: Vec<String>,
    /// Created at or after.
    pub created_from: Option<Timestamp>,
    /// Created before.
    pub created_before: Option<Timestamp>,
    /// Whose id ends with these hexadecimal digits (small letters, no hyphens).
    pub id_suffix: Option<String>,
}

/// A page of tasks.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct TaskPage {
    /// The tasks.
    pub tasks: Vec<Task>,
    /// Go on before this id; `None`: there is nothing more. A page may have few tasks, or none, and still go on: a read ends
    /// after a bounded number of rows, fitting or not.
    pub next: Option<TaskId>,
}

/// Which agents a list has.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct AgentFilter {
    /// Of this agent type.
    pub agent_type: Option<String>,
}

/// A page of agents.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct AgentPage {
    /// The agents, each with the number of tasks leased to it.
    pub agents: Vec<(Agent, usize)>,
    /// Whether there are more behind the last.
    pub more: bool,
}

/// Tasks of a lane that an agent has, which are the same to its slots.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Holding {
    /// The agent.
    pub agent: AgentId,
    /// What each is to its slots.
    pub slot: Slot,
    /// How many.
    pub tasks: usize,
    /// What each takes of its resources.
    pub resources: Amounts,
}

/// Whose events.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EventScope {
    /// Of all tasks of a namespace.
    Namespace(NamespaceId),
    /// Of one task.
    Task(NamespaceId, TaskId),
}

/// A place in the order of commits. Opaque outside the store.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Cursor {
    /// The transaction's place (PostgreSQL: its xid8; SQLite: 0).
    pub transaction: i64,
    /// The event's place.
    pub position: i64,
}

/// Some events, and where to go on.
#[derive(Clone, Debug, PartialEq)]
pub struct EventPage {
    /// In the order of commits; in order for each task.
    pub events: Vec<Event>,
    /// Go on behind this, also when there are no events.
    pub next: Cursor,
    /// There may be more right away.
    pub more: bool,
    /// Some events behind the cursor that was given have been forgotten: what is given is not all. Never so for one task: it
    /// has all its events, or is forgotten itself.
    pub forgotten: bool,
}

/// Tasks whose terminal events were found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ended {
    /// In the order of their ends. Some may live again, or be kept.
    pub tasks: Vec<TaskRef>,
    /// Go on behind this.
    pub next: Cursor,
    /// There may be more right away.
    pub more: bool,
}

/// What was forgotten.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Forgotten {
    /// How many tasks.
    pub tasks: usize,
    /// Tasks that are too large for one transaction, and those that were not looked at for it: go on with these.
    pub left: Vec<TaskRef>,
}

/// What a store is like now, for those who watch it. Nothing decides by it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Sample {
    /// Lanes that have ready tasks, with how many: counted up to a limit, beyond which the number is that limit.
    pub ready: Vec<LaneDepth>,
    /// Tasks that agents have; counted up to a limit, too.
    pub leased: usize,
    /// What waits in mailboxes.
    pub mail: MailDepth,
    /// What the store takes on its disk, but for its log.
    pub bytes: u64,
    /// What its write-ahead log takes.
    pub log_bytes: u64,
}

/// What waits in mailboxes, of a limited number of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MailDepth {
    /// How many messages.
    pub messages: i64,
    /// How many bytes they take.
    pub bytes: i64,
    /// The most messages that one mailbox has.
    pub most_messages: i64,
    /// The most bytes that one mailbox has.
    pub most_bytes: i64,
}

/// How many ready tasks a lane has.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct LaneDepth {
    /// The namespace.
    pub namespace: NamespaceId,
    /// The task type of the lane's tasks.
    pub task_type: Arc<str>,
    /// How many.
    pub ready: usize,
}

/// What is due.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Due {
    /// Tasks, each with its time.
    pub tasks: Vec<(Timestamp, TaskRef)>,
    /// The next time, later than `now`, at which a task will be due, if there is one. A store need look no further than ten seconds ahead: whoever
    /// asks asks again before.
    pub next: Option<Timestamp>,
}

/// Some messages of a mailbox, and where to go on.
#[derive(Clone, Debug, PartialEq)]
pub struct MailPage {
    /// By their place.
    pub messages: Vec<Arc<Message>>,
    /// Go on behind this place: whatever comes later stands behind it.
    pub next: i64,
    /// There are more right away.
    pub more: bool,
}

/// Whose mailboxes got messages.
#[derive(Clone, Debug, PartialEq)]
pub struct NewMail {
    /// Whose, each with its highest new place.
    pub mailboxes: BTreeMap<MailboxRef, i64>,
    /// Go on behind this.
    pub next: Cursor,
    /// There may be more right away.
    pub more: bool,
}
