//! What agents' tasks take of their resources: added up from the lanes of what each agent has, and only where a task asks for some.

use super::access::{Loaded, missing};
use super::{TaskRef, WorkingSet};
use crate::model::{AgentId, Amounts, LaneId, NamespaceId, Slot};

impl WorkingSet {
    /// What an agent's tasks take that have a slot, or wait for one: that is not free for new tasks.
    pub fn taken_amounts(&self, namespace: NamespaceId, agent: AgentId) -> Loaded<Amounts> {
        self.amounts(namespace, agent, Slot::Awaited)
    }

    /// What an agent's tasks take that have a slot.
    pub fn running_amounts(&self, namespace: NamespaceId, agent: AgentId) -> Loaded<Amounts> {
        self.amounts(namespace, agent, Slot::Taken)
    }

    fn amounts(&self, namespace: NamespaceId, agent: AgentId, least: Slot) -> Loaded<Amounts> {
        let mut sum = Amounts::default();
        for (task, _, lane) in self.leases.with_lanes(agent).filter(|(_, slot, _)| *slot >= least) {
            if let Some(amounts) = self.amounts_of((namespace, task), lane)? {
                sum.add(amounts);
            }
        }
        Ok(sum)
    }

    /// What a task of a lane takes.
    fn amounts_of(&self, task: TaskRef, lane: LaneId) -> Loaded<Option<&Amounts>> {
        if let Some(lane) = self.lanes.get(&(task.0, lane)) {
            return Ok(Some(&lane.key.resources));
        }
        if !self.lanes_of.contains(&task.0) {
            return missing(|want| {
                want.lanes.insert(task.0);
            });
        }
        // Another replica may have made the lane, and given the task out, since the lanes were read.
        Ok(self.task(task)?.map(|task| &task.spec.requirements.resources))
    }
}
