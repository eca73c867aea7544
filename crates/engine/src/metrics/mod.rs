//! What can be watched from outside: counters, histograms and gauges of one engine, for Prometheus.
//!
//! Nothing here is global: each engine has its own, so that many can live in a process. Handles are made once; the hot path adds
//! to them once a batch. What can be asked when somebody looks (queues, sizes) is asked then, and costs nothing before.

mod mail;
mod observe;
mod scrape;

pub(crate) use mail::{MailMetrics, Way};
pub(crate) use observe::Observer;
pub(crate) use scrape::scrape;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::{Family, MetricConstructor};
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::{Registry, Unit};
use std::sync::atomic::AtomicU64;

/// What every name begins with.
pub const PREFIX: &str = "callboard";

/// The kind of thing a label tells apart, where its values are few and known.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct Outcome {
    pub outcome: &'static str,
}

/// What retention forgets.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct Forgotten {
    kind: &'static str,
}

impl Forgotten {
    pub const TASKS: Self = Self { kind: "tasks" };
    pub const AGENTS: Self = Self { kind: "agents" };
    pub const WORKFLOWS: Self = Self { kind: "workflows" };
    pub const ANSWERS: Self = Self { kind: "answers" };
}

/// Which way a hint went.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct Direction {
    direction: &'static str,
}

