//! Handlers that wait: their slots go to others and come back, and the ends that they wait for are told.

// Helpers of tests stand outside of tests.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

use callboard_core::command::{Command, Envelope, Fence, Reply, Report};
use callboard_core::limits::{MAX_AWAITED, MAX_END_RESULT};
use callboard_core::model::{AgentProfile, Payload, StateName, TaskHandler, TaskId, TaskSpec};
use callboard_engine::{
    AttachRequest, Config, Engine, Push, ReceiptStatus, ReportItem, Stream, SystemClock, SystemEntropy, TaskEnd,
};
use callboard_store::memory::MemoryStore;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;
use uuid::Uuid;

async fn engine() -> Engine {
    let clock = Arc::new(SystemClock::start());
    let store = Arc::new(MemoryStore::new());
    Engine::start(store, Config::default(), clock, Box::new(SystemEntropy::new())).await.unwrap()
}

async fn ask(engine: &Engine, command: Command) -> Reply {
    let envelope = Envelope { namespace: "default".into(), principal: "anonymous".into(), request: None, command };
    engine.submit(envelope).await.unwrap()
}

async fn create(engine: &Engine, task_type: &str) -> TaskId {
    match ask(engine, Command::CreateTasks { tasks: vec![TaskSpec::of_type(task_type).into()] }).await {
        Reply::Tasks(receipts) => receipts[0].task,
        other => panic!("{other:?}"),
    }
}

/// An agent with one slot, that takes tasks of type `work`.
struct Agent {
    stream: Stream,
    pushes: mpsc::Receiver<Push>,
    reports: i64,
}

impl Agent {
    async fn attach(engine: &Engine, held: Vec<Fence>, takes_children: bool) -> Self {
        let profile = AgentProfile { slots: 1, handles: vec![TaskHandler::named("work")], ..AgentProfile::default() };
        let request = AttachRequest {
            namespace: "default".into(),
            principal: "anonymous".into(),
            name: "ann".into(),
            profile: Arc::new(profile),
            held,
            previous_epoch: 0,
            instance: "one".into(),
            takes_drain: true,
            takes_cancellation: true,
            takes_message_receipts: false,
            takes_children,
            message_window: None,
        };
        let (stream, pushes) = engine.attach(request).await.unwrap();
        Self { stream, pushes, reports: 0 }
    }

    /// What the first push has in which the look finds something.
    async fn pick<T>(&mut self, mut look: impl FnMut(Push) -> Option<T>) -> T {
        let picked = async {
            loop {
                if let Some(found) = look(self.pushes.recv().await.expect("the stream is open")) {
                    return found;
                }
            }
        };
        tokio::time::timeout(Duration::from_secs(60), picked).await.expect("it comes")
    }

    async fn assigned(&mut self) -> Fence {
        self.pick(|push| match push {
            Push::Assign(assignments) => Some(assignments[0].fence),
            _ => None,
        })
        .await
    }

    /// The state that the receipt of a report tells.
    async fn told(&mut self, fence: Fence, report: Report) -> StateName {
        self.reports += 1;
        let report_id = self.reports;
        self.stream.report(vec![ReportItem { report_id, fence, report }]).await.unwrap();
        self.pick(|push| match push {
            Push::Receipts(receipts) => {
                let receipt = receipts.into_iter().find(|receipt| receipt.report_id == report_id)?;
                match receipt.status {
                    ReceiptStatus::Committed(state) => Some(state),
                    other => panic!("{other:?}"),
                }
            }
            _ => None,
        })
        .await
    }

    /// Reports in one frame, and so in one batch; the id of the last.
    async fn reports(&mut self, reports: Vec<(Fence, Report)>) -> i64 {
        let items = reports.into_iter().map(|(fence, report)| {
            self.reports += 1;
            ReportItem { report_id: self.reports, fence, report }
        });
        self.stream.report(items.collect()).await.unwrap();
        self.reports
    }

    async fn complete(&mut self, fence: Fence, result: Payload) {
        let report = Report::Completed { result: Arc::new(result), digest: 1 };
        assert_eq!(self.told(fence, report).await, StateName::Completed);
    }

