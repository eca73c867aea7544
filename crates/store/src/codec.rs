//! What rows hold as JSON, and the numbers that stand for names. Every store that keeps rows outside the process uses it.

use crate::{Error, Result};
use callboard_core::model::task::{Closed, Progress, TaskState};
use callboard_core::model::{
    AgentId, Condition, Content, Edge, Lane, LaneId, LastCheckpoint, NamespaceId, OnFailure, OnParentEnd, Pause,
    Payload, Slot, Span, StateName, Task, TaskId, TaskSpec, Timestamp,
};
use callboard_core::working_set::{PayloadValue, PayloadWrite, TaskRef};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;

/// The newest version of a row's own data that this program reads, and the one that it writes.
pub const FORMAT: i64 = 1;

/// The same of an edge that has a condition.
pub const CONDITION_FORMAT: i64 = 2;

/// The same of a workflow that is held.
pub const HOLD_FORMAT: i64 = 2;

/// Refuses a row that a newer program wrote.
pub fn readable(format: i64, what: &str) -> Result<()> {
    readable_up_to(FORMAT, format, what)
}

/// Refuses an edge that a newer program wrote.
pub fn readable_edge(format: i64) -> Result<()> {
    readable_up_to(CONDITION_FORMAT, format, "edges")
}

/// Refuses a workflow that a newer program wrote.
pub fn readable_workflow(format: i64) -> Result<()> {
    readable_up_to(HOLD_FORMAT, format, "workflows")
}

fn readable_up_to(known: i64, format: i64, what: &str) -> Result<()> {
    if format <= known {
        return Ok(());
    }
    let text = format!("a row of {what} has format {format}, this version of callboard reads {known}; use a newer one");
    Err(Error::Corrupt(text))
}

/// The format of an edge, and its condition as its row has it.
pub fn condition_columns(edge: &Edge) -> Result<(i64, Option<String>)> {
    match &edge.terms.condition {
        Condition::Completed => Ok((FORMAT, None)),
        condition => Ok((CONDITION_FORMAT, Some(to_json(condition)?))),
    }
}

/// Whether any of these edges has a condition that older versions don't know.
pub fn have_conditions(edges: &[Edge]) -> bool {
    edges.iter().any(|edge| edge.terms.condition != Condition::Completed)
}

/// Whether tasks of any of these lanes take resources, which older versions don't know.
pub fn take_resources(lanes: &[Lane]) -> bool {
    lanes.iter().any(|lane| !lane.key.resources.is_empty())
}

/// Whether tasks of any of these lanes have limit keys, which older versions don't know.
pub fn have_limit_keys(lanes: &[Lane]) -> bool {
    lanes.iter().any(|lane| !lane.key.limit_keys.is_empty())
}

/// Writes JSON.
pub fn to_json<T: Serialize + ?Sized>(value: &T) -> Result<String> {
    serde_json::to_string(value).map_err(|error| Error::Data(error.to_string()))
}

/// Reads what [`to_json`] wrote.
pub fn from_json<T: DeserializeOwned>(text: &str, what: &str) -> Result<T> {
    serde_json::from_str(text).map_err(|error| Error::Corrupt(format!("{what}: {error}")))
}

/// The number of a state in events. A version that knows no pauses would take a number of their own for damage: see
/// [`crate::facts`].
pub fn state_code(state: StateName) -> i64 {
    match state {
        StateName::Waiting => 0,
        StateName::Ready => 1,
        StateName::Assigned => 2,
        StateName::Running | StateName::Paused => 3,
        StateName::Completed => 4,
        StateName::Failed => 5,
        StateName::Cancelled => 6,
        StateName::Skipped => 7,
    }
}

/// The state of a number.
pub fn state_of(code: i64) -> Result<StateName> {
    let known = StateName::ALL.into_iter().find(|state| state_code(*state) == code);
    known.ok_or_else(|| Error::Corrupt(format!("there is no task state {code}")))
}

/// The numbers of a state in the column of tasks, by which lists and counts are made; the state itself is in the row's JSON. Above
/// 4 an index has those that ended without a result.
pub fn column_codes(state: StateName) -> &'static [i64] {
    match state {
        StateName::Waiting => &[0],
        StateName::Ready => &[1],
        StateName::Assigned => &[2],
        StateName::Running => &[3],
        StateName::Paused => &[PAUSED, AWAITS_SLOT],
        StateName::Completed => &[4],
        StateName::Failed => &[5],
        StateName::Cancelled => &[6],
        StateName::Skipped => &[7],
    }
}

const PAUSED: i64 = -1;
const AWAITS_SLOT: i64 = -2;

/// The number of a task's state in its column.
pub fn column_code(state: &TaskState) -> i64 {
    match state.pause() {
        Some(Pause { resuming: None, .. }) => PAUSED,
        Some(Pause { resuming: Some(_), .. }) => AWAITS_SLOT,
        None => state_code(state.name()),
    }
}

