//! Facts about tasks.

use super::chosen::Chosen;
use super::id::{NamespaceId, TaskId};
use super::pause::PauseTurn;
use super::payload::Failure;
use super::step::StepKey;
use super::task::StateName;
use super::time::Timestamp;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// An immutable fact about a task, committed with what it tells of.
#[derive(Clone, Debug, PartialEq)]
pub struct Event {
    /// The task's namespace.
    pub namespace: NamespaceId,
    /// The task.
    pub task: TaskId,
    /// 1, 2, 3, … within the task.
    pub sequence: i64,
    /// When it was decided.
    pub at: Timestamp,
    /// Who caused it.
    pub principal: Arc<str>,
    /// The task's state after it.
    pub state: StateName,
    /// The run it belongs to.
    pub run: u32,
    /// The attempt it is about; 0: none.
    pub attempt: u32,
    /// What happened.
    pub kind: EventKind,
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum EventKind {
    /// The task was created.
    Created,
    /// It became eligible.
    Ready,
    /// An agent was given an attempt.
    Assigned {
        /// The agent's name.
        agent: Arc<str>,
        /// How it was chosen; none: it claimed the task, or a version gave it the task that didn't keep how.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        chosen: Option<Chosen>,
    },
    /// The agent accepted; or the handler's pause began, or ended. One kind, since it is in rows: a version that knows no pauses
    /// reads these as beginnings, and not as damage.
    Started {
        /// The agent's name.
        agent: Arc<str>,
        /// What became of a pause; none: the agent accepted.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pause: Option<PauseTurn>,
    },
    /// The handler saved a checkpoint, recorded a step or created a child. One kind, since it is in rows: a version that knows no
    /// steps or no children reads it as a checkpoint, and not as damage.
    Checkpointed {
        /// Which step it recorded; none: it was a checkpoint.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        step: Option<StepKey>,
        /// Which child it created; none: it created none.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        child: Option<TaskId>,
    },
    /// The attempt was handed back; it doesn't count.
    HandedBack {
        /// The agent's name.
        agent: Arc<str>,
        /// Why.
        reason: String,
    },
    /// The agent reported a failure.
    AttemptFailed {
        /// The agent's name.
        agent: Arc<str>,
        /// How.
        failure: Failure,
    },
    /// The attempt ran out of time.
    AttemptTimedOut {
        /// The agent's name.
        agent: Arc<str>,
        /// Which time.
        failure: Failure,
    },
    /// The attempt's agent was lost.
    AttemptLost {
        /// The agent's name.
        agent: Arc<str>,
        /// How.
        reason: String,
    },
    /// Another attempt will follow.
    RetryScheduled {
        /// When.
        at: Timestamp,
    },
    /// It was held.
    Held {
        /// Why.
        reason: String,
    },
    /// It was released.
    Released,
    /// Its owner changed it; or nobody took it in time, and a fallback of its requirements counts from now on. One kind, since it
    /// is in rows: a version that knows no fallbacks reads it as a change, and not as damage.
    Updated {
        /// What was changed; of a fallback, why, for people.
        fields: String,
        /// Which fallback counts from now on; none: its owner changed it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        fallback: Option<u32>,
    },
    /// A dependency ended well.
    DependencyMet {
        /// Which.
        dependency: TaskId,
    },
    /// Its cancellation was asked for while an agent had it.
    CancelRequested {
        /// Why.
        reason: String,
    },
    /// It ended with a result.
    Completed {
        /// Who gave it.
        agent: Arc<str>,
    },
    /// It ended with a failure.
    Failed {
        /// How.
        failure: Failure,
    },
    /// It ended cancelled.
    Cancelled {
        /// Why.
        reason: String,
    },
    /// It ended skipped.
    Skipped {
        /// The dependency that ended otherwise than its condition says.
        dependency: TaskId,
    },
    /// The next run was opened.
    RunOpened,
}
