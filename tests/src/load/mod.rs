//! A load on a server that may be killed at any moment: submitters, those who cancel and retry, and agents of three kinds.
//!
//! Everything that was asked, answered and done is kept in a [`history::History`], which the [`crate::checker`] compares with
//! what the server says afterwards.

mod answer;
pub mod chance;
mod claim;
pub mod crew;
mod frames;
pub mod history;
mod letters;
mod limits;
mod sdk;
mod steer;
mod submit;
mod watch;
pub mod work;
mod workflows;

use crate::wait::within;
use callboard::{AgentHandle, Client, Connector, v1};
use futures::StreamExt;
use history::Recorder;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use std::collections::BTreeMap;
use std::future::Future;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;
use tokio::task::{self, JoinSet};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

/// How long everything may take to end, once the faults are over.
pub const HEALING: Duration = Duration::from_secs(60);
/// How long it is waited for the last answers. No promise says how soon they come on a machine that does much else; one that never comes
/// is found as well.
const ANSWERING: Duration = Duration::from_secs(180);
/// How many calls that got no answer are told of.
const TOLD: usize = 5;
/// How long a call is tried, unless a load says otherwise; not long, because servers are away often here.
pub const CALL: Duration = Duration::from_secs(5);

/// The states of tasks that have not ended.
const LIVE: [v1::TaskState; 5] = [
    v1::TaskState::Waiting,
    v1::TaskState::Ready,
    v1::TaskState::Assigned,
    v1::TaskState::Running,
    v1::TaskState::Paused,
];

/// How much of everything.
#[derive(Clone, Copy, Debug)]
pub struct Size {
    /// Submitters.
    pub submitters: u64,
    /// Those who cancel and retry.
    pub steerers: u64,
    /// Agents of the SDK.
    pub agents: u64,
    /// Slots of each.
    pub slots: i32,
    /// Agents that claim by unary calls.
    pub claimers: u64,
    /// Agents that speak frames.
    pub speakers: u64,
    /// Agents that read letters, and write to each other.
    pub readers: u64,
    /// Those who write to them by calls.
    pub writers: u64,
    /// Attempts that a run of a task may have; 0 for the server's default.
    pub max_attempts: i32,
    /// Handlers of the SDK's agents create children, wait for them, and give output.
    pub families: bool,
    /// Dependencies have conditions. (A store that has one is no longer a version's that knows none.)
    pub conditions: bool,
    /// Workflows are asked for, grow, are held, released, cancelled and retried. A store that has had one closes the way back to a
    /// version before them, too.
    pub workflows: bool,
    /// Some tasks ask for what nobody has, and for less when nobody took them. (A version that knows no fallbacks would not move them.)
    pub fallbacks: bool,
    /// Agents have a resource, and some tasks take of it. (While a version that knows none shares the store, such tasks are refused. And
    /// nobody does them where agents are those of a [`crew`], which have none.)
    pub resources: bool,
    /// Some tasks have fairness keys. (A version that knows none would give them no turns.)
    pub turns: bool,
    /// Of a hundred tasks so many have limit keys, of which the namespace has limits. (While a version that knows none shares the store, such
    /// tasks are refused, and a store that has had one closes the way back.)
    pub limits: u32,
    /// The longest that a handler works, in milliseconds; more than 250.
    pub longest: u64,
    /// By how much those who ask are slower than 1 is.
    pub slowness: u64,
    /// Agents may be cut off for longer than their lease: that a session is over is no surprise then.
    pub cut_off: bool,
    /// How long a call is tried.
    pub call: Duration,
}

/// How a load reaches its servers.
#[derive(Clone, Debug)]
pub struct Reach {
    /// Of the servers; whoever comes begins with the next.
    pub addresses: Vec<String>,
    /// How connections are made, if not by TCP.
    pub connector: Option<Connector>,
    /// The SDK's agents have a thread each for their connection.
    pub own_threads: bool,
}

