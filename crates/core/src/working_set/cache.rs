//! Taking rows in, keeping the indexes over them, and forgetting them again.

use super::{LaneRef, Rows, Want, WorkingSet};
use crate::model::{AgentId, LaneId, NamespaceId, Payload, Slot, Task, TaskId};
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

impl WorkingSet {
    /// Takes in what a store found. What was wanted and not found is known to be absent; what is here already stays.
    pub fn absorb(&mut self, want: &Want, rows: Rows) {
        for namespace in rows.namespaces {
            self.namespace_names.insert(namespace.id, namespace.name.clone());
            self.namespaces.absorb(namespace.name.clone(), Some(namespace));
        }
        self.all_namespaces |= want.all_namespaces;
        let mut inputs: HashMap<TaskId, Arc<Payload>> = rows.inputs.into_iter().collect();
        for task in rows.tasks {
            let input = inputs.remove(&task.id);
            self.absorb_task(Task { input, ..task });
        }
        for agent in rows.agents {
            self.agent_names.entry((agent.namespace, agent.name.clone())).or_insert(Some(agent.id));
            self.agents.absorb(agent.id, Some(agent));
        }
        for (agent, task, slot, lane) in rows.leases {
            self.absorb_lease(agent, task, slot, lane);
        }
        for (key, task) in rows.keys {
            self.batch.keys.entry(key).or_insert(Some(task));
        }
        for record in rows.requests {
            // One that was missing, or over, when it was looked for before may be there by now.
            let known = self.batch.requests.entry(record.key.clone()).or_default();
            if known.as_ref().is_none_or(|known| known.expires_at < record.expires_at) {
                *known = Some(record);
            }
        }
        self.absorb_edges(want, rows.edges);
        self.absorb_edges_ahead(want, rows.edges_ahead);
        self.absorb_results(want, rows.results);
        for lane in rows.lanes {
            self.lanes.entry((lane.namespace, lane.id)).or_insert(lane);
        }
        self.lanes_of.extend(&want.lanes);
        for namespace in &want.lanes_in_use {
            self.batch.lanes_in_use.entry(*namespace).or_default();
        }
        for lane in rows.lanes_in_use {
            self.batch.lanes_in_use.entry(lane.0).or_default().insert(lane);
        }
        self.absorb_counts(want, rows.live_counts);
        self.absorb_ready(want, rows.ready, &rows.ready_locked);
        for mailbox in rows.mailboxes {
            self.batch.mailboxes.absorb((mailbox.namespace, mailbox.agent), Some(mailbox));
        }
        for stub in rows.messages {
            self.batch.stubs.absorb((stub.namespace, stub.id), Some(stub));
        }
        self.steps.absorb(&want.steps, rows.steps, rows.step_totals);
        self.output.absorb(&want.output, rows.output);
        self.children.absorb(&want.children, rows.children, rows.child_counts);
        self.absorb_run_children(want, rows.run_children);
        self.absorb_workflows(want, rows.workflows, rows.workflow_tasks);
        self.absorb_workflow_names(want, rows.workflow_names);
        self.absorb_limits(want, rows.limits);
        self.absorb_absences(want);
    }

    /// A lease by its ids. The row of its task, if it is here, is never older.
    fn absorb_lease(&mut self, agent: AgentId, task: TaskId, slot: Slot, lane: LaneId) {
        if self.tasks.get(&task).is_none() {
            self.leases.add(agent, task, slot, lane);
            self.unseen.insert(task, agent);
        }
    }

    /// Now the task's row is here, and says whose it is.
    fn see_lease(&mut self, task: TaskId) {
        if let Some(agent) = self.unseen.remove(&task) {
            self.leases.remove(agent, task);
        }
    }

    fn absorb_task(&mut self, task: Task) {
        let id = task.id;
        if self.tasks.absorb(id, Some(task)) {
            self.see_lease(id);
            let here = self.tasks.row(&id).cloned();
            self.index(None, here.as_ref());
            if here.is_some_and(|task| !task.is_live()) {
                self.batch.passing.push(id);
            }
        }
    }

    fn absorb_counts(&mut self, want: &Want, counts: Vec<(NamespaceId, i64)>) {
        let counts: HashMap<NamespaceId, i64> = counts.into_iter().collect();
        for namespace in &want.live_counts {
            let count = counts.get(namespace).copied().unwrap_or(0);
            let delta = self.batch.live_delta.get(namespace).copied().unwrap_or(0);
            self.live.entry(*namespace).or_insert(count + delta);
        }
    }

    /// Where less was found than asked for there is no more; but what others have locked is still there, and they may leave it.
    fn absorb_ready(&mut self, want: &Want, found: Vec<(LaneRef, usize)>, locked: &[LaneRef]) {
        let found: HashMap<LaneRef, usize> = found.into_iter().collect();
        let locked: HashSet<&LaneRef> = locked.iter().collect();
        for (lane, limit) in &want.ready {
            let fetched = self.batch.fetched.entry(*lane).or_default();
            *fetched = (*fetched).max(*limit);
            if found.get(lane).copied().unwrap_or(0) < *limit && !locked.contains(lane) {
                self.backlog.remove(lane);
            }
        }
    }

