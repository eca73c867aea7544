//! What rules want to see.

use super::tables::Tables;
use callboard_core::limits::MAX_CONDITION_RESULT;
use callboard_core::model::{Payload, TaskId};
use callboard_core::working_set::{LaneRef, Rows, TaskRef, Want};
use std::collections::BTreeSet;
use std::sync::Arc;
use uuid::Uuid;

impl Tables {
    /// The rows that are wanted and exist.
    pub fn load(&self, want: &Want) -> Rows {
        let mut rows = Rows::default();
        let mut tasks: BTreeSet<TaskRef> = want.tasks.clone();
        self.load_namespaces(want, &mut rows);
        self.load_agents(want, &mut rows);
        for key in &want.keys {
            if let Some(task) = self.live_keys.get(key) {
                rows.keys.push((key.clone(), *task));
                tasks.insert((key.0, *task));
            }
        }
        rows.requests = want.requests.iter().filter_map(|key| self.requests.get(key).cloned()).collect();
        self.load_edges(want, &mut rows, &mut tasks);
        self.load_run_children(want, &mut rows, &mut tasks);
        self.workflows.load(want, &mut rows, &mut tasks);
        for namespace in &want.lanes {
            rows.lanes.extend(self.lanes.values().filter(|lane| lane.namespace == *namespace).cloned());
        }
        for (lane, limit) in &want.ready {
            let found: Vec<TaskId> = self.ready_of(*lane).take(*limit).collect();
            if !found.is_empty() {
                rows.ready.push((*lane, found.len()));
            }
            tasks.extend(found.into_iter().map(|task| (lane.0, task)));
        }
        for row in tasks.iter().filter_map(|key| self.tasks.get(key)) {
            rows.inputs.extend(row.small_input().map(|input| (row.task.id, input)));
            rows.tasks.push(row.task.clone());
        }
        self.mail.load(want, &mut rows);
        self.steps.load(want, &mut rows);
        self.output.load(want, &mut rows);
        rows.results = want.results.iter().filter_map(|task| Some((*task, self.small_result(*task)?))).collect();
        self.children.load(want, &mut rows);
        rows.limits = self.limits.of(want.limits.iter());
        rows
    }

    /// What a task gave, if conditions look at it.
    fn small_result(&self, task: TaskRef) -> Option<Arc<Payload>> {
        let result = self.view(task)?.saved.result?;
        (result.len() <= MAX_CONDITION_RESULT).then_some(result)
    }

    fn load_namespaces(&self, want: &Want, rows: &mut Rows) {
        if want.all_namespaces {
            rows.namespaces = self.namespaces_by_name();
        } else {
            let ids = want.namespaces.iter().filter_map(|name| self.namespace_names.get(name));
            rows.namespaces = ids.filter_map(|id| self.namespaces.get(id)).cloned().collect();
        }
        for namespace in want.lanes_in_use.union(&want.live_counts) {
            let nil = TaskId(Uuid::nil());
            let live = self.live.range((*namespace, nil)..).take_while(|key| key.0 == *namespace);
            let live: Vec<TaskRef> = live.copied().collect();
            if want.live_counts.contains(namespace) && !live.is_empty() {
                rows.live_counts.push((*namespace, live.len() as i64));
            }
            if want.lanes_in_use.contains(namespace) {
                let lanes = live.iter().filter_map(|key| self.tasks.get(key)).map(|row| row.task.lane);
                let lanes: BTreeSet<LaneRef> = lanes.map(|lane| (*namespace, lane)).collect();
                rows.lanes_in_use.extend(lanes);
            }
        }
    }

    fn load_agents(&self, want: &Want, rows: &mut Rows) {
        let named = want.agents.iter().filter_map(|name| self.agent_names.get(name).map(|id| (name.0, *id)));
        let keys: BTreeSet<_> = named.chain(want.agents_by_id.iter().copied()).collect();
        for key in keys {
            if let Some(agent) = self.agents.get(&key) {
                let leased = self.leased_to(key).filter_map(|task| self.tasks.get(&task));
                let slots = leased.filter_map(|row| Some((&row.task, row.task.state.slot()?)));
                rows.leases.extend(slots.map(|(task, (holder, slot))| (holder, task.id, slot, task.lane)));
                rows.agents.push(agent.clone());
            }
        }
    }

    fn load_edges(&self, want: &Want, rows: &mut Rows, tasks: &mut BTreeSet<TaskRef>) {
        for (source, limit) in &want.pending_edges {
            for edge in self.pending_from(*source).take(*limit) {
                tasks.insert((edge.namespace, edge.target));
                rows.edges.push(edge.clone());
            }
        }
        if let Some((first, _)) = want.pending_edges.first_key_value().filter(|_| want.edges_ahead > 0) {
            let behind = self.workflows.behind(*first, want.edges_ahead).flat_map(|source| self.pending_from(source));
            rows.edges_ahead = behind.take(want.edges_ahead).cloned().collect();
            want.keep_whole_sources(&mut rows.edges_ahead);
            tasks.extend(rows.edges_ahead.iter().map(|edge| (edge.namespace, edge.target)));
        }
        for target in &want.dependencies {
            for edge in self.edges_to(*target) {
                tasks.insert((edge.namespace, edge.source));
                rows.edges.push(edge.clone());
            }
        }
    }

    /// The ready tasks of a lane in the order in which they are given out.
    pub fn ready_of(&self, lane: LaneRef) -> impl Iterator<Item = TaskId> + '_ {
        let from = self.ready.range((lane, i64::MIN, TaskId(Uuid::nil()))..);
        from.take_while(move |(of, _, _)| *of == lane).map(|(_, _, task)| *task)
    }
}
