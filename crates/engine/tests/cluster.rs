//! Several engines on one store: what one commits reaches those who wait for it at another.

// Helpers of tests stand outside of tests.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

use callboard_core::command::{Command, Envelope, Fence, Reply, Report, StopReason};
use callboard_core::model::{
    Address, AgentProfile, KeyConflict, NewMessage, NewTask, OutputBatch, Payload, StateName, TaskHandler, TaskId,
    TaskSpec,
};
use callboard_core::planted::{Bug, Planted};
use callboard_engine::{
    AttachRequest, Config, Engine, Push, ReceiptStatus, ReportItem, Stream, SystemClock, SystemEntropy, Watch,
};
use callboard_store::memory::MemoryStore;
use callboard_store::{Cursor, EventScope, Store};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;

/// How a replica learns what another committed.
#[derive(Clone, Copy)]
enum Learns {
    /// By hints; the look behind them is so far off that a test ends first.
    ByHints,
    /// By looking; every hint is lost.
    ByLooking,
}

async fn replica(store: &Arc<MemoryStore>, learns: Learns) -> Engine {
    start(store, learns, Config::default()).await
}

/// One that says where it is.
async fn replica_at(store: &Arc<MemoryStore>, address: &str) -> Engine {
    start(store, Learns::ByHints, Config { advertise: Some(address.into()), ..Config::default() }).await
}

async fn start(store: &Arc<MemoryStore>, learns: Learns, mut config: Config) -> Engine {
    let clock = Arc::new(SystemClock::start());
    match learns {
        Learns::ByHints => config.sweep = Duration::from_secs(3_600),
        Learns::ByLooking => config.rules.planted = Planted::default().with(Bug::DropEveryNotify),
    }
    Engine::start(store.clone(), config, clock, Box::new(SystemEntropy::new())).await.unwrap()
}

async fn two(learns: Learns) -> (Arc<MemoryStore>, Engine, Engine) {
    let store = Arc::new(MemoryStore::shared());
    let (a, b) = (replica(&store, learns).await, replica(&store, learns).await);
    (store, a, b)
}

fn create() -> Envelope {
    envelope(Command::CreateTasks { tasks: vec![TaskSpec::of_type("work").into()] })
}

/// That replaces the one before it.
fn keyed(task_type: &str) -> Envelope {
    let spec = TaskSpec { key: Some("report".into()), ..TaskSpec::of_type(task_type) };
    let task = NewTask { on_key_conflict: KeyConflict::Replace, ..spec.into() };
    envelope(Command::CreateTasks { tasks: vec![task] })
}

fn envelope(command: Command) -> Envelope {
    Envelope { namespace: "default".into(), principal: "anonymous".into(), request: None, command }
}

struct Agent {
    stream: Stream,
    pushes: mpsc::Receiver<Push>,
    reports: i64,
}

impl Agent {
    async fn attach(engine: &Engine, held: Vec<Fence>, previous_epoch: i64) -> Self {
        let profile = AgentProfile { slots: 2, handles: vec![TaskHandler::named("work")], ..AgentProfile::default() };
        let request = AttachRequest {
            namespace: "default".into(),
            principal: "anonymous".into(),
            name: "ann".into(),
            profile: Arc::new(profile),
            held,
            previous_epoch,
            instance: "one".into(),
            takes_drain: true,
            takes_cancellation: true,
            takes_message_receipts: false,
            takes_children: true,
            message_window: Some(10),
        };
        let (stream, pushes) = engine.attach(request).await.unwrap();
        Self { stream, pushes, reports: 0 }
    }

    async fn assigned(&mut self) -> Fence {
        loop {
            match soon(self.pushes.recv()).await.expect("the stream is open") {
                Push::Assign(assignments) => return assignments[0].fence,
                _ => continue,
            }
        }
    }

    /// Which attempt is told to go on.
    async fn resumed(&mut self) -> Fence {
        loop {
            match soon(self.pushes.recv()).await.expect("the stream is open") {
                Push::Resume(resumptions) => return resumptions[0].fence,
                _ => continue,
            }
        }
    }

    async fn report(&mut self, fence: Fence, report: Report) {
        self.reports += 1;
        self.stream.report(vec![ReportItem { report_id: self.reports, fence, report }]).await.unwrap();
    }