    fn absorb_absences(&mut self, want: &Want) {
        for name in &want.namespaces {
            self.namespaces.absorb(name.clone(), None);
        }
        for (_, task) in &want.tasks {
            if self.tasks.absorb(*task, None) {
                self.see_lease(*task);
                self.batch.passing.push(*task);
            }
        }
        for name in &want.agents {
            self.agent_names.entry(name.clone()).or_insert(None);
        }
        for (_, agent) in &want.agents_by_id {
            self.agents.absorb(*agent, None);
        }
        for key in &want.keys {
            self.batch.keys.entry(key.clone()).or_insert(None);
        }
        for key in &want.requests {
            self.batch.requests.entry(key.clone()).or_insert(None);
        }
        for at in &want.mailboxes {
            self.batch.mailboxes.absorb(*at, None);
        }
        for at in &want.messages {
            self.batch.stubs.absorb(*at, None);
        }
    }

    /// Keeps the indexes over tasks: leases by agent, ready tasks by lane, weight.
    pub(super) fn index(&mut self, before: Option<&Task>, after: Option<&Task>) {
        if let Some(task) = before {
            if let Some(lease) = task.state.lease() {
                self.leases.remove(lease.agent, task.id);
            }
            if let Some(rank) = task.rank() {
                let lane = (task.namespace, task.lane);
                if let Some(ready) = self.ready.get_mut(&lane) {
                    ready.remove(&(rank, task.id));
                    if ready.is_empty() {
                        self.ready.remove(&lane);
                    }
                }
            }
            self.weight = self.weight.saturating_sub(weight(task));
        }
        if let Some(task) = after {
            if let Some((agent, slot)) = task.state.slot() {
                self.leases.add(agent, task.id, slot, task.lane);
            }
            if let Some(rank) = task.rank() {
                self.ready.entry((task.namespace, task.lane)).or_default().insert((rank, task.id));
            }
            self.weight += weight(task);
        }
    }

    /// Forgets a task that has ended or doesn't exist: nothing is decided on it any more but late reports.
    pub(super) fn forget_if_ended(&mut self, task: TaskId) {
        if self.tasks.row(&task).is_none_or(|task| !task.is_live())
            && let Some(row) = self.tasks.forget_one(&task)
        {
            self.index(Some(&row), None);
            self.steps.forget(&(row.namespace, row.id, row.run));
            self.output.forget(&(row.namespace, row.id, row.run));
            self.children.forget(&(row.namespace, row.id, row.run));
            self.edges.forget(&row.id);
        }
    }

    /// Keeps the cache within its bounds: at most so many tasks of so many bytes, beyond those that are leased.
    pub fn trim(&mut self, max_tasks: usize, max_bytes: usize) {
        if self.tasks.len() > max_tasks || self.weight > max_bytes {
            self.forget_tasks(|task| task.is_none_or(|task| task.state.lease().is_none()));
            self.edges.read_less_ahead();
        }
        self.trim_limits();
    }

    /// Forgets rows that others may change. Call it after a batch when the store is shared.
    pub fn forget_rows(&mut self) {
        self.forget_tasks(|_| true);
        self.edges.clear();
        self.leases.clear();
        self.unseen.clear();
        self.workflows.forget(|_, _| true);
        self.agents.forget(|_, _| true);
        self.agent_names.clear();
        self.namespaces.forget(|_, _| true);
        self.all_namespaces = false;
        self.steps.clear();
        self.output.clear();
        self.children.clear();
        self.lanes.clear();
        self.lanes_of.clear();
        self.live.clear();
        self.forget_limits();
    }

    /// Forgets agents that have no session and no lease, when there are more than so many.
    pub fn trim_agents(&mut self, max: usize) {
        if self.agent_names.len() <= max {
            return;
        }
        let leases = &self.leases;
        self.agents.forget(|id, agent| agent.is_none_or(|a| a.session.is_none() && !leases.has_any(*id)));
        let agents = &self.agents;
        self.agent_names.retain(|_, id| id.is_some_and(|id| agents.row(&id).is_some()));
    }

    fn forget_tasks(&mut self, mut which: impl FnMut(Option<&Task>) -> bool) {
        for (_, forgotten) in self.tasks.forget(|_, task| which(task)) {
            let Some(task) = forgotten else { continue };
            self.index(Some(&task), None);
            self.edges.forget(&task.id);
            if task.rank().is_some() {
                self.backlog.insert((task.namespace, task.lane));
            }
        }
    }
}

fn weight(task: &Task) -> usize {
    task.spec.weight() + task.input.as_ref().map_or(0, |input| input.weight())
}

#[cfg(test)]
mod tests {
    use super::*;

    const HERE: NamespaceId = NamespaceId(1);
    const LANE: LaneRef = (HERE, LaneId(7));

    /// What is left of a lane when two were asked for and none was found.
    fn has_backlog_behind(locked: &[LaneRef]) -> bool {
        let mut ws = WorkingSet::default();
        ws.expect_backlog(LANE);
        let want = Want { ready: [(LANE, 2)].into(), ..Want::default() };
        assert!(ws.ready_tasks(LANE, 2).is_err(), "the store is to be asked");
        ws.absorb(&want, Rows { ready_locked: locked.to_vec(), ..Rows::default() });
        let (tasks, more) = ws.ready_tasks(LANE, 2).expect("a batch asks once, else it would never end");
        assert_eq!((tasks, more), (Vec::new(), ws.has_backlog(LANE)));
        ws.committed();
        ws.has_backlog(LANE)
    }

    #[test]
    fn a_lane_that_was_found_empty_has_nothing_more() {
        assert!(!has_backlog_behind(&[]));
        assert!(!has_backlog_behind(&[(HERE, LaneId(8))]));
    }

    /// Else the next batch would not look again when an agent becomes free, nor would a claim.
    #[test]
    fn a_lane_whose_tasks_others_have_locked_may_have_more() {
        assert!(has_backlog_behind(&[LANE]));
    }
}
