//! What keeps a file in shape over weeks: what it is like now.

use super::convert::get;
use super::error::sqlite_error;
use crate::codec::from_json;
use crate::columns::Columns;
use crate::{LaneDepth, MailDepth, Result, Sample};
use callboard_core::model::LaneKey;
use sqlx::SqliteConnection;

/// How many lanes are counted, how far each, and how many leases. What is more than a read has time for is left for the next one.
const LANES: i64 = 1_000;
const LANE_DEPTH: i64 = 10_000;
const LEASES: i64 = 100_000;

/// How many mailboxes are looked at.
const MAILBOXES: i64 = 100_000;

/// Counts what waits and what is leased.
pub async fn sample(connection: &mut SqliteConnection) -> Result<Sample> {
    let sql = "SELECT l.namespace, l.key, (SELECT count(*) FROM (SELECT 1 FROM tasks AS t INDEXED BY tasks_ready \
         WHERE t.namespace = l.namespace AND t.lane = l.id AND t.rank IS NOT NULL LIMIT ?)) FROM lanes AS l \
         WHERE EXISTS (SELECT 1 FROM tasks AS t INDEXED BY tasks_ready \
         WHERE t.namespace = l.namespace AND t.lane = l.id AND t.rank IS NOT NULL) LIMIT ?";
    let query = sqlx::query(sql).bind(LANE_DEPTH).bind(LANES);
    let mut ready = Vec::new();
    for row in &query.fetch_all(&mut *connection).await.map_err(sqlite_error)? {
        let key: LaneKey = from_json(get(row, 1)?, "a lane's key")?;
        let depth =
            LaneDepth { namespace: row.namespace_id(0)?, task_type: key.task_type, ready: row.small(2)? as usize };
        ready.push(depth);
    }
    let sql = "SELECT count(*) FROM (SELECT 1 FROM tasks INDEXED BY tasks_leased WHERE agent IS NOT NULL LIMIT ?)";
    let leased: i64 = sqlx::query_scalar(sql).bind(LEASES).fetch_one(&mut *connection).await.map_err(sqlite_error)?;
    let mail = mail(connection).await?;
    Ok(Sample { ready, leased: usize::try_from(leased).unwrap_or(0), mail, ..Sample::default() })
}

async fn mail(connection: &mut SqliteConnection) -> Result<MailDepth> {
    let sql = "SELECT ifnull(sum(messages), 0), ifnull(sum(bytes), 0), ifnull(max(messages), 0), ifnull(max(bytes), 0) \
         FROM (SELECT messages, bytes FROM mailboxes WHERE closed IS NULL LIMIT ?)";
    let row = sqlx::query(sql).bind(MAILBOXES).fetch_one(connection).await.map_err(sqlite_error)?;
    Ok(MailDepth {
        messages: get(&row, 0)?,
        bytes: get(&row, 1)?,
        most_messages: get(&row, 2)?,
        most_bytes: get(&row, 3)?,
    })
}
