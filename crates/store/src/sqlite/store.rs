//! The store itself: writes go to the writer, reads to the readers.

use super::lock::Lock;
use super::readers::Readers;
use super::writer::{Writer, log_of};
use super::{
    children, durations, events, forget, limits, list, load, mail, output, placement, reads, steps, upkeep, workflows,
};
use crate::{
    AgentFilter, AgentPage, ChildPage, Cursor, DependencyView, Due, Ended, EventPage, EventScope, Forgotten, Holding,
    Hydrated, MailPage, NewMail, OutputPage, Result, Sample, StepPage, Store, TaskFilter, TaskPage, TaskView,
    Transaction, WorkflowPage,
};
use async_trait::async_trait;
use callboard_core::model::{
    Agent, AgentId, Edge, Event, LimitUse, MessageId, Namespace, NamespaceId, Span, StateName, Task, TaskId, Timestamp,
    Workflow, WorkflowId,
};
use callboard_core::working_set::{AgentKey, LaneRef, LimitRef, MailboxRef, RunRef, TaskRef, WorkflowRef};
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

/// Tasks in an SQLite file. See [`SqliteStore::open`].
pub struct SqliteStore {
    writer: Arc<Writer>,
    pub(super) readers: Readers,
    path: PathBuf,
    /// Until the store is closed.
    lock: Mutex<Option<Lock>>,
}

impl SqliteStore {
    pub(super) fn new(writer: Arc<Writer>, readers: Readers, path: PathBuf, lock: Lock) -> Self {
        Self { writer, readers, path, lock: Mutex::new(Some(lock)) }
    }

    /// The connection that writes.
    #[cfg(test)]
    pub(super) fn writer(&self) -> &Writer {
        &self.writer
    }

    /// Looks through the whole file for damage. It takes seconds for each gigabyte, and nothing is written meanwhile.
    pub async fn check(&self) -> Result<()> {
        self.writer.check().await
    }
}

/// How large a file is; one that isn't there has no size.
async fn file_size(path: &Path) -> u64 {
    tokio::fs::metadata(path).await.map_or(0, |file| file.len())
}

#[async_trait]
impl Store for SqliteStore {
    fn is_exclusive(&self) -> bool {
        true
    }

    async fn begin(&self) -> Result<Box<dyn Transaction>> {
        Ok(Box::new(self.writer.begin().await?))
    }

    async fn namespaces(&self) -> Result<Vec<Namespace>> {
        self.readers.read(async |connection| load::all_namespaces(connection).await).await
    }

    async fn task(&self, task: TaskRef) -> Result<Option<TaskView>> {
        self.readers.read(async |connection| reads::task(connection, task).await).await
    }

    async fn task_row(&self, task: TaskRef) -> Result<Option<Task>> {
        self.readers.read(async |connection| Ok(load::load_tasks(connection, [task]).await?.pop())).await
    }

    async fn tasks(
        &self,
        namespace: NamespaceId,
        filter: &TaskFilter,
        before: Option<TaskId>,
        limit: usize,
    ) -> Result<TaskPage> {
        self.readers.snapshot(async |connection| list::list(connection, namespace, filter, before, limit).await).await
    }

    async fn hydrate(&self, tasks: &[TaskRef]) -> Result<Vec<Hydrated>> {
        self.readers.read(async |connection| reads::hydrate(connection, tasks).await).await
    }

    async fn dependencies(&self, task: TaskRef) -> Result<Vec<Edge>> {
        self.readers.read(async |connection| load::dependencies(connection, task).await).await
    }

    async fn states(&self, tasks: &[TaskRef]) -> Result<Vec<(TaskRef, StateName)>> {
        self.readers.read(async |connection| reads::states(connection, tasks).await).await
    }

    async fn dependency_results(
        &self,
        task: TaskRef,
        after: Option<u32>,
        limit: usize,
        max_bytes: usize,
    ) -> Result<Vec<DependencyView>> {
        self.readers
            .snapshot(async |connection| reads::dependency_results(connection, task, after, limit, max_bytes).await)
            .await
    }

