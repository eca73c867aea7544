//! Agents and their sessions.

use super::id::{ANONYMOUS, AgentId, NamespaceId};
use super::resources;
use super::time::Timestamp;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// A durable identity; it outlives its connections.
#[derive(Clone, Debug, PartialEq)]
pub struct Agent {
    /// Its namespace.
    pub namespace: NamespaceId,
    /// Its id.
    pub id: AgentId,
    /// Unique in the namespace.
    pub name: Arc<str>,
    /// What it last said of itself.
    pub profile: Arc<AgentProfile>,
    /// The principal that attached it first. The name is that principal's until the agent is removed.
    pub principal: String,
    /// Gets no new tasks.
    pub cordoned: bool,
    /// The epoch of its latest session. Never falls.
    pub epoch: i64,
    /// The live session, if there is one.
    pub session: Option<Session>,
    /// Attempts that it completed.
    pub completed: i64,
    /// Attempts that it failed, timed out on or lost.
    pub failed: i64,
    /// When it first attached.
    pub created_at: Timestamp,
    /// When its latest session began.
    pub attached_at: Timestamp,
    /// When its latest session ended.
    pub detached_at: Option<Timestamp>,
    /// Rises with every change; 0 is never stored.
    pub version: i64,
}

/// One live attachment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Session {
    /// How it is attached.
    pub link: Link,
    /// The agent's process, by its own word.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub instance: String,
    /// The agent takes nothing new.
    #[serde(default)]
    pub draining: bool,
}

/// How an agent is attached.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "link", rename_all = "snake_case")]
pub enum Link {
    /// By an open stream at a replica.
    Stream {
        /// The replica that has the stream.
        replica: String,
    },
    /// Its stream broke, and it may still come back to its leases.
    Broken {
        /// The replica that had the stream.
        replica: String,
        /// Since when.
        since: Timestamp,
    },
    /// By unary claims.
    Claims {
        /// When the session ends unless it claims again.
        until: Timestamp,
    },
}

impl Link {
    /// The replica that has the stream, or awaits the agent; none: there is no stream.
    pub fn replica(&self) -> Option<&str> {
        match self {
            Self::Stream { replica } | Self::Broken { replica, .. } => Some(replica),
            Self::Claims { .. } => None,
        }
    }
}

/// What an agent says of itself.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct AgentProfile {
    /// What kind of agent.
    pub agent_type: String,
    /// Its role in the team.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub role: String,
    /// What it can do.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub skills: BTreeSet<String>,
    /// What it can use.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub tools: BTreeSet<String>,
    /// What affinity is matched with.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// How many tasks it takes at once.
    pub slots: u32,
    /// Amounts of resources.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub resources: BTreeMap<String, f64>,
    /// The task types it handles.
    pub handles: Vec<TaskHandler>,
    /// Its SDK.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub sdk: String,
    /// The SDK's version.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub sdk_version: String,
    /// The build of its program.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub build_id: String,
}

/// A task type that an agent handles.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TaskHandler {
    /// The task type; `*` takes any.
    #[serde(rename = "type")]
    pub task_type: String,
    /// For people.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub description: String,
    /// JSON Schema of the input.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub input_schema: String,
    /// JSON Schema of the result.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub output_schema: String,
}

impl TaskHandler {
    /// A handler with nothing but a type.
    pub fn named(task_type: &str) -> Self {
        Self { task_type: task_type.into(), ..Self::default() }
    }
}

impl AgentProfile {
    /// Whether it handles a task type.
    pub fn takes(&self, task_type: &str) -> bool {
        self.handles.iter().any(|h| h.task_type == "*" || h.task_type == task_type)
    }

    /// How much it has of a resource, in thousandths.
    pub fn has_of(&self, resource: &str) -> u64 {
        self.resources.get(resource).map_or(0, |amount| resources::declared(*amount))
    }
}

impl Agent {
    /// Whether a principal may act under the agent's name. What was attached while the server was open belongs to nobody yet.
    pub fn belongs_to(&self, principal: &str) -> bool {
        self.principal == principal || self.principal == ANONYMOUS
    }

    /// Whether tasks may be pushed to it.
    pub fn takes_pushes(&self) -> bool {
        !self.cordoned && self.session.as_ref().is_some_and(|s| !s.draining && matches!(s.link, Link::Stream { .. }))
    }

    /// Whether its session is that of a stream that this replica has, or had, or took over from a dead one.
    pub fn is_at(&self, replica: &str) -> bool {
        self.session.as_ref().and_then(|session| session.link.replica()) == Some(replica)
    }

    /// The share of its attempts that it completed, by Laplace's rule of succession: an unknown agent has one half.
    pub fn success_rate(&self) -> f64 {
        (self.completed as f64 + 1.0) / (self.completed as f64 + self.failed as f64 + 2.0)
    }
}