/// The state of a number in the column of tasks.
pub fn column_state(code: i64) -> Result<StateName> {
    if code == PAUSED || code == AWAITS_SLOT { Ok(StateName::Paused) } else { state_of(code) }
}

/// What a leased task is to its agent's slots, by the number in its column.
pub fn slot_of(code: i64) -> Slot {
    match code {
        PAUSED => Slot::Free,
        AWAITS_SLOT => Slot::Awaited,
        _ => Slot::Taken,
    }
}

/// The condition of a list on the column of tasks: the numbers of these states, divided by commas.
pub fn column_list(states: &[StateName]) -> String {
    let codes = states.iter().flat_map(|state| column_codes(*state)).map(i64::to_string);
    codes.collect::<Vec<_>>().join(",")
}

/// Whether they are states of tasks that ended without a result.
pub fn are_unsuccessful(states: &[StateName]) -> bool {
    !states.is_empty() && states.iter().all(|state| state.is_final() && *state != StateName::Completed)
}

/// The number of an edge's policy.
pub fn on_failure_code(on_failure: OnFailure) -> i64 {
    match on_failure {
        OnFailure::Skip => 0,
        OnFailure::Fail => 1,
    }
}

/// The policy of a number.
pub fn on_failure_of(code: i64) -> Result<OnFailure> {
    match code {
        0 => Ok(OnFailure::Skip),
        1 => Ok(OnFailure::Fail),
        _ => Err(Error::Corrupt(format!("there is no dependency policy {code}"))),
    }
}

/// The number of what becomes of a child.
pub fn on_parent_end_code(on_parent_end: OnParentEnd) -> i64 {
    match on_parent_end {
        OnParentEnd::Cancel => 0,
        OnParentEnd::Detach => 1,
    }
}

/// What a number says of a child.
pub fn on_parent_end_of(code: i64) -> Result<OnParentEnd> {
    match code {
        0 => Ok(OnParentEnd::Cancel),
        1 => Ok(OnParentEnd::Detach),
        _ => Err(Error::Corrupt(format!("there is nothing {code} that becomes of a child"))),
    }
}

/// A payload's metadata; none when there is nothing in it.
pub fn metadata_json(metadata: &BTreeMap<String, String>) -> Result<Option<String>> {
    if metadata.is_empty() { Ok(None) } else { to_json(metadata).map(Some) }
}

/// A payload from its columns.
pub fn payload(content_type: String, metadata: Option<&str>, content: Content) -> Result<Arc<Payload>> {
    let metadata = metadata.map(|text| from_json(text, "a payload's metadata")).transpose()?.unwrap_or_default();
    Ok(Arc::new(Payload { content_type, metadata, content }))
}

/// The number of a payload's kind: result, checkpoint, failure.
fn kind(value: &PayloadValue) -> i64 {
    match value {
        PayloadValue::Result(_) => 0,
        PayloadValue::Checkpoint(_) => 1,
        PayloadValue::Failure(_) => 2,
    }
}

/// A payload, with its task and the number of its kind.
pub type LastPayload<'a> = ((TaskRef, i64), &'a PayloadValue);

/// Only the last of each kind.
pub fn last_of_each(payloads: &[PayloadWrite]) -> Vec<LastPayload<'_>> {
    let last: BTreeMap<(TaskRef, i64), &PayloadValue> =
        payloads.iter().map(|write| (((write.namespace, write.task), kind(&write.value)), &write.value)).collect();
    last.into_iter().collect()
}

/// The columns of a task's row that are not its JSON.
pub struct TaskColumns {
    /// Its namespace.
    pub namespace: NamespaceId,
    /// Its id.
    pub id: TaskId,
    /// Its version.
    pub version: i64,
    /// Its lane.
    pub lane: LaneId,
    /// The agent that has it, or had it last.
    pub agent_name: Option<String>,
    /// Who created it.
    pub created_by: String,
    /// When.
    pub created_at: Timestamp,
}

