//! What is decided while the store still saves the batch before: it is answered behind its own commit, and when the batch before
//! fails, it is decided again as if nothing had been.

use super::*;
use callboard_core::command::Report;
use callboard_core::model::{KeyConflict, StateName, TaskId, Timestamp};
use callboard_engine::{Assignment, Push, ReceiptStatus, ReportItem};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;
use tokio::sync::{Semaphore, oneshot};
use tokio::task::JoinSet;

/// Says when a task is decided: each draws one id.
struct Counted {
    inner: SystemEntropy,
    drawn: Arc<Semaphore>,
}

impl Entropy for Counted {
    fn bits(&mut self) -> u128 {
        self.inner.bits()
    }

    fn uuid_v7(&mut self, now: Timestamp) -> uuid::Uuid {
        self.drawn.add_permits(1);
        self.inner.uuid_v7(now)
    }
}

/// An engine whose commits wait; how many ids were drawn is known.
struct Held {
    engine: Engine,
    plan: Arc<Plan>,
    drawn: Arc<Semaphore>,
}

type Answer = oneshot::Receiver<Result<Reply, Error>>;

impl Held {
    async fn start() -> Self {
        let drawn = Arc::new(Semaphore::new(0));
        let entropy = Counted { inner: SystemEntropy::new(), drawn: drawn.clone() };
        let (engine, plan) = start_by_chance(Config::default(), Box::new(entropy)).await;
        // The first one learns the lane.
        engine.submit(create("first", None)).await.unwrap();
        hold_commits(&plan);
        drawn.forget_permits(usize::MAX >> 3);
        Self { engine, plan, drawn }
    }

    fn submit(&self, calls: &mut JoinSet<()>, envelope: Envelope) -> Answer {
        let (told, answer) = oneshot::channel();
        let engine = self.engine.clone();
        calls.spawn(async move { drop(told.send(engine.submit(envelope).await)) });
        answer
    }

    async fn until_decided(&self) {
        self.drawn.acquire().await.unwrap().forget();
    }

    /// A first call whose commit waits, and a second one that was decided meanwhile.
    async fn two(&self, calls: &mut JoinSet<()>, second: Envelope) -> (Answer, Answer) {
        let first = self.submit(calls, create("a", None));
        until_a_commit_waits(&self.plan).await;
        self.until_decided().await;
        let second = self.submit(calls, second);
        self.until_decided().await;
        (first, second)
    }

    fn let_go(&self, commits: usize) {
        self.plan.permits.add_permits(commits);
    }
}

