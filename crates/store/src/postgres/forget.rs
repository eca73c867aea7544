//! Forgetting finished tasks, in small transactions; several replicas may do so at once.
//!
//! The ends of tasks are found by their terminal events, which stand in the order of commits: no index is kept for it, so that
//! a task's life costs nothing more. What can't be forgotten yet is passed over, and found again when the search begins anew.

use super::convert::Values;
use super::horizon;
use super::save::{remove_tags, tags_of};
use super::store::{Shared, Sql, rows_at_most};
use super::transaction::PgTransaction;
use crate::codec::state_of;
use crate::columns::Columns;
use crate::{Cursor, Ended, Forgotten, Result};
use callboard_core::model::{NamespaceId, Timestamp};
use callboard_core::working_set::{AgentKey, TaskRef};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// How many events one search looks at.
const SEARCH: usize = 2_000;
/// How many edges, and how many events beyond those of an ordinary task, one transaction removes of a task: a task that has
/// more of them goes in steps.
const STEP: i64 = 500;
/// How many durable steps one transaction removes of a task that has more: each may be large.
const DURABLE: i64 = 100;
/// How many chunks of its output.
const CHUNKS: i64 = 1_000;

const ENDED: &str = concat!(
    "SELECT token, position, namespace, task, state, at FROM events WHERE (token, position) > ($2, $3) AND token < ",
    horizon!(),
    " ORDER BY token, position LIMIT $4"
);
/// (`live::int`, so that the planner can't read the index of live tasks whole for each.)
///
/// Tasks that have ended for good, and whose parents live no more, as far as the newest of them tell: a live parent may ask for its
/// children again. Those of a workflow that runs are kept for those that come behind them.
macro_rules! eligible {
    ($columns:literal, $more:literal) => {
        concat!(
            "SELECT t.namespace, t.id",
            $columns,
            " FROM tasks AS t JOIN unnest($1::bigint[], $2::uuid[]) AS v (namespace, id) ON t.namespace = v.namespace AND t.id = v.id \
             WHERE NOT t.live AND t.wake_at IS NULL AND coalesce((SELECT e.at FROM events AS e \
             WHERE e.namespace = t.namespace AND e.task = t.id ORDER BY e.sequence DESC LIMIT 1), 0) <= $3 \
             AND NOT EXISTS (SELECT 1 FROM (SELECT c.task FROM children AS c WHERE c.namespace = t.namespace AND c.child = t.id \
             ORDER BY c.task DESC LIMIT 500) AS few JOIN tasks AS p ON p.namespace = t.namespace AND p.id = few.task WHERE p.live::int = 1) \
             AND NOT EXISTS (SELECT 1 FROM workflow_tasks AS m JOIN workflows AS f ON f.namespace = m.namespace AND f.id = m.workflow \
             WHERE m.namespace = t.namespace AND m.task = t.id AND f.ended_at IS NULL)",
            $more,
            " ORDER BY t.namespace, t.id"
        )
    };
}
/// Locked, by what they are kept: outgoing edges, and what makes them large: how many events they have about, and whether more
/// than [`DURABLE`] steps or [`CHUNKS`] of output. Who needs one of them now has it locked, and it is left for the next time.
const ELIGIBLE: &str = concat!(
    eligible!(
        ", EXISTS (SELECT 1 FROM edges AS e WHERE e.namespace = t.namespace AND e.source = t.id), \
         (SELECT max(e.sequence) - min(e.sequence) FROM events AS e WHERE e.namespace = t.namespace AND e.task = t.id), \
         EXISTS (SELECT 1 FROM steps AS w WHERE w.namespace = t.namespace AND w.task = t.id LIMIT 1 OFFSET 100) \
         OR EXISTS (SELECT 1 FROM output AS o WHERE o.namespace = t.namespace AND o.task = t.id LIMIT 1 OFFSET 1000)",
        ""
    ),
    " FOR UPDATE OF t SKIP LOCKED"
);
/// Those that no live task depends on, as far as the first [`STEP`] dependents tell.
const FORGETTABLE: &str = eligible!(
    "",
    " AND NOT EXISTS (SELECT 1 FROM (SELECT e.target FROM edges AS e WHERE e.namespace = t.namespace AND e.source = t.id \
     ORDER BY e.target LIMIT 500) AS few JOIN tasks AS d ON d.namespace = t.namespace AND d.id = few.target WHERE d.live::int = 1)"
);
const TARGETS: &str = "SELECT e.target, coalesce(t.live, false) FROM edges AS e LEFT JOIN tasks AS t \
     ON t.namespace = e.namespace AND t.id = e.target WHERE e.namespace = $1 AND e.source = $2 ORDER BY e.target LIMIT $3";
const RELEASED: &str = "DELETE FROM edges WHERE namespace = $1 AND source = $2 AND target <= $3";
const TRIMMED: &str = "DELETE FROM events WHERE (token, position) IN (SELECT token, position FROM events \
     WHERE namespace = $1 AND task = $2 ORDER BY sequence LIMIT $3) RETURNING namespace, token, position";

