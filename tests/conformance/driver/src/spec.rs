//! A SPEC of a line, as the SDK's `NewTask`.

use crate::value::Any;
use callboard::{Error, NewDependency, NewFallback, NewTask, ResultCondition, v1};
use serde::{Deserialize, Deserializer};
use serde_json::Value;
use std::collections::BTreeMap;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// A SPEC: see DRIVER.md.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Spec {
    r#type: String,
    #[serde(default, deserialize_with = "given")]
    input: Option<Value>,
    description: Option<String>,
    key: Option<String>,
    key_conflict: Option<String>,
    #[serde(default)]
    skills: Vec<String>,
    #[serde(default)]
    tools: Vec<String>,
    role: Option<String>,
    assignee: Option<String>,
    preferred_agent: Option<String>,
    #[serde(default)]
    affinity: BTreeMap<String, String>,
    #[serde(default)]
    anti_affinity: BTreeMap<String, String>,
    #[serde(default)]
    resources: BTreeMap<String, f64>,
    #[serde(default)]
    near: Vec<String>,
    #[serde(default)]
    apart: Vec<String>,
    #[serde(default)]
    fallbacks: Vec<Fallback>,
    fairness_key: Option<String>,
    #[serde(default)]
    limit_keys: Vec<String>,
    priority: Option<String>,
    #[serde(default)]
    depends_on: Vec<DependsOn>,
    max_attempts: Option<i32>,
    initial_backoff_ms: Option<u64>,
    multiplier: Option<f64>,
    max_backoff_ms: Option<u64>,
    #[serde(default)]
    non_retryable_types: Vec<String>,
    schedule_to_start_ms: Option<u64>,
    start_to_close_ms: Option<u64>,
    schedule_to_close_ms: Option<u64>,
    heartbeat_ms: Option<u64>,
    deadline_at_ms: Option<u64>,
    start_at_ms: Option<u64>,
    #[serde(default)]
    hold: bool,
    #[serde(default)]
    tags: Vec<String>,
    #[serde(default)]
    metadata: BTreeMap<String, String>,
    #[serde(default)]
    headers: BTreeMap<String, String>,
}

/// What is asked for when nobody took the task.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Fallback {
    after_ms: u64,
    #[serde(default)]
    skills: Vec<String>,
    #[serde(default)]
    tools: Vec<String>,
    role: Option<String>,
    assignee: Option<String>,
}

/// What a task depends on.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DependsOn {
    task_id: String,
    on_failure: Option<String>,
    condition: Option<String>,
    result: Option<ResultIs>,
    name: Option<String>,
}

/// What a result must be.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ResultIs {
    #[serde(default)]
    pointer: String,
    comparison: Option<String>,
    #[serde(default, deserialize_with = "given")]
    value: Option<Value>,
}

/// Null is a value, too.
pub fn given<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Value>, D::Error> {
    Value::deserialize(deserializer).map(Some)
}

/// Why there is no task: the driver's fault, or what the SDK said.
pub enum Refused {
    /// The line is not as it may be.
    Fault(String),
    /// The SDK refused a value.
    Error(Error),
}

impl From<Error> for Refused {
    fn from(error: Error) -> Self {
        Self::Error(error)
    }
}

