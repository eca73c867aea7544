//! Limits over several engines on one store: what one gives back another gives out, and never is there more than the limit.

// Helpers of tests stand outside of tests.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

use callboard_core::command::{Command, Envelope, Fence, Reply, Report};
use callboard_core::model::{
    AgentProfile, Limit, NamespaceSettings, NewTask, Payload, Rate, Span, TaskHandler, TaskId, TaskSpec,
};
use callboard_core::planted::{Bug, Planted};
use callboard_engine::{AttachRequest, Config, Engine, Push, ReportItem, Stream, SystemClock, SystemEntropy};
use callboard_store::Store;
use callboard_store::memory::MemoryStore;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;

/// The sweep looks for everything that a hint may have missed, each second. Without it hints alone are left; without hints, it alone.
async fn replica(store: &Arc<MemoryStore>, by_hints: bool) -> Engine {
    let mut config = Config::default();
    match by_hints {
        true => config.sweep = Duration::from_secs(3_600),
        false => config.rules.planted = Planted::default().with(Bug::DropEveryNotify),
    }
    let clock = Arc::new(SystemClock::start());
    Engine::start(store.clone(), config, clock, Box::new(SystemEntropy::new())).await.unwrap()
}

fn envelope(command: Command) -> Envelope {
    Envelope { namespace: "default".into(), principal: "anonymous".into(), request: None, command }
}

async fn limit(engine: &Engine, limit: Limit) {
    let settings = NamespaceSettings { limits: [limit].into_iter().collect(), ..NamespaceSettings::default() };
    engine.submit(envelope(Command::UpdateNamespace { settings })).await.unwrap();
}

fn at_once(max: u32) -> Limit {
    Limit { key: "model".into(), max_concurrent: Some(max), rate: None }
}

async fn create(engine: &Engine, count: usize) -> Vec<TaskId> {
    let spec = TaskSpec { limit_keys: ["model".to_owned()].into(), ..TaskSpec::of_type("work") };
    let tasks: Vec<NewTask> = (0..count).map(|_| spec.clone().into()).collect();
    match engine.submit(envelope(Command::CreateTasks { tasks })).await.unwrap() {
        Reply::Tasks(receipts) => receipts.iter().map(|receipt| receipt.task).collect(),
        other => panic!("{other:?}"),
    }
}

struct Agent {
    stream: Stream,
    pushes: mpsc::Receiver<Push>,
    reports: i64,
}

impl Agent {
    async fn attach(engine: &Engine, name: &str, slots: u32) -> Self {
        let profile = AgentProfile { slots, handles: vec![TaskHandler::named("work")], ..AgentProfile::default() };
        let request = AttachRequest {
            namespace: "default".into(),
            principal: "anonymous".into(),
            name: name.into(),
            profile: Arc::new(profile),
            held: Vec::new(),
            previous_epoch: 0,
            instance: name.into(),
            takes_drain: true,
            takes_cancellation: true,
            takes_message_receipts: false,
            takes_children: true,
            message_window: Some(10),
        };
        let (stream, pushes) = engine.attach(request).await.unwrap();
        Self { stream, pushes, reports: 0 }
    }

    /// The next attempts that it is given.
    async fn assigned(&mut self) -> Vec<Fence> {
        loop {
            match self.pushes.recv().await.expect("the stream is open") {
                Push::Assign(assignments) => return assignments.iter().map(|assignment| assignment.fence).collect(),
                _ => continue,
            }
        }
    }

    async fn complete(&mut self, fence: Fence) {
        let result = Arc::new(Payload::text("done"));
        for report in [Report::Accepted, Report::Completed { result, digest: 1 }] {
            self.reports += 1;
            self.stream.report(vec![ReportItem { report_id: self.reports, fence, report }]).await.unwrap();
        }
    }
}

async fn soon<T>(event: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(60), event).await.expect("it comes")
}

/// Of two agents those that are given something, with what.
async fn next_of(agents: &mut [Agent; 2]) -> (usize, Vec<Fence>) {
    let [one, two] = agents;
    soon(async {
        tokio::select! {
            fences = one.assigned() => (0, fences),
            fences = two.assigned() => (1, fences),
        }
    })
    .await
}

