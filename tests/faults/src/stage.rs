//! What most faults happen to: servers on a store, under the load of `callboard-tests`, which the checker reads afterwards.

use crate::fault::{Plan, Store};
use crate::report::Report;
use callboard_test_postgres::{Cluster, Settings};
use callboard_tests::checker::{self, Observed};
use callboard_tests::http;
use callboard_tests::load::crew::Crew;
use callboard_tests::load::history::History;
use callboard_tests::load::{HEALING, Load, Size};
use callboard_tests::server::Server;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// Leases that a busy machine keeps, and time enough to come back.
pub const SETTINGS: &str = "--stream-lease 5s --reattach-grace 3s --restart-grace 10s --cancel-grace 5s --log warn";
/// How many servers there are on PostgreSQL.
pub const REPLICAS: usize = 3;
/// How long nothing at all may be acknowledged, once a fault is over.
const STANDSTILL: Duration = Duration::from_secs(60);
/// How soon a watch sees everything, also over a connection that broke without a word.
const WATCHED: Duration = Duration::from_secs(30);
/// By how much the times of replicas on a busy machine may be off.
const APART: Duration = Duration::from_secs(2);
/// How long everything may take to end when a bug keeps some of it from that: longer than any lease of the load.
const HEALING_IN_VAIN: Duration = Duration::from_secs(20);
/// What an agent is told whose session is over.
const SESSION_EXPIRED: &str = "SESSION_EXPIRED";
/// Between two looks at how much was acknowledged.
const LOOK: Duration = Duration::from_millis(20);

/// Servers, and the cluster that they are on.
#[derive(Debug)]
pub struct Servers {
    /// One on a file, or the replicas.
    pub servers: Vec<Server>,
    /// What the replicas are on.
    pub cluster: Option<Arc<Cluster>>,
}

impl Servers {
    /// Starts as many as the plan's store wants.
    pub async fn start(plan: &Plan, settings: &str) -> Self {
        let count = if plan.store == Store::Postgres { REPLICAS } else { 1 };
        Self::start_some(plan, settings, count).await
    }

    /// Starts so many; on a file there can be but one.
    pub async fn start_some(plan: &Plan, settings: &str, count: usize) -> Self {
        match plan.store {
            Store::Sqlite => Self { servers: serving(plan, settings, count, None).await, cluster: None },
            Store::Postgres => {
                let cluster = cluster().await;
                let url = cluster.database().await;
                Self { servers: serving(plan, settings, count, Some(&url)).await, cluster: Some(cluster) }
            }
            Store::Memory => panic!("what is in memory is simulated: it has no servers here"),
        }
    }

    /// Starts replicas on a database that stands elsewhere than in a cluster of their own: behind a proxy.
    pub async fn start_at(plan: &Plan, settings: &str, url: &str) -> Self {
        Self { servers: serving(plan, settings, REPLICAS, Some(url)).await, cluster: None }
    }

    /// Where they are.
    pub fn addresses(&self) -> Vec<String> {
        self.servers.iter().map(Server::address).collect()
    }

    /// What they and their database have logged, for whoever looks for a reason.
    pub fn logs(&self) -> String {
        let tell = |server: &Server| format!("--- log of {}\n{}", server.address(), server.logs());
        let of_cluster = self.cluster.as_ref().map(|cluster| format!("--- log of PostgreSQL\n{}", cluster.log()));
        self.servers.iter().map(tell).chain(of_cluster).collect()
    }
}

async fn serving(plan: &Plan, settings: &str, count: usize, url: Option<&str>) -> Vec<Server> {
    let mut servers = Vec::new();
    for _ in 0..count {
        let mut builder = Server::builder().args(settings);
        if let Some(url) = url {
            builder = builder.database(url);
        }
        if !plan.planted.is_empty() {
            builder = builder.env("CALLBOARD_PLANTED", &plan.planted);
        }
        servers.push(builder.start().await);
    }
    servers
}

/// A cluster of its own, as it is used: with fsync, and vacuumed. Nobody else is harmed by what happens to it.
pub async fn cluster() -> Arc<Cluster> {
    let start = || Arc::new(Cluster::start(Settings { fsync: true, autovacuum: true }));
    tokio::task::spawn_blocking(start).await.expect("PostgreSQL starts")
}

/// Servers under load.
#[derive(Debug)]
pub struct Stage {
    /// The servers.
    pub system: Servers,
    /// What is asked of them, and done by agents.
    pub load: Load,
    /// How soon behind the end of everything those who watch must have seen it.
    pub watched_within: Duration,
    /// How long everything may take to end behind the faults.
    healing: Duration,
    /// Acknowledged operations when the last round began.
    before: u64,
    /// Handlers that ran when a fault fired: task and attempt.
    running: BTreeSet<(String, i32)>,
}

