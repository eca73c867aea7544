//! What the engine finds work by: ready tasks, times, keys, counts.

use super::samples::*;
use callboard_core::model::task::TaskState;
use callboard_core::model::{
    Fallback, Lane, LaneId, LaneKey, NotBefore, Priority, Requirements, Span, Task, TaskId, TaskSpec, Timestamp,
    Waiting,
};
use callboard_core::working_set::{ChangeSet, ChangedTask, Want};

fn ready_since(n: u32, seconds: i64, priority: Priority) -> Task {
    Task { state: TaskState::Ready { since: at(seconds) }, ..task_with(n, TaskSpec { priority, ..spec() }) }
}

async fn ready(fixture: &Fixture, lanes: &[(LaneId, usize)]) -> (Vec<TaskId>, Vec<usize>) {
    let wanted = lanes.iter().map(|(lane, limit)| ((NAMESPACE, *lane), *limit)).collect();
    let rows = fixture.load(Want { ready: wanted, ..Want::default() }).await;
    let count = |lane| rows.ready.iter().find(|(at, _)| at.1 == lane).map_or(0, |(_, count)| *count);
    let mut tasks = rows.tasks.clone();
    tasks.sort_by_key(|task| (task.rank(), task.id));
    (tasks.iter().map(|task| task.id).collect(), lanes.iter().map(|(lane, _)| count(*lane)).collect())
}

/// The lowest rank first, then the lowest id; only what is ready.
pub async fn ready_tasks_come_by_rank_and_id(fixture: Fixture) {
    let rows = [
        ready_since(1, 100, Priority::Normal),
        ready_since(2, 100, Priority::High),
        ready_since(3, 100, Priority::Low),
        ready_since(4, 40, Priority::Normal),
        ready_since(5, -4_000, Priority::Critical),
        Task { state: running(1), ..task(6) },
        Task { state: waiting(), ..task(7) },
        Task { state: completed(1), ..task(8) },
    ];
    fixture.save(new_tasks(&rows)).await;
    let order = [5, 2, 4, 1, 3].map(task_id);
    for limit in 0..=6 {
        let found = ready(&fixture, &[(plain_lane(), limit)]).await;
        assert_eq!(found.0, order[..limit.min(5)]);
        assert_eq!(found.1, [limit.min(5)]);
    }
    fixture.save(tasks([changed(&step(&rows[4], running(1)))])).await;
    assert_eq!(ready(&fixture, &[(plain_lane(), 2)]).await.0, order[1..3]);
}

/// Who asks for more ready tasks than there are is told that others have some only where that is so; what the transaction has locked
/// itself is found again.
pub async fn what_nobody_else_has_is_not_passed_over(fixture: Fixture) {
    let rows = [task(1), task(2), Task { state: running(1), ..task(3) }];
    fixture.save(new_tasks(&rows)).await;
    let asked = |most| Want {
        ready: [((NAMESPACE, plain_lane()), most), ((NAMESPACE, lane("none").id), most)].into(),
        ..Want::default()
    };
    for most in 0..4 {
        assert_eq!(fixture.load(asked(most)).await.ready_locked, []);
    }
    let mut transaction = fixture.store.begin().await.unwrap();
    for most in [1, 5, 5] {
        let found = transaction.load(&asked(most)).await.unwrap();
        assert_eq!((found.ready, found.ready_locked), (vec![((NAMESPACE, plain_lane()), most.min(2))], vec![]));
    }
    transaction.save(&tasks([changed(&step(&rows[0], running(1)))]), &fixture.settings).await.unwrap();
    let found = transaction.load(&asked(5)).await.unwrap();
    assert_eq!((found.ready, found.ready_locked), (vec![((NAMESPACE, plain_lane()), 1)], vec![]));
    transaction.commit().await.unwrap();
    assert_eq!(fixture.load(asked(5)).await.ready_locked, []);
}

