//! An engine on a store in memory, with a clock that goes on when nothing is left to do.

use crate::store::{FaultyStore, Plan};
use callboard_core::command::{Command, Envelope, Fence, Reply, Report};
use callboard_core::entropy::Seeded;
use callboard_core::model::{
    AgentProfile, NamespaceId, NewTask, Payload, Span, StateName, TaskHandler, TaskId, TaskSpec, Timeouts, Timestamp,
};
use callboard_core::planted::{Bug, Planted};
use callboard_engine::{Assignment, AttachRequest, Clock, Config, Engine, Push, ReceiptStatus, ReportItem, Stream};
use callboard_store::TaskView;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::Instant;

/// The world of an incident.
pub struct World {
    pub engine: Engine,
    pub plan: Arc<Plan>,
    store: Arc<FaultyStore>,
    clock: Arc<Standing>,
    config: Config,
}

impl World {
    /// With guards taken out.
    pub async fn start(bugs: &[Bug]) -> Self {
        Self::start_with(bugs, Config::default()).await
    }

    pub async fn start_with(bugs: &[Bug], mut config: Config) -> Self {
        config.rules.planted = bugs.iter().fold(Planted::default(), |planted, bug| planted.with(*bug));
        let (store, plan) = FaultyStore::new();
        let clock = Arc::new(Standing(Instant::now()));
        let engine = start(&store, &clock, &config, 1).await;
        Self { engine, plan, store, clock, config }
    }

    /// The process ends, and another one starts on the same store.
    pub async fn restart(&mut self) {
        self.engine.stop().await;
        self.engine = start(&self.store, &self.clock, &self.config, 2).await;
    }

    /// Creates a task.
    pub async fn create(&self, change: impl FnOnce(&mut NewTask)) -> TaskId {
        let mut task = task();
        change(&mut task);
        match self.ask(Command::CreateTasks { tasks: vec![task] }).await {
            Reply::Tasks(receipts) => receipts[0].task,
            other => panic!("{other:?}"),
        }
    }

    /// Creates so many tasks at once.
    pub async fn create_many(&self, count: usize) {
        self.ask(Command::CreateTasks { tasks: vec![task(); count] }).await;
    }

    pub async fn cancel(&self, task: TaskId) {
        self.ask(Command::CancelTask { task, reason: String::new() }).await;
    }

    async fn ask(&self, command: Command) -> Reply {
        self.engine.submit(envelope(command)).await.unwrap()
    }

    pub async fn view(&self, task: TaskId) -> TaskView {
        self.engine.store().task((NamespaceId(1), task)).await.unwrap().unwrap()
    }

    pub async fn state(&self, task: TaskId) -> StateName {
        self.view(task).await.task.state.name()
    }

    /// Attaches an agent.
    pub async fn attach(&self, name: &str, slots: u32) -> Agent {
        Agent::attach(&self.engine, name, slots).await
    }
}

async fn start(store: &Arc<FaultyStore>, clock: &Arc<Standing>, config: &Config, seed: u64) -> Engine {
    let entropy = Box::new(Seeded(seed));
    Engine::start(store.clone(), config.clone(), clock.clone(), entropy).await.unwrap()
}

/// An attached agent.
pub struct Agent {
    pub stream: Stream,
    pushes: mpsc::Receiver<Push>,
    reports: i64,
}

impl Agent {
    /// Attaches one.
    pub async fn attach(engine: &Engine, name: &str, slots: u32) -> Self {
        let request = AttachRequest {
            namespace: "default".into(),
            principal: "anonymous".into(),
            name: name.into(),
            profile: Arc::new(profile(slots)),
            held: Vec::new(),
            previous_epoch: 0,
            instance: name.into(),
            takes_drain: true,
            takes_cancellation: true,
            takes_message_receipts: false,
            takes_children: true,
            message_window: None,
        };
        let (stream, pushes) = engine.attach(request).await.unwrap();
        Self { stream, pushes, reports: 0 }
    }

    /// What it is given within a time, if it is given anything. Heartbeats go on.
    pub async fn assigned(&mut self, within: Duration) -> Vec<Assignment> {
        let until = Instant::now() + within;
        while Instant::now() < until {
            self.stream.heard();
            let beat = until.min(Instant::now() + Duration::from_secs(1));
            match tokio::time::timeout_at(beat, self.pushes.recv()).await {
                Ok(Some(Push::Assign(assignments))) => return assignments,
                Ok(Some(_)) | Err(_) => {}
                Ok(None) => return Vec::new(),
            }
        }
        Vec::new()
    }

    /// Lets time pass, with heartbeats.
    pub async fn work(&self, time: Duration) {
        let until = Instant::now() + time;
        while Instant::now() < until {
            self.stream.heard();
            tokio::time::sleep_until(until.min(Instant::now() + Duration::from_secs(1))).await;
        }
        self.stream.heard();
    }

    pub async fn report(&mut self, fence: Fence, report: Report) {
        self.reports += 1;
        self.stream.report(vec![ReportItem { report_id: self.reports, fence, report }]).await.unwrap();
    }

    /// What became of its latest report, if it is told within a time.
    pub async fn told(&mut self, within: Duration) -> Option<ReceiptStatus> {
        let until = Instant::now() + within;
        while let Ok(Some(push)) = tokio::time::timeout_at(until, self.pushes.recv()).await {
            self.stream.heard();
            let Push::Receipts(receipts) = push else { continue };
            if let Some(latest) = receipts.into_iter().find(|receipt| receipt.report_id == self.reports) {
                return Some(latest.status);
            }
        }
        None
    }

    pub async fn complete(&mut self, fence: Fence) {
        self.report(fence, Report::Completed { result: Arc::new(Payload::text("done")), digest: 1 }).await;
    }
}

pub fn envelope(command: Command) -> Envelope {
    Envelope { namespace: "default".into(), principal: "anonymous".into(), request: None, command }
}

pub fn profile(slots: u32) -> AgentProfile {
    AgentProfile {
        agent_type: "worker".into(),
        slots,
        handles: vec![TaskHandler::named("*")],
        ..AgentProfile::default()
    }
}

pub async fn pass(time: Duration) {
    tokio::time::sleep(time).await;
}

pub const fn seconds(n: u64) -> Duration {
    Duration::from_secs(n)
}

/// A task that nothing ends for an hour.
pub fn task() -> NewTask {
    let timeouts = Timeouts { start_to_close: Span::seconds(3_600), ..Timeouts::default() };
    TaskSpec { timeouts, ..TaskSpec::of_type("work") }.into()
}

/// A clock that is tokio's.
struct Standing(Instant);

impl Clock for Standing {
    fn now(&self) -> Timestamp {
        Timestamp(1_750_000_000_000_000) + self.elapsed()
    }

    fn elapsed(&self) -> Span {
        Span::from_std(self.0.elapsed())
    }
}
