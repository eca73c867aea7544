//! One task, agent or namespace in full, for people.

use callboard::v1::{
    Agent, Failure, Limit, Namespace, NamespaceSettings, ParentLink, Payload, RetryPolicy, Task, TaskSpec,
    WorkflowLink, payload::Content,
};
use jiff::Timestamp;

use super::table::{agent_state, state_of, step_name};
use super::text::visible;
use super::{json, names, time};
use crate::dependency;
use crate::fallback;

/// The most of a payload that is shown; `--output json` and `--result` give all of it.
const SHOWN: usize = 4 * 1024;

/// Rows of names and values; those without a value are left out.
pub type Rows = Vec<(&'static str, String)>;

/// A task.
pub fn task(task: &Task, now: Timestamp) -> Rows {
    let spec = task.spec.clone().unwrap_or_default();
    let mut rows = vec![
        ("id", task.id.clone()),
        ("namespace", task.namespace.clone()),
        ("type", spec.r#type.clone()),
        ("description", spec.description.clone()),
        ("state", state_of(task)),
        ("fallback", fallback::come_to(task)),
        ("says", task.progress_message.clone()),
        ("agent", task.agent.clone()),
        ("run", task.run.to_string()),
        ("attempt", attempt(task, &spec)),
    ];
    rows.extend(task.parent.as_ref().map(|link| ("parent", parent(link))));
    rows.extend(task.workflow.as_ref().map(|link| ("workflow", workflow(link))));
    rows.extend(asked(&spec));
    rows.extend([
        ("created", when(task.created_at.as_ref(), now)),
        ("created by", task.created_by.clone()),
        ("started", when(task.started_at.as_ref(), now)),
        ("ended", when(task.ended_at.as_ref(), now)),
        ("next", task.next_at.as_ref().map(time::to_the_second).unwrap_or_default()),
        ("input", spec.input.as_ref().map(payload).unwrap_or_default()),
        ("result", task.result.as_ref().map(payload).unwrap_or_default()),
        ("failure", task.failure.as_ref().map(failure).unwrap_or_default()),
    ]);
    filled(rows)
}

fn parent(link: &ParentLink) -> String {
    format!("{} (run {}, as {})", link.task_id, link.run, visible(&step_name(&link.name, link.occurrence)))
}

fn workflow(link: &WorkflowLink) -> String {
    let name = if link.name.is_empty() { String::new() } else { format!(" (as {})", visible(&link.name)) };
    format!("{}{name}", link.workflow_id)
}

fn attempt(task: &Task, spec: &TaskSpec) -> String {
    match spec.retry_policy.as_ref().map(|policy| policy.max_attempts) {
        Some(max) if max > 0 => format!("{} ({} of {max} used in this run)", task.attempt, task.attempts_used),
        _ => task.attempt.to_string(),
    }
}

fn asked(spec: &TaskSpec) -> Rows {
    let requirements = spec.requirements.clone().unwrap_or_default();
    let timeouts = spec.timeouts.unwrap_or_default();
    let dependencies: Vec<String> = spec.dependencies.iter().map(dependency::written).collect();
    let fallbacks: Vec<String> = requirements.fallbacks.iter().map(fallback::written).collect();
    let limit = |limit: Option<prost_types::Duration>| limit.as_ref().map(time::human).unwrap_or_default();
    vec![
        ("key", spec.key.clone()),
        ("priority", names::priority(spec.priority)),
        ("skills", requirements.skills.join(", ")),
        ("tools", requirements.tools.join(", ")),
        ("role", requirements.role),
        ("assignee", requirements.assignee),
        ("prefers", requirements.preferred_agent),
        ("affinity", pairs(&requirements.affinity)),
        ("fallbacks", fallbacks.join("\n")),
        ("anti-affinity", pairs(&requirements.anti_affinity)),
        ("resources", pairs(&requirements.resources)),
        ("near", requirements.near.join(", ")),
        ("apart", requirements.apart.join(", ")),
        ("depends on", dependencies.join("\n")),
        ("backoff", spec.retry_policy.as_ref().map(backoff).unwrap_or_default()),
        ("schedule to start", limit(timeouts.schedule_to_start)),
        ("start to close", limit(timeouts.start_to_close)),
        ("schedule to close", limit(timeouts.schedule_to_close)),
        ("heartbeat", limit(timeouts.heartbeat)),
        ("deadline", spec.deadline.as_ref().map(time::to_the_second).unwrap_or_default()),
        ("not before", spec.start_at.as_ref().map(time::to_the_second).unwrap_or_default()),
        ("tags", spec.tags.join(", ")),
        ("metadata", pairs(&spec.metadata)),
        ("headers", pairs(&spec.headers)),
    ]
}

/// An agent.
pub fn agent(agent: &Agent, now: Timestamp) -> Rows {
    let profile = agent.profile.clone().unwrap_or_default();
    let handles: Vec<String> = profile
        .handles
        .iter()
        .map(|handler| match handler.description.as_str() {
            "" => handler.r#type.clone(),
            description => format!("{}: {description}", handler.r#type),
        })
        .collect();
    filled(vec![
        ("name", profile.name),
        ("id", agent.id.clone()),
        ("namespace", agent.namespace.clone()),
        ("agent type", profile.agent_type),
        ("state", agent_state(agent)),
        ("tasks", format!("{} of {}", agent.leased_tasks, profile.slots)),
        ("completed attempts", agent.completed_attempts.to_string()),
        ("failed attempts", agent.failed_attempts.to_string()),
        ("handles", handles.join("\n")),
        ("role", profile.role),
        ("skills", profile.skills.join(", ")),
        ("tools", profile.tools.join(", ")),
        ("labels", pairs(&profile.labels)),
        ("sdk", format!("{} {}", profile.sdk, profile.sdk_version).trim().to_owned()),
        ("build", profile.build_id),
        ("session", agent.session_epoch.to_string()),
        ("first attached", when(agent.created_at.as_ref(), now)),
        ("attached", when(agent.attached_at.as_ref(), now)),
        ("detached", when(agent.detached_at.as_ref(), now)),
        ("principal", agent.principal.clone()),
    ])
}

/// A namespace.
pub fn namespace(namespace: &Namespace, now: Timestamp) -> Rows {
    let settings = namespace.settings.clone().unwrap_or_default();
    let mut rows = vec![("name", namespace.name.clone()), ("created", when(namespace.created_at.as_ref(), now))];
    rows.extend(settings_rows(&settings));
    filled(rows)
}

fn settings_rows(settings: &NamespaceSettings) -> Rows {
    let policy = settings.retry_policy.clone().unwrap_or_default();
    let mut rows = vec![
        ("max live tasks", settings.max_live_tasks.to_string()),
        ("max lanes", settings.max_lanes.to_string()),
        ("max attempts", policy.max_attempts.to_string()),
        ("backoff", backoff(&policy)),
        ("start to close", settings.start_to_close.as_ref().map(time::human).unwrap_or_default()),
    ];
    rows.extend(settings.limits.iter().map(|limit| ("limit", format!("{}={}", limit.key, limit_in_words(limit)))));
    rows
}

/// A limit as the option takes it.
pub fn limit_in_words(limit: &Limit) -> String {
    let max = limit.max_concurrent.map(|max| format!("max:{max}"));
    let rate = limit.rate.map(|rate| match &limit.rate_period {
        Some(period) => format!("rate:{rate}/{}", time::human(period)),
        None => format!("rate:{rate}"),
    });
    [max, rate].into_iter().flatten().collect::<Vec<_>>().join(",")
}

fn backoff(policy: &RetryPolicy) -> String {
    let mut text = policy.initial_backoff.as_ref().map(time::human).unwrap_or_default();
    if let Some(longest) = &policy.max_backoff {
        text.push_str(&format!(" up to {}", time::human(longest)));
    }
    if !policy.non_retryable_types.is_empty() {
        text.push_str(&format!(", not after {}", policy.non_retryable_types.join(", ")));
    }
    text.trim_start_matches([' ', ',']).to_owned()
}

/// A payload, as far as a terminal bears it.
fn payload(payload: &Payload) -> String {
    match &payload.content {
        Some(Content::Binary(bytes)) => format!("{} bytes of {}", bytes.len(), payload.content_type),
        Some(Content::Text(text)) if text.len() > SHOWN => {
            let shown = &text[..text.floor_char_boundary(SHOWN)];
            format!("{shown}…\n({} of {} bytes shown)", shown.len(), text.len())
        }
        Some(Content::Text(text)) if json::is_json(&payload.content_type) => {
            serde_json::from_str::<serde_json::Value>(text).map_or_else(|_| text.clone(), |value| format!("{value:#}"))
        }
        Some(Content::Text(text)) => text.clone(),
        None => String::new(),
    }
}

/// A failure and its causes, one below the other.
fn failure(failure: &Failure) -> String {
    let mut text = format!("{}: {}", failure.r#type, failure.message);
    let mut cause = failure.cause.as_deref();
    while let Some(inner) = cause {
        text.push_str(&format!("\ncaused by {}: {}", inner.r#type, inner.message));
        cause = inner.cause.as_deref();
    }
    if failure.retryable == Some(false) {
        text.push_str("\n(not retryable)");
    }
    text
}

/// A time, and how long ago that was.
pub fn when(at: Option<&prost_types::Timestamp>, now: Timestamp) -> String {
    at.map(|at| format!("{} ({} ago)", time::to_the_second(at), time::age(at, now))).unwrap_or_default()
}

/// A map, sorted.
pub fn pairs(map: &std::collections::BTreeMap<String, impl std::fmt::Display>) -> String {
    let mut pairs: Vec<String> = map.iter().map(|(key, value)| format!("{key}={value}")).collect();
    pairs.sort();
    pairs.join(", ")
}

/// Those rows that say something, made safe for a terminal.
pub fn filled(rows: Rows) -> Rows {
    rows.into_iter().filter(|(_, value)| !value.is_empty()).map(|(name, value)| (name, visible(&value))).collect()
}
