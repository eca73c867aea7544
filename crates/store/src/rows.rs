//! Rows from columns: which columns stand where, and what they mean.

use crate::codec::{self, TaskColumns, from_json, on_failure_of, on_parent_end_of, readable, readable_edge};
use crate::columns::Columns;
use crate::{Error, Result, SavedPayload};
use callboard_core::model::{
    Agent, ChildKey, Content, Edge, Failure, Lane, LaneId, LimitUse, Mailbox, Message, MessageId, MessageStub,
    Namespace, Payload, RequestKey, RequestRecord, Sender, StepKey, StepTotals, Task, TaskChild, TaskId, TaskStep,
    Terms, Timestamp,
};
use callboard_core::working_set::{ChildRef, LimitRef, MailboxRef, RunRef, StepRef, TaskRef};
use std::borrow::Cow;
use std::sync::Arc;

/// The columns of [`task`], of `tasks AS t` and `task_specs AS s`.
macro_rules! task_columns {
    () => {
        "t.namespace, t.id, t.version, t.lane, t.agent_name, t.created_at, t.data, t.format, s.created_by, s.spec, s.format"
    };
}
pub(crate) use task_columns;

/// How many columns [`task_columns`] has.
pub const TASK_COLUMNS: usize = 11;

/// A task, without its input.
pub fn task(row: &impl Columns) -> Result<Task> {
    readable(row.number(7)?, "tasks")?;
    readable(row.number(10)?, "task_specs")?;
    let columns = TaskColumns {
        namespace: row.namespace_id(0)?,
        id: row.task_id(1)?,
        version: row.number(2)?,
        lane: LaneId(row.number(3)?),
        agent_name: row.text_or_null(4)?.map(Cow::into_owned),
        created_at: row.time(5)?,
        created_by: row.text(8)?.into_owned(),
    };
    codec::task(columns, row.json(6)?, row.json(9)?)
}

/// The columns of a payload from `first`: content type, metadata, content. `None` where the join found nothing.
pub fn payload(row: &impl Columns, first: usize) -> Result<Option<Arc<Payload>>> {
    let Some(content_type) = row.text_or_null(first)? else { return Ok(None) };
    let content = row.content(first + 2)?.ok_or_else(|| Error::Corrupt("a payload has no content".into()))?;
    codec::payload(content_type.into_owned(), row.json_or_null(first + 1)?, content).map(Some)
}

/// A task by the first two columns.
pub fn task_ref(row: &impl Columns) -> Result<TaskRef> {
    Ok((row.namespace_id(0)?, row.task_id(1)?))
}

/// A failure's columns, which are a payload's.
pub fn failure(row: &impl Columns, first: usize) -> Result<Option<Arc<Failure>>> {
    match row.content(first + 2)? {
        None => Ok(None),
        Some(Content::Text(text)) => from_json(&text, "a failure").map(Arc::new).map(Some),
        Some(Content::Binary(_)) => Err(Error::Corrupt("a failure is not text".into())),
    }
}

/// Result, checkpoint and failure from `first`: three payloads.
pub fn saved<R: Columns>(row: &R, first: usize) -> Result<SavedPayload> {
    let (result, checkpoint) = (payload(row, first)?, payload(row, first + R::PAYLOAD)?);
    Ok(SavedPayload { result, checkpoint, failure: failure(row, first + 2 * R::PAYLOAD)? })
}

/// The columns of [`namespace`].
macro_rules! namespace_columns {
    () => {
        "id, name, version, created_at, settings, format"
    };
}
pub(crate) use namespace_columns;

/// A namespace.
pub fn namespace(row: &impl Columns) -> Result<Namespace> {
    readable(row.number(5)?, "namespaces")?;
    Ok(Namespace {
        id: row.namespace_id(0)?,
        name: row.text(1)?.into(),
        version: row.number(2)?,
        created_at: row.time(3)?,
        settings: from_json(row.json(4)?, "a namespace's settings")?,
    })
}

/// The columns of [`agent`], of `agents AS a`.
macro_rules! agent_columns {
    () => {
        "a.namespace, a.id, a.version, a.name, a.principal, a.cordoned, a.epoch, a.completed, a.failed, a.created_at, \
         a.attached_at, a.detached_at, a.session, a.profile, a.format"
    };
}
pub(crate) use agent_columns;

/// How many columns [`agent_columns`] has.
pub const AGENT_COLUMNS: usize = 15;

