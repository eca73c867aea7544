//! Saving tasks. This is the hot path: an update names only the columns that its kind of step can change.

use super::super::convert::{Values, get};
use super::super::own_token;
use super::super::transaction::PgTransaction;
use super::check;
use crate::Result;
use crate::codec::{from_json, state_code, task_data, to_json};
use crate::columns::Columns;
use callboard_core::Settings;
use callboard_core::model::{Payload, TaskId, TaskSpec};
use callboard_core::working_set::{ChangedTask, TaskRef};
use std::collections::HashMap;
use std::sync::LazyLock;
use uuid::Uuid;

/// Tokens of tasks that are higher than the transaction's own.
pub type Tokens = HashMap<TaskRef, i64>;

/// With the rows of the spec in the same trip.
const NEW: &str = concat!(
    "WITH s AS (INSERT INTO task_specs (namespace, task, version, task_type, created_by, spec, input_type, input_metadata, input, \
     input_is_text) SELECT * FROM unnest($2::bigint[], $3::uuid[], $4::bigint[], $14::text[], $15::text[], $16::text[], \
     $17::text[], $18::text[], $19::bytea[], $20::bool[])) \
     INSERT INTO tasks (namespace, id, version, spec_version, token, state, live, lane, rank, agent, wake_at, key, agent_name, \
     created_at, data) SELECT v.namespace, v.id, v.version, v.version, ",
    own_token!(),
    ", v.state, v.live, v.lane, v.rank, v.agent, v.wake_at, v.key, v.agent_name, v.created_at, v.data \
     FROM unnest($2::bigint[], $3::uuid[], $4::bigint[], $5::bigint[], $6::bigint[], $7::bigint[], $8::uuid[], $9::bigint[], \
     $10::text[], $11::text[], $12::bigint[], $13::text[], $21::bool[]) \
     AS v (namespace, id, version, state, lane, rank, agent, wake_at, key, agent_name, created_at, data, live)"
);
/// How many rows were found as expected, and the tasks whose token is higher than the transaction's own.
macro_rules! counted {
    () => {
        concat!(
            " SELECT count(*), array_agg(u.namespace) FILTER (WHERE u.token > ",
            own_token!(),
            "), array_agg(u.id) FILTER (WHERE u.token > ",
            own_token!(),
            "), array_agg(u.token) FILTER (WHERE u.token > ",
            own_token!(),
            ")"
        )
    };
}
/// A step of a task that was live and stays so, in its lane.
const STEPS: &str = concat!(
    "WITH u AS (UPDATE tasks AS t SET version = v.version, state = v.state, rank = v.rank, agent = v.agent, \
     wake_at = v.wake_at, agent_name = v.agent_name, data = v.data, format = 1, token = greatest(t.token, ",
    own_token!(),
    ") FROM unnest($2::bigint[], $3::uuid[], $4::bigint[], $5::bigint[], $6::bigint[], $7::bigint[], $8::uuid[], $9::bigint[], \
     $10::text[], $11::text[]) AS v (namespace, id, expected, version, state, rank, agent, wake_at, agent_name, data) \
     WHERE t.namespace = v.namespace AND t.id = v.id AND t.version = v.expected AND t.live \
     RETURNING t.namespace, t.id, t.token)",
    counted!(),
    " FROM u"
);
/// An end, a new run, or another lane. Whether the task was live before is told by its old row, `o`.
const CHANGES: &str = concat!(
    "WITH u AS (UPDATE tasks AS t SET version = v.version, state = v.state, rank = v.rank, agent = v.agent, \
     wake_at = v.wake_at, agent_name = v.agent_name, data = v.data, format = 1, token = greatest(t.token, ",
    own_token!(),
    "), live = v.live, lane = v.lane, spec_version = CASE WHEN v.spec_changed THEN v.version ELSE t.spec_version END \
     FROM unnest($2::bigint[], $3::uuid[], $4::bigint[], $5::bigint[], $6::bigint[], $7::bigint[], $8::uuid[], $9::bigint[], \
     $10::text[], $11::text[], $12::bool[], $13::bigint[], $14::bool[]) \
     AS v (namespace, id, expected, version, state, rank, agent, wake_at, agent_name, data, live, lane, spec_changed) \
     JOIN tasks AS o ON o.namespace = v.namespace AND o.id = v.id AND o.version = v.expected \
     WHERE t.namespace = o.namespace AND t.id = o.id AND t.version = o.version \
     RETURNING t.namespace, t.id, t.token, t.live::int - o.live::int AS by)",
    counted!(),
    ", array_agg(u.namespace) FILTER (WHERE u.by <> 0), array_agg(u.by::bigint) FILTER (WHERE u.by <> 0) FROM u"
);
const SPECS: &str = "UPDATE task_specs AS s SET version = v.version, task_type = v.task_type, spec = v.spec, format = 1 \
     FROM unnest($1::bigint[], $2::uuid[], $3::bigint[], $4::text[], $5::text[]) AS v (namespace, task, version, task_type, spec) \
     WHERE s.namespace = v.namespace AND s.task = v.task";
