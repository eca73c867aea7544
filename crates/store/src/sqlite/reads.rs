//! Reads that decide nothing: of one task, of events, of agents, of times.

use super::error::sqlite_error;
use super::load::{bind_task, rows_at_most};
use super::many::{Binds, Many};
use crate::codec::column_state;
use crate::columns::Columns;
use crate::rows::{self, AGENT_COLUMNS, TASK_COLUMNS, agent_columns, task_columns};
use crate::{AgentFilter, AgentPage, DependencyView, Due, Error, Hydrated, Result, TaskView};
use callboard_core::model::{Agent, AgentId, LaneId, NamespaceId, Payload, StateName, TaskId, Timestamp};
use callboard_core::working_set::{LaneRef, TaskRef};
use sqlx::sqlite::SqliteRow;
use sqlx::{AssertSqlSafe, SqliteConnection};
use std::collections::HashMap;
use std::sync::Arc;

macro_rules! saved_columns {
    () => {
        "r.content_type, r.metadata, r.content, c.content_type, c.metadata, c.content, f.content_type, f.metadata, f.content"
    };
}
macro_rules! saved_joins {
    () => {
        " LEFT JOIN payloads AS r ON r.namespace = t.namespace AND r.task = t.id AND r.kind = 0 \
         LEFT JOIN payloads AS f ON f.namespace = t.namespace AND f.task = t.id AND f.kind = 2"
    };
}

static VIEW: Many = Many::values(
    concat!(
        "SELECT ",
        task_columns!(),
        ", s.input_type, s.input_metadata, s.input, ",
        saved_columns!(),
        " FROM (VALUES "
    ),
    "(?,?)",
    concat!(
        ") AS v CROSS JOIN tasks AS t ON t.namespace = v.column1 AND t.id = v.column2 \
         CROSS JOIN task_specs AS s ON s.namespace = v.column1 AND s.task = v.column2",
        saved_joins!(),
        " LEFT JOIN payloads AS c ON c.namespace = t.namespace AND c.task = t.id AND c.kind = 1"
    ),
);
/// Without input and checkpoint.
static ENDS: Many = Many::values(
    concat!(
        "SELECT ",
        task_columns!(),
        ", NULL, NULL, NULL, r.content_type, r.metadata, r.content, NULL, NULL, NULL, f.content_type, f.metadata, f.content \
         FROM (VALUES "
    ),
    "(?,?)",
    concat!(
        ") AS v CROSS JOIN tasks AS t ON t.namespace = v.column1 AND t.id = v.column2 \
         CROSS JOIN task_specs AS s ON s.namespace = v.column1 AND s.task = v.column2",
        saved_joins!()
    ),
);
static HYDRATE: Many = Many::values(
    "SELECT s.namespace, s.task, s.input_type, s.input_metadata, s.input, c.content_type, c.metadata, c.content FROM (VALUES ",
    "(?,?)",
    ") AS v CROSS JOIN task_specs AS s ON s.namespace = v.column1 AND s.task = v.column2 \
     LEFT JOIN payloads AS c ON c.namespace = s.namespace AND c.task = s.task AND c.kind = 1",
);

static STATES: Many = Many::values(
    "SELECT t.namespace, t.id, t.state FROM (VALUES ",
    "(?,?)",
    ") AS v CROSS JOIN tasks AS t ON t.namespace = v.column1 AND t.id = v.column2",
);

fn view(row: &SqliteRow) -> Result<TaskView> {
    let input = rows::payload(row, TASK_COLUMNS)?.unwrap_or_default();
    Ok(TaskView { task: rows::task(row)?, input, saved: rows::saved(row, TASK_COLUMNS + 3)? })
}

/// A task with everything beside it.
pub async fn task(connection: &mut SqliteConnection, task: TaskRef) -> Result<Option<TaskView>> {
    let mut found = None;
    VIEW.fetch(connection, &[task], bind_task, |row| {
        found = Some(view(row)?);
        Ok(())
    })
    .await?;
    Ok(found)
}

/// Inputs and checkpoints, in the order asked for.
pub async fn hydrate(connection: &mut SqliteConnection, tasks: &[TaskRef]) -> Result<Vec<Hydrated>> {
    let mut found = HashMap::new();
    HYDRATE
        .fetch(connection, tasks, bind_task, |row| {
            let task = row.task_id(1)?;
            let input = rows::payload(row, 2)?.ok_or_else(|| Error::Corrupt(format!("task {task} has no input")))?;
            found.insert((row.namespace_id(0)?, task), Hydrated { task, input, checkpoint: rows::payload(row, 5)? });
            Ok(())
        })
        .await?;
    Ok(tasks.iter().filter_map(|task| found.get(task).cloned()).collect())
}