    async fn ends(&mut self) -> Vec<TaskEnd> {
        self.pick(|push| match push {
            Push::TaskEnds(told) => Some(told.ends),
            _ => None,
        })
        .await
    }
}

/// Whether a push has the receipt of a report.
fn receipts(push: &Push, report_id: i64) -> bool {
    matches!(push, Push::Receipts(receipts) if receipts.iter().any(|receipt| receipt.report_id == report_id))
}

#[tokio::test]
async fn who_pauses_again_is_told_nothing_of_a_slot_that_it_had_before() {
    let engine = engine().await;
    let mut agent = Agent::attach(&engine, Vec::new(), true).await;
    create(&engine, "work").await;
    let waits = agent.assigned().await;
    assert_eq!(agent.told(waits, Report::Pause).await, StateName::Paused);
    create(&engine, "work").await;
    let other = agent.assigned().await;
    assert_eq!(agent.told(other, Report::Accepted).await, StateName::Running);
    assert_eq!(agent.told(waits, Report::Resume).await, StateName::Paused);
    let completed = Report::Completed { result: Arc::new(Payload::text("done")), digest: 1 };
    let paused = agent.reports(vec![(other, completed), (waits, Report::Pause)]).await;
    agent.pick(|push| receipts(&push, paused).then_some(())).await;
    let resumed = agent.reports(vec![(waits, Report::Resume)]).await;
    agent
        .pick(|push| {
            assert!(!matches!(push, Push::Resume(_)), "it was told of its pause already");
            receipts(&push, resumed).then_some(())
        })
        .await;
    engine.stop().await;
}

#[tokio::test]
async fn a_pause_lets_the_next_task_in_and_a_resumption_tells_when_it_is_over() {
    let engine = engine().await;
    let mut agent = Agent::attach(&engine, Vec::new(), true).await;
    create(&engine, "work").await;
    let parent = agent.assigned().await;
    let child = create(&engine, "work").await;
    // What is assigned may be pushed behind the receipt, in the same instant.
    assert_eq!(agent.told(parent, Report::Pause).await, StateName::Paused);
    let given = agent.assigned().await;
    assert_eq!(given.task, child);
    assert_eq!(agent.told(parent, Report::Resume).await, StateName::Paused);
    let before = engine.now();
    agent.complete(given, Payload::text("done")).await;
    let resumption = agent
        .pick(|push| match push {
            Push::Resume(resumptions) => Some(resumptions[0].clone()),
            _ => None,
        })
        .await;
    assert_eq!(resumption.fence, parent);
    assert!(resumption.deadline > before, "{resumption:?}");
    assert_eq!(agent.told(parent, Report::Resume).await, StateName::Running);
    agent.complete(parent, Payload::text("done")).await;
    engine.stop().await;
}

#[tokio::test]
async fn an_agent_that_comes_back_keeps_its_paused_attempt() {
    let engine = engine().await;
    let mut agent = Agent::attach(&engine, Vec::new(), true).await;
    create(&engine, "work").await;
    let parent = agent.assigned().await;
    assert_eq!(agent.told(parent, Report::Pause).await, StateName::Paused);
    drop(agent);
    let mut agent = Agent::attach(&engine, vec![parent], true).await;
    assert_eq!(agent.stream.attached.held, [parent]);
    assert_eq!(agent.told(parent, Report::Pause).await, StateName::Paused);
    assert_eq!(agent.told(parent, Report::Resume).await, StateName::Running);
    agent.complete(parent, Payload::text("done")).await;
    engine.stop().await;
}

