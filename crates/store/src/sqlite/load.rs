//! What rules want to see: first which rows, then the tasks among them, all in few statements.

use super::convert::get;
use super::error::sqlite_error;
use super::many::Many;
use crate::Result;
use crate::codec::slot_of;
use crate::columns::Columns;
use crate::rows::{self, TASK_COLUMNS, agent_columns, edge_columns, namespace_columns, task_columns};
use callboard_core::limits::SMALL_INPUT;
use callboard_core::model::{AgentId, Edge, LaneId, NamespaceId, Task};
use callboard_core::working_set::{Rows, TaskRef, Want};
use sqlx::SqliteConnection;
use std::collections::{BTreeMap, BTreeSet};

// `CROSS JOIN` and `INDEXED BY` are orders to SQLite: the values first, then the rows by this index. Without statistics it
// guesses, and a wrong guess reads a whole namespace.
static NAMESPACES: Many = Many::values(
    concat!("SELECT ", namespace_columns!(), " FROM (VALUES "),
    "(?)",
    ") AS v CROSS JOIN namespaces AS n ON n.name = v.column1",
);
macro_rules! of_tasks {
    () => {
        ") AS v CROSS JOIN tasks AS t ON t.namespace = v.column1 AND t.id = v.column2 \
         CROSS JOIN task_specs AS s ON s.namespace = v.column1 AND s.task = v.column2"
    };
}
static TASKS: Many = Many::values(concat!("SELECT ", task_columns!(), " FROM (VALUES "), "(?,?)", of_tasks!());
/// With small inputs ([`SMALL_INPUT`]).
static TASKS_AT_HAND: Many = Many::values(
    concat!(
        "SELECT ",
        task_columns!(),
        ", CASE WHEN octet_length(s.input) <= 4096 THEN s.input_type END, \
         CASE WHEN octet_length(s.input) <= 4096 THEN s.input_metadata END, \
         CASE WHEN octet_length(s.input) <= 4096 THEN s.input END FROM (VALUES "
    ),
    "(?,?)",
    of_tasks!(),
);
static AGENTS: Many = Many::values(
    concat!("SELECT ", agent_columns!(), " FROM (VALUES "),
    "(?,?)",
    ") AS v CROSS JOIN agents AS a ON a.namespace = v.column1 AND a.id = v.column2",
);
static AGENTS_BY_NAME: Many = Many::values(
    concat!("SELECT ", agent_columns!(), " FROM (VALUES "),
    "(?,?)",
    ") AS v CROSS JOIN agents AS a ON a.namespace = v.column1 AND a.name = v.column2",
);
static LEASED: Many = Many::values(
    "SELECT t.agent, t.id, t.state, t.lane FROM (VALUES ",
    "(?,?)",
    ") AS v CROSS JOIN tasks AS t INDEXED BY tasks_leased ON t.namespace = v.column1 AND t.agent = v.column2 AND t.agent IS NOT NULL",
);
static KEYS: Many = Many::values(
    "SELECT t.namespace, t.key, t.id FROM (VALUES ",
    "(?,?)",
    ") AS v CROSS JOIN tasks AS t INDEXED BY tasks_live_key ON t.namespace = v.column1 AND t.key = v.column2 AND t.key IS NOT NULL AND t.live = 1",
);
static REQUESTS: Many = Many::values(
    "SELECT r.namespace, r.principal, r.method, r.request_id, r.digest, r.reply, r.expires_at, r.format FROM (VALUES ",
    "(?,?,?,?)",
    ") AS v CROSS JOIN requests AS r ON r.namespace = v.column1 AND r.principal = v.column2 AND r.method = v.column3 \
     AND r.request_id = v.column4",
);
static PENDING_EDGES: Many = Many::union(concat!(
    "SELECT * FROM (SELECT ",
    edge_columns!(),
    " FROM edges AS e INDEXED BY edges_pending WHERE e.namespace = ? AND e.source = ? AND e.resolved = 0 ORDER BY e.target LIMIT ifnull(?,0))"
));
static EDGES_AHEAD: Many = Many::single(concat!(
    "SELECT ",
    edge_columns!(),
    " FROM workflow_tasks AS p CROSS JOIN edges AS e INDEXED BY edges_pending \
     ON e.namespace = p.namespace AND e.source = p.task AND e.resolved = 0 WHERE p.namespace = ? \
     AND p.workflow = (SELECT workflow FROM workflow_tasks WHERE namespace = ? AND task = ?) \
     AND p.ordinal > (SELECT ordinal FROM workflow_tasks WHERE namespace = ? AND task = ?) \
     AND p.ordinal <= ifnull(?,0) + (SELECT ordinal FROM workflow_tasks WHERE namespace = ? AND task = ?) \
     ORDER BY p.ordinal, e.target LIMIT ifnull(?,0)"
));
static DEPENDENCIES: Many = Many::values(
    concat!("SELECT ", edge_columns!(), " FROM (VALUES "),
    "(?,?)",
    ") AS v CROSS JOIN edges AS e INDEXED BY edges_target ON e.namespace = v.column1 AND e.target = v.column2",
);
static LANES: Many = Many::values(
    "SELECT l.namespace, l.id, l.key, l.format FROM (VALUES ",
    "(?)",
    ") AS v CROSS JOIN lanes AS l ON l.namespace = v.column1",
);
static LANES_IN_USE: Many = Many::values(
    "SELECT DISTINCT t.namespace, t.lane FROM (VALUES ",
    "(?)",
    ") AS v CROSS JOIN tasks AS t INDEXED BY tasks_live ON t.namespace = v.column1 AND t.live = 1",
);
static LIVE_COUNTS: Many = Many::values(
    "SELECT t.namespace, count(*) FROM (VALUES ",
    "(?)",
    ") AS v CROSS JOIN tasks AS t INDEXED BY tasks_live ON t.namespace = v.column1 AND t.live = 1 GROUP BY t.namespace",
);
static READY: Many = Many::union(
    "SELECT * FROM (SELECT namespace, lane, id FROM tasks INDEXED BY tasks_ready WHERE namespace = ? AND lane = ? AND rank IS NOT NULL \
     ORDER BY rank, id LIMIT ifnull(?,0))",
);

