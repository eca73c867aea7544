//! What a store is like now, for those who watch it.

use super::convert::Values;
use super::store::{Shared, Sql};
use crate::codec::from_json;
use crate::columns::Columns;
use crate::{Error, LaneDepth, MailDepth, Result, Sample};
use callboard_core::model::LaneKey;

/// Lanes and how many tasks wait in them, as many as a read has time for.
const LANES: &str = "SELECT l.namespace, l.key, (SELECT count(*) FROM (SELECT 1 FROM tasks AS t \
     WHERE t.namespace = l.namespace AND t.lane = l.id AND t.rank IS NOT NULL \
     ORDER BY t.rank, t.id LIMIT 10000) AS r) FROM lanes AS l \
     CROSS JOIN LATERAL (SELECT 1 FROM tasks AS t WHERE t.namespace = l.namespace AND t.lane = l.id AND t.rank IS NOT NULL \
     ORDER BY t.rank, t.id LIMIT 1) AS o LIMIT 1000";
/// Leases and mailboxes, as many; and the size of the database. (Its log is the cluster's, and not looked at.)
const OTHERS: &str = "SELECT (SELECT count(*) FROM (SELECT 1 FROM tasks WHERE agent IS NOT NULL LIMIT 100000) AS l), \
     m.messages, m.bytes, m.most_messages, m.most_bytes, pg_database_size(current_database()) FROM (SELECT \
     coalesce(sum(messages), 0)::bigint AS messages, coalesce(sum(bytes), 0)::bigint AS bytes, \
     coalesce(max(messages), 0) AS most_messages, coalesce(max(bytes), 0) AS most_bytes \
     FROM (SELECT messages, bytes FROM mailboxes WHERE NOT closed LIMIT 100000) AS b) AS m";

/// Counts what waits and what is leased.
pub async fn sample(shared: &Shared) -> Result<Sample> {
    let mut ready = Vec::new();
    for row in &shared.read(Sql::Fixed(LANES), Values::default).await? {
        let key: LaneKey = from_json(row.json(1)?, "a lane's key")?;
        let ready_tasks = row.small(2)? as usize;
        ready.push(LaneDepth { namespace: row.namespace_id(0)?, task_type: key.task_type, ready: ready_tasks });
    }
    let others = shared.read(Sql::Fixed(OTHERS), Values::default).await?;
    let row = others.first().ok_or_else(|| Error::Corrupt("nothing can be counted".into()))?;
    let mail = MailDepth {
        messages: row.number(1)?,
        bytes: row.number(2)?,
        most_messages: row.number(3)?,
        most_bytes: row.number(4)?,
    };
    let bytes = u64::try_from(row.number(5)?).unwrap_or_default();
    Ok(Sample { ready, leased: row.small(0)? as usize, mail, bytes, log_bytes: 0 })
}