#[tokio::test]
async fn ends_are_told_at_once_or_when_they_come_each_once() {
    let engine = engine().await;
    let (ended, later) = (create(&engine, "other").await, create(&engine, "other").await);
    ask(&engine, Command::CancelTask { task: ended, reason: String::new() }).await;
    let mut agent = Agent::attach(&engine, Vec::new(), true).await;
    let unknown = TaskId(Uuid::from_u128(7));
    agent.stream.await_ends(vec![later, ended, unknown, ended]).unwrap();
    agent.stream.await_ends(vec![ended, later]).unwrap();
    let mut told = Vec::new();
    while told.len() < 2 {
        told.extend(agent.ends().await);
    }
    told.sort_by_key(|end| end.outcome.is_some());
    assert_eq!((told[0].task, told[1].task), (unknown, ended));
    let outcome = told[1].outcome.as_ref().unwrap();
    assert_eq!((outcome.state, outcome.run, told.len()), (StateName::Cancelled, 1, 2));
    ask(&engine, Command::CancelTask { task: later, reason: String::new() }).await;
    let told = agent.ends().await;
    assert_eq!(told.iter().map(|end| end.task).collect::<Vec<_>>(), [later]);
    agent.stream.await_ends(vec![later]).unwrap();
    assert_eq!(agent.ends().await[0].task, later, "asked for again, it is told again");
    engine.stop().await;
}

#[tokio::test]
async fn a_result_comes_with_its_end_unless_it_is_large() {
    let engine = engine().await;
    let mut agent = Agent::attach(&engine, Vec::new(), true).await;
    for (size, omitted) in [(MAX_END_RESULT, false), (MAX_END_RESULT + 1, true)] {
        let task = create(&engine, "work").await;
        let fence = agent.assigned().await;
        agent.complete(fence, Payload::text(&"x".repeat(size))).await;
        agent.stream.await_ends(vec![task]).unwrap();
        let outcome = agent.ends().await[0].outcome.clone().unwrap();
        assert_eq!((outcome.result_omitted, outcome.result.is_none()), (omitted, omitted));
    }
    engine.stop().await;
}

/// It reads nothing while a thousand tasks end: what waits for it is one frame's worth, and the rest is told in short.
#[tokio::test]
async fn who_does_not_read_keeps_its_stream_and_is_told_the_rest_in_short() {
    let engine = engine().await;
    let mut agent = Agent::attach(&engine, Vec::new(), true).await;
    let mut tasks = Vec::new();
    for _ in 0..60 {
        tasks.push(create(&engine, "other").await);
    }
    agent.stream.await_ends(tasks.clone()).unwrap();
    for task in &tasks {
        let result = Arc::new(Payload::text(&"x".repeat(MAX_END_RESULT)));
        let report = callboard_core::command::DirectReport::Completed(result);
        ask(&engine, Command::DirectReport { task: *task, agent: "bob".into(), report }).await;
    }
    let mut told = Vec::new();
    while told.len() < tasks.len() {
        let ends = agent.ends().await;
        let bytes: usize = ends.iter().filter_map(|end| Some(end.outcome.as_ref()?.result.as_ref()?.len())).sum();
        assert!(bytes <= (1 << 20) + MAX_END_RESULT, "{bytes}");
        told.extend(ends);
    }
    assert_eq!(told.len(), tasks.len());
    let outcomes = told.iter().map(|end| end.outcome.as_ref().unwrap());
    assert!(outcomes.clone().all(|outcome| outcome.result.is_some() != outcome.result_omitted));
    engine.stop().await;
}

#[tokio::test]
async fn more_than_ten_thousand_are_refused() {
    let engine = engine().await;
    let mut agent = Agent::attach(&engine, Vec::new(), true).await;
    let live = create(&engine, "other").await;
    let unknown = (0..MAX_AWAITED as u128).map(|n| TaskId(Uuid::from_u128(n)));
    let refused = agent.stream.await_ends([live].into_iter().chain(unknown).collect());
    assert!(refused.unwrap_err().to_string().contains("awaited tasks"));
    engine.stop().await;
}

#[tokio::test]
async fn an_agent_that_takes_no_such_frames_gets_none() {
    let engine = engine().await;
    let mut agent = Agent::attach(&engine, Vec::new(), false).await;
    let task = create(&engine, "work").await;
    let fence = agent.assigned().await;
    agent.stream.await_ends(vec![task, TaskId(Uuid::from_u128(7))]).unwrap();
    agent.complete(fence, Payload::text("done")).await;
    let next = create(&engine, "work").await;
    let pushed = agent.pushes.recv().await;
    assert!(matches!(pushed, Some(Push::Assign(assignments)) if assignments[0].task.id == next), "nothing else came");
    engine.stop().await;
}
