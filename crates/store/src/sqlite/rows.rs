//! Rows from columns: which columns stand where, and what they mean.

use super::convert::{agent_id, content, get, namespace_id, small, task_id, time};
use crate::codec::{self, TaskColumns, from_json, on_failure_of, readable};
use crate::{Error, Result, SavedPayload};
use callboard_core::model::{
    Agent, Content, Edge, Failure, Lane, LaneId, Namespace, Payload, RequestKey, RequestRecord, Task,
};
use sqlx::sqlite::SqliteRow;
use std::sync::Arc;

/// The columns of [`task`], of `tasks AS t` and `task_specs AS s`.
macro_rules! task_columns {
    () => {
        "t.namespace, t.id, t.version, t.lane, t.agent_name, t.created_at, t.data, t.format, s.created_by, s.spec, s.format"
    };
}
pub(super) use task_columns;

/// How many columns [`task_columns`] has.
pub const TASK_COLUMNS: usize = 11;

/// A task, without its input.
pub fn task(row: &SqliteRow) -> Result<Task> {
    readable(get(row, 7)?, "tasks")?;
    readable(get(row, 10)?, "task_specs")?;
    let columns = TaskColumns {
        namespace: namespace_id(row, 0)?,
        id: task_id(row, 1)?,
        version: get(row, 2)?,
        lane: LaneId(get(row, 3)?),
        agent_name: get(row, 4)?,
        created_at: time(row, 5)?,
        created_by: get(row, 8)?,
    };
    codec::task(columns, get(row, 6)?, get(row, 9)?)
}

/// The columns of a payload from `first`: content type, metadata, content. `None` where the join found nothing.
pub fn payload(row: &SqliteRow, first: usize) -> Result<Option<Arc<Payload>>> {
    let Some(content_type) = get(row, first)? else { return Ok(None) };
    let metadata: Option<&str> = get(row, first + 1)?;
    let content = content(row, first + 2)?.ok_or_else(|| Error::Corrupt("a payload has no content".into()))?;
    codec::payload(content_type, metadata, content).map(Some)
}

/// A failure's columns, which are a payload's.
pub fn failure(row: &SqliteRow, first: usize) -> Result<Option<Arc<Failure>>> {
    match content(row, first + 2)? {
        None => Ok(None),
        Some(Content::Text(text)) => from_json(&text, "a failure").map(Arc::new).map(Some),
        Some(Content::Binary(_)) => Err(Error::Corrupt("a failure is not text".into())),
    }
}

/// Result, checkpoint and failure from `first`: three payloads.
pub fn saved(row: &SqliteRow, first: usize) -> Result<SavedPayload> {
    let (result, checkpoint) = (payload(row, first)?, payload(row, first + 3)?);
    Ok(SavedPayload { result, checkpoint, failure: failure(row, first + 6)? })
}

/// The columns of [`namespace`].
macro_rules! namespace_columns {
    () => {
        "id, name, version, created_at, settings, format"
    };
}
pub(super) use namespace_columns;

/// A namespace.
pub fn namespace(row: &SqliteRow) -> Result<Namespace> {
    readable(get(row, 5)?, "namespaces")?;
    let name: &str = get(row, 1)?;
    Ok(Namespace {
        id: namespace_id(row, 0)?,
        name: name.into(),
        version: get(row, 2)?,
        created_at: time(row, 3)?,
        settings: from_json(get(row, 4)?, "a namespace's settings")?,
    })
}

/// The columns of [`agent`], of `agents AS a`.
macro_rules! agent_columns {
    () => {
        "a.namespace, a.id, a.version, a.name, a.principal, a.cordoned, a.epoch, a.completed, a.failed, a.created_at, \
         a.attached_at, a.detached_at, a.session, a.profile, a.format"
    };
}
pub(super) use agent_columns;

/// How many columns [`agent_columns`] has.
pub const AGENT_COLUMNS: usize = 15;

/// An agent.
pub fn agent(row: &SqliteRow) -> Result<Agent> {
    readable(get(row, 14)?, "agents")?;
    let name: &str = get(row, 3)?;
    let session: Option<&str> = get(row, 12)?;
    let detached_at: Option<i64> = get(row, 11)?;
    Ok(Agent {
        namespace: namespace_id(row, 0)?,
        id: agent_id(row, 1)?,
        version: get(row, 2)?,
        name: name.into(),
        principal: get(row, 4)?,
        cordoned: get(row, 5)?,
        epoch: get(row, 6)?,
        completed: get(row, 7)?,
        failed: get(row, 8)?,
        created_at: time(row, 9)?,
        attached_at: time(row, 10)?,
        detached_at: detached_at.map(callboard_core::model::Timestamp),
        session: session.map(|text| from_json(text, "an agent's session")).transpose()?,
        profile: Arc::new(from_json(get(row, 13)?, "an agent's profile")?),
    })
}

/// A lane: namespace, id, key, format.
pub fn lane(row: &SqliteRow) -> Result<Lane> {
    readable(get(row, 3)?, "lanes")?;
    Ok(Lane {
        namespace: namespace_id(row, 0)?,
        id: LaneId(get(row, 1)?),
        key: from_json(get(row, 2)?, "a lane's key")?,
    })
}

/// The columns of [`edge`], of `edges AS e`.
macro_rules! edge_columns {
    () => {
        "e.namespace, e.source, e.target, e.ordinal, e.on_failure, e.resolved, e.format"
    };
}
pub(super) use edge_columns;

/// An edge.
pub fn edge(row: &SqliteRow) -> Result<Edge> {
    readable(get(row, 6)?, "edges")?;
    Ok(Edge {
        namespace: namespace_id(row, 0)?,
        source: task_id(row, 1)?,
        target: task_id(row, 2)?,
        ordinal: small(row, 3)?,
        on_failure: on_failure_of(get(row, 4)?)?,
        resolved: get(row, 5)?,
    })
}

/// A remembered answer: namespace, principal, method, request id, digest, reply, expiry, format.
pub fn request(row: &SqliteRow) -> Result<RequestRecord> {
    readable(get(row, 7)?, "requests")?;
    let key = RequestKey {
        namespace: namespace_id(row, 0)?,
        principal: get(row, 1)?,
        method: get(row, 2)?,
        request_id: get(row, 3)?,
    };
    Ok(RequestRecord { key, digest: get(row, 4)?, reply: get(row, 5)?, expires_at: time(row, 6)? })
}