/// Which states tasks are in.
pub async fn states(connection: &mut SqliteConnection, tasks: &[TaskRef]) -> Result<Vec<(TaskRef, StateName)>> {
    let mut found = Vec::with_capacity(tasks.len());
    STATES
        .fetch(connection, tasks, bind_task, |row| {
            found.push(((row.namespace_id(0)?, row.task_id(1)?), column_state(row.number(2)?)?));
            Ok(())
        })
        .await?;
    Ok(found)
}

/// How the dependencies of a task ended. Needs a read transaction around it.
pub async fn dependency_results(
    connection: &mut SqliteConnection,
    (namespace, task): TaskRef,
    after: Option<u32>,
    limit: usize,
    max_bytes: usize,
) -> Result<Vec<DependencyView>> {
    // The sizes alone first: SQLite knows them without reading the content.
    let sql = "SELECT e.ordinal, e.source, ifnull(octet_length(r.content), 0), e.name FROM edges AS e INDEXED BY edges_target \
         CROSS JOIN tasks AS t ON t.namespace = e.namespace AND t.id = e.source \
         LEFT JOIN payloads AS r ON r.namespace = e.namespace AND r.task = e.source AND r.kind = 0 \
         WHERE e.namespace = ? AND e.target = ? AND e.ordinal > ? ORDER BY e.ordinal, e.source LIMIT ?";
    let query = sqlx::query(sql).bind(namespace.0).bind(task.0.as_bytes().to_vec());
    let query = query.bind(after.map_or(-1, i64::from)).bind(rows_at_most(limit));
    let mut page: Vec<(u32, Option<Arc<str>>, TaskRef)> = Vec::new();
    let mut bytes = 0_usize;
    for row in &query.fetch_all(&mut *connection).await.map_err(sqlite_error)? {
        bytes = bytes.saturating_add(row.small(2)? as usize);
        if bytes > max_bytes && !page.is_empty() {
            break;
        }
        page.push((row.small(0)?, row.text_or_null(3)?.map(Arc::from), (namespace, row.task_id(1)?)));
    }
    let mut views = HashMap::new();
    ENDS.fetch(
        connection,
        &page,
        |binds, (_, _, task)| bind_task(binds, task),
        |row| {
            let view = TaskView { input: Arc::new(Payload::default()), ..view(row)? };
            views.insert((view.task.namespace, view.task.id), view);
            Ok(())
        },
    )
    .await?;
    let ended = page.into_iter().filter_map(|(ordinal, name, task)| {
        let view = views.remove(&task)?;
        Some(DependencyView { ordinal, name, view })
    });
    Ok(ended.collect())
}

const LEASES: &str = "(SELECT count(*) FROM tasks AS t INDEXED BY tasks_leased WHERE t.namespace = a.namespace AND t.agent = a.id AND t.agent IS NOT NULL)";

fn agent_with_leases(row: &SqliteRow) -> Result<(Agent, usize)> {
    Ok((rows::agent(row)?, row.small(AGENT_COLUMNS)? as usize))
}

/// An agent by name.
pub async fn agent(
    connection: &mut SqliteConnection,
    namespace: NamespaceId,
    name: &str,
) -> Result<Option<(Agent, usize)>> {
    let sql = format!("SELECT {}, {LEASES} FROM agents AS a WHERE a.namespace = ? AND a.name = ?", agent_columns!());
    let query = sqlx::query(AssertSqlSafe(sql)).bind(namespace.0).bind(name.to_owned());
    let found = query.fetch_optional(connection).await.map_err(sqlite_error)?;
    found.as_ref().map(agent_with_leases).transpose()
}

/// A page of agents.
pub async fn agents(
    connection: &mut SqliteConnection,
    namespace: NamespaceId,
    filter: &AgentFilter,
    after: Option<&str>,
    limit: usize,
) -> Result<AgentPage> {
    let mut sql = format!("SELECT {}, {LEASES} FROM agents AS a WHERE a.namespace = ?", agent_columns!());
    let mut binds = Binds::default();
    binds.add(namespace.0)?;
    if let Some(after) = after {
        sql.push_str(" AND a.name > ?");
        binds.add(after)?;
    }
    if let Some(agent_type) = &filter.agent_type {
        sql.push_str(" AND a.agent_type = ?");
        binds.add(agent_type.as_str())?;
    }
    sql.push_str(" ORDER BY a.name LIMIT ?");
    binds.add(rows_at_most(limit.saturating_add(1)))?;
    let query = sqlx::query_with(AssertSqlSafe(sql), binds.into_arguments());
    let found = query.fetch_all(connection).await.map_err(sqlite_error)?;
    let mut agents: Vec<_> = found.iter().map(agent_with_leases).collect::<Result<_>>()?;
    let more = agents.len() > limit;
    agents.truncate(limit);
    Ok(AgentPage { agents, more })
}

