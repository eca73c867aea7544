//! Applying changes, and taking them back.

use super::tables::{Tables, TaskRow, conflict};
use crate::Result;
use callboard_core::Settings;
use callboard_core::model::{Payload, RequestRecord};
use callboard_core::working_set::{ChangeSet, Changed, ChangedTask, PayloadValue, PayloadWrite};
use std::sync::Arc;

impl Tables {
    /// Applies changes. After an error some are applied: [`Tables::restore`] them.
    pub fn apply(&mut self, changes: &ChangeSet, settings: &Settings) -> Result<()> {
        for changed in &changes.namespaces {
            let stored = self.namespaces.get(&changed.row.id).map_or(0, |row| row.version);
            expect(changed, stored, "namespace", &changed.row.name)?;
            self.set_namespace(changed.row.id, Some(changed.row.clone()))?;
        }
        for lane in &changes.removed_lanes {
            self.lanes.remove(lane);
        }
        for lane in &changes.lanes {
            self.lanes.entry((lane.namespace, lane.id)).or_insert_with(|| lane.clone());
        }
        for key in &changes.removed_agents {
            self.set_agent(*key, None)?;
        }
        for changed in &changes.agents {
            let key = (changed.row.namespace, changed.row.id);
            let stored = self.agents.get(&key).map_or(0, |row| row.version);
            expect(changed, stored, "agent", &changed.row.name)?;
            self.set_agent(key, Some(changed.row.clone()))?;
        }
        self.apply_tasks(&changes.tasks, settings)?;
        self.apply_edges(changes)?;
        for write in &changes.payloads {
            self.apply_payload(write);
        }
        for event in &changes.events {
            self.add_event(event.clone())?;
        }
        for record in &changes.requests {
            self.apply_request(record, settings)?;
        }
        self.steps.apply(changes)?;
        self.output.apply(changes)?;
        self.children.apply(changes)?;
        self.workflows.apply(changes)?;
        self.limits.apply(changes)?;
        self.mail.apply(changes)
    }

    /// Those that end come first, since they give their keys free, and new ones last.
    fn apply_tasks(&mut self, tasks: &[ChangedTask], settings: &Settings) -> Result<()> {
        let order = |changed: &&ChangedTask| (changed.expected == 0, changed.row.is_live());
        let mut sorted: Vec<&ChangedTask> = tasks.iter().collect();
        sorted.sort_by_key(order);
        for changed in sorted {
            let key = (changed.row.namespace, changed.row.id);
            let stored = self.tasks.get(&key);
            if stored.map_or(0, |row| row.task.version) != changed.expected {
                return Err(conflict("task", key.1));
            }
            let input = match (&changed.input, stored) {
                (_, Some(row)) => row.input.clone(),
                (Some(input), None) => input.clone(),
                (None, None) => Arc::new(Payload::default()),
            };
            let mut task = changed.row.clone();
            task.input = None;
            if let Some(row) = stored.filter(|_| !changed.spec_changed) {
                task.spec = row.task.spec.clone();
            }
            let wake_at = task.wake_at(settings);
            self.set_task(key, Some(TaskRow { task, wake_at, input }))?;
        }
        Ok(())
    }

    fn apply_edges(&mut self, changes: &ChangeSet) -> Result<()> {
        for edge in &changes.edges {
            let key = (edge.namespace, edge.source, edge.target);
            if self.edges.contains_key(&key) {
                return Err(conflict("an edge to task", edge.target));
            }
            self.set_edge(key, Some(edge.clone()));
        }
        for (keys, resolved) in [(&changes.resolved_edges, true), (&changes.reopened_edges, false)] {
            for key in keys {
                if let Some(edge) = self.edges.get_mut(key) {
                    edge.resolved = resolved;
                }
            }
        }
        Ok(())
    }

