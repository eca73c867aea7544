//! A store in memory, for tests and simulation: the same promises as on disk, but for the disk.
//!
//! There are two copies of the tables. A transaction changes the working copy, alone; a commit makes the same changes to the
//! committed copy, which reads see; giving up copies the touched rows back.

mod apply;
mod children;
mod cluster;
mod forget;
mod limits;
mod load;
mod mail;
mod output;
mod reads;
mod steps;
mod tables;
mod workflows;

use crate::cluster::Cluster;
use crate::{
    AgentFilter, AgentPage, ChildPage, Cursor, DependencyView, Due, Ended, Error, EventPage, EventScope, Forgotten,
    Holding, Hydrated, MailPage, NewMail, OutputPage, Result, Sample, StepPage, Store, TaskFilter, TaskPage, TaskView,
    Transaction, WorkflowPage,
};
use async_trait::async_trait;
use callboard_core::Settings;
use callboard_core::model::{
    Agent, AgentId, Edge, Event, LimitUse, MessageId, Namespace, NamespaceId, Span, StateName, Task, TaskId, Timestamp,
    Workflow, WorkflowId,
};
use callboard_core::working_set::{
    AgentKey, ChangeSet, LaneRef, LimitRef, MailboxRef, Rows, RunRef, TaskRef, Want, WorkflowRef,
};
use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use tables::Tables;
use tokio::sync::{Mutex, OwnedMutexGuard};

/// The store in memory.
#[derive(Debug, Default)]
pub struct MemoryStore {
    working: Arc<Mutex<Tables>>,
    committed: Arc<RwLock<Tables>>,
    replicas: cluster::Replicas,
    shared: bool,
}

impl MemoryStore {
    /// An empty store.
    pub fn new() -> Self {
        Self::default()
    }

    /// An empty store for several replicas.
    pub fn shared() -> Self {
        Self { shared: true, ..Self::default() }
    }

    fn read(&self) -> RwLockReadGuard<'_, Tables> {
        self.committed.read().unwrap_or_else(PoisonError::into_inner)
    }
}

fn write(committed: &RwLock<Tables>) -> RwLockWriteGuard<'_, Tables> {
    committed.write().unwrap_or_else(PoisonError::into_inner)
}

#[async_trait]
impl Store for MemoryStore {
    fn is_exclusive(&self) -> bool {
        !self.shared
    }

    fn cluster(&self) -> Option<&dyn Cluster> {
        self.shared.then_some(self as &dyn Cluster)
    }

    async fn begin(&self) -> Result<Box<dyn Transaction>> {
        let working = self.working.clone().lock_owned().await;
        let committed = self.committed.clone();
        Ok(Box::new(MemoryTransaction { working, committed, shared: self.shared, saved: Vec::new(), void: false }))
    }

    async fn namespaces(&self) -> Result<Vec<Namespace>> {
        Ok(self.read().namespaces_by_name())
    }

    async fn task(&self, task: TaskRef) -> Result<Option<TaskView>> {
        Ok(self.read().view(task))
    }

    async fn task_row(&self, task: TaskRef) -> Result<Option<Task>> {
        Ok(self.read().tasks.get(&task).map(|row| row.task.clone()))
    }

    async fn tasks(
        &self,
        namespace: NamespaceId,
        filter: &TaskFilter,
        before: Option<TaskId>,
        limit: usize,
    ) -> Result<TaskPage> {
        Ok(self.read().list_tasks(namespace, filter, before, limit))
    }

    async fn hydrate(&self, tasks: &[TaskRef]) -> Result<Vec<Hydrated>> {
        let tables = self.read();
        Ok(tasks.iter().filter_map(|task| tables.hydrate(*task)).collect())
    }

    async fn dependencies(&self, task: TaskRef) -> Result<Vec<Edge>> {
        Ok(self.read().edges_to(task).cloned().collect())
    }

    async fn states(&self, tasks: &[TaskRef]) -> Result<Vec<(TaskRef, StateName)>> {
        Ok(self.read().states(tasks))
    }

    async fn dependency_results(
        &self,
        task: TaskRef,
        after: Option<u32>,
        limit: usize,
        max_bytes: usize,
    ) -> Result<Vec<DependencyView>> {
        Ok(self.read().dependency_results(task, after, limit, max_bytes))
    }

