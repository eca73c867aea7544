//! What almost every batch changes, in one statement and so in one trip: agents, tasks, what they gave, their events, and answers.
//!
//! The parts of a statement see what was there before it, and run in any order: where that matters there are two of them.

use super::super::agents::{self, Added, PutTogether};
use super::super::convert::{Values, get};
use super::super::events;
use super::super::own_token;
use super::super::timeline::Order;
use super::super::transaction::PgTransaction;
use super::{agent_columns, beside, check, lanes, tasks};
use crate::codec::last_of_each;
use crate::columns::Columns;
use crate::facts::{self, Packed};
use crate::{Error, Result};
use callboard_core::Settings;
use callboard_core::model::{Agent, LaneId, NamespaceId, RequestRecord};
use callboard_core::working_set::{ChangeSet, Changed, ChangedTask, LaneRef, TaskRef};
use sqlx::postgres::PgRow;
use std::collections::HashSet;
use std::sync::LazyLock;

/// Numbers the values of a statement, in the order in which they are given. The first is the order of commits.
struct Numbers(usize);

impl Numbers {
    /// Arrays of these types, as arguments.
    fn arrays(&mut self, types: &str) -> String {
        let arrays = types.split(' ').map(|of| {
            self.0 += 1;
            format!("${}::{of}[]", self.0)
        });
        arrays.collect::<Vec<_>>().join(", ")
    }
}

/// What every step of a task's life writes.
const STEP: &str = concat!(
    "version = v.version, state = v.state, rank = v.rank, agent = v.agent, wake_at = v.wake_at, agent_name = v.agent_name, \
     data = v.data, format = 1, token = greatest(t.token, ",
    own_token!(),
    ")"
);
const STEP_TYPES: &str = "bigint uuid bigint bigint bigint bigint uuid bigint text text";
const STEP_COLUMNS: &str = "namespace, id, expected, version, state, rank, agent, wake_at, agent_name, data";

