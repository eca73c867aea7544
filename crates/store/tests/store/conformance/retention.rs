//! What is forgotten, and what is kept.

use super::samples::*;
use callboard_core::model::{Event, Payload, StateName, Task, TaskId, TaskSpec};
use callboard_core::working_set::{ChangeSet, Changed, PayloadValue, TaskRef, Want};
use callboard_store::{Cursor, EventScope, TaskFilter};
use std::sync::Arc;

const HERE: EventScope = EventScope::Namespace(NAMESPACE);

/// A completed task with all that can be beside it. Its events are at its end.
async fn finished(fixture: &Fixture, n: u32, seconds: i64) -> Task {
    let spec = TaskSpec { key: Some(format!("key-{n}")), tags: ["red".into(), "big".into()].into(), ..spec() };
    let task = task_with(n, spec);
    fixture.save(ChangeSet { events: vec![dated(n, 1, seconds - 1, StateName::Ready)], ..new_tasks([&task]) }).await;
    end(fixture, &task, seconds).await
}

async fn end(fixture: &Fixture, task: &Task, seconds: i64) -> Task {
    let ended = step(task, completed(seconds));
    let n = number(task.id);
    let result = write((NAMESPACE, task.id), PayloadValue::Result(Arc::new(Payload::text("done"))));
    let sequence = ended.version;
    let events = vec![dated(n, sequence, seconds, StateName::Completed)];
    fixture.save(ChangeSet { payloads: vec![result], events, ..tasks([changed(&ended)]) }).await;
    ended
}

fn number(task: TaskId) -> u32 {
    task.0.as_u128() as u32
}

fn dated(n: u32, sequence: i64, seconds: i64, state: StateName) -> Event {
    Event { at: at(seconds), state, ..event(n, sequence) }
}

async fn namespace_row(fixture: &Fixture) {
    let rows = [namespace(NAMESPACE.0, "here"), namespace(OTHER.0, "there")];
    let namespaces = rows.into_iter().map(|row| Changed { row, expected: 0 }).collect();
    fixture.save(ChangeSet { namespaces, ..ChangeSet::default() }).await;
}

/// All that have ended by then, a few at a time.
async fn forget(fixture: &Fixture, seconds: i64) -> usize {
    let (mut forgotten, mut after, mut steps) = (0, None, 0);
    loop {
        let ended = fixture.store.ended_tasks(at(seconds), after, 3).await.unwrap();
        let mut left = ended.tasks;
        while !left.is_empty() {
            let step = fixture.store.forget_tasks(&left, at(seconds)).await.unwrap();
            steps += 1;
            assert!(steps < 100, "it comes to an end");
            forgotten += step.tasks;
            left = step.left;
        }
        after = Some(ended.next);
        if !ended.more {
            return forgotten;
        }
    }
}

async fn known(fixture: &Fixture, n: u32) -> bool {
    fixture.store.task((NAMESPACE, task_id(n))).await.unwrap().is_some()
}

/// A task goes with all its rows, and its key, tags and id are as if it had never been.
pub async fn a_finished_task_goes_with_all_its_rows(fixture: Fixture) {
    namespace_row(&fixture).await;
    for n in 1..=10 {
        finished(&fixture, n, 100 + i64::from(n)).await;
    }
    assert_eq!(forget(&fixture, 105).await, 5);
    assert_eq!(forget(&fixture, 105).await, 0);
    for n in 1..=10 {
        assert_eq!(known(&fixture, n).await, n > 5, "{n}");
    }
    let gone: TaskRef = (NAMESPACE, task_id(1));
    assert!(fixture.store.task_events(gone, 0, 10).await.unwrap().is_empty());
    assert!(fixture.store.hydrate(&[gone]).await.unwrap().is_empty());
    let tagged = TaskFilter { tags: vec!["red".into()], ..TaskFilter::default() };
    assert_eq!(fixture.store.tasks(NAMESPACE, &tagged, None, 100).await.unwrap().tasks.len(), 5);
    let keyed = TaskFilter { key: Some("key-1".into()), ..TaskFilter::default() };
    assert!(fixture.store.tasks(NAMESPACE, &keyed, None, 100).await.unwrap().tasks.is_empty());
    // The same id may be taken again: nothing is left in its way.
    finished(&fixture, 1, 300).await;
    assert!(known(&fixture, 1).await);
}

