//! What rules want to see: locked first, then read.

use super::convert::Values;
use super::floors::horizon_and_since;
use super::store::rows_at_most;
use super::transaction::{PgTransaction, Table};
use crate::columns::Columns;
use crate::rows::{self, TASK_COLUMNS, edge_columns, namespace_columns, task_columns};
use crate::{Error, Result};
use callboard_core::model::{LaneId, NamespaceId, Task};
use callboard_core::working_set::{Rows, TaskRef, Want};
use sqlx::postgres::PgRow;
use std::collections::{BTreeSet, HashMap};

/// Tasks, locked by their ids. A lock that was waited for gives the row as it is then, but its spec as it was before: the two
/// versions tell.
const TASKS: &str = concat!(
    "SELECT ",
    task_columns!(),
    ", t.spec_version, s.version FROM tasks AS t \
     JOIN task_specs AS s ON s.namespace = t.namespace AND s.task = t.id \
     WHERE t.namespace = ANY($1) AND t.id = ANY($2) ORDER BY t.namespace, t.id FOR UPDATE OF t"
);
const LOCKED_TASKS: &str = concat!(
    "SELECT ",
    task_columns!(),
    ", t.spec_version, s.version FROM tasks AS t \
     JOIN task_specs AS s ON s.namespace = t.namespace AND s.task = t.id \
     WHERE t.namespace = ANY($1) AND t.id = ANY($2)"
);
const LOCK_TASKS: &str = "SELECT t.namespace, t.id FROM tasks AS t WHERE t.namespace = ANY($1) AND t.id = ANY($2) \
     ORDER BY t.namespace, t.id FOR UPDATE";
const NAMESPACES: &str =
    concat!("SELECT ", namespace_columns!(), " FROM namespaces WHERE $1 OR name = ANY($2) ORDER BY name");
/// Key by key: the planner could take all live tasks for fewer than the pairs.
const KEYS: &str = "SELECT v.namespace, v.key, t.id FROM unnest($1::bigint[], $2::text[]) AS v (namespace, key) \
     CROSS JOIN LATERAL (SELECT t.id FROM tasks AS t WHERE t.namespace = v.namespace AND t.key = v.key AND t.live \
     AND t.key IS NOT NULL OFFSET 0) AS t";
const REQUESTS: &str = "SELECT r.namespace, r.principal, r.method, r.request_id, r.digest, r.reply, r.expires_at, r.format \
     FROM unnest($1::bigint[], $2::text[], $3::text[], $4::text[]) AS v (namespace, principal, method, request_id) \
     JOIN requests AS r USING (namespace, principal, method, request_id)";
const PENDING_EDGES: &str = concat!(
    "SELECT p.* FROM unnest($1::bigint[], $2::uuid[], $3::bigint[]) AS v (namespace, source, most) CROSS JOIN LATERAL (SELECT ",
    edge_columns!(),
    " FROM edges AS e WHERE e.namespace = v.namespace AND e.source = v.source AND NOT e.resolved \
     ORDER BY e.target LIMIT v.most) AS p"
);
const DEPENDENCIES: &str =
    concat!("SELECT ", edge_columns!(), " FROM edges AS e WHERE e.namespace = ANY($1) AND e.target = ANY($2)");
/// Lanes (0), lanes that have live tasks (1), and how many tasks live (2), of namespaces: what most batches want, in one trip. The last are
/// sums of what transactions added, each under its token, behind a floor; of versions before that, in shards below 64.
const LANES: &str = concat!(
    "WITH ",
    horizon_and_since!(),
    " \
     SELECT namespace, id, key, format, 0, NULL::bigint, NULL::bigint, NULL::bigint FROM lanes WHERE namespace = ANY($2) \
     UNION ALL SELECT DISTINCT namespace, lane, NULL::text, NULL::smallint, 1, NULL::bigint, NULL::bigint, NULL::bigint \
     FROM tasks WHERE namespace = ANY($3) AND live \
     UNION ALL SELECT v.namespace, c.live, NULL::text, NULL::smallint, 2, c.lowest, c.added, h.horizon \
     FROM h CROSS JOIN unnest($4::bigint[], $5::bigint[]) AS v (namespace, floor) CROSS JOIN LATERAL (SELECT sum(u.live)::bigint AS live, \
     min(u.shard) FILTER (WHERE u.shard >= 64) AS lowest, count(*) AS added FROM (\
     SELECT o.live, o.shard FROM live_counts AS o WHERE o.namespace = v.namespace AND o.shard < 64 UNION ALL \
     SELECT n.live, n.shard FROM live_counts AS n WHERE n.namespace = v.namespace \
     AND n.shard >= greatest(CASE WHEN v.floor >= h.since THEN v.floor END, 64)) AS u) AS c"
);
const KIND: usize = 4;
/// So many numbers are added up before they are put together.
const ADDED: i64 = 128;

