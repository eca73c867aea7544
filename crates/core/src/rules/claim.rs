//! Unary claims: tasks for whoever asks.

use super::{Ruled, Step};
use crate::command::{Effect, Reply, SessionEnd};
use crate::dispatch::{Bounds, Head, Heads, room_for};
use crate::model::{Agent, AgentProfile, Link, Session, Span, Task, TaskId};
use crate::rejection::{Reason, Rejection};
use crate::rules::attempt::Given;
use crate::working_set::{LaneRef, limit_refs};
use std::collections::HashSet;
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
        if room == 0 {
            return Ok(Reply::Claimed(Vec::new()));
        }
        let (mut heads, mut queues) = self.line_up_for(&agent, room)?;
        let mut leases = Vec::new();
        while leases.len() < room
            && let Some((_, id, lane)) = heads.pop()
        {
            let mut task = self.task(id)?;
            if self.has_resources_for(&agent, &task)? && self.limits_allow(&task)? {
                leases.push(self.assign(&mut task, &agent, Given::Claimed(lease))?);
                heads.served(lane);
            }
            self.next_of(&mut queues[lane], lane).into_iter().for_each(|head| heads.add(head));
        }
        self.remember_turns(heads);
        Ok(Reply::Claimed(leases))
    }

    /// The first ready tasks of all lanes that the agent fits: fairness keys in turns, and by rank, so that no lane starves another.
    fn line_up_for(&mut self, agent: &Agent, room: usize) -> Ruled<(Heads, Vec<std::vec::IntoIter<TaskId>>)> {
        let lanes = self.lanes_within_limits(agent)?;
        self.ws.want_ready(lanes.iter().map(|lane| (*lane, room)))?;
        let mut heads = self.heads_of(lanes.iter());
        let mut queues = Vec::with_capacity(lanes.len());
        for (index, lane) in lanes.into_iter().enumerate() {
            let (tasks, _) = self.ws.ready_tasks(lane, room)?;
            let mut queue = tasks.into_iter();
            self.next_of(&mut queue, index).into_iter().for_each(|head| heads.add(head));
            queues.push(queue);
        }
        Ok((heads, queues))
    }

    /// The next of a lane's ready tasks.
    fn next_of(&self, tasks: &mut impl Iterator<Item = TaskId>, lane: usize) -> Option<Head> {
        tasks.find_map(|id| Some((self.ws.loaded_task(id)?.rank()?, id, lane)))
    }

    /// Whether an agent has free what a task takes, beside what it has by now. What it has not enough free for is passed over.
    fn has_resources_for(&self, agent: &Agent, task: &Task) -> Ruled<bool> {
        let asked = &task.spec.requirements.resources;
        if asked.is_empty() {
            return Ok(true);
        }
        let taken = self.ws.taken_amounts(agent.namespace, agent.id)?;
        Ok(room_for(asked, &agent.profile, &taken) > 0)
    }

    /// Whether the limits that a task is under let it through, beside what was given out by now. What they hold up is passed over.
    fn limits_allow(&self, task: &Task) -> Ruled<bool> {
        if task.spec.limit_keys.is_empty() {
            return Ok(true);
        }
        let bounds = Bounds::of(&self.namespace, &task.spec.limit_keys);
        Ok(bounds.room(self.ws, self.cx.now)? > 0)
    }

    /// Those of the lanes that the agent fits whose limits are not reached.
    fn lanes_within_limits(&self, agent: &Agent) -> Ruled<Vec<LaneRef>> {
        let mut lanes = self.lanes_for(agent)?;
        let keys = lanes.iter().filter_map(|lane| self.ws.lane(*lane));
        self.ws.want_limits(keys.flat_map(|lane| limit_refs(self.namespace.id, &lane.key.limit_keys)))?;
        let mut reached = HashSet::new();
        for lane in lanes.iter().filter_map(|lane| self.ws.lane(*lane)) {
            if Bounds::of(&self.namespace, &lane.key.limit_keys).room(self.ws, self.cx.now)? == 0 {
                reached.insert((lane.namespace, lane.id));
            }
        }
        lanes.retain(|lane| !reached.contains(lane));
        Ok(lanes)
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
