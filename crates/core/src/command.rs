//! What can be asked of the rules, and what comes back.

pub use crate::effect::{Effect, LaneLeft, SessionEnd, StopReason};
use crate::model::pause::remembered;
use crate::model::{
    AddedTasks, AgentId, AgentProfile, ClosedBy, Failure, LaneId, LeaseToken, MessageId, Namespace, NamespaceId,
    NamespaceSettings, NewCheckpoint, NewChild, NewDependency, NewMessage, NewStep, NewTask, NewWorkflow, OutputBatch,
    Payload, Priority, Progress, Span, StateName, Task, TaskId, Timestamp, WorkflowId,
};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::sync::Arc;

/// A command with who asks and how it is told from others.
#[derive(Clone, Debug)]
pub struct Envelope {
    /// The namespace it is about, by name.
    pub namespace: Arc<str>,
    /// Who asks: a principal, or `system`.
    pub principal: Arc<str>,
    /// What makes a repetition safe, if the caller wants that.
    pub request: Option<RequestToken>,
    /// What is asked.
    pub command: Command,
}

/// What makes a repetition safe.
#[derive(Clone, Debug)]
pub struct RequestToken {
    /// The method, as in `CreateTask`.
    pub method: &'static str,
    /// What the caller chose.
    pub id: String,
    /// The digest of the request's values; its first byte is the digest's version.
    pub digest: Vec<u8>,
}

/// Which attempt, and what proves that the reporter has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fence {
    /// The task.
    pub task: TaskId,
    /// The attempt.
    pub attempt: u32,
    /// The lease token.
    pub token: LeaseToken,
}

/// Who reports.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reporter {
    /// An agent over its stream.
    Session {
        /// The agent.
        agent: AgentId,
        /// Its session's epoch.
        epoch: i64,
    },
    /// Whoever has the token, by a unary call.
    Token,
}

/// What is reported of an attempt.
#[derive(Clone, Debug, PartialEq)]
pub enum Report {
    /// The handler begins.
    Accepted,
    /// The agent hands the attempt back.
    Rejected {
        /// Why.
        reason: String,
    },
    /// The handler goes on.
    Progress(Progress),
    /// The next attempt is to begin from here.
    Checkpoint(NewCheckpoint),
    /// A step is done; later attempts of the run are given its result.
    Step(NewStep),
    /// The handler gives something to those who watch.
    Output(OutputBatch),
    /// The handler waits, and needs no slot meanwhile.
    Pause,
    /// The handler wants to go on.
    Resume,
    /// The task is done.
    Completed {
        /// What it gives.
        result: Arc<Payload>,
        /// A digest of it.
        digest: u64,
    },
    /// The attempt failed.
    Failed {
        /// How.
        failure: Arc<Failure>,
        /// A digest of it.
        digest: u64,
    },
}

impl Report {
    /// How the report ends its attempt, if it does, and the digest that tells it from another.
    pub fn closes(&self) -> Option<(ClosedBy, u64)> {
        match self {
            Report::Completed { digest, .. } => Some((ClosedBy::Completion, *digest)),
            Report::Failed { digest, .. } => Some((ClosedBy::Failure, *digest)),
            Report::Rejected { .. } => Some((ClosedBy::HandBack, 0)),
            Report::Accepted
            | Report::Progress(_)
            | Report::Checkpoint(_)
            | Report::Step(_)
            | Report::Output(_)
            | Report::Pause
            | Report::Resume => None,
        }
    }
}

/// How a task that nobody has is ended by a unary call.
#[derive(Clone, Debug)]
pub enum DirectReport {
    /// It is done.
    Completed(Arc<Payload>),
    /// An attempt of it failed.
    Failed(Arc<Failure>),
}

/// What changes of a live task.
#[derive(Clone, Debug, Default)]
pub struct TaskUpdate {
    /// The new priority.
    pub priority: Option<Priority>,
    /// The new assignee; `Some(None)` takes any agent.
    pub assignee: Option<Option<String>>,
    /// The new deadline; `Some(None)` is none.
    pub deadline: Option<Option<Timestamp>>,
    /// The new tags.
    pub tags: Option<BTreeSet<String>>,
}

