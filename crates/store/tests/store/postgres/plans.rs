//! No statement reads a whole table: PostgreSQL counts the rows that it read.

use super::*;
use crate::conformance::children::{born, child_key};
use crate::conformance::limits::{saving, used};
use crate::conformance::output::given;
use crate::conformance::steps::{key, recorded};
use callboard_core::model::{LimitUse, RequestKey, Task, TaskSpec};
use callboard_core::working_set::{Changed, PayloadValue};
use callboard_store::{AgentFilter, EventScope, TaskFilter};
use sqlx::Row;
use std::ops::Range;

/// All tasks, and the parts that are looked at by turns.
const ALL: Range<u32> = 0..12_000;
const FIRST: Range<u32> = 0..200;
const LATER: Range<u32> = 200..12_000;

/// Often enough that the driver's prepared statements get the plan that they keep.
const ROUNDS: u32 = 8;

async fn fill(fixture: &Fixture, tasks: Range<u32>) {
    let (last, step) = (tasks.end, 2_000);
    for first in tasks.step_by(step as usize) {
        let end = last.min(first + step);
        let of = |n: u32| {
            let spec = TaskSpec { key: Some(format!("key-{n}")), tags: [format!("tag-{}", n % 100)].into(), ..spec() };
            let row = task_with(n, spec);
            // Most have ended.
            if n.is_multiple_of(10) {
                row
            } else {
                Task { state: completed(i64::from(n)), started_at: Some(at(0)), ..row }
            }
        };
        let rows: Vec<Task> = (first..end).map(of).collect();
        let payload = Arc::new(callboard_core::model::Payload::text("done"));
        let changes = ChangeSet {
            events: (first..end).map(|n| event(n, 1)).collect(),
            edges: (first + 1..end).map(|n| edge(n - 1, n, 0)).collect(),
            payloads: rows
                .iter()
                .map(|row| write((NAMESPACE, row.id), PayloadValue::Result(payload.clone())))
                .collect(),
            requests: (first..end).map(request).collect(),
            steps: (first..end).flat_map(|n| recorded((NAMESPACE, task_id(n), 1), &["done"])).collect(),
            output: (first..end).flat_map(|n| given((NAMESPACE, task_id(n), 1), &["to", "ken"])).collect(),
            children: (first..end - 1).flat_map(|n| born((NAMESPACE, task_id(n), 1), &[n + 1])).collect(),
            agents: new_agents(
                &(first..first + (end - first) / 4).map(|n| agent(n, &format!("agent-{n}"))).collect::<Vec<_>>(),
            )
            .agents,
            ..new_tasks(&rows)
        };
        fixture.save(changes).await;
        // Few are idle.
        let limits: Vec<_> =
            (first..end).map(|n| used(&format!("key-{n}"), u32::from(!n.is_multiple_of(1_000)), 1 << 30)).collect();
        fixture.save(saving(&limits)).await;
    }
}

async fn add_lanes(fixture: &Fixture) {
    fixture.save(ChangeSet { lanes: vec![lane("research"), lane("none")], ..ChangeSet::default() }).await;
}

fn request(n: u32) -> callboard_core::model::RequestRecord {
    let key = RequestKey {
        namespace: NAMESPACE,
        principal: "p".into(),
        method: "m".into(),
        request_id: format!("request-{n}"),
    };
    callboard_core::model::RequestRecord { key, digest: vec![1], reply: "{}".into(), expires_at: at(1 << 30) }
}