    /// What the receipt of the last report says.
    async fn state_of_last_report(&mut self) -> StateName {
        loop {
            let Push::Receipts(receipts) = soon(self.pushes.recv()).await.expect("the stream is open") else {
                continue;
            };
            match receipts.into_iter().find(|receipt| receipt.report_id == self.reports).map(|receipt| receipt.status) {
                Some(ReceiptStatus::Committed(state)) => return state,
                Some(other) => panic!("{other:?}"),
                None => {}
            }
        }
    }

    async fn complete(&mut self, fence: Fence) {
        self.report(fence, Report::Accepted).await;
        let result = Arc::new(Payload::text("done"));
        self.report(fence, Report::Completed { result, digest: 1 }).await;
    }
}

/// Reads events as `WatchEvents` does, but only when it is told that there may be some. (What nobody told it of, that reads in ten seconds.)
struct Watching<'a> {
    engine: &'a Engine,
    scope: EventScope,
    signal: Watch,
    cursor: Cursor,
}

impl<'a> Watching<'a> {
    /// From now on.
    async fn begin(engine: &'a Engine, scope: EventScope) -> Self {
        let signal = engine.watch(scope);
        let cursor = engine.store().end_of_events().await.unwrap();
        Self { engine, scope, signal, cursor }
    }

    /// So many more events: of which tasks, and to which states they led.
    async fn next(&mut self, count: usize) -> Vec<(TaskId, StateName)> {
        let mut events = Vec::new();
        while events.len() < count {
            soon(self.signal.changed()).await;
            let page = self.engine.store().events(self.scope, Some(self.cursor), 100).await.unwrap();
            self.cursor = page.next;
            events.extend(page.events.iter().map(|event| (event.task, event.state)));
        }
        events
    }
}

async fn soon<T>(event: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(60), event).await.expect("it comes")
}

async fn run(engine: &Engine) -> (TaskId, tokio::sync::oneshot::Receiver<Arc<callboard_engine::Ended>>) {
    match engine.run(create()).await.unwrap() {
        (Reply::Tasks(receipts), end) => (receipts[0].task, end),
        (other, _) => panic!("{other:?}"),
    }
}

