//! Which tasks each agent has, and what they are to its slots. Counted as they come and go: every dispatch asks how many slots are
//! free.

use crate::model::{AgentId, LaneId, Slot, TaskId};
use std::collections::{BTreeMap, BTreeSet, HashMap};

/// The leases of all agents that are loaded.
#[derive(Debug, Default)]
pub(super) struct Leases(HashMap<AgentId, OfAgent>);

/// What one agent has.
#[derive(Debug, Default)]
struct OfAgent {
    /// With the lane of each, which says what it takes of the agent's resources.
    all: BTreeMap<TaskId, (Slot, LaneId)>,
    taken: usize,
    awaiting: BTreeSet<TaskId>,
}

impl Leases {
    /// An agent has a task.
    pub fn add(&mut self, agent: AgentId, task: TaskId, slot: Slot, lane: LaneId) {
        self.remove(agent, task);
        let held = self.0.entry(agent).or_default();
        held.all.insert(task, (slot, lane));
        match slot {
            Slot::Taken => held.taken += 1,
            Slot::Awaited => {
                held.awaiting.insert(task);
            }
            Slot::Free => {}
        }
    }

    /// An agent has a task no more.
    pub fn remove(&mut self, agent: AgentId, task: TaskId) {
        let Some(held) = self.0.get_mut(&agent) else { return };
        match held.all.remove(&task) {
            Some((Slot::Taken, _)) => held.taken -= 1,
            Some((Slot::Awaited, _)) => {
                held.awaiting.remove(&task);
            }
            Some((Slot::Free, _)) | None => {}
        }
        if held.all.is_empty() {
            self.0.remove(&agent);
        }
    }

    /// What an agent has.
    pub fn of(&self, agent: AgentId) -> impl Iterator<Item = TaskId> + '_ {
        self.0.get(&agent).into_iter().flat_map(|held| held.all.keys()).copied()
    }

    /// What an agent has, with what each is to its slots, and its lane.
    pub fn with_lanes(&self, agent: AgentId) -> impl Iterator<Item = (TaskId, Slot, LaneId)> + '_ {
        let held = self.0.get(&agent).into_iter().flat_map(|held| &held.all);
        held.map(|(task, (slot, lane))| (*task, *slot, *lane))
    }

    /// What all of them have.
    pub fn all(&self) -> impl Iterator<Item = TaskId> + '_ {
        self.0.values().flat_map(|held| held.all.keys()).copied()
    }

    /// How many tasks an agent has.
    pub fn count(&self, agent: AgentId) -> usize {
        self.0.get(&agent).map_or(0, |held| held.all.len())
    }

    /// How many of them have a slot.
    pub fn taken(&self, agent: AgentId) -> usize {
        self.0.get(&agent).map_or(0, |held| held.taken)
    }

    /// Those of them that want to go on, and have none.
    pub fn awaiting(&self, agent: AgentId) -> impl ExactSizeIterator<Item = TaskId> + '_ {
        static NOTHING: BTreeSet<TaskId> = BTreeSet::new();
        self.0.get(&agent).map_or(&NOTHING, |held| &held.awaiting).iter().copied()
    }

    /// Whether an agent has a task.
    pub fn has_any(&self, agent: AgentId) -> bool {
        self.0.contains_key(&agent)
    }

    /// Forgets them all.
    pub fn clear(&mut self) {
        self.0.clear();
    }
}
