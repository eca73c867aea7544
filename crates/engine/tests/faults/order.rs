//! The reports of one attempt keep their order, also when the store fails under one of them and the next wait behind it.

use super::*;
use callboard_core::command::{Fence, Report};
use callboard_core::model::{NamespaceId, OutputBatch, Progress, StateName, TaskId};
use callboard_engine::{Push, ReceiptStatus, ReportItem, Stream};
use std::collections::BTreeMap;
use tokio::sync::mpsc;

/// An agent with an attempt, at an engine whose commits wait.
struct Working {
    engine: Engine,
    plan: Arc<Plan>,
    stream: Stream,
    pushes: mpsc::Receiver<Push>,
    fence: Fence,
}

impl Working {
    /// A store that the engine has alone saves one batch while the next is decided; before one that is shared, they wait.
    async fn start(alone: bool) -> Self {
        let (store, plan) = if alone { FaultyStore::new() } else { FaultyStore::shared() };
        let clock = Arc::new(SystemClock::start());
        let entropy = Box::new(SystemEntropy::new());
        let engine = Engine::start(store, Config::default(), clock, entropy).await.unwrap();
        let (stream, mut pushes) = engine.attach(agent("ann")).await.unwrap();
        engine.submit(create("gives output", None)).await.unwrap();
        let fence = match soon(pushes.recv()).await {
            Some(Push::Assign(assignments)) => assignments[0].fence,
            other => panic!("{other:?}"),
        };
        hold_commits(&plan);
        Self { engine, plan, stream, pushes, fence }
    }

    async fn report(&self, reports: impl IntoIterator<Item = (i64, Report)>) {
        let fence = self.fence;
        let items = reports.into_iter().map(|(report_id, report)| ReportItem { report_id, fence, report });
        self.stream.report(items.collect()).await.unwrap();
    }

    /// The first is on its way to a store that will not take it when the others come.
    async fn lose(&self, first: (i64, Report), behind: impl IntoIterator<Item = (i64, Report)>) {
        self.plan.next.lock().unwrap().push(Fault::Away);
        self.report([first]).await;
        until_a_commit_waits(&self.plan).await;
        self.report(behind).await;
        self.plan.permits.add_permits(1_000);
    }

    /// What became of these reports, in the order in which they are asked for.
    async fn told<const N: usize>(&mut self, reports: [i64; N]) -> [&'static str; N] {
        let mut told = BTreeMap::new();
        while !reports.iter().all(|report| told.contains_key(report)) {
            let Some(Push::Receipts(receipts)) = soon(self.pushes.recv()).await else { continue };
            told.extend(receipts.into_iter().map(|receipt| (receipt.report_id, in_a_word(&receipt.status))));
        }
        reports.map(|report| told[&report])
    }

    /// What the task gave, and how it stands.
    async fn given(&self) -> (String, StateName) {
        let store = self.engine.store();
        let task = (self.namespace().await, self.fence.task);
        let page = store.output((task.0, task.1, 1), 0, 100, 1 << 20).await.unwrap();
        let text = page.chunks.iter().map(|chunk| String::from_utf8(chunk.data.content.bytes().to_vec()).unwrap());
        (text.collect(), store.task_row(task).await.unwrap().unwrap().state.name())
    }

    async fn namespace(&self) -> NamespaceId {
        self.engine.namespace("default").await.unwrap()
    }
}

async fn soon<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(20), future).await.expect("it comes")
}

fn in_a_word(status: &ReceiptStatus) -> &'static str {
    match status {
        ReceiptStatus::Committed(_) => "committed",
        ReceiptStatus::Refused(..) => "refused",
        ReceiptStatus::Retry(_) => "retry",
    }
}

fn output(offset: u64, text: &str) -> Report {
    Report::Output(OutputBatch { offset, chunks: vec![Arc::new(Payload::text(text))] })
}

fn completed() -> Report {
    Report::Completed { result: Arc::new(Payload::text("done")), digest: 1 }
}

