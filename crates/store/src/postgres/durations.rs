//! How long tasks of a type took.

use super::convert::Values;
use super::store::{Shared, Sql, rows_at_most};
use crate::Result;
use crate::codec;
use crate::codec::readable;
use crate::columns::Columns;
use crate::durations::{Durations, MAX_TYPES, OF_EACH, looked_at};
use callboard_core::model::{NamespaceId, Span};
use std::collections::HashMap;
use std::sync::Arc;

/// The latest of each type that completed (4). Tasks are looked at one by one, from the newest on, until there are enough: OFFSET 0
/// keeps the planner from joining all that may be looked at first. BETWEEN and not "=", with the type in both orders: only the index
/// of types has that order, where after an "=" the primary key would do, by which the tasks of all types are gone through.
const LATEST: &str = "SELECT v.task_type, l.data, l.format FROM unnest($2::text[]) AS v (task_type) CROSS JOIN LATERAL \
     (SELECT t.data, t.format FROM (SELECT s.task_type, s.task FROM task_specs AS s WHERE s.namespace = $1 \
     AND s.task_type BETWEEN v.task_type AND v.task_type ORDER BY s.task_type DESC, s.task DESC LIMIT $3) AS n \
     CROSS JOIN LATERAL (SELECT o.data, o.format, o.state FROM tasks AS o \
     WHERE o.namespace = $1 AND o.id = n.task OFFSET 0) AS t WHERE t.state = 4 ORDER BY n.task_type DESC, n.task DESC LIMIT $4) AS l";

/// See [`crate::Store::mean_durations`].
pub async fn means(shared: &Shared, namespace: NamespaceId, types: &[Arc<str>]) -> Result<HashMap<Arc<str>, Span>> {
    let types = &types[..types.len().min(MAX_TYPES)];
    let values = || {
        let values = Values::default().one(namespace.0).each_text(types, |task_type| task_type);
        values.one(rows_at_most(looked_at(types.len()))).one(rows_at_most(OF_EACH))
    };
    let mut durations = Durations::default();
    for row in &shared.read(Sql::Fixed(LATEST), values).await? {
        readable(row.number(2)?, "tasks")?;
        durations.add(&row.text(0)?, codec::time_taken(row.json(1)?)?);
    }
    Ok(durations.means())
}
