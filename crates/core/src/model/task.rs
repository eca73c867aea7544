//! The task: what is asked, and where it is in its life.

use super::checkpoint::LastCheckpoint;
use super::child::ParentLink;
use super::id::{AgentId, LaneId, LeaseToken, NamespaceId, TaskId};
use super::pause::Pause;
use super::payload::Payload;
use super::rank::rank;
use super::spec::TaskSpec;
use super::time::{Span, Timestamp, earliest};
use crate::settings::Settings;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::sync::Arc;

/// A piece of work.
#[derive(Clone, Debug, PartialEq)]
pub struct Task {
    /// Its namespace.
    pub namespace: NamespaceId,
    /// Its id.
    pub id: TaskId,
    /// What it is asked to be.
    pub spec: Arc<TaskSpec>,
    /// The lane of its requirements in force: of its own, or of the fallback that its run has come to.
    pub lane: LaneId,
    /// Where it is in its life.
    pub state: TaskState,
    /// One try to reach an outcome; from 1.
    pub run: u32,
    /// When the run began: schedule-to-close counts from here.
    pub run_opened_at: Timestamp,
    /// The latest attempt's number; rises across runs; 0: none yet.
    pub attempt: u32,
    /// Attempts of this run that count.
    pub attempts_used: u32,
    /// Attempts in a row that lost their agents.
    pub lost_in_row: u32,
    /// Attempts of this run that were handed back.
    pub handed_back: u32,
    /// The agent that handed it back last, and should not get it at once again.
    pub avoid: Option<AgentId>,
    /// The agent at which an attempt of this run failed last, ran out of time or was lost: the next goes to another that is free, if
    /// there is one.
    pub failed_at: Option<AgentId>,
    /// Which fallback of its requirements this run has come to: 1 is the first; 0: its own count.
    pub fallback: u32,
    /// The times of its fallbacks count from here, if it did not become ready later.
    pub fallbacks_anew: Option<Timestamp>,
    /// The agent that has it, or had it last, by name.
    pub agent_name: Option<Arc<str>>,
    /// Who had the last attempts of dependencies that have ended, by what the task calls those: only of those that it wants to be near to
    /// or apart from.
    pub dependency_agents: BTreeMap<Arc<str>, Arc<str>>,
    /// What the handler last said.
    pub progress: Progress,
    /// How the latest attempt was ended by its agent, so that the same report gets the same receipt.
    pub closed: Option<Closed>,
    /// There is a checkpoint for the next attempt.
    pub has_checkpoint: bool,
    /// The one that was saved last, so that the same report is no second event.
    pub last_checkpoint: Option<LastCheckpoint>,
    /// How many tasks it depends on.
    pub dependencies: u32,
    /// Others depend on it, or it may have children: its end is to be told.
    pub has_dependents: bool,
    /// Its run may have children. Then `has_dependents` is set, too.
    pub has_children: bool,
    /// It has ended, and not all that depend on it know yet.
    pub releasing: bool,
    /// Who created it.
    pub created_by: Arc<str>,
    /// When.
    pub created_at: Timestamp,
    /// When its latest attempt was accepted.
    pub started_at: Option<Timestamp>,
    /// The sequence number of its latest event.
    pub last_event: i64,
    /// Rises with every change; 0 is never stored.
    pub version: i64,
    /// The input, when it is small and at hand. Not part of the row.
    pub input: Option<Arc<Payload>>,
}

/// Where a task is in its life.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum TaskState {
    /// Not yet eligible.
    Waiting(Waiting),
    /// Eligible, and no agent has it.
    Ready {
        /// Since when.
        since: Timestamp,
    },
    /// Leased to an agent that has not accepted yet.
    Assigned {
        /// The lease.
        lease: Lease,
        /// When it was ready: schedule-to-start counts from here.
        ready_since: Timestamp,
    },
    /// Accepted.
    Running {
        /// The lease.
        lease: Lease,
        /// When the handler itself was last heard.
        heard_at: Timestamp,
        /// Its cancellation was asked for.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        cancelling: Option<Cancelling>,
    },
    /// Accepted, and its handler waits without a slot. Rows have it as [`TaskState::Running`] and the pause beside it, so that a
    /// version that knows no pauses reads and writes them as well.
    #[serde(skip)]
    Paused {
        /// The lease.
        lease: Lease,
        /// Its cancellation was asked for.
        cancelling: Option<Cancelling>,
        /// The wait.
        pause: Pause,
    },
    /// Ended with a result.
    Completed {
        /// When.
        at: Timestamp,
    },
    /// Ended with a failure.
    Failed {
        /// When.
        at: Timestamp,
    },
    /// Ended because someone cancelled it.
    Cancelled {
        /// When.
        at: Timestamp,
    },
    /// Ended because a dependency ended otherwise than its condition says.
    Skipped {
        /// When.
        at: Timestamp,
    },
}