/// Which part of a load is at one place, when it is at several.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// All of it.
    Whole,
    /// Those who ask and write, and who read letters.
    Askers,
    /// Those who do tasks. Their names are numbered from here.
    Doers {
        /// The first number.
        first: u64,
    },
}

impl Default for Size {
    fn default() -> Self {
        Self {
            submitters: 6,
            steerers: 2,
            agents: 2,
            slots: 12,
            claimers: 3,
            speakers: 1,
            readers: 2,
            writers: 2,
            max_attempts: 0,
            families: true,
            conditions: true,
            workflows: true,
            fallbacks: true,
            resources: true,
            turns: true,
            limits: 30,
            longest: 1_500,
            slowness: 1,
            cut_off: false,
            call: CALL,
        }
    }
}

/// A load that runs.
#[derive(Debug)]
pub struct Load {
    /// What happened so far.
    pub recorder: Arc<Recorder>,
    /// One for each server to begin with; whoever comes takes the next.
    clients: Vec<Client>,
    workers: usize,
    size: Size,
    askers: JoinSet<()>,
    /// Those who have not ended yet.
    asking: BTreeMap<task::Id, String>,
    stop_asking: CancellationToken,
    doers: JoinSet<()>,
    stop_doing: CancellationToken,
    agents: Vec<AgentHandle>,
    give_up: CancellationToken,
}

/// What one that asks or claims has.
struct Worker {
    name: String,
    client: Client,
    recorder: Arc<Recorder>,
    random: StdRng,
    size: Size,
    stop: CancellationToken,
    give_up: CancellationToken,
}

impl Worker {
    /// Waits for a random number of milliseconds, as often as the load is slow, or until it is to stop.
    async fn pause(&mut self, millis: Range<u64>) {
        let pause = Duration::from_millis(self.random.random_range(millis) * self.size.slowness);
        tokio::select! { () = tokio::time::sleep(pause) => {}, () = self.stop.cancelled() => {} }
    }
}

impl Load {
    /// Starts it on a server. The same seed makes the same choices; what comes first is up to the machine.
    pub fn start(address: &str, seed: u64, size: Size) -> Self {
        Self::start_on(&[address.to_owned()], seed, size)
    }

    /// Starts it on several servers that share a database: each agent and each client begins with another one, and goes to the
    /// next when that is away.
    pub fn start_on(addresses: &[String], seed: u64, size: Size) -> Self {
        Self::start_apart(addresses, addresses, seed, size)
    }

    /// The same, with other addresses for the SDK's agents than for everybody else: so that either can be cut off.
    pub fn start_apart(addresses: &[String], agents: &[String], seed: u64, size: Size) -> Self {
        let to = |addresses: &[String]| Reach { addresses: addresses.to_vec(), connector: None, own_threads: true };
        let nobody = Size { agents: 0, ..size };
        let mut load = Self::start_part(&to(addresses), seed, nobody, Part::Whole, Arc::default());
        load.size = size;
        load.start_agents(&to(agents), 0);
        load
    }

    /// Starts a part of it. All parts have one recorder, and the same seed.
    pub fn start_part(reach: &Reach, seed: u64, size: Size, part: Part, recorder: Arc<Recorder>) -> Self {
        let mut load = Self {
            recorder,
            clients: (0..reach.addresses.len()).map(|place| reach.beginning_with(place).client(size.call)).collect(),
            workers: 0,
            size,
            askers: JoinSet::new(),
            asking: BTreeMap::new(),
            stop_asking: CancellationToken::new(),
            doers: JoinSet::new(),
            stop_doing: CancellationToken::new(),
            agents: Vec::new(),
            give_up: CancellationToken::new(),
        };
        match part {
            Part::Whole => {
                load.start_doers(reach, seed, 0);
                load.start_watchers(seed);
                load.start_askers(seed);
            }
            Part::Askers => load.start_askers(seed),
            Part::Doers { first } => load.start_doers(reach, seed, first),
        }
        load
    }

