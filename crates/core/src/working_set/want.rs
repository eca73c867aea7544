//! What passes between the working set and a store: wishes, rows, changes.

use crate::model::{
    Agent, AgentId, ChildKey, Edge, Event, Failure, Lane, LaneId, LimitUse, Mailbox, Message, MessageId, MessageStub,
    Namespace, NamespaceId, OutputChunk, OutputTotals, Payload, RequestKey, RequestRecord, Slot, StepKey, StepTotals,
    Task, TaskChild, TaskId, TaskStep, Workflow, WorkflowId, WorkflowTask,
};
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::sync::Arc;

/// The name of an agent, with its namespace.
pub type AgentKey = (NamespaceId, Arc<str>);
/// A caller's own id of a task, with its namespace.
pub type TaskKey = (NamespaceId, String);
/// A lane, with its namespace.
pub type LaneRef = (NamespaceId, LaneId);
/// A task, with its namespace.
pub type TaskRef = (NamespaceId, TaskId);
/// A run of a task, with its namespace.
pub type RunRef = (NamespaceId, TaskId, u32);
/// A step of a run.
pub type StepRef = (RunRef, StepKey);
/// A child of a run.
pub type ChildRef = (RunRef, ChildKey);
/// An agent's mailbox, with its namespace.
pub type MailboxRef = (NamespaceId, AgentId);
/// A workflow, with its namespace.
pub type WorkflowRef = (NamespaceId, WorkflowId);
/// A limit key, with its namespace.
pub type LimitRef = (NamespaceId, Arc<str>);
/// A message, with its namespace.
pub type MessageRef = (NamespaceId, MessageId);

/// Rows that a command must see. A store answers with those that exist.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Want {
    /// Namespaces by name.
    pub namespaces: BTreeSet<Arc<str>>,
    /// Every namespace.
    pub all_namespaces: bool,
    /// Tasks.
    pub tasks: BTreeSet<TaskRef>,
    /// Agents by name, each with the ids of all tasks leased to it.
    pub agents: BTreeSet<AgentKey>,
    /// Agents by id, each with the ids of all tasks leased to it.
    pub agents_by_id: BTreeSet<(NamespaceId, AgentId)>,
    /// The live tasks that have these keys.
    pub keys: BTreeSet<TaskKey>,
    /// Remembered answers.
    pub requests: BTreeSet<RequestKey>,
    /// Unresolved edges from these sources, at most so many each, with their targets' tasks.
    pub pending_edges: BTreeMap<TaskRef, usize>,
    /// How many unresolved edges would be welcome with those from the tasks that stand behind the first wanted source in its workflow. A
    /// store may give fewer, or none.
    pub edges_ahead: usize,
    /// All edges to these targets, in their order, with their sources' tasks.
    pub dependencies: BTreeSet<TaskRef>,
    /// What these completed tasks gave, if it is no larger than [`crate::limits::MAX_CONDITION_RESULT`].
    pub results: BTreeSet<TaskRef>,
    /// All lanes of these namespaces.
    pub lanes: BTreeSet<NamespaceId>,
    /// Which lanes of these namespaces have live tasks.
    pub lanes_in_use: BTreeSet<NamespaceId>,
    /// How many tasks of these namespaces are live.
    pub live_counts: BTreeSet<NamespaceId>,
    /// The first ready tasks of these lanes by (rank, id), at most so many each. A store that is shared passes over those
    /// that another transaction has locked.
    pub ready: BTreeMap<LaneRef, usize>,
    /// Mailboxes.
    pub mailboxes: BTreeSet<MailboxRef>,
    /// Messages, without what they say.
    pub messages: BTreeSet<MessageRef>,
    /// Steps of runs, without their results, and what each of those runs has recorded in all. Their tasks are loaded before them.
    pub steps: BTreeSet<StepRef>,
    /// What the output of runs has come to. Their tasks are loaded before them.
    pub output: BTreeSet<RunRef>,
    /// Children of runs, and how many each of those runs has in all. The parents are loaded before them.
    pub children: BTreeSet<ChildRef>,
    /// All children of these runs that are cancelled when they end, with the tasks of those that are live. The parents are loaded
    /// before them.
    pub run_children: BTreeSet<RunRef>,
    /// Workflows.
    pub workflows: BTreeSet<WorkflowRef>,
    /// Tasks of workflows with these ordinals, each with its task unless that was forgotten.
    pub workflow_tasks: BTreeMap<WorkflowRef, Range<u32>>,
    /// Which tasks of workflows have these names, without the tasks themselves. The workflows are loaded before them.
    pub workflow_names: BTreeMap<WorkflowRef, BTreeSet<Arc<str>>>,
    /// What is used of limit keys.
    pub limits: BTreeSet<LimitRef>,
}

impl Want {
    /// Whether nothing is wanted.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Of what is named in it the rows that a shared store locks.
    pub fn locks(&self) -> Want {
        Want {
            agents: self.agents.clone(),
            agents_by_id: self.agents_by_id.clone(),
            // What tasks wait for is read behind their locks.
            tasks: self.tasks.union(&self.dependencies).copied().collect(),
            mailboxes: self.mailboxes.clone(),
            messages: self.messages.clone(),
            workflows: self.workflows.clone(),
            limits: self.limits.clone(),
            ..Want::default()
        }
    }

