//! Who could have a task now, who could not, and why: told by the functions by which tasks are given out.

use super::choose::{compare, preferred, reluctance};
use super::{Score, room_for, score};
use crate::model::lane::Misfit;
use crate::model::resources::written;
use crate::model::{Agent, AgentProfile, Amounts, LaneKey, Limit, LimitUse, Link, Span, Task, TaskState, Timestamp};
use std::cmp::Ordering;
use std::sync::Arc;

/// How many agents an explanation tells of.
const TOLD: usize = 100;

/// How many task types of an agent are told.
const TYPES: usize = 12;

/// An agent as it is now.
#[derive(Clone, Debug)]
pub struct Looked {
    /// Its row.
    pub agent: Agent,
    /// How many tasks have its slots, or wait for one.
    pub used: usize,
    /// What those take of its resources.
    pub taken: Amounts,
}

impl Looked {
    /// How many more tasks it may be given.
    fn free(&self) -> usize {
        (self.agent.profile.slots as usize).saturating_sub(self.used)
    }
}

/// A limit that a task is under.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Restraint {
    /// The limit.
    pub limit: Limit,
    /// What is used of it.
    pub used: LimitUse,
}

impl Restraint {
    /// What keeps the task from everybody now, if the limit does.
    fn obstacle(&self, now: Timestamp) -> Option<Obstacle> {
        let key = &self.used.key;
        let detail = match (self.limit.max_concurrent, self.limit.next_at(&self.used, now)) {
            (Some(max), _) if self.limit.free(&self.used) == 0 => {
                format!("{key}: {} of {max} hold a slot", self.used.in_use)
            }
            (_, Some(at)) => {
                format!("{key}: the rate lets the next one through in {} ms", (at.since(now).0 + 999) / 1_000)
            }
            _ => return None,
        };
        Some(Obstacle::new(ObstacleKind::Limit, detail))
    }
}

/// What an explanation says of a limit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LimitTold {
    /// The limit, and what is used of it.
    pub restraint: Restraint,
    /// It keeps the task from being given to anybody now.
    pub reached: bool,
    /// When the rate lets the next task through, if it doesn't now.
    pub next_at: Option<Timestamp>,
}

/// Who could have a task.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Explanation {
    /// How many agents were looked at.
    pub agents: usize,
    /// How many of them could have it at some time.
    pub fitting: usize,
    /// Those that could have it now, the one that gets it first; then those that can't have it now, then those that never can, both by name.
    pub candidates: Vec<Candidate>,
    /// The limits that the task is under.
    pub limits: Vec<LimitTold>,
}

/// An agent and a task.
#[derive(Clone, Debug, PartialEq)]
pub struct Candidate {
    /// The agent.
    pub agent: Arc<str>,
    /// How good it is; none: it doesn't fit.
    pub score: Option<Score>,
    /// What keeps it from having the task now, the most lasting first.
    pub obstacles: Vec<Obstacle>,
}

/// What keeps an agent from having a task.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Obstacle {
    /// What kind.
    pub kind: ObstacleKind,
    /// What exactly, for people.
    pub detail: String,
}

/// What kind of obstacle.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ObstacleKind {
    /// It doesn't handle the task type.
    TaskType,
    /// Another agent is the assignee.
    Assignee,
    /// It has another role.
    Role,
    /// It lacks a skill.
    Skill,
    /// It lacks a tool.
    Tool,
    /// It has less of a resource, in all, than the task takes.
    Resource,
    /// It is not attached.
    Detached,
    /// It is cordoned.
    Cordoned,
    /// It is draining.
    Draining,
    /// It takes tasks by claims alone.
    Claims,
    /// All of its slots are taken.
    Slots,
    /// What is free of a resource is less than the task takes.
    ResourceTaken,
    /// The task's preferred agent has its head start.
    Preferred,
    /// The last attempt failed there, or was handed back, and others could have it.
    FailedThere,
    /// A limit of the task's keys is reached.
    Limit,
}

impl Obstacle {
    fn new(kind: ObstacleKind, detail: impl Into<String>) -> Self {
        Self { kind, detail: detail.into() }
    }
}