    /// Agents of the SDK.
    fn start_agents(&mut self, reach: &Reach, first: u64) {
        for index in 0..self.size.agents {
            let reach = reach.beginning_with(index as usize);
            let agent = sdk::start(&reach, format!("sdk-{}", first + index), &self.size, &self.recorder);
            self.agents.push(agent.expect("an agent of the SDK starts"));
        }
    }

    fn start_doers(&mut self, reach: &Reach, seed: u64, first: u64) {
        self.start_agents(reach, first);
        let size = self.size;
        for index in 0..size.speakers {
            let worker = self.worker(format!("frames-{}", first + index), seed, self.stop_doing.clone());
            self.doers.spawn(frames::speak(worker));
        }
        for index in 0..size.claimers {
            let worker = self.worker(format!("claims-{}", first + index), seed, self.stop_doing.clone());
            self.doers.spawn(claim::claim(worker));
        }
    }

    /// One at each server.
    fn start_watchers(&mut self, seed: u64) {
        for index in 0..self.clients.len() {
            let mut worker = self.worker(format!("watcher-{index}"), seed, self.stop_doing.clone());
            worker.client = self.clients[index].clone();
            self.doers.spawn(watch::watch(worker));
        }
    }

    fn start_askers(&mut self, seed: u64) {
        let size = self.size;
        let limited = (size.limits > 0).then(CancellationToken::new);
        for index in 0..size.readers {
            let worker = self.worker(letters::reader(index), seed, self.stop_doing.clone());
            self.doers.spawn(letters::read(worker, self.stop_asking.clone()));
        }
        for index in 0..size.writers {
            let worker = self.worker(format!("writer-{index}"), seed, self.stop_asking.clone());
            self.ask(worker, letters::write);
        }
        for index in 0..size.submitters {
            let worker = self.worker(format!("asker-{index}"), seed, self.stop_asking.clone());
            let limited = limited.clone();
            self.ask(worker, |worker| limits::submit_behind(limited, worker));
        }
        for index in 0..size.steerers {
            let worker = self.worker(format!("steerer-{index}"), seed, self.stop_asking.clone());
            self.ask(worker, steer::steer);
        }
        if let Some(limited) = limited {
            let worker = self.worker("limiter".to_owned(), seed, self.stop_asking.clone());
            self.ask(worker, |worker| limits::set(worker, limited));
        }
    }