async fn read_everything(fixture: &Fixture, tasks: &Range<u32>, round: u32) {
    let store = &fixture.store;
    let n = tasks.start + round * (tasks.end - tasks.start) / 12 + 7;
    let one = (NAMESPACE, task_id(n));
    store.task(one).await.unwrap().unwrap();
    store.hydrate(&[one, (NAMESPACE, task_id(n + 1))]).await.unwrap();
    store.dependencies(one).await.unwrap();
    store.dependency_results(one, None, 10, 1 << 20).await.unwrap();
    store.steps((NAMESPACE, task_id(n), 1), 0, 10, 1 << 20).await.unwrap();
    assert_eq!(store.output((NAMESPACE, task_id(n), 1), 2, 10, 1 << 20).await.unwrap().chunks.len(), 1);
    store.task_row(one).await.unwrap().unwrap();
    store.children((NAMESPACE, task_id(n), 1), 0, 10).await.unwrap();
    store.task_events(one, 0, 10).await.unwrap();
    store.latest_event_at().await.unwrap().unwrap();
    for scope in [EventScope::Namespace(NAMESPACE), EventScope::Task(NAMESPACE, task_id(n))] {
        let end = store.end_of_events().await.unwrap();
        store.events(scope, None, 50).await.unwrap();
        store.events(scope, Some(end), 50).await.unwrap();
    }
    store.agent(NAMESPACE, "agent-5").await.unwrap().unwrap();
    store.agents(NAMESPACE, &AgentFilter::default(), None, 20).await.unwrap();
    store.agents(NAMESPACE, &AgentFilter::default(), Some("agent-4"), 20).await.unwrap();
    store.live_sessions(None, 100).await.unwrap();
    store.due(at(i64::from(n)), None, 100).await.unwrap();
    let types = ["research".into(), "none".into()];
    assert_eq!(store.mean_durations(NAMESPACE, &types).await.unwrap().len(), 1);
    assert_eq!(store.ready_lanes(100).await.unwrap().len(), 1);
    store.ended_tasks(at(1 << 30), None, 10).await.unwrap();
    store.forgettable_tasks(&[one], at(1 << 30)).await.unwrap();
    store.gone_agents(at(1 << 30), 10).await.unwrap();
    store.new_mail(store.end_of_mail().await.unwrap(), 10).await.unwrap();
    store.expired_messages(at(1), 10).await.unwrap();
    store.mail((NAMESPACE, agent_id(1)), at(1), 0, 10, 1_000).await.unwrap();
    assert_eq!(store.purge_requests(at(1), 10).await.unwrap(), 0);
    store.purge_mailboxes(10).await.unwrap();
    assert_eq!(store.limit_uses(&[(NAMESPACE, format!("key-{n}").into())]).await.unwrap().len(), 1);
    assert!(store.idle_limits(at(1), 10).await.unwrap().is_empty());
    let live = TaskFilter { states: vec![callboard_core::model::StateName::Ready], ..TaskFilter::default() };
    let tagged = TaskFilter { tags: vec!["tag-7".into()], ..TaskFilter::default() };
    let keyed = TaskFilter { key: Some("key-8".into()), ..TaskFilter::default() };
    for filter in [TaskFilter::default(), live, tagged, keyed] {
        store.tasks(NAMESPACE, &filter, Some(task_id(n)), 20).await.unwrap();
    }
}

async fn write_something(fixture: &Fixture, tasks: &Range<u32>, round: u32) {
    // Every tenth is live.
    let half = (tasks.end - tasks.start) / 20 * 10;
    let ids = [tasks.start + round * 10, tasks.start + half + round * 10];
    let everything = Want {
        agents: [(NAMESPACE, "agent-1".into())].into(),
        agents_by_id: [(NAMESPACE, agent_id(2))].into(),
        keys: [(NAMESPACE, format!("key-{}", ids[0]))].into(),
        requests: [request(round).key].into(),
        pending_edges: [((NAMESPACE, task_id(ids[0])), 10)].into(),
        dependencies: [(NAMESPACE, task_id(ids[1]))].into(),
        lanes: [NAMESPACE].into(),
        live_counts: [NAMESPACE].into(),
        ready: [((NAMESPACE, plain_lane()), 5)].into(),
        steps: [((NAMESPACE, task_id(ids[0]), 1), key("step", 0))].into(),
        output: [(NAMESPACE, task_id(ids[0]), 1)].into(),
        children: [((NAMESPACE, task_id(ids[0]), 1), child_key("child", 0))].into(),
        run_children: [(NAMESPACE, task_id(ids[0]), 1)].into(),
        limits: [(NAMESPACE, format!("key-{}", ids[0]).into())].into(),
        all_namespaces: true,
        ..want(ids)
    };
    let mut transaction = Steps::begin(fixture).await;
    let rows = transaction.load(everything).await.unwrap();
    let of = |n: u32| rows.tasks.iter().find(|row| row.id == task_id(n)).unwrap();
    let (running_now, ended) = (step(of(ids[0]), running(1)), step(of(ids[1]), completed(9)));
    let changes = ChangeSet {
        events: vec![event(ids[0], 2), event(ids[1], 2)],
        limits: rows
            .limits
            .iter()
            .map(|row| Changed { row: LimitUse { version: 2, ..row.clone() }, expected: 1 })
            .collect(),
        resolved_edges: rows.edges.iter().map(|edge| (edge.namespace, edge.source, edge.target)).collect(),
        requests: vec![request(ALL.end + tasks.start + round)],
        steps: recorded((NAMESPACE, task_id(ids[0]), 2), &["done"]),
        output: given((NAMESPACE, task_id(ids[0]), 2), &["token"]),
        children: born((NAMESPACE, task_id(ids[0]), 2), &[ids[1]]),
        ..super::tasks([changed(&running_now), changed(&ended)])
    };
    transaction.save(changes).await;
    transaction.commit().await;
    let gone = [(NAMESPACE, task_id(tasks.end - 1 - round))];
    assert_eq!(fixture.store.forget_tasks(&gone, at(1 << 30)).await.unwrap().tasks, 1);
}

