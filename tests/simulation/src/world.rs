//! The simulation: machines, what changes among them, and what is held against them afterwards.

use crate::hosts::{Outside, Replica};
use crate::net;
use crate::plan::{AGENTS, Change, Host, Plan};
use crate::report::{Outcome, Report};
use crate::store::Way;
use crate::trace::{Trace, Watcher};
use callboard::v1::{DependencyCondition, EventType};
use callboard_core::planted::{Bug, Planted};
use callboard_store::memory::MemoryStore;
use callboard_tests::checker::{self, Observed};
use callboard_tests::load::history::Recorder;
use std::collections::{BTreeMap, VecDeque};
use std::fs::File;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, UNIX_EPOCH};
use tokio_util::sync::CancellationToken;
use turmoil::Sim;

/// Time goes on in such steps.
const TICK: Duration = Duration::from_millis(5);
/// A simulation that takes longer than this hangs: faults, answers to everything, healing.
const LONGEST: Duration = Duration::from_secs(200);
/// With less than this acknowledged a run does not count.
const ENOUGH: u64 = 20;
/// What shows that a fault fired.
const SIGNS: [&str; 10] = [
    "messages dropped",
    "messages held",
    "store refused",
    "commits unheard",
    "hints lost",
    "Kill",
    "PowerCut",
    "Drain",
    "Jump",
    "Latency",
];

/// What is asked of a simulation beside its seed.
#[derive(Debug, Default)]
pub struct Options {
    /// A guard that is taken out.
    pub planted: Option<Bug>,
    /// Where the trace goes, line by line.
    pub trace: Option<File>,
}

/// Runs a seed. Once a process.
pub fn run(seed: u64, options: Options) -> Report {
    let trace = Trace::to(options.trace);
    tracing::subscriber::set_global_default(Watcher::of(&trace)).expect("a process runs one seed");
    let panicked = trace.clone();
    std::panic::set_hook(Box::new(move |info| panicked.panicked(info.to_string())));
    let planted = options.planted.map_or_else(Planted::default, |bug| Planted::default().with(bug));
    let mut world = World::build(Plan::of(seed), &trace, planted);
    let failure = world.run().err().map(|error| error.to_string());
    world.report(failure)
}

struct World {
    plan: Plan,
    sim: Sim<'static>,
    trace: Trace,
    replicas: Vec<Arc<Replica>>,
    outside: Arc<Outside>,
    /// To be started when what runs there has ended.
    due: Vec<Host>,
}

impl World {
    fn build(plan: Plan, trace: &Trace, planted: Planted) -> Self {
        let seed = plan.seed;
        let mut sim = turmoil::Builder::new()
            .rng_seed(seed)
            .epoch(UNIX_EPOCH)
            .tick_duration(TICK)
            .simulation_duration(LONGEST)
            .max_message_latency(Duration::from_millis(plan.latency))
            .tcp_capacity(1 << 16)
            .enable_random_order()
            .build();
        let store = Arc::new(if plan.exclusive { MemoryStore::new() } else { MemoryStore::shared() });
        let replicas: Vec<_> = (0..plan.replicas)
            .map(|index| {
                let name = Host::Server(index).name();
                let own = seed.wrapping_mul(31).wrapping_add(index as u64);
                let way = Way::new(name.clone(), store.clone(), trace.clone(), own, plan.store_delay.clone());
                Arc::new(Replica {
                    name,
                    way,
                    skew: Arc::default(),
                    seed: own,
                    starts: AtomicU64::new(0),
                    drain: Mutex::default(),
                    planted,
                })
            })
            .collect();
        let outside = Arc::new(Outside {
            servers: (0..plan.replicas).map(|index| net::address(&Host::Server(index).name())).collect(),
            seed,
            recorder: Arc::new(Recorder::default()),
            healed: CancellationToken::new(),
            observed: Mutex::default(),
        });
        for replica in &replicas {
            let own = replica.clone();
            sim.host(replica.name.as_str(), move || own.clone().run());
        }
        for index in 0..AGENTS {
            let (outside, lives) = (outside.clone(), AtomicU64::new(0));
            sim.host(Host::Agents(index).name().as_str(), move || {
                outside.clone().agents(index, lives.fetch_add(1, Ordering::Relaxed))
            });
        }
        sim.client(Host::Clients.name().as_str(), outside.clone().clients());
        Self { plan, sim, trace: trace.clone(), replicas, outside, due: Vec::new() }
    }