fn id_of(answer: &Reply) -> TaskId {
    match answer {
        Reply::Tasks(receipts) => receipts[0].task,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn each_is_answered_behind_its_own_commit() {
    let held = Held::start().await;
    let mut calls = JoinSet::new();
    let (mut first, mut second) = held.two(&mut calls, create("b", None)).await;
    assert!(first.try_recv().is_err() && second.try_recv().is_err(), "nothing is committed");
    held.let_go(1);
    first.await.unwrap().unwrap();
    until_a_commit_waits(&held.plan).await;
    assert!(second.try_recv().is_err(), "its own commit waits");
    assert_eq!(count(&held.engine).await, 2);
    held.let_go(1_000);
    second.await.unwrap().unwrap();
    assert_eq!(count(&held.engine).await, 3);
    held.engine.stop().await;
}

#[tokio::test]
async fn when_the_one_before_fails_it_is_decided_again() {
    for fault in [Fault::Away, Fault::Refused, Fault::Unheard] {
        let held = Held::start().await;
        let mut calls = JoinSet::new();
        let (first, second) = held.two(&mut calls, create("b", None)).await;
        held.plan.next.lock().unwrap().push(fault);
        held.let_go(1_000);
        first.await.unwrap().expect_err("it was not told that it happened");
        let second = id_of(&second.await.unwrap().unwrap());
        let there = usize::from(fault == Fault::Unheard);
        assert_eq!(count(&held.engine).await, 2 + there, "{fault:?}");
        let namespace = held.engine.namespace("default").await.unwrap();
        assert!(held.engine.store().task((namespace, second)).await.unwrap().is_some(), "{fault:?}");
        held.engine.stop().await;
    }
}

fn with_key(mut envelope: Envelope) -> Envelope {
    if let Command::CreateTasks { tasks } = &mut envelope.command {
        tasks[0].spec.key = Some("key".into());
    }
    envelope
}

/// What one needs to know of the batch before, it waits for.
#[tokio::test]
async fn what_must_be_read_is_read_behind_the_one_before() {
    for fault in [None, Some(Fault::Refused)] {
        let held = Held::start().await;
        let mut calls = JoinSet::new();
        // It looks whether its key is taken, and begins a transaction for that, which has ended then.
        let first = held.submit(&mut calls, with_key(create("a", None)));
        until_a_commit_waits(&held.plan).await;
        let second = held.submit(&mut calls, with_key(create("b", None)));
        held.plan.next.lock().unwrap().extend(fault);
        held.let_go(1_000);
        let (first, second) = (first.await.unwrap(), second.await.unwrap().unwrap());
        match fault {
            None => assert_eq!(id_of(&first.unwrap()), id_of(&second), "the key was taken"),
            Some(_) => assert!(first.is_err(), "and the key was free"),
        }
        assert_eq!(count(&held.engine).await, 2);
        held.engine.stop().await;
    }
}

/// An agent that completes everything, and remembers what was receipted. What is to be reported again, it reports again.
async fn work(engine: Engine, name: &'static str, completed: Arc<Mutex<BTreeSet<TaskId>>>) {
    let mut request = agent(name);
    Arc::make_mut(&mut request.profile).slots = 8;
    let (stream, mut pushes) = loop {
        if let Ok(attached) = engine.attach(request.clone()).await {
            break attached;
        }
    };
    let mut reports = BTreeMap::new();
    while let Some(push) = pushes.recv().await {
        let mut now = Vec::new();
        match push {
            Push::Assign(assignments) => {
                for Assignment { fence, .. } in assignments {
                    let result = Arc::new(Payload::text("done"));
                    for report in [Report::Accepted, Report::Completed { result, digest: 1 }] {
                        let report_id = reports.len() as i64 + 1;
                        let item = ReportItem { report_id, fence, report };
                        reports.insert(report_id, item.clone());
                        now.push(item);
                    }
                }
            }
            Push::Receipts(receipts) => {
                for receipt in receipts {
                    let item = &reports[&receipt.report_id];
                    match receipt.status {
                        ReceiptStatus::Committed(_) if item.report.closes().is_some() => {
                            completed.lock().unwrap().insert(item.fence.task);
                        }
                        ReceiptStatus::Retry(_) => now.push(item.clone()),
                        ReceiptStatus::Committed(_) | ReceiptStatus::Refused(..) => {}
                    }
                }
            }
            _ => {}
        }
        stream.report(now).await.unwrap();
    }
}

async fn count_all(engine: &Engine) -> usize {
    let namespace = engine.namespace("default").await.unwrap();
    let (mut before, mut all) = (None, 0);
    loop {
        let page = engine.store().tasks(namespace, &TaskFilter::default(), before, 1_000).await.unwrap();
        all += page.tasks.len();
        match page.next {
            Some(next) => before = Some(next),
            None => return all,
        }
    }
}

/// Many callers, agents that report, and commits that fail by chance: what was acknowledged is there, with its end; what was
/// refused is not; and no report was receipted that is not in the store.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn under_load_and_faults_acknowledgements_are_true() {
    const CALLERS: usize = 16;
    const CALLS: usize = 60;
    let (engine, plan) = start().await;
    let faults = [Fault::Away, Fault::Refused];
    let mut background = JoinSet::new();
    let completed: Arc<Mutex<BTreeSet<TaskId>>> = Arc::default();
    for name in ["ann", "bob"] {
        background.spawn(work(engine.clone(), name, completed.clone()));
    }
    let injected = plan.clone();
    background.spawn(async move {
        for n in 0.. {
            injected.waiting.acquire_many(25).await.unwrap().forget();
            injected.next.lock().unwrap().push(faults[n % faults.len()]);
        }
    });
    let mut callers = JoinSet::new();
    for caller in 0..CALLERS {
        let engine = engine.clone();
        callers.spawn(async move {
            let mut told = Vec::new();
            for call in 0..CALLS {
                let description = format!("{caller}.{call}");
                let answer = engine.submit(create(&description, None)).await;
                told.push((description, answer.ok().map(|reply| id_of(&reply))));
            }
            told
        });
    }
    let told: BTreeMap<String, Option<TaskId>> = callers.join_all().await.into_iter().flatten().collect();
    assert_eq!(told.len(), CALLERS * CALLS);
    let namespace = engine.namespace("default").await.unwrap();
    for (description, task) in &told {
        let Some(task) = task else { continue };
        let ended = engine.wait((namespace, *task)).unwrap();
        let view = engine.store().task((namespace, *task)).await.unwrap().expect("it was acknowledged");
        assert_eq!(view.task.spec.description, *description);
        if view.task.is_live() {
            // A report whose batch failed is sent again by its agent.
            ended.await.expect("it ends");
        }
    }
    background.shutdown().await;
    let acknowledged = told.values().filter(|task| task.is_some()).count();
    assert!(acknowledged < told.len(), "some commits failed");
    assert_eq!(count_all(&engine).await, acknowledged, "and nothing of those is there");
    let completed = completed.lock().unwrap().clone();
    for task in completed {
        let view = engine.store().task((namespace, task)).await.unwrap().unwrap();
        assert_eq!(view.task.state.name(), StateName::Completed, "its report was receipted");
    }
    engine.stop().await;
}

/// The one that is replaced ends in the batch that creates it.
fn replacing(description: &str) -> Envelope {
    let mut envelope = create(description, None);
    if let Command::CreateTasks { tasks } = &mut envelope.command {
        tasks[0].spec.key = Some("report".into());
        tasks[0].on_key_conflict = KeyConflict::Replace;
    }
    envelope
}

#[tokio::test]
async fn who_runs_a_task_is_told_that_another_of_its_batch_replaced_it() {
    let (engine, plan) = start().await;
    plan.begins.forget_permits(usize::MAX >> 3);
    plan.beginning.forget_permits(usize::MAX >> 3);
    let mut calls = JoinSet::from_iter([{
        let engine = engine.clone();
        async move { engine.submit(with_key(create("asks for its key", None))).await }
    }]);
    plan.beginning.acquire().await.unwrap().forget();
    // While the store is asked, these gather: they make one batch.
    let release = async { plan.begins.add_permits(1_000_000) };
    let (run, another, ()) = tokio::join!(engine.run(replacing("one")), engine.submit(replacing("another")), release);
    let (_, end) = run.unwrap();
    another.unwrap();
    let ended = tokio::time::timeout(Duration::from_secs(20), end).await.expect("it is told of the end").unwrap();
    assert_eq!(ended.task.state.name(), StateName::Cancelled);
    calls.join_next().await.unwrap().unwrap().unwrap();
    engine.stop().await;
}