    /// Adds what another wants.
    pub fn merge(&mut self, other: Want) {
        self.namespaces.extend(other.namespaces);
        self.all_namespaces |= other.all_namespaces;
        self.tasks.extend(other.tasks);
        self.agents.extend(other.agents);
        self.agents_by_id.extend(other.agents_by_id);
        self.keys.extend(other.keys);
        self.requests.extend(other.requests);
        for (source, limit) in other.pending_edges {
            let known = self.pending_edges.entry(source).or_default();
            *known = limit.max(*known);
        }
        self.edges_ahead = self.edges_ahead.max(other.edges_ahead);
        self.dependencies.extend(other.dependencies);
        self.results.extend(other.results);
        self.lanes.extend(other.lanes);
        self.lanes_in_use.extend(other.lanes_in_use);
        self.live_counts.extend(other.live_counts);
        for (lane, limit) in other.ready {
            let known = self.ready.entry(lane).or_default();
            *known = limit.max(*known);
        }
        self.mailboxes.extend(other.mailboxes);
        self.messages.extend(other.messages);
        self.steps.extend(other.steps);
        self.output.extend(other.output);
        self.children.extend(other.children);
        self.run_children.extend(other.run_children);
        self.workflows.extend(other.workflows);
        for (workflow, ordinals) in other.workflow_tasks {
            let known = self.workflow_tasks.entry(workflow).or_insert(ordinals.clone());
            *known = known.start.min(ordinals.start)..known.end.max(ordinals.end);
        }
        for (workflow, names) in other.workflow_names {
            self.workflow_names.entry(workflow).or_default().extend(names);
        }
        self.limits.extend(other.limits);
    }
}

impl Want {
    /// Of edges that were found ahead, source by source: those of wanted sources, and of the last one, which may have more, are taken out.
    pub fn keep_whole_sources(&self, ahead: &mut Vec<Edge>) {
        if ahead.len() >= self.edges_ahead
            && let Some(last) = ahead.last().map(|edge| edge.source)
        {
            ahead.retain(|edge| edge.source != last);
        }
        ahead.retain(|edge| !self.pending_edges.contains_key(&(edge.namespace, edge.source)));
    }
}

/// What a store found.
#[derive(Clone, Debug, Default)]
pub struct Rows {
    /// Namespaces.
    pub namespaces: Vec<Namespace>,
    /// Tasks: wanted themselves, by their key, as ends of wanted edges, or ready. A task may come more than once.
    pub tasks: Vec<Task>,
    /// Inputs of those tasks, as far as they are small; a store may leave them out.
    pub inputs: Vec<(TaskId, Arc<Payload>)>,
    /// Agents.
    pub agents: Vec<Agent>,
    /// Which tasks are leased to these agents, what they are to their slots, and their lanes: to count them, and what they take, one need
    /// not see the tasks.
    pub leases: Vec<(AgentId, TaskId, Slot, LaneId)>,
    /// Live tasks by key.
    pub keys: Vec<(TaskKey, TaskId)>,
    /// Remembered answers.
    pub requests: Vec<RequestRecord>,
    /// Edges of wanted sources and targets.
    pub edges: Vec<Edge>,
    /// Unresolved edges of sources that nobody asked for: of each all, with their targets' tasks.
    pub edges_ahead: Vec<Edge>,
    /// Results.
    pub results: Vec<(TaskRef, Arc<Payload>)>,
    /// Lanes of wanted namespaces.
    pub lanes: Vec<Lane>,
    /// Lanes with live tasks, of wanted namespaces.
    pub lanes_in_use: Vec<LaneRef>,
    /// Live tasks of wanted namespaces; one without any may be left out.
    pub live_counts: Vec<(NamespaceId, i64)>,
    /// How many ready tasks were found in each wanted lane; one without any may be left out.
    pub ready: Vec<(LaneRef, usize)>,
    /// Wanted lanes in which fewer ready tasks were found than asked for, since others were passed over that another transaction has
    /// locked. One may be named whose others were just given out; a store that is not shared names none.
    pub ready_locked: Vec<LaneRef>,
    /// Mailboxes.
    pub mailboxes: Vec<Mailbox>,
    /// Messages.
    pub messages: Vec<MessageStub>,
    /// Steps, each with the digest of its result.
    pub steps: Vec<(StepRef, u64)>,
    /// What the runs of wanted steps have recorded; one that recorded nothing may be left out.
    pub step_totals: Vec<(RunRef, StepTotals)>,
    /// What the output of wanted runs has come to; one without any may be left out.
    pub output: Vec<(RunRef, OutputTotals)>,
    /// Children.
    pub children: Vec<(ChildRef, TaskId)>,
    /// How many children the runs of wanted children have; one that has none may be left out.
    pub child_counts: Vec<(RunRef, u32)>,
    /// Children that are cancelled when their parents' runs end.
    pub run_children: Vec<(RunRef, TaskId)>,
    /// Workflows.
    pub workflows: Vec<Workflow>,
    /// Tasks of workflows.
    pub workflow_tasks: Vec<WorkflowTask>,
    /// Tasks of workflows that have wanted names.
    pub workflow_names: Vec<WorkflowTask>,
    /// What is used of wanted limit keys; one of which nothing is used may be left out.
    pub limits: Vec<LimitUse>,
}

