//! Callboard's stores: coarse, set-based, and without rules.
//!
//! A [`Store`] loads the rows that the rules want and saves what they changed, in one transaction ([`Transaction`]), and answers
//! reads that decide nothing ([`Store`]'s other methods). [`memory`] and [`sqlite`] pass the same suite, `tests/store/conformance`.

pub mod cluster;
mod codec;
mod columns;
mod durations;
mod error;
mod facts;
pub mod memory;
mod output_rows;
pub mod postgres;
mod read;
mod rows;
pub mod sqlite;
mod workflow_rows;

pub use durations::MAX_TYPES;
pub use error::{Error, Result};
pub use read::{
    AgentFilter, AgentPage, ChildPage, Cursor, DependencyView, Due, Ended, EventPage, EventScope, Forgotten, Holding,
    Hydrated, LaneDepth, MailDepth, MailPage, NewMail, OutputPage, Sample, SavedPayload, StepPage, TaskFilter,
    TaskPage, TaskView, WorkflowPage,
};

use async_trait::async_trait;
use callboard_core::model::{
    Agent, AgentId, Edge, Event, LimitUse, MessageId, Namespace, NamespaceId, Span, StateName, Task, TaskId, Timestamp,
    Workflow, WorkflowId,
};
use callboard_core::working_set::{
    AgentKey, ChangeSet, LaneRef, LimitRef, MailboxRef, Rows, RunRef, TaskRef, Want, WorkflowRef,
};
use std::collections::HashMap;
use std::sync::Arc;

