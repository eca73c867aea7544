//! What who asks for an explanation wants to see: what agents have, and what stands before a task.

use super::convert::Values;
use super::store::{Shared, Sql, rows_at_most};
use crate::codec::{from_json, slot_of};
use crate::columns::Columns;
use crate::{Holding, Result};
use callboard_core::model::{AgentId, LaneKey, NamespaceId, TaskId};
use callboard_core::working_set::LaneRef;

const HOLDINGS: &str = "SELECT g.agent, g.state, l.key, g.tasks FROM (SELECT t.agent, t.state, t.lane, count(*) AS tasks \
     FROM tasks AS t WHERE t.namespace = $1 AND t.agent = ANY($2) AND t.agent IS NOT NULL GROUP BY t.agent, t.state, t.lane) AS g \
     JOIN lanes AS l ON l.namespace = $1 AND l.id = g.lane";
const READY_BEFORE: &str = "SELECT count(*) FROM (SELECT 1 FROM tasks AS t WHERE t.namespace = $1 AND t.lane = $2 AND t.rank IS NOT NULL \
     AND (t.rank, t.id) < ($3, $4) LIMIT $5) AS r";

/// What agents have.
pub async fn holdings(shared: &Shared, namespace: NamespaceId, agents: &[AgentId]) -> Result<Vec<Holding>> {
    if agents.is_empty() {
        return Ok(Vec::new());
    }
    let values = || Values::default().one(namespace.0).one(agents.iter().map(|agent| agent.0).collect::<Vec<_>>());
    let mut found = Vec::new();
    for row in &shared.read(Sql::Fixed(HOLDINGS), values).await? {
        let key: LaneKey = from_json(row.json(2)?, "a lane's key")?;
        let (agent, slot, tasks) = (row.agent_id(0)?, slot_of(row.number(1)?), row.small(3)? as usize);
        found.push(Holding { agent, slot, tasks, resources: key.resources });
    }
    Ok(found)
}

/// How many ready tasks of a lane stand before a place.
pub async fn ready_before(
    shared: &Shared,
    (namespace, lane): LaneRef,
    (rank, task): (i64, TaskId),
    limit: usize,
) -> Result<usize> {
    let values = || Values::default().one(namespace.0).one(lane.0).one(rank).one(task.0).one(rows_at_most(limit));
    let found = shared.read(Sql::Fixed(READY_BEFORE), values).await?;
    found.first().map_or(Ok(0), |row| Ok(row.small(0)? as usize))
}