/// A test by hints alone, and the same by looking alone.
macro_rules! by_hints_and_by_looking {
    ($($test:ident)+) => {
        mod by_hints {
            $(#[tokio::test] async fn $test() { super::$test(super::Learns::ByHints).await; })+
        }

        mod by_looking {
            $(#[tokio::test] async fn $test() { super::$test(super::Learns::ByLooking).await; })+
        }
    };
}

by_hints_and_by_looking! {
    a_task_of_one_is_done_at_another_and_its_end_is_told_at_the_first
    a_cancellation_at_one_reaches_the_agent_at_another
    an_agent_that_went_to_another_keeps_its_attempt_and_its_old_stream_ends
    a_message_that_is_sent_at_one_reaches_the_agent_at_another
    output_that_one_takes_reaches_who_watches_at_another
    events_that_one_commits_reach_who_watches_at_another
    an_end_at_one_is_told_to_the_agent_that_awaits_it_at_another
    a_slot_that_one_frees_comes_back_to_the_agent_at_another
}

/// Nor is anybody sent to where the server itself is, as which what a killed one has left may say another is.
#[tokio::test]
async fn agents_of_one_that_drains_are_sent_to_those_that_do_not() {
    let store = Arc::new(MemoryStore::shared());
    let cluster = store.cluster().unwrap();
    let (b, c) = (replica_at(&store, "http://b:1").await, replica_at(&store, "http://c:1").await);
    cluster.register("killed").await.unwrap();
    cluster.advertise("killed", Some("http://a:1")).await.unwrap();
    b.drain(b.now());
    let is_taken_back = async || {
        let known = cluster.registrations().await.unwrap();
        known.iter().all(|known| known.address.as_deref() != Some("http://b:1"))
    };
    soon(async {
        while !is_taken_back().await {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
    let a = replica_at(&store, "http://a:1").await;
    let mut agent = Agent::attach(&a, Vec::new(), 0).await;
    a.drain(a.now());
    let to = loop {
        if let Push::Drain(leave) = soon(agent.pushes.recv()).await.expect("the stream is open") {
            break leave.to;
        }
    };
    assert_eq!(to.iter().map(|to| &**to).collect::<Vec<_>>(), ["http://c:1"]);
    for engine in [a, b, c] {
        engine.stop().await;
    }
}

async fn output_that_one_takes_reaches_who_watches_at_another(learns: Learns) {
    let (store, a, b) = two(learns).await;
    let mut agent = Agent::attach(&b, Vec::new(), 0).await;
    let (task, _end) = run(&a).await;
    let mut signal = a.watch_output(task);
    let namespace = a.namespace("default").await.unwrap();
    let fence = agent.assigned().await;
    for (offset, text) in [(0, "Once"), (4, " upon")] {
        let chunks = vec![Arc::new(Payload::text(text))];
        agent.report(fence, Report::Output(OutputBatch { offset, chunks })).await;
        while store.output((namespace, task, 1), offset, 10, 1_000).await.unwrap().chunks.is_empty() {
            soon(signal.changed()).await;
        }
    }
    agent.complete(fence).await;
    while store.task_row((namespace, task)).await.unwrap().unwrap().is_live() {
        soon(signal.changed()).await;
    }
    a.stop().await;
    b.stop().await;
}

async fn events_that_one_commits_reach_who_watches_at_another(learns: Learns) {
    let (_store, a, b) = two(learns).await;
    let namespace = b.namespace("default").await.unwrap();
    let cancel = async |task| {
        a.submit(envelope(Command::CancelTask { task, reason: "not wanted".into() })).await.unwrap();
    };
    let mut all = Watching::begin(&b, EventScope::Namespace(namespace)).await;
    let (first, _) = run(&a).await;
    assert_eq!(all.next(1).await, [(first, StateName::Ready)]);
    let mut one = Watching::begin(&b, EventScope::Task(namespace, first)).await;
    cancel(first).await;
    assert_eq!(one.next(1).await, [(first, StateName::Cancelled)]);
    assert_eq!(all.next(1).await, [(first, StateName::Cancelled)]);
    // Several commits before it reads again.
    let (second, _) = run(&a).await;
    let (third, _) = run(&a).await;
    cancel(second).await;
    let expected = [(second, StateName::Ready), (third, StateName::Ready), (second, StateName::Cancelled)];
    assert_eq!(all.next(3).await, expected);
    a.stop().await;
    b.stop().await;
}

async fn an_end_at_one_is_told_to_the_agent_that_awaits_it_at_another(learns: Learns) {
    let (_store, a, b) = two(learns).await;
    let mut agent = Agent::attach(&b, Vec::new(), 0).await;
    // Both of its slots are taken: the third waits.
    for _ in 0..2 {
        run(&a).await;
    }
    let (task, _) = run(&a).await;
    agent.stream.await_ends(vec![task]).unwrap();
    a.submit(envelope(Command::CancelTask { task, reason: "not wanted".into() })).await.unwrap();
    let end = loop {
        match soon(agent.pushes.recv()).await.expect("the stream is open") {
            Push::TaskEnds(told) => break told.ends[0].clone(),
            _ => continue,
        }
    };
    let state = end.outcome.map(|outcome| outcome.state);
    assert_eq!((end.task, state), (task, Some(StateName::Cancelled)));
    a.stop().await;
    b.stop().await;
}

/// Whoever commits the end gives the slot away, and tells the agent, which asks again each second if it didn't hear it.
async fn a_slot_that_one_frees_comes_back_to_the_agent_at_another(learns: Learns) {
    let (_store, a, b) = two(learns).await;
    let mut agent = Agent::attach(&b, Vec::new(), 0).await;
    a.submit(create()).await.unwrap();
    let waits = agent.assigned().await;
    agent.report(waits, Report::Pause).await;
    // Both of its slots are taken.
    for task in [create(), keyed("work")] {
        a.submit(task).await.unwrap();
        let fence = agent.assigned().await;
        agent.report(fence, Report::Accepted).await;
    }
    agent.report(waits, Report::Resume).await;
    assert_eq!(agent.state_of_last_report().await, StateName::Paused);
    // Replaced by one that the agent doesn't take: that ends it here and now.
    a.submit(keyed("other")).await.unwrap();
    match learns {
        Learns::ByHints => assert_eq!(agent.resumed().await, waits),
        Learns::ByLooking => {
            agent.report(waits, Report::Resume).await;
            assert_eq!(agent.state_of_last_report().await, StateName::Running);
        }
    }
    a.stop().await;
    b.stop().await;
}

async fn a_message_that_is_sent_at_one_reaches_the_agent_at_another(learns: Learns) {
    let (_store, a, b) = two(learns).await;
    let mut agent = Agent::attach(&b, Vec::new(), 0).await;
    for text in ["first", "second"] {
        let payload = Arc::new(Payload::text(text));
        let message = NewMessage {
            to: Address::Agent("ann".into()),
            payload: payload.clone(),
            headers: Default::default(),
            ttl: None,
        };
        a.submit(envelope(Command::SendMessage { from: None, message })).await.unwrap();
        let said = loop {
            match soon(agent.pushes.recv()).await.expect("the stream is open") {
                Push::Messages(messages) => break messages[0].clone(),
                _ => continue,
            }
        };
        assert_eq!(said.payload, payload);
    }
    a.stop().await;
    b.stop().await;
}

async fn a_task_of_one_is_done_at_another_and_its_end_is_told_at_the_first(learns: Learns) {
    let (_store, a, b) = two(learns).await;
    let mut agent = Agent::attach(&b, Vec::new(), 0).await;
    let (_, end) = run(&a).await;
    let fence = agent.assigned().await;
    agent.complete(fence).await;
    assert_eq!(soon(end).await.unwrap().task.state.name(), StateName::Completed);
    a.stop().await;
    b.stop().await;
}

async fn a_cancellation_at_one_reaches_the_agent_at_another(learns: Learns) {
    let (_store, a, b) = two(learns).await;
    let mut agent = Agent::attach(&b, Vec::new(), 0).await;
    let (task, end) = run(&a).await;
    let fence = agent.assigned().await;
    agent.report(fence, Report::Accepted).await;
    let namespace = a.namespace("default").await.unwrap();
    while a.store().task((namespace, task)).await.unwrap().unwrap().task.state.name() != StateName::Running {
        tokio::task::yield_now().await;
    }
    a.submit(envelope(Command::CancelTask { task, reason: "not wanted".into() })).await.unwrap();
    let stop = loop {
        match soon(agent.pushes.recv()).await.expect("the stream is open") {
            Push::Stop(stops) => break stops[0].clone(),
            _ => continue,
        }
    };
    assert_eq!((stop.fence, stop.reason), (fence, StopReason::Requested));
    agent.report(fence, Report::Rejected { reason: "stopped".into() }).await;
    assert_eq!(soon(end).await.unwrap().task.state.name(), StateName::Cancelled);
    a.stop().await;
    b.stop().await;
}

async fn an_agent_that_went_to_another_keeps_its_attempt_and_its_old_stream_ends(learns: Learns) {
    let (_store, a, b) = two(learns).await;
    let mut before = Agent::attach(&a, Vec::new(), 0).await;
    let (_, end) = run(&b).await;
    let fence = before.assigned().await;
    before.report(fence, Report::Accepted).await;
    let mut after = Agent::attach(&b, vec![fence], before.stream.attached.epoch).await;
    assert_eq!(after.stream.attached.held, [fence]);
    // The old stream is told, or just ends.
    while let Some(push) = soon(before.pushes.recv()).await {
        assert!(!matches!(push, Push::Assign(_)), "nothing more comes over it");
    }
    after.complete(fence).await;
    assert_eq!(soon(end).await.unwrap().task.state.name(), StateName::Completed);
    a.stop().await;
    b.stop().await;
}

/// A replica that stops says so: its sessions are adopted at the next look, and their agents have time to come back.
#[tokio::test]
async fn the_sessions_of_a_replica_that_stopped_are_adopted() {
    let (store, a, b) = two(Learns::ByHints).await;
    let mut agent = Agent::attach(&a, Vec::new(), 0).await;
    let (_, end) = run(&b).await;
    let fence = agent.assigned().await;
    agent.report(fence, Report::Accepted).await;
    let epoch = agent.stream.attached.epoch;
    a.stop().await;
    let cluster = store.cluster().unwrap();
    // Adopted, and so forgotten.
    let forgotten = async {
        while cluster.registrations().await.unwrap().len() > 1 {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    soon(forgotten).await;
    let mut agent = Agent::attach(&b, vec![fence], epoch).await;
    assert_eq!(agent.stream.attached.held, [fence], "the lease is still its own");
    agent.complete(fence).await;
    assert_eq!(soon(end).await.unwrap().task.state.name(), StateName::Completed);
    b.stop().await;
}
