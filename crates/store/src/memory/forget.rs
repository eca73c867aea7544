//! Forgetting finished tasks: as in SQLite, by their terminal events.

use super::tables::Tables;
use crate::{Cursor, Ended, Forgotten};
use callboard_core::model::{NamespaceId, Timestamp};
use callboard_core::working_set::TaskRef;
use std::collections::BTreeSet;
use std::ops::Bound;
use std::sync::Arc;

impl Tables {
    pub fn ended(&self, before: Timestamp, after: Option<Cursor>, limit: usize) -> Ended {
        let mut position = after.map_or(0, |cursor| cursor.position);
        let (mut tasks, mut more) = (Vec::new(), false);
        for (place, event) in self.events.range((Bound::Excluded(position), Bound::Unbounded)) {
            if event.at > before {
                break;
            }
            if tasks.len() == limit {
                more = true;
                break;
            }
            position = *place;
            if event.state.is_final() {
                tasks.push((event.namespace, event.task));
            }
        }
        Ended { tasks, next: Cursor { transaction: 0, position }, more }
    }

    pub fn forgettable(&self, tasks: &[TaskRef], before: Timestamp) -> Vec<TaskRef> {
        let tasks = BTreeSet::from_iter(tasks.iter().copied());
        tasks.into_iter().filter(|task| self.may_go(*task, before)).collect()
    }

    pub fn forget(&mut self, tasks: &[TaskRef], before: Timestamp) -> Forgotten {
        let mut forgotten = Forgotten::default();
        for task in tasks {
            if self.may_go(*task, before) {
                self.forget_one(*task);
                forgotten.tasks += 1;
            }
        }
        forgotten
    }

    /// It has ended for good, long enough ago, no live task depends on it, and neither its parent nor its workflow lives.
    fn may_go(&self, task: TaskRef, before: Timestamp) -> bool {
        let Some(row) = self.tasks.get(&task) else { return false };
        let latest = self.events_by_task.get(&task).and_then(|places| places.last());
        let latest = latest.and_then(|place| self.events.get(place)).map_or(Timestamp(0), |event| event.at);
        let wanted = |target: &TaskRef| self.live.contains(target);
        !row.task.is_live()
            && row.wake_at.is_none()
            && latest <= before
            && !self.children.parents_of(task).any(|parent| self.live.contains(&parent))
            && !self.workflows.keeps(task)
            && !self.edges_from(task).any(|(namespace, _, target)| wanted(&(namespace, target)))
    }

    fn forget_one(&mut self, task: TaskRef) {
        // Without a row to put in its place this can't conflict.
        let _ = self.set_task(task, None);
        self.saved.remove(&task);
        self.steps.forget(task);
        self.output.forget(task);
        self.workflows.forget(task);
        self.children.forget(task);
        let edges: Vec<_> = self.edges_from(task).collect();
        let incoming = self.edges_to(task).map(|edge| (edge.namespace, edge.source, edge.target));
        let edges: Vec<_> = incoming.chain(edges).collect();
        edges.into_iter().for_each(|edge| self.set_edge(edge, None));
        for place in self.events_by_task.remove(&task).unwrap_or_default() {
            self.events.remove(&place);
            let known = self.forgotten_through.entry(task.0).or_default();
            *known = place.max(*known);
        }
    }

    pub fn gone_agents(&self, before: Timestamp, limit: usize) -> Vec<(NamespaceId, Arc<str>)> {
        let gone = self.agents.values().filter(|agent| agent.session.is_none() && !agent.cordoned);
        let gone = gone.filter(|agent| !self.mail.has_messages((agent.namespace, agent.id)));
        let mut gone: Vec<_> = gone.filter_map(|agent| Some((agent.detached_at?, agent))).collect();
        gone.retain(|(at, _)| *at <= before);
        gone.sort_by_key(|(at, agent)| (*at, agent.id));
        gone.into_iter().take(limit).map(|(_, agent)| (agent.namespace, agent.name.clone())).collect()
    }
}
