//! Saving what stands beside tasks: lanes, edges, payloads, events, answers.

use super::tasks::bind_payload;
use crate::Result;
use crate::codec::{
    LastPayload, condition_columns, have_conditions, have_limit_keys, on_failure_code, take_resources, to_json,
};
use crate::sqlite::error::sqlite_error;
use crate::sqlite::load::bind_task;
use crate::sqlite::many::{Binds, Many};
use crate::sqlite::script::Script;
use callboard_core::Settings;
use callboard_core::model::{Edge, Lane, NamespaceId, RequestRecord, TaskId};
use callboard_core::working_set::{ChangeSet, LaneRef, PayloadValue};
use sqlx::SqliteConnection;

static NEW_LANES: Many = Many::values(
    "INSERT OR ROLLBACK INTO lanes (namespace, id, key) SELECT * FROM (VALUES ",
    "(?,?,?)",
    ") WHERE column1 IS NOT NULL ON CONFLICT (namespace, id) DO NOTHING",
);
/// From the first lane with resources on, older programs are refused.
const NEEDED_FOR_RESOURCES: &str = "UPDATE OR ROLLBACK meta SET value = 12 WHERE name = 'min_version' AND value < 12";
/// From the first lane with limit keys on, older programs are refused.
const NEEDED_FOR_LIMITS: &str = "UPDATE OR ROLLBACK meta SET value = 13 WHERE name = 'min_version' AND value < 13";
static OLD_LANE: Many = Many::single("DELETE FROM lanes WHERE namespace = ? AND id = ?");
static NEW_EDGES: Many = Many::values(
    "INSERT OR ROLLBACK INTO edges (namespace, source, target, ordinal, on_failure, resolved, format, condition, name) SELECT * FROM (VALUES ",
    "(?,?,?,?,?,?,?,?,?)",
    ") WHERE column1 IS NOT NULL",
);
/// From the first edge with a condition on, older programs are refused.
const NEEDED: &str = "UPDATE OR ROLLBACK meta SET value = 8 WHERE name = 'min_version' AND value < 8";
static RESOLVED: Many = Many::values(
    "UPDATE OR ROLLBACK edges SET resolved = 1 FROM (VALUES ",
    "(?,?,?)",
    ") AS v WHERE namespace = v.column1 AND source = v.column2 AND target = v.column3",
);
static REOPENED: Many = Many::values(
    "UPDATE OR ROLLBACK edges SET resolved = 0 FROM (VALUES ",
    "(?,?,?)",
    ") AS v WHERE namespace = v.column1 AND source = v.column2 AND target = v.column3",
);
static PAYLOADS: Many = Many::values(
    "INSERT OR ROLLBACK INTO payloads (namespace, task, kind, content_type, metadata, content) SELECT * FROM (VALUES ",
    "(?,?,?,?,?,?)",
    ") WHERE column1 IS NOT NULL ON CONFLICT (namespace, task, kind) DO UPDATE SET content_type = excluded.content_type, \
     metadata = excluded.metadata, content = excluded.content, format = 1",
);
static REQUESTS: Many = Many::values(
    "INSERT OR ROLLBACK INTO requests (namespace, principal, method, request_id, digest, reply, remembered_at, expires_at) \
     SELECT * FROM (VALUES ",
    "(?,?,?,?,?,?,?,?)",
    ") WHERE column1 IS NOT NULL ON CONFLICT (namespace, principal, method, request_id) DO UPDATE SET \
     digest = excluded.digest, reply = excluded.reply, remembered_at = excluded.remembered_at, \
     expires_at = excluded.expires_at, format = 1 WHERE requests.expires_at <= excluded.remembered_at",
);

