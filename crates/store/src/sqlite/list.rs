//! Pages of tasks: by the narrowest index that fits the filter, over a bounded number of rows.

use super::error::sqlite_error;
use super::load::{load_tasks, rows_at_most};
use super::many::Binds;
use crate::codec::{are_unsuccessful, column_list};
use crate::columns::Columns;
use crate::{Result, TaskFilter, TaskPage};
use callboard_core::model::{NamespaceId, TaskId};
use sqlx::{AssertSqlSafe, SqliteConnection};

/// Rows that one page looks at, fitting or not: some 50 ms of reading.
const SCAN: i64 = 20_000;

/// Where the candidates come from, newest first.
enum Source<'a> {
    /// Tasks with this key.
    Key(&'a str),
    /// Tasks with this tag.
    Tag(&'a str),
    /// Tasks that have not ended.
    Live,
    /// Tasks that ended otherwise than completed.
    Unsuccessful,
    /// All of the namespace.
    All,
}

impl<'a> Source<'a> {
    fn of(filter: &'a TaskFilter) -> Self {
        let are_live = !filter.states.is_empty() && filter.states.iter().all(|state| !state.is_final());
        match (&filter.key, filter.tags.first()) {
            (Some(key), _) => Self::Key(key),
            (None, Some(tag)) => Self::Tag(tag),
            (None, None) if are_live => Self::Live,
            (None, None) if are_unsuccessful(&filter.states) => Self::Unsuccessful,
            (None, None) => Self::All,
        }
    }

    /// What comes behind `FROM`, up to a condition on the namespace's candidates; its values.
    fn sql(&self, sql: &mut String, binds: &mut Binds, namespace: NamespaceId) -> Result<()> {
        let joined = "tasks AS t";
        match self {
            Self::Tag(tag) => {
                sql.push_str("task_tags AS g CROSS JOIN tasks AS t ON t.namespace = g.namespace AND t.id = g.task");
                sql.push_str(" WHERE g.namespace = ? AND g.tag = ?");
                binds.add(namespace.0)?;
                binds.add(*tag)
            }
            Self::Key(key) => {
                sql.push_str(joined);
                sql.push_str(" INDEXED BY tasks_key WHERE t.namespace = ? AND t.key = ? AND t.key IS NOT NULL");
                binds.add(namespace.0)?;
                binds.add(*key)
            }
            Self::Live | Self::Unsuccessful | Self::All => {
                sql.push_str(joined);
                sql.push_str(match self {
                    Self::Live => " INDEXED BY tasks_live WHERE t.namespace = ? AND t.live = 1",
                    Self::Unsuccessful => " INDEXED BY tasks_unsuccessful WHERE t.namespace = ? AND t.state > 4",
                    _ => " WHERE t.namespace = ?",
                });
                binds.add(namespace.0)
            }
        }
    }

    /// The column that orders the candidates.
    fn id(&self) -> &'static str {
        if matches!(self, Self::Tag(_)) { "g.task" } else { "t.id" }
    }
}

/// A page. Needs a read transaction around it.
pub async fn list(
    connection: &mut SqliteConnection,
    namespace: NamespaceId,
    filter: &TaskFilter,
    before: Option<TaskId>,
    limit: usize,
) -> Result<TaskPage> {
    let source = Source::of(filter);
    let floor = match is_exact(filter) {
        true => None,
        false => floor(connection, &source, namespace, before).await?,
    };
    let mut binds = Binds::default();
    let mut sql = String::from("SELECT t.id FROM ");
    source.sql(&mut sql, &mut binds, namespace)?;
    range(&source, &mut sql, &mut binds, before, floor)?;
    conditions(filter, &mut sql, &mut binds)?;
    sql.push_str(&format!(" ORDER BY {} DESC LIMIT ?", source.id()));
    binds.add(rows_at_most(limit.saturating_add(1)))?;
    let mut ids = ids(connection, sql, binds).await?;
    let more = ids.len() > limit;
    ids.truncate(limit);
    let next = if more { ids.last().copied() } else { floor };
    let mut tasks = load_tasks(connection, ids.into_iter().map(|id| (namespace, id))).await?;
    tasks.sort_by_key(|task| std::cmp::Reverse(task.id));
    Ok(TaskPage { tasks, next })
}