/// An agent.
pub fn agent(row: &impl Columns) -> Result<Agent> {
    readable(row.number(14)?, "agents")?;
    Ok(Agent {
        namespace: row.namespace_id(0)?,
        id: row.agent_id(1)?,
        version: row.number(2)?,
        name: row.text(3)?.into(),
        principal: row.text(4)?.into_owned(),
        cordoned: row.flag(5)?,
        epoch: row.number(6)?,
        completed: row.number(7)?,
        failed: row.number(8)?,
        created_at: row.time(9)?,
        attached_at: row.time(10)?,
        detached_at: row.number_or_null(11)?.map(Timestamp),
        session: row.json_or_null(12)?.map(|text| from_json(text, "an agent's session")).transpose()?,
        profile: Arc::new(from_json(row.json(13)?, "an agent's profile")?),
    })
}

/// A lane: namespace, id, key, format.
pub fn lane(row: &impl Columns) -> Result<Lane> {
    readable(row.number(3)?, "lanes")?;
    Ok(Lane {
        namespace: row.namespace_id(0)?,
        id: LaneId(row.number(1)?),
        key: from_json(row.json(2)?, "a lane's key")?,
    })
}

/// The columns of [`edge`], of `edges AS e`.
macro_rules! edge_columns {
    () => {
        "e.namespace, e.source, e.target, e.ordinal, e.on_failure, e.resolved, e.format, e.condition, e.name"
    };
}
pub(crate) use edge_columns;

/// An edge.
pub fn edge(row: &impl Columns) -> Result<Edge> {
    readable_edge(row.number(6)?)?;
    let condition = row.json_or_null(7)?.map(|text| from_json(text, "a condition")).transpose()?;
    Ok(Edge {
        namespace: row.namespace_id(0)?,
        source: row.task_id(1)?,
        target: row.task_id(2)?,
        ordinal: row.small(3)?,
        terms: Terms {
            condition: condition.unwrap_or_default(),
            on_failure: on_failure_of(row.number(4)?)?,
            name: row.text_or_null(8)?.map(Arc::from),
        },
        resolved: row.flag(5)?,
    })
}

/// A remembered answer: namespace, principal, method, request id, digest, reply, expiry, format.
pub fn request(row: &impl Columns) -> Result<RequestRecord> {
    readable(row.number(7)?, "requests")?;
    let key = RequestKey {
        namespace: row.namespace_id(0)?,
        principal: row.text(1)?.into_owned(),
        method: row.text(2)?.into_owned(),
        request_id: row.text(3)?.into_owned(),
    };
    let reply = row.text(5)?.into_owned();
    Ok(RequestRecord { key, digest: row.bytes(4)?.to_vec(), reply, expires_at: row.time(6)? })
}

/// A mailbox: namespace, agent, version, last sequence, messages, bytes, closed, format.
pub fn mailbox(row: &impl Columns) -> Result<Mailbox> {
    readable(row.number(7)?, "mailboxes")?;
    Ok(Mailbox {
        namespace: row.namespace_id(0)?,
        agent: row.agent_id(1)?,
        version: row.number(2)?,
        last_sequence: row.number(3)?,
        messages: row.number(4)?,
        bytes: row.number(5)?,
        closed: row.flag(6)?,
    })
}

/// A message without what it says: namespace, agent, sequence, id, bytes, expiry.
pub fn stub(row: &impl Columns) -> Result<MessageStub> {
    Ok(MessageStub {
        namespace: row.namespace_id(0)?,
        recipient: row.agent_id(1)?,
        sequence: row.number(2)?,
        id: MessageId(row.uuid(3)?),
        bytes: row.number(4)?,
        expires_at: row.time(5)?,
    })
}

/// The columns of [`message`].
macro_rules! message_columns {
    () => {
        "id, sequence, principal, sender, headers, sent_at, expires_at, format, content_type, metadata, content"
    };
}
pub(crate) use message_columns;

/// A message of a mailbox.
pub fn message(row: &impl Columns, (namespace, recipient): MailboxRef) -> Result<Message> {
    readable(row.number(7)?, "messages")?;
    let agent = row.text_or_null(3)?.map(Into::into);
    let headers = row.json_or_null(4)?.map(|text| from_json(text, "a message's headers")).transpose()?;
    let payload = payload(row, 8)?.ok_or_else(|| Error::Corrupt("a message has no content".into()))?;
    Ok(Message {
        namespace,
        id: MessageId(row.uuid(0)?),
        recipient,
        sequence: row.number(1)?,
        sender: Sender { principal: row.text(2)?.into(), agent },
        payload,
        headers: headers.unwrap_or_default(),
        sent_at: row.time(5)?,
        expires_at: row.time(6)?,
    })
}

