//! A task's states, and how one follows another: the whole life of a task in one match.

use crate::model::task::{Cancelling, ClaimLease};
use crate::model::{Lease, Pause, StateName, TaskState, Timestamp, Waiting};

/// What happens to a task's state.
#[derive(Clone, Debug)]
pub enum Move {
    /// It has to wait (again): for dependencies, a time, a release.
    Wait(Waiting),
    /// It is eligible.
    Ready(Timestamp),
    /// An agent gets it.
    Assign(Lease),
    /// The agent begins.
    Accept(Timestamp),
    /// The handler itself was heard.
    Hear(Timestamp),
    /// The agent attached again, and still has it.
    Renew {
        /// The new session's epoch.
        epoch: i64,
    },
    /// A claim is extended.
    Extend(ClaimLease),
    /// Its cancellation is asked for while the handler runs.
    RequestCancel(Cancelling),
    /// Its handler waits, and wants to go on no more if it did.
    Pause(Timestamp),
    /// Its handler wants to go on: it gets the next slot.
    AwaitSlot(Timestamp),
    /// Its handler goes on.
    Resume(Timestamp),
    /// It ends with a result.
    Complete(Timestamp),
    /// It ends with a failure.
    Fail(Timestamp),
    /// It ends cancelled.
    Cancel(Timestamp),
    /// It ends skipped.
    Skip(Timestamp),
    /// The next run begins.
    Reopen(Waiting),
}

/// A move that a state does not allow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Illegal {
    /// The state.
    pub from: StateName,
    /// The move, as a participle.
    pub attempted: &'static str,
}

