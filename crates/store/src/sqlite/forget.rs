//! Forgetting finished tasks, in small transactions.
//!
//! The ends of tasks are found by their terminal events, which stand in the order of commits: no index is kept for it, so that
//! a task's life costs nothing more. What can't be forgotten yet is passed over, and found again when the search begins anew.

use super::convert::get;
use super::error::sqlite_error;
use super::load::{bind_task, rows_at_most};
use super::many::{Binds, Many};
use crate::codec::state_of;
use crate::columns::Columns;
use crate::{Cursor, Ended, Forgotten, Result};
use callboard_core::model::{NamespaceId, Timestamp};
use callboard_core::working_set::{AgentKey, TaskRef};
use sqlx::SqliteConnection;
use std::collections::{BTreeMap, BTreeSet};

/// How many events one search looks at.
const SEARCH: i64 = 2_000;
/// How many edges, and how many events beyond those of an ordinary task, one transaction removes of a task: a task that has
/// more of them goes in steps.
const STEP: i64 = 500;
/// How many durable steps one transaction removes of a task that has more: each may be large.
const DURABLE: i64 = 100;
/// How many chunks of its output.
const CHUNKS: i64 = 1_000;

/// Tasks of the statement that have ended for good, and whose parents live no more, as far as the newest of them tell: a live parent
/// may ask for its children again. Those of a workflow that runs are kept for those that come behind them.
macro_rules! ended {
    ($more:literal) => {
        concat!(
            ") AS v CROSS JOIN tasks AS t ON t.namespace = v.column1 AND t.id = v.column2 \
             WHERE t.live IS NULL AND t.wake_at IS NULL AND ifnull((SELECT e.at FROM events AS e INDEXED BY events_task \
             WHERE e.namespace = t.namespace AND e.task = t.id ORDER BY e.sequence DESC LIMIT 1), 0) <= v.column3 \
             AND NOT EXISTS (SELECT 1 FROM (SELECT c.task FROM children AS c INDEXED BY children_child \
             WHERE c.namespace = t.namespace AND c.child = t.id ORDER BY c.task DESC LIMIT 500) AS few CROSS JOIN tasks AS p \
             ON p.namespace = t.namespace AND p.id = few.task WHERE p.live IS NOT NULL) \
             AND NOT EXISTS (SELECT 1 FROM workflow_tasks AS m INDEXED BY workflow_tasks_task CROSS JOIN workflows AS f \
             ON f.namespace = m.namespace AND f.id = m.workflow \
             WHERE m.namespace = t.namespace AND m.task = t.id AND f.ended_at IS NULL)",
            $more
        )
    };
}
/// Tasks that have ended, by what they are kept: outgoing edges (3), and what makes them large: events (4), [`DURABLE`] steps or [`CHUNKS`] of
/// output (5).
static ELIGIBLE: Many = Many::values(
    "SELECT t.namespace, t.id, EXISTS (SELECT 1 FROM edges AS e WHERE e.namespace = t.namespace AND e.source = t.id), \
     (SELECT max(e.sequence) - min(e.sequence) FROM events AS e INDEXED BY events_task \
      WHERE e.namespace = t.namespace AND e.task = t.id), \
     EXISTS (SELECT 1 FROM steps AS w INDEXED BY steps_run WHERE w.namespace = t.namespace AND w.task = t.id LIMIT 1 OFFSET 100) \
      OR EXISTS (SELECT 1 FROM output AS o INDEXED BY output_run WHERE o.namespace = t.namespace AND o.task = t.id \
      LIMIT 1 OFFSET 1000) \
     FROM (VALUES ",
    "(?,?,?)",
    ended!(""),
);
/// The same that no live task depends on, as far as the first [`STEP`] dependents tell.
static FORGETTABLE: Many = Many::values(
    "SELECT t.namespace, t.id FROM (VALUES ",
    "(?,?,?)",
    ended!(
        " AND NOT EXISTS (SELECT 1 FROM (SELECT e.target FROM edges AS e WHERE e.namespace = t.namespace \
         AND e.source = t.id ORDER BY e.target LIMIT 500) AS few CROSS JOIN tasks AS d \
         ON d.namespace = t.namespace AND d.id = few.target WHERE d.live IS NOT NULL)"
    ),
);