/// What lives is never forgotten, nor what has ended too lately, or again after a retry.
pub async fn what_lives_or_ended_lately_stays(fixture: Fixture) {
    namespace_row(&fixture).await;
    let live = task(1);
    fixture.save(ChangeSet { events: vec![dated(1, 1, 1, StateName::Ready)], ..new_tasks([&live]) }).await;
    let again = finished(&fixture, 3, 10).await;
    let again = Task { run: 2, ..step(&again, waiting()) };
    fixture.save(ChangeSet { events: vec![dated(3, 3, 20, StateName::Waiting)], ..tasks([changed(&again)]) }).await;
    let later = finished(&fixture, 4, 10).await;
    let later = Task { run: 2, ..step(&later, waiting()) };
    fixture.save(ChangeSet { events: vec![dated(4, 3, 20, StateName::Waiting)], ..tasks([changed(&later)]) }).await;
    end(&fixture, &later, 400).await;
    finished(&fixture, 2, 500).await;
    assert_eq!(forget(&fixture, 300).await, 0);
    let all = [1, 2, 3, 4].map(|n| (NAMESPACE, task_id(n)));
    // Not even when it is asked for by name.
    assert_eq!(fixture.store.forget_tasks(&all, at(300)).await.unwrap().tasks, 0);
    let counts = fixture.load(Want { live_counts: [NAMESPACE].into(), ..Want::default() }).await.live_counts;
    assert_eq!(counts, [(NAMESPACE, 2)]);
    assert_eq!(forget(&fixture, 450).await, 1);
    assert!(!known(&fixture, 4).await);
}

/// A result that a live task may still ask for stays; it goes when that task has ended, however much later.
pub async fn what_a_live_task_depends_on_stays(fixture: Fixture) {
    namespace_row(&fixture).await;
    finished(&fixture, 1, 10).await;
    finished(&fixture, 2, 11).await;
    finished(&fixture, 3, 12).await;
    let target = Task { dependencies: 1, ..task(9) };
    let edges = vec![edge(1, 9, 0), edge(2, 3, 0)];
    let created = vec![dated(9, 1, 5, StateName::Ready)];
    fixture.save(ChangeSet { edges, events: created, ..new_tasks([&target]) }).await;
    assert_eq!(forget(&fixture, 100).await, 2);
    assert!(known(&fixture, 1).await && !known(&fixture, 2).await && !known(&fixture, 3).await);
    let results = fixture.store.dependency_results((NAMESPACE, task_id(9)), None, 10, 1 << 20).await.unwrap();
    assert_eq!(results.len(), 1);
    assert!(results[0].view.saved.result.is_some());
    end(&fixture, &target, 200).await;
    assert_eq!(forget(&fixture, 100).await, 1);
    assert!(!known(&fixture, 1).await && known(&fixture, 9).await);
    assert!(fixture.store.dependencies((NAMESPACE, task_id(9))).await.unwrap().is_empty());
    assert_eq!(forget(&fixture, 300).await, 1);
}

/// What would be forgotten is told before, and that changes nothing: it can be kept elsewhere.
pub async fn what_would_be_forgotten_is_told_before(fixture: Fixture) {
    namespace_row(&fixture).await;
    for n in [1, 2, 3, 5] {
        finished(&fixture, n, 10).await;
    }
    let live = Task { dependencies: 1, ..task(8) };
    let again = finished(&fixture, 4, 10).await;
    let again = Task { run: 2, ..step(&again, waiting()) };
    let changes = ChangeSet {
        edges: vec![edge(1, 8, 0), edge(2, 3, 0)],
        events: vec![dated(8, 1, 5, StateName::Ready), dated(4, 3, 20, StateName::Waiting)],
        tasks: [new_tasks([&live]).tasks, tasks([changed(&again)]).tasks].concat(),
        ..ChangeSet::default()
    };
    fixture.save(changes).await;
    finished(&fixture, 6, 500).await;
    let asked = [6, 3, 2, 3, 7, 4, 1, 8, 5, 2].map(|n| (NAMESPACE, task_id(n)));
    let asked = [&asked[..], &[(OTHER, task_id(5))]].concat();
    let told = async |seconds| {
        let found = fixture.store.forgettable_tasks(&asked, at(seconds)).await.unwrap();
        found.into_iter().map(|(_, task)| number(task)).collect::<Vec<_>>()
    };
    assert!(told(9).await.is_empty());
    assert_eq!(told(300).await, [2, 3, 5], "1 is needed, 4 and 8 live, 6 ended lately, 7 was never there");
    assert_eq!(told(300).await, [2, 3, 5]);
    assert_eq!(told(500).await, [2, 3, 5, 6]);
    assert_eq!(fixture.store.task_events((NAMESPACE, task_id(5)), 0, 10).await.unwrap().len(), 2);
    assert_eq!(forget(&fixture, 300).await, 3);
    assert!(told(300).await.is_empty());
    end(&fixture, &live, 20).await;
    assert_eq!(told(300).await, [1, 8]);
    assert!(fixture.store.forgettable_tasks(&[], at(300)).await.unwrap().is_empty());
}

