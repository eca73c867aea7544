//! All or nothing, and only on what was expected.

use super::samples::*;
use callboard_core::model::{Task, TaskSpec};
use callboard_core::working_set::{ChangeSet, Changed, Want};
use callboard_store::Error;

fn is_conflict(result: callboard_store::Result<()>) {
    assert!(matches!(result, Err(Error::Conflict(_))), "{result:?}");
}

/// Empty wishes and changes are fine.
pub async fn nothing_wanted_and_nothing_changed(fixture: Fixture) {
    fixture.save(ChangeSet::default()).await;
    let rows = fixture.load(Want::default()).await;
    assert!(rows.tasks.is_empty() && rows.namespaces.is_empty());
    let want = Want {
        tasks: [(NAMESPACE, task_id(1))].into(),
        agents: [(NAMESPACE, "nobody".into())].into(),
        keys: [(NAMESPACE, "none".into())].into(),
        pending_edges: [((NAMESPACE, task_id(1)), 0), ((NAMESPACE, task_id(2)), usize::MAX)].into(),
        dependencies: [(NAMESPACE, task_id(1))].into(),
        lanes: [NAMESPACE].into(),
        lanes_in_use: [NAMESPACE].into(),
        live_counts: [NAMESPACE].into(),
        ready: [((NAMESPACE, plain_lane()), usize::MAX)].into(),
        all_namespaces: true,
        ..Want::default()
    };
    let rows = fixture.load(want).await;
    assert!(rows.tasks.is_empty() && rows.agents.is_empty() && rows.keys.is_empty() && rows.edges.is_empty());
    assert!(
        rows.lanes.is_empty() && rows.lanes_in_use.is_empty() && rows.live_counts.is_empty() && rows.ready.is_empty()
    );
}

/// A row that has another version than expected, or isn't there, is a conflict.
pub async fn a_wrong_version_is_a_conflict(fixture: Fixture) {
    let row = task(1);
    let (one_agent, one_namespace) = (agent(1, "a"), namespace(1, "n"));
    fixture.save(new_tasks([&row])).await;
    fixture.save(new_agents([&one_agent])).await;
    let namespaces = vec![Changed { row: one_namespace.clone(), expected: 0 }];
    fixture.save(ChangeSet { namespaces, ..ChangeSet::default() }).await;
    for expected in [2, 7, -1] {
        for state in [running(1), completed(3), waiting()] {
            let mut change = changed(&step(&row, state));
            change.expected = expected;
            is_conflict(fixture.try_save(tasks([change])).await);
        }
        let agents = vec![Changed { row: one_agent.clone(), expected }];
        is_conflict(fixture.try_save(ChangeSet { agents, ..ChangeSet::default() }).await);
        let namespaces = vec![Changed { row: one_namespace.clone(), expected }];
        is_conflict(fixture.try_save(ChangeSet { namespaces, ..ChangeSet::default() }).await);
    }
    is_conflict(fixture.try_save(tasks([changed(&step(&task(2), running(1)))])).await);
    let agents = vec![Changed { row: agent(2, "b"), expected: 1 }];
    is_conflict(fixture.try_save(ChangeSet { agents, ..ChangeSet::default() }).await);
    let elsewhere = Task { namespace: OTHER, ..step(&row, running(1)) };
    is_conflict(fixture.try_save(tasks([changed(&elsewhere)])).await);
    assert_eq!(fixture.task(row.id).await, Some(row));
}

/// A new row must not be there, and neither its name nor its key.
pub async fn a_new_row_must_be_new(fixture: Fixture) {
    let keyed = |n| task_with(n, TaskSpec { key: Some("k".into()), ..spec() });
    fixture.save(new_tasks([&task(1), &keyed(2)])).await;
    fixture.save(new_agents([&agent(1, "a")])).await;
    let namespaces = vec![Changed { row: namespace(1, "n"), expected: 0 }];
    fixture.save(ChangeSet { namespaces, ..ChangeSet::default() }).await;
    fixture.save(ChangeSet { edges: vec![edge(1, 2, 0)], events: vec![event(1, 1)], ..ChangeSet::default() }).await;
    is_conflict(fixture.try_save(new_tasks([&task(1)])).await);
    is_conflict(fixture.try_save(new_tasks([&keyed(3)])).await);
    is_conflict(fixture.try_save(new_agents([&agent(1, "b")])).await);
    is_conflict(fixture.try_save(new_agents([&agent(2, "a")])).await);
    for row in [namespace(1, "m"), namespace(2, "n")] {
        let namespaces = vec![Changed { row, expected: 0 }];
        is_conflict(fixture.try_save(ChangeSet { namespaces, ..ChangeSet::default() }).await);
    }
    is_conflict(fixture.try_save(ChangeSet { edges: vec![edge(1, 2, 5)], ..ChangeSet::default() }).await);
    is_conflict(fixture.try_save(ChangeSet { events: vec![event(1, 1)], ..ChangeSet::default() }).await);
    let elsewhere = Task { namespace: OTHER, ..keyed(4) };
    fixture.save(new_tasks([&elsewhere])).await;
}

