//! Sessions: attaching, coming back, draining, being lost.

use super::{Ruled, Step};
use crate::command::{Attached, Effect, Fence, Reply, SessionEnd, StopReason};
use crate::model::{Agent, AgentId, AgentProfile, Link, Session, Task, TaskId};
use crate::planted::Bug;
use crate::rejection::{Reason, Rejection};
use crate::rules::attempt::AttemptEnd;
use crate::rules::transition::Move;
use std::sync::Arc;

/// What an agent says when it attaches.
pub(super) struct Hello<'a> {
    pub name: &'a Arc<str>,
    pub profile: &'a Arc<AgentProfile>,
    pub held: &'a [Fence],
    pub previous_epoch: i64,
    pub instance: &'a str,
}

impl Step<'_, '_> {
    /// Attaches an agent by a stream. The older session, if there is one, is superseded; attempts that the agent still has go
    /// on, the others are lost.
    pub(super) fn attach(&mut self, hello: Hello<'_>) -> Ruled<Reply> {
        let known = self.ws.agent_by_name(&(self.namespace.id, hello.name.clone()))?.cloned();
        let mut agent = match known {
            Some(agent) => {
                let agent = self.own(agent)?;
                check_newest(&agent, &hello)?;
                agent
            }
            None => self.new_agent(hello.name),
        };
        let same_program = is_same_program(&agent, &hello);
        // Every session before this one is over, whether or not its end was noticed.
        if agent.session.is_some() {
            self.effects.push(Effect::CloseSession {
                agent: agent.id,
                epoch: agent.epoch,
                // A hello that was under way for long may come behind a newer one of the same program, which must not end by it.
                why: if same_program { SessionEnd::Renewed } else { SessionEnd::Superseded },
            });
        }
        agent.epoch += 1;
        agent.profile = hello.profile.clone();
        agent.attached_at = self.cx.now;
        agent.detached_at = None;
        let link = Link::Stream { replica: self.cx.replica.to_owned() };
        agent.session = Some(Session { link, instance: hello.instance.to_owned(), draining: false });
        self.ws.put_agent(agent.clone());
        let held = self.sort_leases(&agent, hello.held, same_program)?;
        // It may have more slots than before.
        self.give_slots(agent.id, None)?;
        self.effects.push(Effect::SessionChanged { agent: agent.id });
        Ok(Reply::Attached(Attached { agent: agent.id, epoch: agent.epoch, held }))
    }

    /// An agent that was not known.
    pub(super) fn new_agent(&mut self, name: &Arc<str>) -> Agent {
        let now = self.cx.now;
        Agent {
            namespace: self.namespace.id,
            id: AgentId(self.cx.entropy.uuid_v7(now)),
            name: name.clone(),
            profile: Arc::new(AgentProfile::default()),
            principal: self.principal.to_string(),
            cordoned: false,
            epoch: 0,
            session: None,
            completed: 0,
            failed: 0,
            created_at: now,
            attached_at: now,
            detached_at: None,
            version: 0,
        }
    }

    /// An agent's name belongs to the principal that attached it first. One that an open server knew is taken over.
    pub(super) fn own(&self, mut agent: Agent) -> Ruled<Agent> {
        self.check_owner(&agent)?;
        agent.principal = self.principal.to_string();
        Ok(agent)
    }

    /// Refuses to let a principal act under the name of another's agent.
    pub(super) fn check_owner(&self, agent: &Agent) -> Ruled<()> {
        if agent.belongs_to(&self.principal) {
            return Ok(());
        }
        let message = format!(
            "name: agent {:?} belongs to another principal; choose another name, or have it removed first \
             (callboard agent remove {})",
            agent.name, agent.name
        );
        Err(Rejection::new(Reason::NotYourAgent, message).into())
    }

    /// Keeps the attempts that the agent says it still has; the others are lost.
    fn sort_leases(&mut self, agent: &Agent, held: &[Fence], same_program: bool) -> Ruled<Vec<Fence>> {
        let mut kept = Vec::new();
        self.ws.want_leases(agent.namespace, agent.id)?;
        for id in self.ws.leases(agent.id).collect::<Vec<TaskId>>() {
            let mut task = self.task(id)?;
            let Some(lease) = task.state.lease() else { continue };
            let fence = Fence { task: id, attempt: task.attempt, token: lease.token };
            if held.contains(&fence) {
                self.renew(&mut task, agent.epoch)?;
                kept.push(fence);
            } else {
                let reason = "the agent attached again without it".to_owned();
                // Another program under the same name: the one that had it died.
                let end = match same_program {
                    true => AttemptEnd::NotReceived { reason },
                    false => AttemptEnd::Lost { reason },
                };
                self.end_attempt(&mut task, end)?;
            }
        }
        // One that was lost may have taken children with it.
        kept.retain(|fence| self.ws.loaded_task(fence.task).is_some_and(|task| task.state.lease().is_some()));
        Ok(kept)
    }

    /// An attempt goes on in its agent's new session.
    fn renew(&mut self, task: &mut Task, epoch: i64) -> Ruled<()> {
        self.step_state(task, Move::Renew { epoch })?;
        if task.state.is_begun() {
            // While it was away, its handler could not be heard, and nobody could tell it to stop.
            self.step_state(task, Move::Hear(self.cx.now))?;
            if let Some(cancelling) = task.state.cancelling().cloned() {
                self.stop_attempt(task, StopReason::Requested, &cancelling.reason);
            }
        }
        self.write(task);
        Ok(())
    }