/// The state that follows.
///
/// | from      | to                                                                     |
/// |-----------|------------------------------------------------------------------------|
/// | WAITING   | WAITING, READY, FAILED, CANCELLED, SKIPPED                             |
/// | READY     | WAITING, ASSIGNED, FAILED, CANCELLED                                   |
/// | ASSIGNED  | WAITING, READY, RUNNING, FAILED, CANCELLED; a renewed or longer lease  |
/// | RUNNING   | WAITING, READY, PAUSED, COMPLETED, FAILED, CANCELLED; a renewed or longer lease|
/// | RUNNING, its cancellation asked for | PAUSED, CANCELLED; a renewed or longer lease |
/// | PAUSED    | WAITING, READY, RUNNING, COMPLETED, FAILED, CANCELLED; a renewed lease |
/// | PAUSED, its cancellation asked for | RUNNING, CANCELLED; a renewed lease           |
/// | COMPLETED | nothing                                                                |
/// | FAILED, CANCELLED, SKIPPED | WAITING, in the next run                              |
pub fn next(from: &TaskState, to: Move) -> Result<TaskState, Illegal> {
    let attempted = to.participle();
    use TaskState as S;
    let state = match (from, to) {
        // Once a cancellation is asked for, the outcome is CANCELLED whatever still arrives: no other attempt follows.
        (
            S::Waiting(_)
            | S::Ready { .. }
            | S::Assigned { .. }
            | S::Running { cancelling: None, .. }
            | S::Paused { cancelling: None, .. },
            Move::Wait(waiting),
        ) => S::Waiting(waiting),
        (
            S::Waiting(_)
            | S::Assigned { .. }
            | S::Running { cancelling: None, .. }
            | S::Paused { cancelling: None, .. },
            Move::Ready(since),
        ) => S::Ready { since },
        (S::Ready { since }, Move::Assign(lease)) => S::Assigned { lease, ready_since: *since },
        (S::Assigned { lease, .. }, Move::Accept(at)) => {
            S::Running { lease: lease.clone(), heard_at: at, cancelling: None }
        }
        (S::Running { lease, cancelling, .. }, Move::Hear(at)) => {
            S::Running { lease: lease.clone(), heard_at: at, cancelling: cancelling.clone() }
        }
        // Nothing is expected of a handler that waits.
        (paused @ S::Paused { .. }, Move::Hear(_)) => paused.clone(),
        (S::Assigned { lease, ready_since }, Move::Renew { epoch }) => {
            S::Assigned { lease: Lease { epoch, claim: None, ..lease.clone() }, ready_since: *ready_since }
        }
        (S::Running { lease, heard_at, cancelling }, Move::Renew { epoch }) => S::Running {
            lease: Lease { epoch, claim: None, ..lease.clone() },
            heard_at: *heard_at,
            cancelling: cancelling.clone(),
        },
        (S::Paused { lease, cancelling, pause }, Move::Renew { epoch }) => S::Paused {
            lease: Lease { epoch, claim: None, ..lease.clone() },
            cancelling: cancelling.clone(),
            pause: *pause,
        },
        (S::Assigned { lease, ready_since }, Move::Extend(claim)) => {
            S::Assigned { lease: Lease { claim: Some(claim), ..lease.clone() }, ready_since: *ready_since }
        }
        (S::Running { lease, heard_at, cancelling }, Move::Extend(claim)) => S::Running {
            lease: Lease { claim: Some(claim), ..lease.clone() },
            heard_at: *heard_at,
            cancelling: cancelling.clone(),
        },
        (S::Running { lease, heard_at, cancelling: None }, Move::RequestCancel(cancelling)) => {
            S::Running { lease: lease.clone(), heard_at: *heard_at, cancelling: Some(cancelling) }
        }
        (S::Paused { lease, cancelling: None, pause }, Move::RequestCancel(cancelling)) => {
            S::Paused { lease: lease.clone(), cancelling: Some(cancelling), pause: *pause }
        }
        (S::Running { lease, cancelling, .. }, Move::Pause(since)) => {
            S::Paused { lease: lease.clone(), cancelling: cancelling.clone(), pause: Pause { since, resuming: None } }
        }
        (S::Paused { lease, cancelling, pause }, Move::Pause(_)) => S::Paused {
            lease: lease.clone(),
            cancelling: cancelling.clone(),
            pause: Pause { resuming: None, ..*pause },
        },
        (S::Paused { lease, cancelling, pause }, Move::AwaitSlot(at)) => S::Paused {
            lease: lease.clone(),
            cancelling: cancelling.clone(),
            pause: Pause { resuming: pause.resuming.or(Some(at)), ..*pause },
        },
        (S::Paused { lease, cancelling, pause }, Move::Resume(at)) => S::Running {
            lease: Lease { assigned_at: lease.assigned_at + at.since(pause.since), ..lease.clone() },
            heard_at: at,
            cancelling: cancelling.clone(),
        },
        (S::Running { cancelling: None, .. } | S::Paused { cancelling: None, .. }, Move::Complete(at)) => {
            S::Completed { at }
        }
        (S::Waiting(_) | S::Ready { .. } | S::Assigned { .. }, Move::Fail(at)) => S::Failed { at },
        (S::Running { cancelling: None, .. } | S::Paused { cancelling: None, .. }, Move::Fail(at)) => S::Failed { at },
        (
            S::Waiting(_) | S::Ready { .. } | S::Assigned { .. } | S::Running { .. } | S::Paused { .. },
            Move::Cancel(at),
        ) => S::Cancelled { at },
        (S::Waiting(_), Move::Skip(at)) => S::Skipped { at },
        (S::Failed { .. } | S::Cancelled { .. } | S::Skipped { .. }, Move::Reopen(waiting)) => S::Waiting(waiting),

        (
            S::Waiting(_),
            Move::Assign(_)
            | Move::Accept(_)
            | Move::Hear(_)
            | Move::Renew { .. }
            | Move::Extend(_)
            | Move::RequestCancel(_)
            | Move::Pause(_)
            | Move::AwaitSlot(_)
            | Move::Resume(_)
            | Move::Complete(_)
            | Move::Reopen(_),
        )
        | (
            S::Ready { .. },
            Move::Ready(_)
            | Move::Accept(_)
            | Move::Hear(_)
            | Move::Renew { .. }
            | Move::Extend(_)
            | Move::RequestCancel(_)
            | Move::Pause(_)
            | Move::AwaitSlot(_)
            | Move::Resume(_)
            | Move::Complete(_)
            | Move::Skip(_)
            | Move::Reopen(_),
        )
        | (
            S::Assigned { .. },
            Move::Assign(_)
            | Move::Hear(_)
            | Move::RequestCancel(_)
            | Move::Pause(_)
            | Move::AwaitSlot(_)
            | Move::Resume(_)
            | Move::Complete(_)
            | Move::Skip(_)
            | Move::Reopen(_),
        )
        | (
            S::Running { .. },
            Move::Wait(_)
            | Move::Ready(_)
            | Move::Assign(_)
            | Move::Accept(_)
            | Move::RequestCancel(_)
            | Move::AwaitSlot(_)
            | Move::Resume(_)
            | Move::Complete(_)
            | Move::Fail(_)
            | Move::Skip(_)
            | Move::Reopen(_),
        )
        | (
            S::Paused { .. },
            Move::Wait(_)
            | Move::Ready(_)
            | Move::Assign(_)
            | Move::Accept(_)
            | Move::Extend(_)
            | Move::RequestCancel(_)
            | Move::Complete(_)
            | Move::Fail(_)
            | Move::Skip(_)
            | Move::Reopen(_),
        )
        | (S::Completed { .. }, _)
        | (
            S::Failed { .. } | S::Cancelled { .. } | S::Skipped { .. },
            Move::Wait(_)
            | Move::Ready(_)
            | Move::Assign(_)
            | Move::Accept(_)
            | Move::Hear(_)
            | Move::Renew { .. }
            | Move::Extend(_)
            | Move::RequestCancel(_)
            | Move::Pause(_)
            | Move::AwaitSlot(_)
            | Move::Resume(_)
            | Move::Complete(_)
            | Move::Fail(_)
            | Move::Cancel(_)
            | Move::Skip(_),
        ) => return Err(Illegal { from: from.name(), attempted }),
    };
    Ok(state)
}

impl Move {
    fn participle(&self) -> &'static str {
        match self {
            Self::Wait(_) => "held back",
            Self::Ready(_) => "made ready",
            Self::Assign(_) => "assigned",
            Self::Accept(_) => "accepted",
            Self::Hear(_) => "heard of",
            Self::Renew { .. } => "renewed",
            Self::Extend(_) => "extended",
            Self::RequestCancel(_) => "asked to stop",
            Self::Pause(_) => "paused",
            Self::AwaitSlot(_) => "given the next slot",
            Self::Resume(_) => "resumed",
            Self::Complete(_) => "completed",
            Self::Fail(_) => "failed",
            Self::Cancel(_) => "cancelled",
            Self::Skip(_) => "skipped",
            Self::Reopen(_) => "retried",
        }
    }
}