/// What stood beside a conflict in the same save is not saved either.
pub async fn a_conflict_changes_nothing(fixture: Fixture) {
    fixture.save(new_tasks([&task(1)])).await;
    let mut stale = changed(&step(&task(1), running(1)));
    stale.expected = 5;
    let changes = ChangeSet {
        lanes: vec![lane("a")],
        agents: new_agents([&agent(1, "a")]).agents,
        events: vec![event(2, 1)],
        edges: vec![edge(1, 2, 0)],
        tasks: vec![new(&task(2)), stale],
        ..ChangeSet::default()
    };
    is_conflict(fixture.try_save(changes).await);
    assert_eq!(fixture.task(task_id(2)).await, None);
    assert_eq!(fixture.store.agent(NAMESPACE, "a").await.unwrap(), None);
    assert_eq!(fixture.store.end_of_events().await.unwrap().position, 0);
    let want = Want { lanes: [NAMESPACE].into(), dependencies: [(NAMESPACE, task_id(2))].into(), ..Want::default() };
    let rows = fixture.load(want).await;
    assert!(rows.lanes.is_empty() && rows.edges.is_empty());
}

fn a_bit_of_everything() -> ChangeSet {
    let keyed = task_with(2, TaskSpec { key: Some("k".into()), tags: ["t".into()].into(), ..spec() });
    let ended = step(&task(1), completed(5));
    ChangeSet {
        namespaces: vec![Changed { row: namespace(1, "n"), expected: 0 }],
        tasks: vec![changed(&ended), new(&keyed)],
        agents: new_agents([&agent(2, "b")]).agents,
        removed_agents: vec![(NAMESPACE, agent_id(1))],
        lanes: vec![lane("a")],
        removed_lanes: vec![(NAMESPACE, lane("b").id)],
        edges: vec![edge(1, 2, 0)],
        events: vec![event(1, 2)],
        ..ChangeSet::default()
    }
}

async fn before_a_bit_of_everything(fixture: &Fixture) {
    let changes = ChangeSet {
        agents: new_agents([&agent(1, "a")]).agents,
        lanes: vec![lane("b")],
        events: vec![event(1, 1)],
        ..new_tasks([&task(1)])
    };
    fixture.save(changes).await;
}

async fn nothing_happened(fixture: &Fixture) {
    assert!(fixture.store.namespaces().await.unwrap().is_empty());
    assert_eq!(fixture.task(task_id(1)).await, Some(task(1)));
    assert_eq!(fixture.task(task_id(2)).await, None);
    assert!(fixture.store.agent(NAMESPACE, "a").await.unwrap().is_some());
    assert!(fixture.store.agent(NAMESPACE, "b").await.unwrap().is_none());
    let want = Want {
        lanes: [NAMESPACE].into(),
        keys: [(NAMESPACE, "k".into())].into(),
        live_counts: [NAMESPACE].into(),
        dependencies: [(NAMESPACE, task_id(2))].into(),
        ready: [((NAMESPACE, plain_lane()), 10)].into(),
        ..Want::default()
    };
    let rows = fixture.load(want).await;
    assert_eq!(rows.lanes, [lane("b")]);
    assert_eq!(rows.live_counts, [(NAMESPACE, 1)]);
    assert_eq!(rows.ready, [((NAMESPACE, plain_lane()), 1)]);
    assert!(rows.keys.is_empty() && rows.edges.is_empty());
    assert_eq!(fixture.store.task_events((NAMESPACE, task_id(1)), 0, 10).await.unwrap(), [event(1, 1)]);
}

/// Given up, a transaction leaves nothing; the same changes can be saved afterwards.
pub async fn what_is_rolled_back_is_gone(fixture: Fixture) {
    before_a_bit_of_everything(&fixture).await;
    let mut transaction = fixture.store.begin().await.unwrap();
    transaction.save(&a_bit_of_everything(), &fixture.settings).await.unwrap();
    transaction.roll_back().await;
    nothing_happened(&fixture).await;
    fixture.save(a_bit_of_everything()).await;
    assert!(fixture.task(task_id(2)).await.is_some());
}

