//! Paused tasks: what they are to their agents' slots, and which states tasks are in.

use super::samples::*;
use callboard_core::model::task::Cancelling;
use callboard_core::model::{Slot, StateName, Task, TaskId, TaskState};
use callboard_core::working_set::Want;

/// Each lease of an agent with what it is to its slots.
async fn slots(fixture: &Fixture) -> Vec<(TaskId, Slot)> {
    let want = Want { agents_by_id: [(NAMESPACE, agent_id(1))].into(), ..Want::default() };
    let mut leases = fixture.load(want).await.leases;
    leases.sort();
    leases.into_iter().map(|(_, task, slot, _)| (task, slot)).collect()
}

/// An agent comes with what every task leased to it is to its slots, whatever becomes of them.
pub async fn what_leases_are_to_slots(fixture: Fixture) {
    fixture.save(new_agents([&agent(1, "a"), &agent(2, "b")])).await;
    let states = [
        TaskState::Assigned { lease: lease(1), ready_since: at(1) },
        running(1),
        paused(1, None),
        paused(1, Some(at(70))),
        paused(2, None),
    ];
    let rows: Vec<Task> = (1..).zip(states).map(|(n, state)| Task { state, ..task(n) }).collect();
    fixture.save(new_tasks(&rows)).await;
    let [assigned, runs, waits, wants] = [1, 2, 3, 4].map(task_id);
    let expected = [(assigned, Slot::Taken), (runs, Slot::Taken), (waits, Slot::Free), (wants, Slot::Awaited)];
    assert_eq!(slots(&fixture).await, expected);
    assert_eq!(fixture.store.agent(NAMESPACE, "a").await.unwrap().unwrap().1, 4, "it has all of them");
    let next = [
        step(&rows[0], completed(9)),
        step(&rows[1], paused(1, None)),
        step(&rows[2], paused(1, Some(at(80)))),
        step(&rows[3], running(1)),
    ];
    fixture.save(tasks(next.iter().map(changed))).await;
    assert_eq!(slots(&fixture).await, [(runs, Slot::Free), (waits, Slot::Awaited), (wants, Slot::Taken)]);
}

/// What is to stop and what is paused are kept apart.
pub async fn one_that_is_told_to_stop_keeps_its_pause(fixture: Fixture) {
    let TaskState::Paused { lease, pause, .. } = paused(1, Some(at(70))) else { unreachable!() };
    let cancelling = Some(Cancelling { since: at(80), reason: TEXT.into() });
    let row = Task { state: TaskState::Paused { lease, cancelling, pause }, ..task(1) };
    fixture.save(new_tasks([&row])).await;
    assert_eq!(fixture.task(row.id).await, Some(row.clone()));
    if let Some(cluster) = fixture.store.cluster() {
        assert_eq!(cluster.stopping(None, 10).await.unwrap().tasks, [row]);
    }
}

/// Of those that exist.
pub async fn states_of_tasks(fixture: Fixture) {
    let states = [waiting(), running(1), paused(1, None), paused(1, Some(at(70))), completed(1)];
    let rows: Vec<Task> = (1..).zip(states).map(|(n, state)| Task { state, ..task(n) }).collect();
    fixture.save(new_tasks(&rows)).await;
    let asked: Vec<_> = [9, 5, 4, 3, 2, 1].map(|n| (NAMESPACE, task_id(n))).into();
    let mut found = fixture.store.states(&asked).await.unwrap();
    found.sort();
    use StateName::*;
    let expected = [Waiting, Running, Paused, Paused, Completed];
    assert_eq!(found, (1..).zip(expected).map(|(n, state)| ((NAMESPACE, task_id(n)), state)).collect::<Vec<_>>());
    assert!(fixture.store.states(&[(OTHER, task_id(1))]).await.unwrap().is_empty(), "another namespace's");
    assert!(fixture.store.states(&[]).await.unwrap().is_empty());
}
