//! The protocol's messages as JSON for programs.
//!
//! Every field of a message is there, under its name in the protocol: unset messages, times and optional fields as
//! `null`, empty lists as `[]`. Enum values are their names (see `names`), times RFC 3339 in UTC, durations seconds
//! with an `s`, 64-bit numbers numbers. A payload has its content under one of `json` (parsed; numbers keep their
//! digits), `text` and `base64`.

use std::collections::BTreeMap;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use callboard::v1::{
    Agent, AgentProfile, Child, Dependency, Event, Failure, Limit, LimitUse, Message, Namespace, NamespaceSettings,
    ParentLink, Payload, Requirements, RequirementsFallback, ResultCondition, RetryPolicy, Step, Task, TaskHandler,
    TaskReceipt, TaskSpec, Timeouts, Workflow, WorkflowLink, address::To, payload::Content,
};
use serde_json::{Value, json};

use super::{names, time};

/// A task. Where the protocol leaves input and result out, they are `null`.
pub fn task(task: &Task) -> Value {
    json!({
        "id": task.id,
        "namespace": task.namespace,
        "spec": optional(&task.spec, spec),
        "state": names::task_state(task.state),
        "waiting_for": each(&task.waiting_for, |&reason| names::wait_reason(reason)),
        "paused_for": names::pause_reason(task.paused_for),
        "fallback": task.fallback,
        "unmet_dependencies": task.unmet_dependencies,
        "run": task.run,
        "attempt": task.attempt,
        "attempts_used": task.attempts_used,
        "agent": task.agent,
        "phase": task.phase,
        "progress": task.progress,
        "progress_message": task.progress_message,
        "cancel_requested": task.cancel_requested,
        "result": optional(&task.result, payload),
        "failure": optional(&task.failure, failure),
        "created_at": optional(&task.created_at, time::rfc3339),
        "ready_at": optional(&task.ready_at, time::rfc3339),
        "started_at": optional(&task.started_at, time::rfc3339),
        "ended_at": optional(&task.ended_at, time::rfc3339),
        "next_at": optional(&task.next_at, time::rfc3339),
        "created_by": task.created_by,
        "version": task.version,
        "parent": optional(&task.parent, parent),
        "workflow": optional(&task.workflow, workflow_link),
    })
}

fn spec(spec: &TaskSpec) -> Value {
    json!({
        "type": spec.r#type,
        "description": spec.description,
        "input": optional(&spec.input, payload),
        "key": spec.key,
        "key_conflict_policy": names::key_conflict_policy(spec.key_conflict_policy),
        "requirements": optional(&spec.requirements, requirements),
        "priority": names::priority(spec.priority),
        "dependencies": each(&spec.dependencies, dependency),
        "retry_policy": optional(&spec.retry_policy, retry_policy),
        "timeouts": optional(&spec.timeouts, timeouts),
        "deadline": optional(&spec.deadline, time::rfc3339),
        "start_at": optional(&spec.start_at, time::rfc3339),
        "hold": spec.hold,
        "tags": spec.tags,
        "metadata": map(&spec.metadata),
        "headers": map(&spec.headers),
    })
}

fn requirements(requirements: &Requirements) -> Value {
    json!({
        "skills": requirements.skills,
        "tools": requirements.tools,
        "role": requirements.role,
        "assignee": requirements.assignee,
        "preferred_agent": requirements.preferred_agent,
        "affinity": map(&requirements.affinity),
        "anti_affinity": map(&requirements.anti_affinity),
        "resources": requirements.resources,
        "near": requirements.near,
        "apart": requirements.apart,
        "fallbacks": each(&requirements.fallbacks, fallback),
    })
}

fn fallback(fallback: &RequirementsFallback) -> Value {
    json!({
        "after": optional(&fallback.after, time::seconds),
        "skills": fallback.skills,
        "tools": fallback.tools,
        "role": fallback.role,
        "assignee": fallback.assignee,
    })
}

fn dependency(dependency: &Dependency) -> Value {
    json!({
        "task_id": dependency.task_id,
        "on_failure": names::dependency_failure_action(dependency.on_failure),
        "condition": names::dependency_condition(dependency.condition),
        "result": optional(&dependency.result, result_condition),
        "name": dependency.name,
    })
}

/// The value is parsed; `null` when there is none to compare with.
fn result_condition(condition: &ResultCondition) -> Value {
    json!({
        "pointer": condition.pointer,
        "comparison": names::result_comparison(condition.comparison),
        "value": serde_json::from_str(&condition.value).unwrap_or(Value::Null),
    })
}

