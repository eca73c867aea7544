//! What the engine's parts share.

use crate::claims::Claims;
use crate::clock::Clock;
use crate::config::Config;
use crate::hints::Outbox;
use crate::hydrate::Wanted;
use crate::mail::Mail;
use crate::metrics::Metrics;
use crate::names::Names;
use crate::passed_over::PassedOver;
use crate::push::Leave;
use crate::queue::Queue;
use crate::sessions::Sessions;
use crate::steady::SteadyClock;
use crate::waiters::Waiters;
use crate::watch::Signals;
use crate::workflows::WorkflowWaiters;
use callboard_core::model::{AgentId, Failure, LaneId, NamespaceId, Payload, Span, Task, Timestamp};
use callboard_core::working_set::LaneRef;
use callboard_store::Store;
use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError, RwLock};
use std::time::Duration;
use tokio::sync::{Notify, Semaphore, mpsc, watch};

/// A store that takes longer for one thing was away: nobody waits so long for a healthy one.
const SLOW: Span = Span::seconds(1);

/// How many lanes may wait for a preferred agent's head start; the sweep finds the others.
const LOOK_AGAIN: usize = 10_000;

/// How a task ended, for those who waited.
#[derive(Clone, Debug)]
pub struct Ended {
    /// The task as it ended.
    pub task: Arc<Task>,
    /// Its result.
    pub result: Option<Arc<Payload>>,
    /// Its failure.
    pub failure: Option<Arc<Failure>>,
}

/// The sending ends of what the engine's parts tell each other.
pub(crate) struct Channels {
    pub queue: Queue,
    pub hydrate: mpsc::Sender<Wanted>,
    pub failed: watch::Sender<Option<String>>,
}

/// What the engine's parts share.
pub(crate) struct Shared {
    pub store: Arc<dyn Store>,
    pub clock: SteadyClock,
    pub config: Config,
    pub queue: Queue,
    pub sessions: Sessions,
    pub waiters: Waiters,
    pub workflow_waiters: WorkflowWaiters,
    pub claims: Claims,
    pub mail: Mail,
    pub signals: Signals,
    pub names: Names,
    pub metrics: Arc<Metrics>,
    /// A place for each attached stream.
    pub places: Arc<Semaphore>,
    /// What others are to be told.
    pub outbox: Outbox,
    /// Lanes to be looked at again, since others had their tasks.
    pub passed_over: PassedOver,
    /// By which name this replica has sessions.
    registration: RwLock<Arc<str>>,
    hydrate: mpsc::Sender<Wanted>,
    look_again: Mutex<BTreeSet<(Span, LaneRef)>>,
    /// There were sessions when we started.
    expects: AtomicBool,
    grace_until: AtomicI64,
    all_current: AtomicBool,
    sweep_at: AtomicI64,
    /// When the last sweep that did all of its work ended.
    swept_at: AtomicI64,
    sooner: Notify,
    draining: AtomicBool,
    /// Who tells others where this server is takes it back then.
    pub draining_begins: Notify,
    /// Until when agents are to have left; none: they may stay.
    leave_by: OnceLock<Timestamp>,
    /// Where the other replicas are.
    elsewhere: RwLock<Vec<Arc<str>>>,
    failure: watch::Sender<Option<String>>,
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shared").field("config", &self.config).finish_non_exhaustive()
    }
}

impl Shared {
    /// Nothing is expected, waited for or attached yet.
    pub fn new(
        store: Arc<dyn Store>,
        config: Config,
        clock: Arc<dyn Clock>,
        channels: Channels,
        metrics: Arc<Metrics>,
    ) -> Self {
        let Channels { queue, hydrate, failed: failure } = channels;
        Self {
            metrics,
            swept_at: AtomicI64::new(clock.elapsed().0),
            queue,
            sessions: Sessions::new(Span::from_std(config.restart_grace)),
            waiters: Waiters::new(config.waiters),
            workflow_waiters: WorkflowWaiters::default(),
            claims: Claims::new(config.waiters),
            mail: Mail::new(config.waiters),
            signals: Signals::default(),
            names: Names::default(),
            places: Arc::new(Semaphore::new(config.attached)),
            outbox: Outbox::default(),
            passed_over: PassedOver::default(),
            registration: RwLock::new(config.replica.as_str().into()),
            hydrate,
            look_again: Mutex::default(),
            expects: AtomicBool::new(false),
            grace_until: AtomicI64::new(0),
            all_current: AtomicBool::new(true),
            sweep_at: AtomicI64::new(i64::MAX),
            sooner: Notify::new(),
            draining: AtomicBool::new(false),
            draining_begins: Notify::new(),
            leave_by: OnceLock::new(),
            elsewhere: RwLock::default(),
            failure,
            store,
            clock: SteadyClock::new(clock),
            config,
        }
    }