/// Agents with a session, by id.
pub async fn live_sessions(
    connection: &mut SqliteConnection,
    after: Option<AgentId>,
    limit: usize,
) -> Result<Vec<Agent>> {
    let sql = concat!(
        "SELECT ",
        agent_columns!(),
        " FROM agents AS a INDEXED BY agents_live WHERE a.session IS NOT NULL AND a.id > ? ORDER BY a.id LIMIT ?"
    );
    // Every id is above no bytes at all.
    let after = after.map(|id| id.0.as_bytes().to_vec()).unwrap_or_default();
    let query = sqlx::query(sql).bind(after).bind(rows_at_most(limit));
    let found = query.fetch_all(connection).await.map_err(sqlite_error)?;
    found.iter().map(rows::agent).collect()
}

/// Tasks whose time has come. Needs a read transaction around it.
pub async fn due(
    connection: &mut SqliteConnection,
    now: Timestamp,
    after: Option<(Timestamp, TaskId)>,
    limit: usize,
) -> Result<Due> {
    let sql = "SELECT wake_at, namespace, id FROM tasks INDEXED BY tasks_due \
         WHERE wake_at IS NOT NULL AND wake_at <= ? AND (wake_at, id) > (?, ?) ORDER BY wake_at, id LIMIT ?";
    let (time_after, id_after) = match after {
        Some((at, id)) => (at.0, id.0.as_bytes().to_vec()),
        None => (i64::MIN, Vec::new()),
    };
    let query = sqlx::query(sql).bind(now.0).bind(time_after).bind(id_after).bind(rows_at_most(limit));
    let found = query.fetch_all(&mut *connection).await.map_err(sqlite_error)?;
    let read = |row: &SqliteRow| Ok((row.time(0)?, (row.namespace_id(1)?, row.task_id(2)?)));
    let tasks = found.iter().map(read).collect::<Result<_>>()?;
    let sql = "SELECT min(wake_at) FROM tasks INDEXED BY tasks_due WHERE wake_at IS NOT NULL AND wake_at > ?";
    let next: Option<i64> = sqlx::query_scalar(sql).bind(now.0).fetch_one(connection).await.map_err(sqlite_error)?;
    Ok(Due { tasks, next: next.map(Timestamp) })
}

/// Lanes with ready tasks.
pub async fn ready_lanes(connection: &mut SqliteConnection, limit: usize) -> Result<Vec<LaneRef>> {
    let sql = "SELECT l.namespace, l.id FROM lanes AS l WHERE EXISTS (SELECT 1 FROM tasks AS t INDEXED BY tasks_ready \
         WHERE t.namespace = l.namespace AND t.lane = l.id AND t.rank IS NOT NULL) LIMIT ?";
    let found = sqlx::query(sql).bind(rows_at_most(limit)).fetch_all(connection).await.map_err(sqlite_error)?;
    found.iter().map(|row| Ok((row.namespace_id(0)?, LaneId(row.number(1)?)))).collect()
}

/// Forgets answers, the oldest first. They are found among the first rows: an index of the times would be written with every
/// request. What stays longer there (an id that was given again when its answer had expired) is passed over, if it is little.
pub async fn purge_requests(connection: &mut SqliteConnection, now: Timestamp, limit: usize) -> Result<usize> {
    let sql = "DELETE FROM requests WHERE rowid IN (SELECT rowid FROM (SELECT rowid, expires_at FROM requests \
         ORDER BY rowid LIMIT ?) WHERE expires_at <= ? LIMIT ?)";
    let looked_at = rows_at_most(limit.saturating_mul(8));
    let query = sqlx::query(sql).bind(looked_at).bind(now.0).bind(rows_at_most(limit));
    let done = query.execute(connection).await.map_err(sqlite_error)?;
    Ok(usize::try_from(done.rows_affected()).unwrap_or(limit))
}

/// Every statement, to look at its plan.
#[cfg(test)]
pub fn statements() -> Vec<&'static Many> {
    vec![&VIEW, &ENDS, &HYDRATE, &STATES]
}