    async fn steps(&self, run: RunRef, after: u32, limit: usize, max_bytes: usize) -> Result<StepPage> {
        self.readers.read(async |connection| steps::page(connection, run, after, limit, max_bytes).await).await
    }

    async fn output(&self, run: RunRef, offset: u64, limit: usize, max_bytes: usize) -> Result<OutputPage> {
        self.readers.page(async |connection| output::page(connection, run, offset, limit, max_bytes).await).await
    }

    async fn children(&self, run: RunRef, after: u32, limit: usize) -> Result<ChildPage> {
        self.readers.read(async |connection| children::page(connection, run, after, limit).await).await
    }

    async fn workflow(&self, workflow: WorkflowRef) -> Result<Option<Workflow>> {
        self.readers.read(async |connection| workflows::one(connection, workflow).await).await
    }

    async fn workflows(
        &self,
        namespace: NamespaceId,
        name: Option<&str>,
        before: Option<WorkflowId>,
        limit: usize,
    ) -> Result<Vec<Workflow>> {
        self.readers.read(async |connection| workflows::list(connection, namespace, name, before, limit).await).await
    }

    async fn workflow_page(&self, workflow: WorkflowRef, from: u32, limit: usize) -> Result<WorkflowPage> {
        self.readers.snapshot(async |connection| workflows::page(connection, workflow, from, limit).await).await
    }

    async fn mean_durations(&self, namespace: NamespaceId, types: &[Arc<str>]) -> Result<HashMap<Arc<str>, Span>> {
        self.readers.read(async |connection| durations::means(connection, namespace, types).await).await
    }

    async fn walking_workflows(&self, limit: usize) -> Result<Vec<WorkflowRef>> {
        self.readers.read(async |connection| workflows::cancelling(connection, limit).await).await
    }

    async fn purge_workflows(&self, before: Timestamp, limit: usize) -> Result<usize> {
        let mut transaction = self.writer.begin().await?;
        let purged = workflows::purge(transaction.connection().await?, before, limit).await?;
        Box::new(transaction).commit().await?;
        Ok(purged)
    }

    async fn task_events(&self, task: TaskRef, after: i64, limit: usize) -> Result<Vec<Event>> {
        self.readers.read(async |connection| events::of_task(connection, task, after, limit).await).await
    }

    async fn events(&self, scope: EventScope, after: Option<Cursor>, limit: usize) -> Result<EventPage> {
        self.readers.page(async |connection| events::page(connection, scope, after, limit).await).await
    }

    async fn end_of_events(&self) -> Result<Cursor> {
        let position = self.readers.read(async |connection| events::end(connection).await).await?;
        Ok(Cursor { transaction: 0, position })
    }

    async fn latest_event_at(&self) -> Result<Option<Timestamp>> {
        self.readers.read(async |connection| events::latest_at(connection).await).await
    }

    async fn agent(&self, namespace: NamespaceId, name: &str) -> Result<Option<(Agent, usize)>> {
        self.readers.read(async |connection| reads::agent(connection, namespace, name).await).await
    }

    async fn agents(
        &self,
        namespace: NamespaceId,
        filter: &AgentFilter,
        after: Option<&str>,
        limit: usize,
    ) -> Result<AgentPage> {
        self.readers.read(async |connection| reads::agents(connection, namespace, filter, after, limit).await).await
    }

    async fn live_sessions(&self, after: Option<AgentId>, limit: usize) -> Result<Vec<Agent>> {
        self.readers.read(async |connection| reads::live_sessions(connection, after, limit).await).await
    }

    async fn due(&self, now: Timestamp, after: Option<(Timestamp, TaskId)>, limit: usize) -> Result<Due> {
        self.readers.snapshot(async |connection| reads::due(connection, now, after, limit).await).await
    }

