//! The rows, and the indexes over them.

use crate::{Error, Result, SavedPayload};
use callboard_core::limits::SMALL_INPUT;
use callboard_core::model::{
    Agent, AgentId, Edge, Event, Lane, Namespace, NamespaceId, Payload, RequestKey, RequestRecord, Task, TaskId,
    Timestamp,
};
use callboard_core::working_set::{AgentKey, LaneRef, TaskKey, TaskRef};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// An edge's key: namespace, source, target.
pub(super) type EdgeKey = (NamespaceId, TaskId, TaskId);

/// A task's row with what is kept beside it.
#[derive(Clone, Debug)]
pub(super) struct TaskRow {
    pub task: Task,
    pub wake_at: Option<Timestamp>,
    pub input: Arc<Payload>,
}

impl TaskRow {
    /// Its input, if it is small.
    pub fn small_input(&self) -> Option<Arc<Payload>> {
        (self.input.len() <= SMALL_INPUT).then(|| self.input.clone())
    }
}

/// Everything there is.
#[derive(Debug, Default)]
pub(super) struct Tables {
    pub namespaces: BTreeMap<NamespaceId, Namespace>,
    pub namespace_names: BTreeMap<Arc<str>, NamespaceId>,
    pub tasks: BTreeMap<TaskRef, TaskRow>,
    pub saved: BTreeMap<TaskRef, SavedPayload>,
    pub agents: BTreeMap<(NamespaceId, AgentId), Agent>,
    pub agent_names: BTreeMap<AgentKey, AgentId>,
    pub lanes: BTreeMap<LaneRef, Lane>,
    pub edges: BTreeMap<EdgeKey, Edge>,
    pub edges_by_target: BTreeSet<(NamespaceId, TaskId, u32, TaskId)>,
    pub requests: BTreeMap<RequestKey, RequestRecord>,
    /// By position: in the order of commits.
    pub events: BTreeMap<i64, Event>,
    pub events_by_task: BTreeMap<TaskRef, Vec<i64>>,
    /// The position of the latest event, though it be forgotten.
    pub last_event: i64,
    /// Up to where events of a namespace may have been forgotten.
    pub forgotten_through: BTreeMap<NamespaceId, i64>,
    pub live_keys: BTreeMap<TaskKey, TaskId>,
    pub live: BTreeSet<TaskRef>,
    pub ready: BTreeSet<(LaneRef, i64, TaskId)>,
    pub leased: BTreeSet<(NamespaceId, AgentId, TaskId)>,
    pub due: BTreeSet<(Timestamp, TaskId, NamespaceId)>,
    pub mail: super::mail::Mail,
    pub steps: super::steps::Steps,
    pub output: super::output::Output,
    pub children: super::children::Children,
    pub workflows: super::workflows::Workflows,
    pub limits: super::limits::LimitUses,
}

pub(super) fn conflict(what: &str, id: impl std::fmt::Display) -> Error {
    Error::Conflict(format!("{what} {id}"))
}

impl Tables {
    pub fn set_namespace(&mut self, id: NamespaceId, row: Option<Namespace>) -> Result<()> {
        if let Some(old) = self.namespaces.remove(&id) {
            self.namespace_names.remove(&old.name);
        }
        let Some(row) = row else { return Ok(()) };
        if self.namespace_names.contains_key(&row.name) {
            return Err(conflict("namespace", &row.name));
        }
        self.namespace_names.insert(row.name.clone(), id);
        self.namespaces.insert(id, row);
        Ok(())
    }

    pub fn set_agent(&mut self, key: (NamespaceId, AgentId), row: Option<Agent>) -> Result<()> {
        if let Some(old) = self.agents.remove(&key) {
            self.agent_names.remove(&(key.0, old.name));
        }
        let Some(row) = row else { return Ok(()) };
        let name = (key.0, row.name.clone());
        if self.agent_names.contains_key(&name) {
            return Err(conflict("agent", &row.name));
        }
        self.agent_names.insert(name, key.1);
        self.agents.insert(key, row);
        Ok(())
    }

    /// Puts a task in place, or takes it away, with its places in the indexes.
    pub fn set_task(&mut self, key: TaskRef, row: Option<TaskRow>) -> Result<()> {
        if let Some(old) = self.tasks.remove(&key) {
            self.unindex(key, &old);
        }
        let Some(row) = row else { return Ok(()) };
        let task = &row.task;
        if task.is_live() {
            if let Some(name) = &task.spec.key {
                let name = (key.0, name.clone());
                if self.live_keys.contains_key(&name) {
                    return Err(conflict("the key of task", key.1));
                }
                self.live_keys.insert(name, key.1);
            }
            self.live.insert(key);
        }
        if let Some(rank) = task.rank() {
            self.ready.insert(((key.0, task.lane), rank, key.1));
        }
        if let Some(lease) = task.state.lease() {
            self.leased.insert((key.0, lease.agent, key.1));
        }
        if let Some(at) = row.wake_at {
            self.due.insert((at, key.1, key.0));
        }
        self.tasks.insert(key, row);
        Ok(())
    }

