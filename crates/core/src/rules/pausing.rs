//! Pauses: a handler that waits needs no slot, and gets one back when it goes on.
//!
//! Slots count what is assigned, what runs, and who wants to go on: so no new task takes the slot that somebody waits for. A slot
//! that becomes free is given in the same decision to whoever has waited longest for one of that agent's.

use super::{Ruled, Step};
use crate::command::{Effect, Reply};
use crate::dispatch::may_go_on;
use crate::model::{Agent, AgentId, EventKind, PauseTurn, Task, TaskId, TaskState, Timestamp};
use crate::rejection::{Reason, Rejection};
use crate::rules::transition::Move;
use std::collections::BTreeSet;
use std::sync::Arc;

impl Step<'_, '_> {
    /// The handler of an attempt waits. One that waits already goes on waiting, also if it wanted to go on.
    pub(super) fn pause(&mut self, task: &mut Task) -> Ruled<()> {
        if task.state.lease().is_some_and(|lease| lease.claim.is_some()) {
            let message = format!("attempt: task {} was claimed; only an attached agent's handler can pause", task.id);
            return Err(Rejection::new(Reason::AgentState, message).into());
        }
        self.accept(task)?;
        let Some(pause) = task.state.pause() else {
            let began = EventKind::Started { agent: self.agent_name(task), pause: Some(PauseTurn::Began) };
            return self.go(task, Move::Pause(self.cx.now), began);
        };
        if pause.resuming.is_some() {
            self.step_state(task, Move::Pause(self.cx.now))?;
            self.write(task);
        }
        Ok(())
    }

    /// The handler of an attempt wants to go on, and does if there is a slot. One that runs does so already.
    pub(super) fn resume(&mut self, task: &mut Task) -> Ruled<()> {
        self.accept(task)?;
        let (Some(pause), Some((agent, _))) = (task.state.pause(), task.state.slot()) else { return Ok(()) };
        if pause.resuming.is_none() {
            self.step_state(task, Move::AwaitSlot(self.cx.now))?;
            self.write(task);
        }
        self.give_slots(agent, Some(task.id))?;
        *task = self.task(task.id)?;
        Ok(())
    }

    /// Slots that the command freed go to those that wait for them.
    pub(super) fn give_freed_slots(&mut self) -> Ruled<()> {
        let freed = self.effects.iter().filter_map(|effect| match effect {
            Effect::SlotFreed { agent } => Some(*agent),
            _ => None,
        });
        for agent in freed.collect::<BTreeSet<AgentId>>() {
            self.give_slots(agent, None)?;
        }
        Ok(())
    }

    /// Gives an agent's free slots to its tasks that want to go on, who waited longest first: of those that what they take is free for. `receipted` hears of it by the
    /// receipt of its own report.
    pub(super) fn give_slots(&mut self, agent: AgentId, receipted: Option<TaskId>) -> Ruled<()> {
        // A task that nobody had was claimed and ended in one step; an agent may have been removed.
        let known = if agent.0.is_nil() { None } else { self.ws.agent(self.namespace.id, agent)? };
        let Some(known) = known.filter(|_| self.ws.awaiting_slots(agent).len() > 0).cloned() else { return Ok(()) };
        while self.ws.taken_slots(agent) < known.profile.slots as usize {
            let Some(mut task) = self.first_to_go_on(&known)? else { break };
            let turn = EventKind::Started { agent: self.agent_name(&task), pause: Some(PauseTurn::Ended) };
            self.go(&mut task, Move::Resume(self.cx.now), turn)?;
            if let Some(lease) = task.state.lease().filter(|_| receipted != Some(task.id)) {
                let epoch = lease.epoch;
                self.effects.push(Effect::Resumed { agent, epoch, task: Arc::new(task) });
            }
        }
        Ok(())
    }

    /// Tells the agent of a task here that it runs again, which another replica decided. Decided anew, behind what the agent has
    /// reported here since: a task that has paused again by now does not go on by an older word.
    pub(super) fn tell_resumed(&mut self, id: TaskId) -> Ruled<Reply> {
        let Some(task) = self.ws.task((self.namespace.id, id))? else { return Ok(Reply::Done) };
        let TaskState::Running { lease, .. } = &task.state else { return Ok(Reply::Done) };
        let (agent, epoch) = (lease.agent, lease.epoch);
        if self.ws.agent(self.namespace.id, agent)?.is_some_and(|known| known.is_at(self.cx.replica)) {
            self.effects.push(Effect::Resumed { agent, epoch, task: Arc::new(task.clone()) });
        }
        Ok(Reply::Done)
    }

    /// The task that has waited longest for a slot of its agent, of those that what they take is free for.
    fn first_to_go_on(&self, agent: &Agent) -> Ruled<Option<Task>> {
        let awaiting: Vec<TaskId> = self.ws.awaiting_slots(agent.id).collect();
        let namespace = self.namespace.id;
        self.ws.want_loaded(std::iter::empty(), awaiting.iter().map(|task| (namespace, *task)))?;
        let since = |task: &Task| task.state.pause().and_then(|pause| pause.resuming).unwrap_or(Timestamp(i64::MAX));
        let mut tasks: Vec<&Task> = awaiting.into_iter().filter_map(|id| self.ws.loaded_task(id)).collect();
        tasks.sort_by_key(|task| (since(task), task.id));
        for task in tasks {
            let asked = &task.spec.requirements.resources;
            if asked.is_empty() || may_go_on(asked, &agent.profile, &self.ws.running_amounts(namespace, agent.id)?) {
                return Ok(Some(task.clone()));
            }
        }
        Ok(None)
    }
}
