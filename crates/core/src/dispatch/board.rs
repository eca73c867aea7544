//! Which agents fit which lanes.

use super::turns::Turns;
use crate::model::{Agent, AgentId, Lane, LaneId, LaneKey, NamespaceId};
use crate::working_set::{LaneRef, LimitRef, limit_refs};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use uuid::Uuid;

/// The agents that this replica may push to, and the lanes that it has met, with who fits what: computed when an agent or a lane
/// appears, not per task. Only a cache: it can be built again
/// from the rows at any time, but for whose turn it is, which may be forgotten.
#[derive(Debug, Default)]
pub struct Board {
    lanes: BTreeMap<LaneRef, OnBoard>,
    agents: HashMap<AgentId, Agent>,
    of_namespace: HashMap<NamespaceId, BTreeSet<AgentId>>,
    /// Whose turn it is, of the fairness keys.
    pub(super) turns: Turns,
    /// The lanes whose tasks have a limit key.
    limited: BTreeMap<LimitRef, BTreeSet<LaneRef>>,
}

#[derive(Debug)]
struct OnBoard {
    key: LaneKey,
    fitting: BTreeSet<AgentId>,
    /// Where the look for agents goes on, when there are more than are looked at.
    turn: AgentId,
}

impl Board {
    /// The agents that fit a lane, and whose turn it is.
    pub fn fitting(&mut self, lane: &Lane) -> (&BTreeSet<AgentId>, AgentId) {
        let at = (lane.namespace, lane.id);
        if !self.lanes.contains_key(&at) {
            let agents = self.of_namespace.get(&lane.namespace).into_iter().flatten();
            let fitting = agents.filter(|id| self.agents.get(id).is_some_and(|agent| lane.key.fits_agent(agent)));
            let fitting = fitting.copied().collect();
            for limit in limit_refs(lane.namespace, &lane.key.limit_keys) {
                self.limited.entry(limit).or_default().insert(at);
            }
            self.lanes.insert(at, OnBoard { key: lane.key.clone(), fitting, turn: AgentId(Uuid::nil()) });
        }
        let on_board = &self.lanes[&at];
        (&on_board.fitting, on_board.turn)
    }

    /// The next look at a lane's agents begins here.
    pub fn set_turn(&mut self, lane: LaneRef, turn: AgentId) {
        if let Some(on_board) = self.lanes.get_mut(&lane) {
            on_board.turn = turn;
        }
    }

    /// Whether an agent fits a lane that was met.
    pub fn fits(&self, lane: LaneRef, agent: AgentId) -> bool {
        self.lanes.get(&lane).is_some_and(|on_board| on_board.fitting.contains(&agent))
    }

    /// The lanes that were met and that an agent fits.
    pub fn lanes_of(&self, agent: AgentId) -> Vec<LaneRef> {
        let Some(known) = self.agents.get(&agent) else { return Vec::new() };
        let first = (known.namespace, LaneId(i64::MIN));
        let last = (known.namespace, LaneId(i64::MAX));
        let lanes = self.lanes.range(first..=last);
        lanes.filter(|(_, on_board)| on_board.fitting.contains(&agent)).map(|(lane, _)| *lane).collect()
    }

    /// An agent may be pushed to, with this profile.
    pub fn set_agent(&mut self, agent: &Agent) {
        let unchanged = self.agents.get(&agent.id).is_some_and(|known| known.profile == agent.profile);
        if unchanged {
            return;
        }
        for (_, on_board) in
            self.lanes.range_mut((agent.namespace, LaneId(i64::MIN))..=(agent.namespace, LaneId(i64::MAX)))
        {
            if on_board.key.fits_agent(agent) {
                on_board.fitting.insert(agent.id);
            } else {
                on_board.fitting.remove(&agent.id);
            }
        }
        self.of_namespace.entry(agent.namespace).or_default().insert(agent.id);
        self.agents.insert(agent.id, agent.clone());
    }

    /// An agent may not be pushed to any more.
    pub fn remove_agent(&mut self, agent: AgentId) {
        let Some(known) = self.agents.remove(&agent) else { return };
        if let Some(agents) = self.of_namespace.get_mut(&known.namespace) {
            agents.remove(&agent);
        }
        for (_, on_board) in
            self.lanes.range_mut((known.namespace, LaneId(i64::MIN))..=(known.namespace, LaneId(i64::MAX)))
        {
            on_board.fitting.remove(&agent);
        }
    }

    /// A command is decided: the turns that it gave count.
    pub(crate) fn keep_turns(&mut self) {
        self.turns.keep();
    }

    /// A command changed nothing: it gave no turns.
    pub(crate) fn roll_back_turns(&mut self) {
        self.turns.roll_back();
    }

    /// A lane is gone.
    pub fn remove_lane(&mut self, lane: LaneRef) {
        let Some(on_board) = self.lanes.remove(&lane) else { return };
        for at in limit_refs(lane.0, &on_board.key.limit_keys) {
            if let Some(lanes) = self.limited.get_mut(&at) {
                lanes.remove(&lane);
                if lanes.is_empty() {
                    self.limited.remove(&at);
                }
            }
        }
    }

    /// The lanes that were met and whose tasks have a limit key.
    pub fn lanes_under(&self, limit: &LimitRef) -> impl Iterator<Item = LaneRef> + '_ {
        self.limited.get(limit).into_iter().flatten().copied()
    }

    /// The lanes of a namespace that were met and whose tasks have any.
    pub fn lanes_under_limits(&self, namespace: NamespaceId) -> BTreeSet<LaneRef> {
        let of_namespace = self.limited.range((namespace, Arc::from(""))..);
        let of_namespace = of_namespace.take_while(|((of, _), _)| *of == namespace);
        of_namespace.flat_map(|(_, lanes)| lanes).copied().collect()
    }
}