/// Each lane has a limit of its own.
pub async fn ready_limits_hold_for_each_lane(fixture: Fixture) {
    let mut rows = Vec::new();
    let lanes: Vec<LaneId> = ["a", "b", "c"].map(|name| lane(name).id).into();
    for n in 0..30 {
        let task_type = ["a", "b", "c"][n as usize % 3].into();
        rows.push(task_with(n, TaskSpec { task_type, ..spec() }));
    }
    fixture.save(new_tasks(&rows)).await;
    let (found, counts) = ready(&fixture, &[(lanes[0], 2), (lanes[1], 100), (lane("none").id, 5)]).await;
    assert_eq!(counts, [2, 10, 0]);
    assert_eq!(found.len(), 12);
    let of = |n: usize| rows.iter().filter(|row| row.lane == lanes[n]).map(|row| row.id).collect::<Vec<_>>();
    assert!(of(0)[..2].iter().chain(&of(1)).all(|id| found.contains(id)));
}

/// The earliest time first, up to now; and when to look again.
pub async fn due_tasks_come_by_time(fixture: Fixture) {
    let later = |n: u32, seconds| {
        let not_before = Some(NotBefore::Start(at(seconds)));
        Task { state: TaskState::Waiting(Waiting { not_before, ..Waiting::default() }), ..task(n) }
    };
    assert_eq!(fixture.store.due(at(1_000), None, 10).await.unwrap(), Default::default());
    let releasing = Task { state: completed(3), releasing: true, ..task(5) };
    let rows = [later(1, 30), later(2, 10), later(3, 20), task(4), releasing, Task { state: running(1), ..task(6) }];
    fixture.save(new_tasks(&rows)).await;
    let due = fixture.store.due(at(20), None, 10).await.unwrap();
    let seen = |n, seconds| (at(seconds), (NAMESPACE, task_id(n)));
    assert_eq!(due.tasks, [seen(5, 0), seen(2, 10), seen(3, 20)]);
    assert_eq!(due.next, Some(at(30)));
    let wakes = rows[5].wake_at(&fixture.settings).unwrap();
    let due = fixture.store.due(wakes - Span::seconds(10), None, 1).await.unwrap();
    assert_eq!((due.tasks, due.next), (vec![seen(5, 0)], Some(wakes)));
    let told = Task { releasing: false, ..step(&rows[4], completed(3)) };
    fixture.save(tasks([changed(&told), changed(&step(&rows[1], completed(5)))])).await;
    let due = fixture.store.due(at(i64::MAX / 1_000_000), None, 10).await.unwrap();
    assert_eq!(due.tasks.iter().map(|(_, task)| task.1).collect::<Vec<_>>(), [3, 1, 6].map(task_id));
    assert_eq!(due.next, None);
}

/// Behind a place there are those of the same time with a higher id, and those of later times.
pub async fn due_tasks_go_on_behind_a_place(fixture: Fixture) {
    let later = |n: u32, seconds| {
        let not_before = Some(NotBefore::Start(at(seconds)));
        Task { state: TaskState::Waiting(Waiting { not_before, ..Waiting::default() }), ..task(n) }
    };
    let rows: Vec<Task> = (0..50).map(|n| later(n, i64::from(n / 10))).collect();
    fixture.save(new_tasks(&rows)).await;
    let mut found = Vec::new();
    let mut after: Option<(Timestamp, TaskId)> = None;
    loop {
        let due = fixture.store.due(at(3), after, 7).await.unwrap();
        assert_eq!(due.next, Some(at(4)));
        let Some((time, task)) = due.tasks.last() else { break };
        after = Some((*time, task.1));
        found.extend(due.tasks.iter().map(|(_, task)| task.1));
    }
    assert_eq!(found, (0..40).map(task_id).collect::<Vec<_>>());
}