    async fn ready_lanes(&self, limit: usize) -> Result<Vec<LaneRef>> {
        self.readers.read(async |connection| reads::ready_lanes(connection, limit).await).await
    }

    async fn holdings(&self, namespace: NamespaceId, agents: &[AgentId]) -> Result<Vec<Holding>> {
        self.readers.read(async |connection| placement::holdings(connection, namespace, agents).await).await
    }

    async fn limit_uses(&self, wanted: &[LimitRef]) -> Result<Vec<LimitUse>> {
        self.readers.read(async |connection| limits::load(connection, wanted).await).await
    }

    async fn idle_limits(&self, now: Timestamp, limit: usize) -> Result<Vec<LimitRef>> {
        self.readers.read(async |connection| limits::idle(connection, now, limit).await).await
    }

    async fn ready_before(&self, lane: LaneRef, place: (i64, TaskId), limit: usize) -> Result<usize> {
        self.readers.read(async |connection| placement::ready_before(connection, lane, place, limit).await).await
    }

    async fn purge_requests(&self, now: Timestamp, limit: usize) -> Result<usize> {
        let mut transaction = self.writer.begin().await?;
        let purged = reads::purge_requests(transaction.connection().await?, now, limit).await?;
        Box::new(transaction).commit().await?;
        Ok(purged)
    }

    async fn mail(
        &self,
        mailbox: MailboxRef,
        now: Timestamp,
        after: i64,
        limit: usize,
        max_bytes: usize,
    ) -> Result<MailPage> {
        self.readers
            .snapshot(async |connection| mail::page(connection, mailbox, now, after, limit, max_bytes).await)
            .await
    }

    async fn new_mail(&self, after: Cursor, limit: usize) -> Result<NewMail> {
        self.readers.read(async |connection| mail::new_mail(connection, after, limit).await).await
    }

    async fn end_of_mail(&self) -> Result<Cursor> {
        self.readers.read(async |connection| mail::end(connection).await).await
    }

    async fn expired_messages(&self, now: Timestamp, limit: usize) -> Result<Vec<(MailboxRef, MessageId)>> {
        self.readers.read(async |connection| mail::expired(connection, now, limit).await).await
    }

    async fn purge_mailboxes(&self, limit: usize) -> Result<usize> {
        let mut transaction = self.writer.begin().await?;
        let purged = mail::purge(transaction.connection().await?, limit).await?;
        Box::new(transaction).commit().await?;
        Ok(purged)
    }

    async fn ended_tasks(&self, before: Timestamp, after: Option<Cursor>, limit: usize) -> Result<Ended> {
        self.readers.read(async |connection| forget::ended(connection, before, after, limit).await).await
    }

    async fn forgettable_tasks(&self, tasks: &[TaskRef], before: Timestamp) -> Result<Vec<TaskRef>> {
        self.readers.read(async |connection| forget::forgettable(connection, tasks, before).await).await
    }

    async fn forget_tasks(&self, tasks: &[TaskRef], before: Timestamp) -> Result<Forgotten> {
        let mut transaction = self.writer.begin().await?;
        let forgotten = forget::forget(transaction.connection().await?, tasks, before).await?;
        Box::new(transaction).commit().await?;
        Ok(forgotten)
    }

    async fn gone_agents(&self, before: Timestamp, limit: usize) -> Result<Vec<AgentKey>> {
        self.readers.read(async |connection| forget::gone_agents(connection, before, limit).await).await
    }

    async fn upkeep(&self) -> Result<()> {
        self.writer.upkeep().await
    }

    async fn sample(&self) -> Result<Sample> {
        let mut sample = self.readers.read(async |connection| upkeep::sample(connection).await).await?;
        sample.bytes = file_size(&self.path).await;
        sample.log_bytes = file_size(&log_of(&self.path)).await;
        Ok(sample)
    }

    async fn close(&self) {
        self.readers.close().await;
        self.writer.close().await;
        self.lock.lock().unwrap_or_else(PoisonError::into_inner).take();
    }
}
