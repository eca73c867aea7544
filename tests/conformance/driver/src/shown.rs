//! What the SDK gave, as lines have it: the objects at the end of "Clients" in DRIVER.md.

use crate::value::Any;
use callboard::{Error, OutputChunk, v1};
use serde_json::{Value, json};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// An error that a call gave.
pub fn error(error: &Error) -> Value {
    let kind = match error {
        Error::InvalidArgument(_) => "InvalidArgument",
        Error::NotFound(_) => "NotFound",
        Error::AlreadyExists(_) => "AlreadyExists",
        Error::FailedPrecondition(_) => "FailedPrecondition",
        Error::PermissionDenied(_) => "PermissionDenied",
        Error::ResourceExhausted(_) => "ResourceExhausted",
        Error::Unavailable(_) => "Unavailable",
        Error::DeadlineExceeded(_) => "DeadlineExceeded",
        Error::TaskFailed(failed) => {
            return json!({ "kind": "TaskFailed", "message": error.to_string(), "task": task(failed) });
        }
        Error::Decode(_) => "Decode",
        _ => "Other",
    };
    let violations = error.violations().iter().map(|one| json!({ "field": one.field, "description": one.description }));
    let retry_after = error.call().and_then(|call| call.retry_after).map(milliseconds);
    json!({
        "kind": kind, "code": error.code().map(code_name).unwrap_or_default(), "reason": error.reason(),
        "message": error.to_string(), "violations": violations.collect::<Vec<_>>(), "retry_after_ms": retry_after,
    })
}

/// `NotFound` as `NOT_FOUND`.
fn code_name(code: impl std::fmt::Debug) -> String {
    let mut name = String::new();
    for letter in format!("{code:?}").chars() {
        if letter.is_uppercase() && !name.is_empty() {
            name.push('_');
        }
        name.push(letter.to_ascii_uppercase());
    }
    name
}

/// A RECEIPT.
pub fn receipt(receipt: &callboard::Receipt) -> Value {
    json!({ "task_id": receipt.task_id, "state": state(receipt.state()), "run": receipt.run, "existing": receipt.existing })
}

/// A TASK.
pub fn task(task: &v1::Task) -> Value {
    let spec = task.spec.clone().unwrap_or_default();
    json!({
        "task_id": task.id, "type": spec.r#type, "key": spec.key, "state": state(task.state()),
        "priority": bare(spec.priority().as_str_name(), "PRIORITY_"), "run": task.run, "attempt": task.attempt,
        "attempts_used": task.attempts_used, "agent": task.agent, "tags": spec.tags, "phase": task.phase,
        "progress": task.progress, "cancel_requested": task.cancel_requested,
        "failure": task.failure.as_ref().map(failure),
        "parent": task.parent.as_ref().map(|parent| &parent.task_id), "paused_for": paused_for(task.paused_for()),
        "fallback": task.fallback,
    })
}

fn paused_for(reason: v1::PauseReason) -> Option<String> {
    match reason {
        v1::PauseReason::Unspecified => None,
        known => Some(bare(known.as_str_name(), "PAUSE_REASON_")),
    }
}

/// A child of a run.
pub fn child(child: &v1::Child) -> Value {
    let state = child.task.as_ref().map(|task| state(task.state()));
    json!({ "name": child.name, "occurrence": child.occurrence, "task_id": child.task_id, "state": state,
            "on_parent_end": bare(child.on_parent_end().as_str_name(), "PARENT_END_ACTION_") })
}

/// A CHUNK.
pub fn chunk(chunk: &OutputChunk) -> callboard::Result<Value> {
    let value = Any::of_payload(chunk.payload())?.line();
    Ok(json!({ "offset": chunk.offset(), "value": value, "attempt": chunk.attempt() }))
}

/// A FAILURE.
fn failure(failure: &v1::Failure) -> Value {
    let details =
        failure.details.as_ref().map(|details| Any::of_payload(Some(details)).map_or(Value::Null, |any| any.line()));
    json!({
        "type": failure.r#type, "message": failure.message, "retryable": failure.retryable.unwrap_or(true),
        "retry_after_ms": failure.retry_after.as_ref().map(span_ms),
        "details": details, "cause": failure.cause.as_deref().map(self::failure),
    })
}

/// A WORKFLOW.
pub fn workflow(workflow: &v1::Workflow) -> Value {
    json!({
        "workflow_id": workflow.id, "name": workflow.name, "description": workflow.description,
        "state": bare(workflow.state().as_str_name(), "WORKFLOW_STATE_"), "tasks": workflow.tasks,
        "open_tasks": workflow.open_tasks, "completed_tasks": workflow.completed_tasks,
        "failed_tasks": workflow.failed_tasks, "cancelled_tasks": workflow.cancelled_tasks,
        "skipped_tasks": workflow.skipped_tasks, "progress": workflow.progress,
        "cancel_requested": workflow.cancel_requested, "held": workflow.held, "tags": workflow.tags, "metadata": workflow.metadata,
    })
}

