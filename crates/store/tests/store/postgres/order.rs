//! The order of commits, while they go out of order.

use super::*;
use callboard_core::model::{Event, Task, TaskId};
use callboard_store::{Cursor, EventScope};
use std::collections::BTreeMap;
use tokio::task::JoinSet;

const HERE: EventScope = EventScope::Namespace(NAMESPACE);

fn events(events: Vec<Event>) -> ChangeSet {
    ChangeSet { events, ..ChangeSet::default() }
}

/// What is committed is not shown while somebody with a lower place is still at work, and then all of it is.
#[tokio::test]
async fn what_commits_out_of_order_is_not_skipped() {
    let database = Database::new().await;
    let fixture = database.fixture().await;
    let mut slow = Steps::begin(&fixture).await;
    slow.save(events(vec![event(1, 1)])).await;
    fixture.save(events(vec![event(2, 1)])).await;
    let page = fixture.store.events(HERE, None, 10).await.unwrap();
    assert!(page.events.is_empty() && page.more, "there is more right away: {page:?}");
    let end = fixture.store.end_of_events().await.unwrap();
    slow.commit().await;
    let page = fixture.store.events(HERE, Some(page.next), 10).await.unwrap();
    assert_eq!((page.events, page.more), (vec![event(1, 1), event(2, 1)], false));
    // An end that was asked for meanwhile is before both: neither was shown.
    assert_eq!(fixture.store.events(HERE, Some(end), 10).await.unwrap().events.len(), 2);
}

/// A transaction may have got its id first and a task's lock last: the task's events are in order all the same.
#[tokio::test]
async fn a_tasks_events_are_in_order_though_ids_of_transactions_are_not() {
    let database = Database::new().await;
    let fixture = database.fixture().await;
    let row = task(1);
    fixture.save(ChangeSet { events: vec![event(1, 1)], ..new_tasks([&row]) }).await;
    let mut early = Steps::begin(&fixture).await;
    // It has its id from here on.
    early.save(events(vec![event(2, 1)])).await;
    let second = step(&row, running(1));
    fixture.save(ChangeSet { events: vec![event(1, 2)], ..tasks([changed(&second)]) }).await;
    early.load(want([1])).await.unwrap();
    let third = step(&second, completed(9));
    early.save(ChangeSet { events: vec![event(1, 3)], ..tasks([changed(&third)]) }).await;
    early.commit().await;
    let mut again = Steps::begin(&fixture).await;
    again.load(want([1])).await.unwrap();
    let fourth = Task { run: 2, ..step(&third, waiting()) };
    again.save(ChangeSet { events: vec![event(1, 4)], ..tasks([changed(&fourth)]) }).await;
    again.commit().await;
    for scope in [HERE, EventScope::Task(NAMESPACE, task_id(1))] {
        for limit in 1..6 {
            let found = follow(&fixture, scope, None, limit).await.0;
            let of_task = found.iter().filter(|event| event.task == task_id(1)).map(|event| event.sequence);
            assert_eq!(of_task.collect::<Vec<_>>(), [1, 2, 3, 4], "{scope:?} in pages of {limit}");
        }
    }
}

/// Reads on until there is no more.
async fn follow(fixture: &Fixture, scope: EventScope, mut after: Option<Cursor>, limit: usize) -> (Vec<Event>, Cursor) {
    let mut found = Vec::new();
    loop {
        let page = fixture.store.events(scope, after, limit).await.unwrap();
        found.extend(page.events);
        after = Some(page.next);
        if !page.more {
            return (found, page.next);
        }
    }
}

/// Several writers, some of which give up, on shared tasks and on their own; readers of small pages miss nothing and see nothing twice.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn readers_miss_nothing_while_many_write() {
    const WRITERS: u32 = 4;
    const STEPS: i64 = 40;
    let database = Database::new().await;
    let replicas = [database.store().await, database.store().await];
    let setup = Fixture::new(replicas[0].clone());
    let shared: Vec<Task> = (0..3).map(|n| Task { last_event: 0, ..task(n) }).collect();
    setup.save(new_tasks(&shared)).await;
    let mut writers = JoinSet::new();
    for writer in 0..WRITERS {
        let fixture = Fixture::new(replicas[writer as usize % 2].clone());
        writers.spawn(async move {
            let mut written = 0;
            for n in 1..=STEPS {
                loop {
                    let mut transaction = Steps::begin(&fixture).await;
                    // An event of a task of its own first, so that it has an id early; then one of a task that all change.
                    transaction.save(events(vec![event(100 + writer, n)])).await;
                    let Ok(rows) = transaction.load(want([(writer + n as u32) % 3])).await else {
                        transaction.0.roll_back().await;
                        continue;
                    };
                    let row = &rows.tasks[0];
                    let next = Task { last_event: row.last_event + 1, ..step(row, row.state.clone()) };
                    let fact = Event { task: next.id, ..event(0, next.last_event) };
                    transaction.save(ChangeSet { events: vec![fact], ..tasks([changed(&next)]) }).await;
                    if n % 7 == 3 {
                        transaction.0.roll_back().await;
                        break;
                    }
                    transaction.commit().await;
                    written += 2;
                    break;
                }
            }
            written
        });
    }
    let mut seen: Vec<Event> = Vec::new();
    let mut cursor = None;
    let mut total = None;
    loop {
        let done = writers.is_empty();
        let page = setup.store.events(HERE, cursor, 3).await.unwrap();
        cursor = Some(page.next);
        seen.extend(page.events);
        if !done {
            tokio::select! {
                biased;
                Some(written) = writers.join_next() => *total.get_or_insert(0) += written.unwrap(),
                () = std::future::ready(()) => {}
            }
        } else if !page.more {
            break;
        }
    }
    assert_eq!(Some(seen.len()), total);
    let mut last: BTreeMap<TaskId, i64> = BTreeMap::new();
    for event in &seen {
        let before = last.insert(event.task, event.sequence).unwrap_or_default();
        // The tasks of one writer have holes where it gave up.
        let follows = if event.task < task_id(100) { event.sequence == before + 1 } else { event.sequence > before };
        assert!(follows, "{} of {} came behind {before}", event.sequence, event.task);
    }
}

/// A dump that is restored elsewhere finds transaction ids lower than those it knows: what comes then is behind all the same.
#[tokio::test]
async fn the_order_goes_on_in_a_database_that_was_restored_elsewhere() {
    let database = Database::new().await;
    let fixture = database.fixture().await;
    fixture.save(ChangeSet { events: vec![event(1, 1)], ..new_tasks([&task(1)]) }).await;
    fixture.store.close().await;
    // As in a cluster that has had a thousand million transactions more.
    database.run("UPDATE events SET token = token + 1000000000; UPDATE tasks SET token = token + 1000000000").await;
    let fixture = database.fixture().await;
    let (old, cursor) = follow(&fixture, HERE, None, 10).await;
    assert_eq!(old, [event(1, 1)]);
    fixture.save(ChangeSet { events: vec![event(1, 2)], ..tasks([changed(&step(&task(1), running(1)))]) }).await;
    assert_eq!(follow(&fixture, HERE, Some(cursor), 10).await.0, [event(1, 2)]);
    // And again, by the next one that starts: nothing changes any more.
    let again = database.fixture().await;
    again.save(events(vec![event(1, 3)])).await;
    assert_eq!(follow(&again, HERE, Some(cursor), 10).await.0, [event(1, 2), event(1, 3)]);
}
