//! Tasks.

use super::{child, dependency, fallback, namespace, payload, some, time, workflow};
use callboard_core::command::TaskReceipt;
use callboard_core::model::{
    Amounts, Edge, KeyConflict, NamespaceSettings, NewDependency, NewTask, NotBefore, Pause, Payload, Priority,
    Requirements, StateName, Task, TaskSpec, TaskState, Timeouts, Timestamp, WaitReason, Waiting,
};
use callboard_core::validate::{Faults, Within};
use callboard_proto::v1;
use callboard_store::TaskView;
use std::collections::BTreeMap;
use std::fmt::Display;

/// Reads a task to create; what is unset is as in the namespace's settings.
pub(crate) fn new_task(
    at: impl Display + Copy,
    spec: Option<v1::TaskSpec>,
    defaults: &NamespaceSettings,
    now: Timestamp,
    faults: &mut Faults,
) -> NewTask {
    new_task_with(at, spec, &[], defaults, now, faults)
}

/// The same, of a task that has dependencies of these names beside those that it says itself.
pub(crate) fn new_task_with(
    at: impl Display + Copy,
    spec: Option<v1::TaskSpec>,
    dependencies_beside: &[&str],
    defaults: &NamespaceSettings,
    now: Timestamp,
    faults: &mut Faults,
) -> NewTask {
    let message = spec.unwrap_or_default();
    let field = |name: &'static str| Within(at, name);
    let dependencies = message.dependencies.into_iter().enumerate().map(|(index, dependency)| {
        dependency::new_dependency(format_args!("{at}.dependencies[{index}]"), dependency, faults)
    });
    let dependencies: Vec<NewDependency> = dependencies.collect();
    let requirements = requirements(field("requirements"), message.requirements, faults);
    let names = dependencies.iter().filter_map(|dependency| dependency.terms.name.as_deref());
    let names = names.chain(dependencies_beside.iter().copied()).collect();
    faults.neighbours(field("requirements"), &requirements, &names);
    let start_at = time::timestamp(field("start_at"), message.start_at, faults);
    let new = NewTask {
        input: payload::payload(field("input"), message.input, faults),
        on_key_conflict: key_conflict(field("key_conflict_policy"), message.key_conflict_policy, faults),
        dependencies,
        start_at,
        hold: message.hold,
        spec: TaskSpec {
            task_type: message.r#type.into(),
            description: message.description,
            key: some(message.key),
            requirements,
            priority: priority(field("priority"), message.priority, faults),
            retry_policy: namespace::retry_policy(
                field("retry_policy"),
                message.retry_policy,
                &defaults.retry_policy,
                faults,
            ),
            timeouts: timeouts(field("timeouts"), message.timeouts, defaults, faults),
            deadline: time::timestamp(field("deadline"), message.deadline, faults),
            start_at,
            tags: message.tags.into_iter().collect(),
            metadata: message.metadata,
            headers: message.headers,
            fairness_key: some(message.fairness_key),
            limit_keys: message.limit_keys.into_iter().collect(),
            parent: None,
            workflow: None,
        },
    };
    faults.new_task(at, &new, now);
    new
}

fn requirements(at: impl Display + Copy, requirements: Option<v1::Requirements>, faults: &mut Faults) -> Requirements {
    let message = requirements.unwrap_or_default();
    let field = |name: &'static str| Within(at, name);
    Requirements {
        anti_affinity: message.anti_affinity,
        resources: amounts(Within(at, "resources"), message.resources, faults),
        near: message.near.into_iter().collect(),
        apart: message.apart.into_iter().collect(),
        skills: message.skills.into_iter().collect(),
        tools: message.tools.into_iter().collect(),
        role: some(message.role),
        assignee: some(message.assignee),
        preferred_agent: some(message.preferred_agent),
        affinity: message.affinity,
        fallbacks: fallback::fallbacks(field("fallbacks"), message.fallbacks, faults),
    }
}

fn amounts(field: impl Display + Copy, resources: BTreeMap<String, f64>, faults: &mut Faults) -> Amounts {
    Amounts::of(resources.into_iter().filter_map(|(name, amount)| {
        let parts = faults.amount(field, &name, amount)?;
        Some((name, parts))
    }))
}

fn timeouts(
    at: impl Display + Copy,
    timeouts: Option<v1::Timeouts>,
    defaults: &NamespaceSettings,
    faults: &mut Faults,
) -> Timeouts {
    let message = timeouts.unwrap_or_default();
    let mut span = |name: &'static str, value| time::span(format_args!("{at}.{name}"), value, faults);
    Timeouts {
        schedule_to_start: span("schedule_to_start", message.schedule_to_start),
        start_to_close: span("start_to_close", message.start_to_close).unwrap_or(defaults.start_to_close),
        schedule_to_close: span("schedule_to_close", message.schedule_to_close),
        heartbeat: span("heartbeat", message.heartbeat),
    }
}

