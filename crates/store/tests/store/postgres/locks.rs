//! Transactions that want the same rows.

use super::*;
use callboard_core::model::task::TaskState;
use callboard_core::model::{Task, TaskSpec};
use callboard_store::Error;
use std::collections::BTreeSet;
use tokio::task::JoinSet;

/// Who comes second waits, and sees what the first one did.
#[tokio::test]
async fn who_loads_a_task_that_another_has_waits_and_sees_what_it_did() {
    let database = Database::new().await;
    let fixture = database.fixture().await;
    fixture.save(new_tasks([&task(1)])).await;
    let mut first = Steps::begin(&fixture).await;
    let row = first.load(want([1])).await.unwrap().tasks.remove(0);
    let mut second = Steps::begin(&fixture).await;
    let waiting = second.load(want([1]));
    let finish = async {
        database.somebody_waits().await;
        let mut change = changed(&step(&row, running(1)));
        // The spec, too: what was read while waiting must not be the old one.
        change.row.spec = Arc::new(TaskSpec { description: "another".into(), ..spec() });
        change.spec_changed = true;
        first.save(tasks([change])).await;
        first.commit().await;
    };
    let (seen, ()) = tokio::join!(waiting, finish);
    let seen = seen.unwrap().tasks.remove(0);
    assert_eq!((seen.version, &seen.state, seen.spec.description.as_str()), (2, &running(1), "another"));
    second.save(tasks([changed(&step(&seen, completed(9)))])).await;
    second.commit().await;
    assert_eq!(fixture.task(task_id(1)).await.unwrap().version, 3);
}

/// A replica that is stopped in the middle of a transaction, or whose machine is gone without a word: it says nothing more.
#[tokio::test]
async fn who_waits_for_one_that_says_nothing_more_gets_its_lock() {
    let database = Database::new().await;
    let fixture = database.fixture().await;
    fixture.save(new_tasks([&task(1)])).await;
    let mut stopped = Steps::begin(&fixture).await;
    let row = stopped.load(want([1])).await.unwrap().tasks.remove(0);
    let mut second = Steps::begin(&fixture).await;
    let seen = second.load(want([1])).await.expect("the lock").tasks.remove(0);
    second.save(tasks([changed(&step(&seen, running(1)))])).await;
    second.commit().await;
    // It goes on, and nothing of it happens.
    let saved = stopped.0.save(&tasks([changed(&step(&row, completed(1)))]), &fixture.settings).await;
    assert!(matches!(saved, Err(Error::Unavailable(_))), "{saved:?}");
    assert_eq!(fixture.task(task_id(1)).await.unwrap().state, running(1));
}

/// A save of what was read elsewhere is refused: its version is not the row's.
#[tokio::test]
async fn what_was_decided_on_an_old_row_is_a_conflict() {
    let database = Database::new().await;
    let fixture = database.fixture().await;
    fixture.save(new_tasks([&task(1)])).await;
    fixture.save(tasks([changed(&step(&task(1), running(1)))])).await;
    let stale = fixture.try_save(tasks([changed(&step(&task(1), completed(1)))])).await;
    assert!(matches!(stale, Err(Error::Conflict(_))), "{stale:?}");
}

/// Two that have what the other wants: one is given up, and the other goes on.
#[tokio::test]
async fn of_two_that_wait_for_each_other_one_is_given_up() {
    let database = Database::new().await;
    let fixture = database.fixture().await;
    fixture.save(new_tasks([&task(1), &task(2)])).await;
    let (mut a, mut b) = (Steps::begin(&fixture).await, Steps::begin(&fixture).await);
    a.load(want([1])).await.unwrap();
    b.load(want([2])).await.unwrap();
    let a = async {
        let loaded = a.load(want([2])).await.map(|rows| rows.tasks.len());
        a.0.roll_back().await;
        loaded
    };
    let b = async {
        let loaded = b.load(want([1])).await.map(|rows| rows.tasks.len());
        b.0.roll_back().await;
        loaded
    };
    // The one that is out of order is the one that gives up.
    let (a, b) = tokio::join!(a, b);
    assert!(matches!(a, Ok(1)) && matches!(b, Err(Error::Conflict(_))), "{a:?} {b:?}");
}

