//! Pages of tasks: from the narrowest candidates that fit the filter, over a bounded number of rows.

use super::convert::{Values, get};
use super::store::{Shared, Sql, rows_at_most};
use crate::codec::{are_unsuccessful, column_list};
use crate::columns::Columns;
use crate::rows::{self, TASK_COLUMNS, task_columns};
use crate::{Result, TaskFilter, TaskPage};
use callboard_core::model::{NamespaceId, TaskId};
use uuid::Uuid;

/// Where the candidates come from, newest first: what stands behind `FROM`, and the column that orders them. `$1` is the namespace,
/// `$2` the key or tag. Partial indexes have the conditions.
fn source(filter: &TaskFilter) -> (&'static str, &'static str) {
    let are_live = !filter.states.is_empty() && filter.states.iter().all(|state| !state.is_final());
    match (&filter.key, filter.tags.first()) {
        (Some(_), _) => ("tasks AS t WHERE t.namespace = $1 AND t.key = $2 AND t.key IS NOT NULL", "t.id"),
        (None, Some(_)) => ("task_tags AS g WHERE g.namespace = $1 AND g.tag = $2", "g.task"),
        (None, None) if are_live => ("tasks AS t WHERE t.namespace = $1 AND t.live", "t.id"),
        (None, None) if are_unsuccessful(&filter.states) => {
            ("tasks AS t WHERE t.namespace = $1 AND t.state > 4", "t.id")
        }
        (None, None) => ("tasks AS t WHERE t.namespace = $1", "t.id"),
    }
}

/// The statement of a filter. It looks at 20,000 candidates, fitting or not: `floor` is the lowest of them, if there are more.
/// `$2` key or tag, `$3` below this id, `$4` how many; the rest are values of conditions, where they are none, NULL.
fn sql(filter: &TaskFilter) -> String {
    let (from, id) = source(filter);
    let join = if id == "g.task" { " JOIN tasks AS t ON t.namespace = g.namespace AND t.id = g.task" } else { "" };
    let (table, condition) = from.split_once(" WHERE ").unwrap_or((from, "true"));
    let mut conditions = String::new();
    let mut add = |text: &str| {
        conditions.push_str(" AND ");
        conditions.push_str(text);
    };
    if !filter.states.is_empty() {
        add(&format!("t.state IN ({})", column_list(&filter.states)));
    }
    if filter.task_type.is_some() {
        add("s.task_type = $5");
    }
    if filter.agent.is_some() {
        add("t.agent_name = $6");
    }
    // The first tag, or the key, may be the source; once more does no harm.
    if !filter.tags.is_empty() {
        add("NOT EXISTS (SELECT 1 FROM unnest($7::text[]) AS w (tag) WHERE NOT EXISTS (SELECT 1 FROM task_tags AS o \
             WHERE o.namespace = t.namespace AND o.tag = w.tag AND o.task = t.id))");
    }
    if filter.created_from.is_some() {
        add("t.created_at >= $8");
    }
    if filter.created_before.is_some() {
        add("t.created_at < $9");
    }
    if filter.id_suffix.as_ref().is_some_and(|suffix| !suffix.is_empty()) {
        add("right(replace(t.id::text, '-', ''), length($10)) = $10");
    }
    let columns = task_columns!();
    // Where every candidate fits, the first ones are the page.
    let beyond = if is_exact(filter) { "LIMIT 0" } else { "OFFSET 19999 LIMIT 2" };
    format!(
        "WITH w AS MATERIALIZED (SELECT $2::text AS a, $5::text AS b, $6::text AS c, $7::text[] AS d, $8::bigint AS e, \
         $9::bigint AS f, $10::text AS g), \
         c AS MATERIALIZED (SELECT {id} AS id FROM {table} WHERE {condition} AND {id} < $3 ORDER BY {id} DESC {beyond}), \
         floor AS MATERIALIZED (SELECT CASE WHEN count(*) > 1 THEN (array_agg(c.id ORDER BY c.id DESC))[1] END AS id FROM c) \
         SELECT f.*, floor.id FROM floor LEFT JOIN LATERAL (SELECT {columns} FROM {table}{join} \
         JOIN task_specs AS s ON s.namespace = t.namespace AND s.task = t.id WHERE {condition} AND {id} < $3 \
         AND {id} >= coalesce(floor.id, '00000000-0000-0000-0000-000000000000'::uuid){conditions} \
         ORDER BY {id} DESC LIMIT $4) AS f ON true ORDER BY f.id DESC NULLS LAST"
    )
}

/// Whether every candidate fits.
fn is_exact(filter: &TaskFilter) -> bool {
    *filter == TaskFilter { key: filter.key.clone(), ..TaskFilter::default() }
}

/// A page.
pub async fn list(
    shared: &Shared,
    namespace: NamespaceId,
    filter: &TaskFilter,
    before: Option<TaskId>,
    limit: usize,
) -> Result<TaskPage> {
    let suffix = filter.id_suffix.as_ref().map(|suffix| suffix.to_ascii_lowercase());
    let values = || {
        Values::default()
            .one(namespace.0)
            .text_or_null(filter.key.as_ref().or(filter.tags.first()).map(String::as_str))
            .one(before.map_or(Uuid::max(), |id| id.0))
            .one(rows_at_most(limit.saturating_add(1)))
            .text_or_null(filter.task_type.as_deref())
            .text_or_null(filter.agent.as_deref())
            .each_text(&filter.tags, |tag| tag)
            .one(filter.created_from.map(|at| at.0))
            .one(filter.created_before.map(|at| at.0))
            .text_or_null(suffix.as_deref())
    };
    let found = shared.read(Sql::Built(sql(filter)), values).await?;
    let mut tasks = Vec::new();
    let mut floor = None;
    for row in &found {
        floor = get::<Option<Uuid>>(row, TASK_COLUMNS)?.map(TaskId);
        if row.number_or_null(0)?.is_some() {
            tasks.push(rows::task(row)?);
        }
    }
    let more = tasks.len() > limit;
    tasks.truncate(limit);
    let next = if more { tasks.last().map(|task| task.id) } else { floor };
    Ok(TaskPage { tasks, next })
}
