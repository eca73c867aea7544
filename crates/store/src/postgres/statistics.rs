//! Keeps the planner's statistics near the tables' sizes.
//!
//! A prepared statement keeps its plan until PostgreSQL learns something new of its tables. Autovacuum looks once a minute; a plan that was
//! made when there was next to nothing reads whole tables, and in a minute there may be a hundred thousand rows. So a table that
//! has grown to several times what is known of it is analyzed at once: a sample of some ten milliseconds, a few times in a table's
//! life. Autovacuum does the rest.

use super::connections::{Connections, Purpose};
use super::convert::Values;
use super::error::pg_error;
use crate::Result;
use crate::columns::Columns;
use std::sync::Arc;
use std::time::Duration;

const EVERY: Duration = Duration::from_secs(1);
/// Tables that grow with the load. A table of a few pages is read through as fast as by an index.
const OUTDATED: &str = "SELECT c.relname::text FROM unnest(ARRAY['tasks', 'task_specs', 'task_tags', 'payloads', 'edges', 'events', \
     'agents', 'agent_counts', 'live_counts', 'requests', 'mailboxes', 'messages', 'steps', 'output', 'children', 'limit_uses']) AS n (name) JOIN pg_class AS c ON c.oid = to_regclass(n.name) \
     WHERE pg_relation_size(c.oid) > 4 * 8192 * greatest(c.relpages, 1)::bigint ORDER BY c.relname";

/// Looks once a second, until it is dropped.
pub async fn keep(connections: Arc<Connections>) {
    loop {
        tokio::time::sleep(EVERY).await;
        if let Err(error) = refresh(&connections).await {
            tracing::debug!(%error, "the statistics of tables could not be looked at; it is tried again");
        }
    }
}

/// Analyzes what has outgrown its statistics. What another is analyzing is left to it.
async fn refresh(connections: &Arc<Connections>) -> Result<()> {
    let mut lent = connections.lend(Purpose::Read).await?;
    let begin = !connections.are_sessions();
    if begin {
        lent.run("BEGIN READ ONLY".into()).await.map_err(pg_error)?;
    }
    let found = lent.fetch(OUTDATED, Values::default()).await?;
    if begin {
        lent.run("COMMIT".into()).await.map_err(pg_error)?;
    }
    for row in &found {
        // One of the names above.
        let table = row.text(0)?;
        lent.run(format!("ANALYZE (SKIP_LOCKED) {table}")).await.map_err(pg_error)?;
        tracing::debug!(%table, "a table has outgrown its statistics, and was analyzed");
    }
    lent.give_back();
    Ok(())
}