#[tokio::test]
async fn an_end_waits_for_output_that_is_to_be_sent_again() {
    for alone in [true, false] {
        let mut working = Working::start(alone).await;
        working.lose((2, output(0, "Once")), [(3, output(4, " upon")), (4, completed())]).await;
        assert_eq!(working.told([2, 3, 4]).await, ["retry"; 3], "alone: {alone}");
        working.report([(2, output(0, "Once")), (3, output(4, " upon")), (4, completed())]).await;
        assert_eq!(working.told([2, 3, 4]).await, ["committed"; 3], "alone: {alone}");
        assert_eq!(working.given().await, ("Once upon".into(), StateName::Completed));
        working.engine.stop().await;
    }
}

#[tokio::test]
async fn what_comes_later_waits_as_well_and_what_fails_again_is_awaited_again() {
    let mut working = Working::start(true).await;
    working.lose((2, output(0, "Once")), [(3, output(4, " upon"))]).await;
    assert_eq!(working.told([2, 3]).await, ["retry"; 2]);
    // Sent before the agent read that.
    working.report([(4, completed())]).await;
    assert_eq!(working.told([4]).await, ["retry"]);
    hold_commits(&working.plan);
    working.lose((2, output(0, "Once")), [(3, output(4, " upon")), (4, completed())]).await;
    assert_eq!(working.told([2, 3, 4]).await, ["retry"; 3]);
    working.report([(2, output(0, "Once")), (3, output(4, " upon")), (4, completed())]).await;
    assert_eq!(working.told([2, 3, 4]).await, ["committed"; 3]);
    assert_eq!(working.given().await, ("Once upon".into(), StateName::Completed));
    working.engine.stop().await;
}

#[tokio::test]
async fn nothing_waits_for_an_acceptance_or_for_progress() {
    for lost in [Report::Accepted, Report::Progress(Progress::default())] {
        let mut working = Working::start(true).await;
        working.lose((2, lost), [(3, completed())]).await;
        assert_eq!(working.told([2, 3]).await, ["retry", "committed"]);
        working.engine.stop().await;
    }
}

#[tokio::test]
async fn what_is_refused_holds_nobody_up() {
    let mut working = Working::start(true).await;
    working.lose((2, output(0, "Once")), [(3, output(7, "behind a gap")), (4, completed())]).await;
    assert_eq!(working.told([2, 3, 4]).await, ["retry"; 3]);
    working.report([(2, output(0, "Once")), (3, output(7, "behind a gap")), (4, completed())]).await;
    assert_eq!(working.told([2, 3, 4]).await, ["committed", "refused", "committed"]);
    working.engine.stop().await;
}

#[tokio::test]
async fn what_its_agent_gave_up_holds_nobody_up() {
    let mut working = Working::start(true).await;
    working.lose((2, output(0, "Once")), [(3, completed())]).await;
    assert_eq!(working.told([2, 3]).await, ["retry"; 2]);
    working.report([(3, completed())]).await;
    assert_eq!(working.told([3]).await, ["committed"]);
    working.engine.stop().await;
}

#[tokio::test]
async fn another_attempt_and_another_stream_wait_for_nothing() {
    let mut working = Working::start(true).await;
    working.lose((2, output(0, "Once")), [(3, completed())]).await;
    assert_eq!(working.told([2, 3]).await, ["retry"; 2]);
    let another = Fence { task: TaskId(uuid::Uuid::nil()), ..working.fence };
    let item = ReportItem { report_id: 4, fence: another, report: completed() };
    working.stream.report(vec![item]).await.unwrap();
    assert_eq!(working.told([4]).await, ["refused"], "it was decided");
    let previous_epoch = working.stream.attached.epoch;
    let again = AttachRequest { held: vec![working.fence], previous_epoch, ..agent("ann") };
    (working.stream, working.pushes) = working.engine.attach(again).await.unwrap();
    working.report([(3, completed())]).await;
    assert_eq!(working.told([3]).await, ["committed"]);
    working.engine.stop().await;
}
