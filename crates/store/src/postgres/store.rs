//! The store itself.

use super::connections::{Connections, Lent, Purpose, statement_timeout};
use super::convert::Values;
use super::floors::Floors;
use super::timeline::Order;
use super::transaction::PgTransaction;
use super::{
    children, durations, events, forget, limits, list, mail, output, placement, reads, ready, sample, steps, workflows,
};
use crate::cluster::Cluster;
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
use sqlx::postgres::{PgConnectOptions, PgRow};
use std::collections::HashMap;
use std::sync::atomic::AtomicI64;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::task::JoinSet;

/// Tasks in a PostgreSQL database. See [`PostgresStore::open`].
pub struct PostgresStore {
    pub(super) shared: Arc<Shared>,
}

/// What all that a store does has in common.
pub struct Shared {
    /// The connections.
    pub connections: Arc<Connections>,
    /// What is added to transaction ids.
    pub order: Order,
    /// The latest timeline that was seen. It never falls but by what needs another order.
    pub timeline: AtomicI64,
    /// Where to begin to read.
    pub floors: Floors,
    /// Where notifications are heard; none behind a pooler.
    pub listen: Option<PgConnectOptions>,
    /// What goes on beside statements: listening, and looking after statistics.
    pub beside: Mutex<JoinSet<()>>,
}

/// A read's statement.
pub enum Sql {
    /// That never changes.
    Fixed(&'static str),
    /// Put together from texts of ours.
    Built(String),
}

impl Shared {
    /// Reads by one statement. It is repeated when the connection was idle and is found broken: the server was restarted, say.
    pub async fn read(&self, sql: Sql, values: impl Fn() -> Values) -> Result<Vec<PgRow>> {
        self.run(sql, values, Purpose::Read).await
    }

    /// The same for what is read again and again, and finds its rows by an index whatever the values are.
    pub async fn read_page(&self, sql: &'static str, values: impl Fn() -> Values) -> Result<Vec<PgRow>> {
        self.run(Sql::Fixed(sql), values, Purpose::Page).await
    }

    /// The same for one that may change something; doing it twice must be as good as once.
    pub async fn read_write(&self, sql: Sql, values: impl Fn() -> Values) -> Result<Vec<PgRow>> {
        self.run(sql, values, Purpose::Write).await
    }

    async fn run(&self, sql: Sql, values: impl Fn() -> Values, purpose: Purpose) -> Result<Vec<PgRow>> {
        const TIME: &str = concat!(
            "; SET LOCAL jit = off; SET LOCAL enable_seqscan = off; SET LOCAL statement_timeout = ",
            statement_timeout!()
        );
        let begin = if purpose == Purpose::Write { "BEGIN READ WRITE" } else { "BEGIN READ ONLY" };
        let begin = (!self.connections.are_sessions()).then(|| begin.to_owned() + TIME);
        let mut lent = self.connections.lend(purpose).await?;
        let mut rows = read_on(&mut lent, &sql, values(), begin.as_deref()).await;
        if matches!(rows, Err(crate::Error::Unavailable(_))) {
            self.floors.forget();
            if lent.reused {
                lent.renew().await?;
                rows = read_on(&mut lent, &sql, values(), begin.as_deref()).await;
            }
        }
        let rows = rows?;
        lent.give_back();
        Ok(rows)
    }
}

/// A pooler may give each transaction another server: without one of its own a statement would be prepared on one, and run on another.
async fn read_on(lent: &mut Lent, sql: &Sql, values: Values, begin: Option<&str>) -> Result<Vec<PgRow>> {
    if let Some(begin) = begin {
        lent.run(begin.into()).await.map_err(super::error::pg_error)?;
    }
    let rows = match sql {
        Sql::Fixed(sql) => lent.fetch(sql, values).await?,
        Sql::Built(sql) => lent.fetch_text(sql.clone(), values).await?,
    };
    if begin.is_some() {
        lent.run("COMMIT".into()).await.map_err(super::error::pg_error)?;
    }
    Ok(rows)
}

#[async_trait]
impl Store for PostgresStore {
    fn is_exclusive(&self) -> bool {
        false
    }