/// What is left when the load is over.
#[derive(Debug)]
pub struct Healed {
    /// What happened.
    pub history: History,
    /// What the servers say of it.
    pub observed: Observed,
    /// The servers, which still run.
    pub system: Servers,
}

impl Stage {
    /// Starts servers and a load.
    pub async fn start(plan: &Plan, settings: &str, size: Size) -> Self {
        let system = Servers::start(plan, settings).await;
        Self::on(plan, system, size)
    }

    /// Starts a load on servers.
    pub fn on(plan: &Plan, system: Servers, size: Size) -> Self {
        let addresses = system.addresses();
        Self::led(plan, system, &addresses, size)
    }

    /// Starts a load that finds the servers elsewhere than where they are: behind a proxy.
    pub fn led(plan: &Plan, system: Servers, addresses: &[String], size: Size) -> Self {
        Self::led_apart(plan, system, addresses, addresses, size)
    }

    /// The same, with other addresses for the SDK's agents.
    pub fn led_apart(plan: &Plan, system: Servers, addresses: &[String], agents: &[String], size: Size) -> Self {
        let load = Load::start_apart(addresses, agents, plan.seed, size);
        let healing = if plan.in_vain { HEALING_IN_VAIN } else { HEALING };
        Self { system, load, watched_within: WATCHED, healing, before: 0, running: BTreeSet::new() }
    }

    /// Waits until so many more operations were acknowledged: what was broken last works again.
    pub async fn works(&mut self, operations: u64) {
        let wanted = self.before + operations;
        let arrives = async {
            while self.load.recorder.history().operations() < wanted {
                tokio::time::sleep(LOOK).await;
            }
        };
        let arrived = tokio::time::timeout(STANDSTILL, arrives).await;
        let count = self.load.recorder.history().operations();
        let done = count - self.before;
        assert!(arrived.is_ok(), "only {done} operations were acknowledged in {STANDSTILL:?} behind a fault");
        self.before = count;
    }

    /// A fault is about to fire: what runs now is to go on to its end.
    pub fn note_running(&mut self) {
        self.running.extend(self.load.running());
    }

    /// Heals, reads everything, and holds it to what was promised. Handlers of agents that lived keep their attempts.
    pub async fn check(self, report: &Report) {
        self.check_and(report, |_, _| {}).await;
    }

    /// The same with what the load doesn't know by itself: what agents outside of it did.
    pub async fn check_and(self, report: &Report, more: impl FnOnce(&mut History, &Observed)) {
        let running = self.running.clone();
        let Healed { mut history, observed, system } = self.heal(report).await;
        more(&mut history, &observed);
        judge(&history, &observed, &system.logs(), report);
        let ended = history.runs.iter().filter(|run| run.ended.is_some());
        let kept = ended.filter(|run| running.contains(&(run.task_id.clone(), run.attempt))).count();
        report.demand(kept == running.len(), || format!("{kept} of {} handlers went on to their end", running.len()));
        report.saw("attempts that went on across a fault", kept as u64);
    }

    /// The same of agents that were cut off, and may have lost their leases.
    pub async fn check_but_leases(self, report: &Report) {
        let Healed { mut history, observed, system } = self.heal(report).await;
        let before = history.surprises.len();
        // The fault explains it.
        history.surprises.retain(|surprise| !surprise.contains(SESSION_EXPIRED));
        report.saw("streams that ended with their session", (before - history.surprises.len()) as u64);
        compare(&history, &observed, &system.logs(), report);
        report.saw("attempts taken from agents that were cut off", checker::taken(&history, &observed).len() as u64);
    }

    /// The same with a crew of agents in processes of their own. Those of the crew that were harmed may lose attempts, and nobody
    /// else.
    pub async fn check_with(self, report: &Report, crew: &Crew, harmed: &BTreeSet<String>) {
        let Healed { mut history, observed, system } = self.heal(report).await;
        let runs = crew.diary().read();
        report.operations(runs.iter().filter(|run| run.ended.is_some()).count() as u64);
        history.runs.extend(runs);
        judge(&history, &observed, &(system.logs() + &crew.logs()), report);
        // Nobody ran an attempt that never came to its agent.
        let ran: BTreeSet<_> = history.runs.iter().map(|run| (run.task_id.as_str(), run.attempt)).collect();
        let mut lost = checker::losses(&observed);
        lost.retain(|event| ran.contains(&(event.task_id.as_str(), event.attempt)));
        report.saw("attempts that were lost, and made again", lost.len() as u64);
        if lost.is_empty() {
            report.void("no agent that was harmed had a task");
        }
        for event in lost.iter().filter(|event| !harmed.contains(&event.agent)) {
            report.broken(format!("an agent that was not harmed lost its attempt: {event:?}"));
        }
    }

