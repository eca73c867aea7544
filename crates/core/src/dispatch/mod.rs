//! Which agent gets which task.
//!
//! Tasks wait in lanes; an agent fits a lane or not, which the [`Board`] knows before any task comes. Of the agents that fit and
//! have a free slot, the one with the best [`score`] gets the first task: fairness keys take turns, and the tasks of one go by rank.

mod board;
mod choose;
mod explain;
mod heads;
mod limits;
mod room;
mod turns;

pub use board::Board;
pub use choose::{Score, score};
pub use explain::{Candidate, Explanation, LimitTold, Looked, Obstacle, ObstacleKind, Restraint, explain};
pub(crate) use heads::{Head, Heads};
pub(crate) use limits::Bounds;
pub(crate) use room::{may_go_on, room_for};

use crate::command::{LaneLeft, Outcome, Reply};
use crate::decide::Context;
use crate::model::{Agent, AgentId, Amounts, Task, TaskId, Timestamp, time::earliest};
use crate::rules::{Given, Ruled, Step};
use crate::working_set::{LaneRef, WorkingSet, limit_refs};
use choose::Choice;
use std::collections::{HashMap, VecDeque};

/// At most so many tasks of a lane are given out in one step.
const STEP: usize = 256;

/// An agent that may be given tasks now.
pub(crate) struct Open {
    agent: Agent,
    free: usize,
    /// What its tasks take of its resources; unknown as long as no lane asked for any.
    taken: Option<Amounts>,
}

impl Open {
    /// How many tasks that take these amounts each it may be given now.
    fn room(&self, asked: &Amounts) -> usize {
        match &self.taken {
            _ if asked.is_empty() => self.free,
            Some(taken) => self.free.min(room_for(asked, &self.agent.profile, taken)),
            None => 0,
        }
    }

    /// It is given a task that takes these amounts.
    fn take(&mut self, asked: &Amounts) {
        self.free -= 1;
        if let Some(taken) = self.taken.as_mut().filter(|_| !asked.is_empty()) {
            taken.add(asked);
        }
    }
}

/// A lane at work.
struct Queue {
    lane: LaneRef,
    /// What each of its tasks takes.
    asked: Amounts,
    /// The limits that its tasks are under.
    bounds: Bounds,
    /// The agents that fit and had free slots, and what its tasks take.
    fitting: Vec<AgentId>,
    /// The next ready tasks by rank.
    tasks: VecDeque<(i64, TaskId)>,
    /// How many were looked at.
    seen: usize,
    /// How many of those stay ready, for a preferred agent.
    passed: usize,
    look_again_at: Option<Timestamp>,
}

impl Queue {
    /// Whether it comes before others: by the rank of its next task.
    fn head(&self, index: usize) -> Option<Head> {
        self.tasks.front().map(|(rank, id)| (*rank, *id, index))
    }

    /// How many tasks the lane's agents can still take.
    fn room(&self, open: &HashMap<AgentId, Open>) -> usize {
        let rooms = self.fitting.iter().filter_map(|id| open.get(id)).map(|open| open.room(&self.asked));
        rooms.fold(0, usize::saturating_add)
    }
}

/// Gives ready tasks of lanes to attached agents that fit and have free slots. The lanes of a namespace are served together, their
/// fairness keys in turns and by rank, so that none starves another.
pub(crate) fn dispatch(ws: &mut WorkingSet, lanes: &[LaneRef], cx: &mut Context<'_>) -> Ruled<Outcome> {
    let mut left = Vec::with_capacity(lanes.len());
    let mut effects = Vec::new();
    for lanes in lanes.chunk_by(|a, b| a.0 == b.0) {
        let Some(namespace) = ws.namespace_by_id(lanes[0].0)?.cloned() else { continue };
        if lanes.iter().any(|lane| ws.lane(*lane).is_none()) {
            let _ = ws.lanes(namespace.id)?;
        }
        let principal = crate::model::id::SYSTEM.into();
        let mut step = Step { ws: &mut *ws, cx: &mut *cx, namespace, principal, effects: Vec::new() };
        left.append(&mut step.dispatch_lanes(lanes)?);
        effects.append(&mut step.effects);
    }
    Ok(Outcome { reply: Reply::Dispatched(left), effects, replayed: false })
}