/// One text for all batches. Those parts that have nothing to do cost little.
static SAVE: LazyLock<String> = LazyLock::new(|| {
    let mut numbers = Numbers(1);
    let own = own_token!();
    // Lanes that rules saw must still be there when this is committed, or nobody would look for the tasks in them.
    let held = format!(
        "SELECT l.namespace, l.id FROM unnest({}) AS v (namespace, id) JOIN lanes AS l USING (namespace, id) \
         ORDER BY l.namespace, l.id FOR KEY SHARE OF l",
        numbers.arrays("bigint bigint")
    );
    // What is to be added to an agent goes into its row when that is written, and is added to it else.
    let written = format!(
        "SELECT * FROM unnest({}) AS v (namespace, id, version, name, agent_type, principal, cordoned, epoch, completed, failed, \
         created_at, attached_at, detached_at, session, profile, expected, counts)",
        numbers.arrays(
            "bigint uuid bigint text text text bool bigint bigint bigint bigint bigint bigint text text bigint bigint"
        )
    );
    let beside = "agent_counts AS c WHERE c.namespace = v.namespace AND c.agent = v.id AND c.token >= v.counts";
    let put_together = format!(
        "DELETE FROM agent_counts WHERE ctid = ANY (ARRAY(SELECT o.ctid FROM unnest({}) AS v (namespace, id, counts) \
         CROSS JOIN LATERAL (SELECT c.ctid FROM {beside} OFFSET 0) AS o))",
        numbers.arrays("bigint uuid bigint")
    );
    let agents = format!(
        "UPDATE agents AS a SET version = v.version, name = v.name, agent_type = v.agent_type, principal = v.principal, \
         cordoned = v.cordoned, epoch = v.epoch, completed = v.completed, failed = v.failed, created_at = v.created_at, \
         attached_at = v.attached_at, detached_at = v.detached_at, session = v.session, profile = v.profile, format = 1 \
         FROM written AS v WHERE a.namespace = v.namespace AND a.id = v.id \
         AND a.version + (SELECT coalesce(sum(c.versions), 0)::bigint FROM {beside}) = v.expected RETURNING 1"
    );
    let counts = format!(
        "INSERT INTO agent_counts AS c (namespace, agent, token, versions, completed, failed) \
         SELECT v.namespace, v.agent, {own}, v.versions, v.completed, v.failed FROM unnest({}) \
         AS v (namespace, agent, versions, completed, failed) ON CONFLICT (namespace, agent, token) DO UPDATE \
         SET versions = c.versions + excluded.versions, completed = c.completed + excluded.completed, \
         failed = c.failed + excluded.failed",
        numbers.arrays("bigint uuid bigint bigint bigint")
    );
    // An end, a new run, or another lane. Whether the task was live before is told by its old row, `o`.
    let changes = format!(
        "UPDATE tasks AS t SET {STEP}, live = v.live, lane = v.lane, \
         spec_version = CASE WHEN v.spec_changed THEN v.version ELSE t.spec_version END \
         FROM unnest({}) AS v ({STEP_COLUMNS}, live, lane, spec_changed) \
         JOIN tasks AS o ON o.namespace = v.namespace AND o.id = v.id AND o.version = v.expected \
         WHERE t.namespace = o.namespace AND t.id = o.id AND t.version = o.version \
         RETURNING t.namespace, t.id, t.token, (t.live::int - o.live::int)::bigint AS by",
        numbers.arrays(&format!("{STEP_TYPES} bool bigint bool"))
    );
    // A step of a task that was live and stays so, in its lane. Said so that the planner can't read the index of live tasks whole, which it
    // takes for small, and which has all that lived while somebody holds a snapshot.
    let steps = format!(
        "UPDATE tasks AS t SET {STEP} FROM unnest({}) AS v ({STEP_COLUMNS}) \
         WHERE t.namespace = v.namespace AND t.id = v.id AND t.version = v.expected AND t.live::int = 1 \
         RETURNING t.namespace, t.id, t.token",
        numbers.arrays(STEP_TYPES)
    );
    let new = format!(
        "SELECT * FROM unnest({}) AS v (namespace, id, version, state, lane, rank, agent, wake_at, key, agent_name, created_at, \
         data, live, task_type, created_by, spec, input_type, input_metadata, input, input_is_text)",
        numbers.arrays(
            "bigint uuid bigint bigint bigint bigint uuid bigint text text bigint text bool text text text text text bytea bool"
        )
    );
    let payloads = format!(
        "INSERT INTO payloads (namespace, task, kind, content_type, metadata, content, is_text) SELECT * FROM unnest({}) \
         ON CONFLICT (namespace, task, kind) DO UPDATE SET content_type = excluded.content_type, metadata = excluded.metadata, \
         content = excluded.content, is_text = excluded.is_text, format = 1",
        numbers.arrays("bigint uuid bigint text text bytea bool")
    );
    // Positions are given in the order of the values. Tasks that were there before are locked since they were loaded.
    let events = format!(
        "INSERT INTO events (token, namespace, task, sequence, at, state, facts) \
         SELECT coalesce(h.token, {own}), v.namespace, v.task, v.sequence, v.at, v.state, v.facts \
         FROM unnest({}) WITH ORDINALITY AS v (namespace, task, sequence, at, state, facts, place) \
         LEFT JOIN higher AS h ON h.namespace = v.namespace AND h.id = v.task ORDER BY v.place",
        numbers.arrays("bigint uuid bigint bigint bigint text")
    );
    // An answer that may be forgotten makes way for another under its key; one that may not is a conflict.
    let requests = format!(
        "INSERT INTO requests AS r (namespace, principal, method, request_id, digest, reply, remembered_at, expires_at) \
         SELECT * FROM unnest({}) \
         ON CONFLICT (namespace, principal, method, request_id) DO UPDATE SET digest = excluded.digest, reply = excluded.reply, \
         remembered_at = excluded.remembered_at, expires_at = excluded.expires_at, format = 1 \
         WHERE r.expires_at <= excluded.remembered_at RETURNING 1",
        numbers.arrays("bigint text text text bytea text bigint bigint")
    );
    format!(
        "WITH held AS ({held}), written AS MATERIALIZED ({written}), agents AS ({agents}), \
         put_together AS ({put_together}), counts AS ({counts}), changes AS ({changes}), steps AS ({steps}), \
         higher AS MATERIALIZED (SELECT u.namespace, u.id, u.token FROM (SELECT namespace, id, token FROM changes \
         UNION ALL SELECT namespace, id, token FROM steps) AS u WHERE u.token > {own}), \
         new AS MATERIALIZED ({new}), \
         specs AS (INSERT INTO task_specs (namespace, task, version, task_type, created_by, spec, input_type, input_metadata, \
         input, input_is_text) SELECT namespace, id, version, task_type, created_by, spec, input_type, input_metadata, input, \
         input_is_text FROM new), \
         tasks AS (INSERT INTO tasks (namespace, id, version, spec_version, token, state, live, lane, rank, agent, wake_at, key, \
         agent_name, created_at, data) SELECT namespace, id, version, version, {own}, state, live, lane, rank, agent, wake_at, \
         key, agent_name, created_at, data FROM new), \
         live AS (INSERT INTO live_counts AS c (namespace, shard, live) SELECT u.namespace, {own}, sum(u.by)::bigint \
         FROM (SELECT namespace, by FROM changes UNION ALL SELECT namespace, 1 FROM new WHERE live) AS u \
         GROUP BY u.namespace HAVING sum(u.by) <> 0 \
         ON CONFLICT (namespace, shard) DO UPDATE SET live = c.live + excluded.live), \
         payloads AS ({payloads}), events AS ({events}), requests AS ({requests}) \
         SELECT (SELECT count(*) FROM agents), (SELECT count(*) FROM changes), (SELECT count(*) FROM steps), \
         (SELECT count(*) FROM requests), \
         (SELECT array_agg(namespace) FROM held), (SELECT array_agg(id) FROM held)"
    )
});