    async fn begin(&self) -> Result<Box<dyn Transaction>> {
        Ok(Box::new(PgTransaction::begin(&self.shared).await?))
    }

    async fn namespaces(&self) -> Result<Vec<Namespace>> {
        reads::namespaces(&self.shared).await
    }

    async fn task(&self, task: TaskRef) -> Result<Option<TaskView>> {
        reads::task(&self.shared, task).await
    }

    async fn task_row(&self, task: TaskRef) -> Result<Option<Task>> {
        reads::task_row(&self.shared, task).await
    }

    async fn tasks(
        &self,
        namespace: NamespaceId,
        filter: &TaskFilter,
        before: Option<TaskId>,
        limit: usize,
    ) -> Result<TaskPage> {
        list::list(&self.shared, namespace, filter, before, limit).await
    }

    async fn hydrate(&self, tasks: &[TaskRef]) -> Result<Vec<Hydrated>> {
        reads::hydrate(&self.shared, tasks).await
    }

    async fn dependencies(&self, task: TaskRef) -> Result<Vec<Edge>> {
        reads::dependencies(&self.shared, task).await
    }

    async fn states(&self, tasks: &[TaskRef]) -> Result<Vec<(TaskRef, StateName)>> {
        reads::states(&self.shared, tasks).await
    }

    async fn dependency_results(
        &self,
        task: TaskRef,
        after: Option<u32>,
        limit: usize,
        max_bytes: usize,
    ) -> Result<Vec<DependencyView>> {
        reads::dependency_results(&self.shared, task, after, limit, max_bytes).await
    }

    async fn steps(&self, run: RunRef, after: u32, limit: usize, max_bytes: usize) -> Result<StepPage> {
        steps::page(&self.shared, run, after, limit, max_bytes).await
    }

    async fn output(&self, run: RunRef, offset: u64, limit: usize, max_bytes: usize) -> Result<OutputPage> {
        output::page(&self.shared, run, offset, limit, max_bytes).await
    }

    async fn children(&self, run: RunRef, after: u32, limit: usize) -> Result<ChildPage> {
        children::page(&self.shared, run, after, limit).await
    }

    async fn workflow(&self, workflow: WorkflowRef) -> Result<Option<Workflow>> {
        workflows::one(&self.shared, workflow).await
    }

    async fn workflows(
        &self,
        namespace: NamespaceId,
        name: Option<&str>,
        before: Option<WorkflowId>,
        limit: usize,
    ) -> Result<Vec<Workflow>> {
        workflows::list(&self.shared, namespace, name, before, limit).await
    }

    async fn workflow_page(&self, workflow: WorkflowRef, from: u32, limit: usize) -> Result<WorkflowPage> {
        workflows::page(&self.shared, workflow, from, limit).await
    }

    async fn mean_durations(&self, namespace: NamespaceId, types: &[Arc<str>]) -> Result<HashMap<Arc<str>, Span>> {
        durations::means(&self.shared, namespace, types).await
    }

    async fn walking_workflows(&self, limit: usize) -> Result<Vec<WorkflowRef>> {
        workflows::cancelling(&self.shared, limit).await
    }

    async fn purge_workflows(&self, before: Timestamp, limit: usize) -> Result<usize> {
        workflows::purge(&self.shared, before, limit).await
    }

    async fn task_events(&self, task: TaskRef, after: i64, limit: usize) -> Result<Vec<Event>> {
        events::of_task(&self.shared, task, after, limit).await
    }

    async fn events(&self, scope: EventScope, after: Option<Cursor>, limit: usize) -> Result<EventPage> {
        events::page(&self.shared, scope, after, limit).await
    }

    async fn end_of_events(&self) -> Result<Cursor> {
        events::end(&self.shared).await
    }

    async fn latest_event_at(&self) -> Result<Option<Timestamp>> {
        events::latest_at(&self.shared).await
    }

    async fn agent(&self, namespace: NamespaceId, name: &str) -> Result<Option<(Agent, usize)>> {
        reads::agent(&self.shared, namespace, name).await
    }

