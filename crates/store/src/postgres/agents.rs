//! Agents, what they have, and what is to be added to their rows.
//!
//! With almost every batch attempts end, which are counted for their agents. That alone does not write an agent's row, which is wide, but adds a
//! narrow one; an agent is the sum of all. When they are many they are put together, as one row of them, or as the agent's: whenever something else of
//! it changes, and where a version before this would be too far behind.

use super::convert::Values;
use super::floors::{AgentFloor, horizon_and_since};
use super::transaction::{PgTransaction, Table};
use crate::Result;
use crate::codec::slot_of;
use crate::columns::Columns;
use crate::rows::{self, agent_columns};
use callboard_core::model::{Agent, AgentId, LaneId, NamespaceId};
use callboard_core::working_set::{Changed, Rows, Want};
use sqlx::postgres::PgRow;
use std::collections::{BTreeSet, HashMap};

/// So many rows are added to an agent's before they are put together.
const ADDED: i64 = 128;
/// So many changes of an agent are not in its row, at most: a version that knows no added rows does without them.
const BESIDE_ROW: i64 = 4_096;

/// Agents with what is to be added to them, as `a`: for reads.
macro_rules! whole_agents {
    () => {
        "(SELECT g.namespace, g.id, g.version + c.versions AS version, g.name, g.principal, g.cordoned, g.epoch, \
         g.completed + c.completed AS completed, g.failed + c.failed AS failed, g.created_at, g.attached_at, g.detached_at, \
         g.session, g.profile, g.format, g.agent_type FROM agents AS g CROSS JOIN LATERAL (SELECT \
         coalesce(sum(n.versions), 0)::bigint AS versions, coalesce(sum(n.completed), 0)::bigint AS completed, \
         coalesce(sum(n.failed), 0)::bigint AS failed FROM agent_counts AS n \
         WHERE n.namespace = g.namespace AND n.agent = g.id) AS c) AS a"
    };
}
pub(in crate::postgres) use whole_agents;

const NAMED: &str = "SELECT namespace, id, name FROM agents WHERE namespace = ANY($1) AND name = ANY($2)";
const LOCKED: &str = concat!(
    "SELECT ",
    agent_columns!(),
    " FROM agents AS a WHERE a.namespace = ANY($1) AND a.id = ANY($2) ORDER BY a.namespace, a.id FOR UPDATE"
);
/// What agents have, and behind it a row for each agent with what is to be added to its own. OFFSET keeps the planner, to which almost no task has
/// an agent, from reading all that have one for each.
const BESIDE: &str = concat!(
    "WITH ",
    horizon_and_since!(),
    ", v AS MATERIALIZED (SELECT f.namespace, f.agent, CASE WHEN f.tasks >= h.since THEN f.tasks ELSE 0 END AS tasks, \
     CASE WHEN f.counts >= h.since THEN f.counts ELSE 0 END AS counts \
     FROM h CROSS JOIN unnest($2::bigint[], $3::uuid[], $4::bigint[], $5::bigint[]) AS f (namespace, agent, tasks, counts)) \
     SELECT v.namespace, v.agent, t.token, t.id, t.state::bigint, t.lane, NULL::bigint, NULL::bigint, NULL::bigint \
     FROM v CROSS JOIN LATERAL (SELECT t.id, t.state, t.lane, t.token FROM tasks AS t \
     WHERE t.namespace = v.namespace AND t.agent = v.agent AND t.agent IS NOT NULL AND t.token >= v.tasks OFFSET 0) AS t \
     UNION ALL SELECT v.namespace, v.agent, c.lowest, NULL::uuid, c.versions, c.completed, c.failed, c.added, h.horizon \
     FROM h CROSS JOIN v CROSS JOIN LATERAL (SELECT min(n.token) AS lowest, coalesce(sum(n.versions), 0)::bigint AS versions, \
     coalesce(sum(n.completed), 0)::bigint AS completed, coalesce(sum(n.failed), 0)::bigint AS failed, count(*) AS added \
     FROM agent_counts AS n WHERE n.namespace = v.namespace AND n.agent = v.agent AND n.token >= v.counts) AS c"
);