    fn run(&mut self) -> turmoil::Result {
        let mut changes = VecDeque::from(self.plan.changes.clone());
        loop {
            let now = self.sim.elapsed();
            self.trace.at(now);
            while changes.front().is_some_and(|(at, _)| *at <= now) {
                if let Some((_, change)) = changes.pop_front() {
                    self.change(&change);
                }
            }
            self.start_due();
            if now >= self.plan.healed && !self.outside.healed.is_cancelled() {
                self.heal();
            }
            if self.sim.step()? {
                return Ok(());
            }
        }
    }

    fn change(&mut self, change: &Change) {
        self.trace.note("fault", change);
        let name = format!("{change:?}");
        let kind = name.split('(').next().unwrap_or_default();
        match change {
            Change::Kill(host) => self.kill(*host),
            Change::PowerCut(host) => {
                let others: Vec<Host> = self.plan.hosts().into_iter().filter(|other| other != host).collect();
                others.iter().for_each(|other| self.sim.partition(host.name(), other.name()));
                self.kill(*host);
                others.iter().for_each(|other| self.sim.repair(host.name(), other.name()));
            }
            Change::Drain(replica) => self.replicas[*replica].drain(),
            Change::Start(host) => return self.due.push(*host),
            Change::Cut(one, other) => self.sim.partition(one.name(), other.name()),
            Change::CutOneWay(one, other) => self.sim.partition_oneway(one.name(), other.name()),
            Change::Hold(one, other) => self.sim.hold(one.name(), other.name()),
            Change::Mend(one, other) => return self.sim.release(one.name(), other.name()),
            Change::Lose(of_100_000) => self.sim.set_fail_rate(f64::from(*of_100_000) / 100_000.0),
            Change::Latency(millis) => self.sim.set_max_message_latency(Duration::from_millis(*millis)),
            Change::CutOff(replica) => self.replicas[*replica].way.cut_off(true),
            Change::Reach(replica) => return self.replicas[*replica].way.cut_off(false),
            Change::Unheard(replica, commits) => self.replicas[*replica].way.unheard(*commits),
            Change::StoreDelay(replica, delay) => self.replicas[*replica].way.delay(delay.clone()),
            Change::LoseHints(replica, lost) => self.replicas[*replica].way.lose_hints(*lost),
            Change::Jump(replica, millis) => {
                self.replicas[*replica].skew.fetch_add(millis * 1_000, Ordering::Relaxed);
            }
        }
        self.trace.count(kind);
    }

    fn kill(&mut self, host: Host) {
        if self.sim.is_host_running(host.name()) {
            self.sim.crash(host.name());
        }
    }

    /// A server that drains takes its time: it is started again when it has ended.
    fn start_due(&mut self) {
        for host in std::mem::take(&mut self.due) {
            if !self.sim.is_host_running(host.name()) {
                self.sim.bounce(host.name());
                self.trace.count("starts");
            } else if self.drains(host) {
                self.due.push(host);
            }
        }
    }

    fn drains(&self, host: Host) -> bool {
        matches!(host, Host::Server(index) if self.replicas[index].drains())
    }