/// Where everything durable is.
///
/// Reads see what is committed when they begin, and may run beside a transaction. Nothing here knows a rule.
#[async_trait]
pub trait Store: Send + Sync + 'static {
    /// Whether this process alone writes: then rows that were loaded stay true until it changes them, and need not be loaded
    /// again.
    fn is_exclusive(&self) -> bool;

    /// Begins a transaction that will write; the store may put that off until something is done in it. Never drop the future
    /// half-way: await it.
    async fn begin(&self) -> Result<Box<dyn Transaction>>;

    /// Every namespace, by name.
    async fn namespaces(&self) -> Result<Vec<Namespace>>;

    /// A task with everything kept beside it.
    async fn task(&self, task: TaskRef) -> Result<Option<TaskView>>;

    /// A task's row alone: `input` of it is `None`.
    async fn task_row(&self, task: TaskRef) -> Result<Option<Task>>;

    /// A page of tasks, newest (highest id) first, without payloads.
    async fn tasks(
        &self,
        namespace: NamespaceId,
        filter: &TaskFilter,
        before: Option<TaskId>,
        limit: usize,
    ) -> Result<TaskPage>;

    /// What an agent is given with an assignment of these tasks. Tasks that don't exist are left out.
    async fn hydrate(&self, tasks: &[TaskRef]) -> Result<Vec<Hydrated>>;

    /// Which states these tasks are in. Tasks that don't exist are left out.
    async fn states(&self, tasks: &[TaskRef]) -> Result<Vec<(TaskRef, StateName)>>;

    /// The edges to a task, in their order.
    async fn dependencies(&self, task: TaskRef) -> Result<Vec<Edge>>;

    /// How the dependencies of a task ended, in their order, behind `after` (an ordinal; `None`: from the first), until the
    /// results reach `max_bytes` (at least one is given) or `limit`. Inputs and checkpoints are left out (empty, and none).
    async fn dependency_results(
        &self,
        task: TaskRef,
        after: Option<u32>,
        limit: usize,
        max_bytes: usize,
    ) -> Result<Vec<DependencyView>>;

    /// The steps of a run by their ordinals, behind `after` (0: from the first), until their results reach `max_bytes` (at least
    /// one is given) or `limit`.
    async fn steps(&self, run: RunRef, after: u32, limit: usize, max_bytes: usize) -> Result<StepPage>;

    /// The chunks of a run's output that end behind `offset`, in their order, until they pass the byte `offset` + `max_bytes` (at
    /// least one is given) or reach `limit`.
    async fn output(&self, run: RunRef, offset: u64, limit: usize, max_bytes: usize) -> Result<OutputPage>;

    /// Children of a run by their ordinals, behind `after` (0: from the first), at most so many.
    async fn children(&self, run: RunRef, after: u32, limit: usize) -> Result<ChildPage>;

    /// A workflow.
    async fn workflow(&self, workflow: WorkflowRef) -> Result<Option<Workflow>>;

    /// Workflows of a namespace, newest first, before `before`, at most so many; only those of this name, if one is given.
    async fn workflows(
        &self,
        namespace: NamespaceId,
        name: Option<&str>,
        before: Option<WorkflowId>,
        limit: usize,
    ) -> Result<Vec<Workflow>>;

    /// Tasks of a workflow by their ordinals, from `from` on, at most so many, and all edges to them. Those that were forgotten are
    /// left out.
    async fn workflow_page(&self, workflow: WorkflowRef, from: u32, limit: usize) -> Result<WorkflowPage>;

    /// Workflows of which tasks are still to be asked to cancel, at most so many.
    async fn walking_workflows(&self, limit: usize) -> Result<Vec<WorkflowRef>>;

    /// Forgets workflows that ended before a time and have no tasks any more, at most so many; says how many.
    async fn purge_workflows(&self, before: Timestamp, limit: usize) -> Result<usize>;

    /// How long tasks of these types took, from accepted to completed: the mean of the latest 100 of each that completed. Types of
    /// which none did are left out. Of more than [`MAX_TYPES`] types only the first are looked for. It looks at 50,000 tasks at most:
    /// for each type at as many of its newest as are its share of that, which may have completed or not.
    async fn mean_durations(&self, namespace: NamespaceId, types: &[Arc<str>]) -> Result<HashMap<Arc<str>, Span>>;

    /// Events of a task behind a sequence number, in order.
    async fn task_events(&self, task: TaskRef, after: i64, limit: usize) -> Result<Vec<Event>>;

    /// Events in the order of their commits behind a cursor; none is ever skipped. `None` begins with the first.
    async fn events(&self, scope: EventScope, after: Option<Cursor>, limit: usize) -> Result<EventPage>;

    /// The cursor behind everything that is committed now.
    async fn end_of_events(&self) -> Result<Cursor>;

    /// When the latest event that is kept happened, by the clock of whoever wrote it.
    async fn latest_event_at(&self) -> Result<Option<Timestamp>>;

    /// An agent by name.
    async fn agent(&self, namespace: NamespaceId, name: &str) -> Result<Option<(Agent, usize)>>;

    /// A page of agents by name, each with the number of tasks leased to it.
    async fn agents(
        &self,
        namespace: NamespaceId,
        filter: &AgentFilter,
        after: Option<&str>,
        limit: usize,
    ) -> Result<AgentPage>;

    /// Agents that have a session, of any namespace, in the order of their ids, behind `after`. What is counted of them, and so their
    /// versions, may be a while behind.
    async fn live_sessions(&self, after: Option<AgentId>, limit: usize) -> Result<Vec<Agent>>;

    /// Tasks whose time (`wake_at`) has come, by (time, id), behind `after`, so that tasks that can't be helped yet don't hide
    /// those behind them.
    async fn due(&self, now: Timestamp, after: Option<(Timestamp, TaskId)>, limit: usize) -> Result<Due>;

    /// Lanes that have ready tasks, at most so many.
    async fn ready_lanes(&self, limit: usize) -> Result<Vec<LaneRef>>;

    /// What these agents have.
    async fn holdings(&self, namespace: NamespaceId, agents: &[AgentId]) -> Result<Vec<Holding>>;

    /// What is used of limit keys; those of which nothing is may be left out.
    async fn limit_uses(&self, limits: &[LimitRef]) -> Result<Vec<LimitUse>>;

    /// Limit keys that have a row and of which nothing is used, the longest idle first, at most so many.
    async fn idle_limits(&self, now: Timestamp, limit: usize) -> Result<Vec<LimitRef>>;

    /// How many ready tasks of a lane stand before a place (rank, id); at most so many are counted.
    async fn ready_before(&self, lane: LaneRef, place: (i64, TaskId), limit: usize) -> Result<usize>;

    /// Forgets answers that may be forgotten, at most so many; says how many.
    async fn purge_requests(&self, now: Timestamp, limit: usize) -> Result<usize>;

    /// The messages of a mailbox whose time is not over, by their place behind `after`, until they reach `max_bytes` (at
    /// least one is given) or `limit`. A closed mailbox has none.
    async fn mail(
        &self,
        mailbox: MailboxRef,
        now: Timestamp,
        after: i64,
        limit: usize,
        max_bytes: usize,
    ) -> Result<MailPage>;

    /// Whose mailboxes got messages behind a place in the order of commits; what was taken out since may be missing. It
    /// looks at no more than so many messages.
    async fn new_mail(&self, after: Cursor, limit: usize) -> Result<NewMail>;

    /// A place in the order of commits behind every message that is there now.
    async fn end_of_mail(&self) -> Result<Cursor>;

    /// Messages whose time is over, the oldest first, at most so many; none of closed mailboxes.
    async fn expired_messages(&self, now: Timestamp, limit: usize) -> Result<Vec<(MailboxRef, MessageId)>>;

    /// Throws away messages of closed mailboxes, at most so many, and closed mailboxes that are empty; says how many
    /// messages.
    async fn purge_mailboxes(&self, limit: usize) -> Result<usize>;

    /// Tasks whose terminal events are behind a place and not younger than `before`, in the order of their ends, at most so
    /// many. It looks at a bounded number of events.
    async fn ended_tasks(&self, before: Timestamp, after: Option<Cursor>, limit: usize) -> Result<Ended>;

    /// Those of these tasks that [`Store::forget_tasks`] would forget, each once, by their ids. It looks at a bounded number of
    /// each task's dependents: one that only a later one keeps may be among them.
    async fn forgettable_tasks(&self, tasks: &[TaskRef], before: Timestamp) -> Result<Vec<TaskRef>>;

    /// Forgets those of these tasks that have ended for good by `before`, each with all that is kept of it. One that a live
    /// task depends on stays; edges to tasks that have ended may go before it. Pass few: it is one transaction.
    async fn forget_tasks(&self, tasks: &[TaskRef], before: Timestamp) -> Result<Forgotten>;

    /// Agents that have had no session since `before`, the longest gone first, at most so many; without those that are
    /// cordoned, which an operator wants to stay so, and those with messages in their mailbox.
    async fn gone_agents(&self, before: Timestamp, limit: usize) -> Result<Vec<AgentKey>>;

    /// Keeps the store's files in shape. Call it once in a while.
    async fn upkeep(&self) -> Result<()>;

    /// What the store is like now. It reads a bounded number of rows.
    async fn sample(&self) -> Result<Sample>;

    /// What replicas that share the store know of each other; none where one process has it for itself.
    fn cluster(&self) -> Option<&dyn cluster::Cluster> {
        None
    }

    /// Closes files and connections; what was committed stays.
    async fn close(&self);
}

