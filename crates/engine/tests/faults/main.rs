//! What the engine does when its store fails: one poisoned command fails alone, nothing is answered before its commit, and an
//! outcome that nobody knows is looked up before anybody is told.

// Helpers of tests stand outside of tests.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

mod archive;
mod at_hand;
mod beside;
mod crossing;
mod order;
mod store;
mod untold;

use callboard_core::command::{Command, Envelope, Reply, RequestToken};
use callboard_core::model::{AgentProfile, NewDependency, OnFailure, Payload, Span, TaskHandler, TaskId, TaskSpec};
use callboard_core::{Entropy, Reason, Settings};
use callboard_engine::{Assignment, AttachRequest, Config, Engine, Error, Push, SystemClock, SystemEntropy};
use callboard_store::TaskFilter;
use futures::FutureExt;
use futures::future::join_all;
use std::sync::Arc;
use std::time::Duration;
use store::{Fault, FaultyStore, POISON, Plan};
use tokio::sync::mpsc::Receiver;

const PATIENCE: Duration = Duration::from_secs(20);

async fn start() -> (Engine, Arc<Plan>) {
    start_with(Config::default()).await
}

async fn start_with(config: Config) -> (Engine, Arc<Plan>) {
    start_by_chance(config, Box::new(SystemEntropy::new())).await
}

/// An engine in which no time runs out.
async fn start_patient() -> (Engine, Arc<Plan>) {
    let rules =
        Settings { stream_lease: Span::seconds(3_600), accept_within: Span::seconds(3_600), ..Settings::default() };
    start_with(Config { rules, ..Config::default() }).await
}

async fn start_by_chance(config: Config, entropy: Box<dyn Entropy>) -> (Engine, Arc<Plan>) {
    let (store, plan) = FaultyStore::new();
    let clock = Arc::new(SystemClock::start());
    let engine = Engine::start(store, config, clock, entropy).await.unwrap();
    (engine, plan)
}

/// Commits wait from now on, each for a permit.
fn hold_commits(plan: &Plan) {
    plan.permits.forget_permits(usize::MAX >> 3);
    plan.waiting.forget_permits(usize::MAX >> 3);
}

#[tokio::test]
async fn a_server_whose_commits_hang_is_not_ready_and_says_why() {
    let (engine, plan) = start().await;
    assert_eq!(engine.unready().await, Vec::<String>::new());
    hold_commits(&plan);
    let asking = tokio::task::JoinSet::from_iter([{
        let engine = engine.clone();
        async move { engine.submit(create("one", None)).await }
    }]);
    until_a_commit_waits(&plan).await;
    let reasons = engine.unready().await;
    assert!(reasons.iter().any(|reason| reason.contains("no transaction ended")), "{reasons:?}");
    plan.permits.add_permits(10);
    asking.join_all().await.into_iter().for_each(|answer| drop(answer.unwrap()));
    assert_eq!(engine.unready().await, Vec::<String>::new());
    engine.stop().await;
    assert!(engine.unready().await.iter().any(|reason| reason.contains("draining")));
}

async fn until_a_commit_waits(plan: &Plan) {
    plan.waiting.acquire().await.unwrap().forget();
}

fn create(description: &str, request_id: Option<&str>) -> Envelope {
    let spec = TaskSpec { description: description.into(), ..TaskSpec::of_type("work") };
    Envelope {
        namespace: "default".into(),
        principal: "anonymous".into(),
        request: request_id.map(|id| RequestToken { method: "CreateTask", id: id.into(), digest: vec![1] }),
        command: Command::CreateTasks { tasks: vec![spec.into()] },
    }
}

fn dependent(on: TaskId) -> Envelope {
    let mut envelope = create("second", None);
    if let Command::CreateTasks { tasks } = &mut envelope.command {
        tasks[0].dependencies.push(NewDependency::on(on, OnFailure::Fail));
    }
    envelope
}

async fn count(engine: &Engine) -> usize {
    let namespace = engine.namespace("default").await.unwrap();
    engine.store().tasks(namespace, &TaskFilter::default(), None, 1_000).await.unwrap().tasks.len()
}