    /// From now on nothing is wrong.
    fn heal(&mut self) {
        self.trace.note("fault", &"everything is well again");
        let hosts = self.plan.hosts();
        for (index, one) in hosts.iter().enumerate() {
            for other in &hosts[index + 1..] {
                self.sim.release(one.name(), other.name());
            }
        }
        self.sim.set_fail_rate(0.0);
        self.sim.set_max_message_latency(Duration::from_millis(self.plan.latency));
        for replica in &self.replicas {
            replica.way.heal(self.plan.store_delay.clone());
        }
        self.due.extend(hosts);
        self.outside.healed.cancel();
    }

    fn report(self, failure: Option<String>) -> Report {
        let history = self.outside.recorder.history().clone();
        let observed = self.outside.observed.lock().unwrap_or_else(PoisonError::into_inner).take();
        let observed = observed.map(|observed| self.by_commits(observed));
        let mut faults = self.trace.panics();
        faults.extend(failure);
        if let Some(observed) = &observed {
            let violations = checker::check(&history, observed);
            if !violations.is_empty() {
                faults.push(checker::story(&history, observed, ""));
            }
        }
        self.trace.note("history", &history);
        self.trace.note("observed", &observed);
        let operations = history.operations();
        let seen = self.seen(observed.as_ref());
        let note = match faults.is_empty() {
            false => faults.join("\n"),
            true => lacking(operations, &seen).unwrap_or_default(),
        };
        let outcome = match (faults.is_empty(), note.is_empty()) {
            (false, _) => Outcome::Violated,
            (true, false) => Outcome::Void,
            (true, true) => Outcome::Kept,
        };
        let report = Report {
            seed: self.plan.seed,
            outcome,
            operations,
            seen,
            millis: self.sim.elapsed().as_millis() as u64,
            trace: self.trace.digest(),
            note,
        };
        self.trace.flush();
        report
    }

    /// The same with the times of the commits: replicas' clocks may differ, or jump.
    fn by_commits(&self, mut observed: Observed) -> Observed {
        observed.go_by_commits(|task, sequence| self.trace.committed(task, sequence));
        observed
    }

    fn seen(&self, observed: Option<&Observed>) -> BTreeMap<String, u64> {
        let mut seen = self.trace.seen();
        for task in observed.into_iter().flat_map(|observed| observed.tasks.values()) {
            let children = u64::from(task.task.parent.is_some());
            let pauses = task.events.iter().filter(|event| event.r#type() == EventType::Paused).count() as u64;
            let asked = task.task.spec.iter().flat_map(|spec| &spec.dependencies);
            let conditions = asked.filter(|asked| asked.condition() != DependencyCondition::Completed).count() as u64;
            let fallbacks = task.events.iter().filter(|event| event.r#type() == EventType::FellBack).count() as u64;
            let limit_keys = task.task.spec.iter().map(|spec| spec.limit_keys.len() as u64).sum();
            let counts = [
                ("children", children),
                ("fallbacks", fallbacks),
                ("limit keys", limit_keys),
                ("pauses", pauses),
                ("output", task.output.len() as u64),
                ("conditions", conditions),
            ];
            for (what, count) in counts.into_iter().filter(|(_, count)| *count > 0) {
                *seen.entry(what.to_owned()).or_default() += count;
            }
        }
        let workflows = observed.map_or(0, |observed| observed.workflows.len() as u64);
        if workflows > 0 {
            seen.insert("workflows".to_owned(), workflows);
        }
        seen.insert("tasks".to_owned(), observed.map_or(0, |observed| observed.tasks.len() as u64));
        seen.insert(format!("replicas {}{}", self.plan.replicas, if self.plan.exclusive { " alone" } else { "" }), 1);
        seen
    }
}

/// Why the run does not count, if it doesn't.
fn lacking(operations: u64, seen: &BTreeMap<String, u64>) -> Option<String> {
    if operations < ENOUGH {
        return Some(format!("only {operations} operations were acknowledged"));
    }
    let fired = SIGNS.iter().any(|sign| seen.contains_key(*sign));
    (!fired).then(|| "no fault was seen to fire".to_owned())
}
