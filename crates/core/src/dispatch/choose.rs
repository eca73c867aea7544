//! The choice among agents that fit.

use super::Open;
use crate::model::{Agent, AgentId, Chosen, KeptScore, RunnerUp, Span, Task, TaskState, Timestamp};
use std::cmp::Ordering;

/// At most so many agents are scored for a task; beyond that a few are as good as all.
pub(super) const SCORED: usize = 64;

/// Of so many of the others it is kept how good they were.
const RUNNERS_UP: usize = 3;

/// What becomes of a task at this moment.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Choice {
    /// This open agent gets it, and how it was chosen.
    Agent(AgentId, Chosen),
    /// A preferred agent is near: look again at this time.
    Later(Timestamp),
    /// Nobody is open.
    Nobody,
}

/// How good an agent is for a task, part by part; each from 0 to 1 before its weight.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Score {
    /// The share of its attempts that it completed. Weight 0.4.
    pub success: f64,
    /// The share of its slots that is free. Weight 0.3.
    pub idle: f64,
    /// The share of the task's wishes that it meets; 1 if there is none. Weight 0.25.
    pub affinity: f64,
    /// Whether the task asks for its role, or it has none: specialists are kept for what needs them. Weight 0.05.
    pub role: f64,
}

impl Score {
    /// The weighted sum.
    pub fn total(self) -> f64 {
        0.4 * self.success + 0.3 * self.idle + 0.25 * self.affinity + 0.05 * self.role
    }
}

/// Scores an agent with so many free slots for a task.
pub fn score(task: &Task, agent: &Agent, free: usize) -> Score {
    let role = agent.profile.role.is_empty() || task.asks_for_role();
    Score {
        success: agent.success_rate(),
        idle: free as f64 / f64::from(agent.profile.slots.max(1)),
        affinity: wishes_met(task, agent),
        role: if role { 1.0 } else { 0.0 },
    }
}

/// The share of a task's wishes that an agent meets: labels that it should have and not have, dependencies that it should have had and not
/// have had.
fn wishes_met(task: &Task, agent: &Agent) -> f64 {
    let wanted = &task.spec.requirements;
    let wishes = wanted.affinity.len() + wanted.anti_affinity.len() + wanted.near.len() + wanted.apart.len();
    if wishes == 0 {
        return 1.0;
    }
    let has = |(label, value): &(&String, &String)| agent.profile.labels.get(*label) == Some(*value);
    let had = |name: &&String| task.dependency_agents.get(name.as_str()) == Some(&agent.name);
    let met = wanted.affinity.iter().filter(has).count()
        + wanted.anti_affinity.iter().filter(|label| !has(label)).count()
        + wanted.near.iter().filter(had).count()
        + wanted.apart.iter().filter(|name| !had(name)).count();
    met as f64 / wishes as f64
}

/// How reluctantly a task goes to an agent: behind others to the one at which it failed last, and last to who just handed it back.
pub(super) fn reluctance(task: &Task, agent: AgentId) -> (bool, bool) {
    (task.avoid == Some(agent), task.failed_at == Some(agent))
}

/// Which of two agents with their scores comes first for a task.
pub(super) fn compare(task: &Task, a: (AgentId, f64), b: (AgentId, f64)) -> Ordering {
    reluctance(task, a.0).cmp(&reluctance(task, b.0)).then(b.1.total_cmp(&a.1)).then(a.0.cmp(&b.0))
}

/// The agent that a task prefers, by name, unless its last attempt failed there.
pub(super) fn preferred(task: &Task) -> Option<&str> {
    let failed_there = |name: &str| task.failed_at.is_some() && task.agent_name.as_deref() == Some(name);
    task.spec.requirements.preferred_agent.as_deref().filter(|name| !failed_there(name))
}

/// Chooses an agent for a task: the preferred one, unless its last attempt failed there; else the best of those that neither handed it
/// back nor failed at it last; else any.
pub(super) fn choose<'a>(
    task: &Task,
    open: impl Iterator<Item = &'a Open> + Clone,
    preferred_is_near: impl FnOnce() -> bool,
    now: Timestamp,
    head_start: Span,
) -> Choice {
    let preferred = preferred(task);
    let wanted = preferred.and_then(|name| open.clone().find(|open| *open.agent.name == *name));
    if preferred.is_some()
        && wanted.is_none()
        && let TaskState::Ready { since } = task.state
        && since + head_start > now
        && preferred_is_near()
    {
        return Choice::Later(since + head_start);
    }
    let others = open.filter(|open| wanted.is_none_or(|wanted| wanted.agent.id != open.agent.id));
    let (mut best, others) = best_of(task, others);
    let compared = others + u32::from(wanted.is_some());
    let chosen = match wanted {
        Some(wanted) => Rated::of(task, wanted),
        None if best.is_empty() => return Choice::Nobody,
        None => best.remove(0),
    };
    let runners_up = best.iter().take(RUNNERS_UP).map(Rated::runner_up).collect();
    Choice::Agent(chosen.agent.id, Chosen { score: KeptScore::of(chosen.score), compared, runners_up })
}

/// An agent, and how good it is for the task at hand.
struct Rated<'a> {
    agent: &'a Agent,
    score: f64,
}

impl<'a> Rated<'a> {
    fn of(task: &Task, open: &'a Open) -> Self {
        Self { agent: &open.agent, score: score(task, &open.agent, open.free).total() }
    }

    fn is_before(&self, other: &Self, task: &Task) -> bool {
        compare(task, (self.agent.id, self.score), (other.agent.id, other.score)).is_lt()
    }

    fn runner_up(&self) -> RunnerUp {
        RunnerUp { agent: self.agent.name.clone(), score: KeptScore::of(self.score) }
    }
}

/// The best of these agents in their order, as many as are kept, and how many were compared.
fn best_of<'a>(task: &Task, open: impl Iterator<Item = &'a Open>) -> (Vec<Rated<'a>>, u32) {
    let mut best: Vec<Rated<'a>> = Vec::with_capacity(RUNNERS_UP + 2);
    let mut compared = 0;
    for rated in open.take(SCORED).map(|open| Rated::of(task, open)) {
        compared += 1;
        let place = best.partition_point(|better| better.is_before(&rated, task));
        best.insert(place, rated);
        best.truncate(RUNNERS_UP + 1);
    }
    (best, compared)
}