const STORED_SPECS: &str = "SELECT s.namespace, s.task, s.spec FROM task_specs AS s \
     JOIN unnest($1::bigint[], $2::uuid[]) AS v (namespace, task) USING (namespace, task)";
const NEW_TAGS: &str =
    "INSERT INTO task_tags (namespace, tag, task) SELECT * FROM unnest($1::bigint[], $2::text[], $3::uuid[])";
const OLD_TAGS: &str = "DELETE FROM task_tags AS g USING unnest($1::bigint[], $2::text[], $3::uuid[]) AS v (namespace, tag, task) \
     WHERE g.namespace = v.namespace AND g.tag = v.tag AND g.task = v.task";

/// Saves tasks: those that end first, since they give their keys free, and new ones last. Gives the tokens of those whose events
/// must come behind another transaction's.
pub async fn save(transaction: &mut PgTransaction, tasks: &[ChangedTask], settings: &Settings) -> Result<Tokens> {
    let mut tokens = Tokens::new();
    let (new, changed): (Vec<_>, Vec<_>) = tasks.iter().partition(|task| task.expected == 0);
    let (steps, others): (Vec<_>, Vec<_>) = changed.into_iter().partition(|task| is_step(task));
    let (back, ended): (Vec<_>, Vec<_>) = others.into_iter().partition(|task| task.row.is_live());
    for changed in [ended, back] {
        save_changes(transaction, &changed, settings, &mut tokens).await?;
    }
    if !steps.is_empty() {
        let values = step_columns(transaction.shared.offset, &steps, settings);
        let found = transaction.fetch(STEPS, values).await?;
        note(&found, steps.len(), &mut tokens)?;
    }
    insert(transaction, &new, settings).await?;
    Ok(tokens)
}

/// A task that has ended lives again only with a new run, and its lane changes only with its spec. (Should that ever not hold,
/// the statement finds no live row, which is a conflict.)
fn is_step(task: &ChangedTask) -> bool {
    task.row.is_live() && task.row.run == 1 && !task.spec_changed
}

async fn save_changes(
    transaction: &mut PgTransaction,
    changed: &[&ChangedTask],
    settings: &Settings,
    tokens: &mut Tokens,
) -> Result<()> {
    if changed.is_empty() {
        return Ok(());
    }
    let values = step_columns(transaction.shared.offset, changed, settings)
        .each(changed, |task| task.row.is_live())
        .each(changed, |task| task.row.lane.0)
        .each(changed, |task| task.spec_changed);
    let found = transaction.fetch(CHANGES, values).await?;
    note(&found, changed.len(), tokens)?;
    for row in &found {
        let namespaces: Option<Vec<i64>> = get(row, 4)?;
        let by: Option<Vec<i64>> = get(row, 5)?;
        for (namespace, by) in namespaces.into_iter().flatten().zip(by.into_iter().flatten()) {
            *transaction.live.entry(callboard_core::model::NamespaceId(namespace)).or_default() += by;
        }
    }
    Ok(())
}

/// Every row was as expected; those with a higher token are remembered.
fn note(found: &[sqlx::postgres::PgRow], wanted: usize, tokens: &mut Tokens) -> Result<()> {
    for row in found {
        check(wanted, "tasks", u64::try_from(row.number(0)?).unwrap_or_default())?;
        let (namespaces, ids): (Option<Vec<i64>>, Option<Vec<Uuid>>) = (get(row, 1)?, get(row, 2)?);
        let higher: Option<Vec<i64>> = get(row, 3)?;
        let tasks = namespaces.into_iter().flatten().zip(ids.into_iter().flatten());
        let tasks = tasks.map(|(namespace, id)| (callboard_core::model::NamespaceId(namespace), TaskId(id)));
        tokens.extend(tasks.zip(higher.into_iter().flatten()));
    }
    Ok(())
}