/// The JSON of a task's row: what no query asks for.
#[derive(Serialize)]
struct TaskData<'a> {
    state: Cow<'a, TaskState>,
    /// A paused task stands here as a running one with its pause beside it. A version that knows no pauses goes on with the running
    /// one, and drops the pause when it writes the row: then the attempt's times run again, and its slot counts.
    #[serde(skip_serializing_if = "Option::is_none")]
    pause: Option<Pause>,
    run: u32,
    opened: Timestamp,
    #[serde(skip_serializing_if = "is_zero")]
    attempt: u32,
    #[serde(skip_serializing_if = "is_zero")]
    used: u32,
    #[serde(skip_serializing_if = "is_zero")]
    lost: u32,
    #[serde(skip_serializing_if = "is_zero")]
    handed_back: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    avoid: Option<AgentId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    failed_at: Option<AgentId>,
    /// A version that knows no fallbacks drops it, and leaves the task in its lane: it falls back to there again.
    #[serde(skip_serializing_if = "is_zero")]
    fallback: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    fallbacks_anew: Option<Timestamp>,
    /// A version that does not know it drops it: then a wish to be near to an agent, or apart from it, is none.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    dependency_agents: &'a BTreeMap<Arc<str>, Arc<str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    progress: Option<&'a Progress>,
    #[serde(skip_serializing_if = "Option::is_none")]
    closed: Option<&'a Closed>,
    #[serde(skip_serializing_if = "is_false")]
    checkpoint: bool,
    /// A version that does not know it drops it: then a repetition of that checkpoint is an event.
    #[serde(skip_serializing_if = "Option::is_none")]
    last_checkpoint: Option<LastCheckpoint>,
    #[serde(skip_serializing_if = "is_zero")]
    dependencies: u32,
    #[serde(skip_serializing_if = "is_false")]
    dependents: bool,
    /// It has dependents and no children. A version that knows no children keeps the former and drops this: then its children are
    /// looked for, though it may have none.
    #[serde(skip_serializing_if = "is_false")]
    childless: bool,
    #[serde(skip_serializing_if = "is_false")]
    releasing: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    started: Option<Timestamp>,
    last_event: i64,
}

/// [`TaskData`] as it is read.
#[derive(Deserialize)]
struct OwnedTaskData {
    state: TaskState,
    pause: Option<Pause>,
    run: u32,
    opened: Timestamp,
    #[serde(default)]
    attempt: u32,
    #[serde(default)]
    used: u32,
    #[serde(default)]
    lost: u32,
    #[serde(default)]
    handed_back: u32,
    avoid: Option<AgentId>,
    failed_at: Option<AgentId>,
    #[serde(default)]
    fallback: u32,
    fallbacks_anew: Option<Timestamp>,
    #[serde(default)]
    dependency_agents: BTreeMap<Arc<str>, Arc<str>>,
    progress: Option<Progress>,
    closed: Option<Closed>,
    #[serde(default)]
    checkpoint: bool,
    last_checkpoint: Option<LastCheckpoint>,
    #[serde(default)]
    dependencies: u32,
    #[serde(default)]
    dependents: bool,
    #[serde(default)]
    childless: bool,
    #[serde(default)]
    releasing: bool,
    started: Option<Timestamp>,
    last_event: i64,
}

/// How long a task took that has completed: see [`crate::durations::took`].
pub fn time_taken(data: &str) -> Result<Option<Span>> {
    #[derive(Deserialize)]
    struct Times {
        state: TaskState,
        started: Option<Timestamp>,
    }
    let Times { state, started } = from_json(data, "a task's data")?;
    Ok(crate::durations::took(&state, started))
}

fn is_zero(n: &u32) -> bool {
    *n == 0
}

fn is_false(b: &bool) -> bool {
    !b
}

/// A state as rows have it, and the pause beside it.
fn stored_state(state: &TaskState) -> (Cow<'_, TaskState>, Option<Pause>) {
    match state {
        TaskState::Paused { lease, cancelling, pause } => {
            let (lease, cancelling) = (lease.clone(), cancelling.clone());
            (Cow::Owned(TaskState::Running { lease, heard_at: pause.since, cancelling }), Some(*pause))
        }
        state => (Cow::Borrowed(state), None),
    }
}

/// A state from what rows have.
fn state_from(stored: TaskState, pause: Option<Pause>) -> TaskState {
    match (stored, pause) {
        (TaskState::Running { lease, cancelling, .. }, Some(pause)) => TaskState::Paused { lease, cancelling, pause },
        (state, _) => state,
    }
}

/// The JSON of a task's row.
pub fn task_data(task: &Task) -> Result<String> {
    let (state, pause) = stored_state(&task.state);
    to_json(&TaskData {
        state,
        pause,
        run: task.run,
        opened: task.run_opened_at,
        attempt: task.attempt,
        used: task.attempts_used,
        lost: task.lost_in_row,
        handed_back: task.handed_back,
        avoid: task.avoid,
        failed_at: task.failed_at,
        fallback: task.fallback,
        fallbacks_anew: task.fallbacks_anew,
        dependency_agents: &task.dependency_agents,
        progress: (task.progress != Progress::default()).then_some(&task.progress),
        closed: task.closed.as_ref(),
        checkpoint: task.has_checkpoint,
        last_checkpoint: task.last_checkpoint,
        dependencies: task.dependencies,
        dependents: task.has_dependents,
        childless: task.has_dependents && !task.has_children,
        releasing: task.releasing,
        started: task.started_at,
        last_event: task.last_event,
    })
}