macro_rules! delete {
    ($table:literal, $id:literal, $returning:literal) => {
        concat!(
            "DELETE FROM ",
            $table,
            " AS d USING unnest($1::bigint[], $2::uuid[]) AS v (namespace, id) WHERE d.namespace = v.namespace AND d.",
            $id,
            " = v.id",
            $returning
        )
    };
}
const EVENTS: &str = delete!("events", "task", " RETURNING d.namespace, d.token, d.position");
const SPECS: &str = delete!("task_specs", "task", " RETURNING d.namespace, d.task, d.spec");
const OTHERS: [&str; 3] = [delete!("payloads", "task", ""), delete!("edges", "target", ""), delete!("tasks", "id", "")];
const NOTE: &str = "INSERT INTO forgotten_events AS f (namespace, token, position) \
     SELECT * FROM unnest($1::bigint[], $2::bigint[], $3::bigint[]) ON CONFLICT (namespace) DO UPDATE \
     SET token = excluded.token, position = excluded.position WHERE (f.token, f.position) < (excluded.token, excluded.position)";
const GONE_AGENTS: &str = "SELECT a.namespace, a.name FROM agents AS a WHERE a.session IS NULL AND a.detached_at <= $1 \
     AND NOT a.cordoned AND NOT EXISTS (SELECT 1 FROM mailboxes AS m WHERE m.namespace = a.namespace AND m.agent = a.id \
     AND m.messages > 0) ORDER BY a.detached_at, a.id LIMIT $2";
const ANSWERS: &str = "DELETE FROM requests WHERE (namespace, principal, method, request_id) IN \
     (SELECT namespace, principal, method, request_id FROM requests WHERE expires_at <= $1 ORDER BY expires_at LIMIT $2 \
     FOR UPDATE SKIP LOCKED)";

/// The highest place of each namespace's forgotten events.
type Through = BTreeMap<NamespaceId, (i64, i64)>;

/// Tasks whose terminal events are behind a place and not younger than `before`, in the order of their ends.
pub async fn ended(shared: &Shared, before: Timestamp, after: Option<Cursor>, limit: usize) -> Result<Ended> {
    // The places here are those of rows; a row's time and state are its last event's.
    let start = after.unwrap_or(Cursor { transaction: 0, position: 0 });
    let values = || {
        let values = Values::default().one(shared.order).one(start.transaction).one(start.position);
        values.one(rows_at_most(SEARCH))
    };
    let rows = shared.read(Sql::Fixed(ENDED), values).await?;
    let (mut tasks, mut next) = (Vec::new(), start);
    let mut more = rows.len() == SEARCH;
    for row in &rows {
        if row.time(5)? > before || tasks.len() == limit {
            more = tasks.len() == limit;
            break;
        }
        next = Cursor { transaction: row.number(0)?, position: row.number(1)? };
        if state_of(row.number(4)?)?.is_final() {
            tasks.push((row.namespace_id(2)?, row.task_id(3)?));
        }
    }
    Ok(Ended { tasks, next, more })
}

/// Each once: a task that had several runs has several ends.
fn each_once(tasks: &[TaskRef]) -> Vec<TaskRef> {
    BTreeSet::from_iter(tasks.iter().copied()).into_iter().collect()
}

/// Those of the tasks that may be forgotten.
pub async fn forgettable(shared: &Shared, tasks: &[TaskRef], before: Timestamp) -> Result<Vec<TaskRef>> {
    let tasks = each_once(tasks);
    let rows = shared.read(Sql::Fixed(FORGETTABLE), || refs(&tasks).one(before.0)).await?;
    rows.iter().map(|row| Ok((row.namespace_id(0)?, row.task_id(1)?))).collect()
}

/// Forgets those of the tasks that may be forgotten.
pub async fn tasks(shared: &Arc<Shared>, tasks: &[TaskRef], before: Timestamp) -> Result<Forgotten> {
    let mut transaction = PgTransaction::begin(shared).await?;
    let forgotten = forget(&mut transaction, tasks, before).await?;
    transaction.finish().await?;
    Ok(forgotten)
}