impl Direction {
    pub const SENT: Self = Self { direction: "sent" };
    pub const HEARD: Self = Self { direction: "heard" };
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct State {
    pub state: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct Reason {
    pub reason: String,
}

/// Namespace and task type. Users choose them, so that only the first [`MAX_TYPES`] have series of their own.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, EncodeLabelSet)]
pub(crate) struct TaskType {
    pub namespace: String,
    pub task_type: String,
}

/// How many pairs of namespace and task type have series of their own; the rest is told as `other`.
pub(crate) const MAX_TYPES: usize = 100;

impl TaskType {
    pub fn other() -> Self {
        Self { namespace: "other".into(), task_type: "other".into() }
    }
}

/// Seconds that a task waits, or an attempt takes.
const LONG: [f64; 16] =
    [0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 10.0, 30.0, 60.0, 300.0, 900.0, 3_600.0, 14_400.0, 86_400.0];

/// Histograms of long times.
#[derive(Clone, Debug)]
pub(crate) struct LongTimes;

impl MetricConstructor<Histogram> for LongTimes {
    fn new_metric(&self) -> Histogram {
        Histogram::new(LONG)
    }
}

pub(crate) type Seconds = Gauge<f64, AtomicU64>;

/// The handles of one engine.
#[derive(Debug)]
pub(crate) struct Metrics {
    registry: Registry,
    // Counted as it happens.
    pub created: Counter,
    pub ended: Family<State, Counter>,
    pub attempts: Family<Outcome, Counter>,
    pub rejected: Family<Reason, Counter>,
    pub overloaded: Counter,
    hints: Family<Direction, Counter>,
    pub schedule_to_start: Family<TaskType, Histogram, LongTimes>,
    pub run_time: Family<TaskType, Histogram, LongTimes>,
    pub batch: Histogram,
    pub commit: Histogram,
    pub forgetting: Histogram,
    forgotten: Family<Forgotten, Counter>,
    pub archived: Counter,
    pub archive_failures: Counter,
    pub mail: MailMetrics,
    // Asked when somebody looks.
    pub ready: Family<TaskType, Gauge>,
    pub leased: Gauge,
    pub queued: Gauge,
    pub sessions: Family<State, Gauge>,
    pub waiting_claims: Gauge,
    pub waiting_calls: Gauge,
    pub sweep_age: Seconds,
    pub store_size: Gauge,
    pub log_size: Gauge,
    pub draining: Gauge,
}

impl Metrics {
    /// All at zero.
    pub fn new() -> Self {
        let mut metrics = Self {
            registry: Registry::with_prefix(PREFIX),
            created: Counter::default(),
            ended: Family::default(),
            attempts: Family::default(),
            rejected: Family::default(),
            overloaded: Counter::default(),
            hints: Family::default(),
            schedule_to_start: Family::new_with_constructor(LongTimes),
            run_time: Family::new_with_constructor(LongTimes),
            batch: Histogram::new(exponential_buckets(1.0, 2.0, 13)),
            commit: Histogram::new(exponential_buckets(0.000_1, 2.0, 16)),
            forgetting: Histogram::new(exponential_buckets(0.000_1, 2.0, 16)),
            forgotten: Family::default(),
            archived: Counter::default(),
            archive_failures: Counter::default(),
            mail: MailMetrics::default(),
            ready: Family::default(),
            leased: Gauge::default(),
            queued: Gauge::default(),
            sessions: Family::default(),
            waiting_claims: Gauge::default(),
            waiting_calls: Gauge::default(),
            sweep_age: Gauge::default(),
            store_size: Gauge::default(),
            log_size: Gauge::default(),
            draining: Gauge::default(),
        };
        let mut registry = Registry::with_prefix(PREFIX);
        metrics.register(&mut registry);
        metrics.registry = registry;
        metrics
    }

    fn register(&self, registry: &mut Registry) {
        let build = Info::new(vec![("version", env!("CARGO_PKG_VERSION"))]);
        registry.register("build", "The version of this server", build);
        self.register_counts(registry);
        self.register_times(registry);
        self.register_gauges(registry);
        self.mail.register(registry);
    }

    fn register_counts(&self, registry: &mut Registry) {
        registry.register("tasks_created", "Tasks that were created", self.created.clone());
        registry.register("tasks_ended", "Runs of tasks that ended, by the state in which", self.ended.clone());
        registry.register("attempts", "Attempts that were given out, and how they ended", self.attempts.clone());
        let text = "Commands that were refused, by the reason (as in the protocol)";
        registry.register("commands_rejected", text, self.rejected.clone());
        registry.register("retention_forgotten", "What retention forgot, by kind", self.forgotten.clone());
        for kind in [Forgotten::TASKS, Forgotten::WORKFLOWS, Forgotten::AGENTS, Forgotten::ANSWERS] {
            self.forgot(kind, 0);
        }
        let text = "Tasks that the archive kept, each time that it did";
        registry.register("retention_archived", text, self.archived.clone());
        let text = "Times that the archive could not keep tasks; they are not forgotten";
        registry.register("retention_archive_failures", text, self.archive_failures.clone());
        let text = "Calls that were turned away because too many commands waited";
        registry.register("commands_overloaded", text, self.overloaded.clone());
        let text = "Hints of commits that went to the other servers of a database, and that were heard of them";
        registry.register("hints", text, self.hints.clone());
        for direction in [Direction::SENT, Direction::HEARD] {
            let _ = self.hints.get_or_create(&direction);
        }
    }

    fn register_times(&self, registry: &mut Registry) {
        let text = "From a task's being ready to an agent's being given it";
        registry.register_with_unit("schedule_to_start", text, Unit::Seconds, self.schedule_to_start.clone());
        let text = "From the acceptance of a task's last attempt to the task's end";
        registry.register_with_unit("task_run", text, Unit::Seconds, self.run_time.clone());
        registry.register("batch_commands", "Commands in a transaction", self.batch.clone());
        let text = "How long it takes to save and commit a transaction";
        registry.register_with_unit("commit", text, Unit::Seconds, self.commit.clone());
        let text = "How long a transaction of retention takes, its wait for the writer included";
        registry.register_with_unit("retention_batch", text, Unit::Seconds, self.forgetting.clone());
    }

    fn register_gauges(&self, registry: &mut Registry) {
        let text = "Tasks that are ready and wait for an agent; a lane is counted up to 10000";
        registry.register("tasks_ready", text, self.ready.clone());
        registry.register("tasks_leased", "Tasks that agents have; counted up to 100000", self.leased.clone());
        registry.register("commands_queued", "Commands that wait for the next transaction", self.queued.clone());
        registry.register("sessions", "Streams of agents, open or broken and awaited", self.sessions.clone());
        registry.register("claims_waiting", "Claims that wait for a task", self.waiting_claims.clone());
        registry.register("calls_waiting", "Tasks whose end calls wait for", self.waiting_calls.clone());
        let text = "Since the last complete look for timeouts, silent agents and forgotten tasks";
        registry.register_with_unit("sweep_age", text, Unit::Seconds, self.sweep_age.clone());
        registry.register_with_unit("store_size", "The store's file", Unit::Bytes, self.store_size.clone());
        registry.register_with_unit("store_wal", "The store's write-ahead log", Unit::Bytes, self.log_size.clone());
        registry.register("draining", "1 while the server goes away", self.draining.clone());
    }

    /// Retention forgot so many.
    pub fn forgot(&self, kind: Forgotten, count: usize) {
        self.forgotten.get_or_create(&kind).inc_by(count as u64);
    }

    /// Servers tell each other of commits.
    pub fn hinted(&self, direction: &Direction) {
        self.hints.get_or_create(direction).inc();
    }

    /// The registry, to be encoded.
    pub fn registry(&self) -> &Registry {
        &self.registry
    }
}