/// A ready task whose fallback is to come is due then. When it has moved it is found in its new lane alone, and due no more.
pub async fn what_falls_back_is_due_then_and_moves_to_its_lane(fixture: Fixture) {
    let fallback = Fallback { after: Span::seconds(30), role: Some("lead".into()), ..Fallback::default() };
    let requirements = Requirements { fallbacks: vec![fallback], ..Requirements::default() };
    let row = task_with(10, TaskSpec { requirements, ..spec() });
    fixture.save(ChangeSet { lanes: vec![lane("research")], ..new_tasks([&row]) }).await;
    let early = fixture.store.due(at(39), None, 10).await.unwrap();
    assert_eq!((early.tasks, early.next), (vec![], Some(at(40))));
    let due = fixture.store.due(at(40), None, 10).await.unwrap();
    assert_eq!(due.tasks, [(at(40), (NAMESPACE, row.id))]);
    let key = LaneKey::in_force(&row.spec, 1);
    let lead = Lane { namespace: NAMESPACE, id: key.id(), key };
    let moved = Task { fallback: 1, lane: lead.id, ..step(&row, row.state.clone()) };
    let moves = ChangedTask { spec_changed: true, ..changed(&moved) };
    fixture.save(ChangeSet { lanes: vec![lead.clone()], ..tasks([moves]) }).await;
    assert_eq!(fixture.store.due(at(1_000), None, 10).await.unwrap(), Default::default());
    assert_eq!(ready(&fixture, &[(row.lane, 5), (lead.id, 5)]).await, (vec![row.id], vec![0, 1]));
    assert_eq!(fixture.task(row.id).await, Some(moved));
}

async fn holder(fixture: &Fixture, key: &str) -> Option<TaskId> {
    let wanted = (NAMESPACE, key.to_owned());
    let rows = fixture.load(Want { keys: [wanted.clone()].into(), ..Want::default() }).await;
    let holder = rows.keys.first().map(|(_, task)| *task);
    assert_eq!(rows.tasks.iter().map(|task| task.id).collect::<Vec<_>>(), Vec::from_iter(holder));
    holder
}

fn keyed(n: u32) -> Task {
    task_with(n, TaskSpec { key: Some("k".into()), ..spec() })
}

/// A key belongs to a live task alone.
pub async fn keys_are_free_when_their_task_ends(fixture: Fixture) {
    let first = keyed(1);
    fixture.save(new_tasks([&first])).await;
    assert_eq!(holder(&fixture, "k").await, Some(first.id));
    let leased = step(&first, running(1));
    fixture.save(tasks([changed(&leased)])).await;
    assert_eq!(holder(&fixture, "k").await, Some(first.id));
    fixture.save(tasks([changed(&step(&leased, completed(9)))])).await;
    assert_eq!(holder(&fixture, "k").await, None);
    fixture.save(new_tasks([&keyed(2)])).await;
    assert_eq!(holder(&fixture, "k").await, Some(task_id(2)));
    assert_eq!(holder(&fixture, "K").await, None);
}

/// One save may end the holder of a key and give the key to another, whichever has the lower id.
pub async fn a_key_passes_on_within_one_save(fixture: Fixture) {
    for (old, next) in [(1, 2), (12, 11)] {
        let first = keyed(old);
        fixture.save(new_tasks([&first])).await;
        let ended = step(&first, TaskState::Cancelled { at: at(5) });
        let mut both = vec![changed(&ended), new(&keyed(next))];
        both.sort_by_key(|change| change.row.id);
        fixture.save(tasks(both)).await;
        assert_eq!(holder(&fixture, "k").await, Some(task_id(next)));
        // And to one that lived before.
        let again = Task { run: 2, ..step(&ended, TaskState::Ready { since: at(9) }) };
        let out = step(&keyed(next), TaskState::Cancelled { at: at(9) });
        let mut both = vec![changed(&again), changed(&out)];
        both.sort_by_key(|change| change.row.id);
        fixture.save(tasks(both)).await;
        assert_eq!(holder(&fixture, "k").await, Some(task_id(old)));
        fixture.save(tasks([changed(&step(&again, completed(10)))])).await;
    }
}

/// Live tasks are those that have not ended.
pub async fn live_counts_follow(fixture: Fixture) {
    let count = async || {
        let want = Want { live_counts: [NAMESPACE, OTHER].into(), ..Want::default() };
        fixture.load(want).await.live_counts.iter().map(|(_, count)| *count).sum::<i64>()
    };
    assert_eq!(count().await, 0);
    let ended = Task { state: completed(1), ..task(9) };
    fixture.save(new_tasks([&task(1), &task(2), &ended])).await;
    assert_eq!(count().await, 2);
    fixture.save(tasks([changed(&step(&task(1), running(1)))])).await;
    assert_eq!(count().await, 2);
    fixture.save(tasks([changed(&step(&task(2), completed(3)))])).await;
    assert_eq!(count().await, 1);
}