/// The rows that are wanted and exist.
pub async fn load(transaction: &mut PgTransaction, want: &Want) -> Result<Rows> {
    transaction.connection()?;
    let mut rows = Rows::default();
    load_namespaces(transaction, want, &mut rows).await?;
    let mut first: BTreeSet<TaskRef> = want.tasks.clone();
    super::agents::load(transaction, want, &mut rows).await?;
    load_keys(transaction, want, &mut rows, &mut first).await?;
    let mut found = load_tasks(transaction, &first).await?;
    drop_free_keys(&mut rows, &found);
    let mut second = BTreeSet::new();
    load_edges(transaction, want, &mut rows, &mut second).await?;
    super::children::load_of_runs(transaction, want, &mut rows, &mut second).await?;
    super::workflows::load_tasks(transaction, want, &mut rows, &mut second).await?;
    super::ready::load(transaction, want, &mut rows, &mut second).await?;
    second.retain(|task| !first.contains(task));
    found.append(&mut load_tasks(transaction, &second).await?);
    rows.tasks = found;
    super::workflows::load(transaction, want, &mut rows).await?;
    super::workflows::load_names(transaction, want, &mut rows).await?;
    super::limits::load(transaction, want, &mut rows).await?;
    load_requests(transaction, want, &mut rows).await?;
    load_lanes(transaction, want, &mut rows).await?;
    super::mail::load(transaction, want, &mut rows).await?;
    super::steps::load(transaction, want, &mut rows).await?;
    super::output::load(transaction, want, &mut rows).await?;
    super::results::load(transaction, want, &mut rows).await?;
    super::children::load(transaction, want, &mut rows).await?;
    Ok(rows)
}

/// The arrays of namespaces and ids. Rows of all pairs of them may be found, not only those that are meant: ids are unique, but
/// nothing is taken for granted.
fn of_tasks<'a>(tasks: impl Iterator<Item = &'a TaskRef> + Clone) -> Values {
    let namespaces: BTreeSet<i64> = tasks.clone().map(|(namespace, _)| namespace.0).collect();
    let ids: Vec<_> = tasks.map(|(_, id)| id.0).collect();
    Values::default().one(Vec::from_iter(namespaces)).one(ids)
}

fn numbers_of(namespaces: &BTreeSet<NamespaceId>) -> Vec<i64> {
    namespaces.iter().map(|namespace| namespace.0).collect()
}

/// Tasks, locked.
async fn load_tasks(transaction: &mut PgTransaction, wanted: &BTreeSet<TaskRef>) -> Result<Vec<Task>> {
    if wanted.is_empty() {
        return Ok(Vec::new());
    }
    let new: Vec<TaskRef> = wanted.iter().filter(|task| !transaction.locked.contains(task)).copied().collect();
    transaction.will_lock(Table::Tasks, new.iter().map(|(namespace, id)| (*namespace, id.0))).await?;
    let found = transaction.fetch(TASKS, of_tasks(wanted.iter())).await?;
    let mut tasks: Vec<Task> = Vec::with_capacity(found.len());
    let mut outdated: Vec<TaskRef> = Vec::new();
    for row in &found {
        let task = (row.namespace_id(0)?, row.task_id(1)?);
        transaction.locked.insert(task);
        match row.number(TASK_COLUMNS)? == row.number(TASK_COLUMNS + 1)? {
            _ if !wanted.contains(&task) => {}
            true => tasks.push(rows::task(row)?),
            false => outdated.push(task),
        }
    }
    if !outdated.is_empty() {
        for row in &transaction.fetch(LOCKED_TASKS, of_tasks(outdated.iter())).await? {
            if row.number(TASK_COLUMNS)? != row.number(TASK_COLUMNS + 1)? {
                let id = row.task_id(1)?;
                return Err(Error::Corrupt(format!("task {id} and its spec are of different versions")));
            }
            tasks.push(rows::task(row)?);
        }
    }
    Ok(tasks)
}

async fn load_namespaces(transaction: &mut PgTransaction, want: &Want, rows: &mut Rows) -> Result<()> {
    if !want.all_namespaces && want.namespaces.is_empty() {
        return Ok(());
    }
    let names: Vec<_> = want.namespaces.iter().collect();
    let values = Values::default().one(want.all_namespaces).each_text(&names, |name| name);
    let found = transaction.fetch(NAMESPACES, values).await?;
    rows.namespaces = found.iter().map(rows::namespace).collect::<Result<_>>()?;
    Ok(())
}

async fn load_keys(
    transaction: &mut PgTransaction,
    want: &Want,
    rows: &mut Rows,
    tasks: &mut BTreeSet<TaskRef>,
) -> Result<()> {
    if want.keys.is_empty() {
        return Ok(());
    }
    let keys: Vec<_> = want.keys.iter().collect();
    let values = Values::default().each(&keys, |(namespace, _)| namespace.0).each_text(&keys, |(_, key)| key);
    for row in &transaction.fetch(KEYS, values).await? {
        let key = (row.namespace_id(0)?, row.text(1)?.into_owned());
        let task = row.task_id(2)?;
        tasks.insert((key.0, task));
        rows.keys.push((key, task));
    }
    Ok(())
}