    async fn steps(&self, run: RunRef, after: u32, limit: usize, max_bytes: usize) -> Result<StepPage> {
        Ok(self.read().steps.page(run, after, limit, max_bytes))
    }

    async fn output(&self, run: RunRef, offset: u64, limit: usize, max_bytes: usize) -> Result<OutputPage> {
        Ok(self.read().output.page(run, offset, limit, max_bytes))
    }

    async fn children(&self, run: RunRef, after: u32, limit: usize) -> Result<ChildPage> {
        Ok(self.read().child_page(run, after, limit))
    }

    async fn workflow(&self, workflow: WorkflowRef) -> Result<Option<Workflow>> {
        Ok(self.read().workflows.one(workflow))
    }

    async fn workflows(
        &self,
        namespace: NamespaceId,
        name: Option<&str>,
        before: Option<WorkflowId>,
        limit: usize,
    ) -> Result<Vec<Workflow>> {
        Ok(self.read().workflows.list(namespace, name, before, limit))
    }

    async fn workflow_page(&self, workflow: WorkflowRef, from: u32, limit: usize) -> Result<WorkflowPage> {
        Ok(self.read().workflow_page(workflow, from, limit))
    }

    async fn mean_durations(&self, namespace: NamespaceId, types: &[Arc<str>]) -> Result<HashMap<Arc<str>, Span>> {
        Ok(self.read().mean_durations(namespace, types))
    }

    async fn walking_workflows(&self, limit: usize) -> Result<Vec<WorkflowRef>> {
        Ok(self.read().workflows.cancelling(limit))
    }

    async fn purge_workflows(&self, before: Timestamp, limit: usize) -> Result<usize> {
        let mut working = self.working.lock().await;
        let mut committed = write(&self.committed);
        committed.workflows.purge(before, limit);
        Ok(working.workflows.purge(before, limit))
    }

    async fn task_events(&self, task: TaskRef, after: i64, limit: usize) -> Result<Vec<Event>> {
        Ok(self.read().events_of(task, after, limit))
    }

    async fn events(&self, scope: EventScope, after: Option<Cursor>, limit: usize) -> Result<EventPage> {
        Ok(self.read().event_page(scope, after, limit))
    }

    async fn end_of_events(&self) -> Result<Cursor> {
        Ok(self.read().end_of_events())
    }

    async fn latest_event_at(&self) -> Result<Option<Timestamp>> {
        Ok(self.read().latest_event_at())
    }

    async fn agent(&self, namespace: NamespaceId, name: &str) -> Result<Option<(Agent, usize)>> {
        Ok(self.read().agent_by_name(namespace, name))
    }

    async fn agents(
        &self,
        namespace: NamespaceId,
        filter: &AgentFilter,
        after: Option<&str>,
        limit: usize,
    ) -> Result<AgentPage> {
        Ok(self.read().list_agents(namespace, filter, after, limit))
    }

    async fn live_sessions(&self, after: Option<AgentId>, limit: usize) -> Result<Vec<Agent>> {
        Ok(self.read().live_sessions(after, limit))
    }

    async fn due(&self, now: Timestamp, after: Option<(Timestamp, TaskId)>, limit: usize) -> Result<Due> {
        Ok(self.read().due_tasks(now, after, limit))
    }

    async fn ready_lanes(&self, limit: usize) -> Result<Vec<LaneRef>> {
        Ok(self.read().lanes_with_ready(limit))
    }

    async fn holdings(&self, namespace: NamespaceId, agents: &[AgentId]) -> Result<Vec<Holding>> {
        Ok(self.read().holdings(namespace, agents))
    }

    async fn limit_uses(&self, limits: &[LimitRef]) -> Result<Vec<LimitUse>> {
        Ok(self.read().limits.of(limits.iter()))
    }

    async fn idle_limits(&self, now: Timestamp, limit: usize) -> Result<Vec<LimitRef>> {
        Ok(self.read().limits.idle(now, limit))
    }

    async fn ready_before(&self, lane: LaneRef, place: (i64, TaskId), limit: usize) -> Result<usize> {
        Ok(self.read().ready_before(lane, place, limit))
    }