/// The rows that are wanted and exist.
pub async fn load(connection: &mut SqliteConnection, want: &Want) -> Result<Rows> {
    let mut rows = Rows::default();
    let mut tasks: BTreeSet<TaskRef> = want.tasks.clone();
    load_namespaces(connection, want, &mut rows).await?;
    load_agents(connection, want, &mut rows).await?;
    load_keys(connection, want, &mut rows, &mut tasks).await?;
    load_edges(connection, want, &mut rows, &mut tasks).await?;
    super::children::load_of_runs(connection, want, &mut rows, &mut tasks).await?;
    super::workflows::load(connection, want, &mut rows, &mut tasks).await?;
    load_lanes(connection, want, &mut rows).await?;
    load_ready(connection, want, &mut rows, &mut tasks).await?;
    super::mail::load(connection, want, &mut rows).await?;
    load_tasks_at_hand(connection, tasks, &mut rows).await?;
    super::steps::load(connection, want, &mut rows).await?;
    super::output::load(connection, want, &mut rows).await?;
    super::results::load(connection, want, &mut rows).await?;
    super::children::load(connection, want, &mut rows).await?;
    rows.limits = super::limits::load(connection, &want.limits.iter().cloned().collect::<Vec<_>>()).await?;
    Ok(rows)
}

/// Tasks by their ids.
pub async fn load_tasks(
    connection: &mut SqliteConnection,
    tasks: impl IntoIterator<Item = TaskRef>,
) -> Result<Vec<Task>> {
    let wanted: Vec<TaskRef> = tasks.into_iter().collect();
    let mut found = Vec::with_capacity(wanted.len());
    TASKS
        .fetch(connection, &wanted, bind_task, |row| {
            found.push(rows::task(row)?);
            Ok(())
        })
        .await?;
    Ok(found)
}

async fn load_tasks_at_hand(
    connection: &mut SqliteConnection,
    tasks: BTreeSet<TaskRef>,
    rows: &mut Rows,
) -> Result<()> {
    let wanted: Vec<TaskRef> = tasks.into_iter().collect();
    TASKS_AT_HAND
        .fetch(connection, &wanted, bind_task, |row| {
            let task = rows::task(row)?;
            let input = rows::payload(row, TASK_COLUMNS)?.filter(|input| input.len() <= SMALL_INPUT);
            rows.inputs.extend(input.map(|input| (task.id, input)));
            rows.tasks.push(task);
            Ok(())
        })
        .await
}

pub(super) fn bind_task(binds: &mut super::many::Binds, (namespace, task): &TaskRef) -> Result<()> {
    binds.add(namespace.0)?;
    binds.id(task.0)
}

async fn load_namespaces(connection: &mut SqliteConnection, want: &Want, rows: &mut Rows) -> Result<()> {
    if want.all_namespaces {
        rows.namespaces = all_namespaces(connection).await?;
        return Ok(());
    }
    let names: Vec<_> = want.namespaces.iter().cloned().collect();
    let bind = |binds: &mut super::many::Binds, name: &std::sync::Arc<str>| binds.add(name.clone());
    let found = &mut rows.namespaces;
    NAMESPACES
        .fetch(connection, &names, bind, |row| {
            found.push(rows::namespace(row)?);
            Ok(())
        })
        .await
}