/// A forecast of a workflow.
pub fn forecast(forecast: &v1::WorkflowForecast) -> Value {
    let critical_path = forecast.critical_path.iter().map(|task| {
        json!({ "task_id": task.task_id, "name": task.name, "type": task.r#type, "state": state(task.state()),
                "expected_duration_ms": task.expected_duration.as_ref().map(span_ms),
                "expected_start_ms": task.expected_start.as_ref().map(instant_ms),
                "expected_end_ms": task.expected_end.as_ref().map(instant_ms) })
    });
    json!({
        "expected_end_ms": forecast.expected_end.as_ref().map(instant_ms),
        "critical_path": critical_path.collect::<Vec<_>>(), "unknown_types": forecast.unknown_types,
    })
}

/// A task of a workflow.
pub fn workflow_task(task: &v1::Task) -> Value {
    let spec = task.spec.clone().unwrap_or_default();
    let link = task.workflow.clone().unwrap_or_default();
    let depends_on = spec.dependencies.iter().map(|one| {
        json!({ "task_id": one.task_id, "name": one.name,
                "condition": bare(one.condition().as_str_name(), "DEPENDENCY_CONDITION_"),
                "on_failure": bare(one.on_failure().as_str_name(), "DEPENDENCY_FAILURE_ACTION_") })
    });
    json!({
        "name": link.name, "task_id": task.id, "type": spec.r#type, "state": state(task.state()),
        "allow_failure": link.allow_failure, "weight": link.weight, "tasks_behind": link.tasks_behind,
        "depends_on": depends_on.collect::<Vec<_>>(),
    })
}

/// An EVENT.
pub fn event(event: &v1::Event) -> Value {
    json!({
        "task_id": event.task_id, "sequence": event.sequence, "type": bare(event.r#type().as_str_name(), "EVENT_TYPE_"),
        "state": state(event.state()), "run": event.run, "attempt": event.attempt, "agent": event.agent, "reason": event.reason,
    })
}

/// An AGENT.
pub fn agent(agent: &v1::Agent) -> Value {
    let profile = agent.profile.clone().unwrap_or_default();
    json!({
        "name": profile.name, "agent_type": profile.agent_type, "role": profile.role,
        "state": bare(agent.state().as_str_name(), "AGENT_STATE_"), "slots": profile.slots, "cordoned": agent.cordoned,
        "session_epoch": agent.session_epoch,
    })
}

/// A CLAIM.
pub fn claim(assignment: &v1::Assignment) -> callboard::Result<Value> {
    let attempt = assignment.attempt.clone().unwrap_or_default();
    let spec = assignment.spec.clone().unwrap_or_default();
    let checkpoint = match &assignment.checkpoint {
        Some(checkpoint) => Any::of_payload(Some(checkpoint))?.line(),
        None => Value::Null,
    };
    Ok(json!({ "task_id": attempt.task_id, "attempt": attempt.attempt, "type": spec.r#type,
               "input": Any::of_payload(spec.input.as_ref())?.line(), "checkpoint": checkpoint }))
}

/// A MESSAGE.
pub fn message(message: &v1::Message) -> callboard::Result<Value> {
    let to = match message.to.as_ref().and_then(|address| address.to.clone()) {
        Some(v1::address::To::Agent(agent)) => agent,
        None => String::new(),
    };
    Ok(json!({ "message_id": message.id, "sequence": message.sequence, "to": to, "from_agent": message.agent,
               "body": Any::of_payload(message.payload.as_ref())?.line(), "headers": message.headers }))
}

/// How a dependency ended.
pub fn dependency(result: &v1::DependencyResult) -> callboard::Result<Value> {
    let value = match &result.result {
        Some(payload) => Any::of_payload(Some(payload))?.line(),
        None => Value::Null,
    };
    Ok(
        json!({ "task_id": result.task_id, "type": result.r#type, "key": result.key, "name": result.name, "state": state(result.state()), "value": value }),
    )
}

/// A state's name without its prefix.
pub fn state(state: v1::TaskState) -> String {
    bare(state.as_str_name(), "TASK_STATE_")
}

/// An enum value's name without its prefix.
pub fn bare(name: &str, prefix: &str) -> String {
    name.strip_prefix(prefix).unwrap_or(name).to_owned()
}

/// In whole milliseconds.
pub fn span_ms(span: &prost_types::Duration) -> i64 {
    span.seconds * 1000 + i64::from(span.nanos) / 1_000_000
}

/// Since 1970, in milliseconds.
pub fn instant_ms(time: &prost_types::Timestamp) -> i64 {
    time.seconds * 1000 + i64::from(time.nanos) / 1_000_000
}

/// In whole milliseconds.
pub fn milliseconds(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}

/// Since 1970.
pub fn at_ms(time: SystemTime) -> u64 {
    milliseconds(time.duration_since(UNIX_EPOCH).unwrap_or_default())
}
