//! Random changes, saved to two stores, give the same answers to every read.
//!
//! The seed is fixed; `PROPTEST_RNG_SEED=7 PROPTEST_CASES=1000` looks elsewhere and longer.

// Helpers of tests stand outside of tests.
#![allow(clippy::unwrap_used, clippy::panic)]

use crate::conformance::samples::*;
use callboard_core::model::task::TaskState;
use callboard_core::model::{
    Agent, AgentId, NamespaceId, NotBefore, Payload, RequestKey, RequestRecord, Span, StateName, Task, TaskId,
    TaskSpec, Waiting,
};
use callboard_core::working_set::{ChangeSet, Changed, ChangedTask, PayloadValue, Rows, Want};
use callboard_store::memory::MemoryStore;
use callboard_store::sqlite::{SqliteOptions, SqliteStore};
use callboard_store::{AgentFilter, Error, EventScope, Store, TaskFilter};
use proptest::prelude::*;
use proptest::test_runner::RngSeed;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

const IDS: u32 = 10;
const TYPES: [&str; 3] = ["a", "b", "b\0"];

/// What is to happen to a task.
#[derive(Clone, Debug)]
struct TaskStep {
    state: u8,
    agent: u32,
    time: i64,
    task_type: usize,
    key: Option<u8>,
    tags: BTreeSet<u8>,
    spec_changed: bool,
    wrong_version: bool,
    event: bool,
    payload: u8,
}

/// One save.
#[derive(Clone, Debug)]
struct Batch {
    tasks: BTreeMap<u32, TaskStep>,
    agents: BTreeMap<u32, (bool, bool)>,
    removed_agents: BTreeSet<u32>,
    lanes: BTreeSet<usize>,
    removed_lanes: BTreeSet<usize>,
    edges: BTreeSet<(u32, u32)>,
    resolved: Vec<(u32, u32)>,
    reopened: Vec<(u32, u32)>,
    requests: BTreeMap<u8, i64>,
    purge: Option<i64>,
    commit: bool,
}

fn task_step() -> impl Strategy<Value = TaskStep> {
    let rare = || prop::bool::weighted(0.03);
    let of_spec = (0..TYPES.len(), prop::option::weighted(0.4, 0..3_u8), prop::collection::btree_set(0..3_u8, 0..3));
    (0..9_u8, 1..4_u32, 0..20_i64, of_spec, any::<bool>(), rare(), any::<bool>(), 0..6_u8).prop_map(
        |(state, agent, time, (task_type, key, tags), spec_changed, wrong_version, event, payload)| TaskStep {
            state,
            agent,
            time,
            task_type,
            key,
            tags,
            spec_changed,
            wrong_version,
            event,
            payload,
        },
    )
}

fn batch() -> impl Strategy<Value = Batch> {
    let id = || 0..IDS;
    let pairs = || prop::collection::vec((id(), id()), 0..3);
    let tasks = prop::collection::btree_map(id(), task_step(), 0..8);
    let agents = prop::collection::btree_map(1..4_u32, (any::<bool>(), prop::bool::weighted(0.03)), 0..2);
    let removed = prop::collection::btree_set(1..4_u32, 0..2);
    let lanes = || prop::collection::btree_set(0..TYPES.len(), 0..2);
    let edges = prop::collection::btree_set((id(), id()), 0..2);
    let requests = prop::collection::btree_map(0..4_u8, 0..20_i64, 0..2);
    let purge = prop::option::weighted(0.2, 0..20_i64);
    let commit = prop::bool::weighted(0.9);
    (tasks, (agents, removed), (lanes(), lanes()), (edges, pairs(), pairs()), requests, purge, commit).prop_map(
        |(
            tasks,
            (agents, removed_agents),
            (lanes, removed_lanes),
            (edges, resolved, reopened),
            requests,
            purge,
            commit,
        )| {
            Batch {
                tasks,
                agents,
                removed_agents,
                lanes,
                removed_lanes,
                edges,
                resolved,
                reopened,
                requests,
                purge,
                commit,
            }
        },
    )
}

