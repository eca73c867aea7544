//! A replica's way to the store that all share: it takes time, it breaks, and its commits leave a trace.

use crate::clock;
use crate::trace::Trace;
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
use callboard_store::memory::MemoryStore;
use callboard_store::{
    AgentFilter, AgentPage, ChildPage, Cursor, DependencyView, Due, Ended, Error, EventPage, EventScope, Forgotten,
    Holding, Hydrated, MailPage, NewMail, OutputPage, Result, Sample, StepPage, Store, TaskFilter, TaskPage, TaskView,
    Transaction, WorkflowPage,
};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use std::collections::HashMap;
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::mpsc;

/// How long somebody waits who is cut off and does not hear so at once.
const SILENCE: Range<u64> = 500..6_000;

/// The way of one replica to the store. It stays through the replica's restarts.
pub(crate) struct Way {
    name: String,
    store: Arc<MemoryStore>,
    trace: Trace,
    state: Mutex<State>,
}

struct State {
    random: StdRng,
    /// How long everything takes, in microseconds.
    delay: Range<u64>,
    cut_off: bool,
    /// So many commits happen, and nobody hears of it.
    unheard: u32,
    hints_lost: bool,
}

impl Way {
    /// Of a replica to a store.
    pub fn new(name: String, store: Arc<MemoryStore>, trace: Trace, seed: u64, delay: Range<u64>) -> Arc<Self> {
        let random = StdRng::seed_from_u64(seed);
        let state = State { random, delay, cut_off: false, unheard: 0, hints_lost: false };
        Arc::new(Self { name, store, trace, state: Mutex::new(state) })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// From now on the store can't be reached, or can again.
    pub fn cut_off(&self, cut_off: bool) {
        self.state().cut_off = cut_off;
    }

    /// The next commits happen, and nobody hears of it.
    pub fn unheard(&self, commits: u32) {
        self.state().unheard += commits;
    }

    /// From now on everything takes so many microseconds.
    pub fn delay(&self, delay: Range<u64>) {
        self.state().delay = delay;
    }

    /// From now on nobody hears hints, or again.
    pub fn lose_hints(&self, lost: bool) {
        self.state().hints_lost = lost;
    }

    /// Everything is well again.
    pub fn heal(&self, delay: Range<u64>) {
        let mut state = self.state();
        *state = State { random: state.random.clone(), delay, cut_off: false, unheard: 0, hints_lost: false };
    }

    /// On the way to the store, or back.
    async fn go(&self) -> Result<()> {
        let (delay, cut_off) = {
            let mut state = self.state();
            let delay = state.delay.clone();
            (Duration::from_micros(state.random.random_range(delay)), state.cut_off)
        };
        tokio::time::sleep(delay).await;
        if cut_off {
            self.trace.count("store refused");
            return Err(Error::Unavailable("the way to it is cut off".into()));
        }
        Ok(())
    }

    /// The same for who keeps nobody waiting: to be cut off may mean that no answer comes for long.
    async fn go_alone(&self) -> Result<()> {
        let gone = self.go().await;
        if gone.is_err() {
            let silence = {
                let random = &mut self.state().random;
                random.random_bool(0.5).then(|| Duration::from_millis(random.random_range(SILENCE)))
            };
            tokio::time::sleep(silence.unwrap_or_default()).await;
        }
        gone
    }

    fn takes_unheard(&self) -> bool {
        let mut state = self.state();
        let taken = state.unheard > 0;
        state.unheard = state.unheard.saturating_sub(1);
        taken
    }
}

/// A process's store: it goes a way.
pub(crate) struct FarStore(pub Arc<Way>);

struct FarTransaction {
    inner: Box<dyn Transaction>,
    way: Arc<Way>,
    saved: Vec<ChangeSet>,
}

#[async_trait]
impl Transaction for FarTransaction {
    async fn load(&mut self, want: &Want) -> Result<Rows> {
        self.way.go().await?;
        self.inner.load(want).await
    }

    async fn save(&mut self, changes: &ChangeSet, settings: &Settings) -> Result<()> {
        self.way.go().await?;
        self.inner.save(changes, settings).await?;
        self.saved.push(changes.clone());
        Ok(())
    }