macro_rules! delete {
    ($table:literal, $id:literal) => {
        Many::values(
            concat!("DELETE FROM ", $table, " WHERE (namespace, ", $id, ") IN (SELECT * FROM (VALUES "),
            "(?,?)",
            "))",
        )
    };
}
static TASKS: Many = delete!("tasks", "id");
static SPECS: Many = delete!("task_specs", "task");
static PAYLOADS: Many = delete!("payloads", "task");
static EDGES: Many = delete!("edges INDEXED BY edges_target", "target");
static POSITIONS: Many = Many::values(
    "SELECT v.column1, (SELECT max(e.position) FROM events AS e INDEXED BY events_task \
     WHERE e.namespace = v.column1 AND e.task = v.column2) FROM (VALUES ",
    "(?,?)",
    ") AS v WHERE v.column1 IS NOT NULL",
);
static EVENTS: Many = delete!("events", "task");
static TAGS: Many = Many::values(
    "SELECT s.namespace, s.task, j.value FROM (VALUES ",
    "(?,?)",
    ") AS v CROSS JOIN task_specs AS s ON s.namespace = v.column1 AND s.task = v.column2 \
     CROSS JOIN json_each(s.spec, '$.tags') AS j",
);
static TAG: Many = Many::single("DELETE FROM task_tags WHERE namespace = ? AND tag = ? AND task = ?");

/// Tasks whose terminal events are behind a place and not younger than `before`, in the order of their ends.
pub async fn ended(
    connection: &mut SqliteConnection,
    before: Timestamp,
    after: Option<Cursor>,
    limit: usize,
) -> Result<Ended> {
    // The places here are those of rows; a row's time and state are its last event's.
    let start = after.map_or(0, |cursor| cursor.position);
    let sql = "SELECT position, namespace, task, state, at FROM events WHERE position > ? ORDER BY position LIMIT ?";
    let query = sqlx::query(sql).bind(start).bind(SEARCH);
    let rows = query.fetch_all(connection).await.map_err(sqlite_error)?;
    let (mut tasks, mut position) = (Vec::new(), start);
    let mut more = i64::try_from(rows.len()).is_ok_and(|found| found == SEARCH);
    for row in &rows {
        if row.time(4)? > before || tasks.len() == limit {
            more = tasks.len() == limit;
            break;
        }
        position = get(row, 0)?;
        if state_of(get(row, 3)?)?.is_final() {
            tasks.push((row.namespace_id(1)?, row.task_id(2)?));
        }
    }
    Ok(Ended { tasks, next: Cursor { transaction: 0, position }, more })
}

/// Each once: a task that had several runs has several ends.
fn each_once(tasks: &[TaskRef]) -> Vec<TaskRef> {
    BTreeSet::from_iter(tasks.iter().copied()).into_iter().collect()
}

fn bind_before(before: Timestamp) -> impl Fn(&mut Binds, &TaskRef) -> Result<()> {
    move |binds, task| {
        bind_task(binds, task)?;
        binds.add(before.0)
    }
}

/// Those of the tasks that may be forgotten.
pub async fn forgettable(
    connection: &mut SqliteConnection,
    tasks: &[TaskRef],
    before: Timestamp,
) -> Result<Vec<TaskRef>> {
    let mut found = BTreeSet::new();
    FORGETTABLE
        .fetch(connection, &each_once(tasks), bind_before(before), |row| {
            found.insert((row.namespace_id(0)?, row.task_id(1)?));
            Ok(())
        })
        .await?;
    Ok(found.into_iter().collect())
}