fn state(step: &TaskStep) -> TaskState {
    let not_before = Some(NotBefore::Start(at(step.time)));
    match step.state {
        0 => TaskState::Waiting(Waiting { not_before, ..Waiting::default() }),
        1 | 2 => TaskState::Ready { since: at(step.time) },
        3 => TaskState::Assigned { lease: lease(step.agent), ready_since: at(1) },
        4 => running(step.agent),
        // Paused: half of them with a handler that wants to go on.
        5 if step.time % 3 == 0 => paused(step.agent, None),
        5 if step.time % 3 == 1 => paused(step.agent, Some(at(step.time))),
        5 => completed(step.time),
        6 => TaskState::Failed { at: at(step.time) },
        7 => TaskState::Cancelled { at: at(step.time) },
        _ => TaskState::Skipped { at: at(step.time) },
    }
}

/// The change of a task, from what is stored. What only a new run or a changed spec may do goes with one.
fn change(n: u32, step: &TaskStep, stored: Option<Task>) -> ChangedTask {
    let spec = TaskSpec {
        task_type: TYPES[step.task_type].into(),
        key: step.key.map(|key| format!("key-{key}")),
        tags: step.tags.iter().map(|tag| format!("tag-{tag}")).collect(),
        ..spec()
    };
    let wrong = i64::from(step.wrong_version);
    let agent_name = Some(format!("agent-{}", step.agent).into());
    let Some(stored) = stored else {
        let row = Task { state: state(step), agent_name, ..task_with(n, spec) };
        return ChangedTask { expected: wrong, ..new(&row) };
    };
    let mut row = Task { state: state(step), agent_name, version: stored.version + 1, ..stored.clone() };
    row.releasing = !row.is_live() && step.time % 2 == 0;
    row.run += u32::from(row.is_live() && !stored.is_live());
    if step.spec_changed {
        // A key is for ever.
        row.spec = Arc::new(TaskSpec { key: stored.spec.key.clone(), ..spec });
        row.lane = callboard_core::model::LaneKey::of(&row.spec).id();
    }
    ChangedTask { row, expected: stored.version + wrong, spec_changed: step.spec_changed, input: None }
}

async fn changes(batch: &Batch, fixture: &Fixture, sequences: &mut BTreeMap<u32, i64>) -> ChangeSet {
    let mut changes = ChangeSet::default();
    for (n, step) in &batch.tasks {
        changes.tasks.push(change(*n, step, fixture.task(task_id(*n)).await));
        let task = (NAMESPACE, task_id(*n));
        if step.event {
            let sequence = sequences.entry(*n).or_default();
            *sequence += 1;
            changes.events.push(event(*n, *sequence));
        }
        let payload = Arc::new(Payload::text(&"x".repeat(step.time as usize)));
        match step.payload {
            0 => changes.payloads.push(write(task, PayloadValue::Result(payload))),
            1 => changes.payloads.push(write(task, PayloadValue::Checkpoint(payload))),
            2 => changes.payloads.push(write(task, PayloadValue::Failure(Arc::new(failure(1))))),
            _ => {}
        }
    }
    for (n, (live, wrong)) in &batch.agents {
        let removed = batch.removed_agents.contains(n);
        let want = Want { agents_by_id: [(NAMESPACE, agent_id(*n))].into(), ..Want::default() };
        let stored = fixture.load(want).await.agents.pop().filter(|_| !removed);
        let expected = stored.as_ref().map_or(0, |row| row.version);
        let session = live.then(session);
        let row = Agent { version: expected + 1, session, ..stored.unwrap_or(agent(*n, &format!("agent-{n}"))) };
        changes.agents.push(Changed { row, expected: expected + i64::from(*wrong) });
    }
    changes.removed_agents = batch.removed_agents.iter().map(|n| (NAMESPACE, agent_id(*n))).collect();
    changes.lanes = batch.lanes.iter().map(|n| lane(TYPES[*n])).collect();
    // As the rules have it: none that a live task is in, or comes into.
    let in_use = fixture.load(Want { lanes_in_use: [NAMESPACE].into(), ..Want::default() }).await.lanes_in_use;
    let entered = changes.tasks.iter().map(|task| (NAMESPACE, task.row.lane));
    let kept: BTreeSet<_> = in_use.into_iter().chain(entered).collect();
    let removed = batch.removed_lanes.iter().map(|n| (NAMESPACE, lane(TYPES[*n]).id));
    changes.removed_lanes = removed.filter(|lane| !kept.contains(lane)).collect();
    changes.edges = batch.edges.iter().map(|(source, target)| edge(*source, *target, *source)).collect();
    let key = |(source, target): &(u32, u32)| (NAMESPACE, task_id(*source), task_id(*target));
    changes.resolved_edges = batch.resolved.iter().map(key).collect();
    changes.reopened_edges = batch.reopened.iter().map(key).collect();
    changes.requests = batch.requests.iter().map(|(n, time)| request(*n, *time)).collect();
    changes
}

