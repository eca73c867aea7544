//! Reads that decide nothing.

use super::tables::{Tables, TaskRow};
use crate::{
    AgentFilter, AgentPage, Cursor, DependencyView, Due, EventPage, EventScope, Holding, Hydrated, LaneDepth, Sample,
    SavedPayload, TaskFilter, TaskPage, TaskView,
};
use callboard_core::model::{
    Agent, AgentId, Event, Lane, Namespace, NamespaceId, Payload, StateName, Task, TaskId, Timestamp,
};
use callboard_core::working_set::{LaneRef, TaskRef};
use std::ops::Bound;
use std::sync::Arc;
use uuid::Uuid;

impl Tables {
    pub fn namespaces_by_name(&self) -> Vec<Namespace> {
        self.namespace_names.values().filter_map(|id| self.namespaces.get(id)).cloned().collect()
    }

    pub fn view(&self, key: TaskRef) -> Option<TaskView> {
        let TaskRow { task, input, .. } = self.tasks.get(&key)?.clone();
        let saved = self.saved.get(&key).cloned().unwrap_or_default();
        Some(TaskView { task, input, saved })
    }

    pub fn hydrate(&self, key: TaskRef) -> Option<Hydrated> {
        let input = self.tasks.get(&key)?.input.clone();
        let checkpoint = self.saved.get(&key).and_then(|saved| saved.checkpoint.clone());
        Some(Hydrated { task: key.1, input, checkpoint })
    }

    pub fn states(&self, tasks: &[TaskRef]) -> Vec<(TaskRef, StateName)> {
        let found = tasks.iter().filter_map(|task| self.tasks.get(task).map(|row| (*task, row.task.state.name())));
        found.collect()
    }

    pub fn list_tasks(
        &self,
        namespace: NamespaceId,
        filter: &TaskFilter,
        before: Option<TaskId>,
        limit: usize,
    ) -> TaskPage {
        let nil = TaskId(Uuid::nil());
        let below = before.unwrap_or(TaskId(Uuid::max()));
        let rows = self.tasks.range((namespace, nil)..=(namespace, below)).rev().map(|(_, row)| &row.task);
        let rows = rows.filter(|task| before.is_none_or(|before| task.id < before));
        let mut fitting = rows.filter(|task| fits(task, filter));
        let tasks: Vec<Task> = fitting.by_ref().take(limit).cloned().collect();
        let next = if fitting.next().is_some() { tasks.last().map(|task| task.id) } else { None };
        TaskPage { tasks, next }
    }

    pub fn dependency_results(
        &self,
        task: TaskRef,
        after: Option<u32>,
        limit: usize,
        max_bytes: usize,
    ) -> Vec<DependencyView> {
        let edges = self.edges_to(task).filter(|edge| after.is_none_or(|after| edge.ordinal > after));
        let mut found = Vec::new();
        let mut bytes = 0;
        for edge in edges {
            if found.len() == limit {
                break;
            }
            let Some(view) = self.view((edge.namespace, edge.source)) else { continue };
            bytes += view.saved.result.as_ref().map_or(0, |result| result.len());
            if bytes > max_bytes && !found.is_empty() {
                break;
            }
            let saved = SavedPayload { checkpoint: None, ..view.saved };
            let view = TaskView { input: Arc::new(Payload::default()), saved, ..view };
            found.push(DependencyView { ordinal: edge.ordinal, name: edge.terms.name.clone(), view });
        }
        found
    }

    pub fn events_of(&self, task: TaskRef, after: i64, limit: usize) -> Vec<Event> {
        let places = self.events_by_task.get(&task).into_iter().flatten();
        let mut events: Vec<&Event> = places.filter_map(|place| self.events.get(place)).collect();
        events.retain(|event| event.sequence > after);
        events.sort_by_key(|event| event.sequence);
        events.into_iter().take(limit).cloned().collect()
    }

    pub fn end_of_events(&self) -> Cursor {
        Cursor { transaction: 0, position: self.last_event }
    }

    pub fn latest_event_at(&self) -> Option<Timestamp> {
        self.events.last_key_value().map(|(_, event)| event.at)
    }

    pub fn event_page(&self, scope: EventScope, after: Option<Cursor>, limit: usize) -> EventPage {
        let start = after.map_or(0, |cursor| cursor.position.max(0));
        let behind = self.events.range((Bound::Excluded(start), Bound::Unbounded));
        let fitting = behind.filter(|(_, event)| match scope {
            EventScope::Namespace(namespace) => event.namespace == namespace,
            EventScope::Task(namespace, task) => event.namespace == namespace && event.task == task,
        });
        let found: Vec<(&i64, &Event)> = fitting.take(limit).collect();
        let more = found.len() == limit;
        let end = self.last_event;
        let position = match found.last() {
            Some((place, _)) if more => **place,
            _ if more => start,
            _ => end.max(start),
        };
        let forgotten = match scope {
            EventScope::Namespace(namespace) => {
                after.is_some() && self.forgotten_through.get(&namespace).is_some_and(|through| *through > start)
            }
            EventScope::Task(..) => false,
        };
        let events = found.into_iter().map(|(_, event)| event.clone()).collect();
        EventPage { events, next: Cursor { transaction: 0, position }, more: more && position < end, forgotten }
    }