/// Every namespace, by name.
pub async fn all_namespaces(connection: &mut SqliteConnection) -> Result<Vec<callboard_core::model::Namespace>> {
    let sql = concat!("SELECT ", namespace_columns!(), " FROM namespaces ORDER BY name");
    let found = sqlx::query(sql).fetch_all(connection).await.map_err(sqlite_error)?;
    found.iter().map(rows::namespace).collect()
}

async fn load_agents(connection: &mut SqliteConnection, want: &Want, rows: &mut Rows) -> Result<()> {
    let names: Vec<_> = want.agents.iter().cloned().collect();
    let ids: Vec<_> = want.agents_by_id.iter().copied().collect();
    let mut agents = BTreeMap::new();
    let mut read = |row: &_| {
        let agent = rows::agent(row)?;
        agents.insert((agent.namespace, agent.id), agent);
        Ok(())
    };
    let bind_name = |binds: &mut super::many::Binds, (namespace, name): &(NamespaceId, std::sync::Arc<str>)| {
        binds.add(namespace.0)?;
        binds.add(name.clone())
    };
    AGENTS_BY_NAME.fetch(connection, &names, bind_name, &mut read).await?;
    let bind_id = |binds: &mut super::many::Binds, (namespace, id): &(NamespaceId, AgentId)| {
        binds.add(namespace.0)?;
        binds.id(id.0)
    };
    AGENTS.fetch(connection, &ids, bind_id, &mut read).await?;
    let found: Vec<_> = agents.keys().copied().collect();
    rows.agents = agents.into_values().collect();
    let leases = &mut rows.leases;
    LEASED
        .fetch(connection, &found, bind_id, |row| {
            leases.push((row.agent_id(0)?, row.task_id(1)?, slot_of(row.number(2)?), LaneId(row.number(3)?)));
            Ok(())
        })
        .await
}

async fn load_keys(
    connection: &mut SqliteConnection,
    want: &Want,
    rows: &mut Rows,
    tasks: &mut BTreeSet<TaskRef>,
) -> Result<()> {
    let keys: Vec<_> = want.keys.iter().collect();
    let found = &mut rows.keys;
    let bind = |binds: &mut super::many::Binds, key: &&(NamespaceId, String)| {
        binds.add(key.0.0)?;
        binds.add(key.1.as_str())
    };
    KEYS.fetch(connection, &keys, bind, |row| {
        let (namespace, task) = (row.namespace_id(0)?, row.task_id(2)?);
        found.push(((namespace, get(row, 1)?), task));
        tasks.insert((namespace, task));
        Ok(())
    })
    .await?;
    let requests: Vec<_> = want.requests.iter().collect();
    let bind = |binds: &mut super::many::Binds, key: &&callboard_core::model::RequestKey| {
        binds.add(key.namespace.0)?;
        binds.add(key.principal.as_str())?;
        binds.add(key.method.as_str())?;
        binds.add(key.request_id.as_str())
    };
    let found = &mut rows.requests;
    REQUESTS
        .fetch(connection, &requests, bind, |row| {
            found.push(rows::request(row)?);
            Ok(())
        })
        .await
}

async fn load_edges(
    connection: &mut SqliteConnection,
    want: &Want,
    rows: &mut Rows,
    tasks: &mut BTreeSet<TaskRef>,
) -> Result<()> {
    let sources: Vec<_> = want.pending_edges.iter().map(|(source, limit)| (*source, rows_at_most(*limit))).collect();
    let bind = |binds: &mut super::many::Binds, (source, limit): &(TaskRef, i64)| {
        bind_task(binds, source)?;
        binds.add(*limit)
    };
    let edges = &mut rows.edges;
    PENDING_EDGES
        .fetch(connection, &sources, bind, |row| {
            let edge = rows::edge(row)?;
            tasks.insert((edge.namespace, edge.target));
            edges.push(edge);
            Ok(())
        })
        .await?;
    rows.edges_ahead = load_edges_ahead(connection, want).await?;
    tasks.extend(rows.edges_ahead.iter().map(|edge| (edge.namespace, edge.target)));
    let targets: Vec<_> = want.dependencies.iter().copied().collect();
    DEPENDENCIES
        .fetch(connection, &targets, bind_task, |row| {
            let edge = rows::edge(row)?;
            tasks.insert((edge.namespace, edge.source));
            edges.push(edge);
            Ok(())
        })
        .await?;
    // In the order of each target's dependencies; pending ones stay in the order of their targets.
    edges.sort_by_key(|edge| (edge.target, edge.ordinal));
    Ok(())
}