fn request(n: u8, time: i64) -> RequestRecord {
    let key = RequestKey {
        namespace: NamespaceId(0),
        principal: "p".into(),
        method: "m".into(),
        request_id: format!("request-{n}"),
    };
    let remember = callboard_core::Settings::default().remember_requests;
    RequestRecord { key, digest: vec![n], reply: time.to_string(), expires_at: at(time) + remember }
}

/// Everything that can be asked, as text.
async fn answers(fixture: &Fixture) -> Vec<String> {
    let ids = || (0..IDS).map(|n| (NAMESPACE, task_id(n)));
    let want = Want {
        tasks: ids().collect(),
        agents: (1..4).map(|n| (NAMESPACE, format!("agent-{n}").into())).collect(),
        agents_by_id: (1..4).map(|n| (NAMESPACE, agent_id(n))).collect(),
        keys: (0..3).map(|n| (NAMESPACE, format!("key-{n}"))).collect(),
        requests: (0..4).map(|n| request(n, 0).key).collect(),
        pending_edges: ids().map(|id| (id, 2)).collect(),
        dependencies: ids().collect(),
        lanes: [NAMESPACE].into(),
        lanes_in_use: [NAMESPACE].into(),
        live_counts: [NAMESPACE].into(),
        ready: TYPES.iter().map(|name| ((NAMESPACE, lane(name).id), 2)).collect(),
        ..Want::default()
    };
    // Which inputs come along is a store's own affair.
    let rows = Rows { inputs: Vec::new(), ..fixture.load(want).await };
    let mut answers = vec![format!("{rows:#?}")];
    let store = &fixture.store;
    for (namespace, id) in ids() {
        let task = (namespace, id);
        answers.push(format!("{:#?}", store.task(task).await.unwrap()));
        answers.push(format!("{:?}", store.dependencies(task).await.unwrap()));
        answers.push(format!("{:?}", store.dependency_results(task, Some(1), 2, 20).await.unwrap()));
        answers.push(format!("{:?}", store.task_events(task, 1, 3).await.unwrap()));
        answers.push(format!("{:?}", store.events(EventScope::Task(namespace, id), None, 2).await.unwrap().events));
    }
    for filter in filters() {
        answers.push(format!("{filter:?}: {:?}", list(fixture, &filter).await));
    }
    answers.push(format!("{:?}", store.hydrate(&ids().collect::<Vec<_>>()).await.unwrap()));
    answers.push(format!("{:?}", store.events(EventScope::Namespace(NAMESPACE), None, 1_000).await.unwrap().events));
    answers.push(format!("{:?}", store.agents(NAMESPACE, &AgentFilter::default(), Some("agent-1"), 1).await.unwrap()));
    answers.push(format!("{:?}", store.live_sessions(None::<AgentId>, 2).await.unwrap()));
    for (now, after, limit) in [(at(10), None, 3), (at(400), Some((at(5), task_id(4))), 100)] {
        let mut due = store.due(now, after, limit).await.unwrap();
        // No store need look further ahead.
        due.next = due.next.filter(|next| *next <= now + Span::seconds(10));
        answers.push(format!("{due:?}"));
    }
    let types = TYPES.map(Arc::from);
    let durations: BTreeMap<_, _> = store.mean_durations(NAMESPACE, &types).await.unwrap().into_iter().collect();
    answers.push(format!("{durations:?}"));
    let mut lanes = store.ready_lanes(10).await.unwrap();
    lanes.sort();
    answers.push(format!("{lanes:?}"));
    answers
}

