//! What is stored, without what no rule reads: small, so that millions of states fit.

use callboard_core::model::ClosedBy;

/// A task, by its number.
pub type TaskNo = u8;
/// An agent, by its number.
pub type AgentNo = u8;
/// A replica's registration, by its number: a replica that was taken for dead registers anew.
pub type Registration = u8;

/// A task's row.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TaskRow {
    /// Where it is in its life.
    pub state: TaskState,
    /// The latest attempt.
    pub attempt: u8,
    /// Attempts that count.
    pub used: u8,
    /// Attempts in a row that lost their agents.
    pub lost: u8,
    /// Attempts that were handed back.
    pub handed_back: u8,
    /// Who handed it back last.
    pub avoid: Option<AgentNo>,
    /// How the latest attempt that its agent ended was ended.
    pub closed: Option<Closed>,
}

/// A task's state.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum TaskState {
    /// For the delay before the next attempt.
    Waiting,
    /// Nobody has it.
    Ready,
    /// An agent has it, and did not say that it began.
    Assigned(Lease),
    /// An agent has it.
    Running(Lease),
    /// An agent has it, and was asked to stop.
    Stopping(Lease),
    /// It has a result.
    Completed,
    /// It has a failure.
    Failed,
    /// It was cancelled.
    Cancelled,
}

impl TaskState {
    /// The lease, if somebody has one.
    pub fn lease(self) -> Option<Lease> {
        match self {
            Self::Assigned(lease) | Self::Running(lease) | Self::Stopping(lease) => Some(lease),
            _ => None,
        }
    }

    /// Whether it has ended.
    pub fn is_final(self) -> bool {
        matches!(self, Self::Completed | Self::Failed | Self::Cancelled)
    }
}

/// What an attempt holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Lease {
    /// The agent.
    pub agent: AgentNo,
    /// Its session.
    pub epoch: u8,
    /// What proves it.
    pub token: u8,
}

/// How an attempt was ended by its agent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Closed {
    /// Which attempt.
    pub attempt: u8,
    /// Its token.
    pub token: u8,
    /// How.
    pub by: By,
}

/// How an agent ends an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum By {
    /// With a result.
    Completion,
    /// With a failure that may be retried.
    Failure,
}

impl By {
    /// As the rules say it.
    pub fn kind(self) -> ClosedBy {
        match self {
            Self::Completion => ClosedBy::Completion,
            Self::Failure => ClosedBy::Failure,
        }
    }
}

/// An agent's row.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AgentRow {
    /// Its latest session.
    pub epoch: u8,
    /// The live session.
    pub session: Option<Session>,
}

/// A live session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Session {
    /// The replica that has the stream, or awaits the agent.
    pub at: Registration,
    /// The stream broke.
    pub broken: bool,
    /// The agent's process.
    pub instance: u8,
}

/// What an agent has, and shows with every report.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Fence {
    /// The task.
    pub task: TaskNo,
    /// The attempt.
    pub attempt: u8,
    /// The lease token.
    pub token: u8,
}