/// What is asked.
#[derive(Clone, Debug)]
pub enum Command {
    /// A new namespace, of the envelope's name.
    CreateNamespace {
        /// Its settings.
        settings: NamespaceSettings,
    },
    /// Other settings for the namespace.
    UpdateNamespace {
        /// All of them.
        settings: NamespaceSettings,
    },
    /// What is used of limit keys is forgotten where nothing is.
    ForgetLimits {
        /// Which.
        keys: Vec<Arc<str>>,
    },
    /// New tasks, all or none.
    CreateTasks {
        /// What they are.
        tasks: Vec<NewTask>,
    },
    /// A child of a task that is leased, or the one that is there.
    CreateChild {
        /// The parent, and what proves that whoever asks has it.
        fence: Fence,
        /// The child.
        child: Box<NewChild>,
    },
    /// A workflow with its tasks, all or none.
    CreateWorkflow {
        /// The workflow.
        workflow: Box<NewWorkflow>,
    },
    /// The end of a workflow, whatever its tasks do.
    CancelWorkflow {
        /// Which.
        workflow: WorkflowId,
        /// Why.
        reason: String,
    },
    /// Another run for the tasks of a workflow that failed.
    RetryWorkflow {
        /// Which.
        workflow: WorkflowId,
    },
    /// More tasks for a workflow, all or none.
    AddWorkflowTasks {
        /// Which.
        workflow: WorkflowId,
        /// The tasks.
        added: Box<AddedTasks>,
    },
    /// Keep a workflow's tasks that no agent has from being assigned.
    HoldWorkflow {
        /// Which.
        workflow: WorkflowId,
        /// Why.
        reason: String,
    },
    /// End a workflow's hold.
    ReleaseWorkflow {
        /// Which.
        workflow: WorkflowId,
    },
    /// The next step of what is being carried out over a workflow's tasks.
    GoOnWalking {
        /// Which.
        workflow: WorkflowId,
    },
    /// The end of a task, whatever it does.
    CancelTask {
        /// Which.
        task: TaskId,
        /// Why.
        reason: String,
    },
    /// The next run of an ended task.
    RetryTask {
        /// Which.
        task: TaskId,
    },
    /// Keep a task from being assigned.
    HoldTask {
        /// Which.
        task: TaskId,
        /// Why.
        reason: String,
    },
    /// End a hold.
    ReleaseTask {
        /// Which.
        task: TaskId,
    },
    /// Change a live task.
    UpdateTask {
        /// Which.
        task: TaskId,
        /// What.
        update: TaskUpdate,
    },
    /// More that a waiting task waits for, all or none.
    AddDependencies {
        /// Which.
        task: TaskId,
        /// What must end first, too.
        dependencies: Vec<NewDependency>,
    },
    /// An agent attaches by a stream to the replica that decides.
    Attach {
        /// Its name.
        name: Arc<str>,
        /// What it says of itself.
        profile: Arc<AgentProfile>,
        /// What it still has.
        held: Vec<Fence>,
        /// The epoch it had before; 0: none.
        previous_epoch: i64,
        /// Its process.
        instance: String,
    },
    /// An agent's stream broke; it may come back.
    BreakSession {
        /// Which agent.
        agent: AgentId,
        /// Which session.
        epoch: i64,
    },
    /// The replica that had an agent's stream is dead: the replica that decides awaits the agent from now on.
    AdoptSession {
        /// Which agent.
        agent: AgentId,
        /// Which session.
        epoch: i64,
        /// The dead replica.
        from: Arc<str>,
    },
    /// An agent's session is over: its attempts are lost.
    EndSession {
        /// Which agent.
        agent: AgentId,
        /// Which session.
        epoch: i64,
        /// Why, for the history.
        reason: &'static str,
    },
    /// An agent takes another number of tasks at once.
    SetSlots {
        /// Which agent.
        agent: AgentId,
        /// Which session.
        epoch: i64,
        /// How many.
        slots: u32,
    },
    /// An agent wants no new tasks.
    DrainSession {
        /// Which agent.
        agent: AgentId,
        /// Which session.
        epoch: i64,
    },
    /// Tasks for an agent that claims.
    Claim {
        /// Its name.
        name: Arc<str>,
        /// What it says of itself.
        profile: Arc<AgentProfile>,
        /// At most this many.
        max: usize,
        /// For how long.
        lease: Span,
    },
    /// What became of an attempt.
    Report {
        /// Which attempt.
        fence: Fence,
        /// Who says so.
        reporter: Reporter,
        /// What.
        report: Report,
    },
    /// A claimed task is kept.
    Heartbeat {
        /// Which attempt.
        fence: Fence,
        /// For how long from now; none: as claimed.
        lease: Option<Span>,
        /// What the handler says.
        progress: Option<Progress>,
        /// What the next attempt is to begin from.
        checkpoint: Option<NewCheckpoint>,
        /// Steps that are done.
        steps: Vec<NewStep>,
        /// Output that the handler gave.
        output: Option<OutputBatch>,
    },
    /// A task that nobody has is claimed and ended in one step.
    DirectReport {
        /// Which task.
        task: TaskId,
        /// Who did it, by name.
        agent: Arc<str>,
        /// How it ended.
        report: DirectReport,
    },
    /// Give an agent no new tasks, or again.
    Cordon {
        /// Its name.
        name: Arc<str>,
        /// Whether.
        cordoned: bool,
    },
    /// Forget an agent.
    RemoveAgent {
        /// Its name.
        name: Arc<str>,
    },
    /// Forget an agent that does not come back, if it is as it looks: without session, lease and messages.
    ForgetAgent {
        /// Its name.
        name: Arc<str>,
        /// Its latest session ended at this time, or before.
        before: Timestamp,
    },
    /// A message for an agent's mailbox.
    SendMessage {
        /// The agent that sends it, with the epoch of its session; none: a unary caller.
        from: Option<(AgentId, i64)>,
        /// The message.
        message: NewMessage,
    },
    /// Messages that are handled: they go out of their mailbox for good.
    AcknowledgeMessages {
        /// Whose mailbox.
        agent: AgentId,
        /// The epoch of its session; none: a unary caller that may do so.
        epoch: Option<i64>,
        /// Which. Those that are not in the mailbox are passed over.
        messages: Vec<MessageId>,
    },
    /// Messages whose time is over go out of their mailbox.
    ExpireMessages {
        /// Whose mailbox.
        agent: AgentId,
        /// Which. Those that have time left are passed over.
        messages: Vec<MessageId>,
    },
    /// One of a task's times may have come.
    Wake {
        /// Which task.
        task: TaskId,
    },
    /// Another replica gave a paused task a slot, and this one may have its agent's stream.
    TellResumed {
        /// Which task.
        task: TaskId,
    },
    /// Give ready tasks of these lanes to attached agents.
    Dispatch {
        /// Which lanes, of any namespace.
        lanes: Vec<(NamespaceId, LaneId)>,
    },
}

