//! What who asks for an explanation wants to see: what agents have, and what stands before a task.

use super::error::sqlite_error;
use super::load::rows_at_most;
use super::many::{Binds, Many};
use crate::codec::{from_json, slot_of};
use crate::columns::Columns;
use crate::{Holding, Result};
use callboard_core::model::{AgentId, LaneKey, NamespaceId, TaskId};
use callboard_core::working_set::LaneRef;
use sqlx::SqliteConnection;

static HOLDINGS: Many = Many::values(
    "SELECT t.agent, t.state, l.key, count(*) FROM (VALUES ",
    "(?,?)",
    ") AS v CROSS JOIN tasks AS t INDEXED BY tasks_leased ON t.namespace = v.column1 AND t.agent = v.column2 AND t.agent IS NOT NULL \
     CROSS JOIN lanes AS l ON l.namespace = t.namespace AND l.id = t.lane GROUP BY t.agent, t.state, t.lane",
);

/// What agents have.
pub async fn holdings(
    connection: &mut SqliteConnection,
    namespace: NamespaceId,
    agents: &[AgentId],
) -> Result<Vec<Holding>> {
    let bind = |binds: &mut Binds, agent: &AgentId| {
        binds.add(namespace.0)?;
        binds.id(agent.0)
    };
    let mut found = Vec::new();
    HOLDINGS
        .fetch(connection, agents, bind, |row| {
            let key: LaneKey = from_json(row.json(2)?, "a lane's key")?;
            let (agent, slot, tasks) = (row.agent_id(0)?, slot_of(row.number(1)?), row.small(3)? as usize);
            found.push(Holding { agent, slot, tasks, resources: key.resources });
            Ok(())
        })
        .await?;
    Ok(found)
}

/// How many ready tasks of a lane stand before a place.
pub async fn ready_before(
    connection: &mut SqliteConnection,
    (namespace, lane): LaneRef,
    (rank, task): (i64, TaskId),
    limit: usize,
) -> Result<usize> {
    let sql = "SELECT count(*) FROM (SELECT 1 FROM tasks INDEXED BY tasks_ready WHERE namespace = ? AND lane = ? AND rank IS NOT NULL \
         AND (rank, id) < (?, ?) LIMIT ?)";
    let query = sqlx::query_scalar(sql).bind(namespace.0).bind(lane.0).bind(rank);
    let query = query.bind(task.0.as_bytes().to_vec()).bind(rows_at_most(limit));
    let count: i64 = query.fetch_one(connection).await.map_err(sqlite_error)?;
    Ok(usize::try_from(count).unwrap_or_default())
}
