//! Children of runs.

use super::samples::*;
use callboard_core::model::{ChildKey, Event, OnParentEnd, StateName, Task, TaskChild};
use callboard_core::working_set::{ChangeSet, ChildRef, Rows, RunRef, TaskRef, Want};
use callboard_store::Error;

fn run(n: u32, run: u32) -> RunRef {
    (NAMESPACE, task_id(n), run)
}

pub fn child_key(name: &str, occurrence: u32) -> ChildKey {
    ChildKey { name: name.into(), occurrence }
}

/// Children of a run, which are these tasks, called by their numbers.
pub fn born((namespace, parent, run): RunRef, tasks: &[u32]) -> Vec<TaskChild> {
    let child = |(ordinal, n): (u32, &u32)| TaskChild {
        namespace,
        parent,
        run,
        ordinal,
        key: child_key("child", *n),
        child: task_id(*n),
        on_parent_end: OnParentEnd::Cancel,
    };
    (1..).zip(tasks).map(child).collect()
}

fn children(children: Vec<TaskChild>) -> ChangeSet {
    ChangeSet { children, ..ChangeSet::default() }
}

async fn all(fixture: &Fixture, run: RunRef) -> Vec<TaskChild> {
    fixture.store.children(run, 0, 10_000).await.unwrap().into_iter().map(|(child, _)| child).collect()
}

async fn wanted(fixture: &Fixture, children: &[ChildRef]) -> Rows {
    fixture.load(Want { children: children.iter().cloned().collect(), ..Want::default() }).await
}

/// Whatever a child's row holds comes back as it was.
pub async fn every_field_of_a_child(fixture: Fixture) {
    fixture.save(new_tasks(&[task(1)])).await;
    let row = TaskChild {
        namespace: NAMESPACE,
        parent: task_id(1),
        run: u32::MAX,
        ordinal: u32::MAX,
        key: child_key(TEXT, u32::MAX),
        child: task_id(u32::MAX),
        on_parent_end: OnParentEnd::Detach,
    };
    let other = TaskChild { ordinal: 1, key: child_key("", 0), on_parent_end: OnParentEnd::Cancel, ..row.clone() };
    fixture.save(children(vec![other.clone(), row.clone()])).await;
    assert_eq!(all(&fixture, run(1, u32::MAX)).await, [other, row.clone()]);
    let at = (run(1, u32::MAX), row.key);
    assert_eq!(wanted(&fixture, &[at.clone()]).await.children, [(at, row.child)]);
}

/// Those that are wanted and exist, and how many their runs have; of several runs in one go.
pub async fn wanted_children_and_how_many_their_runs_have(fixture: Fixture) {
    fixture.save(new_tasks(&[task(1), task(2)])).await;
    fixture.save(children(born(run(1, 1), &[11, 12]))).await;
    fixture.save(children([born(run(1, 2), &[13]), born(run(2, 1), &[21, 22, 23])].concat())).await;
    let asked = [
        (run(1, 1), child_key("child", 12)),
        (run(1, 2), child_key("child", 12)),
        (run(2, 1), child_key("child", 21)),
        (run(2, 1), child_key("other", 21)),
        (run(3, 1), child_key("child", 21)),
    ];
    let mut rows = wanted(&fixture, &asked).await;
    rows.children.sort();
    assert_eq!(rows.children, [(asked[0].clone(), task_id(12)), (asked[2].clone(), task_id(21))]);
    rows.child_counts.retain(|(_, count)| *count > 0);
    assert_eq!(rows.child_counts, [(run(1, 1), 2), (run(1, 2), 1), (run(2, 1), 3)]);
}

/// What ends with a run: all that are to be cancelled, and the tasks of those that live.
pub async fn what_ends_with_a_run(fixture: Fixture) {
    let ended = Task { state: completed(10), ..task(12) };
    fixture.save(new_tasks(&[task(1), task(11), ended, task(13), task(14)])).await;
    // 15 was forgotten.
    let mut rows = born(run(1, 1), &[11, 12, 13, 15]);
    rows[2].on_parent_end = OnParentEnd::Detach;
    fixture.save(children([rows, born(run(1, 2), &[14])].concat())).await;
    let want = Want { run_children: [run(1, 1), run(2, 1)].into(), ..Want::default() };
    let mut found = fixture.load(want).await;
    found.run_children.sort();
    let of = |n| (run(1, 1), task_id(n));
    assert_eq!(found.run_children, [of(11), of(12), of(15)]);
    let live: Vec<_> = found.tasks.iter().map(|task| task.id).collect();
    assert_eq!(live, [task_id(11)]);
}

/// By ordinal, each with its task as it is now, unless that was forgotten.
pub async fn pages_of_children(fixture: Fixture) {
    fixture.save(new_tasks(&[task(1), task(11), task(13)])).await;
    let rows = born(run(1, 1), &[11, 12, 13]);
    fixture.save(children(rows.clone())).await;
    for (after, limit, expected) in [(0, 10, 0..3), (0, 2, 0..2), (1, 1, 1..2), (2, 5, 2..3), (3, 5, 3..3)] {
        let page = fixture.store.children(run(1, 1), after, limit).await.unwrap();
        let found: Vec<TaskChild> = page.iter().map(|(child, _)| child.clone()).collect();
        assert_eq!(found, rows[expected], "{after} {limit}");
        for (child, found) in page {
            let expected = (child.child != task_id(12)).then_some(child.child);
            assert_eq!(found.map(|task| task.id), expected);
        }
    }
    for of in [run(1, 2), run(2, 1)] {
        assert!(fixture.store.children(of, 0, 10).await.unwrap().is_empty());
    }
}