    /// By which name this replica has sessions.
    pub fn registration(&self) -> Arc<str> {
        self.registration.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// From now on by this one.
    pub fn set_registration(&self, name: Arc<str>) {
        *self.registration.write().unwrap_or_else(PoisonError::into_inner) = name;
    }

    /// There are sessions whose agents may come back.
    pub fn expect_sessions(&self) {
        self.expects.store(true, Ordering::Relaxed);
    }

    /// Whether there are.
    pub fn expects_sessions(&self) -> bool {
        self.expects.load(Ordering::Relaxed)
    }

    /// Nothing new is to be begun.
    pub fn begin_draining(&self) {
        self.draining.store(true, Ordering::Relaxed);
        self.draining_begins.notify_one();
    }

    /// Whether every replica that shares the store knows what this version knows.
    pub fn all_current(&self) -> bool {
        self.all_current.load(Ordering::Relaxed)
    }

    /// What is known of that.
    pub fn set_all_current(&self, all: bool) {
        self.all_current.store(all, Ordering::Relaxed);
    }

    /// Until when nobody's silence counts.
    pub fn grace_until(&self) -> Timestamp {
        Timestamp(self.grace_until.load(Ordering::Relaxed))
    }

    /// Nobody's silence counts for so long from now.
    pub fn extend_grace(&self, span: Span) {
        self.grace_until.fetch_max((self.clock.now() + span).0, Ordering::Relaxed);
    }

    /// The store took so long to begin or to save something. If that was too long it was as good as away.
    pub fn store_took(&self, took: Span) {
        if took > SLOW {
            self.store_was_away();
        }
    }

    /// Nobody could attach meanwhile, and what agents said, acceptances among it, could not be committed: none of that time is theirs.
    /// They say it again in a while, at most some seconds.
    pub fn store_was_away(&self) {
        self.extend_grace(self.config.rules.accept_within);
        self.sessions.forgive(self.clock.elapsed());
    }

    /// A task is due at this time: sweep then, if not before.
    pub fn wake_by(&self, at: Timestamp) {
        let wait = at.0.saturating_sub(self.clock.now().0).max(0);
        self.sweep_by(Span(self.clock.elapsed().0.saturating_add(wait)));
    }

    fn sweep_by(&self, at: Span) {
        if at.0 < self.sweep_at.fetch_min(at.0, Ordering::Relaxed) {
            self.sooner.notify_one();
        }
    }

    /// How long until the next sweep.
    pub fn plan_sweep(&self) -> Duration {
        let now = self.clock.elapsed().0;
        let latest = now + Span::from_std(self.config.sweep).0;
        // What was asked for while the last sweep ran still counts; but never without a pause.
        let asked = self.sweep_at.fetch_min(latest, Ordering::Relaxed);
        Span(asked.clamp(now + 2_000, latest) - now).to_std()
    }

    /// A sweep begins: what was asked for until now is served by it.
    pub fn begin_sweep(&self) {
        self.sweep_at.store(i64::MAX, Ordering::Relaxed);
    }

    /// A sweep did all of its work.
    pub fn swept(&self) {
        self.swept_at.store(self.clock.elapsed().0, Ordering::Relaxed);
    }

    /// How long ago that was.
    pub fn sweep_age(&self) -> Span {
        Span((self.clock.elapsed().0 - self.swept_at.load(Ordering::Relaxed)).max(0))
    }

    /// Whether the store can't be trusted any more.
    pub fn has_failed(&self) -> bool {
        self.failure.borrow().is_some()
    }

    /// Ends when a sweep is wanted earlier than planned.
    pub async fn sweep_sooner(&self) {
        loop {
            self.sooner.notified().await;
            let wait = self.sweep_at.load(Ordering::Relaxed) - self.clock.elapsed().0;
            if wait <= 0 {
                return;
            }
            tokio::select! {
                () = tokio::time::sleep(Span(wait).to_std()) => return,
                () = self.sooner.notified() => self.sooner.notify_one(),
            }
        }
    }

    /// Look at a lane again in a while: sweep then, if not before.
    pub fn look_again(&self, lane: LaneRef, after: Span) {
        let at = Span(self.clock.elapsed().0.saturating_add(after.0.max(0)));
        let mut lanes = self.look_again.lock().unwrap_or_else(PoisonError::into_inner);
        if lanes.len() < LOOK_AGAIN {
            lanes.insert((at, lane));
            drop(lanes);
            self.sweep_by(at);
        }
    }

    /// The lanes whose time has come. For the others it is swept again when theirs has.
    pub fn lanes_to_look_at(&self, now: Span) -> Vec<LaneRef> {
        let mut lanes = self.look_again.lock().unwrap_or_else(PoisonError::into_inner);
        let later = lanes.split_off(&(Span(now.0 + 1), (NamespaceId(i64::MIN), LaneId(i64::MIN))));
        if let Some((at, _)) = later.first() {
            self.sweep_by(*at);
        }
        std::mem::replace(&mut *lanes, later).into_iter().map(|(_, lane)| lane).collect()
    }

    /// Reads what an assignment needs, and pushes it then.
    pub fn hydrate(&self, wanted: Wanted) {
        if self.hydrate.try_send(wanted).is_err() {
            tracing::warn!("too many assignments wait for their inputs; one is left to its time for acceptance");
        }
    }

    /// Agents are to leave, those as well whose attaching is not committed yet.
    pub fn send_away(&self, deadline: Timestamp) {
        let _ = self.leave_by.set(deadline);
        self.begin_draining();
    }

    /// What an agent is told once all are to leave; none before.
    pub fn leave(&self, agent: AgentId) -> Option<Leave> {
        let by = self.leave_by.get().copied()?;
        let mut to = self.elsewhere.read().unwrap_or_else(PoisonError::into_inner).clone();
        if !to.is_empty() {
            // Each takes the first: not all the same one.
            let first = agent.0.as_u128() % to.len() as u128;
            to.rotate_left(first as usize);
        }
        Some(Leave { by, to })
    }

    /// Where the other replicas are from now on.
    pub fn set_elsewhere(&self, addresses: Vec<Arc<str>>) {
        *self.elsewhere.write().unwrap_or_else(PoisonError::into_inner) = addresses;
    }

    /// Whether nothing new is to be begun.
    pub fn is_draining(&self) -> bool {
        self.draining.load(Ordering::Relaxed)
    }

    /// The store can't be trusted any more: the process is to end.
    pub fn fail(&self, error: &callboard_store::Error) {
        tracing::error!(%error, "the store can't be trusted any more; the server stops");
        self.failure.send_replace(Some(error.to_string()));
    }
}
