//! The loaded rows that commands are decided on, with undo, and the changes made to them.
//!
//! A working set lives as long as the engine: rows that it has are not loaded again. It is a bounded cache of what is
//! committed, plus the changes of the batch at work. With a store that others write to as well, the engine forgets the rows
//! after each batch ([`WorkingSet::forget_rows`]).

mod access;
mod amounts;
mod cache;
mod children;
mod edges;
mod leases;
mod limits;
mod mail;
mod output;
mod results;
mod steps;
mod table;
mod want;
mod workflows;

pub use limits::limit_refs;
pub use want::{
    AgentKey, ChangeSet, Changed, ChangedTask, ChildRef, LaneRef, LimitRef, MailboxRef, MessageRef, PayloadValue,
    PayloadWrite, Rows, RunRef, StepRef, TaskKey, TaskRef, Want, WorkflowRef,
};

use crate::model::{
    Agent, AgentId, Edge, Lane, LimitUse, Mailbox, MessageStub, Namespace, NamespaceId, RequestKey, RequestRecord,
    Task, TaskId, Workflow,
};
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;
use table::Table;

/// The loaded rows and the changes made to them.
#[derive(Debug, Default)]
pub struct WorkingSet {
    namespaces: Table<Arc<str>, Namespace>,
    namespace_names: HashMap<NamespaceId, Arc<str>>,
    all_namespaces: bool,
    tasks: Table<TaskId, Task>,
    agents: Table<AgentId, Agent>,
    agent_names: HashMap<AgentKey, Option<AgentId>>,
    /// Tasks by the agent that has them. Complete for every agent in `agents`.
    leases: leases::Leases,
    /// Those of them of which only the id is known.
    unseen: HashMap<TaskId, AgentId>,
    /// The ready tasks that are here, by lane, in the order in which they are given out.
    ready: BTreeMap<LaneRef, BTreeSet<(i64, TaskId)>>,
    /// Lanes of which the store may have ready tasks that are not here.
    backlog: HashSet<LaneRef>,
    steps: steps::KnownSteps,
    output: output::KnownOutput,
    children: children::KnownChildren,
    edges: edges::KeptEdges,
    workflows: Table<WorkflowRef, Workflow>,
    lanes: HashMap<LaneRef, Lane>,
    lanes_of: HashSet<NamespaceId>,
    live: HashMap<NamespaceId, i64>,
    /// What is used of limit keys.
    limits: Table<LimitRef, LimitUse>,
    /// Roughly the bytes that the tasks take.
    weight: usize,
    batch: Batch,
}

/// What is known and changed in this batch alone.
#[derive(Debug, Default)]
struct Batch {
    keys: HashMap<TaskKey, Option<TaskId>>,
    requests: HashMap<RequestKey, Option<RequestRecord>>,
    requests_are_new: bool,
    /// Those that were looked for behind all that a refusal saw.
    made_sure_of: HashSet<RequestKey>,
    edges: HashMap<TaskId, edges::SourceEdges>,
    dependencies: HashMap<TaskId, Vec<Edge>>,
    /// What completed tasks gave, as far as conditions asked for it.
    results: HashMap<TaskRef, Option<Arc<crate::model::Payload>>>,
    lanes_in_use: HashMap<NamespaceId, BTreeSet<LaneRef>>,
    /// How many ready tasks of a lane were asked for.
    fetched: HashMap<LaneRef, usize>,
    /// How many ready tasks of a lane the batch took away or moved: the store still has them where they were.
    taken: HashMap<LaneRef, i64>,
    spec_changed: HashSet<TaskId>,
    inputs: HashMap<TaskId, Arc<crate::model::Payload>>,
    /// By how much the batch changed the counts of live tasks.
    live_delta: HashMap<NamespaceId, i64>,
    mailboxes: Table<MailboxRef, Mailbox>,
    /// Messages that wait, without what they say.
    stubs: Table<MessageRef, MessageStub>,
    workflow_tasks: HashMap<WorkflowRef, workflows::KnownTasks>,
    workflow_names: HashMap<WorkflowRef, workflows::KnownNames>,
    /// Children that are to be cancelled when their parents' runs end, as the store has them.
    run_children: HashMap<RunRef, BTreeSet<TaskId>>,
    /// Tasks that have ended or don't exist: not worth keeping behind the batch.
    passing: Vec<TaskId>,
    /// The workflows that the batch met.
    met_workflows: Vec<WorkflowRef>,
    changes: ChangeSet,
    undo: Vec<Undo>,
    marks: Marks,
}