    fn unindex(&mut self, key: TaskRef, old: &TaskRow) {
        let task = &old.task;
        if task.is_live() {
            self.live.remove(&key);
            if let Some(name) = &task.spec.key {
                self.live_keys.remove(&(key.0, name.clone()));
            }
        }
        if let Some(rank) = task.rank() {
            self.ready.remove(&((key.0, task.lane), rank, key.1));
        }
        if let Some(lease) = task.state.lease() {
            self.leased.remove(&(key.0, lease.agent, key.1));
        }
        if let Some(at) = old.wake_at {
            self.due.remove(&(at, key.1, key.0));
        }
    }

    pub fn set_edge(&mut self, key: EdgeKey, row: Option<Edge>) {
        if let Some(old) = self.edges.remove(&key) {
            self.edges_by_target.remove(&(key.0, key.2, old.ordinal, key.1));
        }
        if let Some(row) = row {
            self.edges_by_target.insert((key.0, key.2, row.ordinal, key.1));
            self.edges.insert(key, row);
        }
    }

    pub fn add_event(&mut self, event: Event) -> Result<()> {
        let places = self.events_by_task.entry((event.namespace, event.task)).or_default();
        if places.iter().any(|place| self.events.get(place).is_some_and(|known| known.sequence == event.sequence)) {
            return Err(conflict("an event of task", event.task));
        }
        self.last_event += 1;
        places.push(self.last_event);
        self.events.insert(self.last_event, event);
        Ok(())
    }

    /// Takes events back behind a position.
    pub fn truncate_events(&mut self, last: i64) {
        for (_, event) in self.events.split_off(&(last + 1)) {
            if let Some(places) = self.events_by_task.get_mut(&(event.namespace, event.task)) {
                places.retain(|place| *place <= last);
            }
        }
        self.last_event = last;
    }

    /// The edges from a task.
    pub fn edges_from(&self, (namespace, source): TaskRef) -> impl Iterator<Item = EdgeKey> + '_ {
        let nil = TaskId(uuid::Uuid::nil());
        let from = self.edges.range((namespace, source, nil)..);
        from.take_while(move |((n, s, _), _)| (*n, *s) == (namespace, source)).map(|(key, _)| *key)
    }

    /// The edges to a task, in their order, behind an ordinal.
    pub fn edges_to(&self, (namespace, target): TaskRef) -> impl Iterator<Item = &Edge> {
        let nil = TaskId(uuid::Uuid::nil());
        let from = self.edges_by_target.range((namespace, target, 0, nil)..);
        let here = from.take_while(move |(n, t, _, _)| (*n, *t) == (namespace, target));
        here.filter_map(|(n, target, _, source)| self.edges.get(&(*n, *source, *target)))
    }

    /// The edges from a task that are not resolved, by target.
    pub fn pending_from(&self, (namespace, source): TaskRef) -> impl Iterator<Item = &Edge> {
        let nil = TaskId(uuid::Uuid::nil());
        let from = self.edges.range((namespace, source, nil)..);
        let here = from.take_while(move |((n, s, _), _)| (*n, *s) == (namespace, source));
        here.map(|(_, edge)| edge).filter(|edge| !edge.resolved)
    }

    /// The tasks leased to an agent.
    pub fn leased_to(&self, (namespace, agent): (NamespaceId, AgentId)) -> impl Iterator<Item = TaskRef> + '_ {
        let from = self.leased.range((namespace, agent, TaskId(uuid::Uuid::nil()))..);
        from.take_while(move |(n, a, _)| (*n, *a) == (namespace, agent)).map(|(n, _, task)| (*n, *task))
    }

    /// Forgets answers that may be forgotten, the oldest first.
    pub fn purge_requests(&mut self, now: Timestamp, limit: usize) -> usize {
        let mut old: Vec<_> = self.requests.values().filter(|r| r.expires_at <= now).collect();
        old.sort_by(|a, b| (a.expires_at, &a.key).cmp(&(b.expires_at, &b.key)));
        let keys: Vec<RequestKey> = old.into_iter().take(limit).map(|r| r.key.clone()).collect();
        for key in &keys {
            self.requests.remove(key);
        }
        keys.len()
    }
}