/// Dropped, too.
pub async fn what_is_dropped_is_gone(fixture: Fixture) {
    before_a_bit_of_everything(&fixture).await;
    let mut transaction = fixture.store.begin().await.unwrap();
    transaction.save(&a_bit_of_everything(), &fixture.settings).await.unwrap();
    drop(transaction);
    nothing_happened(&fixture).await;
    fixture.save(a_bit_of_everything()).await;
    assert!(fixture.task(task_id(2)).await.is_some());
}

/// Its own changes, before anyone else.
pub async fn a_transaction_sees_what_it_saved(fixture: Fixture) {
    let mut transaction = fixture.store.begin().await.unwrap();
    transaction.save(&new_tasks([&task(1)]), &fixture.settings).await.unwrap();
    let want = Want { tasks: [(NAMESPACE, task_id(1))].into(), live_counts: [NAMESPACE].into(), ..Want::default() };
    let rows = transaction.load(&want).await.unwrap();
    assert_eq!(rows.tasks, [task(1)]);
    assert_eq!(rows.live_counts, [(NAMESPACE, 1)]);
    transaction.commit().await.unwrap();
    assert_eq!(fixture.task(task_id(1)).await, Some(task(1)));
}

/// Reads go on beside a transaction, and don't see into it.
pub async fn reads_see_what_is_committed(fixture: Fixture) {
    let mut transaction = fixture.store.begin().await.unwrap();
    transaction.save(&new_tasks([&task(1)]), &fixture.settings).await.unwrap();
    assert_eq!(fixture.store.task((NAMESPACE, task_id(1))).await.unwrap(), None);
    transaction.commit().await.unwrap();
    assert!(fixture.store.task((NAMESPACE, task_id(1))).await.unwrap().is_some());
}

/// More rows than any statement has, of every kind; then each of them again.
pub async fn a_thousand_rows_in_one_save(fixture: Fixture) {
    let of = |n: u32| {
        let tags = [format!("tag-{}", n % 10)].into();
        task_with(n, TaskSpec { key: Some(format!("key-{n}")), tags, ..spec() })
    };
    let rows: Vec<Task> = (0..1_000).map(of).collect();
    let changes = ChangeSet {
        agents: (0..1_000).map(|n| Changed { row: agent(n, &format!("agent-{n}")), expected: 0 }).collect(),
        edges: (1..1_000).map(|n| edge(0, n, 0)).collect(),
        events: (0..1_000).map(|n| event(n, 1)).collect(),
        ..new_tasks(&rows)
    };
    fixture.save(changes).await;
    let want = Want {
        tasks: rows.iter().map(|row| (NAMESPACE, row.id)).collect(),
        keys: rows.iter().filter_map(|row| row.spec.key.clone()).map(|key| (NAMESPACE, key)).collect(),
        pending_edges: [((NAMESPACE, task_id(0)), 2_000)].into(),
        agents_by_id: (0..1_000).map(|n| (NAMESPACE, agent_id(n))).collect(),
        ..Want::default()
    };
    let found = fixture.load(want.clone()).await;
    assert_eq!(found.tasks, rows);
    assert_eq!((found.keys.len(), found.edges.len(), found.agents.len()), (1_000, 999, 1_000));
    let next: Vec<Task> = (0..).zip(&rows).map(|(n, row)| step(row, running(n))).collect();
    let changes = ChangeSet {
        resolved_edges: (1..1_000).map(|n| (NAMESPACE, task_id(0), task_id(n))).collect(),
        ..tasks(next.iter().map(changed))
    };
    fixture.save(changes).await;
    let found = fixture.load(want).await;
    assert_eq!(found.tasks, next);
    assert_eq!(found.edges.len(), 0);
}

