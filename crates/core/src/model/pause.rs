//! Pauses: an agent's slot is free for others while a handler waits.

use super::id::AgentId;
use super::task::{Cancelling, TaskState};
use super::time::Timestamp;
use serde::{Deserialize, Serialize};

/// A wait of a handler, in which its attempt's times stand still.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pause {
    /// When it began.
    pub since: Timestamp,
    /// Since when the handler wants to go on, and its agent has no slot for it: who asked first is first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resuming: Option<Timestamp>,
}

/// What a pause has to do with a task's history.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PauseTurn {
    /// It began.
    Began,
    /// It ended: the handler goes on.
    Ended,
}

/// A state as remembered answers have it: PAUSED is RUNNING and a word beside it, which a version that knows no pauses passes over.
pub(crate) mod remembered {
    use crate::model::StateName;
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    #[derive(Serialize, Deserialize)]
    struct Remembered {
        state: StateName,
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        paused: bool,
    }

    pub fn serialize<S: Serializer>(state: &StateName, serializer: S) -> Result<S::Ok, S::Error> {
        let paused = *state == StateName::Paused;
        let state = if paused { StateName::Running } else { *state };
        Remembered { state, paused }.serialize(serializer)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<StateName, D::Error> {
        let Remembered { state, paused } = Remembered::deserialize(deserializer)?;
        Ok(if paused { StateName::Paused } else { state })
    }
}

/// What a leased task is to the slots of its agent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Slot {
    /// Its handler waits, and has none.
    Free,
    /// Its handler wants to go on: the next one that becomes free is its own, and no new task's.
    Awaited,
    /// It has one.
    Taken,
}

impl TaskState {
    /// The agent that has the task, if one has, and what the task is to its slots.
    pub fn slot(&self) -> Option<(AgentId, Slot)> {
        let slot = match self {
            Self::Paused { pause: Pause { resuming: None, .. }, .. } => Slot::Free,
            Self::Paused { pause: Pause { resuming: Some(_), .. }, .. } => Slot::Awaited,
            _ => Slot::Taken,
        };
        self.lease().map(|lease| (lease.agent, slot))
    }

    /// The pause that the task is in.
    pub fn pause(&self) -> Option<Pause> {
        match self {
            Self::Paused { pause, .. } => Some(*pause),
            _ => None,
        }
    }

    /// The cancellation that is on its way to the agent that has the task.
    pub fn cancelling(&self) -> Option<&Cancelling> {
        match self {
            Self::Running { cancelling, .. } | Self::Paused { cancelling, .. } => cancelling.as_ref(),
            _ => None,
        }
    }

    /// Whether an agent has accepted it.
    pub fn is_begun(&self) -> bool {
        matches!(self, Self::Running { .. } | Self::Paused { .. })
    }
}
