//! What is to be done when a command is committed.

use crate::command::Fence;
use crate::model::{
    AgentId, Edge, Failure, LaneId, NamespaceId, Payload, Task, TaskId, Timestamp, Workflow, WorkflowId,
};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// What is to be done after the commit. Derivable from rows, so that a death between the commit and this loses nothing; and
/// carries versions or epochs, so that a late one can be dropped.
#[derive(Clone, Debug)]
pub enum Effect {
    /// Push an assignment to an agent's stream.
    Assign {
        /// The agent.
        agent: AgentId,
        /// Its session.
        epoch: i64,
        /// The task as it was assigned.
        task: Arc<Task>,
    },
    /// Tell an agent to stop an attempt.
    Stop {
        /// The agent.
        agent: AgentId,
        /// Which attempt.
        fence: Fence,
        /// Why.
        reason: StopReason,
        /// The same, for people.
        message: String,
    },
    /// End a session's stream.
    CloseSession {
        /// The agent.
        agent: AgentId,
        /// The session that is over.
        epoch: i64,
        /// Why.
        why: SessionEnd,
    },
    /// Wake those who wait for the task.
    Ended {
        /// The task as it ended.
        task: Arc<Task>,
        /// Its result, if it was completed.
        result: Option<Arc<Payload>>,
        /// Its failure, if it failed.
        failure: Option<Arc<Failure>>,
    },
    /// A task became ready by the end of its only dependency, which the same command brought: so what its handler is given of that is at
    /// hand.
    Released {
        /// The edge between them.
        edge: Edge,
    },
    /// A task has more dependents than were told of its end in one step: wake it for the next.
    Releasing {
        /// The task.
        task: TaskId,
    },
    /// Wake those who wait for the workflow.
    WorkflowEnded {
        /// The workflow as it ended.
        workflow: Arc<Workflow>,
    },
    /// What is carried out over a workflow has more tasks to reach than one step does: go on.
    WalkingWorkflow {
        /// The namespace.
        namespace: NamespaceId,
        /// The workflow.
        workflow: WorkflowId,
    },
    /// A session's agent is known, and may be given tasks.
    SessionChanged {
        /// The agent.
        agent: AgentId,
    },
    /// A lane has ready tasks.
    LaneReady {
        /// The namespace.
        namespace: NamespaceId,
        /// The lane.
        lane: LaneId,
    },
    /// Tell an agent that a paused attempt has a slot again.
    Resumed {
        /// The agent.
        agent: AgentId,
        /// Its session.
        epoch: i64,
        /// The task, running.
        task: Arc<Task>,
    },
    /// A limit that was reached has room: a task with its key gave its slot back.
    LimitFreed {
        /// The namespace.
        namespace: NamespaceId,
        /// The limit key, as tasks have it.
        key: Arc<str>,
    },
    /// A namespace has other limits.
    LimitsChanged {
        /// The namespace.
        namespace: NamespaceId,
    },
    /// An agent has a slot free that it had not, or one task less.
    SlotFreed {
        /// The agent.
        agent: AgentId,
    },
}

/// Why an attempt is to be stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum StopReason {
    /// The task's cancellation was asked for; the agent may still report.
    Requested,
    /// The lease is no longer the agent's.
    LeaseLost,
    /// The attempt ran out of time.
    TimedOut,
}

/// Why a session is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SessionEnd {
    /// Another program attached under the name.
    Superseded,
    /// The same program attached anew.
    Renewed,
    /// The agent was removed.
    Removed,
    /// It was silent, or did not come back in time.
    Expired,
    /// It drained, and has nothing left.
    Drained,
}

/// What is left in a lane after a dispatch.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LaneLeft {
    /// The namespace.
    pub namespace: NamespaceId,
    /// The lane.
    pub lane: LaneId,
    /// How many ready tasks are known to be left; the store may have more.
    pub ready: usize,
    /// Look again at this time (a preferred agent's head start ends).
    pub look_again_at: Option<Timestamp>,
}