/// The same ids, names and keys in two namespaces are two rows each.
pub async fn namespaces_are_apart(fixture: Fixture) {
    let here = task_with(1, TaskSpec { key: Some("k".into()), tags: ["t".into()].into(), ..spec() });
    let there = Task { namespace: OTHER, agent_name: Some("there".into()), ..here.clone() };
    fixture.save(new_tasks([&here, &there])).await;
    let (agent_here, mut agent_there) = (agent(1, "a"), agent(1, "a"));
    agent_there.namespace = OTHER;
    agent_there.cordoned = true;
    fixture.save(new_agents([&agent_here, &agent_there])).await;
    let want = Want {
        tasks: [(NAMESPACE, here.id)].into(),
        keys: [(NAMESPACE, "k".into())].into(),
        agents: [(NAMESPACE, "a".into())].into(),
        live_counts: [NAMESPACE, OTHER].into(),
        ready: [((NAMESPACE, here.lane), 10)].into(),
        ..Want::default()
    };
    let rows = fixture.load(want).await;
    assert_eq!(rows.tasks, [here.clone()]);
    assert_eq!(rows.agents, [agent_here]);
    assert_eq!(rows.live_counts, [(NAMESPACE, 1), (OTHER, 1)]);
    assert_eq!(rows.ready, [((NAMESPACE, here.lane), 1)]);
    let page = fixture.store.tasks(OTHER, &Default::default(), None, 10).await.unwrap();
    assert_eq!(page.tasks, [there.clone()]);
    let filter = callboard_store::TaskFilter { tags: vec!["t".into()], ..Default::default() };
    assert_eq!(fixture.store.tasks(NAMESPACE, &filter, None, 10).await.unwrap().tasks, [here]);
    assert_eq!(fixture.store.agent(OTHER, "a").await.unwrap(), Some((agent_there, 0)));
    let elsewhere = Want { tasks: [(OTHER, there.id)].into(), ..Want::default() };
    assert_eq!(fixture.load(elsewhere).await.tasks, [there]);
}

/// Loads and saves, in turns.
pub async fn several_steps_in_one_transaction(fixture: Fixture) {
    let mut transaction = fixture.store.begin().await.unwrap();
    let mut row = task(1);
    transaction.save(&new_tasks([&row]), &fixture.settings).await.unwrap();
    for state in [running(1), completed(4)] {
        row = step(&row, state);
        transaction.save(&tasks([changed(&row)]), &fixture.settings).await.unwrap();
        let want = Want { tasks: [(NAMESPACE, row.id)].into(), ..Want::default() };
        assert_eq!(transaction.load(&want).await.unwrap().tasks, [row.clone()]);
    }
    transaction.commit().await.unwrap();
    assert_eq!(fixture.task(row.id).await, Some(row));
}

/// Saving and committing in one go is all or nothing, and looks at every version.
pub async fn all_or_nothing_in_one_go(fixture: Fixture) {
    let settings = &fixture.settings;
    let begin = async || fixture.store.begin().await.unwrap();
    begin().await.save_and_commit(&new_tasks([&task(1), &task(2)]), settings).await.unwrap();
    let next = step(&task(1), running(1));
    let mut stale = changed(&step(&task(2), running(1)));
    stale.expected += 1;
    // A new task beside a row that is not as expected: neither is saved.
    let both = ChangeSet {
        tasks: [vec![changed(&next), stale], new_tasks([&task(3)]).tasks].concat(),
        ..ChangeSet::default()
    };
    is_conflict(begin().await.save_and_commit(&both, settings).await);
    // A new task that is there already, beside a row that is as expected.
    let both =
        ChangeSet { tasks: [vec![changed(&next)], new_tasks([&task(2)]).tasks].concat(), ..ChangeSet::default() };
    is_conflict(begin().await.save_and_commit(&both, settings).await);
    assert_eq!(fixture.task(task_id(1)).await, Some(task(1)));
    assert_eq!(fixture.task(task_id(2)).await, Some(task(2)));
    assert_eq!(fixture.task(task_id(3)).await, None);
    begin().await.save_and_commit(&tasks([changed(&next)]), settings).await.unwrap();
    assert_eq!(fixture.task(task_id(1)).await, Some(next));
}

/// What failed half-way can't be gone on with, nor committed.
pub async fn a_void_transaction_cannot_commit(fixture: Fixture) {
    let mut transaction = fixture.store.begin().await.unwrap();
    transaction.save(&new_tasks([&task(1)]), &fixture.settings).await.unwrap();
    is_conflict(transaction.save(&new_tasks([&task(2), &task(1)]), &fixture.settings).await);
    assert!(transaction.load(&Want::default()).await.is_err());
    assert!(transaction.save(&new_tasks([&task(3)]), &fixture.settings).await.is_err());
    assert!(transaction.commit().await.is_err());
    assert_eq!(fixture.task(task_id(3)).await, None);
    assert_eq!(fixture.task(task_id(1)).await, None);
    assert_eq!(fixture.task(task_id(2)).await, None);
    fixture.save(new_tasks([&task(1), &task(2)])).await;
}