/// The columns of [`step`].
macro_rules! step_columns {
    () => {
        "ordinal, name, occurrence, attempt, recorded_at, digest, bytes_so_far, format, content_type, metadata, content"
    };
}
pub(crate) use step_columns;

/// A step of a run; its columns stand behind a first one, how many steps the run has.
pub fn step(row: &impl Columns, (namespace, task, run): RunRef) -> Result<TaskStep> {
    readable(row.number(8)?, "steps")?;
    Ok(TaskStep {
        namespace,
        task,
        run,
        ordinal: row.small(1)?,
        key: StepKey { name: row.text(2)?.into(), occurrence: row.small(3)? },
        attempt: row.small(4)?,
        recorded_at: row.time(5)?,
        digest: row.number(6)?.cast_unsigned(),
        bytes_so_far: row.number(7)?.cast_unsigned(),
        result: payload(row, 9)?.ok_or_else(|| Error::Corrupt("a step has no result".into()))?,
    })
}

/// Which step is recorded, and its result's digest: namespace, task, run, name, occurrence, digest.
pub fn recorded_step(row: &impl Columns) -> Result<(StepRef, u64)> {
    let key = StepKey { name: row.text(3)?.into(), occurrence: row.small(4)? };
    Ok(((run(row)?, key), row.number(5)?.cast_unsigned()))
}

/// What a run has recorded: namespace, task, run, and of its last step the ordinal and the bytes so far.
pub fn step_totals(row: &impl Columns) -> Result<(RunRef, StepTotals)> {
    Ok((run(row)?, StepTotals { count: row.small(3)?, bytes: row.number(4)?.cast_unsigned() }))
}

/// The columns of [`child`] behind a task's, of `children AS c`.
macro_rules! child_columns {
    () => {
        "c.ordinal, c.name, c.occurrence, c.child, c.on_parent_end, c.format"
    };
}
pub(crate) use child_columns;

/// A child of a run, behind the columns of its task, which may be NULL.
pub fn child(row: &impl Columns, (namespace, parent, run): RunRef) -> Result<(TaskChild, Option<Task>)> {
    const FIRST: usize = TASK_COLUMNS;
    readable(row.number(FIRST + 5)?, "children")?;
    let child = TaskChild {
        namespace,
        parent,
        run,
        ordinal: row.small(FIRST)?,
        key: ChildKey { name: row.text(FIRST + 1)?.into(), occurrence: row.small(FIRST + 2)? },
        child: row.task_id(FIRST + 3)?,
        on_parent_end: on_parent_end_of(row.number(FIRST + 4)?)?,
    };
    let is_there = row.number_or_null(0)?.is_some();
    Ok((child, is_there.then(|| task(row)).transpose()?))
}

/// Which child there is: namespace, task, run, name, occurrence, child.
pub fn found_child(row: &impl Columns) -> Result<(ChildRef, TaskId)> {
    let key = ChildKey { name: row.text(3)?.into(), occurrence: row.small(4)? };
    Ok(((run(row)?, key), row.task_id(5)?))
}

/// A run: namespace, task, run.
pub fn run(row: &impl Columns) -> Result<RunRef> {
    Ok((row.namespace_id(0)?, row.task_id(1)?, row.small(2)?))
}

/// The columns of [`limit_use`], of `limit_uses AS u`.
macro_rules! limit_columns {
    () => {
        "u.namespace, u.key, u.version, u.in_use, u.due_at"
    };
}
pub(crate) use limit_columns;

/// What is used of a limit key.
pub fn limit_use(row: &impl Columns) -> Result<LimitUse> {
    let (namespace, key) = limit_ref(row)?;
    Ok(LimitUse { namespace, key, version: row.number(2)?, in_use: row.small(3)?, due_at: row.time(4)? })
}

/// A limit key by the first two columns.
pub fn limit_ref(row: &impl Columns) -> Result<LimitRef> {
    Ok((row.namespace_id(0)?, row.text(1)?.into()))
}