/// A row that changes: what it is to be, and the version that it must have before (0: it must not exist).
#[derive(Clone, Debug)]
pub struct Changed<T> {
    /// As it is to be.
    pub row: T,
    /// The version that it must have.
    pub expected: i64,
}

/// What a batch changes. A store applies it whole, or not at all.
#[derive(Clone, Debug, Default)]
pub struct ChangeSet {
    /// Namespaces, new and changed.
    pub namespaces: Vec<Changed<Namespace>>,
    /// Tasks, new and changed. New ones (`expected` 0) come with their input.
    pub tasks: Vec<ChangedTask>,
    /// Agents, new and changed.
    pub agents: Vec<Changed<Agent>>,
    /// Agents that are forgotten.
    pub removed_agents: Vec<(NamespaceId, AgentId)>,
    /// New lanes; one that exists is left as it is.
    pub lanes: Vec<Lane>,
    /// Lanes that no live task is in.
    pub removed_lanes: Vec<LaneRef>,
    /// New edges.
    pub edges: Vec<Edge>,
    /// Edges that are now resolved: source and target.
    pub resolved_edges: Vec<(NamespaceId, TaskId, TaskId)>,
    /// Edges that wait again: source and target.
    pub reopened_edges: Vec<(NamespaceId, TaskId, TaskId)>,
    /// Results, checkpoints and failures; each replaces the one before.
    pub payloads: Vec<PayloadWrite>,
    /// Events, in order for each task.
    pub events: Vec<Event>,
    /// Answers to remember.
    pub requests: Vec<RequestRecord>,
    /// Mailboxes, new and changed.
    pub mailboxes: Vec<Changed<Mailbox>>,
    /// New messages, in order for each mailbox.
    pub messages: Vec<Arc<Message>>,
    /// Messages that go: mailbox and place. Some may be new in the same change.
    pub removed_messages: Vec<(NamespaceId, AgentId, i64)>,
    /// Steps that were recorded, in order for each run.
    pub steps: Vec<TaskStep>,
    /// Output that was given, in order for each run.
    pub output: Vec<OutputChunk>,
    /// Children that were created, in order for each run.
    pub children: Vec<TaskChild>,
    /// Workflows, new and changed.
    pub workflows: Vec<Changed<Workflow>>,
    /// New tasks of workflows.
    pub workflow_tasks: Vec<WorkflowTask>,
    /// What is used of limit keys, new and changed.
    pub limits: Vec<Changed<LimitUse>>,
    /// Limit keys of which nothing is used any more, with the version that their rows must have.
    pub removed_limits: Vec<(LimitRef, i64)>,
}

impl ChangeSet {
    /// Whether nothing changes.
    pub fn is_empty(&self) -> bool {
        self.namespaces.is_empty()
            && self.tasks.is_empty()
            && self.agents.is_empty()
            && self.removed_agents.is_empty()
            && self.lanes.is_empty()
            && self.removed_lanes.is_empty()
            && self.edges.is_empty()
            && self.resolved_edges.is_empty()
            && self.reopened_edges.is_empty()
            && self.payloads.is_empty()
            && self.events.is_empty()
            && self.requests.is_empty()
            && self.mailboxes.is_empty()
            && self.messages.is_empty()
            && self.removed_messages.is_empty()
            && self.steps.is_empty()
            && self.output.is_empty()
            && self.children.is_empty()
            && self.workflows.is_empty()
            && self.workflow_tasks.is_empty()
            && self.limits.is_empty()
            && self.removed_limits.is_empty()
    }
}

/// A task that is new or changed.
#[derive(Clone, Debug)]
pub struct ChangedTask {
    /// As it is to be.
    pub row: Task,
    /// The version that it must have; 0: it must not exist.
    pub expected: i64,
    /// Its spec changed too (always so when new).
    pub spec_changed: bool,
    /// The input of a new task.
    pub input: Option<Arc<Payload>>,
}

/// A payload to write.
#[derive(Clone, Debug)]
pub struct PayloadWrite {
    /// The task's namespace.
    pub namespace: NamespaceId,
    /// The task.
    pub task: TaskId,
    /// What it is.
    pub value: PayloadValue,
}

/// What is kept beside a task, one of each kind.
#[derive(Clone, Debug, PartialEq)]
pub enum PayloadValue {
    /// What the task gave.
    Result(Arc<Payload>),
    /// What the next attempt begins from.
    Checkpoint(Arc<Payload>),
    /// How it, or its last attempt, failed.
    Failure(Arc<Failure>),
}