#[tokio::test]
async fn one_poisoned_command_fails_alone() {
    let (engine, plan) = start().await;
    hold_commits(&plan);
    let first = tokio::task::LocalSet::new();
    let calls: Vec<Envelope> = (0..40).map(|n| create(if n == 17 { POISON } else { "good" }, None)).collect();
    let answers = first.run_until(async {
        let held = tokio::task::spawn_local({
            let engine = engine.clone();
            async move { engine.submit(create("first", None)).await }
        });
        until_a_commit_waits(&plan).await;
        // While the first transaction commits, these gather: they make one batch.
        let all = join_all(calls.into_iter().map(|envelope| engine.submit(envelope)));
        let release = async {
            tokio::task::yield_now().await;
            plan.permits.add_permits(1_000);
        };
        let (answers, ()) = tokio::join!(all, release);
        held.await.unwrap().unwrap();
        answers
    });
    let answers = answers.await;
    for (n, answer) in answers.iter().enumerate() {
        match answer {
            Ok(_) => assert_ne!(n, 17),
            Err(Error::Internal(_)) => assert_eq!(n, 17),
            Err(other) => panic!("{n}: {other}"),
        }
    }
    assert_eq!(count(&engine).await, 40);
    let refused = plan.refused.lock().unwrap().clone();
    assert!(
        refused[0] > 1 && refused.last() == Some(&1),
        "it was one of a batch, and was found by halving: {refused:?}"
    );
    engine.stop().await;
}

#[tokio::test]
async fn nothing_is_answered_before_its_commit() {
    let (engine, plan) = start().await;
    hold_commits(&plan);
    let mut call = Box::pin(engine.submit(create("good", None)));
    tokio::select! {
        biased;
        answer = &mut call => panic!("answered before the commit: {answer:?}"),
        () = until_a_commit_waits(&plan) => {}
    }
    assert_eq!(count(&engine).await, 0);
    plan.permits.add_permits(1_000);
    assert!(matches!(call.await, Ok(Reply::Tasks(_))));
    assert_eq!(count(&engine).await, 1);
    engine.stop().await;
}

#[tokio::test]
async fn an_unknown_commit_is_looked_up_before_anybody_is_told() {
    let (engine, plan) = start().await;
    plan.next.lock().unwrap().push(Fault::Unheard);
    let told = engine.submit(create("once", Some("r"))).await.unwrap();
    assert_eq!(count(&engine).await, 1, "it was committed, and is not done again");
    assert_eq!(engine.submit(create("once", Some("r"))).await.unwrap(), told);
    // Without a request id nobody can tell whether it was this one.
    plan.next.lock().unwrap().push(Fault::Unheard);
    assert!(matches!(engine.submit(create("unnamed", None)).await, Err(Error::Unknown(_))));
    assert_eq!(count(&engine).await, 2);
    engine.stop().await;
}

#[tokio::test]
async fn a_store_that_is_away_refuses_and_comes_back() {
    let (engine, plan) = start().await;
    plan.next.lock().unwrap().push(Fault::Away);
    assert!(matches!(engine.submit(create("good", None)).await, Err(Error::Store(_))));
    assert_eq!(count(&engine).await, 0);
    engine.submit(create("good", None)).await.unwrap();
    assert_eq!(count(&engine).await, 1);
    engine.stop().await;
}

#[tokio::test]
async fn a_disk_that_fails_ends_the_engine() {
    let (engine, plan) = start().await;
    plan.next.lock().unwrap().push(Fault::Disk);
    assert!(matches!(engine.submit(create("good", None)).await, Err(Error::Unknown(_))));
    let why = tokio::time::timeout(Duration::from_secs(10), engine.failed()).await.expect("the process is told to end");
    assert!(why.contains("no space is left"), "{why}");
    assert!(matches!(engine.submit(create("good", None)).await, Err(Error::Draining)), "nothing more is taken");
}

/// One row that can't be read would be met again at each start: only a disk that fails ends the engine from beside the commands.
#[tokio::test]
async fn what_is_damaged_among_old_rows_ends_nothing_and_a_disk_that_fails_does() {
    let (engine, plan) = start_with(Config { retention: Some(Duration::from_secs(1)), ..Config::default() }).await;
    let says = |error| *plan.beside.lock().unwrap() = Some(error);
    says(callboard_store::Error::Corrupt);
    // What the first was answered has had its effect when the third is.
    plan.met(3).await;
    assert_eq!(engine.failed().now_or_never(), None, "it goes on");
    says(callboard_store::Error::Io);
    let why = tokio::time::timeout(PATIENCE, engine.failed()).await.expect("the process is told to end");
    assert!(why.contains("no such sector") && !why.contains("corrupt"), "{why}");
}