/// An agent as this transaction has it.
pub struct Loaded {
    agent: Agent,
    /// What is to be added to its own row, by how many rows, and from which token on.
    beside: Counts,
    added: i64,
    from: i64,
}

/// What is added to an agent.
#[derive(Clone, Copy)]
struct Counts {
    versions: i64,
    completed: i64,
    failed: i64,
}

/// A row that is added.
pub struct Added {
    key: (NamespaceId, AgentId),
    counts: Counts,
    /// It takes the place of all others, from a token on.
    in_place_of: Option<i64>,
}

/// Rows that were added and go, by their agents: from a token on.
pub type PutTogether = ((NamespaceId, AgentId), i64);

/// Agents, locked, and then which tasks they have: who gives an agent a task has it locked, too.
pub async fn load(transaction: &mut PgTransaction, want: &Want, rows: &mut Rows) -> Result<()> {
    let mut wanted: BTreeSet<(NamespaceId, AgentId)> = want.agents_by_id.clone();
    if !want.agents.is_empty() {
        let names: Vec<_> = want.agents.iter().collect();
        let namespaces: BTreeSet<i64> = names.iter().map(|(namespace, _)| namespace.0).collect();
        let values = Values::default().one(Vec::from_iter(namespaces)).each_text(&names, |(_, name)| name);
        for row in &transaction.fetch(NAMED, values).await? {
            if want.agents.contains(&(row.namespace_id(0)?, row.text(2)?.into())) {
                wanted.insert((row.namespace_id(0)?, row.agent_id(1)?));
            }
        }
    }
    if wanted.is_empty() {
        return Ok(());
    }
    transaction.will_lock(Table::Agents, wanted.iter().map(|(namespace, id)| (*namespace, id.0))).await?;
    let namespaces: BTreeSet<i64> = wanted.iter().map(|(namespace, _)| namespace.0).collect();
    let ids: Vec<_> = wanted.iter().map(|(_, id)| id.0).collect();
    let mut agents: Vec<Agent> = Vec::new();
    for row in &transaction.fetch(LOCKED, Values::default().one(Vec::from_iter(namespaces)).one(ids)).await? {
        agents.push(rows::agent(row)?);
    }
    agents.retain(|agent| wanted.contains(&key(agent)));
    if !agents.is_empty() {
        load_beside(transaction, agents, rows).await?;
    }
    Ok(())
}

fn key(agent: &Agent) -> (NamespaceId, AgentId) {
    (agent.namespace, agent.id)
}

/// What stands beside agents that are locked.
async fn load_beside(transaction: &mut PgTransaction, agents: Vec<Agent>, rows: &mut Rows) -> Result<()> {
    let floors: Vec<AgentFloor> = agents.iter().map(|agent| transaction.shared.floors.agent(key(agent))).collect();
    let values = Values::default()
        .one(transaction.shared.order)
        .each(&agents, |agent| agent.namespace.0)
        .each(&agents, |agent| agent.id.0)
        .each(&floors, |floor| floor.tasks)
        .each(&floors, |floor| floor.counts);
    let mut agents: HashMap<_, _> = agents.into_iter().map(|agent| (key(&agent), agent)).collect();
    let mut earliest: HashMap<_, i64> = HashMap::new();
    let (tasks, counts): (Vec<PgRow>, Vec<PgRow>) =
        transaction.fetch(BESIDE, values).await?.into_iter().partition(|row| matches!(row.number_or_null(8), Ok(None)));
    for row in &tasks {
        let holder = (row.namespace_id(0)?, row.agent_id(1)?);
        let token = row.number(2)?;
        earliest.entry(holder).and_modify(|earliest: &mut i64| *earliest = token.min(*earliest)).or_insert(token);
        rows.leases.push((holder.1, row.task_id(3)?, slot_of(row.number(4)?), LaneId(row.number(5)?)));
    }
    for row in &counts {
        let holder = (row.namespace_id(0)?, row.agent_id(1)?);
        let Some(mut agent) = agents.remove(&holder) else { continue };
        let beside = Counts { versions: row.number(4)?, completed: row.number(5)?, failed: row.number(6)? };
        agent.version += beside.versions;
        agent.completed += beside.completed;
        agent.failed += beside.failed;
        let horizon = row.number(8)?;
        let counts = row.number_or_null(2)?.unwrap_or(horizon).min(horizon);
        let tasks = earliest.get(&holder).copied().unwrap_or(horizon).min(horizon);
        transaction.found.agents.push((holder, AgentFloor { tasks, counts }));
        // Among the rows may be one of this transaction, to which more can be added.
        let added = if transaction.agents.contains_key(&holder) { 0 } else { row.number(7)? };
        let loaded = Loaded { agent: agent.clone(), beside, added, from: counts };
        transaction.agents.insert(holder, loaded);
        rows.agents.push(agent);
    }
    Ok(())
}