/// Says who could have a task, of all these agents, which are of one namespace. Of a task that is not ready, as if it became so now.
pub fn explain(task: &Task, agents: &[Looked], limits: &[Restraint], now: Timestamp, head_start: Span) -> Explanation {
    let key = LaneKey::in_force(&task.spec, task.fallback);
    let mut seen: Vec<Seen<'_>> = agents.iter().map(|looked| Seen::of(task, &key, looked)).collect();
    keep_for_preferred(task, &mut seen, now, head_start);
    pass_over_reluctant(task, &mut seen);
    let reached: Vec<Obstacle> = limits.iter().filter_map(|limit| limit.obstacle(now)).collect();
    seen.iter_mut().for_each(|seen| seen.obstacles.extend_from_slice(&reached));
    seen.sort_by(|a, b| a.turn(task).cmp(&b.turn(task)).then_with(|| a.compare(b, task)));
    let fitting = seen.iter().filter(|seen| seen.score.is_some()).count();
    let candidates = seen.into_iter().take(TOLD).map(Seen::told).collect();
    let limits = limits.iter().map(|restraint| LimitTold {
        reached: restraint.limit.room(&restraint.used, now) == 0,
        next_at: restraint.limit.next_at(&restraint.used, now),
        restraint: restraint.clone(),
    });
    Explanation { agents: agents.len(), fitting, candidates, limits: limits.collect() }
}

/// An agent that is being looked at.
struct Seen<'a> {
    looked: &'a Looked,
    score: Option<Score>,
    obstacles: Vec<Obstacle>,
}

impl<'a> Seen<'a> {
    fn of(task: &Task, key: &LaneKey, looked: &'a Looked) -> Self {
        let agent = &looked.agent;
        let mut obstacles: Vec<Obstacle> =
            key.misfits(&agent.name, &agent.profile).map(|misfit| of_misfit(misfit, key, &agent.profile)).collect();
        let score = obstacles.is_empty().then(|| score(task, agent, looked.free()));
        obstacles.extend(away(agent));
        obstacles.extend(taken(key, looked));
        Self { looked, score, obstacles }
    }

    fn can_have_it(&self) -> bool {
        self.obstacles.is_empty()
    }

    /// Whether waiting for it helps a task that prefers it.
    fn is_near(&self) -> bool {
        self.score.is_some() && self.looked.agent.takes_pushes()
    }

    /// What group it is told in.
    fn turn(&self, task: &Task) -> u8 {
        match (self.can_have_it(), self.score.is_some()) {
            (true, _) if preferred(task) == Some(&*self.looked.agent.name) => 0,
            (true, _) => 1,
            (false, true) => 2,
            (false, false) => 3,
        }
    }

    /// Its place in its group.
    fn compare(&self, other: &Self, task: &Task) -> Ordering {
        let (a, b) = (&self.looked.agent, &other.looked.agent);
        match (self.score, other.score) {
            (Some(one), Some(two)) if self.can_have_it() => compare(task, (a.id, one.total()), (b.id, two.total())),
            _ => a.name.cmp(&b.name),
        }
    }

    fn told(self) -> Candidate {
        Candidate { agent: self.looked.agent.name.clone(), score: self.score, obstacles: self.obstacles }
    }
}

fn of_misfit(misfit: Misfit, key: &LaneKey, profile: &AgentProfile) -> Obstacle {
    match misfit {
        Misfit::TaskType => {
            let types: Vec<&str> = profile.handles.iter().map(|handler| &*handler.task_type).take(TYPES).collect();
            let more = if profile.handles.len() > TYPES { ", …" } else { "" };
            let detail = format!("it handles {}{more}, not {}", types.join(", "), key.task_type);
            Obstacle::new(ObstacleKind::TaskType, detail)
        }
        Misfit::Assignee => {
            let assignee = key.assignee.as_deref().unwrap_or_default();
            Obstacle::new(ObstacleKind::Assignee, format!("the task is for {assignee}"))
        }
        Misfit::Role => {
            let asked = key.role.as_deref().unwrap_or_default();
            let has = if profile.role.is_empty() { "none" } else { &profile.role };
            Obstacle::new(ObstacleKind::Role, format!("the task asks for {asked}, and it has {has}"))
        }
        Misfit::Skill(skill) => Obstacle::new(ObstacleKind::Skill, skill),
        Misfit::Tool(tool) => Obstacle::new(ObstacleKind::Tool, tool),
        Misfit::Resource(name) => {
            let (has, asked) = (written(profile.has_of(&name)), written(key.resources.get(&name)));
            Obstacle::new(ObstacleKind::Resource, format!("{name}: the task takes {asked}, and it has {has}"))
        }
    }
}