impl Command {
    /// Whether it goes before others in a batch: what agents report and what stops work frees what others wait for.
    pub fn is_urgent(&self) -> bool {
        matches!(
            self,
            Command::Report { .. }
                | Command::Heartbeat { .. }
                | Command::DirectReport { .. }
                | Command::CancelTask { .. }
                | Command::Attach { .. }
                | Command::BreakSession { .. }
                | Command::AdoptSession { .. }
                | Command::EndSession { .. }
                | Command::SetSlots { .. }
                | Command::DrainSession { .. }
                | Command::AcknowledgeMessages { .. }
        )
    }
}

/// What a command did.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// The answer.
    pub reply: Reply,
    /// What is to be done after the commit.
    pub effects: Vec<Effect>,
    /// The answer is a remembered one: nothing was done.
    pub replayed: bool,
}

/// The answer to a command. Serialized, it is what a repetition gets.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reply {
    /// Nothing to say.
    Done,
    /// What became of tasks.
    Tasks(Vec<TaskReceipt>),
    /// A namespace as it is now.
    Namespace(Namespace),
    /// An agent was changed; read it for more.
    Agent(AgentId),
    /// An agent is attached.
    Attached(Attached),
    /// Leases for an agent that claims.
    Claimed(Vec<Fence>),
    /// A report is durable.
    Reported(StateName),
    /// A lease is extended.
    Extended {
        /// Until when.
        until: Timestamp,
        /// The task's cancellation was asked for.
        cancel_requested: bool,
    },
    /// Tasks of these lanes were left, or may be, though some were given out.
    Dispatched(Vec<LaneLeft>),
    /// A message is in its mailbox.
    Sent(MessageReceipt),
    /// So many messages went out of their mailbox.
    Taken(usize),
    /// A workflow was created.
    Workflow {
        /// The workflow.
        workflow: WorkflowId,
        /// What became of its tasks, in their order.
        tasks: Vec<TaskReceipt>,
    },
}

/// Where a message is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MessageReceipt {
    /// Its id.
    pub message: MessageId,
    /// Its place in the mailbox.
    pub sequence: i64,
}

/// What a command did to a task.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TaskReceipt {
    /// The task.
    pub task: TaskId,
    /// Its state after the command.
    #[serde(flatten, with = "remembered")]
    pub state: StateName,
    /// Its run.
    pub run: u32,
    /// Its version.
    pub version: i64,
    /// It existed.
    #[serde(default)]
    pub existing: bool,
}

impl TaskReceipt {
    /// Of a task as it is now.
    pub fn of(task: &Task) -> Self {
        Self { task: task.id, state: task.state.name(), run: task.run, version: task.version, existing: false }
    }
}

/// An agent is attached.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Attached {
    /// The agent.
    pub agent: AgentId,
    /// The session's epoch.
    pub epoch: i64,
    /// Which attempts it still has.
    pub held: Vec<Fence>,
}
