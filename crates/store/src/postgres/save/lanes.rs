//! Lanes: none goes while a task is saved in it.

use super::super::convert::Values;
use super::super::transaction::PgTransaction;
use crate::Result;
use crate::codec::{have_limit_keys, take_resources, to_json};
use callboard_core::working_set::{ChangeSet, ChangedTask, LaneRef};
use std::collections::BTreeSet;

const NEW: &str = "INSERT INTO lanes (namespace, id, key) SELECT * FROM unnest($1::bigint[], $2::bigint[], $3::text[]) \
     ON CONFLICT (namespace, id) DO NOTHING";
const LOCK: &str = "SELECT l.namespace, l.id FROM lanes AS l JOIN unnest($1::bigint[], $2::bigint[]) AS v (namespace, id) \
     USING (namespace, id) ORDER BY l.namespace, l.id FOR UPDATE OF l";
/// From the first lane with resources on, older programs are refused.
const NEEDED: &str = "UPDATE callboard_meta SET value = 10 WHERE name = 'min_version' AND value < 10";
/// From the first lane with limit keys on, the same.
const NEEDED_FOR_LIMITS: &str = "UPDATE callboard_meta SET value = 11 WHERE name = 'min_version' AND value < 11";
/// A statement of its own, behind the lock: it sees the tasks of those that held the lane before.
const OLD: &str = "DELETE FROM lanes AS l USING unnest($1::bigint[], $2::bigint[]) AS v (namespace, id) \
     WHERE l.namespace = v.namespace AND l.id = v.id AND NOT EXISTS \
     (SELECT 1 FROM tasks AS t WHERE t.namespace = l.namespace AND t.lane = l.id AND t.live)";

/// Those that go, then those that come: a lane in both lists stays, since a lane too many does no harm.
pub async fn save(transaction: &mut PgTransaction, changes: &ChangeSet) -> Result<()> {
    if !changes.removed_lanes.is_empty() {
        let gone: BTreeSet<LaneRef> = changes.removed_lanes.iter().copied().collect();
        transaction.fetch(LOCK, refs(&gone)).await?;
        transaction.execute(OLD, refs(&gone)).await?;
        transaction.lanes.retain(|lane| !gone.contains(lane));
    }
    if !changes.lanes.is_empty() {
        if take_resources(&changes.lanes) {
            transaction.execute(NEEDED, Values::default()).await?;
        }
        if have_limit_keys(&changes.lanes) {
            transaction.execute(NEEDED_FOR_LIMITS, Values::default()).await?;
        }
        let mut lanes: Vec<_> = changes.lanes.iter().collect();
        // In one order: two transactions may bring the same ones.
        lanes.sort_by_key(|lane| (lane.namespace, lane.id));
        let values = Values::default()
            .each(&lanes, |lane| lane.namespace.0)
            .each(&lanes, |lane| lane.id.0)
            .each_made(&lanes, |lane| to_json(&lane.key));
        transaction.execute(NEW, values).await?;
    }
    Ok(())
}

/// Lanes that a task enters, and that were loaded: they are to be held until the end.
pub fn entered(transaction: &PgTransaction, changes: &ChangeSet) -> Vec<LaneRef> {
    let enters =
        |task: &&ChangedTask| task.row.is_live() && (task.expected == 0 || task.spec_changed || task.row.run > 1);
    let entered = changes.tasks.iter().filter(enters).map(|task| (task.row.namespace, task.row.lane));
    let entered: BTreeSet<LaneRef> = entered.filter(|lane| transaction.lanes.contains(lane)).collect();
    entered.into_iter().collect()
}

fn refs(lanes: &BTreeSet<LaneRef>) -> Values {
    let lanes: Vec<LaneRef> = lanes.iter().copied().collect();
    Values::default()
        .one(lanes.iter().map(|(namespace, _)| namespace.0).collect::<Vec<_>>())
        .one(lanes.iter().map(|(_, lane)| lane.0).collect::<Vec<_>>())
}
