//! The choice among agents that fit.

use super::Open;
use crate::model::{Agent, AgentId, Span, Task, TaskState, Timestamp};
use std::cmp::Ordering;

/// At most so many agents are scored for a task; beyond that a few are as good as all.
pub(super) const SCORED: usize = 64;

/// What becomes of a task at this moment.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Choice {
    /// This open agent gets it.
    Agent(AgentId),
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
    if let Some(preferred) = preferred(task) {
        if let Some(open) = open.clone().find(|open| *open.agent.name == *preferred) {
            return Choice::Agent(open.agent.id);
        }
        if let TaskState::Ready { since } = task.state
            && since + head_start > now
            && preferred_is_near()
        {
            return Choice::Later(since + head_start);
        }
    }
    let scored = open.take(SCORED).map(|open| (open.agent.id, score(task, &open.agent, open.free).total()));
    let best = scored.min_by(|a, b| compare(task, *a, *b));
    best.map_or(Choice::Nobody, |(id, _)| Choice::Agent(id))
}
