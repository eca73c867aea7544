//! Values given to and made by tasks, and failures.

use super::time::Span;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::sync::Arc;

/// An input, a result, a checkpoint, or what a step gave.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Payload {
    /// The media type; empty means `text/plain` or `application/octet-stream`.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub content_type: String,
    /// What an application says about it.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub metadata: BTreeMap<String, String>,
    /// What it holds.
    pub content: Content,
}

/// What a payload holds. Shared, since it goes from row to frame unchanged.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Content {
    /// Text, JSON included.
    Text(Arc<str>),
    /// Anything else.
    Binary(Arc<[u8]>),
}

impl Default for Content {
    fn default() -> Self {
        Content::Text("".into())
    }
}

impl Content {
    /// The bytes, text as UTF-8.
    pub fn bytes(&self) -> &[u8] {
        match self {
            Content::Text(text) => text.as_bytes(),
            Content::Binary(bytes) => bytes,
        }
    }
}

impl Payload {
    /// Plain text.
    pub fn text(text: &str) -> Self {
        Self { content_type: "text/plain".into(), metadata: BTreeMap::new(), content: Content::Text(text.into()) }
    }

    /// The size that counts against the limit: the content alone, in bytes.
    pub fn len(&self) -> usize {
        self.content.bytes().len()
    }

    /// Roughly what it takes in memory, in bytes: what stands beside the content has limits of its own.
    pub fn weight(&self) -> usize {
        let pairs: usize = self.metadata.iter().map(|(name, value)| name.len() + value.len() + 48).sum();
        self.content_type.len() + pairs + self.len()
    }

    /// Whether the content is empty.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// How a task, or an attempt of it, failed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// A short name that programs act on.
    #[serde(rename = "type")]
    pub kind: String,
    /// What happened, for people.
    pub message: String,
    /// Whether another attempt may succeed.
    pub retryable: bool,
    /// The least delay before the next attempt.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_after: Option<Span>,
    /// Anything else.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub details: Option<Payload>,
    /// What caused it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cause: Option<Box<Failure>>,
}

impl Failure {
    /// One of the server's own failures; `sdk/SPEC.md` section 5 lists the types.
    pub fn system(kind: SystemFailure, message: impl Into<String>) -> Self {
        Self {
            kind: kind.name().into(),
            message: message.into(),
            retryable: kind.retryable(),
            retry_after: None,
            details: None,
            cause: None,
        }
    }

    /// As history keeps it: without the details, which can be large.
    pub fn brief(&self) -> Self {
        Self { details: None, cause: self.cause.as_ref().map(|c| Box::new(c.brief())), ..self.clone() }
    }
}

/// Why the server itself fails an attempt or a task.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SystemFailure {
    /// The agent was lost while it had the task.
    LeaseLost,
    /// The attempt took too long.
    StartToClose,
    /// The handler was silent for too long.
    Heartbeat,
    /// No agent began it in time.
    ScheduleToStart,
    /// The run took too long.
    ScheduleToClose,
    /// The deadline passed.
    Deadline,
    /// Its attempts kept losing their agents.
    Poisoned,
    /// Agents kept handing it back.
    HandedBackTooOften,
    /// A dependency ended otherwise than its condition says.
    DependencyFailed,
}

impl SystemFailure {
    /// The `Failure.type`.
    pub fn name(self) -> &'static str {
        match self {
            Self::LeaseLost => "callboard.lease_lost",
            Self::StartToClose => "callboard.start_to_close_timeout",
            Self::Heartbeat => "callboard.heartbeat_timeout",
            Self::ScheduleToStart => "callboard.schedule_to_start_timeout",
            Self::ScheduleToClose => "callboard.schedule_to_close_timeout",
            Self::Deadline => "callboard.deadline_exceeded",
            Self::Poisoned => "callboard.poisoned",
            Self::HandedBackTooOften => "callboard.handed_back_too_often",
            Self::DependencyFailed => "callboard.dependency_failed",
        }
    }

    fn retryable(self) -> bool {
        matches!(self, Self::LeaseLost | Self::StartToClose | Self::Heartbeat)
    }
}