fn retry_policy(policy: &RetryPolicy) -> Value {
    json!({
        "max_attempts": policy.max_attempts,
        "initial_backoff": optional(&policy.initial_backoff, time::seconds),
        "multiplier": policy.multiplier,
        "max_backoff": optional(&policy.max_backoff, time::seconds),
        "non_retryable_types": policy.non_retryable_types,
    })
}

fn timeouts(timeouts: &Timeouts) -> Value {
    json!({
        "schedule_to_start": optional(&timeouts.schedule_to_start, time::seconds),
        "start_to_close": optional(&timeouts.start_to_close, time::seconds),
        "schedule_to_close": optional(&timeouts.schedule_to_close, time::seconds),
        "heartbeat": optional(&timeouts.heartbeat, time::seconds),
    })
}

/// What a command did to a task.
pub fn receipt(receipt: &TaskReceipt) -> Value {
    json!({
        "task_id": receipt.task_id,
        "state": names::task_state(receipt.state),
        "run": receipt.run,
        "version": receipt.version,
        "existing": receipt.existing,
    })
}

/// A message in a mailbox.
pub fn message(message: &Message) -> Value {
    let to = message.to.as_ref().and_then(|address| address.to.as_ref());
    json!({
        "id": message.id,
        "namespace": message.namespace,
        "to": to.map(|To::Agent(name)| json!({ "agent": name })),
        "sequence": message.sequence,
        "principal": message.principal,
        "agent": message.agent,
        "payload": optional(&message.payload, payload),
        "headers": map(&message.headers),
        "sent_at": optional(&message.sent_at, time::rfc3339),
        "expires_at": optional(&message.expires_at, time::rfc3339),
    })
}

