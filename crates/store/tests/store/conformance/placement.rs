//! What explanations are made of: what agents have, and what stands before a task.

use super::samples::*;
use callboard_core::model::{
    AgentId, Amounts, Lane, LaneKey, NamespaceId, Priority, Requirements, Slot, Task, TaskId, TaskSpec, TaskState,
};
use callboard_core::working_set::ChangeSet;
use callboard_store::Holding;
use std::collections::BTreeMap;

/// A new lane of a task that takes so many thousandths of a gpu.
pub fn lane_with_gpus(parts: u64) -> Lane {
    let key = LaneKey::of(&with_gpus(0, parts).spec);
    Lane { namespace: NAMESPACE, id: key.id(), key }
}

/// A task that takes so many thousandths of a gpu.
pub fn with_gpus(n: u32, parts: u64) -> Task {
    let requirements = Requirements { resources: gpus(parts), ..Requirements::default() };
    task_with(n, TaskSpec { requirements, ..spec() })
}

fn gpus(parts: u64) -> Amounts {
    Amounts::of([("gpu".to_owned(), parts)])
}

/// How many tasks of each kind agents have, however the store groups them.
async fn held(
    fixture: &Fixture,
    namespace: NamespaceId,
    agents: &[AgentId],
) -> BTreeMap<(AgentId, Slot, Amounts), usize> {
    let mut held = BTreeMap::new();
    for holding in fixture.store.holdings(namespace, agents).await.unwrap() {
        let Holding { agent, slot, tasks, resources } = holding;
        *held.entry((agent, slot, resources)).or_default() += tasks;
    }
    held
}

/// Each leased task counts with what it takes, and with what it is to the slots of its agent; no other does.
pub async fn what_agents_have(fixture: Fixture) {
    fixture.save(new_agents([&agent(1, "a"), &agent(2, "b"), &agent(3, "c")])).await;
    let assigned = |agent| TaskState::Assigned { lease: lease(agent), ready_since: at(1) };
    let rows = [
        Task { state: running(1), ..with_gpus(1, 500) },
        Task { state: assigned(1), ..with_gpus(2, 500) },
        Task { state: running(1), ..with_gpus(3, 2_000) },
        Task { state: running(1), ..task(4) },
        Task { state: paused(1, None), ..with_gpus(5, 500) },
        Task { state: paused(1, Some(at(70))), ..with_gpus(6, 500) },
        Task { state: running(2), ..with_gpus(7, 2_000) },
        Task { state: completed(1), ..with_gpus(8, 500) },
        with_gpus(9, 500),
    ];
    let lanes = vec![lane("research"), lane_with_gpus(500), lane_with_gpus(2_000)];
    fixture.save(ChangeSet { lanes, ..new_tasks(&rows) }).await;
    let [a, b, c] = [1, 2, 3].map(agent_id);
    let of_a = [
        ((a, Slot::Taken, gpus(500)), 2),
        ((a, Slot::Taken, gpus(2_000)), 1),
        ((a, Slot::Taken, Amounts::default()), 1),
        ((a, Slot::Free, gpus(500)), 1),
        ((a, Slot::Awaited, gpus(500)), 1),
    ];
    assert_eq!(held(&fixture, NAMESPACE, &[a]).await, of_a.clone().into());
    let mut of_all = BTreeMap::from(of_a.clone());
    of_all.insert((b, Slot::Taken, gpus(2_000)), 1);
    assert_eq!(held(&fixture, NAMESPACE, &[a, b, c, agent_id(9)]).await, of_all);
    assert!(held(&fixture, OTHER, &[a, b]).await.is_empty(), "another namespace's");
    assert!(held(&fixture, NAMESPACE, &[]).await.is_empty());
    let ended = [0, 1, 2].map(|place: usize| step(&rows[place], completed(9)));
    fixture.save(tasks(ended.iter().map(changed))).await;
    assert_eq!(held(&fixture, NAMESPACE, &[a]).await, of_a[2..].iter().cloned().collect());
}

/// Of a lane's ready tasks those of a lower rank, and of the same rank those of a lower id; at most so many are counted.
pub async fn what_stands_before_a_task(fixture: Fixture) {
    let ready = |n, seconds, priority| {
        let row = task_with(n, TaskSpec { priority, ..spec() });
        Task { state: TaskState::Ready { since: at(seconds) }, ..row }
    };
    let rows = [
        ready(4, 100, Priority::Normal),
        ready(2, 100, Priority::Normal),
        ready(3, 100, Priority::High),
        ready(1, 100, Priority::Low),
        Task { state: running(1), ..task(5) },
        Task { state: waiting(), ..task(6) },
        Task { state: TaskState::Ready { since: at(1) }, ..with_gpus(7, 500) },
    ];
    let lanes = vec![lane("research"), lane_with_gpus(500)];
    fixture.save(ChangeSet { lanes, ..new_tasks(&rows) }).await;
    let store = &fixture.store;
    let before = async |row: &Task, limit| {
        store.ready_before((NAMESPACE, row.lane), (row.rank().unwrap(), row.id), limit).await.unwrap()
    };
    let mut found = Vec::new();
    for place in [2, 1, 0, 3, 6] {
        found.push(before(&rows[place], 1_000).await);
    }
    assert_eq!(found, [0, 1, 2, 3, 0]);
    assert_eq!((before(&rows[3], 2).await, before(&rows[3], 0).await), (2, 0));
    let behind_all = (i64::MAX, TaskId(uuid::Uuid::max()));
    assert_eq!(store.ready_before((NAMESPACE, plain_lane()), behind_all, 1_000).await.unwrap(), 4);
    assert_eq!(store.ready_before((OTHER, plain_lane()), behind_all, 1_000).await.unwrap(), 0);
    fixture.save(tasks([changed(&step(&rows[2], running(1)))])).await;
    assert_eq!(before(&rows[3], 1_000).await, 2, "what was given out stands before nothing");
}
