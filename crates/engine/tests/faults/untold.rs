//! An agent that could not be told of its assignment attaches anew, and is told then: it need not wait for its time of acceptance.
//! And it is awaited while it can't attach.

use super::*;
use callboard_core::command::Report;
use callboard_engine::{Push, ReportItem, Stream};
use std::sync::atomic::Ordering;
use tokio::task::JoinSet;

async fn over(pushes: &mut Receiver<Push>) {
    while let Some(push) = tokio::time::timeout(PATIENCE, pushes.recv()).await.expect("the stream ends") {
        assert!(!matches!(push, Push::Assign(_)), "{push:?}");
    }
}

/// The same program attaches again, and has nothing.
async fn anew(engine: &Engine, before: &Stream) -> (Stream, Receiver<Push>) {
    engine.attach(AttachRequest { previous_epoch: before.attached.epoch, ..agent("ann") }).await.unwrap()
}

#[tokio::test]
async fn by_a_commit_that_nobody_heard_of() {
    let (engine, plan) = start_patient().await;
    let (stream, mut pushes) = engine.attach(agent("ann")).await.unwrap();
    plan.next.lock().unwrap().push(Fault::Unheard);
    engine.submit(create("once", Some("r"))).await.unwrap();
    over(&mut pushes).await;
    let (_stream, mut pushes) = anew(&engine, &stream).await;
    assigned(&mut pushes).await;
    engine.stop().await;
}

#[tokio::test]
async fn by_an_input_that_could_not_be_read() {
    let (engine, plan) = start_patient().await;
    let (stream, mut pushes) = engine.attach(agent("ann")).await.unwrap();
    engine.submit(create("first", None)).await.unwrap();
    let fence = assigned(&mut pushes).await.fence;
    let completed = Report::Completed { result: Arc::new(Payload::text("done")), digest: 1 };
    for (report_id, report) in [(1, Report::Accepted), (2, completed)] {
        stream.report(vec![ReportItem { report_id, fence, report }]).await.unwrap();
    }
    plan.unreadable.store(true, Ordering::Relaxed);
    // What it carries is read behind its commit.
    engine.submit(dependent(fence.task)).await.unwrap();
    over(&mut pushes).await;
    plan.unreadable.store(false, Ordering::Relaxed);
    let (_stream, mut pushes) = anew(&engine, &stream).await;
    assert_eq!(assigned(&mut pushes).await.dependencies.len(), 1);
    engine.stop().await;
}

/// What of a store may take long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Slow {
    Begin,
    Commit,
}

/// Nobody can attach while the store is away, so that this time is not an agent's.
#[tokio::test]
async fn who_is_awaited_is_awaited_longer_when_the_store_is_away() {
    for slow in [Slow::Begin, Slow::Commit] {
        awaited_longer(slow).await;
    }
}

async fn awaited_longer(slow: Slow) {
    let rules = Settings { stream_lease: Span::seconds(3_600), ..Settings::default() };
    let (store, plan) = FaultyStore::shared();
    let config = Config { rules, reattach_grace: Duration::from_millis(500), ..Config::default() };
    let clock = Arc::new(SystemClock::start());
    let engine = Engine::start(store, config, clock, Box::new(SystemEntropy::new())).await.unwrap();
    let (stream, mut pushes) = engine.attach(agent("ann")).await.unwrap();
    engine.submit(create("held", None)).await.unwrap();
    let fence = assigned(&mut pushes).await.fence;
    stream.report(vec![ReportItem { report_id: 1, fence, report: Report::Accepted }]).await.unwrap();
    engine.submit(create("behind the report", None)).await.unwrap();
    let previous_epoch = stream.attached.epoch;
    let (gate, asked) = match slow {
        Slow::Begin => (&plan.begins, &plan.beginning),
        Slow::Commit => (&plan.permits, &plan.waiting),
    };
    gate.forget_permits(usize::MAX >> 3);
    asked.forget_permits(usize::MAX >> 3);
    drop((stream, pushes));
    let mut calls = JoinSet::new();
    if slow == Slow::Commit {
        let engine = engine.clone();
        calls.spawn(async move { engine.submit(create("slow", None)).await });
    }
    tokio::time::timeout(PATIENCE, asked.acquire()).await.expect("the store is asked").unwrap().forget();
    // So long that it counts as away; the session's end is ordered meanwhile.
    let forever = std::future::pending::<()>();
    tokio::time::timeout(Duration::from_millis(1_500), forever).await.unwrap_err();
    gate.add_permits(1_000_000);
    let request = AttachRequest { previous_epoch, held: vec![fence], ..agent("ann") };
    let (stream, _pushes) = engine.attach(request).await.unwrap();
    assert_eq!(stream.attached.held.len(), 1, "{slow:?}: it goes on with what it has");
    calls.join_all().await.into_iter().for_each(|answer| drop(answer.unwrap()));
    engine.stop().await;
}