/// What is saved at once.
#[derive(Default)]
struct Part<'a> {
    held: Vec<LaneRef>,
    agents: Vec<(&'a Changed<Agent>, i64)>,
    put_together: Vec<PutTogether>,
    counts: Vec<Added>,
    changes: Vec<&'a ChangedTask>,
    steps: Vec<&'a ChangedTask>,
    new: Vec<&'a ChangedTask>,
    payloads: Vec<beside::Row<'a>>,
    events: Vec<Packed<'a>>,
    requests: Vec<&'a RequestRecord>,
}

/// Saves them; what is not as expected is a conflict.
pub async fn save(transaction: &mut PgTransaction, changes: &ChangeSet, settings: &Settings) -> Result<()> {
    let (new, changed): (Vec<_>, Vec<_>) = changes.tasks.iter().partition(|task| task.expected == 0);
    let (steps, changed): (Vec<_>, Vec<_>) = changed.into_iter().partition(|task| is_step(task));
    let (counts, agents) = agents::sorted(transaction, changes.agents.iter().filter(|agent| agent.expected != 0));
    let mut part = Part {
        held: lanes::entered(transaction, changes),
        put_together: agents::put_together(&counts, &agents),
        agents,
        counts,
        changes: changed,
        steps,
        new,
        payloads: last_of_each(&changes.payloads).iter().map(beside::row).collect::<Result<_>>()?,
        events: facts::pack(&changes.events),
        requests: changes.requests.iter().collect(),
    };
    // In one order: what another transaction is at is waited for.
    part.requests.sort_by(|a, b| a.key.cmp(&b.key));
    if let Some(ended) = part.take_those_in_the_way() {
        ended.save(transaction, settings).await?;
    }
    part.save(transaction, settings).await
}

/// A task that has ended lives again only with a new run, and its lane changes only with its spec. (Should that ever not hold,
/// the statement finds no live row, which is a conflict.)
fn is_step(task: &ChangedTask) -> bool {
    task.row.is_live() && task.row.run == 1 && !task.spec_changed
}