    /// An agent's stream broke. Its attempts wait for it to come back.
    pub(super) fn break_session(&mut self, agent: AgentId, epoch: i64) -> Ruled<Reply> {
        let Some(mut agent) = self.current(agent, epoch)? else { return Ok(Reply::Done) };
        let now = self.cx.now;
        if self.speaks_for(&agent)
            && let Some(session) = &mut agent.session
            && let Link::Stream { replica } = &session.link
        {
            session.link = Link::Broken { replica: replica.clone(), since: now };
            self.effects.push(Effect::SessionChanged { agent: agent.id });
            self.ws.put_agent(agent);
        }
        Ok(Reply::Done)
    }

    /// The replica that had an agent's stream is dead: from now on this one awaits the agent, and ends the session if it does
    /// not come back. Nothing happens when the agent has attached elsewhere, or another replica was faster. The epoch stays:
    /// the attempts are as good as they were, and a report that was on its way is still right.
    pub(super) fn adopt_session(&mut self, agent: AgentId, epoch: i64, from: &str) -> Ruled<Reply> {
        let Some(mut agent) = self.current(agent, epoch)? else { return Ok(Reply::Done) };
        let (now, here) = (self.cx.now, self.cx.replica.to_owned());
        if let Some(session) = &mut agent.session
            && session.link.replica() == Some(from)
        {
            session.link = Link::Broken { replica: here, since: now };
            self.effects.push(Effect::SessionChanged { agent: agent.id });
            self.ws.put_agent(agent);
        }
        Ok(Reply::Done)
    }

    /// Whether the replica that decides may say that an agent's session broke or is over. A session that another one adopted,
    /// or that is by claims, is not its stream's any more.
    fn speaks_for(&self, agent: &Agent) -> bool {
        agent.is_at(self.cx.replica) || self.cx.settings.planted.has(Bug::SpeakForOthers)
    }

    /// An agent's session is over; its attempts are lost. Nothing happens when another session has begun since.
    pub(super) fn end_session(&mut self, agent: AgentId, epoch: i64, reason: &str) -> Ruled<Reply> {
        let Some(mut agent) = self.current(agent, epoch)? else { return Ok(Reply::Done) };
        if let Some(Session { link: Link::Claims { until }, .. }) = agent.session {
            if until <= self.cx.now {
                self.end_claims(agent)?;
            }
            return Ok(Reply::Done);
        }
        if !self.speaks_for(&agent) {
            return Ok(Reply::Done);
        }
        agent.session = None;
        agent.detached_at = Some(self.cx.now);
        let id = agent.id;
        self.ws.put_agent(agent);
        if !self.cx.settings.planted.has(Bug::KeepLostLeases) {
            self.lose_leases(id, reason)?;
        }
        self.effects.push(Effect::CloseSession { agent: id, epoch, why: SessionEnd::Expired });
        self.effects.push(Effect::SessionChanged { agent: id });
        Ok(Reply::Done)
    }

    /// Every attempt of an agent is lost.
    pub(super) fn lose_leases(&mut self, agent: AgentId, reason: &str) -> Ruled<()> {
        self.ws.want_leases(self.namespace.id, agent)?;
        for id in self.ws.leases(agent).collect::<Vec<TaskId>>() {
            let mut task: Task = self.task(id)?;
            // One that was lost before took its children with it.
            if task.state.lease().is_none() {
                continue;
            }
            self.stop_attempt(&task, StopReason::LeaseLost, reason);
            self.end_attempt(&mut task, AttemptEnd::Lost { reason: reason.to_owned() })?;
        }
        Ok(())
    }

    /// An agent takes another number of tasks at once.
    pub(super) fn set_slots(&mut self, agent: AgentId, epoch: i64, slots: u32) -> Ruled<Reply> {
        let Some(mut agent) = self.current(agent, epoch)? else { return Ok(Reply::Done) };
        agent.profile = Arc::new(AgentProfile { slots, ..(*agent.profile).clone() });
        let id = agent.id;
        self.ws.put_agent(agent);
        self.effects.push(Effect::SessionChanged { agent: id });
        // There may be more of them.
        self.give_slots(id, None)?;
        Ok(Reply::Done)
    }

    /// An agent wants no new tasks.
    pub(super) fn drain_session(&mut self, agent: AgentId, epoch: i64) -> Ruled<Reply> {
        let Some(mut agent) = self.current(agent, epoch)? else { return Ok(Reply::Done) };
        if let Some(session) = &mut agent.session {
            session.draining = true;
        }
        let id = agent.id;
        self.ws.put_agent(agent);
        self.effects.push(Effect::SessionChanged { agent: id });
        Ok(Reply::Done)
    }

    /// The agent, if this still is its session.
    pub(super) fn current(&self, agent: AgentId, epoch: i64) -> Ruled<Option<Agent>> {
        let agent = self.ws.agent(self.namespace.id, agent)?;
        Ok(agent.filter(|agent| agent.epoch == epoch && agent.session.is_some()).cloned())
    }
}

/// Refuses an agent that comes back though another program attached under its name since: they would take turns for ever.
fn check_newest(agent: &Agent, hello: &Hello<'_>) -> Ruled<()> {
    let Some(session) = &agent.session else { return Ok(()) };
    let comes_back = hello.previous_epoch != 0 && hello.previous_epoch < agent.epoch;
    if comes_back && !is_same_program(agent, hello) && matches!(session.link, Link::Stream { .. }) {
        let message = format!(
            "name: another session (epoch {}) attached under {:?} since epoch {}; stop this program, or give it another name",
            agent.epoch, agent.name, hello.previous_epoch
        );
        return Err(Rejection::new(Reason::SessionSuperseded, message).into());
    }
    Ok(())
}

/// Whether the session that the agent has is one of the same process.
fn is_same_program(agent: &Agent, hello: &Hello<'_>) -> bool {
    let session = agent.session.as_ref();
    !hello.instance.is_empty() && session.is_some_and(|session| session.instance == hello.instance)
}
