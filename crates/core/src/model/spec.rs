//! What a task is asked to be.

use super::child::ParentLink;
use super::edge::NewDependency;
use super::fallback::Fallback;
use super::payload::Payload;
use super::resources::Amounts;
use super::time::{Span, Timestamp};
use super::workflow::WorkflowLink;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// What a caller asks for.
#[derive(Clone, Debug, PartialEq)]
pub struct NewTask {
    /// What it is to be.
    pub spec: TaskSpec,
    /// What the handler is given.
    pub input: Arc<Payload>,
    /// What to do when a live task has its key.
    pub on_key_conflict: KeyConflict,
    /// What must end first.
    pub dependencies: Vec<NewDependency>,
    /// Not before this time.
    pub start_at: Option<Timestamp>,
    /// Keep it waiting until it is released.
    pub hold: bool,
}

/// What a task is asked to be. Written once; only an update by its owner changes it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TaskSpec {
    /// The kind of work.
    #[serde(rename = "type")]
    pub task_type: Arc<str>,
    /// For people.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub description: String,
    /// The caller's own id, unique among the live tasks of the namespace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// Which agents may have it, and which should.
    #[serde(default)]
    pub requirements: Requirements,
    /// How urgent it is.
    pub priority: Priority,
    /// How failures are retried.
    pub retry_policy: RetryPolicy,
    /// How long things may take.
    pub timeouts: Timeouts,
    /// When it fails if it has not ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deadline: Option<Timestamp>,
    /// Not before this time, as asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start_at: Option<Timestamp>,
    /// To find it by. Sorted, each once.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub tags: BTreeSet<String>,
    /// What an application keeps with it.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub metadata: BTreeMap<String, String>,
    /// Carried to every attempt and child.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub headers: BTreeMap<String, String>,
    /// With whose tasks it shares a turn.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fairness_key: Option<String>,
    /// The keys whose limits it is under. Sorted, each once.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub limit_keys: BTreeSet<String>,
    /// Whose child it is, if it is one. Here, and not in what every report writes anew: a version that knows no children would drop
    /// it there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent: Option<Box<ParentLink>>,
    /// What workflow it is of, if it is of one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub workflow: Option<Box<WorkflowLink>>,
}

impl From<TaskSpec> for NewTask {
    /// A task with an empty input, which nothing keeps from being ready.
    fn from(spec: TaskSpec) -> Self {
        Self {
            spec,
            input: Arc::new(Payload::text("")),
            on_key_conflict: KeyConflict::default(),
            dependencies: Vec::new(),
            start_at: None,
            hold: false,
        }
    }
}

impl TaskSpec {
    /// Of a type, with every default.
    pub fn of_type(task_type: impl Into<Arc<str>>) -> Self {
        Self {
            task_type: task_type.into(),
            description: String::new(),
            key: None,
            requirements: Requirements::default(),
            priority: Priority::default(),
            retry_policy: RetryPolicy::default(),
            timeouts: Timeouts::default(),
            deadline: None,
            start_at: None,
            tags: BTreeSet::new(),
            metadata: BTreeMap::new(),
            headers: BTreeMap::new(),
            fairness_key: None,
            limit_keys: BTreeSet::new(),
            parent: None,
            workflow: None,
        }
    }

    /// Roughly how much memory it takes, in bytes.
    pub fn weight(&self) -> usize {
        let maps = [&self.metadata, &self.headers];
        let pairs: usize = maps.iter().flat_map(|m| m.iter()).map(|(k, v)| k.len() + v.len() + 48).sum();
        let tags: usize = self.tags.iter().map(|t| t.len() + 24).sum();
        let fallbacks = &self.requirements.fallbacks;
        let words = fallbacks.iter().flat_map(|fallback| fallback.skills.iter().chain(&fallback.tools));
        let words: usize = words.map(|word| word.len() + 24).sum();
        512 + self.description.len() + pairs + tags + words + fallbacks.len() * 128
    }
}