/// What is only to be added to agents, and those that are to be written, with the lowest token of what was added to them.
pub fn sorted<'a>(
    transaction: &mut PgTransaction,
    changed: impl Iterator<Item = &'a Changed<Agent>>,
) -> (Vec<Added>, Vec<(&'a Changed<Agent>, i64)>) {
    let (mut added, mut written) = (Vec::new(), Vec::new());
    for changed in changed {
        let loaded = transaction.agents.get_mut(&key(&changed.row));
        let from = loaded.as_ref().map_or(0, |loaded| loaded.from);
        match loaded.and_then(|loaded| loaded.add(changed)) {
            Some(more) => added.push(more),
            None => written.push((changed, from)),
        }
    }
    (added, written)
}

/// What goes, since it is put together.
pub fn put_together(added: &[Added], written: &[(&Changed<Agent>, i64)]) -> Vec<PutTogether> {
    let by_one = added.iter().filter_map(|added| Some((added.key, added.in_place_of?)));
    let by_the_agents = written.iter().map(|(changed, from)| (key(&changed.row), *from));
    by_one.chain(by_the_agents).collect()
}

/// The columns of what goes.
pub fn put_together_columns(values: Values, rows: &[PutTogether]) -> Values {
    values.each(rows, |(key, _)| key.0.0).each(rows, |(key, _)| key.1.0).each(rows, |(_, from)| *from)
}

/// The columns of what is added.
pub fn added_columns(values: Values, rows: &[Added]) -> Values {
    values
        .each(rows, |added| added.key.0.0)
        .each(rows, |added| added.key.1.0)
        .each(rows, |added| added.counts.versions)
        .each(rows, |added| added.counts.completed)
        .each(rows, |added| added.counts.failed)
}

impl Loaded {
    /// What to add, if the agent counts something and changes in nothing else.
    fn add(&mut self, to: &Changed<Agent>) -> Option<Added> {
        let Agent { version, completed, failed, .. } = self.agent;
        let is_counted = Agent { version, completed, failed, ..to.row.clone() } == self.agent;
        if to.expected != version || !is_counted || self.beside.versions >= BESIDE_ROW {
            return None;
        }
        let more = Counts {
            versions: to.row.version - version,
            completed: to.row.completed - completed,
            failed: to.row.failed - failed,
        };
        self.agent = to.row.clone();
        let (key, many) = (key(&to.row), self.added >= ADDED);
        let counts = if many { self.beside + more } else { more };
        self.beside = self.beside + more;
        // What this transaction adds later is added to its own row.
        self.added = 0;
        Some(Added { key, counts, in_place_of: many.then_some(self.from) })
    }
}

impl std::ops::Add for Counts {
    type Output = Self;
    fn add(self, more: Self) -> Self {
        Self {
            versions: self.versions + more.versions,
            completed: self.completed + more.completed,
            failed: self.failed + more.failed,
        }
    }
}
