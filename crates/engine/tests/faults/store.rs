//! A store that fails when it is told to, around one that works.

use async_trait::async_trait;
use callboard_core::Settings;
use callboard_core::model::{
    Agent, AgentId, Edge, Event, LimitUse, MessageId, Namespace, NamespaceId, Span, StateName, Task, TaskId, Timestamp,
    Workflow, WorkflowId,
};
use callboard_core::working_set::{
    AgentKey, ChangeSet, LaneRef, LimitRef, MailboxRef, Rows, RunRef, TaskRef, Want, WorkflowRef,
};
use callboard_store::memory::MemoryStore;
use callboard_store::{
    AgentFilter, AgentPage, ChildPage, Cursor, DependencyView, Due, Ended, Error, EventPage, EventScope, Forgotten,
    Holding, Hydrated, MailPage, NewMail, OutputPage, Result, Sample, StepPage, Store, TaskFilter, TaskPage, TaskView,
    Transaction, WorkflowPage,
};
use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use tokio::sync::Semaphore;

/// Makes an error of a text.
pub type Says = fn(String) -> Error;

/// What goes wrong with commits, and when they may go on.
#[derive(Debug)]
pub struct Plan {
    /// A commit takes one; none there, it waits.
    pub permits: Semaphore,
    /// Says that a commit waits for its permit.
    pub waiting: Semaphore,
    /// What the next commits answer; afterwards they work.
    pub next: Mutex<Vec<Fault>>,
    /// How many tasks each save had that was refused.
    pub refused: Mutex<Vec<usize>>,
    /// What assignments carry can't be read.
    pub unreadable: AtomicBool,
    /// A task whose row can't be read.
    pub damaged: Mutex<Option<TaskId>>,
    /// A beginning takes one; none there, it waits.
    pub begins: Semaphore,
    /// Says that a transaction is to begin.
    pub beginning: Semaphore,
    /// What is done beside the commands says this instead of being done.
    pub beside: Mutex<Option<Says>>,
    /// One for each time that it did.
    pub said_beside: Semaphore,
    /// Another writer has the agents: who asks for them out of order, that is not first, meets it. How often that was.
    pub crossed: Mutex<Option<usize>>,
}

impl Plan {
    fn beside(&self) -> Result<()> {
        let Some(says) = *self.beside.lock().unwrap() else { return Ok(()) };
        self.said_beside.add_permits(1);
        Err(says("no such sector".to_owned()))
    }

    /// Waits until something beside the commands has failed so often.
    pub async fn met(&self, times: u32) {
        self.said_beside.acquire_many(times).await.unwrap().forget();
    }

    /// Something that an assignment carries is asked for.
    fn assignments_are_read(&self) -> Result<()> {
        match self.unreadable.load(Ordering::Relaxed) {
            true => Err(Error::Unavailable("away".into())),
            false => Ok(()),
        }
    }
}

/// How a commit fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// It happens, and nobody hears of it.
    Unheard,
    /// The disk fails.
    Disk,
    /// It doesn't happen, for now.
    Away,
    /// The store refuses what is in it.
    Refused,
}

/// Saving a task of this description is refused by the store.
pub const POISON: &str = "poison";

pub struct FaultyStore {
    inner: MemoryStore,
    plan: Arc<Plan>,
}

impl FaultyStore {
    /// A store whose commits go on freely.
    pub fn new() -> (Arc<Self>, Arc<Plan>) {
        Self::around(MemoryStore::new())
    }

    /// The same, which others write to as well: every batch begins with a transaction.
    pub fn shared() -> (Arc<Self>, Arc<Plan>) {
        Self::around(MemoryStore::shared())
    }

    fn around(inner: MemoryStore) -> (Arc<Self>, Arc<Plan>) {
        let plan = Plan {
            permits: Semaphore::new(Semaphore::MAX_PERMITS),
            waiting: Semaphore::new(0),
            next: Mutex::default(),
            refused: Mutex::default(),
            unreadable: AtomicBool::new(false),
            damaged: Mutex::default(),
            begins: Semaphore::new(Semaphore::MAX_PERMITS),
            beginning: Semaphore::new(0),
            crossed: Mutex::default(),
            beside: Mutex::default(),
            said_beside: Semaphore::new(0),
        };
        let plan = Arc::new(plan);
        (Arc::new(Self { inner, plan: plan.clone() }), plan)
    }
}

struct Faulty {
    inner: Box<dyn Transaction>,
    /// It has loaded something.
    loaded: bool,
    plan: Arc<Plan>,
}

