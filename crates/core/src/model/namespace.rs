//! The unit of isolation.

use super::id::NamespaceId;
use super::limit::Limits;
use super::spec::{RetryPolicy, Timeouts};
use super::time::{Span, Timestamp};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// A namespace.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Namespace {
    /// In keys and indexes.
    pub id: NamespaceId,
    /// For people.
    pub name: Arc<str>,
    /// What applies to its tasks.
    pub settings: NamespaceSettings,
    /// When it was created.
    pub created_at: Timestamp,
    /// Rises with every change; 0 is never stored.
    pub version: i64,
}

/// What applies to every task of a namespace.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct NamespaceSettings {
    /// How many lanes with live tasks there may be.
    pub max_lanes: u32,
    /// How many live tasks there may be.
    pub max_live_tasks: i64,
    /// The retry policy of tasks that have none.
    pub retry_policy: RetryPolicy,
    /// The start-to-close timeout of tasks that have none.
    pub start_to_close: Span,
    /// What tasks with limit keys may do.
    #[serde(default, skip_serializing_if = "Limits::is_empty")]
    pub limits: Limits,
}

impl Default for NamespaceSettings {
    fn default() -> Self {
        Self {
            max_lanes: 1_000,
            max_live_tasks: 1_000_000,
            retry_policy: RetryPolicy::default(),
            start_to_close: Timeouts::default().start_to_close,
            limits: Limits::default(),
        }
    }
}