/// A task from its row.
pub fn task(columns: TaskColumns, data: &str, spec: &str) -> Result<Task> {
    let data: OwnedTaskData = from_json(data, "a task's data")?;
    let spec: TaskSpec = from_json(spec, "a task's spec")?;
    Ok(Task {
        namespace: columns.namespace,
        id: columns.id,
        spec: Arc::new(spec),
        lane: columns.lane,
        state: state_from(data.state, data.pause),
        run: data.run,
        run_opened_at: data.opened,
        attempt: data.attempt,
        attempts_used: data.used,
        lost_in_row: data.lost,
        handed_back: data.handed_back,
        avoid: data.avoid,
        failed_at: data.failed_at,
        fallback: data.fallback,
        fallbacks_anew: data.fallbacks_anew,
        dependency_agents: data.dependency_agents,
        agent_name: columns.agent_name.map(Into::into),
        progress: data.progress.unwrap_or_default(),
        closed: data.closed,
        has_checkpoint: data.checkpoint,
        last_checkpoint: data.last_checkpoint,
        dependencies: data.dependencies,
        has_dependents: data.dependents,
        has_children: data.dependents && !data.childless,
        releasing: data.releasing,
        created_by: columns.created_by.into(),
        created_at: columns.created_at,
        started_at: data.started,
        last_event: data.last_event,
        version: columns.version,
        input: None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use callboard_core::model::{Lease, LeaseToken};
    use uuid::Uuid;

    fn read(data: &str) -> Task {
        let columns = TaskColumns {
            namespace: NamespaceId(1),
            id: TaskId(Uuid::nil()),
            version: 1,
            lane: LaneId(1),
            agent_name: None,
            created_by: "p".into(),
            created_at: Timestamp(0),
        };
        let policy = r#"{"max_attempts":3,"initial_backoff":1,"multiplier":2.0,"max_backoff":1}"#;
        let spec = format!(
            r#"{{"type":"t","priority":"normal","retry_policy":{policy},"timeouts":{{"start_to_close":300000000}}}}"#
        );
        task(columns, data, &spec).unwrap()
    }

    /// It keeps that there are dependents, and drops what it does not know.
    #[test]
    fn behind_a_version_that_knows_no_children_they_are_looked_for() {
        let begin = r#"{"state":{"state":"ready","since":0},"run":1,"opened":0,"last_event":1"#;
        let none = read(&format!("{begin}}}"));
        assert_eq!((none.has_dependents, none.has_children), (false, false));
        let dropped = read(&format!(r#"{begin},"dependents":true}}"#));
        assert_eq!((dropped.has_dependents, dropped.has_children), (true, true));
        let known = Task { has_children: false, ..dropped };
        let again = read(&task_data(&known).unwrap());
        assert_eq!((again.has_dependents, again.has_children), (true, false));
    }

    /// What a version reads of a task that knows no pauses.
    #[derive(Serialize, Deserialize)]
    struct Before {
        state: TaskState,
    }

    #[test]
    fn a_version_that_knows_no_pauses_reads_a_running_task_and_may_write_it() {
        let agent = AgentId(Uuid::from_u128(1));
        let lease = Lease { agent, epoch: 1, token: LeaseToken(1), assigned_at: Timestamp(1), claim: None };
        let pause = Pause { since: Timestamp(5), resuming: Some(Timestamp(7)) };
        let paused = TaskState::Paused { lease: lease.clone(), cancelling: None, pause };
        let (state, beside) = stored_state(&paused);
        assert_eq!(state_from(state.clone().into_owned(), beside), paused);
        #[derive(Serialize)]
        struct Now<'a> {
            state: &'a TaskState,
            pause: Option<Pause>,
        }
        let written = to_json(&Now { state: &state, pause: beside }).unwrap();
        let Before { state } = from_json(&written, "a task's data").unwrap();
        let running = TaskState::Running { lease, heard_at: Timestamp(5), cancelling: None };
        assert_eq!(state, running);
        assert_eq!(state_from(state, None), running, "without its pause it runs");
        assert!(to_json(&paused).is_err(), "never in rows as it is");
    }

    #[test]
    fn numbers_of_states_tell_them_apart() {
        let mut all: Vec<i64> = StateName::ALL.iter().flat_map(|state| column_codes(*state)).copied().collect();
        for state in StateName::ALL {
            assert!(column_codes(state).iter().all(|code| column_state(*code).unwrap() == state), "{state:?}");
            // An index has those that ended without a result.
            assert_eq!(are_unsuccessful(&[state]), column_codes(state).iter().all(|code| *code > 4), "{state:?}");
        }
        all.sort_unstable();
        all.dedup();
        assert_eq!(all.len(), StateName::ALL.len() + 1);
    }
}