    async fn agents(
        &self,
        namespace: NamespaceId,
        filter: &AgentFilter,
        after: Option<&str>,
        limit: usize,
    ) -> Result<AgentPage> {
        reads::agents(&self.shared, namespace, filter, after, limit).await
    }

    async fn live_sessions(&self, after: Option<AgentId>, limit: usize) -> Result<Vec<Agent>> {
        reads::live_sessions(&self.shared, after, limit).await
    }

    async fn due(&self, now: Timestamp, after: Option<(Timestamp, TaskId)>, limit: usize) -> Result<Due> {
        reads::due(&self.shared, now, after, limit).await
    }

    async fn ready_lanes(&self, limit: usize) -> Result<Vec<LaneRef>> {
        ready::lanes(&self.shared, limit).await
    }

    async fn holdings(&self, namespace: NamespaceId, agents: &[AgentId]) -> Result<Vec<Holding>> {
        placement::holdings(&self.shared, namespace, agents).await
    }

    async fn limit_uses(&self, wanted: &[LimitRef]) -> Result<Vec<LimitUse>> {
        limits::uses(&self.shared, wanted).await
    }

    async fn idle_limits(&self, now: Timestamp, limit: usize) -> Result<Vec<LimitRef>> {
        limits::idle(&self.shared, now, limit).await
    }

    async fn ready_before(&self, lane: LaneRef, place: (i64, TaskId), limit: usize) -> Result<usize> {
        placement::ready_before(&self.shared, lane, place, limit).await
    }

    async fn purge_requests(&self, now: Timestamp, limit: usize) -> Result<usize> {
        forget::answers(&self.shared, now, limit).await
    }

    async fn mail(
        &self,
        mailbox: MailboxRef,
        now: Timestamp,
        after: i64,
        limit: usize,
        max_bytes: usize,
    ) -> Result<MailPage> {
        mail::page(&self.shared, mailbox, now, after, limit, max_bytes).await
    }

    async fn new_mail(&self, after: Cursor, limit: usize) -> Result<NewMail> {
        mail::new_mail(&self.shared, after, limit).await
    }

    async fn end_of_mail(&self) -> Result<Cursor> {
        mail::end(&self.shared).await
    }

    async fn expired_messages(&self, now: Timestamp, limit: usize) -> Result<Vec<(MailboxRef, MessageId)>> {
        mail::expired(&self.shared, now, limit).await
    }

    async fn purge_mailboxes(&self, limit: usize) -> Result<usize> {
        mail::purge(&self.shared, limit).await
    }

    async fn ended_tasks(&self, before: Timestamp, after: Option<Cursor>, limit: usize) -> Result<Ended> {
        forget::ended(&self.shared, before, after, limit).await
    }

    async fn forgettable_tasks(&self, tasks: &[TaskRef], before: Timestamp) -> Result<Vec<TaskRef>> {
        forget::forgettable(&self.shared, tasks, before).await
    }

    async fn forget_tasks(&self, tasks: &[TaskRef], before: Timestamp) -> Result<Forgotten> {
        forget::tasks(&self.shared, tasks, before).await
    }

    async fn gone_agents(&self, before: Timestamp, limit: usize) -> Result<Vec<AgentKey>> {
        forget::gone_agents(&self.shared, before, limit).await
    }

    /// PostgreSQL's autovacuum does it, and what looks after statistics all the time.
    async fn upkeep(&self) -> Result<()> {
        Ok(())
    }

    async fn sample(&self) -> Result<Sample> {
        sample::sample(&self.shared).await
    }

    fn cluster(&self) -> Option<&dyn Cluster> {
        Some(self)
    }

    async fn close(&self) {
        self.shared.beside.lock().unwrap_or_else(PoisonError::into_inner).abort_all();
        self.shared.connections.close().await;
    }
}

/// A limit as PostgreSQL takes it.
pub fn rows_at_most(limit: usize) -> i64 {
    i64::try_from(limit).unwrap_or(i64::MAX)
}