/// Which agents may have a task, and which should.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Requirements {
    /// All of these skills.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub skills: BTreeSet<String>,
    /// All of these tools.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub tools: BTreeSet<String>,
    /// This role.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub role: Option<String>,
    /// This agent and no other.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub assignee: Option<String>,
    /// This agent rather than another.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub preferred_agent: Option<String>,
    /// Agents with these labels rather than others.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub affinity: BTreeMap<String, String>,
    /// What is asked for instead when nobody has taken the task for some time, each later than the one before.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub fallbacks: Vec<Fallback>,
    /// Agents without these labels rather than others.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub anti_affinity: BTreeMap<String, String>,
    /// What it takes of its agent's resources while it has a slot.
    #[serde(default, skip_serializing_if = "Amounts::is_empty")]
    pub resources: Amounts,
    /// The agents of these dependencies, by the names that it calls them, rather than others.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub near: BTreeSet<String>,
    /// Others rather than the agents of these dependencies.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub apart: BTreeSet<String>,
}

impl Requirements {
    /// Whether who had a dependency of this name counts.
    pub fn asks_for_agent_of(&self, dependency: &str) -> bool {
        self.near.contains(dependency) || self.apart.contains(dependency)
    }
}

/// How urgent a task is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Priority {
    /// A minute behind normal.
    Low,
    /// The default.
    #[default]
    Normal,
    /// A minute ahead of normal.
    High,
    /// Ten minutes ahead of normal.
    Urgent,
    /// An hour ahead of normal.
    Critical,
}

impl Priority {
    /// Seconds of waiting that the priority is worth.
    pub fn weight(self) -> i64 {
        match self {
            Self::Low => -60,
            Self::Normal => 0,
            Self::High => 60,
            Self::Urgent => 600,
            Self::Critical => 3_600,
        }
    }
}

/// What to do when a live task has the key.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum KeyConflict {
    /// Answer with that task.
    #[default]
    UseExisting,
    /// Refuse.
    Fail,
    /// Cancel that task and create this one.
    Replace,
}

/// When and how often a failed attempt is followed by another.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RetryPolicy {
    /// Attempts in a run, the first included.
    pub max_attempts: u32,
    /// The delay before the second.
    pub initial_backoff: Span,
    /// What the delay is multiplied by.
    pub multiplier: f64,
    /// The longest delay.
    pub max_backoff: Span,
    /// Failure types that are not retried.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub non_retryable_types: BTreeSet<String>,
}

impl Default for RetryPolicy {
    fn default() -> Self {
        Self {
            max_attempts: 3,
            initial_backoff: Span::seconds(1),
            multiplier: 2.0,
            max_backoff: Span::seconds(60),
            non_retryable_types: BTreeSet::new(),
        }
    }
}

impl RetryPolicy {
    /// The delay after the `failed`-th counted attempt (from 1). `chance` (0 to 1) takes off up to a fifth.
    pub fn backoff(&self, failed: u32, chance: f64) -> Span {
        let exponent = i32::try_from(failed.saturating_sub(1)).unwrap_or(i32::MAX);
        let grown = self.initial_backoff.times(self.multiplier.powi(exponent));
        grown.min(self.max_backoff).times(1.0 - 0.2 * chance.clamp(0.0, 1.0))
    }
}

/// How long things may take. None: no limit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Timeouts {
    /// From ready to accepted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub schedule_to_start: Option<Span>,
    /// From assigned to ended, each attempt.
    pub start_to_close: Span,
    /// From the run's beginning to its end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub schedule_to_close: Option<Span>,
    /// Between two signs of life of the handler itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub heartbeat: Option<Span>,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self { schedule_to_start: None, start_to_close: Span::seconds(300), schedule_to_close: None, heartbeat: None }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn backoff_doubles_to_its_cap_and_jitter_takes_off_a_fifth_at_most() {
        let policy = RetryPolicy::default();
        let delays: Vec<i64> = [1, 2, 3, 7, 1000].iter().map(|n| policy.backoff(*n, 0.0).0 / 1_000_000).collect();
        assert_eq!(delays, [1, 2, 4, 60, 60]);
        assert_eq!(policy.backoff(1, 1.0), Span::millis(800));
    }
}