/// A task that thousands depended on, or with thousands of events, goes in steps.
pub async fn a_large_task_goes_in_steps(fixture: Fixture) {
    namespace_row(&fixture).await;
    let first = finished(&fixture, 1, 10).await;
    let targets: Vec<Task> = (100..1_700).map(task).collect();
    let edges = (100..1_700).map(|n| edge(1, n, 0)).collect();
    fixture.save(ChangeSet { edges, ..new_tasks(&targets) }).await;
    assert_eq!(forget(&fixture, 100).await, 0);
    let all = [(NAMESPACE, first.id)];
    assert!(fixture.store.forgettable_tasks(&all, at(100)).await.unwrap().is_empty());
    let ended: Vec<Task> = targets.iter().map(|task| step(task, completed(200))).collect();
    fixture.save(tasks(ended.iter().map(changed))).await;
    let events = (3..2_000).map(|sequence| dated(1, sequence, 11, StateName::Completed)).collect();
    fixture.save(ChangeSet { events, ..ChangeSet::default() }).await;
    assert_eq!(fixture.store.forgettable_tasks(&all, at(100)).await.unwrap(), all);
    assert_eq!(forget(&fixture, 100).await, 1);
    assert!(!known(&fixture, number(first.id)).await);
    assert!(fixture.store.task_events((NAMESPACE, first.id), 0, 10).await.unwrap().is_empty());
}

/// Readers of events go on where they are, and those that come from further back are told.
pub async fn readers_of_forgotten_events_are_told(fixture: Fixture) {
    namespace_row(&fixture).await;
    let before = fixture.store.end_of_events().await.unwrap();
    for n in 1..=3 {
        finished(&fixture, n, 10).await;
    }
    let between = fixture.store.end_of_events().await.unwrap();
    finished(&fixture, 4, 500).await;
    let page = fixture.store.events(HERE, Some(before), 100).await.unwrap();
    assert!(!page.forgotten && page.events.len() == 8);
    assert_eq!(forget(&fixture, 100).await, 3);

    let page = fixture.store.events(HERE, Some(before), 100).await.unwrap();
    assert!(page.forgotten, "events behind this place are gone");
    let page = fixture.store.events(HERE, Some(between), 100).await.unwrap();
    assert!(!page.forgotten && page.events.len() == 2, "{page:?}");
    // Another namespace has lost nothing.
    let there = EventScope::Namespace(OTHER);
    assert!(!fixture.store.events(there, Some(before), 100).await.unwrap().forgotten);
    // Everything goes: who comes now is told nothing of the past, and misses nothing that comes.
    assert_eq!(forget(&fixture, 1_000).await, 1);
    let end = fixture.store.end_of_events().await.unwrap();
    assert!(end > between);
    let page = fixture.store.events(HERE, Some(end), 100).await.unwrap();
    assert!(!page.forgotten && page.events.is_empty());
    finished(&fixture, 5, 2_000).await;
    let page = fixture.store.events(HERE, Some(page.next), 100).await.unwrap();
    assert!(!page.forgotten && page.events.len() == 2);
    assert!(fixture.store.events(HERE, None, 100).await.unwrap().events.len() == 2);
    let _: Cursor = page.next;
}

/// The longest gone come first; who has a session, is cordoned or has mail, is not among them.
pub async fn agents_that_are_gone(fixture: Fixture) {
    let gone = |n: u32, seconds: i64| {
        let name = format!("agent-{n}");
        callboard_core::model::Agent {
            session: None,
            detached_at: Some(at(seconds)),
            cordoned: false,
            ..agent(n, &name)
        }
    };
    let here = callboard_core::model::Agent { session: Some(session()), detached_at: None, ..gone(4, 1) };
    let cordoned = callboard_core::model::Agent { cordoned: true, ..gone(5, 1) };
    fixture.save(new_agents([&gone(1, 30), &gone(2, 20), &gone(3, 40), &here, &cordoned])).await;
    let found = fixture.store.gone_agents(at(30), 10).await.unwrap();
    assert_eq!(found, [(NAMESPACE, "agent-2".into()), (NAMESPACE, "agent-1".into())]);
    assert_eq!(fixture.store.gone_agents(at(100), 1).await.unwrap().len(), 1);
}
