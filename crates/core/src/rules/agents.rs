//! What operators do to agents: cordon, uncordon, remove.

use super::{Ruled, Step};
use crate::command::{Effect, Reply, SessionEnd};
use crate::model::{Agent, Timestamp};
use crate::rejection::Rejection;
use std::sync::Arc;

impl Step<'_, '_> {
    /// Gives an agent no new tasks, or again.
    pub(super) fn cordon(&mut self, name: &Arc<str>, cordoned: bool) -> Ruled<Reply> {
        let mut agent = self.agent(name)?;
        let id = agent.id;
        if agent.cordoned != cordoned {
            agent.cordoned = cordoned;
            self.ws.put_agent(agent);
            self.effects.push(Effect::SessionChanged { agent: id });
        }
        Ok(Reply::Agent(id))
    }

    /// Forgets an agent: its session ends, and its tasks are requeued.
    pub(super) fn remove_agent(&mut self, name: &Arc<str>) -> Ruled<Reply> {
        let agent = self.agent(name)?;
        self.close_mailbox(agent.id)?;
        self.lose_leases(agent.id, "its agent was removed")?;
        // Losing leases counts failures on the agent's row.
        let agent = self.agent(name)?;
        self.ws.remove_agent(&agent);
        self.effects.push(Effect::CloseSession { agent: agent.id, epoch: agent.epoch, why: SessionEnd::Removed });
        self.effects.push(Effect::SessionChanged { agent: agent.id });
        Ok(Reply::Done)
    }

    /// Forgets an agent that is gone for long. One that came back, has something to come back for, or is to stay cordoned,
    /// stays.
    pub(super) fn forget_agent(&mut self, name: &Arc<str>, before: Timestamp) -> Ruled<Reply> {
        let agent = self.agent(name)?;
        let gone = agent.session.is_none() && agent.detached_at.is_some_and(|at| at <= before);
        let has_mail = self.ws.mailbox((agent.namespace, agent.id))?.is_some_and(|mailbox| mailbox.messages > 0);
        if !gone || agent.cordoned || has_mail || self.ws.lease_count(agent.id) > 0 {
            return Ok(Reply::Done);
        }
        self.close_mailbox(agent.id)?;
        self.ws.remove_agent(&agent);
        Ok(Reply::Agent(agent.id))
    }

    fn agent(&self, name: &Arc<str>) -> Ruled<Agent> {
        match self.ws.agent_by_name(&(self.namespace.id, name.clone()))? {
            Some(agent) => Ok(agent.clone()),
            None => Err(Rejection::agent_not_found(name).into()),
        }
    }
}
