//! Tasks: the columns of their rows, which [`super::batch`] saves; their specs, when those are changed; and their tags.

use super::super::convert::Values;
use super::super::transaction::PgTransaction;
use super::check;
use crate::Result;
use crate::codec::{column_code, from_json, task_data, to_json};
use crate::columns::Columns;
use callboard_core::Settings;
use callboard_core::model::{Payload, TaskSpec};
use callboard_core::working_set::{ChangedTask, TaskRef};
use std::sync::LazyLock;

const SPECS: &str = "UPDATE task_specs AS s SET version = v.version, task_type = v.task_type, spec = v.spec, format = 1 \
     FROM unnest($1::bigint[], $2::uuid[], $3::bigint[], $4::text[], $5::text[]) AS v (namespace, task, version, task_type, spec) \
     WHERE s.namespace = v.namespace AND s.task = v.task";
const STORED_SPECS: &str = "SELECT s.namespace, s.task, s.spec FROM task_specs AS s \
     JOIN unnest($1::bigint[], $2::uuid[]) AS v (namespace, task) USING (namespace, task)";
const NEW_TAGS: &str =
    "INSERT INTO task_tags (namespace, tag, task) SELECT * FROM unnest($1::bigint[], $2::text[], $3::uuid[])";
const OLD_TAGS: &str = "DELETE FROM task_tags AS g USING unnest($1::bigint[], $2::text[], $3::uuid[]) AS v (namespace, tag, task) \
     WHERE g.namespace = v.namespace AND g.tag = v.tag AND g.task = v.task";

/// The columns of a step.
pub fn step_columns(values: Values, rows: &[&ChangedTask], settings: &Settings) -> Values {
    values
        .each(rows, |task| task.row.namespace.0)
        .each(rows, |task| task.row.id.0)
        .each(rows, |task| task.expected)
        .each(rows, |task| task.row.version)
        .each(rows, |task| column_code(&task.row.state))
        .each(rows, |task| task.row.rank())
        .each(rows, |task| task.row.state.lease().map(|lease| lease.agent.0))
        .each(rows, |task| task.row.wake_at(settings).map(|at| at.0))
        .each_text_or_null(rows, |task| task.row.agent_name.as_deref())
        .each_made(rows, |task| task_data(&task.row))
}

/// The columns of new tasks and their specs.
pub fn new_columns(values: Values, new: &[&ChangedTask], settings: &Settings) -> Values {
    static NO_INPUT: LazyLock<Payload> = LazyLock::new(Payload::default);
    values
        .each(new, |task| task.row.namespace.0)
        .each(new, |task| task.row.id.0)
        .each(new, |task| task.row.version)
        .each(new, |task| column_code(&task.row.state))
        .each(new, |task| task.row.lane.0)
        .each(new, |task| task.row.rank())
        .each(new, |task| task.row.state.lease().map(|lease| lease.agent.0))
        .each(new, |task| task.row.wake_at(settings).map(|at| at.0))
        .each_text_or_null(new, |task| task.row.spec.key.as_deref())
        .each_text_or_null(new, |task| task.row.agent_name.as_deref())
        .each(new, |task| task.row.created_at.0)
        .each_made(new, |task| task_data(&task.row))
        .each(new, |task| task.row.is_live())
        .each_text(new, |task| &task.row.spec.task_type)
        .each_text(new, |task| &task.row.created_by)
        .each_made(new, |task| to_json(&*task.row.spec))
        .payloads(new, |task| task.input.as_deref().unwrap_or(&NO_INPUT))
}

/// The tags of new tasks.
pub async fn save_new_tags(transaction: &mut PgTransaction, tasks: &[ChangedTask]) -> Result<()> {
    let new: Vec<&ChangedTask> = tasks.iter().filter(|task| task.expected == 0).collect();
    insert_tags(transaction, &new).await
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