#[async_trait]
impl Transaction for Faulty {
    async fn load(&mut self, want: &Want) -> Result<Rows> {
        let asks = !want.agents.is_empty() || !want.agents_by_id.is_empty();
        if std::mem::replace(&mut self.loaded, true)
            && asks
            && let Some(times) = self.plan.crossed.lock().unwrap().as_mut()
        {
            *times += 1;
            return Err(Error::Conflict("another has the agent".into()));
        }
        self.inner.load(want).await
    }

    async fn save(&mut self, changes: &ChangeSet, settings: &Settings) -> Result<()> {
        if changes.tasks.iter().any(|task| task.row.spec.description == POISON) {
            self.plan.refused.lock().unwrap().push(changes.tasks.len());
            return Err(Error::Data("a constraint".into()));
        }
        self.inner.save(changes, settings).await
    }

    async fn commit(self: Box<Self>) -> Result<()> {
        self.plan.waiting.add_permits(1);
        self.plan.permits.acquire().await.unwrap().forget();
        let fault = self.plan.next.lock().unwrap().pop();
        match fault {
            None => self.inner.commit().await,
            Some(Fault::Unheard) => {
                self.inner.commit().await?;
                Err(Error::UnknownCommit("the connection broke".into()))
            }
            Some(Fault::Disk) => Err(Error::Io("no space is left".into())),
            Some(Fault::Away) => {
                self.inner.roll_back().await;
                Err(Error::Unavailable("busy".into()))
            }
            Some(Fault::Refused) => {
                self.inner.roll_back().await;
                Err(Error::Data("a constraint".into()))
            }
        }
    }

    async fn roll_back(self: Box<Self>) {
        self.inner.roll_back().await;
    }
}

