//! One state of the whole: what is stored, what each replica and each agent has in memory, and what is on its way.

use crate::rows::{AgentNo, AgentRow, By, Fence, Registration, TaskRow};

/// The number of a replica.
pub type ReplicaNo = u8;

/// The whole.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct State {
    /// What is committed.
    pub store: Store,
    /// The replicas.
    pub replicas: Vec<Replica>,
    /// The agents' programs.
    pub programs: Vec<Program>,
    /// The streams between them, old ones too as long as one side doesn't know that they are over.
    pub streams: Vec<Stream>,
    /// What may still go wrong or be asked for.
    pub budget: Budget,
    /// What must never happen, and did on the way here.
    pub wrong: Option<Wrong>,
}

/// What is committed.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Store {
    /// By number.
    pub tasks: Vec<TaskRow>,
    /// By number.
    pub agents: Vec<AgentRow>,
    /// Registrations of replicas that were declared dead. A declaration and a renewal compare the same row, so that only one of
    /// them succeeds.
    pub dead: Vec<Registration>,
}

/// A replica's memory.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Replica {
    /// Its process runs.
    pub up: bool,
    /// It can't reach the store.
    pub cut: bool,
    /// By its own clock it could not renew its row for 5 s.
    pub quiet: bool,
    /// The other replica saw its row unrenewed for the time after which it may be taken for dead, and could commit throughout.
    pub watched: bool,
    /// Under which it is registered.
    pub registration: Registration,
    /// Sessions whose agents it awaits: their streams broke here, or it adopted them. With their epochs.
    pub awaits: Vec<(AgentNo, u8)>,
    /// Assignments that are committed and not yet pushed: their inputs are being read.
    pub pushes: Vec<Push>,
}

/// An assignment to be pushed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Push {
    /// To which agent.
    pub agent: AgentNo,
    /// To which session.
    pub epoch: u8,
    /// Which attempt.
    pub fence: Fence,
}

/// An agent's program.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Program {
    /// Which process: another one after each crash.
    pub instance: u8,
    /// The session that it was last told of; 0: none.
    pub epoch: u8,
    /// The attempts that it has.
    pub held: Vec<Held>,
}

/// An attempt that a program has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Held {
    /// Which.
    pub fence: Fence,
    /// How far it is.
    pub phase: Phase,
}

/// How far a program is with an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Phase {
    /// The handler runs.
    Running,
    /// The handler has ended; its report has no receipt.
    Reporting(By),
}

/// A stream, with its two ends.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Stream {
    /// The agent.
    pub agent: AgentNo,
    /// The replica.
    pub replica: ReplicaNo,
    /// The agent's end.
    pub near: Near,
    /// The replica's end.
    pub far: Far,
    /// Nothing that is said from now on arrives.
    pub lost: bool,
    /// Frames to the replica.
    pub up: Vec<Up>,
    /// Frames to the agent.
    pub down: Vec<Down>,
}

/// The agent's end of a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Near {
    /// It said hello.
    Opening,
    /// It was welcomed.
    Attached,
    /// It gave the stream up.
    Closed,
}

/// The replica's end of a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Far {
    /// It has not read the hello.
    New,
    /// It is the stream of this session.
    Open(u8),
    /// It gave the stream up.
    Gone,
}

/// A frame to a replica.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Up {
    /// The first: who attaches, with the attempts that it has.
    Hello {
        /// Its process.
        instance: u8,
        /// The session that it had.
        previous: u8,
        /// What it has.
        held: Vec<Fence>,
    },
    /// A report.
    Report(Fence, Said),
}

/// What is reported.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Said {
    /// The handler begins.
    Accepted,
    /// The handler has ended.
    Ended(By),
}

/// A frame to an agent.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Down {
    /// It is attached, and still has these attempts.
    Welcome(u8, Vec<Fence>),
    /// An attempt for it.
    Assign(Fence),
    /// A report is durable, or refused.
    Receipt(Fence, Said, Verdict),
    /// The stream is over: attach again.
    Close,
    /// Another program has the name: end.
    Refused,
}

/// What became of a report.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Verdict {
    /// It is durable.
    Committed,
    /// It changed nothing.
    Refused,
}

/// What may still happen from outside.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Budget {
    /// Crashes, cuts, broken streams, failures of handlers, and agents that are slower than their timers.
    pub faults: u8,
    /// Cancellations.
    pub cancels: u8,
}

/// What must never happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Wrong {
    /// A report changed something though its attempt, its token or its session is not the current one.
    StaleReport,
    /// A task that had ended changed.
    EndedTwice,
    /// An agent has a receipt for a result that the store does not have.
    ReceiptWithoutResult,
    /// A task whose cancellation is committed ended otherwise.
    CancelledAndNotCancelled,
    /// A replica that could still push was taken for dead.
    LiveReplicaDeclaredDead,
    /// A replica pushed an attempt though another one has its sessions.
    PushedForAdopted,
    /// A replica ended a session that another one has.
    EndedForOthers,
}
