//! Unary claims: tasks for whoever asks.

use super::{Ruled, Step};
use crate::command::{Effect, Reply, SessionEnd};
use crate::dispatch::room_for;
use crate::model::{Agent, AgentProfile, Amounts, Link, Session, Span, Task, TaskId};
use crate::rejection::{Reason, Rejection};
use crate::rules::attempt::Given;
use crate::working_set::LaneRef;
use std::sync::Arc;

/// How long a session by claims lasts behind its last claim, at least.
const CLAIM_SESSION: Span = Span::seconds(60);

impl Step<'_, '_> {
    /// Leases ready tasks to an agent that claims. Refused while a stream is attached under its name.
    pub(super) fn claim(
        &mut self,
        name: &Arc<str>,
        profile: &Arc<AgentProfile>,
        max: usize,
        lease: Span,
    ) -> Ruled<Reply> {
        let agent = self.claiming_agent(name, profile, lease)?;
        if agent.cordoned {
            return Ok(Reply::Claimed(Vec::new()));
        }
        let room = max.min(self.ws.free_slots(&agent));
        let mut leases = Vec::new();
        for id in self.first_ready(&agent, room)? {
            let mut task = self.task(id)?;
            leases.push(self.assign(&mut task, &agent, Given::Claimed(lease))?);
        }
        Ok(Reply::Claimed(leases))
    }

    /// The first ready tasks of all lanes that the agent fits, by rank: no lane may starve another.
    fn first_ready(&mut self, agent: &Agent, room: usize) -> Ruled<Vec<TaskId>> {
        if room == 0 {
            return Ok(Vec::new());
        }
        let lanes = self.lanes_for(agent)?;
        self.ws.want_ready(lanes.iter().map(|lane| (*lane, room)))?;
        let mut first = Vec::new();
        for lane in lanes {
            let (tasks, _) = self.ws.ready_tasks(lane, room)?;
            first.extend(tasks.into_iter().map(|id| (self.ws.loaded_task(id).and_then(Task::rank), id)));
        }
        first.sort_unstable();
        self.those_with_room(agent, first.into_iter().map(|(_, id)| id), room)
    }

    /// The first so many of these tasks that the agent has the resources for, one beside the other. Those that it has not enough free for
    /// are passed over.
    fn those_with_room(&self, agent: &Agent, tasks: impl Iterator<Item = TaskId>, room: usize) -> Ruled<Vec<TaskId>> {
        let mut chosen = Vec::new();
        let mut taken: Option<Amounts> = None;
        for id in tasks {
            if chosen.len() == room {
                break;
            }
            if let Some(asked) = self.ws.loaded_task(id).map(|task| &task.spec.requirements.resources)
                && !asked.is_empty()
            {
                let mut beside = match taken.take() {
                    Some(known) => known,
                    None => self.ws.taken_amounts(agent.namespace, agent.id)?,
                };
                let has_room = room_for(asked, &agent.profile, &beside) > 0;
                if has_room {
                    beside.add(asked);
                }
                taken = Some(beside);
                if !has_room {
                    continue;
                }
            }
            chosen.push(id);
        }
        Ok(chosen)
    }

    /// The lanes that the agent fits and that may have ready tasks.
    fn lanes_for(&self, agent: &Agent) -> Ruled<Vec<LaneRef>> {
        let lanes = self.ws.lanes(self.namespace.id)?;
        let fitting = lanes
            .filter(|lane| {
                let at = (lane.namespace, lane.id);
                (self.ws.ready_count(at) > 0 || self.ws.has_backlog(at)) && lane.key.fits_agent(agent)
            })
            .map(|lane| (lane.namespace, lane.id));
        Ok(fitting.collect())
    }

    /// The agent with a session by claims; written only when something is new, not at every poll.
    fn claiming_agent(&mut self, name: &Arc<str>, profile: &Arc<AgentProfile>, lease: Span) -> Ruled<Agent> {
        let now = self.cx.now;
        let until = now + lease.max(CLAIM_SESSION);
        let known = self.ws.agent_by_name(&(self.namespace.id, name.clone()))?.cloned();
        let taken_over = known.as_ref().is_some_and(|agent| agent.principal != *self.principal);
        let mut agent = match known {
            Some(agent) => self.own(agent)?,
            None => self.new_agent(name),
        };
        match agent.session.as_ref().map(|session| &session.link) {
            Some(Link::Stream { .. } | Link::Broken { .. }) => {
                let message = format!("profile.name: agent {name:?} is attached by a stream; claim under another name");
                return Err(Rejection::new(Reason::AgentState, message).into());
            }
            Some(Link::Claims { until: known }) => {
                let fresh = known.since(now) > Span(CLAIM_SESSION.0 / 2);
                if fresh && agent.profile == *profile && !taken_over {
                    return Ok(agent);
                }
            }
            None => {
                agent.epoch += 1;
                agent.attached_at = now;
                agent.detached_at = None;
            }
        }
        agent.profile = profile.clone();
        agent.session = Some(Session { link: Link::Claims { until }, instance: String::new(), draining: false });
        self.ws.put_agent(agent.clone());
        agent.version += 1;
        Ok(agent)
    }

    /// Ends a session by claims that has run out, unless it still has leases.
    pub(super) fn end_claims(&mut self, mut agent: Agent) -> Ruled<()> {
        if self.ws.lease_count(agent.id) > 0 {
            return Ok(());
        }
        self.effects.push(Effect::CloseSession { agent: agent.id, epoch: agent.epoch, why: SessionEnd::Expired });
        agent.session = None;
        agent.detached_at = Some(self.cx.now);
        self.ws.put_agent(agent);
        Ok(())
    }
}
