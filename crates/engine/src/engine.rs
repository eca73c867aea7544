//! The engine as the server sees it.

use crate::clock::Clock;
use crate::cluster::Member;
use crate::committer::Committer;
use crate::config::Config;
use crate::error::{Error, Result};
use crate::explain::{self, Explained};
use crate::hints;
use crate::hydrate::{self, Wanted};
use crate::mail::{self, FetchRequest};
use crate::metrics::{Metrics, Observer};
use crate::order::Order;
use crate::passed_over;
use crate::push::{Assignment, Push};
use crate::queue::{Item, Queue, Sink};
use crate::retention::Retention;
use crate::sessions::Named;
use crate::shared::{Channels, Ended, Shared};
use crate::stream::{AttachRequest, Stream};
use crate::sweep::Sweep;
use crate::watch::Watch;
use callboard_core::command::{Command, Envelope, Fence, Reply, Report, Reporter, RequestToken};
use callboard_core::model::id::DEFAULT_NAMESPACE;
use callboard_core::model::{
    AgentProfile, Link, Message, NamespaceId, NamespaceSettings, Span, TaskId, Timestamp, Workflow,
};
use callboard_core::working_set::{MailboxRef, TaskRef, WorkflowRef};
use callboard_core::{Entropy, Want, WorkingSet};
use callboard_store::{EventScope, Store};
use std::collections::BTreeSet;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;
use tokio::runtime::{Handle, RuntimeFlavor};
use tokio::sync::{mpsc, oneshot, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// How often a workflow is looked at again by who waits for it.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// How many assignments may wait to be read; more are given out again when they are not accepted in time.
const HYDRATE: usize = 4_096;
/// How many of them are read at the same time.
const HYDRATORS: usize = 2;

/// Who claims what.
#[derive(Clone, Debug)]
pub struct ClaimRequest {
    /// The namespace, by name.
    pub namespace: Arc<str>,
    /// Who asks.
    pub principal: Arc<str>,
    /// What makes a repetition safe.
    pub request: Option<RequestToken>,
    /// The agent's name.
    pub name: Arc<str>,
    /// What it says of itself.
    pub profile: Arc<AgentProfile>,
    /// At most this many.
    pub max: usize,
    /// For how long.
    pub lease: Span,
    /// How long to wait when there is none.
    pub wait: Duration,
}

/// What was claimed.
pub type Claimed = Vec<Assignment>;

/// The engine. Clones share it.
#[derive(Clone, Debug)]
pub struct Engine {
    pub(crate) shared: Arc<Shared>,
    pub(crate) tasks: TaskTracker,
    /// Stops the sweep and the hydrators.
    stop: CancellationToken,
    /// Stops the committer, when all others are done.
    stop_committing: CancellationToken,
    failure: watch::Receiver<Option<String>>,
}

impl Engine {
    /// Starts on a store. Sessions that the store has get the restart's grace from [`Engine::listening`].
    pub async fn start(
        store: Arc<dyn Store>,
        config: Config,
        clock: Arc<dyn Clock>,
        mut entropy: Box<dyn Entropy>,
    ) -> Result<Self> {
        let metrics = Arc::new(Metrics::new());
        let (queue, messages) = Queue::new(config.queue, metrics.overloaded.clone());
        let (hydrate, wanted) = mpsc::channel(HYDRATE);
        let (failed, failure) = watch::channel(None);
        let shared = Arc::new(Shared::new(store, config, clock, Channels { queue, hydrate, failed }, metrics.clone()));
        shared.names.refresh(&*shared.store).await?;
        let mail_from = shared.store.end_of_mail().await?;
        let member = match shared.store.cluster() {
            Some(_) => Some(Member::register(shared.clone(), own_name(&shared.config.replica, &mut *entropy)).await?),
            None => None,
        };
        // Behind the time of the store, which a member has taken.
        if let Some(latest) = shared.store.latest_event_at().await? {
            shared.clock.begin_behind(latest);
        }
        let engine = Self {
            shared: shared.clone(),
            tasks: TaskTracker::new(),
            stop: CancellationToken::new(),
            stop_committing: CancellationToken::new(),
            failure,
        };
        let committer = Committer {
            shared: shared.clone(),
            messages,
            entropy,
            ws: WorkingSet::default(),
            board: Default::default(),
            lanes: BTreeSet::new(),
            heard: BTreeSet::new(),
            observer: Observer::new(metrics),
            stop: engine.stop_committing.clone(),
            careful: 0,
            open: None,
            flight: None,
            failed: None,
            replica: shared.registration(),
            asked: Want::default(),
            order: Order::default(),
        };
        if let Some(member) = member {
            engine.tasks.spawn(member.run(engine.stop_committing.clone()));
            engine.tasks.spawn(hints::tell(shared.clone(), engine.stop_committing.clone()));
            engine.tasks.spawn(hints::hear(shared.clone(), engine.stop.clone()));
            engine.tasks.spawn(passed_over::look_again(shared.clone(), engine.stop.clone()));
        }
        engine.spawn_committer(committer)?;
        engine.spawn_hydrators(wanted);
        engine.tasks.spawn(mail::deliver(shared.clone(), engine.stop.clone()));
        engine.expect_sessions().await?;
        engine.listening();
        engine.ensure_default_namespace().await?;
        engine.tasks.spawn(Retention::new(shared.clone(), engine.stop.clone()).run());
        engine.tasks.spawn(Sweep::new(shared, mail_from).run(engine.stop.clone()));
        Ok(engine)
    }

    /// On a thread of its own: it goes back and forth with the store's thread, statement by statement, and would wait each time
    /// until a worker of the runtime has done what else it has.
    fn spawn_committer(&self, committer: Committer) -> Result<()> {
        let runtime = Handle::current();
        if runtime.runtime_flavor() == RuntimeFlavor::CurrentThread {
            self.tasks.spawn(committer.run());
            return Ok(());
        }
        let tracked = self.tasks.token();
        let run = move || {
            runtime.block_on(committer.run());
            drop(tracked);
        };
        let spawned = std::thread::Builder::new().name("committer".into()).spawn(run);
        spawned.map(drop).map_err(|error| Error::Internal(format!("no thread for the committer: {error}")))
    }

    fn spawn_hydrators(&self, wanted: mpsc::Receiver<Wanted>) {
        // One reader at a time takes from the channel; the store is read beside each other.
        let wanted = Arc::new(tokio::sync::Mutex::new(wanted));
        for _ in 0..HYDRATORS {
            let (shared, wanted, stop) = (self.shared.clone(), wanted.clone(), self.stop.clone());
            self.tasks.spawn(async move {
                loop {
                    let next = async { wanted.lock().await.recv().await };
                    let next = tokio::select! { () = stop.cancelled() => return, next = next => next };
                    let Some(next) = next else { return };
                    hydrate::push(&shared, next).await;
                }
            });
        }
    }

    /// Sessions that were attached when the last process ended have time to come back. Where several replicas share the store,
    /// they are those of a registration that is dead, or soon will be.
    async fn expect_sessions(&self) -> Result<()> {
        if self.shared.store.cluster().is_some() {
            return Ok(());
        }
        let now = self.shared.clock.elapsed();
        let grace = Span::from_std(self.shared.config.restart_grace);
        let mut after = None;
        loop {
            let agents = self.shared.store.live_sessions(after, 1_000).await?;
            for agent in &agents {
                self.shared.expect_sessions();
                let Some(namespace) = self.shared.names.name(agent.namespace) else { continue };
                let Some(session) = &agent.session else { continue };
                if matches!(session.link, Link::Claims { .. }) {
                    continue;
                }
                let named = Named { namespace: namespace.clone(), agent: agent.id, epoch: agent.epoch };
                self.shared.sessions.expect(named, now, grace);
                let command = Command::BreakSession { agent: agent.id, epoch: agent.epoch };
                self.shared.queue.send(Item::system(namespace, command)).await?;
            }
            match agents.last() {
                Some(last) if agents.len() == 1_000 => after = Some(last.id),
                _ => return Ok(()),
            }
        }
    }

    async fn ensure_default_namespace(&self) -> Result<()> {
        if self.shared.names.id(&*self.shared.store, DEFAULT_NAMESPACE).await.is_ok() {
            return Ok(());
        }
        let command = Command::CreateNamespace { settings: NamespaceSettings::default() };
        let namespace: Arc<str> = DEFAULT_NAMESPACE.into();
        let envelope =
            Envelope { namespace, principal: callboard_core::model::id::SYSTEM.into(), request: None, command };
        match self.submit(envelope).await {
            // Another replica was faster.
            Err(Error::Rejected(_)) | Ok(_) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// From now on agents can reach us: their time to come back begins, if there are any that could.
    pub fn listening(&self) {
        if self.shared.expects_sessions() {
            self.shared.extend_grace(Span::from_std(self.shared.config.restart_grace));
        }
        self.shared.sessions.forgive(self.shared.clock.elapsed());
    }

    /// Decides a command; the answer comes after its commit.
    pub async fn submit(&self, envelope: Envelope) -> Result<Reply> {
        self.refuse_when_draining()?;
        self.shared.queue.ask(envelope).await
    }

    /// Creates a task, and gives what tells of its end. When that is closed, nobody will tell: the task has ended, or the
    /// answer is a remembered one; then wait for it as for any other.
    pub async fn run(&self, envelope: Envelope) -> Result<(Reply, oneshot::Receiver<Arc<Ended>>)> {
        self.refuse_when_draining()?;
        let (reply, answer) = oneshot::channel();
        let (ended, end) = oneshot::channel();
        let namespace = envelope.namespace.clone();
        self.shared.queue.offer(Item { envelope, sink: Sink::Runner { reply, ended, namespace } })?;
        let reply = answer.await.map_err(|_| Error::Unknown("the server stopped before it could answer".into()))??;
        Ok((reply, end))
    }

    /// What tells of a task's end. Register before you read whether it has ended already.
    pub fn wait(&self, task: TaskRef) -> Result<oneshot::Receiver<Arc<Ended>>> {
        self.shared.waiters.wait(task)
    }

    /// A workflow, when it has ended or the time is over; none, if there is none.
    pub async fn wait_workflow(&self, workflow: WorkflowRef, wait: Duration) -> Result<Option<Workflow>> {
        let until = tokio::time::Instant::now() + wait;
        loop {
            let told = self.shared.workflow_waiters.of(workflow.1);
            let mut end = std::pin::pin!(told.notified());
            end.as_mut().enable();
            let found = self.shared.store.workflow(workflow).await?;
            let goes_on = found.as_ref().is_some_and(|found| found.ended_at.is_none());
            if !goes_on || tokio::time::Instant::now() >= until {
                return Ok(found);
            }
            // Another replica may bring its end about, and tells nobody.
            let again = until.min(tokio::time::Instant::now() + LOOK_AGAIN);
            tokio::select! {
                () = end => {}
                () = tokio::time::sleep_until(again) => {}
            }
        }
    }

    /// Says who could have a task now, and why not; none, if there is no such task.
    pub async fn explain(&self, task: TaskRef) -> Result<Option<Explained>> {
        explain::of(&self.shared, task).await
    }

    /// Attaches an agent's stream.
    pub async fn attach(&self, request: AttachRequest) -> Result<(Stream, mpsc::Receiver<Push>)> {
        self.refuse_when_draining()?;
        Stream::attach(self.shared.clone(), request).await
    }

    /// Claims tasks, waiting for one if there is none; at most until `give_up` ends.
    pub async fn claim(&self, request: ClaimRequest, give_up: impl Future<Output = ()>) -> Result<Claimed> {
        let mut give_up = std::pin::pin!(give_up);
        let namespace = self.namespace(&request.namespace).await?;
        let place = match request.wait.is_zero() {
            true => None,
            false => Some(self.shared.claims.wait(namespace, request.name.clone(), request.profile.clone())?),
        };
        let until = tokio::time::Instant::now() + request.wait;
        loop {
            let command = Command::Claim {
                name: request.name.clone(),
                profile: request.profile.clone(),
                max: request.max,
                lease: request.lease,
            };
            let envelope = Envelope {
                namespace: request.namespace.clone(),
                principal: request.principal.clone(),
                request: request.request.clone(),
                command,
            };
            let Reply::Claimed(fences) = self.submit(envelope).await? else {
                return Err(Error::Internal("a claim was answered with something else".into()));
            };
            let Some(place) = place.as_ref().filter(|_| fences.is_empty()) else {
                let (claimed, left) = hydrate::claimed(&self.shared, namespace, fences).await?;
                self.hand_back(&request, left).await?;
                return Ok(claimed);
            };
            tokio::select! {
                () = place.woken() => {}
                () = tokio::time::sleep_until(until) => return Ok(Vec::new()),
                () = &mut give_up => return Ok(Vec::new()),
            }
        }
    }

    /// The messages of a mailbox, waiting for one if there is none; at most until `give_up` ends.
    pub async fn fetch_messages(
        &self,
        mailbox: MailboxRef,
        request: FetchRequest,
        give_up: impl Future<Output = ()>,
    ) -> Result<Vec<Arc<Message>>> {
        mail::fetch(&self.shared, mailbox, request, give_up).await
    }

    /// Gives back what was claimed and has no room in the answer.
    async fn hand_back(&self, request: &ClaimRequest, leases: Vec<Fence>) -> Result<()> {
        for fence in leases {
            let report = Report::Rejected { reason: "the answer to the claim had no room for it".into() };
            let command = Command::Report { fence, reporter: Reporter::Token, report };
            let (namespace, principal) = (request.namespace.clone(), request.principal.clone());
            self.submit(Envelope { namespace, principal, request: None, command }).await?;
        }
        Ok(())
    }

    /// The id of a namespace.
    pub async fn namespace(&self, name: &str) -> Result<NamespaceId> {
        self.shared.names.id(&*self.shared.store, name).await
    }

    /// The settings of a namespace.
    pub async fn settings(&self, name: &str) -> Result<NamespaceSettings> {
        self.shared.names.settings(&*self.shared.store, name).await
    }

    /// The store, for reads.
    pub fn store(&self) -> &dyn Store {
        &*self.shared.store
    }

    /// The time.
    pub fn now(&self) -> Timestamp {
        self.shared.clock.now()
    }

    /// The settings.
    pub fn config(&self) -> &Config {
        &self.shared.config
    }

    /// Says when there are new events in a scope.
    pub fn watch(&self, scope: EventScope) -> Watch {
        self.shared.signals.watch(scope)
    }

    /// Says when there is new output of a task, or anything else happens to it.
    pub fn watch_output(&self, task: TaskId) -> Watch {
        self.shared.signals.watch_output(task)
    }

    /// Ends with a text when the store can't be trusted any more: then the process is to end, too.
    pub async fn failed(&self) -> String {
        let mut failure = self.failure.clone();
        match failure.wait_for(Option::is_some).await {
            Ok(text) => text.clone().unwrap_or_default(),
            Err(_) => std::future::pending().await,
        }
    }

    /// Begins nothing new, and tells agents to go elsewhere until `deadline`.
    pub fn drain(&self, deadline: Timestamp) {
        self.shared.send_away(deadline);
        let now = self.shared.clock.elapsed();
        for (session, _) in self.shared.sessions.open_streams() {
            if let Some(leave) = self.shared.leave(session.agent) {
                self.shared.sessions.push(session.agent, Some(session.epoch), Push::Drain(leave), now);
            }
        }
    }

    /// Whether no stream is open.
    pub fn is_empty(&self) -> bool {
        self.shared.sessions.open_streams().is_empty()
    }

    /// Cuts the streams that are left, commits what was taken in, and closes the store. Sessions stay in the store: their agents
    /// have the restart's grace to come back.
    pub async fn stop(&self) {
        self.shared.begin_draining();
        self.shared.sessions.cut_all();
        self.stop.cancel();
        self.stop_committing.cancel();
        self.tasks.close();
        self.tasks.wait().await;
        self.shared.store.close().await;
    }

    fn refuse_when_draining(&self) -> Result<()> {
        if self.shared.is_draining() { Err(Error::Draining) } else { Ok(()) }
    }
}

/// What this process is registered as: nobody had it before.
fn own_name(replica: &str, entropy: &mut dyn Entropy) -> String {
    format!("{replica}-{:016x}", entropy.bits() >> 64)
}