/// What a waiting task waits for. When nothing is left, it is ready.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Waiting {
    /// Dependencies that have not ended.
    #[serde(default)]
    pub unmet: u32,
    /// It is held.
    #[serde(default)]
    pub held: bool,
    /// A time that has not come.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not_before: Option<NotBefore>,
}

/// A time that has to come first, and why.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NotBefore {
    /// The start time that was asked for.
    Start(Timestamp),
    /// The delay before the next attempt.
    Retry(Timestamp),
}

impl NotBefore {
    /// The time.
    pub fn at(self) -> Timestamp {
        match self {
            Self::Start(at) | Self::Retry(at) => at,
        }
    }
}

/// Why a task waits, for people.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WaitReason {
    /// For dependencies.
    Dependencies,
    /// It is held.
    Hold,
    /// For its start time.
    StartTime,
    /// For the delay before its next attempt.
    RetryDelay,
}

impl Waiting {
    /// Whether nothing is left to wait for.
    pub fn over(&self) -> bool {
        self.unmet == 0 && !self.held && self.not_before.is_none()
    }

    /// What it waits for, most binding first.
    pub fn reasons(&self) -> Vec<WaitReason> {
        let mut reasons = Vec::new();
        if self.held {
            reasons.push(WaitReason::Hold);
        }
        if self.unmet > 0 {
            reasons.push(WaitReason::Dependencies);
        }
        match self.not_before {
            Some(NotBefore::Start(_)) => reasons.push(WaitReason::StartTime),
            Some(NotBefore::Retry(_)) => reasons.push(WaitReason::RetryDelay),
            None => {}
        }
        reasons
    }
}

/// What an attempt holds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lease {
    /// The agent.
    pub agent: AgentId,
    /// The agent's session: rises when it re-attaches and still has the attempt.
    pub epoch: i64,
    /// What proves it.
    pub token: LeaseToken,
    /// When the attempt was given out, and as much later as it was paused: start-to-close counts from here. (Moved on rather than
    /// corrected by a field beside it, which a version that knows no pauses would drop.)
    pub assigned_at: Timestamp,
    /// For claims: until when, and how long each time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub claim: Option<ClaimLease>,
}

/// A claim's lease, which its own heartbeats extend. (A stream's lease is kept by its frames, in memory.)
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClaimLease {
    /// Until when.
    pub until: Timestamp,
    /// How long each time.
    pub span: Span,
}

/// A cancellation on its way to the agent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cancelling {
    /// When it was asked for.
    pub since: Timestamp,
    /// Why.
    pub reason: String,
}

/// How the latest attempt was ended by its agent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Closed {
    /// Which attempt.
    pub attempt: u32,
    /// Its token.
    pub token: LeaseToken,
    /// By what kind of report.
    pub by: ClosedBy,
    /// What the report said, digested.
    pub digest: u64,
}

/// The kind of report that ended an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ClosedBy {
    /// A completion.
    Completion,
    /// A failure.
    Failure,
    /// A hand-back.
    HandBack,
}

/// What a handler says while it works.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Progress {
    /// How much is done, 0 to 1.
    #[serde(default)]
    pub fraction: f64,
    /// What it is doing.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub phase: String,
    /// For people.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub message: String,
}

/// A state without its data, as rows and filters have it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StateName {
    /// Not yet eligible.
    Waiting,
    /// Eligible.
    Ready,
    /// Leased, not accepted.
    Assigned,
    /// Accepted.
    Running,
    /// Its handler waits, without a slot.
    Paused,
    /// Ended with a result.
    Completed,
    /// Ended with a failure.
    Failed,
    /// Ended cancelled.
    Cancelled,
    /// Ended skipped.
    Skipped,
}

impl StateName {
    /// All of them.
    pub const ALL: [StateName; 9] = [
        Self::Waiting,
        Self::Ready,
        Self::Assigned,
        Self::Running,
        Self::Paused,
        Self::Completed,
        Self::Failed,
        Self::Cancelled,
        Self::Skipped,
    ];

    /// Whether it is final for the run.
    pub fn is_final(self) -> bool {
        matches!(self, Self::Completed | Self::Failed | Self::Cancelled | Self::Skipped)
    }