async fn rounds(fixture: &Fixture, tasks: Range<u32>) {
    for round in 0..ROUNDS {
        read_everything(fixture, &tasks, round).await;
        write_something(fixture, &tasks, round).await;
    }
}

/// What was read of a table since its counts were reset.
struct Read {
    table: String,
    one_after_the_other: i64,
    by_index: i64,
}

/// What was read, when all others have closed their connections: their counts are there only then.
async fn read_of_tables(database: &Database) -> Vec<Read> {
    let mut connection = PgConnection::connect(&database.url).await.unwrap();
    let others = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()";
    while sqlx::query_scalar::<_, i64>(others).fetch_one(&mut connection).await.unwrap() > 0 {
        tokio::task::yield_now().await;
    }
    // What has a row for each namespace, lane or replica is small.
    let counts = "SELECT s.relname::text, s.seq_tup_read, coalesce(sum(i.idx_tup_read), 0)::bigint FROM pg_stat_user_tables AS s \
                  LEFT JOIN pg_stat_user_indexes AS i USING (relid) WHERE s.relname <> ALL (ARRAY['callboard_meta', 'namespaces', \
                  'lanes', 'live_counts', 'forgotten_events', 'mailboxes', 'messages']) GROUP BY s.relname, s.seq_tup_read";
    let counts = sqlx::query(counts).fetch_all(&mut connection).await.unwrap();
    let read =
        |row: sqlx::postgres::PgRow| Read { table: row.get(0), one_after_the_other: row.get(1), by_index: row.get(2) };
    counts.into_iter().map(read).collect()
}

#[tokio::test]
async fn no_statement_reads_a_whole_table() {
    let database = Database::new().await;
    let fixture = database.fixture().await;
    fill(&fixture, ALL).await;
    add_lanes(&fixture).await;
    fixture.store.close().await;
    database.run("ANALYZE; SELECT pg_stat_reset()").await;
    let fixture = database.fixture().await;
    rounds(&fixture, ALL).await;
    fixture.store.close().await;
    let read = read_of_tables(&database).await;
    for Read { table, one_after_the_other, .. } in &read {
        assert_eq!(*one_after_the_other, 0, "rows of {table} were read one after the other");
    }
    assert!(read.iter().map(|read| read.by_index).sum::<i64>() > 100, "nothing was counted");
}

/// The store has seen that the tables have grown: none is more than four times as large as what is known of it.
async fn statistics_are_taken(database: &Database) {
    let mut connection = PgConnection::connect(&database.url).await.unwrap();
    let taken = "SELECT bool_and(reltuples > 0 AND pg_relation_size(oid) <= 4 * 8192 * relpages::bigint) FROM pg_class \
                 WHERE oid = ANY (ARRAY['tasks', 'task_specs', 'payloads', 'edges', 'events', 'agents', 'limit_uses']::regclass[])";
    while !sqlx::query_scalar::<_, bool>(taken).fetch_one(&mut connection).await.unwrap() {
        tokio::task::yield_now().await;
    }
}

/// A prepared statement keeps its plan. One that was made when there was next to nothing must not read everything later.
#[tokio::test]
async fn a_plan_that_was_made_for_an_empty_store_does_not_read_a_whole_table() {
    let database = Database::new().await;
    let fixture = database.fixture().await;
    fill(&fixture, FIRST).await;
    add_lanes(&fixture).await;
    rounds(&fixture, FIRST).await;
    fill(&fixture, LATER).await;
    statistics_are_taken(&database).await;
    database.run("SELECT pg_stat_reset()").await;
    rounds(&fixture, LATER).await;
    fixture.store.close().await;
    // Some of what was read in the first rounds is still counted here.
    let most = i64::from(FIRST.end) * i64::from(ROUNDS) * 20;
    for Read { table, one_after_the_other, by_index } in read_of_tables(&database).await {
        let read = one_after_the_other + by_index;
        println!("{table}: {one_after_the_other} + {by_index}");
        assert!(read < most, "{read} rows of {table} were read");
    }
}
