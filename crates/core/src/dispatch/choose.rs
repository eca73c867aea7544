//! The choice among agents that fit.

use super::Open;
use crate::model::{Agent, AgentId, Span, Task, TaskState, Timestamp};

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
    /// The share of the task's affinity that it matches; 1 if there is none. Weight 0.25.
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
    let wanted = &task.spec.requirements.affinity;
    let matched = wanted.iter().filter(|(label, value)| agent.profile.labels.get(*label) == Some(value)).count();
    let affinity = if wanted.is_empty() { 1.0 } else { matched as f64 / wanted.len() as f64 };
    let role = agent.profile.role.is_empty() || task.asks_for_role();
    Score {
        success: agent.success_rate(),
        idle: free as f64 / f64::from(agent.profile.slots.max(1)),
        affinity,
        role: if role { 1.0 } else { 0.0 },
    }
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
    let failed_there = |name: &str| task.failed_at.is_some() && task.agent_name.as_deref() == Some(name);
    if let Some(preferred) = task.spec.requirements.preferred_agent.as_deref().filter(|name| !failed_there(name)) {
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
    // Who just handed it back comes last, and before it who failed at it.
    let reluctance = |agent: AgentId| (task.avoid == Some(agent), task.failed_at == Some(agent));
    let best = open
        .take(SCORED)
        .map(|open| (reluctance(open.agent.id), open.agent.id, score(task, &open.agent, open.free).total()))
        .min_by(|a, b| a.0.cmp(&b.0).then(b.2.total_cmp(&a.2)));
    best.map_or(Choice::Nobody, |(_, id, _)| Choice::Agent(id))
}