/// Those from the tasks behind the first wanted source.
async fn load_edges_ahead(connection: &mut SqliteConnection, want: &Want) -> Result<Vec<Edge>> {
    let Some((first, _)) = want.pending_edges.first_key_value().filter(|_| want.edges_ahead > 0) else {
        return Ok(Vec::new());
    };
    let mut ahead = Vec::new();
    let bind = |binds: &mut super::many::Binds, source: &TaskRef| {
        binds.add(source.0.0)?;
        bind_task(binds, source)?;
        bind_task(binds, source)?;
        binds.add(rows_at_most(want.edges_ahead))?;
        bind_task(binds, source)?;
        binds.add(rows_at_most(want.edges_ahead))
    };
    EDGES_AHEAD
        .fetch(connection, &[*first], bind, |row| {
            ahead.push(rows::edge(row)?);
            Ok(())
        })
        .await?;
    want.keep_whole_sources(&mut ahead);
    Ok(ahead)
}

/// All edges to a task, in their order.
pub async fn dependencies(connection: &mut SqliteConnection, task: TaskRef) -> Result<Vec<Edge>> {
    let mut edges = Vec::new();
    DEPENDENCIES
        .fetch(connection, &[task], bind_task, |row| {
            edges.push(rows::edge(row)?);
            Ok(())
        })
        .await?;
    edges.sort_by_key(|edge| (edge.ordinal, edge.source));
    Ok(edges)
}

async fn load_lanes(connection: &mut SqliteConnection, want: &Want, rows: &mut Rows) -> Result<()> {
    let bind = |binds: &mut super::many::Binds, namespace: &NamespaceId| binds.add(namespace.0);
    let wanted: Vec<_> = want.lanes.iter().copied().collect();
    let lanes = &mut rows.lanes;
    LANES
        .fetch(connection, &wanted, bind, |row| {
            lanes.push(rows::lane(row)?);
            Ok(())
        })
        .await?;
    let wanted: Vec<_> = want.lanes_in_use.iter().copied().collect();
    let in_use = &mut rows.lanes_in_use;
    LANES_IN_USE
        .fetch(connection, &wanted, bind, |row| {
            in_use.push((row.namespace_id(0)?, LaneId(get(row, 1)?)));
            Ok(())
        })
        .await?;
    let wanted: Vec<_> = want.live_counts.iter().copied().collect();
    let counts = &mut rows.live_counts;
    LIVE_COUNTS
        .fetch(connection, &wanted, bind, |row| {
            counts.push((row.namespace_id(0)?, get(row, 1)?));
            Ok(())
        })
        .await
}

async fn load_ready(
    connection: &mut SqliteConnection,
    want: &Want,
    rows: &mut Rows,
    tasks: &mut BTreeSet<TaskRef>,
) -> Result<()> {
    let lanes: Vec<_> = want.ready.iter().map(|(lane, limit)| (*lane, rows_at_most(*limit))).collect();
    let bind = |binds: &mut super::many::Binds, (lane, limit): &((NamespaceId, LaneId), i64)| {
        binds.add(lane.0.0)?;
        binds.add(lane.1.0)?;
        binds.add(*limit)
    };
    let mut counts: BTreeMap<_, usize> = BTreeMap::new();
    READY
        .fetch(connection, &lanes, bind, |row| {
            let (namespace, task) = (row.namespace_id(0)?, row.task_id(2)?);
            *counts.entry((namespace, LaneId(get(row, 1)?))).or_default() += 1;
            tasks.insert((namespace, task));
            Ok(())
        })
        .await?;
    rows.ready = counts.into_iter().collect();
    Ok(())
}

/// A limit as SQLite takes it.
pub(super) fn rows_at_most(limit: usize) -> i64 {
    i64::try_from(limit).unwrap_or(i64::MAX)
}

/// Every statement, to look at its plan.
#[cfg(test)]
pub fn statements() -> Vec<&'static Many> {
    vec![
        &NAMESPACES,
        &TASKS,
        &TASKS_AT_HAND,
        &AGENTS,
        &AGENTS_BY_NAME,
        &LEASED,
        &KEYS,
        &REQUESTS,
        &PENDING_EDGES,
        &EDGES_AHEAD,
        &DEPENDENCIES,
        &LANES,
        &LANES_IN_USE,
        &LIVE_COUNTS,
        &READY,
    ]
}