/// What a command did outside the tables, to be undone.
#[derive(Debug)]
enum Undo {
    Key(TaskKey, Option<Option<TaskId>>),
    AgentName(AgentKey, Option<Option<AgentId>>),
    EdgeAdded(TaskId, TaskId),
    EdgeResolved(Edge),
    EdgeReopened { edge: Edge, was_pending: bool, was_resolved: bool },
    Live(NamespaceId, i64),
    LaneAdded(LaneRef),
    LaneRemoved(Lane),
    Request(RequestKey),
    SpecChanged(TaskId),
}

/// The lengths of the lists of changes when the command began.
#[derive(Clone, Copy, Debug, Default)]
struct Marks {
    edges: usize,
    resolved: usize,
    reopened: usize,
    payloads: usize,
    events: usize,
    requests: usize,
    lanes: usize,
    removed_lanes: usize,
    removed_agents: usize,
    messages: usize,
    removed_messages: usize,
    steps: usize,
    output: usize,
    children: usize,
    workflow_tasks: usize,
}

impl WorkingSet {
    /// The command stands: what it did can't be undone any more.
    pub fn keep(&mut self) {
        self.namespaces.keep();
        self.tasks.keep();
        self.agents.keep();
        self.limits.keep();
        self.batch.mailboxes.keep();
        self.batch.stubs.keep();
        self.workflows.keep();
        self.steps.keep();
        self.output.keep();
        self.children.keep();
        self.batch.undo.clear();
        self.batch.marks = Marks::of(&self.batch.changes);
    }

    /// Undoes all that was done since the last [`WorkingSet::keep`].
    pub fn roll_back(&mut self) {
        while self.namespaces.undo_one().is_some() {}
        while let Some((id, undone)) = self.tasks.undo_one() {
            let restored = self.tasks.row(&id).cloned();
            self.index(undone.as_ref(), restored.as_ref());
            self.count_taken(restored.as_ref(), undone.as_ref(), -1);
        }
        while self.agents.undo_one().is_some() {}
        while self.limits.undo_one().is_some() {}
        while self.batch.mailboxes.undo_one().is_some() {}
        while self.batch.stubs.undo_one().is_some() {}
        while self.workflows.undo_one().is_some() {}
        self.steps.roll_back();
        self.output.roll_back();
        self.children.roll_back();
        while let Some(undo) = self.batch.undo.pop() {
            self.undo(undo);
        }
        self.batch.marks.truncate(&mut self.batch.changes);
    }

    fn undo(&mut self, undo: Undo) {
        match undo {
            Undo::Key(key, Some(before)) => {
                self.batch.keys.insert(key, before);
            }
            Undo::Key(key, None) => {
                self.batch.keys.remove(&key);
            }
            Undo::AgentName(name, Some(before)) => {
                self.agent_names.insert(name, before);
            }
            Undo::AgentName(name, None) => {
                self.agent_names.remove(&name);
            }
            Undo::EdgeAdded(source, target) => {
                if let Some(edges) = self.batch.edges.get_mut(&source) {
                    edges.pending.remove(&target);
                }
                if let Some(known) = self.batch.dependencies.get_mut(&target) {
                    known.retain(|edge| edge.source != source);
                }
            }
            Undo::EdgeResolved(edge) => {
                if let Some(edges) = self.batch.edges.get_mut(&edge.source) {
                    edges.resolved.remove(&edge.target);
                    edges.pending.insert(edge.target, edge);
                }
            }
            Undo::EdgeReopened { edge, was_pending, was_resolved } => {
                let edges = self.batch.edges.entry(edge.source).or_default();
                if !was_pending {
                    edges.pending.remove(&edge.target);
                }
                if was_resolved {
                    edges.resolved.insert(edge.target);
                }
            }
            Undo::Live(namespace, delta) => {
                self.change_live(namespace, -delta);
            }
            Undo::LaneAdded(lane) => {
                self.lanes.remove(&lane);
            }
            Undo::LaneRemoved(lane) => {
                self.lanes.insert((lane.namespace, lane.id), lane);
            }
            Undo::Request(key) => {
                self.batch.requests.insert(key, None);
            }
            Undo::SpecChanged(task) => {
                self.batch.spec_changed.remove(&task);
            }
        }
    }