/// Forgets those of the tasks that may be forgotten. Needs a transaction around it.
pub async fn forget(connection: &mut SqliteConnection, tasks: &[TaskRef], before: Timestamp) -> Result<Forgotten> {
    let tasks = each_once(tasks);
    let mut eligible = Vec::new();
    ELIGIBLE
        .fetch(connection, &tasks, bind_before(before), |row| {
            let events: Option<i64> = get(row, 3)?;
            let task = (row.namespace_id(0)?, row.task_id(1)?);
            eligible.push((task, row.small(2)? == 1, events.unwrap_or(0), row.small(4)? == 1));
            Ok(())
        })
        .await?;
    let mut forgotten = Forgotten::default();
    let mut whole = Vec::with_capacity(eligible.len());
    for (task, has_edges, events, is_large) in eligible {
        let step = match (has_edges, events > STEP) {
            (true, _) => release(connection, task).await?,
            (false, true) => trim(connection, task).await?,
            (false, false) if is_large => trim_beside(connection, task).await?,
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
    remove(connection, &whole).await?;
    Ok(forgotten)
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
async fn release(connection: &mut SqliteConnection, (namespace, task): TaskRef) -> Result<Step> {
    let sql = "SELECT e.target, t.live IS NOT NULL FROM edges AS e LEFT JOIN tasks AS t \
         ON t.namespace = e.namespace AND t.id = e.target WHERE e.namespace = ? AND e.source = ? \
         ORDER BY e.target LIMIT ?";
    let query = sqlx::query(sql).bind(namespace.0).bind(task.0.as_bytes().to_vec()).bind(STEP);
    let mut last = None;
    let rows = query.fetch_all(&mut *connection).await.map_err(sqlite_error)?;
    for row in &rows {
        if row.small(1)? == 1 {
            return Ok(Step::Kept);
        }
        last = Some(row.task_id(0)?);
    }
    if let Some(last) = last {
        let sql = "DELETE FROM edges WHERE namespace = ? AND source = ? AND target <= ?";
        let query = sqlx::query(sql).bind(namespace.0).bind(task.0.as_bytes().to_vec());
        query.bind(last.0.as_bytes().to_vec()).execute(connection).await.map_err(sqlite_error)?;
    }
    Ok(if i64::try_from(rows.len()).is_ok_and(|found| found < STEP) { Step::Done } else { Step::More })
}

/// Removes the oldest events of a task that has very many.
async fn trim(connection: &mut SqliteConnection, task: TaskRef) -> Result<Step> {
    let sql = "DELETE FROM events WHERE position IN (SELECT position FROM events INDEXED BY events_task \
         WHERE namespace = ? AND task = ? ORDER BY sequence LIMIT ?) RETURNING position";
    let mut binds = Binds::default();
    bind_task(&mut binds, &task)?;
    binds.add(rows_at_most(STEP as usize))?;
    let rows = sqlx::query_with(sql, binds.into_arguments()).fetch_all(&mut *connection).await;
    let mut through = 0;
    for row in &rows.map_err(sqlite_error)? {
        through = through.max(get(row, 0)?);
    }
    note(connection, &[(task.0, through)].into()).await?;
    Ok(Step::More)
}

/// Removes the first durable steps and chunks of output of a task that has many.
async fn trim_beside(connection: &mut SqliteConnection, task: TaskRef) -> Result<Step> {
    super::steps::trim(connection, task, DURABLE).await?;
    super::output::trim(connection, task, CHUNKS).await?;
    Ok(Step::More)
}

/// Removes tasks with all that is kept of them; their steps and output go with their rows.
async fn remove(connection: &mut SqliteConnection, tasks: &[TaskRef]) -> Result<()> {
    if tasks.is_empty() {
        return Ok(());
    }
    let mut through: BTreeMap<NamespaceId, i64> = BTreeMap::new();
    POSITIONS
        .fetch(connection, tasks, bind_task, |row| {
            let (namespace, position) = (row.namespace_id(0)?, get::<Option<i64>>(row, 1)?.unwrap_or(0));
            let known = through.entry(namespace).or_default();
            *known = position.max(*known);
            Ok(())
        })
        .await?;
    let mut tags: Vec<(TaskRef, String)> = Vec::new();
    TAGS.fetch(connection, tasks, bind_task, |row| {
        tags.push(((row.namespace_id(0)?, row.task_id(1)?), get(row, 2)?));
        Ok(())
    })
    .await?;
    let bind_tag = |binds: &mut Binds, ((namespace, task), tag): &(TaskRef, String)| {
        binds.add(namespace.0)?;
        binds.add(tag.clone())?;
        binds.id(task.0)
    };
    TAG.execute(connection, &tags, bind_tag).await?;
    for delete in [&EVENTS, &PAYLOADS, &EDGES, &SPECS, &TASKS] {
        delete.execute(connection, tasks, bind_task).await?;
    }
    note(connection, &through).await
}

/// Remembers up to which position events may be missing.
async fn note(connection: &mut SqliteConnection, through: &BTreeMap<NamespaceId, i64>) -> Result<()> {
    for (namespace, position) in through {
        let sql = "UPDATE namespaces SET forgotten_through = max(forgotten_through, ?) WHERE id = ?";
        let query = sqlx::query(sql).bind(position).bind(namespace.0);
        query.execute(&mut *connection).await.map_err(sqlite_error)?;
    }
    Ok(())
}

/// Agents without a session that are gone since `before`, the longest first.
pub async fn gone_agents(connection: &mut SqliteConnection, before: Timestamp, limit: usize) -> Result<Vec<AgentKey>> {
    let sql = "SELECT a.namespace, a.name FROM agents AS a INDEXED BY agents_gone WHERE a.session IS NULL \
         AND a.detached_at <= ? AND a.cordoned = 0 AND NOT EXISTS (SELECT 1 FROM mailboxes AS m \
         WHERE m.namespace = a.namespace AND m.agent = a.id AND m.messages > 0) ORDER BY detached_at, id LIMIT ?";
    let query = sqlx::query(sql).bind(before.0).bind(rows_at_most(limit));
    let found = query.fetch_all(connection).await.map_err(sqlite_error)?;
    found.iter().map(|row| Ok((row.namespace_id(0)?, get::<String>(row, 1)?.into()))).collect()
}

/// Every statement, to look at its plan.
#[cfg(test)]
pub fn statements() -> Vec<&'static Many> {
    vec![&ELIGIBLE, &FORGETTABLE, &TASKS, &SPECS, &PAYLOADS, &EDGES, &POSITIONS, &EVENTS, &TAGS, &TAG]
}