    /// The same behind servers that ended in an orderly way, with a crew of agents in processes of their own. Nobody loses an attempt
    /// by that, whatever kind of agent it is, and every call is answered that may be made again at another server; one that may not is
    /// refused, or could not be made. None is broken off.
    pub async fn check_drained(self, report: &Report, crew: &Crew) {
        let (running, before) = (self.running.clone(), crew.diary());
        let more = |history: &mut History, observed: &Observed| {
            history.runs.extend(before.read());
            for (run, event) in checker::taken_from_anybody(history, observed) {
                report.broken(format!("an attempt was taken from an agent: {run:?}, {event:?}"));
            }
            for call in history.unanswered.iter().filter(|call| !call.is_explained_by_a_drain()) {
                report.broken(format!("a drain does not explain it: {call:?}"));
            }
            report.saw("calls that a server that drains refused", history.unanswered.len() as u64);
        };
        if running.is_empty() {
            report.void("no handler ran when a server was told to end");
        }
        self.check_and(report, more).await;
    }

    /// Stops asking, waits for the end of everything, reads it, and stops the agents. What has not ended in time the checker
    /// will find.
    pub async fn heal(mut self, report: &Report) -> Healed {
        let began = Instant::now();
        if let Err(waiting) = self.load.try_stop_asking().await {
            report.broken(waiting);
            report.violations(&[], self.system.logs());
        }
        report.most("milliseconds until all was answered", began.elapsed().as_millis() as u64);
        if let Err(left) = self.load.try_heal(self.healing).await {
            report.broken(left);
        }
        report.most("milliseconds until all had ended", began.elapsed().as_millis() as u64);
        let client = self.system.servers[0].client();
        let mut observed = Observed::read(&client).await.expect("everything can be read");
        if self.system.servers.len() > 1 {
            observed.apart = APART;
        }
        self.all_watched(&observed, report).await;
        self.are_told_of(report).await;
        let history = self.load.stop().await.history().clone();
        report.operations(history.operations());
        report.saw("tasks", observed.tasks.len() as u64);
        report.saw(
            "tasks that gave output",
            observed.tasks.values().filter(|seen| !seen.output.is_empty()).count() as u64,
        );
        report.saw("children that handlers were given", history.children.len() as u64);
        Healed { history, observed, system: self.system }
    }
}

impl Stage {
    /// What servers tell each other is never needed, and that nobody hears it shows in no promise: only in how soon each of them knows.
    async fn are_told_of(&self, report: &Report) {
        if self.system.servers.len() < 2 {
            return;
        }
        let mut heard = 0;
        for server in &self.system.servers {
            heard += http::metric(server, "callboard_hints_total{direction=\"heard\"}").await as u64;
        }
        report.saw("hints that were heard", heard);
        report.demand(heard > 0, || "no server heard of another's commits".to_owned());
    }

    /// Waits until those who watch have seen everything. What they have not in time the checker will find.
    async fn all_watched(&self, observed: &Observed, report: &Report) {
        let began = Instant::now();
        let seen = async {
            loop {
                let history = self.load.recorder.history().clone();
                if checker::is_all_watched(&history, observed) {
                    return;
                }
                tokio::time::sleep(LOOK * 5).await;
            }
        };
        let _ = tokio::time::timeout(self.watched_within, seen).await;
        report.most("milliseconds until all was watched", began.elapsed().as_millis() as u64);
    }
}

/// Holds what happened to what was promised.
fn judge(history: &History, observed: &Observed, logs: &str, report: &Report) {
    compare(history, observed, logs, report);
    let taken = checker::taken(history, observed);
    for (run, event) in &taken {
        report.broken(format!("an attempt was taken from an agent that lived: {run:?}, {event:?}"));
    }
    if !taken.is_empty() {
        report.violations(&[], logs.to_owned());
    }
}

fn compare(history: &History, observed: &Observed, logs: &str, report: &Report) {
    let violations = checker::check(history, observed);
    let story = if violations.is_empty() { String::new() } else { checker::story(history, observed, logs) };
    report.violations(&violations, story);
}
