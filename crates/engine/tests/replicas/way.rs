//! A replica's way to the store that it shares: what goes over it is recorded, and can be held.

use crate::record::{Happened, Name, Record};
use async_trait::async_trait;
use callboard_core::Settings;
use callboard_core::model::{
    Agent, AgentId, Edge, Event, LimitUse, MessageId, Namespace, NamespaceId, Span, StateName, Task, TaskId, Timestamp,
    Workflow, WorkflowId,
};
use callboard_core::working_set::{
    AgentKey, ChangeSet, LaneRef, LimitRef, MailboxRef, Rows, RunRef, TaskRef, Want, WorkflowRef,
};
use callboard_store::cluster::{Cluster, Hint, News, Registration, SessionNow, StopPage, StopPlace};
use callboard_store::{
    AgentFilter, AgentPage, ChildPage, Cursor, DependencyView, Due, Ended, Error, EventPage, EventScope, Forgotten,
    Holding, Hydrated, MailPage, NewMail, OutputPage, Result, Sample, StepPage, Store, TaskFilter, TaskPage, TaskView,
    Transaction, WorkflowPage,
};
use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use tokio::sync::{Semaphore, mpsc};

/// A place on the way. It is open until it is held.
#[derive(Debug)]
pub struct Gate {
    permits: Semaphore,
    came: Semaphore,
}

impl Gate {
    fn open() -> Self {
        Self { permits: Semaphore::new(Semaphore::MAX_PERMITS), came: Semaphore::new(0) }
    }

    /// Who comes from now on waits.
    pub fn hold(&self) {
        self.permits.forget_permits(Semaphore::MAX_PERMITS);
        self.came.forget_permits(Semaphore::MAX_PERMITS);
    }

    /// Waits until somebody has come since it was held.
    pub async fn somebody_came(&self) {
        self.came.acquire().await.unwrap().forget();
    }

    /// Who waits goes on, and who comes later does not wait.
    pub fn let_go(&self) {
        self.permits.add_permits(1_000_000);
    }

    async fn pass(&self) {
        self.came.add_permits(1);
        self.permits.acquire().await.unwrap().forget();
    }
}

/// The way.
pub struct Way {
    name: Name,
    store: Arc<dyn Store>,
    record: Arc<Record>,
    overlaps: bool,
    /// All that is to be committed comes here.
    pub commits: Gate,
    /// All that the other is told comes here, behind its record.
    pub hints: Gate,
    refuses: AtomicBool,
}

impl Way {
    pub fn new(name: Name, store: Arc<dyn Store>, record: Arc<Record>, overlaps: bool) -> Self {
        let (commits, hints) = (Gate::open(), Gate::open());
        Self { name, store, record, overlaps, commits, hints, refuses: AtomicBool::new(false) }
    }

    /// The next commit does not happen: the store can't be reached.
    pub fn refuse_next_commit(&self) {
        self.refuses.store(true, Ordering::Relaxed);
    }

    fn cluster(&self) -> &dyn Cluster {
        self.store.cluster().expect("several share it")
    }
}

/// A replica's store: it goes a way.
pub struct FarStore(pub Arc<Way>);

struct FarTransaction {
    inner: Box<dyn Transaction>,
    way: Arc<Way>,
    /// What it has events of.
    tasks: BTreeSet<TaskRef>,
}

#[async_trait]
impl Transaction for FarTransaction {
    async fn load(&mut self, want: &Want) -> Result<Rows> {
        let due = self.way.record.asks(self.way.name, want);
        let rows = self.inner.load(want).await?;
        self.way.record.loads(self.way.name, &due, &rows);
        Ok(rows)
    }

    async fn save(&mut self, changes: &ChangeSet, settings: &Settings) -> Result<()> {
        self.inner.save(changes, settings).await?;
        self.tasks.extend(changes.events.iter().map(|event| (event.namespace, event.task)));
        Ok(())
    }

    async fn commit(self: Box<Self>) -> Result<()> {
        let Self { inner, way, tasks } = *self;
        if way.overlaps {
            way.record.is_asked_for(&tasks).await;
        }
        way.commits.pass().await;
        if way.refuses.swap(false, Ordering::Relaxed) {
            inner.roll_back().await;
            return Err(Error::Unavailable("busy".into()));
        }
        inner.commit().await?;
        way.record.note(Happened::Committed(way.name, tasks));
        Ok(())
    }

    async fn roll_back(self: Box<Self>) {
        self.inner.roll_back().await;
    }
}

/// Methods that only ask the store.
macro_rules! far {
    ($(fn $name:ident($($arg:ident: $type:ty),*) -> $answer:ty;)+) => {
        #[async_trait]
        impl Store for FarStore {
            fn is_exclusive(&self) -> bool {
                self.0.store.is_exclusive()
            }

            fn cluster(&self) -> Option<&dyn Cluster> {
                self.0.store.cluster().map(|_| self as &dyn Cluster)
            }

            async fn begin(&self) -> Result<Box<dyn Transaction>> {
                let inner = self.0.store.begin().await?;
                Ok(Box::new(FarTransaction { inner, way: self.0.clone(), tasks: BTreeSet::new() }))
            }

            async fn due(&self, now: Timestamp, after: Option<(Timestamp, TaskId)>, limit: usize) -> Result<Due> {
                let due = self.0.store.due(now, after, limit).await?;
                self.0.record.has_read(self.0.name, &due).await;
                Ok(due)
            }

            async fn close(&self) {
                self.0.store.close().await;
            }

            $(async fn $name(&self, $($arg: $type),*) -> Result<$answer> {
                self.0.store.$name($($arg),*).await
            })+
        }
    };
}

