//! The order of commits, and places in it.

use super::samples::*;
use callboard_core::model::Event;
use callboard_core::working_set::ChangeSet;
use callboard_store::{Cursor, EventScope};
use std::future::poll_fn;
use std::task::Poll;
use std::time::Duration;
use tokio::time::timeout;

const HERE: EventScope = EventScope::Namespace(NAMESPACE);

fn changes(events: Vec<Event>) -> ChangeSet {
    ChangeSet { events, ..ChangeSet::default() }
}

fn elsewhere(task: u32, sequence: i64) -> Event {
    Event { namespace: OTHER, ..event(task, sequence) }
}

/// Reads on from a cursor until there is no more.
async fn follow(fixture: &Fixture, scope: EventScope, mut after: Option<Cursor>, limit: usize) -> (Vec<Event>, Cursor) {
    let mut found = Vec::new();
    loop {
        let page = fixture.store.events(scope, after, limit).await.unwrap();
        assert!(page.events.len() <= limit);
        assert!(after.is_none_or(|after| page.next >= after));
        found.extend(page.events);
        after = Some(page.next);
        if !page.more {
            return (found, page.next);
        }
    }
}

/// As they were committed, and as they stood in the save.
pub async fn in_the_order_of_commits(fixture: Fixture) {
    let saves = [vec![event(2, 1), event(1, 1)], vec![event(1, 2), event(3, 1), event(2, 2)], vec![event(1, 3)]];
    for events in &saves {
        fixture.save(changes(events.clone())).await;
    }
    let all: Vec<Event> = saves.concat();
    for limit in 1..8 {
        assert_eq!(follow(&fixture, HERE, None, limit).await.0, all, "pages of {limit}");
    }
    let found = fixture.store.task_events((NAMESPACE, task_id(1)), 1, 10).await.unwrap();
    assert_eq!(found, [event(1, 2), event(1, 3)]);
    let found = fixture.store.task_events((NAMESPACE, task_id(1)), 0, 2).await.unwrap();
    assert_eq!(found, [event(1, 1), event(1, 2)]);
    assert!(fixture.store.task_events((OTHER, task_id(1)), 0, 2).await.unwrap().is_empty());
}

/// A reader who comes back sees everything that was committed since, and nothing twice.
pub async fn a_cursor_never_skips(fixture: Fixture) {
    let mut seen = Vec::new();
    let mut cursor = None;
    let mut expected = Vec::new();
    for round in 1..=20 {
        let events = vec![event(1, round), elsewhere(1, round), event(2, round)];
        expected.extend([events[0].clone(), events[2].clone()]);
        fixture.save(changes(events)).await;
        // What is given up leaves no hole to wait for.
        let mut transaction = fixture.store.begin().await.unwrap();
        transaction.save(&changes(vec![event(3, round)]), &fixture.settings).await.unwrap();
        transaction.roll_back().await;
        if round % 3 == 0 {
            let (found, next) = follow(&fixture, HERE, cursor, 4).await;
            seen.extend(found);
            cursor = Some(next);
        }
    }
    seen.extend(follow(&fixture, HERE, cursor, 4).await.0);
    assert_eq!(seen, expected);
}

/// One task's among those of others.
pub async fn of_one_task(fixture: Fixture) {
    let scope = EventScope::Task(NAMESPACE, task_id(1));
    let page = fixture.store.events(scope, None, 10).await.unwrap();
    assert_eq!((page.events.len(), page.more), (0, false));
    for round in 1..=10 {
        let events = vec![event(2, round), event(1, round), elsewhere(1, round)];
        fixture.save(changes(events)).await;
    }
    let all: Vec<Event> = (1..=10).map(|sequence| event(1, sequence)).collect();
    for limit in [1, 3, 10, 100] {
        assert_eq!(follow(&fixture, scope, None, limit).await.0, all);
    }
    let (_, end) = follow(&fixture, scope, Some(page.next), 100).await;
    fixture.save(changes(vec![event(2, 11), event(1, 11)])).await;
    assert_eq!(follow(&fixture, scope, Some(end), 100).await.0, [event(1, 11)]);
}

/// By the clock of whoever wrote it, whichever namespace it is in.
pub async fn the_latest_tells_its_time(fixture: Fixture) {
    assert_eq!(fixture.store.latest_event_at().await.unwrap(), None);
    let later = Event { at: at(9), ..elsewhere(1, 1) };
    fixture.save(changes(vec![event(1, 1), later])).await;
    assert_eq!(fixture.store.latest_event_at().await.unwrap(), Some(at(9)));
    let earlier = Event { at: at(7), ..event(1, 2) };
    fixture.save(changes(vec![earlier])).await;
    assert_eq!(fixture.store.latest_event_at().await.unwrap(), Some(at(7)));
}

/// Behind the end there is what comes, and only that.
pub async fn the_end_is_behind_everything(fixture: Fixture) {
    let end = fixture.store.end_of_events().await.unwrap();
    assert!(fixture.store.events(HERE, Some(end), 10).await.unwrap().events.is_empty());
    fixture.save(changes(vec![event(1, 1), elsewhere(1, 1)])).await;
    assert_eq!(follow(&fixture, HERE, Some(end), 10).await.0, [event(1, 1)]);
    let end = fixture.store.end_of_events().await.unwrap();
    let page = fixture.store.events(HERE, Some(end), 10).await.unwrap();
    assert_eq!((page.events.len(), page.next, page.more), (0, end, false));
    fixture.save(changes(vec![event(1, 2)])).await;
    assert_eq!(follow(&fixture, HERE, Some(end), 10).await.0, [event(1, 2)]);
}

/// What was begun keeps its connection also while nobody polls it: a transport that can't send asks for nothing. Others must get on.
pub async fn pages_that_nobody_waits_for_leave_room_for_other_reads(fixture: Fixture) {
    fixture.save(changes(vec![event(1, 1)])).await;
    let mut begun: Vec<_> = (0..100).map(|_| fixture.store.events(HERE, None, 10)).collect();
    for page in &mut begun {
        let once = poll_fn(|context| Poll::Ready(page.as_mut().poll(context).is_ready()));
        once.await;
    }
    let read = fixture.store.task_events((NAMESPACE, task_id(1)), 0, 2);
    let found = timeout(Duration::from_secs(5), read).await.expect("a reader that pages of events leave");
    assert_eq!(found.unwrap(), [event(1, 1)]);
    drop(begun);
    assert_eq!(
        fixture.store.events(HERE, None, 10).await.unwrap().events,
        [event(1, 1)],
        "given up, they give back what they had"
    );
}
