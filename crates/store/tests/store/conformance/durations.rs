//! How long tasks of types took.

use super::samples::*;
use callboard_core::model::task::TaskState;
use callboard_core::model::{Span, Task, TaskSpec};
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

/// A task that began at second 0.
fn begun(n: u32, task_type: &str, state: TaskState) -> Task {
    let spec = TaskSpec { task_type: task_type.into(), ..spec() };
    Task { started_at: Some(at(0)), state, ..task_with(n, spec) }
}

/// One that took so many seconds.
fn took(n: u32, task_type: &str, seconds: i64) -> Task {
    begun(n, task_type, completed(seconds))
}

async fn means(fixture: &Fixture, types: &[&str]) -> BTreeMap<String, Span> {
    let types: Vec<Arc<str>> = types.iter().map(|name| Arc::from(*name)).collect();
    let found: HashMap<Arc<str>, Span> = fixture.store.mean_durations(NAMESPACE, &types).await.unwrap();
    found.into_iter().map(|(name, span)| (name.to_string(), span)).collect()
}

fn expected<const N: usize>(means: [(&str, i64); N]) -> BTreeMap<String, Span> {
    means.into_iter().map(|(name, millis)| (name.to_owned(), Span::millis(millis))).collect()
}

/// Of each type the latest hundred count, whatever others there are; other namespaces are other worlds.
pub async fn means_of_the_latest_of_each_type(fixture: Fixture) {
    assert_eq!(means(&fixture, &["a", "b"]).await, expected([]));
    let old = (0..50).map(|n| took(n, "a", 1_000_000));
    let latest = (50..150).map(|n| took(n, "a", i64::from(n % 2) + 1));
    let later = (150..400).map(|n| begun(n, "a", TaskState::Ready { since: at(1) }));
    let of_others = [took(400, "b", 3), took(401, "b", 4), took(402, TEXT, 7)];
    let rows: Vec<Task> = old.chain(latest).chain(later).chain(of_others).collect();
    fixture.save(new_tasks(&rows)).await;
    let found = means(&fixture, &["a", "b", "c", TEXT]).await;
    assert_eq!(found, expected([("a", 1_500), ("b", 3_500), (TEXT, 7_000)]));
    assert_eq!(means(&fixture, &["b"]).await, expected([("b", 3_500)]));
    assert_eq!(means(&fixture, &[]).await, expected([]));
    let elsewhere = fixture.store.mean_durations(OTHER, &["a".into()]).await.unwrap();
    assert!(elsewhere.is_empty(), "{elsewhere:?}");
}

/// A task that failed early says nothing of how long one takes; nor does one whose begin nobody knows, or that ended before it.
pub async fn what_did_not_complete_has_no_duration(fixture: Fixture) {
    let lives = [TaskState::Ready { since: at(1) }, running(1), paused(1, None)];
    let ends = [TaskState::Failed { at: at(9) }, TaskState::Cancelled { at: at(9) }, TaskState::Skipped { at: at(9) }];
    let others = lives.into_iter().chain(ends).zip(1..).map(|(state, n)| begun(n, "a", state));
    let unknown = Task { started_at: None, ..took(20, "a", 9) };
    let rows: Vec<Task> = others.chain([unknown]).collect();
    fixture.save(new_tasks(&rows)).await;
    assert_eq!(means(&fixture, &["a"]).await, expected([]));
    let backwards = Task { started_at: Some(at(9)), ..took(21, "a", 3) };
    let later = took(22, "a", 8);
    fixture.save(new_tasks([&backwards, &later])).await;
    assert_eq!(means(&fixture, &["a"]).await, expected([("a", 4_000)]), "a clock that went back took no time");
    let over = step(&rows[1], completed(1));
    fixture.save(tasks([changed(&over)])).await;
    assert_eq!(means(&fixture, &["a"]).await, expected([("a", 3_000)]));
}

/// As many as may be asked for; more are not looked for.
pub async fn many_types_at_once(fixture: Fixture) {
    let names: Vec<String> = (0..=callboard_store::MAX_TYPES).map(|n| format!("type-{n}")).collect();
    let rows: Vec<Task> = (0..).zip(&names).map(|(n, name)| took(n, name, i64::from(n))).collect();
    fixture.save(new_tasks(&rows)).await;
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let found = means(&fixture, &names).await;
    assert_eq!((found.len(), found["type-7"]), (callboard_store::MAX_TYPES, Span::seconds(7)));
}