/// While its lock was waited for a task may have ended: then its key is free, or another's, which a save finds out.
fn drop_free_keys(rows: &mut Rows, found: &[Task]) {
    let live: HashMap<_, _> = found.iter().map(|task| ((task.namespace, task.id), task.is_live())).collect();
    rows.keys.retain(|((namespace, _), task)| live.get(&(*namespace, *task)).copied().unwrap_or(false));
}

/// Edges are read when the tasks at the end from which they are looked for are locked: so that none can be missed.
async fn load_edges(
    transaction: &mut PgTransaction,
    want: &Want,
    rows: &mut Rows,
    tasks: &mut BTreeSet<TaskRef>,
) -> Result<()> {
    if want.pending_edges.is_empty() && want.dependencies.is_empty() {
        return Ok(());
    }
    lock_tasks(transaction, want.pending_edges.keys().chain(&want.dependencies)).await?;
    let edges = &mut rows.edges;
    if !want.pending_edges.is_empty() {
        let sources: Vec<_> = want.pending_edges.iter().collect();
        let values = Values::default()
            .each(&sources, |((namespace, _), _)| namespace.0)
            .each(&sources, |((_, source), _)| source.0)
            .each(&sources, |(_, limit)| rows_at_most(**limit));
        for row in &transaction.fetch(PENDING_EDGES, values).await? {
            let edge = rows::edge(row)?;
            tasks.insert((edge.namespace, edge.target));
            edges.push(edge);
        }
    }
    if !want.dependencies.is_empty() {
        for row in &transaction.fetch(DEPENDENCIES, of_tasks(want.dependencies.iter())).await? {
            let edge = rows::edge(row)?;
            if want.dependencies.contains(&(edge.namespace, edge.target)) {
                tasks.insert((edge.namespace, edge.source));
                edges.push(edge);
            }
        }
    }
    // In the order of each target's dependencies; pending ones stay in the order of their targets.
    edges.sort_by_key(|edge| (edge.target, edge.ordinal));
    Ok(())
}

/// Locks tasks that are not locked yet.
async fn lock_tasks(transaction: &mut PgTransaction, tasks: impl Iterator<Item = &TaskRef>) -> Result<()> {
    let new: BTreeSet<TaskRef> = tasks.filter(|task| !transaction.locked.contains(task)).copied().collect();
    if new.is_empty() {
        return Ok(());
    }
    transaction.will_lock(Table::Tasks, new.iter().map(|(namespace, id)| (*namespace, id.0))).await?;
    for row in &transaction.fetch(LOCK_TASKS, of_tasks(new.iter())).await? {
        transaction.locked.insert((row.namespace_id(0)?, row.task_id(1)?));
    }
    Ok(())
}

async fn load_requests(transaction: &mut PgTransaction, want: &Want, rows: &mut Rows) -> Result<()> {
    if want.requests.is_empty() {
        return Ok(());
    }
    let keys: Vec<_> = want.requests.iter().collect();
    let values = Values::default()
        .each(&keys, |key| key.namespace.0)
        .each_text(&keys, |key| &key.principal)
        .each_text(&keys, |key| &key.method)
        .each_text(&keys, |key| &key.request_id);
    let found = transaction.fetch(REQUESTS, values).await?;
    rows.requests = found.iter().map(rows::request).collect::<Result<_>>()?;
    Ok(())
}

async fn load_lanes(transaction: &mut PgTransaction, want: &Want, rows: &mut Rows) -> Result<()> {
    let wanted = [&want.lanes, &want.lanes_in_use, &want.live_counts];
    if wanted.iter().all(|namespaces| namespaces.is_empty()) {
        return Ok(());
    }
    let values = Values::default().one(transaction.shared.order);
    let values = wanted.iter().fold(values, |values, namespaces| values.one(numbers_of(namespaces)));
    let floors: Vec<i64> =
        want.live_counts.iter().map(|namespace| transaction.shared.floors.live(*namespace)).collect();
    let values = values.one(floors);
    for row in &transaction.fetch(LANES, values).await? {
        match row.number(KIND)? {
            0 => {
                let lane = rows::lane(row)?;
                transaction.lanes.insert((lane.namespace, lane.id));
                rows.lanes.push(lane);
            }
            1 => rows.lanes_in_use.push((row.namespace_id(0)?, LaneId(row.number(1)?))),
            _ => load_live(transaction, row, rows)?,
        }
    }
    Ok(())
}

/// How many tasks of a namespace live. When that is the sum of many, they are put together at the end.
fn load_live(transaction: &mut PgTransaction, row: &PgRow, rows: &mut Rows) -> Result<()> {
    let namespace = row.namespace_id(0)?;
    if let Some(live) = row.number_or_null(1)?.filter(|live| *live > 0) {
        rows.live_counts.push((namespace, live));
    }
    if let Some(lowest) = row.number_or_null(5)? {
        transaction.found.live.push((namespace, lowest.min(row.number(7)?)));
        if row.number(6)? >= ADDED {
            transaction.to_fold.insert(namespace, lowest);
        }
    }
    Ok(())
}