far! {
    fn namespaces() -> Vec<Namespace>;
    fn task(task: TaskRef) -> Option<TaskView>;
    fn task_row(task: TaskRef) -> Option<Task>;
    fn tasks(namespace: NamespaceId, filter: &TaskFilter, before: Option<TaskId>, limit: usize) -> TaskPage;
    fn hydrate(tasks: &[TaskRef]) -> Vec<Hydrated>;
    fn states(tasks: &[TaskRef]) -> Vec<(TaskRef, StateName)>;
    fn dependencies(task: TaskRef) -> Vec<Edge>;
    fn dependency_results(task: TaskRef, after: Option<u32>, limit: usize, max_bytes: usize) -> Vec<DependencyView>;
    fn steps(run: RunRef, after: u32, limit: usize, max_bytes: usize) -> StepPage;
    fn output(run: RunRef, offset: u64, limit: usize, max_bytes: usize) -> OutputPage;
    fn children(run: RunRef, after: u32, limit: usize) -> ChildPage;
    fn workflow(workflow: WorkflowRef) -> Option<Workflow>;
    fn workflows(namespace: NamespaceId, name: Option<&str>, before: Option<WorkflowId>, limit: usize) -> Vec<Workflow>;
    fn workflow_page(workflow: WorkflowRef, from: u32, limit: usize) -> WorkflowPage;
    fn mean_durations(namespace: NamespaceId, types: &[Arc<str>]) -> HashMap<Arc<str>, Span>;
    fn walking_workflows(limit: usize) -> Vec<WorkflowRef>;
    fn purge_workflows(before: Timestamp, limit: usize) -> usize;
    fn task_events(task: TaskRef, after: i64, limit: usize) -> Vec<Event>;
    fn events(scope: EventScope, after: Option<Cursor>, limit: usize) -> EventPage;
    fn end_of_events() -> Cursor;
    fn latest_event_at() -> Option<Timestamp>;
    fn agent(namespace: NamespaceId, name: &str) -> Option<(Agent, usize)>;
    fn agents(namespace: NamespaceId, filter: &AgentFilter, after: Option<&str>, limit: usize) -> AgentPage;
    fn live_sessions(after: Option<AgentId>, limit: usize) -> Vec<Agent>;
    fn ready_lanes(limit: usize) -> Vec<LaneRef>;
    fn holdings(namespace: NamespaceId, agents: &[AgentId]) -> Vec<Holding>;
    fn limit_uses(limits: &[LimitRef]) -> Vec<LimitUse>;
    fn idle_limits(now: Timestamp, limit: usize) -> Vec<LimitRef>;
    fn ready_before(lane: LaneRef, place: (i64, TaskId), limit: usize) -> usize;
    fn purge_requests(now: Timestamp, limit: usize) -> usize;
    fn mail(mailbox: MailboxRef, now: Timestamp, after: i64, limit: usize, max_bytes: usize) -> MailPage;
    fn new_mail(after: Cursor, limit: usize) -> NewMail;
    fn end_of_mail() -> Cursor;
    fn expired_messages(now: Timestamp, limit: usize) -> Vec<(MailboxRef, MessageId)>;
    fn purge_mailboxes(limit: usize) -> usize;
    fn ended_tasks(before: Timestamp, after: Option<Cursor>, limit: usize) -> Ended;
    fn forgettable_tasks(tasks: &[TaskRef], before: Timestamp) -> Vec<TaskRef>;
    fn forget_tasks(tasks: &[TaskRef], before: Timestamp) -> Forgotten;
    fn gone_agents(before: Timestamp, limit: usize) -> Vec<AgentKey>;
    fn upkeep() -> ();
    fn sample() -> Sample;
}

/// The same of what replicas know of each other.
macro_rules! far_cluster {
    ($(fn $name:ident($($arg:ident: $type:ty),*) -> $answer:ty;)+) => {
        #[async_trait]
        impl Cluster for FarStore {
            async fn tell(&self, hint: &Hint) -> Result<()> {
                self.0.record.note(Happened::Told(self.0.name, hint.clone()));
                self.0.hints.pass().await;
                self.0.cluster().tell(hint).await
            }

            $(async fn $name(&self, $($arg: $type),*) -> Result<$answer> {
                self.0.cluster().$name($($arg),*).await
            })+
        }
    };
}

far_cluster! {
    fn register(name: &str) -> ();
    fn renew(name: &str) -> bool;
    fn advertise(name: &str, address: Option<&str>) -> ();
    fn now() -> Option<Timestamp>;
    fn registrations() -> Vec<Registration>;
    fn declare_dead(name: &str, beat: i64) -> bool;
    fn resign(name: &str) -> ();
    fn forget(name: &str) -> ();
    fn sessions_of(agents: &[(NamespaceId, AgentId)]) -> Vec<SessionNow>;
    fn news(after: Cursor) -> News;
    fn ended_of(tasks: &[TaskRef]) -> Vec<TaskRef>;
    fn stopping(after: Option<StopPlace>, limit: usize) -> StopPage;
    fn listen() -> mpsc::Receiver<Hint>;
}