impl<'a> Part<'a> {
    /// Tasks that end where one that begins to live has the key of one of them: the key is to be free before.
    fn take_those_in_the_way(&mut self) -> Option<Self> {
        let key = |task: &&'a ChangedTask| Some((task.row.namespace, task.row.spec.key.as_deref()?));
        let born = self.new.iter().chain(&self.changes).filter(|task| task.row.is_live());
        let wanted: HashSet<_> = born.filter_map(key).collect();
        let in_the_way =
            |task: &&'a ChangedTask| !task.row.is_live() && key(task).is_some_and(|key| wanted.contains(&key));
        if wanted.is_empty() || !self.changes.iter().any(in_the_way) {
            return None;
        }
        let (changes, others) = std::mem::take(&mut self.changes).into_iter().partition(in_the_way);
        self.changes = others;
        let mut ended = Part { changes, ..Part::default() };
        let gone: HashSet<TaskRef> = ended.changes.iter().map(|task| (task.row.namespace, task.row.id)).collect();
        let events = std::mem::take(&mut self.events).into_iter();
        (ended.events, self.events) = events.partition(|row| gone.contains(&row.task));
        Some(ended)
    }

    async fn save(self, transaction: &mut PgTransaction, settings: &Settings) -> Result<()> {
        let wanted = (self.agents.len(), self.changes.len(), self.steps.len(), self.requests.len());
        if wanted == (0, 0, 0, 0)
            && self.counts.is_empty()
            && self.new.is_empty()
            && self.payloads.is_empty()
            && self.events.is_empty()
        {
            return Ok(());
        }
        let values = self.values(transaction.shared.order, settings);
        let found = transaction.fetch(&SAVE, values).await?;
        transaction.wrote = true;
        let row = found.first().ok_or_else(|| Error::Corrupt("a save without an answer".into()))?;
        let count = |column| row.number(column).map(|count| u64::try_from(count).unwrap_or_default());
        check(wanted.0, "agents", count(0)?)?;
        check(wanted.1, "tasks", count(1)?)?;
        check(wanted.2, "tasks", count(2)?)?;
        check(wanted.3, "answers", count(3)?)?;
        for (namespace, lane) in pairs(row, 4)? {
            // Held until the end: no second time.
            transaction.lanes.remove(&(NamespaceId(namespace), LaneId(lane)));
        }
        if let Some(lane) = self.held.iter().find(|lane| transaction.lanes.contains(lane)) {
            return Err(Error::Conflict(format!("lane {} was removed", lane.1.0)));
        }
        Ok(())
    }

    /// In the order in which [`SAVE`] numbers them.
    fn values(&self, order: Order, settings: &Settings) -> Values {
        let values = Values::default().one(order);
        let values = values.each(&self.held, |lane| lane.0.0).each(&self.held, |lane| lane.1.0);
        let agents: Vec<_> = self.agents.iter().map(|(agent, _)| *agent).collect();
        let values = agent_columns(values, &agents)
            .each(&agents, |agent| agent.expected)
            .each(&self.agents, |(_, counts)| *counts);
        let values = agents::put_together_columns(values, &self.put_together);
        let values = agents::added_columns(values, &self.counts);
        let values = tasks::step_columns(values, &self.changes, settings)
            .each(&self.changes, |task| task.row.is_live())
            .each(&self.changes, |task| task.row.lane.0)
            .each(&self.changes, |task| task.spec_changed);
        let values = tasks::step_columns(values, &self.steps, settings);
        let values = tasks::new_columns(values, &self.new, settings);
        let values = beside::payload_columns(values, &self.payloads);
        let values = events::columns(values, &self.events);
        beside::request_columns(values, &self.requests, settings)
    }
}

/// Two columns of numbers, as pairs.
fn pairs(row: &PgRow, first: usize) -> Result<Vec<(i64, i64)>> {
    let (left, right): (Option<Vec<i64>>, Option<Vec<i64>>) = (get(row, first)?, get(row, first + 1)?);
    Ok(left.into_iter().flatten().zip(right.into_iter().flatten()).collect())
}