impl Step<'_, '_> {
    fn dispatch_lanes(&mut self, lanes: &[LaneRef]) -> Ruled<Vec<LaneLeft>> {
        let (mut queues, mut open) = self.line_up(lanes)?;
        self.want_limits_of(&queues, &open)?;
        let rooms = queues.iter().map(|queue| Ok((queue.lane, self.room_in(queue, &open)?)));
        self.ws.want_ready(rooms.collect::<Ruled<Vec<_>>>()?.into_iter())?;
        let mut heads = self.heads_of(queues.iter().map(|queue| &queue.lane));
        for (index, queue) in queues.iter_mut().enumerate() {
            self.fill(queue, &open)?;
            queue.head(index).into_iter().for_each(|head| heads.add(head));
        }
        while let Some((_, task, index)) = heads.pop() {
            let queue = &mut queues[index];
            queue.tasks.pop_front();
            queue.seen += 1;
            if self.place(task, queue, &mut open)? {
                heads.served(index);
            }
            if queue.tasks.is_empty() {
                self.fill(queue, &open)?;
            }
            queue.head(index).into_iter().for_each(|head| heads.add(head));
        }
        self.remember_turns(heads);
        queues.iter().map(|queue| self.left_of(queue, &open)).collect()
    }

    /// What is left of a lane.
    fn left_of(&self, queue: &Queue, open: &HashMap<AgentId, Open>) -> Ruled<LaneLeft> {
        let lane = queue.lane;
        let ready = self.ws.ready_count(lane);
        // Where no agent has room there is nothing to look for until one has.
        let held_up = (ready > 0 || self.ws.has_backlog(lane)) && queue.room(open) > 0;
        let by_rate = if held_up { queue.bounds.next_at(self.ws, self.cx.now)? } else { None };
        let look_again_at = earliest(queue.look_again_at, by_rate);
        Ok(LaneLeft { namespace: lane.0, lane: lane.1, ready, look_again_at })
    }

    /// Asks in one go for what is used of the limit keys of lanes whose tasks somebody could take.
    fn want_limits_of(&self, queues: &[Queue], open: &HashMap<AgentId, Open>) -> Ruled<()> {
        let taken = queues.iter().filter(|queue| queue.room(open) > 0);
        let lanes = taken.filter_map(|queue| self.ws.lane(queue.lane));
        self.ws.want_limits(lanes.flat_map(|lane| limit_refs(self.namespace.id, &lane.key.limit_keys)))
    }

    /// How many tasks of a lane can be given out in this step: as many as its agents can take, and as its limits let through.
    fn room_in(&self, queue: &Queue, open: &HashMap<AgentId, Open>) -> Ruled<usize> {
        match queue.room(open).min(STEP.saturating_sub(queue.seen)) {
            0 => Ok(0),
            room => Ok(room.min(queue.bounds.room(self.ws, self.cx.now)?)),
        }
    }

    /// The lanes that exist, each with agents that fit and have free slots.
    fn line_up(&mut self, lanes: &[LaneRef]) -> Ruled<(Vec<Queue>, HashMap<AgentId, Open>)> {
        let mut queues = Vec::with_capacity(lanes.len());
        let mut open = HashMap::new();
        // Enough for all lanes together, since each may take the agents of the others.
        let ready = lanes.iter().map(|lane| match self.ws.has_backlog(*lane) {
            true => STEP,
            false => self.ws.ready_count(*lane).min(STEP),
        });
        let enough = ready.sum::<usize>() + choose::SCORED;
        for lane in lanes {
            if let Some((asked, fitting)) = self.open_agents(*lane, enough, &mut open)? {
                let bounds = self.ws.lane(*lane).map(|known| Bounds::of(&self.namespace, &known.key.limit_keys));
                queues.push(Queue {
                    lane: *lane,
                    asked,
                    bounds: bounds.unwrap_or_default(),
                    fitting,
                    tasks: VecDeque::new(),
                    seen: 0,
                    passed: 0,
                    look_again_at: None,
                });
            }
        }
        Ok((queues, open))
    }

    /// What each task of a lane takes, and agents that fit it and have that, and slots, free: enough for the ready tasks, with a choice
    /// for the last of them. Where there are more, they take turns: of ten thousand idle agents, a task has a look at a few.
    fn open_agents(
        &mut self,
        lane: LaneRef,
        enough: usize,
        open: &mut HashMap<AgentId, Open>,
    ) -> Ruled<Option<(Amounts, Vec<AgentId>)>> {
        let Some(known) = self.ws.lane(lane) else { return Ok(None) };
        let asked = known.key.resources.clone();
        let replica = self.cx.replica;
        let (fitting, turn) = self.cx.board.fitting(known);
        let first = if fitting.len() > enough { turn } else { AgentId(uuid::Uuid::nil()) };
        let mut in_turn = fitting.range(first..).chain(fitting.range(..first)).copied();
        let mut found = Vec::new();
        while found.len() < enough {
            let next: Vec<AgentId> = in_turn.by_ref().take(enough).collect();
            if next.is_empty() {
                break;
            }
            self.ws.want_agents(self.namespace.id, next.iter().copied())?;
            for id in next {
                let agent = self.ws.loaded_agent(id).filter(|agent| can_push(replica, agent));
                let Some((agent, free)) = agent.map(|agent| (agent, self.ws.free_slots(agent))) else { continue };
                if free > 0 {
                    let opened = open.entry(id).or_insert_with(|| Open { agent: agent.clone(), free, taken: None });
                    look_what_is_taken(self.ws, opened, &asked)?;
                    if opened.room(&asked) > 0 {
                        found.push(id);
                    }
                }
            }
        }
        let turn = in_turn.next().unwrap_or(first);
        self.cx.board.set_turn(lane, turn);
        Ok(Some((asked, found)))
    }