/// Ready tasks go to one transaction each, however many take some at once.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_ready_task_is_never_taken_twice() {
    const TASKS: u32 = 400;
    let database = Database::new().await;
    let replicas = [database.store().await, database.store().await];
    let fixture = Fixture::new(replicas[0].clone());
    let rows: Vec<Task> = (0..TASKS).map(task).collect();
    fixture.save(new_tasks(&rows)).await;
    let mut takers = JoinSet::new();
    for taker in 0..6_u32 {
        let fixture = Fixture::new(replicas[taker as usize % 2].clone());
        takers.spawn(async move {
            let mut taken = Vec::new();
            let mut empty = 0;
            // Nothing found may mean that others have the rest locked.
            while empty < 20 {
                let mut transaction = Steps::begin(&fixture).await;
                let ready = [((NAMESPACE, plain_lane()), 7)].into();
                let found = transaction.load(Want { ready, ..Want::default() }).await.unwrap().tasks;
                empty = if found.is_empty() { empty + 1 } else { 0 };
                let leased: Vec<Task> = found.iter().map(|row| step(row, running(taker))).collect();
                transaction.save(tasks(leased.iter().map(changed))).await;
                transaction.commit().await;
                taken.extend(leased.into_iter().map(|row| row.id));
            }
            taken
        });
    }
    let taken: Vec<_> = takers.join_all().await.concat();
    assert_eq!(taken.len(), TASKS as usize);
    assert_eq!(BTreeSet::from_iter(taken).len(), TASKS as usize);
    assert!(fixture.store.ready_lanes(10).await.unwrap().is_empty());
}

/// Who finds fewer ready tasks than it asked for is told of the lanes in which others have some locked, of no others, and no longer than
/// they have them.
#[tokio::test]
async fn who_passes_over_ready_tasks_that_another_has_is_told_so() {
    let database = Database::new().await;
    let fixture = database.fixture().await;
    let of = |n, name: &str| task_with(n, TaskSpec { task_type: name.into(), ..spec() });
    fixture.save(new_tasks([&of(1, "a"), &of(2, "a"), &of(3, "a"), &of(4, "b"), &of(5, "c")])).await;
    let [a, b, c] = ["a", "b", "c"].map(|name| (NAMESPACE, lane(name).id));
    let asked = |most| Want { ready: [(a, most), (b, most), (c, most)].into(), ..Want::default() };
    let mut holder = Steps::begin(&fixture).await;
    holder.load(want([1, 2, 4])).await.unwrap();
    let found = fixture.load(asked(1)).await;
    assert_eq!(
        (found.ready, found.ready_locked),
        (vec![(a, 1), (c, 1)], vec![b]),
        "of a there is as much as asked for"
    );
    let found = fixture.load(asked(5)).await;
    assert_eq!((found.ready, found.ready_locked), (vec![(a, 1), (c, 1)], vec![a, b]));
    holder.0.roll_back().await;
    let found = fixture.load(asked(5)).await;
    assert_eq!((found.ready, found.ready_locked), (vec![(a, 3), (b, 1), (c, 1)], vec![]));
}

/// The end of a task sees every edge from it, though the edge be made meanwhile; and who makes an edge sees the end.
#[tokio::test]
async fn an_edge_and_the_end_of_its_source_do_not_miss_each_other() {
    let database = Database::new().await;
    let fixture = database.fixture().await;
    fixture.save(new_tasks([&task(1), &task(5)])).await;
    // The edge is first.
    let mut maker = Steps::begin(&fixture).await;
    let source = maker.load(want([1])).await.unwrap().tasks.remove(0);
    let with_edge = Task { has_dependents: true, ..step(&source, source.state.clone()) };
    let target = Task { state: waiting(), dependencies: 1, ..task(2) };
    let changes = ChangeSet { edges: vec![edge(1, 2, 0)], ..tasks([changed(&with_edge), new(&target)]) };
    maker.save(changes).await;
    let mut ender = Steps::begin(&fixture).await;
    let (loaded, ()) = tokio::join!(ender.load(want([1])), maker.commit_late(&database));
    let source = loaded.unwrap().tasks.remove(0);
    assert!(source.has_dependents);
    let edges = Want { pending_edges: [((NAMESPACE, task_id(1)), 10)].into(), ..Want::default() };
    let found = ender.load(edges.clone()).await.unwrap();
    assert_eq!((found.edges.len(), found.tasks[0].id), (1, task_id(2)));
    ender.0.roll_back().await;
    // By itself, edges wait for who has their source, too.
    let mut holder = Steps::begin(&fixture).await;
    holder.load(want([5])).await.unwrap();
    holder.save(ChangeSet { edges: vec![edge(5, 2, 1)], ..ChangeSet::default() }).await;
    let mut reader = Steps::begin(&fixture).await;
    let edges = Want { pending_edges: [((NAMESPACE, task_id(5)), 10)].into(), ..Want::default() };
    let (found, ()) = tokio::join!(reader.load(edges), holder.commit_late(&database));
    assert_eq!(found.unwrap().edges.len(), 1);
    reader.0.roll_back().await;
    // The end is first.
    let mut ender = Steps::begin(&fixture).await;
    let source = ender.load(want([1])).await.unwrap().tasks.remove(0);
    ender.save(tasks([changed(&step(&source, completed(9)))])).await;
    let mut maker = Steps::begin(&fixture).await;
    let (loaded, ()) = tokio::join!(maker.load(want([1])), ender.commit_late(&database));
    assert!(matches!(loaded.unwrap().tasks[0].state, TaskState::Completed { .. }));
}

