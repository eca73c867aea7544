//! Edges, from both ends.

use super::samples::*;
use callboard_core::model::{Payload, Task};
use callboard_core::working_set::{ChangeSet, PayloadValue, Want};
use std::sync::Arc;

async fn pending(fixture: &Fixture, source: u32, limit: usize) -> Vec<u128> {
    let want = Want { pending_edges: [((NAMESPACE, task_id(source)), limit)].into(), ..Want::default() };
    let rows = fixture.load(want).await;
    assert!(rows.edges.iter().all(|edge| edge.source == task_id(source) && !edge.resolved));
    let targets: Vec<_> = rows.edges.iter().map(|edge| edge.target).collect();
    assert_eq!(rows.tasks.iter().map(|task| task.id).collect::<Vec<_>>(), targets);
    targets.iter().map(|target| target.0.as_u128() - task_id(0).0.as_u128()).collect()
}

/// So many of each source, the lowest target first, with the targets' tasks.
pub async fn pending_edges_come_by_target(fixture: Fixture) {
    let rows: Vec<Task> = (0..40).map(task).collect();
    let mut edges: Vec<_> = (10..30).rev().map(|target| edge(1, target, 0)).collect();
    edges.extend((20..40).map(|target| edge(2, target, 1)));
    edges[0].resolved = true;
    fixture.save(ChangeSet { edges, ..new_tasks(&rows) }).await;
    assert_eq!(pending(&fixture, 1, 100).await, (10..29).collect::<Vec<_>>());
    assert_eq!(pending(&fixture, 1, 5).await, (10..15).collect::<Vec<_>>());
    assert!(pending(&fixture, 3, 5).await.is_empty());
    let limits = [((NAMESPACE, task_id(1)), 3), ((NAMESPACE, task_id(2)), 4), ((OTHER, task_id(1)), 9)].into();
    let found = fixture.load(Want { pending_edges: limits, ..Want::default() }).await.edges;
    assert_eq!(found.len(), 7);
}

/// A resolved edge is pending no more; reopened, it is again.
pub async fn resolved_and_reopened(fixture: Fixture) {
    let rows: Vec<Task> = (1..=4).map(task).collect();
    fixture.save(ChangeSet { edges: vec![edge(1, 2, 0), edge(1, 3, 0), edge(1, 4, 0)], ..new_tasks(&rows) }).await;
    let key = |target| (NAMESPACE, task_id(1), task_id(target));
    fixture.save(ChangeSet { resolved_edges: vec![key(2), key(4), key(4)], ..ChangeSet::default() }).await;
    assert_eq!(pending(&fixture, 1, 10).await, [3]);
    fixture.save(ChangeSet { reopened_edges: vec![key(4)], ..ChangeSet::default() }).await;
    assert_eq!(pending(&fixture, 1, 10).await, [3, 4]);
    // New and resolved at once.
    let changes = ChangeSet {
        edges: vec![edge(2, 4, 1)],
        resolved_edges: vec![(NAMESPACE, task_id(2), task_id(4))],
        ..Default::default()
    };
    fixture.save(changes).await;
    assert!(pending(&fixture, 2, 10).await.is_empty());
    let want = Want { dependencies: [(NAMESPACE, task_id(4))].into(), ..Want::default() };
    let edges = fixture.load(want).await.edges;
    assert_eq!(edges.iter().map(|edge| edge.resolved).collect::<Vec<_>>(), [false, true]);
}

/// All edges to a target, by their ordinal, with the sources' tasks.
pub async fn dependencies_come_in_their_order(fixture: Fixture) {
    let rows: Vec<Task> = (1..=20).map(task).collect();
    let edges: Vec<_> = (1..=19).map(|n| edge(n, 20, 19 - n)).collect();
    fixture.save(ChangeSet { edges, ..new_tasks(&rows) }).await;
    let mut transaction = fixture.store.begin().await.unwrap();
    let want = Want { dependencies: [(NAMESPACE, task_id(20)), (NAMESPACE, task_id(1))].into(), ..Want::default() };
    let found = transaction.load(&want).await.unwrap();
    transaction.roll_back().await;
    assert_eq!(found.edges.iter().map(|edge| edge.ordinal).collect::<Vec<_>>(), (0..19).collect::<Vec<_>>());
    assert_eq!(sorted(found).tasks, rows[..19]);
    let edges = fixture.store.dependencies((NAMESPACE, task_id(20))).await.unwrap();
    assert_eq!(edges.iter().map(|edge| edge.ordinal).collect::<Vec<_>>(), (0..19).collect::<Vec<_>>());
    assert!(fixture.store.dependencies((OTHER, task_id(20))).await.unwrap().is_empty());
}

/// In their order, as many as fit, at least one.
pub async fn dependency_results_come_in_pages(fixture: Fixture) {
    let rows: Vec<Task> =
        (1..=6).map(|n| if n < 5 { Task { state: completed(9), ..task(n) } } else { task(n) }).collect();
    let edges = [(3, 0), (1, 1), (4, 2), (5, 3), (2, 9)].map(|(source, ordinal)| edge(source, 6, ordinal)).to_vec();
    let sized = |n: u32, size: usize| {
        let result = Arc::new(Payload::text(&"é".repeat(size / 2)));
        write((NAMESPACE, task_id(n)), PayloadValue::Result(result))
    };
    let mut payloads = vec![sized(1, 600), sized(2, 0), sized(3, 400), sized(4, 5_000)];
    payloads.push(write((NAMESPACE, task_id(5)), PayloadValue::Failure(Arc::new(failure(1)))));
    payloads.push(write((NAMESPACE, task_id(1)), PayloadValue::Checkpoint(Arc::new(Payload::text("no")))));
    fixture.save(ChangeSet { edges, payloads, ..new_tasks(&rows) }).await;
    let page = async |after, limit, bytes| {
        let found = fixture.store.dependency_results((NAMESPACE, task_id(6)), after, limit, bytes).await.unwrap();
        found.iter().map(|found| found.ordinal).collect::<Vec<_>>()
    };
    assert_eq!(page(None, 100, 1 << 20).await, [0, 1, 2, 3, 9]);
    assert_eq!(page(None, 2, 1 << 20).await, [0, 1]);
    assert_eq!(page(None, 100, 1_000).await, [0, 1]);
    assert_eq!(page(None, 100, 999).await, [0]);
    assert_eq!(page(None, 100, 0).await, [0]);
    assert_eq!(page(Some(1), 100, 10).await, [2]);
    assert_eq!(page(Some(2), 100, 10).await, [3, 9]);
    assert!(page(Some(9), 100, 10).await.is_empty());
    let found = fixture.store.dependency_results((NAMESPACE, task_id(6)), None, 9, 1 << 20).await.unwrap();
    assert_eq!(found[0].view.task, rows[2]);
    assert_eq!(found[1].view.saved.result.as_ref().map(|result| result.len()), Some(600));
    assert_eq!(found[1].view.saved.checkpoint, None);
    assert_eq!(*found[1].view.input, Payload::default());
    assert_eq!(found[3].view.saved.failure, Some(Arc::new(failure(1))));
}