async fn forget(transaction: &mut PgTransaction, tasks: &[TaskRef], before: Timestamp) -> Result<Forgotten> {
    let tasks = each_once(tasks);
    let eligible = transaction.fetch(ELIGIBLE, refs(&tasks).one(before.0)).await?;
    let mut forgotten = Forgotten::default();
    let mut whole = Vec::with_capacity(eligible.len());
    let mut through = Through::new();
    for row in &eligible {
        let task = (row.namespace_id(0)?, row.task_id(1)?);
        let (has_edges, events) = (row.flag(2)?, row.number_or_null(3)?.unwrap_or(0));
        let is_large = row.flag(4)?;
        let step = match (has_edges, events > STEP) {
            (true, _) => release(transaction, task).await?,
            (false, true) => trim(transaction, task, &mut through).await?,
            (false, false) if is_large => trim_beside(transaction, task).await?,
            (false, false) => Step::Done,
        };
        match step {
            Step::Done if events <= STEP && !is_large => whole.push(task),
            Step::Kept => {}
            Step::Done | Step::More => forgotten.left.push(task),
        }
        // One that is large has a transaction of its own.
        if step == Step::More {
            let place = tasks.iter().position(|other| *other == task).unwrap_or(tasks.len());
            forgotten.left.extend(tasks.iter().skip(place + 1));
            break;
        }
    }
    forgotten.tasks = whole.len();
    remove(transaction, &whole, &mut through).await?;
    note(transaction, through).await?;
    Ok(forgotten)
}

fn refs(tasks: &[TaskRef]) -> Values {
    Values::default().each(tasks, |(namespace, _)| namespace.0).each(tasks, |(_, id)| id.0)
}

/// How far a task has come.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Step {
    /// Nothing keeps it.
    Done,
    /// A live task depends on it.
    Kept,
    /// There is more to remove than one transaction should.
    More,
}

/// Removes edges to tasks that have ended, as far as the first to a live one.
async fn release(transaction: &mut PgTransaction, (namespace, task): TaskRef) -> Result<Step> {
    let values = || Values::default().one(namespace.0).one(task.0);
    let rows = transaction.fetch(TARGETS, values().one(STEP)).await?;
    let mut last = None;
    for row in &rows {
        if row.flag(1)? {
            return Ok(Step::Kept);
        }
        last = Some(row.uuid(0)?);
    }
    if let Some(last) = last {
        transaction.execute(RELEASED, values().one(last)).await?;
    }
    Ok(if i64::try_from(rows.len()).is_ok_and(|found| found < STEP) { Step::Done } else { Step::More })
}

/// Removes the oldest events of a task that has very many.
async fn trim(transaction: &mut PgTransaction, (namespace, task): TaskRef, through: &mut Through) -> Result<Step> {
    let removed = transaction.fetch(TRIMMED, Values::default().one(namespace.0).one(task.0).one(STEP)).await?;
    removed.iter().try_for_each(|row| add(through, row))?;
    Ok(Step::More)
}

/// Removes the first durable steps and chunks of output of a task that has many.
async fn trim_beside(transaction: &mut PgTransaction, task: TaskRef) -> Result<Step> {
    super::steps::trim(transaction, task, DURABLE).await?;
    super::output::trim(transaction, task, CHUNKS).await?;
    Ok(Step::More)
}

fn add(through: &mut Through, row: &impl Columns) -> Result<()> {
    let place = (row.number(1)?, row.number(2)?);
    let known = through.entry(row.namespace_id(0)?).or_insert(place);
    *known = place.max(*known);
    Ok(())
}

/// Removes tasks with all that is kept of them; their steps and output go with their rows.
async fn remove(transaction: &mut PgTransaction, tasks: &[TaskRef], through: &mut Through) -> Result<()> {
    if tasks.is_empty() {
        return Ok(());
    }
    let removed = transaction.fetch(EVENTS, refs(tasks)).await?;
    removed.iter().try_for_each(|row| add(through, row))?;
    let specs = transaction.fetch(SPECS, refs(tasks)).await?;
    remove_tags(transaction, &tags_of(&specs)?).await?;
    for delete in OTHERS {
        transaction.execute(delete, refs(tasks)).await?;
    }
    Ok(())
}

/// Remembers up to which place events may be missing.
async fn note(transaction: &mut PgTransaction, through: Through) -> Result<()> {
    if through.is_empty() {
        return Ok(());
    }
    let rows: Vec<_> = through.into_iter().collect();
    let values = Values::default()
        .each(&rows, |(namespace, _)| namespace.0)
        .each(&rows, |(_, (token, _))| *token)
        .each(&rows, |(_, (_, position))| *position);
    transaction.execute(NOTE, values).await?;
    Ok(())
}

/// Agents without a session that are gone since `before`, the longest first.
pub async fn gone_agents(shared: &Shared, before: Timestamp, limit: usize) -> Result<Vec<AgentKey>> {
    let values = || Values::default().one(before.0).one(rows_at_most(limit));
    let found = shared.read(Sql::Fixed(GONE_AGENTS), values).await?;
    found.iter().map(|row| Ok((row.namespace_id(0)?, row.text(1)?.into()))).collect()
}

/// Forgets answers, the oldest first.
pub async fn answers(shared: &Arc<Shared>, now: Timestamp, limit: usize) -> Result<usize> {
    let mut transaction = PgTransaction::begin(shared).await?;
    let values = Values::default().one(now.0).one(rows_at_most(limit));
    let forgotten = transaction.execute(ANSWERS, values).await?;
    transaction.finish().await?;
    Ok(usize::try_from(forgotten).unwrap_or(limit))
}