/// A key whose task ended while it was waited for is free.
#[tokio::test]
async fn a_key_is_not_given_with_a_task_that_has_ended_meanwhile() {
    let database = Database::new().await;
    let fixture = database.fixture().await;
    let keyed = task_with(1, TaskSpec { key: Some("k".into()), ..spec() });
    fixture.save(new_tasks([&keyed])).await;
    let mut ender = Steps::begin(&fixture).await;
    ender.load(want([1])).await.unwrap();
    ender.save(tasks([changed(&step(&keyed, completed(9)))])).await;
    let mut asker = Steps::begin(&fixture).await;
    let keys = Want { keys: [(NAMESPACE, "k".into())].into(), ..Want::default() };
    let (found, ()) = tokio::join!(asker.load(keys), ender.commit_late(&database));
    assert!(found.unwrap().keys.is_empty());
}

/// Of two transactions with the same request the second learns of the first.
#[tokio::test]
async fn a_request_that_two_replicas_got_is_a_conflict_for_one() {
    use callboard_core::model::{RequestKey, RequestRecord, Timestamp};
    let database = Database::new().await;
    let (one, other) = (database.fixture().await, database.fixture().await);
    let key = RequestKey { namespace: NAMESPACE, principal: "p".into(), method: "m".into(), request_id: "r".into() };
    let record = RequestRecord { key, digest: vec![1], reply: "{}".into(), expires_at: Timestamp(i64::MAX) };
    let changes = || ChangeSet { requests: vec![record.clone()], ..ChangeSet::default() };
    let mut first = Steps::begin(&one).await;
    first.save(changes()).await;
    let (second, ()) = tokio::join!(other.try_save(changes()), first.commit_late(&database));
    assert!(matches!(second, Err(Error::Conflict(_))), "{second:?}");
}

/// A lane does not go while a task is saved in it, and no task is saved in one that went.
#[tokio::test]
async fn a_lane_and_its_tasks_do_not_miss_each_other() {
    let database = Database::new().await;
    let fixture = database.fixture().await;
    let research = lane("research");
    fixture.save(ChangeSet { lanes: vec![research.clone()], ..ChangeSet::default() }).await;
    let lanes = || Want { lanes: [NAMESPACE].into(), ..Want::default() };
    let removal = || ChangeSet { removed_lanes: vec![(NAMESPACE, research.id)], ..ChangeSet::default() };
    // The task is first.
    let mut creator = Steps::begin(&fixture).await;
    creator.load(lanes()).await.unwrap();
    creator.save(new_tasks([&task(1)])).await;
    let (removed, ()) = tokio::join!(fixture.try_save(removal()), creator.commit_late(&database));
    removed.unwrap();
    assert_eq!(fixture.load(lanes()).await.lanes, std::slice::from_ref(&research));
    fixture.save(tasks([changed(&step(&task(1), completed(1)))])).await;
    // The removal is first.
    let mut creator = Steps::begin(&fixture).await;
    creator.load(lanes()).await.unwrap();
    fixture.save(removal()).await;
    let saved = creator.0.save(&new_tasks([&task(2)]), &fixture.settings).await;
    assert!(matches!(saved, Err(Error::Conflict(_))), "{saved:?}");
}

/// Each transaction adds what it changed, and the sum is right.
#[tokio::test]
async fn live_tasks_are_counted_by_all_replicas_together() {
    let database = Database::new().await;
    let (one, other) = (database.fixture().await, database.fixture().await);
    let rows: Vec<Task> = (0..10).map(task).collect();
    one.save(new_tasks(&rows[..6])).await;
    other.save(new_tasks(&rows[6..])).await;
    other.save(tasks(rows[..3].iter().map(|row| changed(&step(row, completed(1)))))).await;
    let mut given_up = Steps::begin(&one).await;
    given_up.save(new_tasks([&task(99)])).await;
    given_up.0.roll_back().await;
    for fixture in [&one, &other] {
        let counts = fixture.load(Want { live_counts: [NAMESPACE].into(), ..Want::default() }).await.live_counts;
        assert_eq!(counts, [(NAMESPACE, 7)]);
    }
    let found = one.store.forget_tasks(&[(NAMESPACE, task_id(0))], at(1 << 40)).await.unwrap();
    assert_eq!(found.tasks, 1);
    let counts = one.load(Want { live_counts: [NAMESPACE].into(), ..Want::default() }).await.live_counts;
    assert_eq!(counts, [(NAMESPACE, 7)]);
}