#[async_trait]
impl Store for FaultyStore {
    fn is_exclusive(&self) -> bool {
        self.inner.is_exclusive()
    }
    async fn begin(&self) -> Result<Box<dyn Transaction>> {
        self.plan.beginning.add_permits(1);
        self.plan.begins.acquire().await.unwrap().forget();
        Ok(Box::new(Faulty { inner: self.inner.begin().await?, loaded: false, plan: self.plan.clone() }))
    }
    async fn namespaces(&self) -> Result<Vec<Namespace>> {
        self.inner.namespaces().await
    }
    async fn task(&self, task: TaskRef) -> Result<Option<TaskView>> {
        if *self.plan.damaged.lock().unwrap() == Some(task.1) {
            return Err(Error::Corrupt("a row".into()));
        }
        self.inner.task(task).await
    }
    async fn task_row(&self, task: TaskRef) -> Result<Option<Task>> {
        self.inner.task_row(task).await
    }
    async fn tasks(
        &self,
        namespace: NamespaceId,
        filter: &TaskFilter,
        before: Option<TaskId>,
        limit: usize,
    ) -> Result<TaskPage> {
        self.inner.tasks(namespace, filter, before, limit).await
    }
    async fn hydrate(&self, tasks: &[TaskRef]) -> Result<Vec<Hydrated>> {
        self.plan.assignments_are_read()?;
        self.inner.hydrate(tasks).await
    }
    async fn states(&self, tasks: &[TaskRef]) -> Result<Vec<(TaskRef, StateName)>> {
        self.inner.states(tasks).await
    }
    async fn dependencies(&self, task: TaskRef) -> Result<Vec<Edge>> {
        self.inner.dependencies(task).await
    }
    async fn dependency_results(
        &self,
        task: TaskRef,
        after: Option<u32>,
        limit: usize,
        max_bytes: usize,
    ) -> Result<Vec<DependencyView>> {
        self.plan.assignments_are_read()?;
        self.inner.dependency_results(task, after, limit, max_bytes).await
    }
    async fn steps(&self, run: RunRef, after: u32, limit: usize, max_bytes: usize) -> Result<StepPage> {
        self.plan.assignments_are_read()?;
        self.inner.steps(run, after, limit, max_bytes).await
    }
    async fn output(&self, run: RunRef, offset: u64, limit: usize, max_bytes: usize) -> Result<OutputPage> {
        self.inner.output(run, offset, limit, max_bytes).await
    }
    async fn children(&self, run: RunRef, after: u32, limit: usize) -> Result<ChildPage> {
        self.inner.children(run, after, limit).await
    }
    async fn workflow(&self, workflow: WorkflowRef) -> Result<Option<Workflow>> {
        self.inner.workflow(workflow).await
    }
    async fn workflows(
        &self,
        namespace: NamespaceId,
        name: Option<&str>,
        before: Option<WorkflowId>,
        limit: usize,
    ) -> Result<Vec<Workflow>> {
        self.inner.workflows(namespace, name, before, limit).await
    }
    async fn workflow_page(&self, workflow: WorkflowRef, from: u32, limit: usize) -> Result<WorkflowPage> {
        self.inner.workflow_page(workflow, from, limit).await
    }
    async fn mean_durations(&self, namespace: NamespaceId, types: &[Arc<str>]) -> Result<HashMap<Arc<str>, Span>> {
        self.inner.mean_durations(namespace, types).await
    }
    async fn walking_workflows(&self, limit: usize) -> Result<Vec<WorkflowRef>> {
        self.inner.walking_workflows(limit).await
    }
    async fn purge_workflows(&self, before: Timestamp, limit: usize) -> Result<usize> {
        self.inner.purge_workflows(before, limit).await
    }
    async fn task_events(&self, task: TaskRef, after: i64, limit: usize) -> Result<Vec<Event>> {
        self.inner.task_events(task, after, limit).await
    }
    async fn events(&self, scope: EventScope, after: Option<Cursor>, limit: usize) -> Result<EventPage> {
        self.inner.events(scope, after, limit).await
    }
    async fn end_of_events(&self) -> Result<Cursor> {
        self.inner.end_of_events().await
    }
    async fn latest_event_at(&self) -> Result<Option<Timestamp>> {
        self.inner.latest_event_at().await
    }
    async fn agent(&self, namespace: NamespaceId, name: &str) -> Result<Option<(Agent, usize)>> {
        self.inner.agent(namespace, name).await
    }
    async fn agents(
        &self,
        namespace: NamespaceId,
        filter: &AgentFilter,
        after: Option<&str>,
        limit: usize,
    ) -> Result<AgentPage> {
        self.inner.agents(namespace, filter, after, limit).await
    }
    async fn live_sessions(&self, after: Option<AgentId>, limit: usize) -> Result<Vec<Agent>> {
        self.inner.live_sessions(after, limit).await
    }
    async fn due(&self, now: Timestamp, after: Option<(Timestamp, TaskId)>, limit: usize) -> Result<Due> {
        self.inner.due(now, after, limit).await
    }
    async fn ready_lanes(&self, limit: usize) -> Result<Vec<LaneRef>> {
        self.inner.ready_lanes(limit).await
    }
    async fn holdings(&self, namespace: NamespaceId, agents: &[AgentId]) -> Result<Vec<Holding>> {
        self.inner.holdings(namespace, agents).await
    }
    async fn limit_uses(&self, limits: &[LimitRef]) -> Result<Vec<LimitUse>> {
        self.inner.limit_uses(limits).await
    }
    async fn idle_limits(&self, now: Timestamp, limit: usize) -> Result<Vec<LimitRef>> {
        self.inner.idle_limits(now, limit).await
    }
    async fn ready_before(&self, lane: LaneRef, place: (i64, TaskId), limit: usize) -> Result<usize> {
        self.inner.ready_before(lane, place, limit).await
    }
    async fn purge_requests(&self, now: Timestamp, limit: usize) -> Result<usize> {
        self.plan.beside()?;
        self.inner.purge_requests(now, limit).await
    }
    async fn mail(
        &self,
        mailbox: MailboxRef,
        now: Timestamp,
        after: i64,
        limit: usize,
        max_bytes: usize,
    ) -> Result<MailPage> {
        self.inner.mail(mailbox, now, after, limit, max_bytes).await
    }
    async fn new_mail(&self, after: Cursor, limit: usize) -> Result<NewMail> {
        self.inner.new_mail(after, limit).await
    }
    async fn end_of_mail(&self) -> Result<Cursor> {
        self.inner.end_of_mail().await
    }
    async fn expired_messages(&self, now: Timestamp, limit: usize) -> Result<Vec<(MailboxRef, MessageId)>> {
        self.inner.expired_messages(now, limit).await
    }
    async fn purge_mailboxes(&self, limit: usize) -> Result<usize> {
        // It commits, too.
        let _permit = self.plan.permits.acquire().await.unwrap();
        self.inner.purge_mailboxes(limit).await
    }
    async fn ended_tasks(&self, before: Timestamp, after: Option<Cursor>, limit: usize) -> Result<Ended> {
        self.inner.ended_tasks(before, after, limit).await
    }
    async fn forgettable_tasks(&self, tasks: &[TaskRef], before: Timestamp) -> Result<Vec<TaskRef>> {
        self.inner.forgettable_tasks(tasks, before).await
    }
    async fn forget_tasks(&self, tasks: &[TaskRef], before: Timestamp) -> Result<Forgotten> {
        self.inner.forget_tasks(tasks, before).await
    }
    async fn gone_agents(&self, before: Timestamp, limit: usize) -> Result<Vec<AgentKey>> {
        self.inner.gone_agents(before, limit).await
    }
    async fn upkeep(&self) -> Result<()> {
        self.plan.beside()?;
        self.inner.upkeep().await
    }
    async fn sample(&self) -> Result<Sample> {
        self.inner.sample().await
    }
    async fn close(&self) {
        self.inner.close().await;
    }
}
