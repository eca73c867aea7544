//! Conditions of dependencies, and the results that they look at.

use super::samples::*;
use callboard_core::limits::MAX_CONDITION_RESULT;
use callboard_core::model::{Condition, Edge, JsonText, OnFailure, Payload, ResultCondition, Task, Terms, Test};
use callboard_core::working_set::{ChangeSet, PayloadValue, Want};
use std::sync::Arc;

/// Edges with every condition, and with names: what is beside the policy.
pub async fn every_condition(fixture: Fixture) {
    let value = || JsonText::try_from(r#"{"é": 1.0000000000000000000001}"#.to_owned()).unwrap();
    let tests = [
        Test::Exists,
        Test::NotExists,
        Test::Equal(value()),
        Test::NotEqual(value()),
        Test::Less(value()),
        Test::LessOrEqual(value()),
        Test::Greater(value()),
        Test::GreaterOrEqual(value()),
    ];
    let of_results = tests.map(|test| Condition::Result(Arc::new(ResultCondition { pointer: TEXT.into(), test })));
    let mut conditions = vec![Condition::Completed, Condition::Failed, Condition::NotCompleted, Condition::Ended];
    conditions.extend(of_results);
    let mut rows = Vec::new();
    for (n, condition) in (0..).zip(conditions) {
        let terms = Terms { condition, on_failure: OnFailure::Fail, name: Some(format!("{TEXT}{n}").into()) };
        rows.push(Edge { terms, ..edge(n, 99, n) });
    }
    let target = task(99);
    let tasks: Vec<Task> = (0..12).map(task).collect();
    let all: Vec<&Task> = tasks.iter().chain([&target]).collect();
    fixture.save(ChangeSet { edges: rows.clone(), ..new_tasks(all) }).await;
    let want = Want { dependencies: [(NAMESPACE, target.id)].into(), ..Want::default() };
    let mut found = fixture.load(want).await.edges;
    found.sort_by_key(|edge| edge.ordinal);
    assert_eq!(found, rows);
    let want = Want { pending_edges: [((NAMESPACE, task_id(7)), 1)].into(), ..Want::default() };
    assert_eq!(fixture.load(want).await.edges, rows[7..8]);
    let named = fixture.store.dependency_results((NAMESPACE, target.id), None, 100, 1 << 20).await.unwrap();
    let named: Vec<_> = named.into_iter().map(|found| (found.ordinal, found.name)).collect();
    let expected: Vec<_> = rows.iter().map(|edge| (edge.ordinal, edge.terms.name.clone())).collect();
    assert_eq!(named, expected);
}

/// What conditions look at: results, unless they are too large; no checkpoints, no failures.
pub async fn small_results(fixture: Fixture) {
    let rows: Vec<Task> = (1..5).map(task).collect();
    let all: Vec<&Task> = rows.iter().collect();
    let result = |size: usize| Arc::new(Payload::text(&"x".repeat(size)));
    let payloads = vec![
        write((NAMESPACE, task_id(1)), PayloadValue::Result(result(MAX_CONDITION_RESULT))),
        write((NAMESPACE, task_id(1)), PayloadValue::Checkpoint(result(3))),
        write((NAMESPACE, task_id(2)), PayloadValue::Result(result(MAX_CONDITION_RESULT + 1))),
        write((NAMESPACE, task_id(3)), PayloadValue::Checkpoint(result(1))),
    ];
    fixture.save(ChangeSet { payloads, ..new_tasks(all) }).await;
    let want = Want { results: (1..6).map(|n| (NAMESPACE, task_id(n))).collect(), ..Want::default() };
    let found = fixture.load(want).await.results;
    assert_eq!(found, [((NAMESPACE, task_id(1)), result(MAX_CONDITION_RESULT))]);
}