/// Reads a priority.
pub(crate) fn priority(field: impl Display + Copy, value: i32, faults: &mut Faults) -> Priority {
    match v1::Priority::try_from(value) {
        Ok(v1::Priority::Unspecified | v1::Priority::Normal) => Priority::Normal,
        Ok(v1::Priority::Low) => Priority::Low,
        Ok(v1::Priority::High) => Priority::High,
        Ok(v1::Priority::Urgent) => Priority::Urgent,
        Ok(v1::Priority::Critical) => Priority::Critical,
        Err(_) => {
            faults.add(field, format!("{value} is not a priority; use LOW (1) to CRITICAL (5)"));
            Priority::Normal
        }
    }
}

fn key_conflict(field: impl Display + Copy, value: i32, faults: &mut Faults) -> KeyConflict {
    use v1::KeyConflictPolicy as Policy;
    match Policy::try_from(value) {
        Ok(Policy::Unspecified | Policy::UseExisting) => KeyConflict::UseExisting,
        Ok(Policy::Fail) => KeyConflict::Fail,
        Ok(Policy::Replace) => KeyConflict::Replace,
        Err(_) => {
            faults.add(field, format!("{value} is not a policy; use USE_EXISTING (1), FAIL (2) or REPLACE (3)"));
            KeyConflict::UseExisting
        }
    }
}

/// Reads a state of a filter.
pub(crate) fn state(field: impl Display + Copy, value: i32, faults: &mut Faults) -> Option<StateName> {
    use v1::TaskState as S;
    match S::try_from(value) {
        Ok(S::Waiting) => Some(StateName::Waiting),
        Ok(S::Ready) => Some(StateName::Ready),
        Ok(S::Assigned) => Some(StateName::Assigned),
        Ok(S::Running) => Some(StateName::Running),
        Ok(S::Paused) => Some(StateName::Paused),
        Ok(S::Completed) => Some(StateName::Completed),
        Ok(S::Failed) => Some(StateName::Failed),
        Ok(S::Cancelled) => Some(StateName::Cancelled),
        Ok(S::Skipped) => Some(StateName::Skipped),
        Ok(S::Unspecified) | Err(_) => {
            faults.add(field, format!("{value} is not a task state; use WAITING (1) to SKIPPED (9)"));
            None
        }
    }
}

/// Writes a state.
pub(crate) fn to_state(state: StateName) -> v1::TaskState {
    match state {
        StateName::Waiting => v1::TaskState::Waiting,
        StateName::Ready => v1::TaskState::Ready,
        StateName::Assigned => v1::TaskState::Assigned,
        StateName::Running => v1::TaskState::Running,
        StateName::Paused => v1::TaskState::Paused,
        StateName::Completed => v1::TaskState::Completed,
        StateName::Failed => v1::TaskState::Failed,
        StateName::Cancelled => v1::TaskState::Cancelled,
        StateName::Skipped => v1::TaskState::Skipped,
    }
}

/// Writes what a task waits for.
pub(super) fn to_wait_reasons(waiting: &Waiting) -> Vec<i32> {
    waiting.reasons().into_iter().map(|reason| to_wait_reason(reason).into()).collect()
}

fn to_wait_reason(reason: WaitReason) -> v1::WaitReason {
    match reason {
        WaitReason::Dependencies => v1::WaitReason::Dependencies,
        WaitReason::Hold => v1::WaitReason::Hold,
        WaitReason::StartTime => v1::WaitReason::StartTime,
        WaitReason::RetryDelay => v1::WaitReason::RetryDelay,
    }
}

fn to_pause_reason(state: &TaskState) -> v1::PauseReason {
    match state.pause() {
        None => v1::PauseReason::Unspecified,
        Some(Pause { resuming: None, .. }) => v1::PauseReason::Children,
        Some(Pause { resuming: Some(_), .. }) => v1::PauseReason::Slot,
    }
}

fn to_priority(priority: Priority) -> v1::Priority {
    match priority {
        Priority::Low => v1::Priority::Low,
        Priority::Normal => v1::Priority::Normal,
        Priority::High => v1::Priority::High,
        Priority::Urgent => v1::Priority::Urgent,
        Priority::Critical => v1::Priority::Critical,
    }
}

/// Writes a receipt.
pub(crate) fn to_receipt(receipt: &TaskReceipt) -> v1::TaskReceipt {
    v1::TaskReceipt {
        task_id: receipt.task.to_string(),
        state: to_state(receipt.state).into(),
        run: number(receipt.run),
        version: receipt.version,
        existing: receipt.existing,
    }
}

