//! Reads that decide nothing: of one task, of agents, of times. Each is one statement.

use super::agents::whole_agents;
use super::convert::Values;
use super::store::{Shared, Sql, rows_at_most};
use crate::codec::column_state;
use crate::columns::Columns;
use crate::rows::{self, AGENT_COLUMNS, TASK_COLUMNS, agent_columns, edge_columns, namespace_columns, task_columns};
use crate::{AgentFilter, AgentPage, DependencyView, Due, Error, Hydrated, Result, TaskView};
use callboard_core::model::{
    Agent, AgentId, Edge, Namespace, NamespaceId, Payload, StateName, Task, TaskId, Timestamp,
};
use callboard_core::working_set::TaskRef;
use sqlx::postgres::PgRow;
use std::collections::HashMap;
use std::sync::Arc;
use uuid::Uuid;

const NAMESPACES: &str = concat!("SELECT ", namespace_columns!(), " FROM namespaces ORDER BY name");
const VIEW: &str = concat!(
    "SELECT ",
    task_columns!(),
    ", s.input_type, s.input_metadata, s.input, s.input_is_text, r.content_type, r.metadata, r.content, r.is_text, \
     c.content_type, c.metadata, c.content, c.is_text, f.content_type, f.metadata, f.content, f.is_text FROM tasks AS t \
     JOIN task_specs AS s ON s.namespace = t.namespace AND s.task = t.id \
     LEFT JOIN payloads AS r ON r.namespace = t.namespace AND r.task = t.id AND r.kind = 0 \
     LEFT JOIN payloads AS c ON c.namespace = t.namespace AND c.task = t.id AND c.kind = 1 \
     LEFT JOIN payloads AS f ON f.namespace = t.namespace AND f.task = t.id AND f.kind = 2 \
     WHERE t.namespace = $1 AND t.id = $2"
);
const ROW: &str = concat!(
    "SELECT ",
    task_columns!(),
    " FROM tasks AS t JOIN task_specs AS s ON s.namespace = t.namespace AND s.task = t.id WHERE t.namespace = $1 AND t.id = $2"
);
/// How dependencies ended, without input and checkpoint, and the ordinal. The sizes are added up first: PostgreSQL knows them
/// without reading the content.
const ENDS: &str = concat!(
    "WITH d AS MATERIALIZED (SELECT e.ordinal, e.name, e.source, sum(coalesce(octet_length(r.content), 0)) OVER w AS up_to, \
     row_number() OVER w AS nth FROM (SELECT ordinal, name, source FROM edges WHERE namespace = $1 AND target = $2 AND ordinal > $3 \
     AND EXISTS (SELECT 1 FROM tasks AS o WHERE o.namespace = $1 AND o.id = source) ORDER BY ordinal, source LIMIT $4) AS e \
     LEFT JOIN payloads AS r ON r.namespace = $1 AND r.task = e.source AND r.kind = 0 \
     WINDOW w AS (ORDER BY e.ordinal, e.source)) SELECT ",
    task_columns!(),
    ", NULL::text, NULL::text, NULL::bytea, NULL::bool, r.content_type, r.metadata, r.content, r.is_text, \
     NULL::text, NULL::text, NULL::bytea, NULL::bool, f.content_type, f.metadata, f.content, f.is_text, d.ordinal, d.name FROM d \
     JOIN tasks AS t ON t.namespace = $1 AND t.id = d.source \
     JOIN task_specs AS s ON s.namespace = t.namespace AND s.task = t.id \
     LEFT JOIN payloads AS r ON r.namespace = t.namespace AND r.task = t.id AND r.kind = 0 \
     LEFT JOIN payloads AS f ON f.namespace = t.namespace AND f.task = t.id AND f.kind = 2 \
     WHERE d.nth = 1 OR d.up_to <= $5 ORDER BY d.nth"
);
const ORDINAL: usize = TASK_COLUMNS + 16;
const HYDRATE: &str = "SELECT s.namespace, s.task, s.input_type, s.input_metadata, s.input, s.input_is_text, \
     c.content_type, c.metadata, c.content, c.is_text FROM unnest($1::bigint[], $2::uuid[]) AS v (namespace, task) \
     JOIN task_specs AS s USING (namespace, task) \
     LEFT JOIN payloads AS c ON c.namespace = s.namespace AND c.task = s.task AND c.kind = 1";
const STATES: &str = "SELECT t.namespace, t.id, t.state FROM tasks AS t \
     JOIN unnest($1::bigint[], $2::uuid[]) AS v (namespace, id) USING (namespace, id)";