/// Fifty tasks over two replicas, each with an agent of many slots: never more than three at once, and each that ends makes room for the next.
async fn no_more_than_the_limit_are_at_work(by_hints: bool) {
    let store = Arc::new(MemoryStore::shared());
    let (a, b) = (replica(&store, by_hints).await, replica(&store, by_hints).await);
    limit(&a, at_once(3)).await;
    let mut agents = [Agent::attach(&a, "ann", 10).await, Agent::attach(&b, "ben", 10).await];
    let tasks = if by_hints { 50 } else { 12 };
    create(&a, tasks).await;
    let (mut held, mut done, mut by) = (Vec::new(), 0, [0, 0]);
    while done < tasks {
        while held.len() < 3.min(tasks - done) {
            let (agent, fences) = next_of(&mut agents).await;
            by[agent] += fences.len();
            held.extend(fences.into_iter().map(|fence| (agent, fence)));
            assert!(held.len() <= 3, "{} at once", held.len());
        }
        let (agent, fence): (usize, Fence) = held.remove(0);
        agents[agent].complete(fence).await;
        done += 1;
    }
    assert_eq!(by.iter().sum::<usize>(), tasks);
    a.stop().await;
    b.stop().await;
}

#[tokio::test]
async fn no_more_than_the_limit_are_at_work_by_hints_alone() {
    no_more_than_the_limit_are_at_work(true).await;
}

#[tokio::test]
async fn no_more_than_the_limit_are_at_work_by_looking_alone() {
    no_more_than_the_limit_are_at_work(false).await;
}

/// The agent of one replica is free, and the last task at work is the other's.
#[tokio::test]
async fn a_slot_that_one_gives_back_is_given_out_by_another() {
    let store = Arc::new(MemoryStore::shared());
    let (a, b) = (replica(&store, true).await, replica(&store, true).await);
    limit(&a, at_once(1)).await;
    let mut ann = Agent::attach(&a, "ann", 1).await;
    create(&a, 2).await;
    let first = soon(ann.assigned()).await[0];
    let mut ben = Agent::attach(&b, "ben", 1).await;
    // No new task is for her: what she ends makes room at the other.
    a.submit(envelope(Command::Cordon { name: "ann".into(), cordoned: true })).await.unwrap();
    ann.complete(first).await;
    let second = soon(ben.assigned()).await[0];
    assert_ne!(first.task, second.task);
    a.stop().await;
    b.stop().await;
}

#[tokio::test]
async fn a_limit_that_is_raised_at_one_counts_at_the_other() {
    let store = Arc::new(MemoryStore::shared());
    let (a, b) = (replica(&store, true).await, replica(&store, true).await);
    limit(&a, at_once(1)).await;
    let mut ben = Agent::attach(&b, "ben", 5).await;
    create(&a, 3).await;
    let mut given = soon(ben.assigned()).await.len();
    assert_eq!(given, 1);
    limit(&a, at_once(3)).await;
    while given < 3 {
        given += soon(ben.assigned()).await.len();
    }
    a.stop().await;
    b.stop().await;
}

/// Nothing but the time lets the next through.
#[tokio::test]
async fn a_rate_goes_on_by_itself() {
    let store = Arc::new(MemoryStore::new());
    let engine = replica(&store, true).await;
    let rate = Rate { count: 2, period: Span::millis(400) };
    limit(&engine, Limit { key: "model".into(), max_concurrent: None, rate: Some(rate) }).await;
    let mut agent = Agent::attach(&engine, "ann", 20).await;
    create(&engine, 6).await;
    let mut given = Vec::new();
    while given.len() < 6 {
        given.extend(soon(agent.assigned()).await);
    }
    let namespace = engine.namespace("default").await.unwrap();
    let mut times = Vec::new();
    for fence in &given {
        let task = store.task_row((namespace, fence.task)).await.unwrap().unwrap();
        times.push(task.state.lease().unwrap().assigned_at.0);
    }
    times.sort_unstable();
    for (first, from) in times.iter().enumerate() {
        for (last, until) in times.iter().enumerate().skip(first) {
            assert!((last - first + 1) as i64 <= 2 + (until - from) / 200_000, "{times:?}");
        }
    }
    engine.stop().await;
}

/// Two replicas that can't give a task out tell each other of it once, and not for ever.
#[tokio::test]
async fn who_waits_for_a_limit_is_told_of_once() {
    let store = Arc::new(MemoryStore::shared());
    let (a, b) = (replica(&store, true).await, replica(&store, true).await);
    limit(&a, at_once(1)).await;
    let mut ann = Agent::attach(&a, "ann", 5).await;
    let _ben = Agent::attach(&b, "ben", 5).await;
    let mut hints = store.cluster().unwrap().listen().await.unwrap();
    create(&a, 1).await;
    soon(ann.assigned()).await;
    create(&a, 1).await;
    let mut told = 0;
    while let Ok(Some(hint)) = tokio::time::timeout(Duration::from_millis(500), hints.recv()).await {
        told += hint.lanes.len();
        assert!(told < 10, "they tell each other for ever");
    }
    assert!(told > 0);
    a.stop().await;
    b.stop().await;
}