/// A lane is in use while a live task is in it.
pub async fn lanes_in_use_follow(fixture: Fixture) {
    let in_use = async || {
        let rows = fixture.load(Want { lanes_in_use: [NAMESPACE].into(), ..Want::default() }).await;
        rows.lanes_in_use.iter().map(|lane| lane.1).collect::<Vec<_>>()
    };
    let of = |n, task_type: &str| task_with(n, TaskSpec { task_type: task_type.into(), ..spec() });
    let rows =
        [of(1, "a"), of(2, "a"), Task { state: waiting(), ..of(3, "b") }, Task { state: completed(1), ..of(4, "c") }];
    fixture.save(new_tasks(&rows)).await;
    let mut both = vec![lane("a").id, lane("b").id];
    both.sort();
    assert_eq!(in_use().await, both);
    fixture.save(tasks([changed(&step(&rows[0], completed(3))), changed(&step(&rows[2], completed(3)))])).await;
    assert_eq!(in_use().await, [lane("a").id]);
}

/// Lanes with ready tasks.
pub async fn ready_lanes_follow(fixture: Fixture) {
    let of = |n, task_type: &str| task_with(n, TaskSpec { task_type: task_type.into(), ..spec() });
    let rows = [of(1, "a"), of(2, "b"), Task { state: waiting(), ..of(3, "c") }];
    let lanes = vec![lane("a"), lane("b"), lane("c"), lane("d")];
    fixture.save(ChangeSet { lanes, ..new_tasks(&rows) }).await;
    let mut found = fixture.store.ready_lanes(10).await.unwrap();
    found.sort();
    let mut both = vec![(NAMESPACE, lane("a").id), (NAMESPACE, lane("b").id)];
    both.sort();
    assert_eq!(found, both);
    assert_eq!(fixture.store.ready_lanes(1).await.unwrap().len(), 1);
    fixture.save(tasks([changed(&step(&rows[0], running(1)))])).await;
    assert_eq!(fixture.store.ready_lanes(10).await.unwrap(), [(NAMESPACE, lane("b").id)]);
}

/// A task that has ended can be opened again.
pub async fn a_new_run_lives_again(fixture: Fixture) {
    let ended = Task { state: TaskState::Failed { at: at(5) }, ..keyed(1) };
    fixture.save(new_tasks([&ended])).await;
    let again = Task { run: 2, ..step(&ended, TaskState::Ready { since: at(9) }) };
    fixture.save(tasks([changed(&again)])).await;
    assert_eq!(fixture.task(again.id).await, Some(again.clone()));
    assert_eq!(holder(&fixture, "k").await, Some(again.id));
    assert_eq!(ready(&fixture, &[(plain_lane(), 5)]).await.0, [again.id]);
    let rows = fixture.load(Want { live_counts: [NAMESPACE].into(), ..Want::default() }).await;
    assert_eq!(rows.live_counts, [(NAMESPACE, 1)]);
    let next = step(&again, running(1));
    fixture.save(tasks([changed(&next)])).await;
    assert_eq!(fixture.task(next.id).await, Some(next));
}

/// A task whose requirements change is in another lane, and found there.
pub async fn a_changed_spec_moves_lanes(fixture: Fixture) {
    let row = task(1);
    fixture.save(new_tasks([&row])).await;
    let mut other = spec();
    other.requirements.assignee = Some("a".into());
    other.priority = Priority::Urgent;
    let moved = Task { version: 2, ..task_with(1, other) };
    let mut change = changed(&moved);
    change.spec_changed = true;
    fixture.save(tasks([change])).await;
    assert_eq!(fixture.task(row.id).await, Some(moved.clone()));
    assert_eq!(ready(&fixture, &[(row.lane, 5)]).await.1, [0]);
    assert_eq!(ready(&fixture, &[(moved.lane, 5)]).await.0, [moved.id]);
    let view = fixture.store.task((NAMESPACE, row.id)).await.unwrap().unwrap();
    assert_eq!(view.input.content.bytes(), row.id.to_string().as_bytes());
}