    async fn purge_requests(&self, now: Timestamp, limit: usize) -> Result<usize> {
        let mut working = self.working.lock().await;
        let mut committed = write(&self.committed);
        committed.purge_requests(now, limit);
        Ok(working.purge_requests(now, limit))
    }

    async fn mail(
        &self,
        mailbox: MailboxRef,
        now: Timestamp,
        after: i64,
        limit: usize,
        max_bytes: usize,
    ) -> Result<MailPage> {
        Ok(self.read().mail.page(mailbox, now, after, limit, max_bytes))
    }

    async fn new_mail(&self, after: Cursor, limit: usize) -> Result<NewMail> {
        Ok(self.read().mail.new_mail(after, limit))
    }

    async fn end_of_mail(&self) -> Result<Cursor> {
        Ok(self.read().mail.end())
    }

    async fn expired_messages(&self, now: Timestamp, limit: usize) -> Result<Vec<(MailboxRef, MessageId)>> {
        Ok(self.read().mail.expired(now, limit))
    }

    async fn purge_mailboxes(&self, limit: usize) -> Result<usize> {
        let mut working = self.working.lock().await;
        let mut committed = write(&self.committed);
        committed.mail.purge(limit);
        Ok(working.mail.purge(limit))
    }

    async fn ended_tasks(&self, before: Timestamp, after: Option<Cursor>, limit: usize) -> Result<Ended> {
        Ok(self.read().ended(before, after, limit))
    }

    async fn forgettable_tasks(&self, tasks: &[TaskRef], before: Timestamp) -> Result<Vec<TaskRef>> {
        Ok(self.read().forgettable(tasks, before))
    }

    async fn forget_tasks(&self, tasks: &[TaskRef], before: Timestamp) -> Result<Forgotten> {
        let mut working = self.working.lock().await;
        let mut committed = write(&self.committed);
        committed.forget(tasks, before);
        Ok(working.forget(tasks, before))
    }

    async fn gone_agents(&self, before: Timestamp, limit: usize) -> Result<Vec<AgentKey>> {
        Ok(self.read().gone_agents(before, limit))
    }

    async fn upkeep(&self) -> Result<()> {
        Ok(())
    }

    async fn sample(&self) -> Result<Sample> {
        Ok(self.read().sample())
    }

    async fn close(&self) {}
}

struct MemoryTransaction {
    working: OwnedMutexGuard<Tables>,
    committed: Arc<RwLock<Tables>>,
    /// Others write to it as well.
    shared: bool,
    /// What was saved and is not committed, with the settings that it was saved with.
    saved: Vec<(ChangeSet, Settings)>,
    /// Saving failed half-way: it must never be committed.
    void: bool,
}

fn void() -> Error {
    Error::Conflict("the transaction failed before: begin another".into())
}

#[async_trait]
impl Transaction for MemoryTransaction {
    async fn load(&mut self, want: &Want) -> Result<Rows> {
        if self.void {
            return Err(void());
        }
        if !self.shared {
            return Ok(self.working.load(want));
        }
        // Gives no more than PostgreSQL does.
        let rows = self.working.load(&Want { edges_ahead: 0, ..want.clone() });
        Ok(Rows { inputs: Vec::new(), ..rows })
    }

    async fn save(&mut self, changes: &ChangeSet, settings: &Settings) -> Result<()> {
        if self.void {
            return Err(void());
        }
        // First, so that what was half applied is taken back too.
        self.saved.push((changes.clone(), settings.clone()));
        let applied = self.working.apply(changes, settings);
        self.void |= applied.is_err();
        applied
    }

    async fn commit(mut self: Box<Self>) -> Result<()> {
        if self.void {
            return Err(void());
        }
        let mut committed = write(&self.committed);
        for (changes, settings) in &self.saved {
            committed.apply(changes, settings)?;
        }
        drop(committed);
        self.saved.clear();
        Ok(())
    }

    async fn roll_back(self: Box<Self>) {}
}

impl Drop for MemoryTransaction {
    fn drop(&mut self) {
        let committed = self.committed.read().unwrap_or_else(PoisonError::into_inner);
        for (changes, _) in self.saved.drain(..) {
            self.working.restore(&committed, &changes);
        }
    }
}