const DEPENDENCIES: &str = concat!(
    "SELECT ",
    edge_columns!(),
    " FROM edges AS e WHERE e.namespace = $1 AND e.target = $2 ORDER BY e.ordinal, e.source"
);
macro_rules! agents_with_leases {
    () => {
        concat!(
            "SELECT ",
            agent_columns!(),
            ", (SELECT count(*) FROM tasks AS t WHERE t.namespace = a.namespace AND t.agent = a.id) FROM ",
            whole_agents!(),
            " WHERE a.namespace = $1 AND "
        )
    };
}
const AGENT: &str = concat!(agents_with_leases!(), "a.name = $2");
const AGENTS: &str =
    concat!(agents_with_leases!(), "a.name > $4 AND ($2::text IS NULL OR a.agent_type = $2) ORDER BY a.name LIMIT $3");
const FIRST_AGENTS: &str =
    concat!(agents_with_leases!(), "($2::text IS NULL OR a.agent_type = $2) ORDER BY a.name LIMIT $3");
const LIVE_SESSIONS: &str = concat!(
    "SELECT ",
    agent_columns!(),
    " FROM agents AS a WHERE a.session IS NOT NULL AND ($1::uuid IS NULL OR a.id > $1) ORDER BY a.id LIMIT $2"
);
/// With the next time behind each, which is the same, also when there is no task; within ten seconds, since while a snapshot is held all times are
/// there for which a task was ever set. A task that is to be looked at whatever the time has 0.
const DUE: &str = "WITH n AS MATERIALIZED (SELECT min(wake_at) AS next FROM tasks WHERE wake_at > $1 \
     AND wake_at <= least($1, 9223372036844775807) + 10000000) \
     SELECT t.wake_at, t.namespace, t.id, n.next FROM n LEFT JOIN LATERAL (\
     (SELECT wake_at, namespace, id FROM tasks WHERE $5 AND wake_at = 0 AND id > $3 ORDER BY wake_at, id LIMIT $4) UNION ALL \
     (SELECT wake_at, namespace, id FROM tasks WHERE wake_at <> 0 AND wake_at <= $1 AND (wake_at, id) > ($2, $6) \
     ORDER BY wake_at, id LIMIT $4) ORDER BY 1, 3 LIMIT $4) AS t ON true ORDER BY t.wake_at, t.id";

/// Every namespace, by name.
pub async fn namespaces(shared: &Shared) -> Result<Vec<Namespace>> {
    let found = shared.read(Sql::Fixed(NAMESPACES), Values::default).await?;
    found.iter().map(rows::namespace).collect()
}

fn view(row: &PgRow) -> Result<TaskView> {
    let input = rows::payload(row, TASK_COLUMNS)?.unwrap_or_default();
    Ok(TaskView { task: rows::task(row)?, input, saved: rows::saved(row, TASK_COLUMNS + PgRow::PAYLOAD)? })
}

/// A task with everything beside it.
pub async fn task(shared: &Shared, (namespace, task): TaskRef) -> Result<Option<TaskView>> {
    let found = shared.read(Sql::Fixed(VIEW), || Values::default().one(namespace.0).one(task.0)).await?;
    found.first().map(view).transpose()
}

/// A task's row alone.
pub async fn task_row(shared: &Shared, (namespace, task): TaskRef) -> Result<Option<Task>> {
    let found = shared.read(Sql::Fixed(ROW), || Values::default().one(namespace.0).one(task.0)).await?;
    found.first().map(rows::task).transpose()
}

/// Inputs and checkpoints, in the order asked for.
pub async fn hydrate(shared: &Shared, tasks: &[TaskRef]) -> Result<Vec<Hydrated>> {
    if tasks.is_empty() {
        return Ok(Vec::new());
    }
    let values = || Values::default().each(tasks, |(namespace, _)| namespace.0).each(tasks, |(_, id)| id.0);
    let mut found = HashMap::new();
    for row in &shared.read(Sql::Fixed(HYDRATE), values).await? {
        let task = row.task_id(1)?;
        let input = rows::payload(row, 2)?.ok_or_else(|| Error::Corrupt(format!("task {task} has no input")))?;
        let checkpoint = rows::payload(row, 2 + PgRow::PAYLOAD)?;
        found.insert((row.namespace_id(0)?, task), Hydrated { task, input, checkpoint });
    }
    Ok(tasks.iter().filter_map(|task| found.get(task).cloned()).collect())
}

/// Which states tasks are in.
pub async fn states(shared: &Shared, tasks: &[TaskRef]) -> Result<Vec<(TaskRef, StateName)>> {
    if tasks.is_empty() {
        return Ok(Vec::new());
    }
    let values = || Values::default().each(tasks, |(namespace, _)| namespace.0).each(tasks, |(_, id)| id.0);
    let found = shared.read(Sql::Fixed(STATES), values).await?;
    found.iter().map(|row| Ok(((row.namespace_id(0)?, row.task_id(1)?), column_state(row.number(2)?)?))).collect()
}