fn agent(name: &str) -> AttachRequest {
    let profile = AgentProfile { slots: 1, handles: vec![TaskHandler::named("work")], ..AgentProfile::default() };
    AttachRequest {
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
        message_window: None,
    }
}

async fn assigned(pushes: &mut Receiver<Push>) -> Assignment {
    loop {
        match tokio::time::timeout(PATIENCE, pushes.recv()).await.expect("an assignment comes") {
            Some(Push::Assign(mut assignments)) => return assignments.remove(0),
            Some(_) => {}
            None => panic!("the stream ended"),
        }
    }
}

#[tokio::test]
async fn no_more_agents_attach_than_there_are_places() {
    let (engine, _plan) = start_with(Config { attached: 1, ..Config::default() }).await;
    let first = engine.attach(agent("ann")).await.unwrap();
    match engine.attach(agent("bob")).await {
        Err(Error::Rejected(rejection)) => assert_eq!(rejection.reason, Reason::LimitReached, "{rejection}"),
        other => panic!("{other:?}"),
    }
    drop(first);
    engine.attach(agent("bob")).await.expect("a place is free again");
    engine.stop().await;
}

/// Whoever gave up waiting is attached elsewhere by now: a session here would end the one there.
#[tokio::test]
async fn who_has_gone_before_it_was_attached_is_not() {
    let (engine, plan) = start().await;
    hold_commits(&plan);
    let mut first = Box::pin(engine.attach(agent("ann")));
    assert!(futures::poll!(&mut first).is_pending());
    until_a_commit_waits(&plan).await;
    // It waits for the commit of the first.
    let mut gone = Box::pin(engine.attach(agent("bob")));
    assert!(futures::poll!(&mut gone).is_pending());
    drop(gone);
    plan.permits.add_permits(100);
    first.await.unwrap();
    let (again, _pushes) = engine.attach(agent("bob")).await.unwrap();
    assert_eq!(again.attached.epoch, 1, "it was never attached");
    engine.stop().await;
}

/// Whoever gave up waiting may have asked another server, and have been refused there for good.
#[tokio::test]
async fn whose_caller_has_gone_before_it_was_decided_is_not_decided() {
    let (engine, plan) = start().await;
    hold_commits(&plan);
    let mut first = Box::pin(engine.submit(create("first", None)));
    assert!(futures::poll!(&mut first).is_pending());
    until_a_commit_waits(&plan).await;
    let mut gone = Box::pin(engine.submit(create("gone", Some("a"))));
    assert!(futures::poll!(&mut gone).is_pending());
    drop(gone);
    plan.permits.add_permits(100);
    first.await.unwrap();
    engine.submit(create("behind it", None)).await.unwrap();
    assert_eq!(count(&engine).await, 2);
    engine.stop().await;
}

/// Who gives a run up doesn't want to hear of its end: its task goes on.
#[tokio::test]
async fn a_run_that_was_given_up_before_it_was_decided_has_its_task() {
    let (engine, plan) = start().await;
    hold_commits(&plan);
    let mut first = Box::pin(engine.submit(create("first", None)));
    assert!(futures::poll!(&mut first).is_pending());
    until_a_commit_waits(&plan).await;
    let mut gone = Box::pin(engine.run(create("run", Some("a"))));
    assert!(futures::poll!(&mut gone).is_pending());
    drop(gone);
    plan.permits.add_permits(100);
    first.await.unwrap();
    engine.submit(create("behind it", None)).await.unwrap();
    assert_eq!(count(&engine).await, 3);
    engine.stop().await;
}

#[tokio::test]
async fn who_attaches_while_a_drain_begins_is_told_to_go() {
    let (engine, plan) = start().await;
    hold_commits(&plan);
    let mut attaching = tokio::task::JoinSet::from_iter([{
        let engine = engine.clone();
        async move { engine.attach(agent("ann")).await }
    }]);
    until_a_commit_waits(&plan).await;
    engine.drain(engine.now() + Span::seconds(10));
    plan.permits.add_permits(100);
    let (_stream, mut pushes) = attaching.join_next().await.unwrap().unwrap().unwrap();
    let told = tokio::time::timeout(Duration::from_secs(20), pushes.recv()).await.expect("it is told");
    assert!(matches!(told, Some(Push::Drain(_))), "{told:?}");
    engine.stop().await;
}