    /// What the batch changed, to be saved. Afterwards, call [`WorkingSet::committed`], or [`WorkingSet::reset`] when saving
    /// failed.
    pub fn changes(&mut self) -> ChangeSet {
        let mut changes = std::mem::take(&mut self.batch.changes);
        self.drop_detours(&mut changes);
        for (name, expected) in self.namespaces.take_dirty() {
            changes.namespaces.extend(self.namespaces.row(&name).map(|row| Changed { row: row.clone(), expected }));
        }
        for (id, expected) in self.tasks.take_dirty() {
            let Some(row) = self.tasks.row(&id) else { continue };
            changes.tasks.push(ChangedTask {
                row: row.clone(),
                expected,
                spec_changed: expected == 0 || self.batch.spec_changed.contains(&id),
                input: self.batch.inputs.remove(&id),
            });
        }
        // In the order of their ids, so that every replica locks and every index grows in one order.
        changes.tasks.sort_by_key(|task| task.row.id);
        for (id, expected) in self.agents.take_dirty() {
            changes.agents.extend(self.agents.row(&id).map(|row| Changed { row: row.clone(), expected }));
        }
        changes.agents.sort_by_key(|agent| agent.row.id);
        for (at, expected) in self.batch.mailboxes.take_dirty() {
            changes.mailboxes.extend(self.batch.mailboxes.row(&at).map(|row| Changed { row: row.clone(), expected }));
        }
        changes.mailboxes.sort_by_key(|mailbox| mailbox.row.agent);
        for (at, expected) in self.workflows.take_dirty() {
            changes.workflows.extend(self.workflows.row(&at).map(|row| Changed { row: row.clone(), expected }));
        }
        changes.workflows.sort_by_key(|workflow| workflow.row.id);
        self.take_limits(&mut changes);
        changes
    }

    /// Of what the batch did and undid again, or the other way round, only the end counts: a store need not know the order.
    fn drop_detours(&self, changes: &mut ChangeSet) {
        let edges = |source: &TaskId| self.batch.edges.get(source);
        changes.resolved_edges.retain(|(_, from, to)| edges(from).is_some_and(|e| e.resolved.contains(to)));
        changes.reopened_edges.retain(|(_, from, to)| edges(from).is_some_and(|e| e.pending.contains_key(to)));
        changes.lanes.retain(|lane| self.lanes.contains_key(&(lane.namespace, lane.id)));
        changes.removed_lanes.retain(|lane| !self.lanes.contains_key(lane));
    }

    /// The changes are committed: forgets what only this batch needed, and ended tasks.
    pub fn committed(&mut self) {
        let Batch { edges, passing, met_workflows, .. } = std::mem::take(&mut self.batch);
        self.keep_edges(edges);
        for task in passing {
            self.forget_if_ended(task);
        }
        self.keep_workflows(met_workflows);
        self.steps.trim();
        self.output.trim();
        self.children.trim();
    }

    /// Forgets everything, after an error: what is here may not be what the store has.
    pub fn reset(&mut self) {
        *self = Self::default();
    }
}

impl Marks {
    fn of(changes: &ChangeSet) -> Self {
        Self {
            edges: changes.edges.len(),
            resolved: changes.resolved_edges.len(),
            reopened: changes.reopened_edges.len(),
            payloads: changes.payloads.len(),
            events: changes.events.len(),
            requests: changes.requests.len(),
            lanes: changes.lanes.len(),
            removed_lanes: changes.removed_lanes.len(),
            removed_agents: changes.removed_agents.len(),
            messages: changes.messages.len(),
            removed_messages: changes.removed_messages.len(),
            steps: changes.steps.len(),
            output: changes.output.len(),
            children: changes.children.len(),
            workflow_tasks: changes.workflow_tasks.len(),
        }
    }

    fn truncate(&self, changes: &mut ChangeSet) {
        changes.edges.truncate(self.edges);
        changes.resolved_edges.truncate(self.resolved);
        changes.reopened_edges.truncate(self.reopened);
        changes.payloads.truncate(self.payloads);
        changes.events.truncate(self.events);
        changes.requests.truncate(self.requests);
        changes.lanes.truncate(self.lanes);
        changes.removed_lanes.truncate(self.removed_lanes);
        changes.removed_agents.truncate(self.removed_agents);
        changes.messages.truncate(self.messages);
        changes.removed_messages.truncate(self.removed_messages);
        changes.steps.truncate(self.steps);
        changes.output.truncate(self.output);
        changes.children.truncate(self.children);
        changes.workflow_tasks.truncate(self.workflow_tasks);
    }
}