fn filters() -> Vec<TaskFilter> {
    let mut filters = vec![TaskFilter::default()];
    let some = |text: &str| Some(text.to_owned());
    filters.extend(StateName::ALL.map(|state| TaskFilter { states: vec![state], ..TaskFilter::default() }));
    filters.push(TaskFilter { states: vec![StateName::Failed, StateName::Running], ..TaskFilter::default() });
    filters.extend(TYPES.map(|name| TaskFilter { task_type: some(name), ..TaskFilter::default() }));
    filters.push(TaskFilter { agent: some("agent-2"), ..TaskFilter::default() });
    filters.push(TaskFilter { key: some("key-1"), ..TaskFilter::default() });
    filters.push(TaskFilter { tags: vec!["tag-0".into()], ..TaskFilter::default() });
    filters.push(TaskFilter { tags: vec!["tag-2".into(), "tag-1".into()], ..TaskFilter::default() });
    filters.push(TaskFilter { created_from: Some(at(3)), created_before: Some(at(7)), ..TaskFilter::default() });
    filters.push(TaskFilter { id_suffix: some("4"), ..TaskFilter::default() });
    filters
}

async fn list(fixture: &Fixture, filter: &TaskFilter) -> Vec<TaskId> {
    let mut found = Vec::new();
    let mut before = None;
    loop {
        let page = fixture.store.tasks(NAMESPACE, filter, before, 3).await.unwrap();
        found.extend(page.tasks.iter().map(|task| task.id));
        before = page.next;
        if before.is_none() {
            return found;
        }
    }
}

async fn agree(batches: Vec<Batch>, other: Arc<dyn Store>) {
    let stores = [Fixture::new(Arc::new(MemoryStore::new())), Fixture::new(other)];
    let mut sequences = BTreeMap::new();
    for batch in batches {
        let mut after = sequences.clone();
        let changes = changes(&batch, &stores[0], &mut after).await;
        let mut outcomes = Vec::new();
        for fixture in &stores {
            let outcome = if batch.commit {
                match fixture.try_save(changes.clone()).await {
                    Ok(()) => "saved",
                    Err(Error::Conflict(_)) => "conflict",
                    Err(error) => panic!("{error}"),
                }
            } else {
                let mut transaction = fixture.store.begin().await.unwrap();
                let _ = transaction.save(&changes, &fixture.settings).await;
                "dropped"
            };
            let time = at(batch.purge.unwrap_or(0)) + fixture.settings.remember_requests;
            let purged = fixture.store.purge_requests(time, 100).await.unwrap();
            // Of all that there are, those that may go.
            let all: Vec<_> = (0..IDS).map(|n| (NAMESPACE, task_id(n))).collect();
            let forgotten = match batch.purge {
                Some(_) => fixture.store.forget_tasks(&all, at(1 << 40)).await.unwrap().tasks,
                None => 0,
            };
            outcomes.push((outcome, purged, forgotten));
        }
        assert_eq!(outcomes[0], outcomes[1], "{changes:#?}");
        if outcomes[0].0 == "saved" {
            sequences = after;
        }
        let (memory, other) = (answers(&stores[0]).await, answers(&stores[1]).await);
        for (memory, other) in memory.iter().zip(&other) {
            assert_eq!(memory, other);
        }
    }
}

/// Tries random batches against stores that `make` gives, each with something to keep.
fn try_many<K>(cases: u32, make: impl AsyncFn() -> (Arc<dyn Store>, K)) {
    let mut config = ProptestConfig { failure_persistence: None, ..ProptestConfig::default() };
    if std::env::var_os("PROPTEST_CASES").is_none() {
        config.cases = cases;
    }
    if std::env::var_os("PROPTEST_RNG_SEED").is_none() {
        config.rng_seed = RngSeed::Fixed(1);
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    proptest!(config, |(batches in prop::collection::vec(batch(), 1..8))| {
        runtime.block_on(async {
            let (store, _kept) = make().await;
            agree(batches, store).await;
        });
    });
}

#[test]
fn memory_and_sqlite_give_the_same_answers() {
    try_many(100, async || {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("store.db");
        let store = SqliteStore::open(path.to_str().unwrap(), SqliteOptions::default()).await.unwrap();
        (Arc::new(store) as Arc<dyn Store>, folder)
    });
}

#[test]
fn memory_and_postgres_give_the_same_answers() {
    try_many(25, crate::postgres::new_store);
}