    /// Takes the next ready tasks of a lane into its queue, as many as its agents can take.
    fn fill(&mut self, queue: &mut Queue, open: &HashMap<AgentId, Open>) -> Ruled<()> {
        let room = self.room_in(queue, open)?;
        if room == 0 {
            return Ok(());
        }
        // Those that stay ready for a preferred agent are the first again.
        let (tasks, _) = self.ws.ready_tasks(queue.lane, queue.passed + room)?;
        for id in tasks.into_iter().skip(queue.passed) {
            let rank = self.ws.loaded_task(id).and_then(Task::rank);
            queue.tasks.extend(rank.map(|rank| (rank, id)));
        }
        Ok(())
    }

    /// Gives one task to the best agent, or notes when to look again if it has to wait for a preferred one. Says whether an agent has
    /// it.
    fn place(&mut self, id: TaskId, queue: &mut Queue, open: &mut HashMap<AgentId, Open>) -> Ruled<bool> {
        // Others with its limit keys may have been given out since.
        if queue.bounds.room(self.ws, self.cx.now)? == 0 {
            queue.tasks.clear();
            return Ok(false);
        }
        let mut task = self.task(id)?;
        self.open_preferred(&task, queue, open)?;
        let preferred_is_near = || self.preferred_is_near(&task, queue.lane);
        let head_start = self.cx.settings.preferred_head_start;
        let fitting = queue.fitting.iter().filter_map(|id| open.get(id)).filter(|open| open.room(&queue.asked) > 0);
        match choose::choose(&task, fitting, preferred_is_near, self.cx.now, head_start) {
            Choice::Nobody => queue.tasks.clear(),
            Choice::Later(at) => {
                queue.passed += 1;
                queue.look_again_at = earliest(queue.look_again_at, Some(at));
            }
            Choice::Agent(id, how) => {
                let Some(chosen) = open.get_mut(&id) else { return Ok(false) };
                chosen.take(&queue.asked);
                self.assign(&mut task, &chosen.agent, Given::Pushed(how))?;
                if chosen.free == 0 {
                    open.remove(&id);
                    queue.fitting.retain(|id| open.contains_key(id));
                }
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Adds the agent that a task prefers, if it was not among those that were looked at.
    fn open_preferred(&self, task: &Task, queue: &mut Queue, open: &mut HashMap<AgentId, Open>) -> Ruled<()> {
        let Some(agent) = self.preferred(task, queue.lane) else { return Ok(()) };
        let free = self.ws.free_slots(agent);
        if free > 0 && !queue.fitting.contains(&agent.id) {
            let opened = open.entry(agent.id).or_insert_with(|| Open { agent: agent.clone(), free, taken: None });
            look_what_is_taken(self.ws, opened, &queue.asked)?;
            queue.fitting.push(agent.id);
        }
        Ok(())
    }

    /// Whether the agent that a task prefers is attached and fits, so that waiting for it may help.
    fn preferred_is_near(&self, task: &Task, lane: LaneRef) -> bool {
        self.preferred(task, lane).is_some()
    }

    /// The agent that a task prefers, if it is attached and fits.
    fn preferred(&self, task: &Task, lane: LaneRef) -> Option<&Agent> {
        let preferred = task.spec.requirements.preferred_agent.as_ref()?;
        let name = (lane.0, preferred.as_str().into());
        let agent = self.ws.agent_by_name(&name).ok().flatten()?;
        (can_push(self.cx.replica, agent) && self.cx.board.fits(lane, agent.id)).then_some(agent)
    }
}

/// What an agent's tasks take has to be known from the first lane on that asks for resources.
fn look_what_is_taken(ws: &WorkingSet, open: &mut Open, asked: &Amounts) -> Ruled<()> {
    if open.taken.is_none() && !asked.is_empty() {
        open.taken = Some(ws.taken_amounts(open.agent.namespace, open.agent.id)?);
    }
    Ok(())
}

/// Whether an agent takes tasks, and by a stream of this replica: what is committed here is pushed from here.
fn can_push(replica: &str, agent: &Agent) -> bool {
    agent.takes_pushes() && agent.is_at(replica)
}