    fn apply_payload(&mut self, write: &PayloadWrite) {
        let saved = self.saved.entry((write.namespace, write.task)).or_default();
        match &write.value {
            PayloadValue::Result(result) => saved.result = Some(result.clone()),
            PayloadValue::Checkpoint(checkpoint) => saved.checkpoint = Some(checkpoint.clone()),
            PayloadValue::Failure(failure) => saved.failure = Some(failure.clone()),
        }
    }

    /// An answer that may be forgotten makes way; another does not.
    fn apply_request(&mut self, record: &RequestRecord, settings: &Settings) -> Result<()> {
        let remembered_at = record.expires_at - settings.remember_requests;
        if self.requests.get(&record.key).is_some_and(|known| known.expires_at > remembered_at) {
            return Err(conflict("request", &record.key.request_id));
        }
        self.requests.insert(record.key.clone(), record.clone());
        Ok(())
    }

    /// Makes every row that the changes touch what it is in `committed`.
    pub fn restore(&mut self, committed: &Tables, changes: &ChangeSet) {
        self.restore_tasks(committed, changes);
        self.restore_agents(committed, changes);
        for changed in &changes.namespaces {
            let _ = self.set_namespace(changed.row.id, None);
        }
        for changed in &changes.namespaces {
            let _ = self.set_namespace(changed.row.id, committed.namespaces.get(&changed.row.id).cloned());
        }
        let lanes = changes.lanes.iter().map(|lane| (lane.namespace, lane.id));
        for lane in lanes.chain(changes.removed_lanes.iter().copied()) {
            restore_one(&mut self.lanes, &committed.lanes, &lane);
        }
        let added = changes.edges.iter().map(|edge| (edge.namespace, edge.source, edge.target));
        for key in added.chain(changes.resolved_edges.iter().copied()).chain(changes.reopened_edges.iter().copied()) {
            self.set_edge(key, committed.edges.get(&key).cloned());
        }
        for write in &changes.payloads {
            restore_one(&mut self.saved, &committed.saved, &(write.namespace, write.task));
        }
        for record in &changes.requests {
            restore_one(&mut self.requests, &committed.requests, &record.key);
        }
        self.mail.restore(&committed.mail, changes);
        self.steps.restore(&committed.steps, changes);
        self.output.restore(&committed.output, changes);
        self.workflows.restore(&committed.workflows, changes);
        self.limits.restore(&committed.limits, changes);
        self.children.restore(&committed.children, changes);
        self.truncate_events(committed.last_event);
    }

    // First all of them away, then all of them back: so that no key or name is taken twice on the way.
    fn restore_tasks(&mut self, committed: &Tables, changes: &ChangeSet) {
        let keys = || changes.tasks.iter().map(|changed| (changed.row.namespace, changed.row.id));
        for key in keys() {
            let _ = self.set_task(key, None);
        }
        for key in keys() {
            let _ = self.set_task(key, committed.tasks.get(&key).cloned());
        }
    }

    fn restore_agents(&mut self, committed: &Tables, changes: &ChangeSet) {
        let changed = changes.agents.iter().map(|changed| (changed.row.namespace, changed.row.id));
        let keys: Vec<_> = changed.chain(changes.removed_agents.iter().copied()).collect();
        for key in &keys {
            let _ = self.set_agent(*key, None);
        }
        for key in &keys {
            let _ = self.set_agent(*key, committed.agents.get(key).cloned());
        }
    }
}

fn expect<T>(changed: &Changed<T>, stored: i64, what: &str, name: &str) -> Result<()> {
    if stored == changed.expected { Ok(()) } else { Err(conflict(what, name)) }
}

fn restore_one<K: Ord + Clone, V: Clone>(
    to: &mut std::collections::BTreeMap<K, V>,
    from: &std::collections::BTreeMap<K, V>,
    key: &K,
) {
    match from.get(key) {
        Some(row) => to.insert(key.clone(), row.clone()),
        None => to.remove(key),
    };
}