/// Writes a spec; its input if there is one.
pub(crate) fn to_spec(spec: &TaskSpec, input: Option<&Payload>) -> v1::TaskSpec {
    let requirements = &spec.requirements;
    v1::TaskSpec {
        r#type: spec.task_type.to_string(),
        description: spec.description.clone(),
        input: input.map(payload::to_payload),
        key: spec.key.clone().unwrap_or_default(),
        key_conflict_policy: 0,
        requirements: Some(v1::Requirements {
            skills: requirements.skills.iter().cloned().collect(),
            tools: requirements.tools.iter().cloned().collect(),
            role: requirements.role.clone().unwrap_or_default(),
            assignee: requirements.assignee.clone().unwrap_or_default(),
            preferred_agent: requirements.preferred_agent.clone().unwrap_or_default(),
            affinity: requirements.affinity.clone(),
            fallbacks: requirements.fallbacks.iter().map(fallback::to_fallback).collect(),
            anti_affinity: requirements.anti_affinity.clone(),
            resources: requirements.resources.written(),
            near: requirements.near.iter().cloned().collect(),
            apart: requirements.apart.iter().cloned().collect(),
        }),
        priority: to_priority(spec.priority).into(),
        dependencies: Vec::new(),
        retry_policy: Some(namespace::to_retry_policy(&spec.retry_policy)),
        timeouts: Some(v1::Timeouts {
            schedule_to_start: spec.timeouts.schedule_to_start.map(time::to_duration),
            start_to_close: Some(time::to_duration(spec.timeouts.start_to_close)),
            schedule_to_close: spec.timeouts.schedule_to_close.map(time::to_duration),
            heartbeat: spec.timeouts.heartbeat.map(time::to_duration),
        }),
        deadline: spec.deadline.map(time::to_timestamp),
        start_at: spec.start_at.map(time::to_timestamp),
        hold: false,
        tags: spec.tags.iter().cloned().collect(),
        metadata: spec.metadata.clone(),
        headers: spec.headers.clone(),
        fairness_key: spec.fairness_key.clone().unwrap_or_default(),
        limit_keys: spec.limit_keys.iter().cloned().collect(),
    }
}

/// Writes a task without its payloads.
pub(crate) fn to_task(task: &Task, namespace: &str) -> v1::Task {
    let mut spec = to_spec(&task.spec, None);
    let (mut waiting_for, mut unmet, mut next_at) = (Vec::new(), 0, None);
    if let TaskState::Waiting(waiting) = &task.state {
        waiting_for = to_wait_reasons(waiting);
        unmet = waiting.unmet;
        next_at = waiting.not_before.map(NotBefore::at);
        spec.hold = waiting.held;
    }
    let ready_at = match &task.state {
        TaskState::Ready { since } => Some(*since),
        TaskState::Assigned { ready_since, .. } => Some(*ready_since),
        _ => None,
    };
    v1::Task {
        id: task.id.to_string(),
        namespace: namespace.to_owned(),
        spec: Some(spec),
        state: to_state(task.state.name()).into(),
        waiting_for,
        unmet_dependencies: number(unmet),
        run: number(task.run),
        attempt: number(task.attempt),
        attempts_used: number(task.attempts_used),
        agent: task.agent_name.as_deref().unwrap_or_default().to_owned(),
        phase: task.progress.phase.clone(),
        progress: task.progress.fraction,
        progress_message: task.progress.message.clone(),
        cancel_requested: task.state.cancelling().is_some(),
        result: None,
        failure: None,
        created_at: Some(time::to_timestamp(task.created_at)),
        ready_at: ready_at.map(time::to_timestamp),
        started_at: task.started_at.map(time::to_timestamp),
        ended_at: task.state.ended_at().map(time::to_timestamp),
        next_at: next_at.map(time::to_timestamp),
        created_by: task.created_by.to_string(),
        version: task.version,
        parent: task.parent().map(child::to_parent_link),
        workflow: task.spec.workflow.as_deref().map(workflow::to_link),
        paused_for: to_pause_reason(&task.state).into(),
        fallback: number(task.fallback),
    }
}

/// Writes a task with its result and failure, and with its input if asked.
pub(crate) fn to_full_task(view: &TaskView, namespace: &str, with_input: bool) -> v1::Task {
    let mut task = to_task(&view.task, namespace);
    if let Some(spec) = task.spec.as_mut().filter(|_| with_input) {
        spec.input = Some(payload::to_payload(&view.input));
    }
    // What an earlier run left does not belong to this one.
    let completed = view.task.state.name() == StateName::Completed;
    task.result = view.saved.result.as_deref().filter(|_| completed).map(payload::to_payload);
    task.failure = view.saved.failure.as_deref().filter(|_| !completed).map(payload::to_failure);
    task
}

/// Writes a task with what it depends on.
pub(crate) fn to_task_with(row: &Task, dependencies: &[Edge], namespace: &str) -> v1::Task {
    let mut task = to_task(row, namespace);
    if let Some(spec) = &mut task.spec {
        spec.dependencies = dependencies.iter().map(dependency::to_dependency).collect();
    }
    task
}

/// Writes a task with everything, its dependencies included.
pub(crate) fn to_whole_task(view: &TaskView, dependencies: &[Edge], namespace: &str) -> v1::Task {
    let mut task = to_full_task(view, namespace, true);
    if let Some(spec) = &mut task.spec {
        spec.dependencies = dependencies.iter().map(dependency::to_dependency).collect();
    }
    task
}

/// Writes a count.
pub(crate) fn number(count: u32) -> i32 {
    i32::try_from(count).unwrap_or(i32::MAX)
}
