//! What a replica tells of its commits: behind each of them, and of many at once.

use crate::{Ground, Replica, ask, create, soon};
use callboard_core::command::Command;
use callboard_core::model::TaskSpec;
use callboard_core::working_set::TaskRef;
use callboard_engine::{Config, Error};
use callboard_store::EventScope;
use futures::FutureExt;
use std::collections::BTreeSet;
use std::time::Duration;
use tokio::task::JoinSet;

/// How many commits come while a hint is on its way.
const COMMITS: usize = 50;

/// Nothing is found by looking: the sweep is so far off that a test ends first.
fn config() -> Config {
    Config { sweep: Duration::from_secs(3_600), ..Config::default() }
}

/// Time is paused: it goes on when all that can be done is done. It is less than what counts as an outage of the store.
async fn until_nothing_is_left_to_do() {
    tokio::time::sleep(Duration::from_millis(500)).await;
}

/// How often a replica sent, or heard, a hint.
async fn counted(replica: &Replica, direction: &str) -> String {
    let name = format!("callboard_hints_total{{direction=\"{direction}\"}} ");
    let metrics = replica.engine.metrics().await;
    metrics.lines().find_map(|line| line.strip_prefix(&name)).expect("it is counted").to_owned()
}

#[tokio::test(start_paused = true)]
async fn what_is_committed_while_a_hint_is_on_its_way_is_told_of_together() {
    let ([a, b], record) = Ground::in_memory().replicas(config()).await;
    let namespace = a.engine.namespace("default").await.unwrap();
    a.way.hints.hold();
    let first = create(&a.engine, |_| {}).await;
    soon(a.way.hints.somebody_came()).await;
    let mut tasks: BTreeSet<TaskRef> = BTreeSet::new();
    for _ in 0..COMMITS {
        tasks.insert((namespace, create(&a.engine, |_| {}).await));
    }
    let mut told_at_b = b.engine.watch(EventScope::Namespace(namespace));
    until_nothing_is_left_to_do().await;
    assert_eq!(record.commits_of("a").len(), 1 + COMMITS, "each was a commit of its own");
    assert_eq!(record.told_by("a").len(), 1, "only the first was told of");
    a.way.hints.let_go();
    until_nothing_is_left_to_do().await;
    let told: Vec<BTreeSet<TaskRef>> = record.told_by("a").into_iter().map(|hint| hint.tasks).collect();
    assert_eq!(told, [BTreeSet::from([(namespace, first)]), tasks], "and the others together");
    assert_eq!((counted(&a, "sent").await, counted(&b, "heard").await), ("2".to_owned(), "2".to_owned()));
    assert!(told_at_b.changed().now_or_never().is_some());
    record.assert_told_behind_commits();
    a.engine.stop().await;
    b.engine.stop().await;
}

#[tokio::test(start_paused = true)]
async fn nothing_is_told_of_before_its_commit_nor_what_is_not_committed() {
    let ([a, b], record) = Ground::in_memory().replicas(config()).await;
    let namespace = a.engine.namespace("default").await.unwrap();
    let told = || record.told_by("a").into_iter().flat_map(|hint| hint.tasks).collect::<Vec<TaskRef>>();
    let mut told_at_b = b.engine.watch(EventScope::Namespace(namespace));
    a.way.commits.hold();
    let mut creating = JoinSet::from_iter([{
        let engine = a.engine.clone();
        async move { create(&engine, |_| {}).await }
    }]);
    soon(a.way.commits.somebody_came()).await;
    until_nothing_is_left_to_do().await;
    assert_eq!(told(), [], "it is decided and saved, and not committed");
    assert!(told_at_b.changed().now_or_never().is_none());
    a.way.commits.let_go();
    let task = soon(creating.join_next()).await.unwrap().unwrap();
    until_nothing_is_left_to_do().await;
    assert_eq!(told(), [(namespace, task)]);
    assert!(told_at_b.changed().now_or_never().is_some());
    a.way.refuse_next_commit();
    let refused = Command::CreateTasks { tasks: vec![TaskSpec::of_type("work").into()] };
    assert!(matches!(ask(&a.engine, refused).await, Err(Error::Store(_))));
    until_nothing_is_left_to_do().await;
    assert_eq!(told(), [(namespace, task)], "nothing came of it");
    record.assert_told_behind_commits();
    a.engine.stop().await;
    b.engine.stop().await;
}