/// A transaction: load, decide (elsewhere), save, commit. Dropped without a commit, it changes nothing.
#[async_trait]
pub trait Transaction: Send {
    /// Loads what is wanted and exists. In a store that is shared, what is loaded is locked until the end, in one order: tables
    /// as listed in [`Want`], rows by id.
    async fn load(&mut self, want: &Want) -> Result<Rows>;

    /// Saves changes; every row that changes must have the version that is expected, or [`Error::Conflict`] comes. After any
    /// error the transaction is void: it loads, saves and commits no more. `wake_at` of a task is what its row says of the
    /// next time at which it is due.
    ///
    /// Stores rely on this much of the rules: a key never changes, a lane changes only with the spec, and what has ended lives
    /// again only in a new run.
    async fn save(&mut self, changes: &ChangeSet, settings: &callboard_core::Settings) -> Result<()>;

    /// Makes it durable.
    async fn commit(self: Box<Self>) -> Result<()>;

    /// [`Transaction::save`] and [`Transaction::commit`], in fewer trips where the store can.
    async fn save_and_commit(
        mut self: Box<Self>,
        changes: &ChangeSet,
        settings: &callboard_core::Settings,
    ) -> Result<()> {
        if let Err(error) = self.save(changes, settings).await {
            self.roll_back().await;
            return Err(error);
        }
        self.commit().await
    }

    /// Gives it up.
    async fn roll_back(self: Box<Self>);
}