impl Spec {
    /// The task that is to be created.
    pub fn task(self) -> Result<NewTask, Refused> {
        let mut task = NewTask::new(self.r#type.clone());
        if let Some(input) = self.input.clone() {
            task = match Any::read(input).map_err(Refused::Fault)? {
                Any::Payload(payload) => task.input_payload(payload),
                value => task.input(&value)?,
            };
        }
        let task = self.place(self.who(task)?);
        let task = self.when(task);
        let task = self.retried(task);
        Ok(self.about(task))
    }

    fn who(&self, mut task: NewTask) -> Result<NewTask, Refused> {
        task = self.skills.iter().fold(task, NewTask::skill);
        task = self.tools.iter().fold(task, NewTask::tool);
        task = self.affinity.iter().fold(task, |task, (label, value)| task.affinity(label, value));
        for (value, set) in [
            (&self.role, NewTask::role as fn(NewTask, String) -> NewTask),
            (&self.assignee, NewTask::assignee),
            (&self.preferred_agent, NewTask::preferred_agent),
        ] {
            if let Some(value) = value {
                task = set(task, value.clone());
            }
        }
        for one in &self.depends_on {
            task = task.depends_on(one.dependency()?);
        }
        if let Some(name) = &self.priority {
            task = task.priority(named(name, "PRIORITY_", v1::Priority::from_str_name)?);
        }
        if let Some(name) = &self.key_conflict {
            task = task.on_key_conflict(named(name, "KEY_CONFLICT_POLICY_", v1::KeyConflictPolicy::from_str_name)?);
        }
        Ok(task)
    }

    fn place(&self, mut task: NewTask) -> NewTask {
        task = self.anti_affinity.iter().fold(task, |task, (label, value)| task.anti_affinity(label, value));
        task = self.resources.iter().fold(task, |task, (resource, amount)| task.resource(resource, *amount));
        task = self.near.iter().fold(task, NewTask::near);
        task = self.apart.iter().fold(task, NewTask::apart);
        task = self.limit_keys.iter().fold(task, NewTask::limit_key);
        if let Some(key) = &self.fairness_key {
            task = task.fairness_key(key);
        }
        self.fallbacks.iter().fold(task, |task, one| task.fallback(one.fallback()))
    }

    fn when(&self, mut task: NewTask) -> NewTask {
        for (limit, set) in [
            (self.schedule_to_start_ms, NewTask::schedule_to_start as fn(NewTask, Duration) -> NewTask),
            (self.start_to_close_ms, NewTask::start_to_close),
            (self.schedule_to_close_ms, NewTask::schedule_to_close),
            (self.heartbeat_ms, NewTask::heartbeat),
        ] {
            if let Some(limit) = limit {
                task = set(task, Duration::from_millis(limit));
            }
        }
        for (at, set) in [
            (self.deadline_at_ms, NewTask::deadline as fn(NewTask, SystemTime) -> NewTask),
            (self.start_at_ms, NewTask::start_at),
        ] {
            if let Some(at) = at {
                task = set(task, UNIX_EPOCH + Duration::from_millis(at));
            }
        }
        if self.hold { task.hold() } else { task }
    }

    fn retried(&self, task: NewTask) -> NewTask {
        let span = |milliseconds: Option<u64>| {
            milliseconds
                .map(|ms| prost_types::Duration { seconds: (ms / 1000) as i64, nanos: (ms % 1000) as i32 * 1_000_000 })
        };
        let policy = v1::RetryPolicy {
            max_attempts: self.max_attempts.unwrap_or_default(),
            initial_backoff: span(self.initial_backoff_ms),
            multiplier: self.multiplier.unwrap_or_default(),
            max_backoff: span(self.max_backoff_ms),
            non_retryable_types: self.non_retryable_types.clone(),
        };
        if policy == v1::RetryPolicy::default() { task } else { task.retry_policy(policy) }
    }

    fn about(self, mut task: NewTask) -> NewTask {
        if let Some(description) = self.description {
            task = task.description(description);
        }
        if let Some(key) = self.key {
            task = task.key(key);
        }
        task = self.tags.into_iter().fold(task, NewTask::tag);
        task = self.metadata.into_iter().fold(task, |task, (name, value)| task.metadata(name, value));
        self.headers.into_iter().fold(task, |task, (name, value)| task.header(name, value))
    }
}

impl Fallback {
    fn fallback(&self) -> NewFallback {
        let mut fallback = NewFallback::after(Duration::from_millis(self.after_ms));
        fallback = self.skills.iter().fold(fallback, NewFallback::skill);
        fallback = self.tools.iter().fold(fallback, NewFallback::tool);
        if let Some(role) = &self.role {
            fallback = fallback.role(role);
        }
        match &self.assignee {
            Some(agent) => fallback.assignee(agent),
            None => fallback,
        }
    }
}

impl DependsOn {
    /// As the SDK has it.
    pub fn dependency(&self) -> Result<NewDependency, Refused> {
        let mut dependency = NewDependency::on(&self.task_id);
        if fails(self.on_failure.as_deref())? {
            dependency = dependency.or_fail();
        }
        if let Some(name) = &self.condition {
            let condition = named(name, "DEPENDENCY_CONDITION_", v1::DependencyCondition::from_str_name)?;
            dependency = dependency.condition(condition);
        }
        if let Some(result) = &self.result {
            dependency = dependency.result(result.condition()?);
        }
        Ok(match &self.name {
            Some(name) => dependency.named(name),
            None => dependency,
        })
    }
}

impl ResultIs {
    /// As the SDK has it.
    pub fn condition(&self) -> Result<ResultCondition, Refused> {
        let comparison = match &self.comparison {
            Some(name) => named(name, "RESULT_COMPARISON_", v1::ResultComparison::from_str_name)?,
            None => v1::ResultComparison::Unspecified,
        };
        match &self.value {
            Some(value) => {
                let value = Any::read(value.clone()).map_err(Refused::Fault)?;
                Ok(ResultCondition::new(&self.pointer, comparison, &value)?)
            }
            // The comparison may need one: the server says so.
            None => {
                let pointer = self.pointer.clone();
                let without = v1::ResultCondition { pointer, comparison: comparison.into(), value: String::new() };
                Ok(without.into())
            }
        }
    }
}

/// Whether a dependent fails, or is skipped, when what it depends on ends otherwise than it asks for.
pub fn fails(on_failure: Option<&str>) -> Result<bool, Refused> {
    match on_failure {
        None | Some("SKIP") => Ok(false),
        Some("FAIL") => Ok(true),
        Some(other) => Err(Refused::Fault(format!("on_failure: {other}"))),
    }
}

/// An enum value by its name without prefix.
pub fn named<E>(name: &str, prefix: &str, find: fn(&str) -> Option<E>) -> Result<E, Refused> {
    find(&format!("{prefix}{name}")).ok_or_else(|| Refused::Fault(format!("{name} is no {prefix}…")))
}