/// Whether every candidate fits.
fn is_exact(filter: &TaskFilter) -> bool {
    *filter == TaskFilter { key: filter.key.clone(), ..TaskFilter::default() }
}

/// The lowest id that this page looks at; none when it looks at all that there are.
async fn floor(
    connection: &mut SqliteConnection,
    source: &Source<'_>,
    namespace: NamespaceId,
    before: Option<TaskId>,
) -> Result<Option<TaskId>> {
    let mut binds = Binds::default();
    let id = source.id();
    let mut sql = format!("SELECT {id} FROM ");
    match source {
        // Without the join: the tag's rows alone say where to stop.
        Source::Tag(tag) => {
            sql.push_str("task_tags AS g WHERE g.namespace = ? AND g.tag = ?");
            binds.add(namespace.0)?;
            binds.add(*tag)?;
        }
        _ => source.sql(&mut sql, &mut binds, namespace)?,
    }
    range(source, &mut sql, &mut binds, before, None)?;
    sql.push_str(&format!(" ORDER BY {id} DESC LIMIT 2 OFFSET {}", SCAN - 1));
    let found = ids(connection, sql, binds).await?;
    // Only when there is something below it.
    Ok(if found.len() > 1 { found.first().copied() } else { None })
}

fn range(
    source: &Source<'_>,
    sql: &mut String,
    binds: &mut Binds,
    before: Option<TaskId>,
    floor: Option<TaskId>,
) -> Result<()> {
    for (bound, compare) in [(before, "<"), (floor, ">=")] {
        if let Some(bound) = bound {
            sql.push_str(&format!(" AND {} {compare} ?", source.id()));
            binds.id(bound.0)?;
        }
    }
    Ok(())
}

fn conditions(filter: &TaskFilter, sql: &mut String, binds: &mut Binds) -> Result<()> {
    if !filter.states.is_empty() {
        sql.push_str(&format!(" AND t.state IN ({})", column_list(&filter.states)));
    }
    if let Some(task_type) = &filter.task_type {
        sql.push_str(
            " AND (SELECT s.task_type FROM task_specs AS s WHERE s.namespace = t.namespace AND s.task = t.id) = ?",
        );
        binds.add(task_type.as_str())?;
    }
    if let Some(agent) = &filter.agent {
        sql.push_str(" AND t.agent_name = ?");
        binds.add(agent.as_str())?;
    }
    // The first tag, or the key, may be the source; once more does no harm.
    for tag in &filter.tags {
        sql.push_str(" AND EXISTS (SELECT 1 FROM task_tags AS o WHERE o.namespace = t.namespace AND o.tag = ? AND o.task = t.id)");
        binds.add(tag.as_str())?;
    }
    if let Some(from) = filter.created_from {
        sql.push_str(" AND t.created_at >= ?");
        binds.add(from.0)?;
    }
    if let Some(before) = filter.created_before {
        sql.push_str(" AND t.created_at < ?");
        binds.add(before.0)?;
    }
    if let Some(suffix) = filter.id_suffix.as_deref().filter(|suffix| !suffix.is_empty()) {
        sql.push_str(&format!(" AND substr(hex(t.id), -{}) = ?", suffix.len()));
        binds.add(suffix.to_ascii_uppercase())?;
    }
    Ok(())
}

async fn ids(connection: &mut SqliteConnection, sql: String, binds: Binds) -> Result<Vec<TaskId>> {
    let query = sqlx::query_with(AssertSqlSafe(sql), binds.into_arguments());
    let rows = query.fetch_all(connection).await.map_err(sqlite_error)?;
    rows.iter().map(|row| row.task_id(0)).collect()
}