    pub fn agent_by_name(&self, namespace: NamespaceId, name: &str) -> Option<(Agent, usize)> {
        let id = self.agent_names.get(&(namespace, name.into()))?;
        self.agents.get(&(namespace, *id)).map(|agent| self.with_leases(agent))
    }

    fn with_leases(&self, agent: &Agent) -> (Agent, usize) {
        (agent.clone(), self.leased_to((agent.namespace, agent.id)).count())
    }

    pub fn list_agents(
        &self,
        namespace: NamespaceId,
        filter: &AgentFilter,
        after: Option<&str>,
        limit: usize,
    ) -> AgentPage {
        let names = self.agent_names.range((namespace, "".into())..).take_while(|((n, _), _)| *n == namespace);
        let names = names.filter(|((_, name), _)| after.is_none_or(|after| &**name > after));
        let agents = names.filter_map(|(_, id)| self.agents.get(&(namespace, *id)));
        let mut fitting =
            agents.filter(|agent| filter.agent_type.as_ref().is_none_or(|t| *t == agent.profile.agent_type));
        let agents: Vec<(Agent, usize)> = fitting.by_ref().take(limit).map(|agent| self.with_leases(agent)).collect();
        AgentPage { agents, more: fitting.next().is_some() }
    }

    pub fn live_sessions(&self, after: Option<AgentId>, limit: usize) -> Vec<Agent> {
        let live = self.agents.values().filter(|agent| agent.session.is_some());
        let mut live: Vec<&Agent> = live.filter(|agent| after.is_none_or(|after| agent.id > after)).collect();
        live.sort_by_key(|agent| agent.id);
        live.into_iter().take(limit).cloned().collect()
    }

    pub fn due_tasks(&self, now: Timestamp, after: Option<(Timestamp, TaskId)>, limit: usize) -> Due {
        let come = self.due.iter().take_while(|(at, _, _)| *at <= now);
        let behind = come.filter(|(at, task, _)| after.is_none_or(|after| (*at, *task) > after));
        let tasks = behind.take(limit).map(|(at, task, namespace)| (*at, (*namespace, *task))).collect();
        let later = self.due.iter().find(|(at, _, _)| *at > now);
        Due { tasks, next: later.map(|(at, _, _)| *at) }
    }

    pub fn sample(&self) -> Sample {
        let depth = |lane: &Lane| LaneDepth {
            namespace: lane.namespace,
            task_type: lane.key.task_type.clone(),
            ready: self.ready_of((lane.namespace, lane.id)).count(),
        };
        let ready = self.lanes.values().map(depth).filter(|depth| depth.ready > 0).collect();
        Sample { ready, leased: self.leased.len(), mail: self.mail.depth(), ..Sample::default() }
    }

    /// One for each task: whoever asks adds them up.
    pub fn holdings(&self, namespace: NamespaceId, agents: &[AgentId]) -> Vec<Holding> {
        let leased = agents.iter().flat_map(|agent| self.leased_to((namespace, *agent)));
        let holding = |task: &Task| {
            let (agent, slot) = task.state.slot()?;
            Some(Holding { agent, slot, tasks: 1, resources: task.spec.requirements.resources.clone() })
        };
        leased.filter_map(|task| holding(&self.tasks.get(&task)?.task)).collect()
    }

    pub fn ready_before(&self, lane: LaneRef, place: (i64, TaskId), limit: usize) -> usize {
        let rows = self.ready_of(lane).filter_map(|task| self.tasks.get(&(lane.0, task)));
        let before = rows.filter(|row| row.task.rank().is_some_and(|rank| (rank, row.task.id) < place));
        before.take(limit).count()
    }

    pub fn lanes_with_ready(&self, limit: usize) -> Vec<LaneRef> {
        let lanes = self.lanes.keys().filter(|lane| self.ready_of(**lane).next().is_some());
        lanes.take(limit).copied().collect()
    }
}

/// Whether a list with this filter has the task.
fn fits(task: &Task, filter: &TaskFilter) -> bool {
    let suffix = filter.id_suffix.as_ref().map(|suffix| suffix.to_ascii_lowercase());
    (filter.states.is_empty() || filter.states.contains(&task.state.name()))
        && filter.task_type.as_ref().is_none_or(|t| **t == *task.spec.task_type)
        && filter.agent.as_ref().is_none_or(|a| task.agent_name.as_deref() == Some(a.as_str()))
        && filter.key.as_ref().is_none_or(|k| task.spec.key.as_ref() == Some(k))
        && filter.tags.iter().all(|tag| task.spec.tags.contains(tag))
        && filter.created_from.is_none_or(|from| task.created_at >= from)
        && filter.created_before.is_none_or(|before| task.created_at < before)
        && suffix.is_none_or(|suffix| task.id.0.simple().to_string().ends_with(&suffix))
}
