//! The store itself: writes go to the writer, reads to the readers.

use super::error::sqlite_error;
use super::lock::Lock;
use super::writer::{Writer, log_of};
use super::{events, forget, list, load, mail, reads, upkeep};
use crate::{
    AgentFilter, AgentPage, Cursor, Due, Ended, EventPage, EventScope, Forgotten, Hydrated, MailPage, NewMail, Result,
    Sample, Store, TaskFilter, TaskPage, TaskView, Transaction,
};
use async_trait::async_trait;
use callboard_core::model::{Agent, AgentId, Edge, Event, MessageId, Namespace, NamespaceId, TaskId, Timestamp};
use callboard_core::working_set::{AgentKey, LaneRef, MailboxRef, TaskRef};
use sqlx::pool::PoolConnection;
use sqlx::sqlite::SqlitePool;
use sqlx::{Sqlite, SqliteConnection};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

/// Tasks in an SQLite file. See [`SqliteStore::open`].
pub struct SqliteStore {
    writer: Arc<Writer>,
    readers: SqlitePool,
    path: PathBuf,
    /// Until the store is closed.
    lock: Mutex<Option<Lock>>,
}

impl SqliteStore {
    pub(super) fn new(writer: Arc<Writer>, readers: SqlitePool, path: PathBuf, lock: Lock) -> Self {
        Self { writer, readers, path, lock: Mutex::new(Some(lock)) }
    }

    /// Looks through the whole file for damage. It takes seconds for each gigabyte, and nothing is written meanwhile.
    pub async fn check(&self) -> Result<()> {
        self.writer.check().await
    }

    pub(super) async fn reader(&self) -> Result<PoolConnection<Sqlite>> {
        self.readers.acquire().await.map_err(sqlite_error)
    }

    /// Several statements that see the same.
    async fn snapshot<T>(&self, read: impl AsyncFnOnce(&mut SqliteConnection) -> Result<T>) -> Result<T> {
        let mut transaction = self.readers.begin().await.map_err(sqlite_error)?;
        let found = read(&mut transaction).await;
        // Nothing was changed; a reader that lingers would keep the log from being reset.
        transaction.rollback().await.map_err(sqlite_error)?;
        found
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
        load::all_namespaces(&mut *self.reader().await?).await
    }

    async fn task(&self, task: TaskRef) -> Result<Option<TaskView>> {
        reads::task(&mut *self.reader().await?, task).await
    }

    async fn tasks(
        &self,
        namespace: NamespaceId,
        filter: &TaskFilter,
        before: Option<TaskId>,
        limit: usize,
    ) -> Result<TaskPage> {
        self.snapshot(async |connection| list::list(connection, namespace, filter, before, limit).await).await
    }

    async fn hydrate(&self, tasks: &[TaskRef]) -> Result<Vec<Hydrated>> {
        reads::hydrate(&mut *self.reader().await?, tasks).await
    }

    async fn dependencies(&self, task: TaskRef) -> Result<Vec<Edge>> {
        load::dependencies(&mut *self.reader().await?, task).await
    }

    async fn dependency_results(
        &self,
        task: TaskRef,
        after: Option<u32>,
        limit: usize,
        max_bytes: usize,
    ) -> Result<Vec<(u32, TaskView)>> {
        self.snapshot(async |connection| reads::dependency_results(connection, task, after, limit, max_bytes).await)
            .await
    }

    async fn task_events(&self, task: TaskRef, after: i64, limit: usize) -> Result<Vec<Event>> {
        events::of_task(&mut *self.reader().await?, task, after, limit).await
    }

    async fn events(&self, scope: EventScope, after: Option<Cursor>, limit: usize) -> Result<EventPage> {
        events::page(&mut *self.reader().await?, scope, after, limit).await
    }

    async fn end_of_events(&self) -> Result<Cursor> {
        let position = events::end(&mut *self.reader().await?).await?;
        Ok(Cursor { transaction: 0, position })
    }

    async fn agent(&self, namespace: NamespaceId, name: &str) -> Result<Option<(Agent, usize)>> {
        reads::agent(&mut *self.reader().await?, namespace, name).await
    }

    async fn agents(
        &self,
        namespace: NamespaceId,
        filter: &AgentFilter,
        after: Option<&str>,
        limit: usize,
    ) -> Result<AgentPage> {
        reads::agents(&mut *self.reader().await?, namespace, filter, after, limit).await
    }

    async fn live_sessions(&self, after: Option<AgentId>, limit: usize) -> Result<Vec<Agent>> {
        reads::live_sessions(&mut *self.reader().await?, after, limit).await
    }

    async fn due(&self, now: Timestamp, after: Option<(Timestamp, TaskId)>, limit: usize) -> Result<Due> {
        self.snapshot(async |connection| reads::due(connection, now, after, limit).await).await
    }

    async fn ready_lanes(&self, limit: usize) -> Result<Vec<LaneRef>> {
        reads::ready_lanes(&mut *self.reader().await?, limit).await
    }

    async fn purge_requests(&self, now: Timestamp, limit: usize) -> Result<usize> {
        let mut transaction = self.writer.begin().await?;
        let purged = reads::purge_requests(transaction.connection()?, now, limit).await?;
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
        self.snapshot(async |connection| mail::page(connection, mailbox, now, after, limit, max_bytes).await).await
    }

    async fn new_mail(&self, after: Cursor, limit: usize) -> Result<NewMail> {
        mail::new_mail(&mut *self.reader().await?, after, limit).await
    }

    async fn end_of_mail(&self) -> Result<Cursor> {
        mail::end(&mut *self.reader().await?).await
    }

    async fn expired_messages(&self, now: Timestamp, limit: usize) -> Result<Vec<(MailboxRef, MessageId)>> {
        mail::expired(&mut *self.reader().await?, now, limit).await
    }

    async fn purge_mailboxes(&self, limit: usize) -> Result<usize> {
        let mut transaction = self.writer.begin().await?;
        let purged = mail::purge(transaction.connection()?, limit).await?;
        Box::new(transaction).commit().await?;
        Ok(purged)
    }

    async fn ended_tasks(&self, before: Timestamp, after: Option<Cursor>, limit: usize) -> Result<Ended> {
        forget::ended(&mut *self.reader().await?, before, after, limit).await
    }

    async fn forget_tasks(&self, tasks: &[TaskRef], before: Timestamp) -> Result<Forgotten> {
        let mut transaction = self.writer.begin().await?;
        let forgotten = forget::forget(transaction.connection()?, tasks, before).await?;
        Box::new(transaction).commit().await?;
        Ok(forgotten)
    }

    async fn gone_agents(&self, before: Timestamp, limit: usize) -> Result<Vec<AgentKey>> {
        forget::gone_agents(&mut *self.reader().await?, before, limit).await
    }

    async fn upkeep(&self) -> Result<()> {
        self.writer.upkeep().await
    }

    async fn sample(&self) -> Result<Sample> {
        let mut sample = upkeep::sample(&mut *self.reader().await?).await?;
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