fn step_columns(offset: i64, rows: &[&ChangedTask], settings: &Settings) -> Values {
    Values::default()
        .one(offset)
        .each(rows, |task| task.row.namespace.0)
        .each(rows, |task| task.row.id.0)
        .each(rows, |task| task.expected)
        .each(rows, |task| task.row.version)
        .each(rows, |task| state_code(task.row.state.name()))
        .each(rows, |task| task.row.rank())
        .each(rows, |task| task.row.state.lease().map(|lease| lease.agent.0))
        .each(rows, |task| task.row.wake_at(settings).map(|at| at.0))
        .each_text_or_null(rows, |task| task.row.agent_name.as_deref())
        .each_made(rows, |task| task_data(&task.row))
}

async fn insert(transaction: &mut PgTransaction, new: &[&ChangedTask], settings: &Settings) -> Result<()> {
    static NO_INPUT: LazyLock<Payload> = LazyLock::new(Payload::default);
    if new.is_empty() {
        return Ok(());
    }
    let values = Values::default()
        .one(transaction.shared.offset)
        .each(new, |task| task.row.namespace.0)
        .each(new, |task| task.row.id.0)
        .each(new, |task| task.row.version)
        .each(new, |task| state_code(task.row.state.name()))
        .each(new, |task| task.row.lane.0)
        .each(new, |task| task.row.rank())
        .each(new, |task| task.row.state.lease().map(|lease| lease.agent.0))
        .each(new, |task| task.row.wake_at(settings).map(|at| at.0))
        .each_text_or_null(new, |task| task.row.spec.key.as_deref())
        .each_text_or_null(new, |task| task.row.agent_name.as_deref())
        .each(new, |task| task.row.created_at.0)
        .each_made(new, |task| task_data(&task.row))
        .each_text(new, |task| &task.row.spec.task_type)
        .each_text(new, |task| &task.row.created_by)
        .each_made(new, |task| to_json(&*task.row.spec))
        .payloads(new, |task| task.input.as_deref().unwrap_or(&NO_INPUT))
        .each(new, |task| task.row.is_live());
    transaction.execute(NEW, values).await?;
    for task in new.iter().filter(|task| task.row.is_live()) {
        *transaction.live.entry(task.row.namespace).or_default() += 1;
    }
    insert_tags(transaction, new).await
}

async fn insert_tags(transaction: &mut PgTransaction, tasks: &[&ChangedTask]) -> Result<()> {
    let of = |task: &ChangedTask| (task.row.namespace, task.row.id);
    let tags = tasks.iter().flat_map(|task| task.row.spec.tags.iter().map(move |tag| (of(task), tag.as_str())));
    let tags: Vec<(TaskRef, &str)> = tags.collect();
    if !tags.is_empty() {
        transaction.execute(NEW_TAGS, tag_columns(&tags)).await?;
    }
    Ok(())
}

/// The columns of tags.
fn tag_columns<T: AsRef<str>>(tags: &[(TaskRef, T)]) -> Values {
    Values::default()
        .each(tags, |((namespace, _), _)| namespace.0)
        .each_text(tags, |(_, tag)| tag.as_ref())
        .each(tags, |((_, task), _)| task.0)
}

/// Takes tags away that stood in the specs of tasks.
pub async fn remove_tags(transaction: &mut PgTransaction, tags: &[(TaskRef, String)]) -> Result<()> {
    if !tags.is_empty() {
        transaction.execute(OLD_TAGS, tag_columns(tags)).await?;
    }
    Ok(())
}

/// The tags in specs: rows of namespace, task and spec.
pub fn tags_of(rows: &[sqlx::postgres::PgRow]) -> Result<Vec<(TaskRef, String)>> {
    let mut tags = Vec::new();
    for row in rows {
        let spec: TaskSpec = from_json(row.json(2)?, "a task's spec")?;
        let task = (row.namespace_id(0)?, row.task_id(1)?);
        tags.extend(spec.tags.into_iter().map(|tag| (task, tag)));
    }
    Ok(tags)
}

/// Specs that their owners changed, with their tags.
pub async fn save_specs(transaction: &mut PgTransaction, tasks: &[ChangedTask]) -> Result<()> {
    let changed: Vec<&ChangedTask> = tasks.iter().filter(|task| task.spec_changed && task.expected != 0).collect();
    if changed.is_empty() {
        return Ok(());
    }
    let refs = || Values::default().each(&changed, |task| task.row.namespace.0).each(&changed, |task| task.row.id.0);
    let stored = transaction.fetch(STORED_SPECS, refs()).await?;
    remove_tags(transaction, &tags_of(&stored)?).await?;
    let values = refs()
        .each(&changed, |task| task.row.version)
        .each_text(&changed, |task| &task.row.spec.task_type)
        .each_made(&changed, |task| to_json(&*task.row.spec));
    let updated = transaction.execute(SPECS, values).await?;
    check(changed.len(), "specs", updated)?;
    insert_tags(transaction, &changed).await
}