/// All edges to a task, in their order.
pub async fn dependencies(shared: &Shared, (namespace, task): TaskRef) -> Result<Vec<Edge>> {
    let found = shared.read(Sql::Fixed(DEPENDENCIES), || Values::default().one(namespace.0).one(task.0)).await?;
    found.iter().map(rows::edge).collect()
}

/// How the dependencies of a task ended.
pub async fn dependency_results(
    shared: &Shared,
    (namespace, task): TaskRef,
    after: Option<u32>,
    limit: usize,
    max_bytes: usize,
) -> Result<Vec<DependencyView>> {
    let values = || {
        let values = Values::default().one(namespace.0).one(task.0).one(after.map_or(-1, i64::from));
        values.one(rows_at_most(limit)).one(rows_at_most(max_bytes))
    };
    let found = shared.read(Sql::Fixed(ENDS), values).await?;
    let read = |row: &PgRow| {
        let view = TaskView { input: Arc::new(Payload::default()), ..view(row)? };
        let name = row.text_or_null(ORDINAL + 1)?.map(Arc::from);
        Ok(DependencyView { ordinal: row.small(ORDINAL)?, name, view })
    };
    found.iter().map(read).collect()
}

fn agent_with_leases(row: &PgRow) -> Result<(Agent, usize)> {
    Ok((rows::agent(row)?, row.small(AGENT_COLUMNS)? as usize))
}

/// An agent by name.
pub async fn agent(shared: &Shared, namespace: NamespaceId, name: &str) -> Result<Option<(Agent, usize)>> {
    let found = shared.read(Sql::Fixed(AGENT), || Values::default().one(namespace.0).text(name)).await?;
    found.first().map(agent_with_leases).transpose()
}

/// A page of agents.
pub async fn agents(
    shared: &Shared,
    namespace: NamespaceId,
    filter: &AgentFilter,
    after: Option<&str>,
    limit: usize,
) -> Result<AgentPage> {
    let values = || {
        let values = Values::default().one(namespace.0).text_or_null(filter.agent_type.as_deref());
        let values = values.one(rows_at_most(limit.saturating_add(1)));
        match after {
            Some(after) => values.text(after),
            None => values,
        }
    };
    let found = shared.read(Sql::Fixed(if after.is_some() { AGENTS } else { FIRST_AGENTS }), values).await?;
    let mut agents: Vec<_> = found.iter().map(agent_with_leases).collect::<Result<_>>()?;
    let more = agents.len() > limit;
    agents.truncate(limit);
    Ok(AgentPage { agents, more })
}

/// Agents with a session, by id.
pub async fn live_sessions(shared: &Shared, after: Option<AgentId>, limit: usize) -> Result<Vec<Agent>> {
    let values = || Values::default().one(after.map(|id| id.0)).one(rows_at_most(limit));
    let found = shared.read(Sql::Fixed(LIVE_SESSIONS), values).await?;
    found.iter().map(rows::agent).collect()
}

/// Tasks whose time has come.
pub async fn due(shared: &Shared, now: Timestamp, after: Option<(Timestamp, TaskId)>, limit: usize) -> Result<Due> {
    let from = if after.is_none() { shared.floors.due(now) } else { None };
    // No task has the lowest time of all, and none that has one has the nil id.
    let lowest = (from.map_or(i64::MIN, |from| from.0), Uuid::nil());
    let always = after.is_none_or(|(at, _)| at.0 <= 0);
    let (after_always, (time, id)) = match after {
        Some((at, id)) if at.0 == 0 => (id.0, lowest),
        Some((at, id)) => (Uuid::nil(), (at.0, id.0)),
        None => (Uuid::nil(), lowest),
    };
    let values = || {
        let values = Values::default().one(now.0).one(time).one(after_always).one(rows_at_most(limit));
        values.one(always).one(id)
    };
    let mut due = Due::default();
    for row in &shared.read(Sql::Fixed(DUE), values).await? {
        due.next = row.number_or_null(3)?.map(Timestamp);
        if let Some(at) = row.number_or_null(0)? {
            due.tasks.push((Timestamp(at), (row.namespace_id(1)?, row.task_id(2)?)));
        }
    }
    if after.is_none() && due.tasks.len() < limit {
        let earliest = due.tasks.iter().map(|(at, _)| *at).find(|at| at.0 != 0);
        shared.floors.looked_for_due(now, from, earliest);
    }
    Ok(due)
}