/// An event.
pub fn event(event: &Event) -> Value {
    json!({
        "task_id": event.task_id,
        "sequence": event.sequence,
        "at": optional(&event.at, time::rfc3339),
        "principal": event.principal,
        "type": names::event_type(event.r#type),
        "state": names::task_state(event.state),
        "run": event.run,
        "attempt": event.attempt,
        "agent": event.agent,
        "reason": event.reason,
        "failure": optional(&event.failure, failure),
        "scheduled_at": optional(&event.scheduled_at, time::rfc3339),
        "step": event.step,
        "step_occurrence": event.step_occurrence,
        "child": event.child,
    })
}

/// A step that is recorded.
pub fn step(step: &Step) -> Value {
    json!({
        "name": step.name,
        "occurrence": step.occurrence,
        "ordinal": step.ordinal,
        "result": optional(&step.result, payload),
        "attempt": step.attempt,
        "recorded_at": optional(&step.recorded_at, time::rfc3339),
    })
}

/// A child of a run.
pub fn child(child: &Child) -> Value {
    json!({
        "name": child.name,
        "occurrence": child.occurrence,
        "ordinal": child.ordinal,
        "on_parent_end": names::parent_end_action(child.on_parent_end),
        "task_id": child.task_id,
        "task": optional(&child.task, task),
    })
}

fn parent(link: &ParentLink) -> Value {
    json!({
        "task_id": link.task_id,
        "run": link.run,
        "name": link.name,
        "occurrence": link.occurrence,
        "depth": link.depth,
    })
}

fn workflow_link(link: &WorkflowLink) -> Value {
    json!({
        "workflow_id": link.workflow_id,
        "name": link.name,
        "allow_failure": link.allow_failure,
        "weight": link.weight,
    })
}

/// A workflow.
pub fn workflow(workflow: &Workflow) -> Value {
    json!({
        "id": workflow.id,
        "namespace": workflow.namespace,
        "name": workflow.name,
        "description": workflow.description,
        "state": names::workflow_state(workflow.state),
        "tasks": workflow.tasks,
        "open_tasks": workflow.open_tasks,
        "completed_tasks": workflow.completed_tasks,
        "failed_tasks": workflow.failed_tasks,
        "cancelled_tasks": workflow.cancelled_tasks,
        "skipped_tasks": workflow.skipped_tasks,
        "progress": workflow.progress,
        "cancel_requested": workflow.cancel_requested,
        "held": workflow.held,
        "tags": workflow.tags,
        "metadata": map(&workflow.metadata),
        "created_at": optional(&workflow.created_at, time::rfc3339),
        "ended_at": optional(&workflow.ended_at, time::rfc3339),
        "created_by": workflow.created_by,
        "version": workflow.version,
    })
}

/// An agent.
pub fn agent(agent: &Agent) -> Value {
    json!({
        "id": agent.id,
        "namespace": agent.namespace,
        "profile": optional(&agent.profile, profile),
        "state": names::agent_state(agent.state),
        "cordoned": agent.cordoned,
        "session_epoch": agent.session_epoch,
        "leased_tasks": agent.leased_tasks,
        "completed_attempts": agent.completed_attempts,
        "failed_attempts": agent.failed_attempts,
        "created_at": optional(&agent.created_at, time::rfc3339),
        "attached_at": optional(&agent.attached_at, time::rfc3339),
        "detached_at": optional(&agent.detached_at, time::rfc3339),
        "principal": agent.principal,
        "version": agent.version,
    })
}

fn profile(profile: &AgentProfile) -> Value {
    json!({
        "name": profile.name,
        "agent_type": profile.agent_type,
        "role": profile.role,
        "skills": profile.skills,
        "tools": profile.tools,
        "labels": map(&profile.labels),
        "slots": profile.slots,
        "resources": profile.resources,
        "handles": each(&profile.handles, handler),
        "sdk": profile.sdk,
        "sdk_version": profile.sdk_version,
        "build_id": profile.build_id,
    })
}

fn handler(handler: &TaskHandler) -> Value {
    json!({
        "type": handler.r#type,
        "description": handler.description,
        "input_schema": handler.input_schema,
        "output_schema": handler.output_schema,
    })
}

/// A namespace.
pub fn namespace(namespace: &Namespace) -> Value {
    json!({
        "name": namespace.name,
        "settings": optional(&namespace.settings, settings),
        "created_at": optional(&namespace.created_at, time::rfc3339),
        "version": namespace.version,
    })
}

fn settings(settings: &NamespaceSettings) -> Value {
    json!({
        "max_lanes": settings.max_lanes,
        "max_live_tasks": settings.max_live_tasks,
        "retry_policy": optional(&settings.retry_policy, retry_policy),
        "start_to_close": optional(&settings.start_to_close, time::seconds),
        "limits": settings.limits.iter().map(limit).collect::<Vec<_>>(),
    })
}

/// What of a limit is used.
pub fn limit_use(told: &LimitUse) -> Value {
    json!({
        "key": told.key,
        "limit": optional(&told.limit, limit),
        "in_use": told.in_use,
        "reached": told.reached,
        "next_at": optional(&told.next_at, time::rfc3339),
    })
}

fn limit(limit: &Limit) -> Value {
    json!({
        "key": limit.key,
        "max_concurrent": limit.max_concurrent,
        "rate": limit.rate,
        "rate_period": optional(&limit.rate_period, time::seconds),
    })
}

/// A payload. Content that says it is JSON and isn't is given as text.
pub fn payload(payload: &Payload) -> Value {
    let (name, content) = match &payload.content {
        Some(Content::Binary(bytes)) => ("base64", Value::from(BASE64_STANDARD.encode(bytes))),
        Some(Content::Text(text)) if is_json(&payload.content_type) => match serde_json::from_str(text) {
            Ok(parsed) => ("json", parsed),
            Err(_) => ("text", Value::from(text.as_str())),
        },
        Some(Content::Text(text)) => ("text", Value::from(text.as_str())),
        None => ("text", Value::from("")),
    };
    json!({
        "content_type": payload.content_type,
        "metadata": map(&payload.metadata),
        name: content,
    })
}

/// How a task or an attempt failed. The protocol bounds how deep causes go.
pub fn failure(failure: &Failure) -> Value {
    let cause = failure.cause.as_deref().map(self::failure);
    json!({
        "type": failure.r#type,
        "message": failure.message,
        "retryable": failure.retryable.unwrap_or(true),
        "retry_after": optional(&failure.retry_after, time::seconds),
        "details": optional(&failure.details, payload),
        "cause": cause,
    })
}

/// Whether a media type is JSON, parameters aside.
pub fn is_json(content_type: &str) -> bool {
    let essence = content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    essence == "application/json" || essence.ends_with("+json")
}

fn optional<T, V: Into<Value>>(value: &Option<T>, convert: impl Fn(&T) -> V) -> Value {
    value.as_ref().map_or(Value::Null, |value| convert(value).into())
}

fn each<T, V: Into<Value>>(values: &[T], convert: impl Fn(&T) -> V) -> Value {
    values.iter().map(|value| convert(value).into()).collect()
}

fn map(map: &BTreeMap<String, String>) -> Value {
    json!(map)
}

#[cfg(test)]
#[path = "json_tests.rs"]
mod tests;
