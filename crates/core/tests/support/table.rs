//! Rows in memory: answers a wish, applies a change, checks versions. Nothing clever, so that it is obviously right.

use callboard_core::limits::MAX_CONDITION_RESULT;
use callboard_core::model::{
    Agent, AgentId, Edge, Event, Lane, LimitUse, Mailbox, Message, Namespace, NamespaceId, OnParentEnd, OutputChunk,
    OutputTotals, Payload, RequestKey, RequestRecord, StateName, StepTotals, Task, TaskChild, TaskId, TaskStep,
    Workflow, WorkflowTask,
};
use callboard_core::working_set::{ChangeSet, LaneRef, LimitRef, PayloadValue, Rows, RunRef, Want, WorkflowRef};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Everything that is stored. Two of them are equal when every row is.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Tables {
    pub namespaces: BTreeMap<Arc<str>, Namespace>,
    pub tasks: BTreeMap<TaskId, Task>,
    pub agents: BTreeMap<AgentId, Agent>,
    pub lanes: BTreeMap<LaneRef, Lane>,
    pub edges: BTreeMap<(TaskId, TaskId), Edge>,
    pub payloads: BTreeMap<(TaskId, &'static str), PayloadValue>,
    pub events: BTreeMap<TaskId, Vec<Event>>,
    pub requests: BTreeMap<RequestKey, RequestRecord>,
    pub mailboxes: BTreeMap<AgentId, Mailbox>,
    pub messages: BTreeMap<(AgentId, i64), Arc<Message>>,
    pub steps: BTreeMap<RunRef, Vec<TaskStep>>,
    pub output: BTreeMap<RunRef, Vec<OutputChunk>>,
    pub children: BTreeMap<RunRef, Vec<TaskChild>>,
    pub workflows: BTreeMap<WorkflowRef, Workflow>,
    pub workflow_tasks: BTreeMap<(WorkflowRef, u32), WorkflowTask>,
    pub limits: BTreeMap<LimitRef, LimitUse>,
}

impl Tables {
    /// Adds what a wish would like to have besides, as only a store may that nobody else writes to.
    pub fn read_ahead(&self, want: &Want, rows: &mut Rows) {
        let Some(((namespace, first), _)) = want.pending_edges.first_key_value() else { return };
        let Some((place, _)) = self.workflow_tasks.iter().find(|(_, row)| row.task == *first) else { return };
        let behind = self.workflow_tasks.range((place.0, place.1 + 1)..=(place.0, u32::MAX)).map(|(_, row)| row.task);
        let pending = |source| self.edges.values().filter(move |edge| edge.source == source && !edge.resolved);
        let mut ahead: Vec<Edge> = behind.flat_map(pending).take(want.edges_ahead).cloned().collect();
        want.keep_whole_sources(&mut ahead);
        rows.tasks.extend(ahead.iter().filter_map(|edge| self.task(*namespace, edge.target)));
        rows.edges_ahead = ahead;
    }

    /// Answers a wish with what exists.
    pub fn load(&self, want: &Want) -> Rows {
        let mut rows = Rows::default();
        let all = want.all_namespaces;
        rows.namespaces =
            self.namespaces.values().filter(|n| all || want.namespaces.contains(&n.name)).cloned().collect();
        for (namespace, id) in &want.tasks {
            rows.tasks.extend(self.task(*namespace, *id));
        }
        for agent in self.agents.values() {
            let key = (agent.namespace, agent.name.clone());
            if want.agents.contains(&key) || want.agents_by_id.contains(&(agent.namespace, agent.id)) {
                rows.agents.push(agent.clone());
                let slots = self.leased_to(agent.id).filter_map(|task| Some((task.id, task.lane, task.state.slot()?)));
                rows.leases.extend(slots.map(|(task, lane, (holder, slot))| (holder, task, slot, lane)));
            }
        }
        for task in self.live() {
            if let Some(key) = task.spec.key.as_ref().map(|key| (task.namespace, key.clone()))
                && want.keys.contains(&key)
            {
                rows.keys.push((key, task.id));
                rows.tasks.push(task.clone());
            }
        }
        rows.requests = want.requests.iter().filter_map(|key| self.requests.get(key).cloned()).collect();
        for ((namespace, source), limit) in &want.pending_edges {
            let pending =
                self.edges.values().filter(|e| e.namespace == *namespace && e.source == *source && !e.resolved);
            for edge in pending.take(*limit) {
                rows.tasks.extend(self.task(*namespace, edge.target));
                rows.edges.push(edge.clone());
            }
        }
        for (namespace, target) in &want.dependencies {
            for edge in self.edges.values().filter(|e| e.namespace == *namespace && e.target == *target) {
                rows.tasks.extend(self.task(*namespace, edge.source));
                rows.edges.push(edge.clone());
            }
        }
        rows.workflows = want.workflows.iter().filter_map(|at| self.workflows.get(at).cloned()).collect();
        for (at, ordinals) in &want.workflow_tasks {
            for row in self.workflow_tasks.range((*at, ordinals.start)..(*at, ordinals.end)).map(|(_, row)| row) {
                rows.tasks.extend(self.task(at.0, row.task));
                rows.workflow_tasks.push(row.clone());
            }
        }
        for (at, names) in &want.workflow_names {
            let all = self.workflow_tasks.range((*at, 0)..=(*at, u32::MAX)).map(|(_, row)| row);
            let named = all.filter(|row| row.name.as_ref().is_some_and(|name| names.contains(name)));
            rows.workflow_names.extend(named.cloned());
        }
        rows.limits = want.limits.iter().filter_map(|at| self.limits.get(at).cloned()).collect();
        rows.results = want.results.iter().filter_map(|task| Some((*task, self.small_result(task.1)?))).collect();
        rows.lanes = self.lanes.values().filter(|lane| want.lanes.contains(&lane.namespace)).cloned().collect();
        let live = self.live().filter(|task| want.lanes_in_use.contains(&task.namespace));
        rows.lanes_in_use = live.map(|task| (task.namespace, task.lane)).collect();
        for namespace in &want.live_counts {
            let count = self.live().filter(|task| task.namespace == *namespace).count();
            rows.live_counts.push((*namespace, count as i64));
        }
        for (lane, limit) in &want.ready {
            let ready = self.ready(*lane);
            rows.ready.push((*lane, ready.len().min(*limit)));
            rows.tasks.extend(ready.into_iter().take(*limit).cloned());
        }
        let wanted = |mailbox: &&Mailbox| want.mailboxes.contains(&(mailbox.namespace, mailbox.agent));
        rows.mailboxes = self.mailboxes.values().filter(wanted).cloned().collect();
        let wanted = self.messages.values().filter(|message| want.messages.contains(&(message.namespace, message.id)));
        rows.messages = wanted.map(|message| message.stub()).collect();
        for (run, key) in &want.steps {
            let Some(steps) = self.steps.get(run) else { continue };
            let recorded = steps.iter().find(|step| step.key == *key);
            rows.steps.extend(recorded.map(|step| ((*run, key.clone()), step.digest)));
            let bytes = steps.iter().map(|step| step.result.len() as u64).sum();
            rows.step_totals.push((*run, StepTotals { count: steps.len() as u32, bytes }));
        }
        for run in &want.output {
            let last = self.output.get(run).and_then(|chunks| chunks.last());
            rows.output.extend(last.map(|last| (*run, OutputTotals::with(last))));
        }
        for (run, key) in &want.children {
            let Some(children) = self.children.get(run) else { continue };
            let found = children.iter().find(|child| child.key == *key);
            rows.children.extend(found.map(|child| ((*run, key.clone()), child.child)));
            rows.child_counts.push((*run, children.len() as u32));
        }
        for run in &want.run_children {
            let children = self.children.get(run).into_iter().flatten();
            for child in children.filter(|child| child.on_parent_end == OnParentEnd::Cancel) {
                rows.run_children.push((*run, child.child));
                rows.tasks.extend(self.task(run.0, child.child).filter(Task::is_live));
            }
        }
        rows
    }

    /// Applies a change whole. A row of another version than expected is a fault of the rules: nobody else writes here.
    pub fn save(&mut self, changes: ChangeSet) {
        for changed in changes.namespaces {
            check(&changed.row.name, self.namespaces.get(&changed.row.name).map(|n| n.version), changed.expected);
            self.namespaces.insert(changed.row.name.clone(), changed.row);
        }
        for changed in changes.tasks {
            let mut row = changed.row;
            let before = self.tasks.get(&row.id);
            check(&row.id, before.map(|task| task.version), changed.expected);
            let said = changed.spec_changed || before.is_some_and(|task| task.spec == row.spec);
            assert!(said, "the spec of {} changed, and the change doesn't say so", row.id);
            assert!(row.version > changed.expected, "the version of {} doesn't rise", row.id);
            assert_eq!(
                changed.expected == 0,
                changed.input.is_some(),
                "a new task comes with its input, no other does"
            );
            row.input = None;
            self.tasks.insert(row.id, row);
        }
        for (_, agent) in changes.removed_agents {
            self.agents.remove(&agent);
        }
        for changed in changes.agents {
            check(&changed.row.id, self.agents.get(&changed.row.id).map(|agent| agent.version), changed.expected);
            self.agents.insert(changed.row.id, changed.row);
        }
        for lane in changes.lanes {
            self.lanes.entry((lane.namespace, lane.id)).or_insert(lane);
        }
        for lane in changes.removed_lanes {
            self.lanes.remove(&lane);
        }
        for edge in changes.edges {
            let twice = self.edges.insert((edge.source, edge.target), edge);
            assert_eq!(twice, None, "an edge is created once");
        }
        // The two are disjoint, or the order would count.
        for (_, source, target) in &changes.reopened_edges {
            assert!(!changes.resolved_edges.iter().any(|(_, s, t)| s == source && t == target));
            self.edges.get_mut(&(*source, *target)).expect("a reopened edge exists").resolved = false;
        }
        for (_, source, target) in changes.resolved_edges {
            self.edges.get_mut(&(source, target)).expect("a resolved edge exists").resolved = true;
        }
        for changed in changes.workflows {
            let at = (changed.row.namespace, changed.row.id);
            check(&at, self.workflows.get(&at).map(|row| row.version), changed.expected);
            self.workflows.insert(at, changed.row);
        }
        for row in changes.workflow_tasks {
            let twice = self.workflow_tasks.insert(((row.namespace, row.workflow), row.ordinal), row);
            assert_eq!(twice, None, "a task of a workflow is created once");
        }
        for (at, expected) in changes.removed_limits {
            check(&at, self.limits.remove(&at).map(|row| row.version), expected);
        }
        for changed in changes.limits {
            let at = (changed.row.namespace, changed.row.key.clone());
            check(&at, self.limits.get(&at).map(|row| row.version), changed.expected);
            self.limits.insert(at, changed.row);
        }
        for write in changes.payloads {
            let kind = match write.value {
                PayloadValue::Result(_) => "result",
                PayloadValue::Checkpoint(_) => "checkpoint",
                PayloadValue::Failure(_) => "failure",
            };
            self.payloads.insert((write.task, kind), write.value);
        }
        for event in changes.events {
            self.events.entry(event.task).or_default().push(event);
        }
        for record in changes.requests {
            self.requests.insert(record.key.clone(), record);
        }
        for changed in changes.mailboxes {
            check(&changed.row.agent, self.mailboxes.get(&changed.row.agent).map(|m| m.version), changed.expected);
            self.mailboxes.insert(changed.row.agent, changed.row);
        }
        for message in changes.messages {
            let twice = self.messages.insert((message.recipient, message.sequence), message);
            assert_eq!(twice, None, "a place in a mailbox is given once");
        }
        for (_, mailbox, sequence) in changes.removed_messages {
            self.messages.remove(&(mailbox, sequence)).expect("what goes was there");
        }
        for step in changes.steps {
            let steps = self.steps.entry((step.namespace, step.task, step.run)).or_default();
            assert_eq!(step.ordinal as usize, steps.len() + 1, "ordinals have no gaps");
            assert!(steps.iter().all(|other| other.key != step.key), "a step is recorded once");
            let before = steps.last().map_or(0, |last| last.bytes_so_far);
            assert_eq!(step.bytes_so_far, before + step.result.len() as u64);
            steps.push(step);
        }
        for chunk in changes.output {
            let chunks = self.output.entry((chunk.namespace, chunk.task, chunk.run)).or_default();
            let before = chunks.last().map(OutputTotals::with).unwrap_or_default();
            assert_eq!(chunk.offset, before.bytes, "nothing is missing, and nothing is there twice");
            assert_eq!(chunk.ordinal, before.chunks + 1);
            assert!(chunk.attempt >= before.attempt, "attempts follow each other");
            assert_eq!(chunk.attempt_bytes, before.of_attempt(chunk.attempt) + chunk.data.len() as u64);
            chunks.push(chunk);
        }
        for child in changes.children {
            let parent = self.tasks.get(&child.parent).expect("a child has a parent");
            let knows = parent.has_children || parent.run > child.run;
            assert!(knows && parent.has_dependents, "a parent knows that its end is to be told");
            assert!(self.tasks.contains_key(&child.child), "a child is created with its row");
            let children = self.children.entry((child.namespace, child.parent, child.run)).or_default();
            assert_eq!(child.ordinal as usize, children.len() + 1, "ordinals have no gaps");
            assert!(children.iter().all(|other| other.key != child.key), "a key has one child");
            children.push(child);
        }
    }

    /// Tasks that have not ended.
    pub fn live(&self) -> impl Iterator<Item = &Task> {
        self.tasks.values().filter(|task| task.is_live())
    }

    /// Tasks that an agent has.
    pub fn leased_to(&self, agent: AgentId) -> impl Iterator<Item = &Task> {
        self.tasks.values().filter(move |task| task.state.lease().is_some_and(|lease| lease.agent == agent))
    }

    /// An agent by name, in any namespace.
    pub fn agent(&self, name: &str) -> Option<&Agent> {
        self.agents.values().find(|agent| *agent.name == *name)
    }

    /// What waits in an agent's mailbox, in order.
    pub fn mail(&self, agent: AgentId) -> Vec<&Message> {
        self.messages.values().filter(|message| message.recipient == agent).map(|message| &**message).collect()
    }

    /// Lanes with ready tasks.
    pub fn ready_lanes(&self) -> Vec<LaneRef> {
        let ready = self.tasks.values().filter(|task| task.state.name() == StateName::Ready);
        let mut lanes: Vec<LaneRef> = ready.map(|task| (task.namespace, task.lane)).collect();
        lanes.sort_unstable();
        lanes.dedup();
        lanes
    }

    fn ready(&self, lane: LaneRef) -> Vec<&Task> {
        let here = self.tasks.values().filter(|task| (task.namespace, task.lane) == lane && task.rank().is_some());
        let mut ready: Vec<&Task> = here.collect();
        ready.sort_by_key(|task| (task.rank(), task.id));
        ready
    }

    fn small_result(&self, id: TaskId) -> Option<Arc<Payload>> {
        let Some(PayloadValue::Result(result)) = self.payloads.get(&(id, "result")) else { return None };
        (result.len() <= MAX_CONDITION_RESULT).then(|| result.clone())
    }

    fn task(&self, namespace: NamespaceId, id: TaskId) -> Option<Task> {
        self.tasks.get(&id).filter(|task| task.namespace == namespace).cloned()
    }
}

fn check(what: &dyn std::fmt::Debug, stored: Option<i64>, expected: i64) {
    assert_eq!(stored.unwrap_or(0), expected, "the version of {what:?} that the change expects is not the stored one");
}