/// Those that go, then those that come: a lane in both lists stays, since a lane too many does no harm.
pub async fn save_lanes(connection: &mut SqliteConnection, changes: &ChangeSet) -> Result<()> {
    let bind = |binds: &mut Binds, lane: &LaneRef| {
        binds.add(lane.0.0)?;
        binds.add(lane.1.0)
    };
    OLD_LANE.execute(connection, &changes.removed_lanes, bind).await?;
    let bind = |binds: &mut Binds, lane: &Lane| {
        binds.add(lane.namespace.0)?;
        binds.add(lane.id.0)?;
        binds.add(to_json(&lane.key)?)
    };
    if take_resources(&changes.lanes) {
        sqlx::query(NEEDED_FOR_RESOURCES).execute(&mut *connection).await.map_err(sqlite_error)?;
    }
    if have_limit_keys(&changes.lanes) {
        sqlx::query(NEEDED_FOR_LIMITS).execute(&mut *connection).await.map_err(sqlite_error)?;
    }
    NEW_LANES.execute(connection, &changes.lanes, bind).await?;
    Ok(())
}

/// Whether edges came, or wait again: then all are saved by themselves, in their order.
pub fn has_other_edges(changes: &ChangeSet) -> bool {
    !changes.edges.is_empty() || !changes.reopened_edges.is_empty()
}

/// Those that were resolved, where no others changed.
pub fn save_resolved<'a>(script: &mut Script<'a>, resolved: &'a [(NamespaceId, TaskId, TaskId)]) {
    script.add(&RESOLVED, resolved, bind_edge, None);
}

/// New ones, then those resolved, then those that wait again: a task that waits once too often is told again, one that waits
/// for nothing would wait for ever.
pub async fn save_edges(connection: &mut SqliteConnection, changes: &ChangeSet) -> Result<()> {
    let bind = |binds: &mut Binds, edge: &Edge| {
        bind_edge(binds, &(edge.namespace, edge.source, edge.target))?;
        binds.add(edge.ordinal)?;
        binds.add(on_failure_code(edge.terms.on_failure))?;
        binds.add(edge.resolved)?;
        let (format, condition) = condition_columns(edge)?;
        binds.add(format)?;
        binds.add(condition)?;
        binds.add(edge.terms.name.clone())
    };
    if have_conditions(&changes.edges) {
        sqlx::query(NEEDED).execute(&mut *connection).await.map_err(sqlite_error)?;
    }
    NEW_EDGES.execute(connection, &changes.edges, bind).await?;
    RESOLVED.execute(connection, &changes.resolved_edges, bind_edge).await?;
    REOPENED.execute(connection, &changes.reopened_edges, bind_edge).await?;
    Ok(())
}

fn bind_edge(binds: &mut Binds, (namespace, source, target): &(NamespaceId, TaskId, TaskId)) -> Result<()> {
    binds.add(namespace.0)?;
    binds.id(source.0)?;
    binds.id(target.0)
}

/// Each in place of the one before.
pub fn save_payloads<'a>(script: &mut Script<'a>, payloads: &'a [LastPayload<'a>]) {
    let bind = |binds: &mut Binds, ((task, kind), value): &LastPayload<'_>| {
        bind_task(binds, task)?;
        binds.add(*kind)?;
        match value {
            PayloadValue::Result(payload) | PayloadValue::Checkpoint(payload) => bind_payload(binds, payload),
            PayloadValue::Failure(failure) => {
                binds.add("application/json")?;
                binds.add(None::<&str>)?;
                binds.add(to_json(&**failure)?)
            }
        }
    };
    script.add(&PAYLOADS, payloads, bind, None);
}

/// An answer that may be forgotten makes way for another under its key; one that may not is a conflict.
pub fn save_requests<'a>(script: &mut Script<'a>, requests: &'a [RequestRecord], settings: &'a Settings) {
    let bind = |binds: &mut Binds, record: &RequestRecord| {
        binds.add(record.key.namespace.0)?;
        binds.add(record.key.principal.as_str())?;
        binds.add(record.key.method.as_str())?;
        binds.add(record.key.request_id.as_str())?;
        binds.add(record.digest.as_slice())?;
        binds.add(record.reply.as_str())?;
        binds.add((record.expires_at - settings.remember_requests).0)?;
        binds.add(record.expires_at.0)
    };
    script.add(&REQUESTS, requests, bind, Some("answers"));
}

/// Every statement, to look at its plan.
#[cfg(test)]
pub fn statements() -> Vec<&'static Many> {
    vec![&NEW_LANES, &OLD_LANE, &NEW_EDGES, &RESOLVED, &REOPENED, &PAYLOADS, &REQUESTS]
}