/// A place, and a key, are taken once; and what is refused changes nothing.
pub async fn a_child_is_created_once(fixture: Fixture) {
    fixture.save(new_tasks(&[task(1)])).await;
    let rows = born(run(1, 1), &[11]);
    fixture.save(children(rows.clone())).await;
    let same_place = TaskChild { key: child_key("other", 0), ..rows[0].clone() };
    let same_key = TaskChild { ordinal: 2, ..rows[0].clone() };
    for wrong in [same_place, same_key] {
        let refused = fixture.try_save(children(vec![wrong])).await.unwrap_err();
        assert!(matches!(refused, Error::Conflict(_) | Error::Data(_)), "{refused:?}");
        assert_eq!(all(&fixture, run(1, 1)).await, rows);
    }
    let other_run = TaskChild { run: 2, ..rows[0].clone() };
    fixture.save(children(vec![other_run])).await;
}

/// What was given up is not there, and may be created then.
pub async fn children_that_were_rolled_back_are_gone(fixture: Fixture) {
    fixture.save(new_tasks(&[task(1)])).await;
    let rows = born(run(1, 1), &[11, 12]);
    let at = (run(1, 1), child_key("child", 11));
    let mut transaction = fixture.store.begin().await.unwrap();
    transaction.save(&children(rows.clone()), &fixture.settings).await.unwrap();
    let want = Want { children: [at.clone()].into(), ..Want::default() };
    assert_eq!(transaction.load(&want).await.unwrap().children.len(), 1, "it sees what it saved");
    transaction.roll_back().await;
    assert!(all(&fixture, run(1, 1)).await.is_empty());
    assert!(wanted(&fixture, &[at]).await.children.is_empty());
    fixture.save(children(rows.clone())).await;
    assert_eq!(all(&fixture, run(1, 1)).await, rows);
}

/// More than a statement takes, of many runs.
pub async fn a_thousand_children_in_one_save(fixture: Fixture) {
    let tasks: Vec<Task> = (1..=10).map(task).collect();
    fixture.save(new_tasks(&tasks)).await;
    let numbers: Vec<u32> = (0..100).collect();
    let rows: Vec<TaskChild> = (1..=10).flat_map(|n| born(run(n, 1), &numbers)).collect();
    fixture.save(children(rows)).await;
    let keys: Vec<_> = (1..=10).flat_map(|n| (0..100).map(move |m| (run(n, 1), child_key("child", m)))).collect();
    let found = wanted(&fixture, &keys).await;
    assert_eq!((found.children.len(), found.child_counts.len()), (1_000, 10));
    let want = Want { run_children: (1..=10).map(|n| run(n, 1)).collect(), ..Want::default() };
    assert_eq!(fixture.load(want).await.run_children.len(), 1_000);
}

async fn ended(fixture: &Fixture, n: u32) -> TaskRef {
    let row = Task { state: completed(10), ..task(n) };
    let event = Event { at: at(10), state: StateName::Completed, ..event(n, 1) };
    fixture.save(ChangeSet { events: vec![event], ..new_tasks(&[row]) }).await;
    (NAMESPACE, task_id(n))
}

async fn forget(fixture: &Fixture, tasks: &[TaskRef]) -> usize {
    let told = fixture.store.forgettable_tasks(tasks, at(20)).await.unwrap().len();
    let forgotten = fixture.store.forget_tasks(tasks, at(20)).await.unwrap();
    assert_eq!((forgotten.tasks, forgotten.left.len()), (told, 0));
    told
}

/// A live parent may ask for its children again, those of other runs and of other parents included.
pub async fn children_of_a_live_parent_stay(fixture: Fixture) {
    fixture.save(new_tasks(&[task(1)])).await;
    let parent = ended(&fixture, 2).await;
    let (of_both, of_ended, of_none) =
        (ended(&fixture, 11).await, ended(&fixture, 12).await, ended(&fixture, 13).await);
    let rows = [born(run(1, 1), &[11]), born(run(2, 1), &[11, 12])].concat();
    fixture.save(children(rows)).await;
    assert_eq!(forget(&fixture, &[of_both, of_ended, of_none]).await, 2);
    assert!(fixture.store.task(of_both).await.unwrap().is_some());
    assert_eq!(forget(&fixture, &[parent]).await, 1, "a parent goes before its children");
    assert_eq!(forget(&fixture, &[of_both]).await, 0);
    let live = fixture.task(task_id(1)).await.unwrap();
    fixture.save(tasks([changed(&step(&live, completed(15)))])).await;
    assert_eq!(forget(&fixture, &[of_both]).await, 1);
}

/// Their rows go with the parent, and no others do.
pub async fn rows_of_children_go_with_the_parent(fixture: Fixture) {
    let (first, _) = (ended(&fixture, 1).await, ended(&fixture, 2).await);
    let many: Vec<u32> = (100..1_100).collect();
    fixture.save(children([born(run(1, 1), &many), born(run(1, 2), &[11]), born(run(2, 1), &[11])].concat())).await;
    assert_eq!(forget(&fixture, &[first]).await, 1);
    for (of, expected) in [(run(1, 1), 0), (run(1, 2), 0), (run(2, 1), 1)] {
        assert_eq!(all(&fixture, of).await.len(), expected, "{of:?}");
    }
    fixture.save(new_tasks(&[task(1)])).await;
    fixture.save(children(born(run(1, 1), &[11]))).await;
}