    fn ask<A: Future<Output = ()> + Send + 'static>(&mut self, worker: Worker, asker: impl FnOnce(Worker) -> A) {
        let name = worker.name.clone();
        let started = self.askers.spawn(asker(worker));
        self.asking.insert(started.id(), name);
    }

    fn worker(&mut self, name: String, seed: u64, stop: CancellationToken) -> Worker {
        let client = self.clients[self.workers % self.clients.len()].clone();
        self.workers += 1;
        let own = name.bytes().fold(seed, |seed, byte| seed.wrapping_mul(1_000_003).wrapping_add(u64::from(byte)));
        Worker {
            name,
            client,
            recorder: self.recorder.clone(),
            random: StdRng::seed_from_u64(own),
            size: self.size,
            stop,
            give_up: self.give_up.clone(),
        }
    }

    /// The attempts that handlers of the SDK's agents run now.
    pub fn running(&self) -> Vec<(String, i32)> {
        let history = self.recorder.history();
        let running = history.runs.iter().filter(|run| run.ended.is_none() && run.agent.starts_with("sdk-"));
        running.map(|run| (run.task_id.clone(), run.attempt)).collect()
    }

    /// Nothing more is asked; what was asked is answered. Fails the test when the time is over.
    pub async fn stop_asking(&mut self) {
        self.try_stop_asking().await.unwrap_or_else(|left| panic!("{left}"));
    }

    /// Nothing more is asked; what was asked is answered.
    ///
    /// # Errors
    ///
    /// Says who still waits for an answer when the time is over, and what was not answered before.
    pub async fn try_stop_asking(&mut self) -> Result<(), String> {
        self.stop_asking.cancel();
        let (askers, asking) = (&mut self.askers, &mut self.asking);
        let all_end = async {
            while let Some(asker) = askers.join_next_with_id().await {
                let (id, ()) = asker.expect("an asker ends in an orderly way");
                asking.remove(&id);
            }
        };
        if timeout(ANSWERING, all_end).await.is_ok() {
            return Ok(());
        }
        let waiting: Vec<&String> = self.asking.values().collect();
        let history = self.recorder.history();
        let (count, latest) =
            (history.unanswered.len(), history.unanswered.iter().rev().take(TOLD).collect::<Vec<_>>());
        Err(format!(
            "{waiting:?} waited {ANSWERING:?} in vain for answers; {count} calls had none before, at last {latest:#?}"
        ))
    }

    /// Waits until every live task has ended and every letter is read. Fails the test when the time is over.
    pub async fn heal(&mut self) {
        self.try_heal(HEALING).await.unwrap_or_else(|left| panic!("{left}"));
    }

    /// Waits until every live task has ended and every letter is read, at most so long.
    ///
    /// # Errors
    ///
    /// Says what is left when the time is over.
    pub async fn try_heal(&mut self, limit: Duration) -> Result<(), String> {
        let until = tokio::time::Instant::now() + limit;
        loop {
            if self.size.workflows {
                // What keeps it from being done is told with the tasks that are left.
                drop(workflows::release_all(&self.clients[0]).await);
            }
            let live = live_tasks(&self.clients[0]).await;
            let letters = self.recorder.history().under_way();
            if live.as_ref().is_ok_and(Vec::is_empty) && letters == 0 {
                return Ok(());
            }
            if tokio::time::Instant::now() >= until {
                let live =
                    live.map_err(|error| format!("live tasks can't be listed {limit:?} after the faults: {error}"))?;
                let told: Vec<_> = live.iter().take(20).map(describe).collect();
                let count = live.len();
                return Err(format!(
                    "{count} tasks and {letters} letters are left {limit:?} after the faults: {told:#?}"
                ));
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    /// Stops the agents.
    pub async fn stop(mut self) -> Arc<Recorder> {
        self.give_up.cancel();
        self.stop_doing.cancel();
        for agent in self.agents {
            agent.drain();
            let ended = within(HEALING, "an agent to drain", agent.join()).await;
            ended.expect("an agent ends in an orderly way");
        }
        within(HEALING, "claimers to end", async {
            while let Some(doer) = self.doers.join_next().await {
                doer.expect("a claimer ends in an orderly way");
            }
        })
        .await;
        self.recorder
    }
}

impl Reach {
    /// The same, beginning with another server.
    fn beginning_with(&self, place: usize) -> Self {
        let mut addresses = self.addresses.clone();
        let count = addresses.len();
        addresses.rotate_left(place % count);
        Self { addresses, ..self.clone() }
    }

    /// A client that begins with the first server, and tries a call for so long.
    pub fn client(&self, call: Duration) -> Client {
        let client = Client::builder().address(self.addresses.join(",")).namespace("default").timeout(call);
        let client = match &self.connector {
            Some(connector) => client.connector(connector.clone()),
            None => client,
        };
        client.build().expect("a client")
    }
}

async fn live_tasks(client: &Client) -> callboard::Result<Vec<v1::Task>> {
    let states = LIVE.map(i32::from).into();
    let tasks = client.list(v1::ListTasksRequest { states, page_size: 1_000, ..Default::default() });
    let mut tasks = std::pin::pin!(tasks);
    let mut live = Vec::new();
    while let Some(task) = tasks.next().await {
        live.push(task?);
    }
    Ok(live)
}

fn describe(task: &v1::Task) -> String {
    let spec = task.spec.clone().unwrap_or_default();
    let why: Vec<_> = task.waiting_for().map(|reason| reason.as_str_name()).collect();
    format!(
        "{} {} {} {why:?} unmet {} attempt {} agent {:?}",
        task.id,
        spec.r#type,
        task.state().as_str_name(),
        task.unmet_dependencies,
        task.attempt,
        task.agent
    )
}