/// Why an agent that would fit gets no tasks.
fn away(agent: &Agent) -> Vec<Obstacle> {
    let mut obstacles = Vec::new();
    let link = agent.session.as_ref().map(|session| &session.link);
    match link {
        None => obstacles.push(Obstacle::new(ObstacleKind::Detached, "")),
        Some(Link::Broken { .. }) => {
            obstacles.push(Obstacle::new(ObstacleKind::Detached, "its stream broke; it may come back"));
        }
        Some(Link::Stream { .. } | Link::Claims { .. }) => {}
    }
    if agent.cordoned {
        obstacles.push(Obstacle::new(ObstacleKind::Cordoned, ""));
    }
    if agent.session.as_ref().is_some_and(|session| session.draining) {
        obstacles.push(Obstacle::new(ObstacleKind::Draining, ""));
    }
    if matches!(link, Some(Link::Claims { .. })) {
        obstacles.push(Obstacle::new(ObstacleKind::Claims, ""));
    }
    obstacles
}

/// What others have of an agent that the task needs.
fn taken(key: &LaneKey, looked: &Looked) -> Vec<Obstacle> {
    let profile = &looked.agent.profile;
    let mut obstacles = Vec::new();
    if looked.free() == 0 {
        let detail = format!("{} of {}", looked.used, profile.slots);
        obstacles.push(Obstacle::new(ObstacleKind::Slots, detail));
    }
    for (name, parts) in key.resources.iter() {
        let one = Amounts::of([(name.to_owned(), parts)]);
        let has = profile.has_of(name);
        // Of what it has never enough of that is told already.
        if has >= parts && room_for(&one, profile, &looked.taken) == 0 {
            let free = written(has.saturating_sub(looked.taken.get(name)));
            let detail = format!("{name}: the task takes {}, and {free} of {} are free", written(parts), written(has));
            obstacles.push(Obstacle::new(ObstacleKind::ResourceTaken, detail));
        }
    }
    obstacles
}

/// While the agent that a task prefers is near and busy, nobody else gets it for some time.
fn keep_for_preferred(task: &Task, seen: &mut [Seen<'_>], now: Timestamp, head_start: Span) {
    let Some(name) = preferred(task) else { return };
    let since = match task.state {
        TaskState::Ready { since } => since,
        _ => now,
    };
    let busy = |seen: &Seen<'_>| *seen.looked.agent.name == *name && seen.is_near() && !seen.can_have_it();
    if since + head_start > now && seen.iter().any(busy) {
        for other in seen.iter_mut().filter(|seen| seen.score.is_some() && *seen.looked.agent.name != *name) {
            other.obstacles.push(Obstacle::new(ObstacleKind::Preferred, format!("it is kept for {name}")));
        }
    }
}

/// Where the last attempt failed, or was handed back, the task goes only if nobody else can have it.
fn pass_over_reluctant(task: &Task, seen: &mut [Seen<'_>]) {
    let of = |seen: &Seen<'_>| reluctance(task, seen.looked.agent.id);
    let Some(least) = seen.iter().filter(|seen| seen.can_have_it()).map(of).min() else { return };
    let wanted = preferred(task);
    for reluctant in seen.iter_mut().filter(|seen| seen.score.is_some() && of(seen) > least) {
        if wanted != Some(&*reluctant.looked.agent.name) {
            reluctant.obstacles.push(Obstacle::new(ObstacleKind::FailedThere, ""));
        }
    }
}