    async fn commit(self: Box<Self>) -> Result<()> {
        let Self { inner, way, saved } = *self;
        if let Err(error) = way.go().await {
            inner.roll_back().await;
            return Err(error);
        }
        inner.commit().await?;
        way.trace.count("commits");
        way.trace.note(&way.name, &saved);
        for event in saved.iter().flat_map(|changes| &changes.events) {
            way.trace.event(event.task.to_string(), event.sequence);
        }
        if way.takes_unheard() {
            way.trace.count("commits unheard");
            return Err(Error::UnknownCommit("the way broke behind it".into()));
        }
        // The answer takes its time, too; what is cut off by then is not known to have happened.
        way.go().await.map_err(|_| {
            way.trace.count("commits unheard");
            Error::UnknownCommit("the way was cut off behind it".into())
        })
    }

    async fn roll_back(self: Box<Self>) {
        self.inner.roll_back().await;
    }
}

/// Methods that go the way and ask the store.
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
                self.0.go_alone().await?;
                let inner = self.0.store.begin().await?;
                Ok(Box::new(FarTransaction { inner, way: self.0.clone(), saved: Vec::new() }))
            }

            async fn close(&self) {}

            $(async fn $name(&self, $($arg: $type),*) -> Result<$answer> {
                self.0.go_alone().await?;
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
    fn due(now: Timestamp, after: Option<(Timestamp, TaskId)>, limit: usize) -> Due;
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

impl FarStore {
    fn near(&self) -> Result<&dyn Cluster> {
        self.0.store.cluster().ok_or_else(|| Error::Unusable("it is one process's own".into()))
    }
}

#[async_trait]
impl Cluster for FarStore {
    async fn register(&self, name: &str) -> Result<()> {
        self.0.go_alone().await?;
        self.near()?.register(name).await
    }

    async fn renew(&self, name: &str) -> Result<bool> {
        self.0.go_alone().await?;
        self.near()?.renew(name).await
    }

    async fn advertise(&self, name: &str, address: Option<&str>) -> Result<()> {
        self.0.go_alone().await?;
        self.near()?.advertise(name, address).await
    }

    async fn registrations(&self) -> Result<Vec<Registration>> {
        self.0.go_alone().await?;
        self.near()?.registrations().await
    }

    async fn declare_dead(&self, name: &str, beat: i64) -> Result<bool> {
        self.0.go_alone().await?;
        let dead = self.near()?.declare_dead(name, beat).await?;
        if dead {
            self.0.trace.count("replicas declared dead");
        }
        Ok(dead)
    }

    async fn resign(&self, name: &str) -> Result<()> {
        self.0.go_alone().await?;
        self.near()?.resign(name).await
    }

    async fn forget(&self, name: &str) -> Result<()> {
        self.0.go_alone().await?;
        self.near()?.forget(name).await
    }

    /// The store's machine has a clock that is right.
    async fn now(&self) -> Result<Option<Timestamp>> {
        self.0.go_alone().await?;
        Ok(Some(clock::right()))
    }

    async fn sessions_of(&self, agents: &[(NamespaceId, AgentId)]) -> Result<Vec<SessionNow>> {
        self.0.go_alone().await?;
        self.near()?.sessions_of(agents).await
    }

    async fn news(&self, after: Cursor) -> Result<News> {
        self.0.go_alone().await?;
        self.near()?.news(after).await
    }

    async fn ended_of(&self, tasks: &[TaskRef]) -> Result<Vec<TaskRef>> {
        self.0.go_alone().await?;
        self.near()?.ended_of(tasks).await
    }

    async fn stopping(&self, after: Option<StopPlace>, limit: usize) -> Result<StopPage> {
        self.0.go_alone().await?;
        self.near()?.stopping(after, limit).await
    }

    async fn tell(&self, hint: &Hint) -> Result<()> {
        self.0.go_alone().await?;
        if self.0.state().hints_lost {
            self.0.trace.count("hints lost");
            return Ok(());
        }
        self.near()?.tell(hint).await
    }

    async fn listen(&self) -> Result<mpsc::Receiver<Hint>> {
        self.0.go_alone().await?;
        self.near()?.listen().await
    }
}