    /// As messages show it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Waiting => "WAITING",
            Self::Ready => "READY",
            Self::Assigned => "ASSIGNED",
            Self::Running => "RUNNING",
            Self::Paused => "PAUSED",
            Self::Completed => "COMPLETED",
            Self::Failed => "FAILED",
            Self::Cancelled => "CANCELLED",
            Self::Skipped => "SKIPPED",
        }
    }
}

impl TaskState {
    /// Without its data.
    pub fn name(&self) -> StateName {
        match self {
            Self::Waiting(_) => StateName::Waiting,
            Self::Ready { .. } => StateName::Ready,
            Self::Assigned { .. } => StateName::Assigned,
            Self::Running { .. } => StateName::Running,
            Self::Paused { .. } => StateName::Paused,
            Self::Completed { .. } => StateName::Completed,
            Self::Failed { .. } => StateName::Failed,
            Self::Cancelled { .. } => StateName::Cancelled,
            Self::Skipped { .. } => StateName::Skipped,
        }
    }

    /// The lease, if an agent has the task.
    pub fn lease(&self) -> Option<&Lease> {
        match self {
            Self::Assigned { lease, .. } | Self::Running { lease, .. } | Self::Paused { lease, .. } => Some(lease),
            _ => None,
        }
    }

    /// When the task ended, if it has.
    pub fn ended_at(&self) -> Option<Timestamp> {
        match self {
            Self::Completed { at } | Self::Failed { at } | Self::Cancelled { at } | Self::Skipped { at } => Some(*at),
            _ => None,
        }
    }
}

impl Task {
    /// Whether it has not ended.
    pub fn is_live(&self) -> bool {
        !self.state.name().is_final()
    }

    /// Whose child it is, if it is one.
    pub fn parent(&self) -> Option<&ParentLink> {
        self.spec.parent.as_deref()
    }

    /// Whether the latest attempt is the first of its run: then the run has recorded nothing before it.
    pub fn is_first_attempt(&self) -> bool {
        self.attempts_used == 0 && self.handed_back == 0
    }

    /// The rank of a ready task among those of its lane, the lowest first.
    pub fn rank(&self) -> Option<i64> {
        match self.state {
            TaskState::Ready { since } => Some(rank(&self.spec, since)),
            _ => None,
        }
    }

    /// When the run is over, whatever happens.
    pub fn closes_at(&self) -> Option<Timestamp> {
        let by_timeout = self.spec.timeouts.schedule_to_close.map(|span| self.run_opened_at + span);
        earliest(self.spec.deadline, by_timeout)
    }

    /// When the rules must look at the task again though nothing is reported: the next of its times.
    pub fn wake_at(&self, settings: &Settings) -> Option<Timestamp> {
        if !self.is_live() {
            return self.releasing.then_some(Timestamp(0));
        }
        let revoked = self.state.cancelling().map(|cancelling| cancelling.since + settings.cancel_grace);
        let by_state = match &self.state {
            TaskState::Waiting(waiting) => waiting.not_before.map(NotBefore::at),
            TaskState::Ready { since } => earliest(self.starts_by(*since), self.falls_back_at(*since)),
            TaskState::Assigned { lease, ready_since } => {
                // A claim is accepted by whoever asked for it.
                let accepted_by = lease.claim.is_none().then(|| lease.assigned_at + settings.accept_within);
                earliest(earliest(accepted_by, self.starts_by(*ready_since)), self.lease_wakes_at(lease))
            }
            TaskState::Running { lease, heard_at, .. } => {
                let heartbeat = self.spec.timeouts.heartbeat.map(|span| *heard_at + span);
                earliest(heartbeat, self.lease_wakes_at(lease))
            }
            // Of a paused one the attempt's times stand still.
            _ => None,
        };
        earliest(earliest(by_state, revoked), self.closes_at())
    }

    /// When the task fails unless an agent has begun it.
    pub fn starts_by(&self, ready_since: Timestamp) -> Option<Timestamp> {
        self.spec.timeouts.schedule_to_start.map(|span| ready_since + span)
    }

    fn lease_wakes_at(&self, lease: &Lease) -> Option<Timestamp> {
        earliest(Some(self.attempt_ends_by(lease)), lease.claim.map(|c| c.until))
    }

    /// When the attempt times out.
    pub fn attempt_ends_by(&self, lease: &Lease) -> Timestamp {
        lease.assigned_at + self.spec.timeouts.start_to_close
    }
}
