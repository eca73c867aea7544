//! Which agent gets which task.
//!
//! Tasks wait in lanes; an agent fits a lane or not, which the [`Board`] knows before any task comes. Of the agents that fit and
//! have a free slot, the one with the best [`score`] gets the first task by rank.

mod board;
mod choose;

pub use board::Board;
pub use choose::{Score, score};

use crate::command::{LaneLeft, Outcome, Reply};
use crate::decide::Context;
use crate::model::{Agent, Timestamp, time::earliest};
use crate::rules::{Ruled, Step};
use crate::working_set::{LaneRef, WorkingSet};
use choose::Choice;

/// At most so many tasks of a lane are given out in one step.
const STEP: usize = 256;

/// An agent that may be given tasks now.
pub(crate) struct Open {
    agent: Agent,
    free: usize,
}

/// Gives ready tasks of lanes to attached agents that fit and have free slots.
pub(crate) fn dispatch(ws: &mut WorkingSet, lanes: &[LaneRef], cx: &mut Context<'_>) -> Ruled<Outcome> {
    let mut left = Vec::with_capacity(lanes.len());
    let mut effects = Vec::new();
    for lane in lanes {
        let Some(namespace) = ws.namespace_by_id(lane.0)?.cloned() else { continue };
        if ws.lane(*lane).is_none() && !ws.lanes(lane.0)?.any(|known| known.id == lane.1) {
            continue;
        }
        let principal = "system".into();
        let mut step = Step { ws: &mut *ws, cx: &mut *cx, namespace, principal, effects: Vec::new() };
        left.push(step.dispatch_lane(*lane)?);
        effects.append(&mut step.effects);
    }
    Ok(Outcome { reply: Reply::Dispatched(left), effects })
}

impl Step<'_, '_> {
    fn dispatch_lane(&mut self, lane: LaneRef) -> Ruled<LaneLeft> {
        let mut open = self.open_agents(lane);
        let room: usize = open.iter().map(|open| open.free).sum::<usize>().min(STEP);
        let mut look_again_at = None;
        if room > 0 {
            let (tasks, _) = self.ws.ready_tasks(lane, room)?;
            for id in tasks {
                look_again_at = earliest(look_again_at, self.place(id, lane, &mut open)?);
            }
        }
        let ready = self.ws.ready_count(lane);
        Ok(LaneLeft { namespace: lane.0, lane: lane.1, ready, look_again_at })
    }

    /// Gives one task to the best agent; says when to look again if it has to wait for a preferred one.
    fn place(&mut self, id: crate::model::TaskId, lane: LaneRef, open: &mut Vec<Open>) -> Ruled<Option<Timestamp>> {
        let mut task = self.task(id)?;
        let preferred_is_near = || self.preferred_is_near(&task, lane);
        let head_start = self.cx.settings.preferred_head_start;
        match choose::choose(&task, open, preferred_is_near, self.cx.now, head_start) {
            Choice::Nobody => Ok(None),
            Choice::Later(at) => Ok(Some(at)),
            Choice::Agent(index) => {
                let agent = open[index].agent.clone();
                self.assign(&mut task, &agent, None)?;
                open[index].free -= 1;
                if open[index].free == 0 {
                    open.swap_remove(index);
                }
                Ok(None)
            }
        }
    }

    /// Agents that fit the lane and have a free slot.
    fn open_agents(&mut self, lane: LaneRef) -> Vec<Open> {
        let Some(known) = self.ws.lane(lane) else { return Vec::new() };
        let fitting = self.cx.board.fitting(known);
        let agents = fitting.iter().filter_map(|id| self.ws.loaded_agent(*id));
        agents
            .filter(|agent| agent.takes_pushes())
            .map(|agent| Open { agent: agent.clone(), free: self.ws.free_slots(agent) })
            .filter(|open| open.free > 0)
            .collect()
    }

    /// Whether the agent that a task prefers is attached and fits, so that waiting for it may help.
    fn preferred_is_near(&self, task: &crate::model::Task, lane: LaneRef) -> bool {
        let Some(preferred) = &task.spec.requirements.preferred_agent else { return false };
        let name = (lane.0, preferred.as_str().into());
        let agent = self.ws.agent_by_name(&name).ok().flatten();
        agent.is_some_and(|agent| agent.takes_pushes() && self.cx.board.fits(lane, agent.id))
    }
}
