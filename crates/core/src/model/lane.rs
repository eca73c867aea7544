//! Lanes: tasks that the same agents fit.

use super::agent::{Agent, AgentProfile};
use super::id::{LaneId, NamespaceId};
use super::resources::Amounts;
use super::spec::TaskSpec;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::collections::BTreeSet;
use std::sync::Arc;

/// A lane of a namespace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lane {
    /// Its namespace.
    pub namespace: NamespaceId,
    /// Its id.
    pub id: LaneId,
    /// What its tasks have in common.
    pub key: LaneKey,
}

/// What tasks of a lane have in common: task type, assignee, hard requirements, fairness key and limit keys. Sets are sorted, so that equal keys are
/// equal bytes.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct LaneKey {
    /// The task type.
    #[serde(rename = "type")]
    pub task_type: Arc<str>,
    /// The only agent that fits, by name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub assignee: Option<String>,
    /// The role an agent must have.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub role: Option<String>,
    /// The skills an agent must have.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub skills: BTreeSet<String>,
    /// The tools an agent must have.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub tools: BTreeSet<String>,
    /// What each task takes of its agent's resources.
    #[serde(default, skip_serializing_if = "Amounts::is_empty")]
    pub resources: Amounts,
    /// With whose tasks they share a turn.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fairness_key: Option<String>,
    /// The keys whose limits they are under.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub limit_keys: BTreeSet<String>,
}

/// Why an agent doesn't fit a lane.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Misfit {
    /// It doesn't handle the task type.
    TaskType,
    /// Another agent is the assignee.
    Assignee,
    /// It has another role.
    Role,
    /// It lacks this skill.
    Skill(String),
    /// It lacks this tool.
    Tool(String),
    /// It has less of this resource, in all, than a task takes.
    Resource(String),
}

impl LaneKey {
    /// The lane of a task's own requirements.
    pub fn of(spec: &TaskSpec) -> Self {
        Self {
            task_type: spec.task_type.clone(),
            assignee: spec.requirements.assignee.clone(),
            role: spec.requirements.role.clone(),
            skills: spec.requirements.skills.clone(),
            tools: spec.requirements.tools.clone(),
            resources: spec.requirements.resources.clone(),
            fairness_key: spec.fairness_key.clone(),
            limit_keys: spec.limit_keys.clone(),
        }
    }

    /// The lane of a task whose run has come to this fallback of its requirements; 0: to none.
    pub fn in_force(spec: &TaskSpec, fallback: u32) -> Self {
        let own = Self::of(spec);
        let Some(fallback) = spec.requirements.fallback(fallback) else { return own };
        Self {
            assignee: fallback.assignee.clone(),
            role: fallback.role.clone(),
            skills: fallback.skills.clone(),
            tools: fallback.tools.clone(),
            ..own
        }
    }

    /// The id: the first eight bytes of the SHA-256 of the key's parts, each with its length before it.
    pub fn id(&self) -> LaneId {
        let mut hash = Sha256::new();
        let mut part = |tag: u8, text: &str| {
            hash.update([tag]);
            hash.update((text.len() as u64).to_be_bytes());
            hash.update(text.as_bytes());
        };
        part(0, &self.task_type);
        self.assignee.iter().for_each(|a| part(1, a));
        self.role.iter().for_each(|r| part(2, r));
        self.skills.iter().for_each(|s| part(3, s));
        self.tools.iter().for_each(|t| part(4, t));
        self.resources.iter().for_each(|(name, parts)| {
            part(5, name);
            part(6, &parts.to_string());
        });
        self.fairness_key.iter().for_each(|key| part(7, key));
        self.limit_keys.iter().for_each(|key| part(8, key));
        let digest = hash.finalize();
        let mut first = [0; 8];
        first.copy_from_slice(&digest[..8]);
        LaneId(i64::from_be_bytes(first))
    }

    /// Whether an agent may have the lane's tasks, and why not.
    pub fn fits(&self, agent: &str, profile: &AgentProfile) -> Result<(), Misfit> {
        self.misfits(agent, profile).next().map_or(Ok(()), Err)
    }

    /// All that keeps an agent from having the lane's tasks, ever.
    pub fn misfits<'a>(&'a self, agent: &'a str, profile: &'a AgentProfile) -> impl Iterator<Item = Misfit> + 'a {
        let task_type = (!profile.takes(&self.task_type)).then_some(Misfit::TaskType);
        let assignee = self.assignee.as_deref().is_some_and(|a| a != agent).then_some(Misfit::Assignee);
        let role = self.role.as_deref().is_some_and(|role| role != profile.role).then_some(Misfit::Role);
        let skills = self.skills.iter().filter(|skill| !profile.skills.contains(*skill));
        let tools = self.tools.iter().filter(|tool| !profile.tools.contains(*tool));
        let lacking = self.resources.iter().filter(|(name, parts)| profile.has_of(name) < *parts);
        let first = task_type.into_iter().chain(assignee).chain(role);
        let words = skills.cloned().map(Misfit::Skill).chain(tools.cloned().map(Misfit::Tool));
        first.chain(words).chain(lacking.map(|(name, _)| Misfit::Resource(name.to_owned())))
    }

    /// Whether a known agent may have the lane's tasks.
    pub fn fits_agent(&self, agent: &Agent) -> bool {
        self.fits(&agent.name, &agent.profile).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::agent::TaskHandler;

    fn profile() -> AgentProfile {
        AgentProfile {
            role: "reviewer".into(),
            skills: ["rust".to_owned(), "sql".to_owned()].into(),
            tools: ["git".to_owned()].into(),
            handles: vec![TaskHandler::named("review")],
            ..AgentProfile::default()
        }
    }

    fn key() -> LaneKey {
        LaneKey {
            task_type: "review".into(),
            assignee: None,
            role: Some("reviewer".into()),
            skills: ["rust".to_owned()].into(),
            tools: BTreeSet::new(),
            resources: Amounts::default(),
            fairness_key: None,
            limit_keys: BTreeSet::new(),
        }
    }

    #[test]
    fn an_agent_fits_when_it_has_all_that_is_asked() {
        assert_eq!(key().fits("a", &profile()), Ok(()));
        let wrong_type = LaneKey { task_type: "write".into(), ..key() };
        assert_eq!(wrong_type.fits("a", &profile()), Err(Misfit::TaskType));
        let other = LaneKey { assignee: Some("b".into()), ..key() };
        assert_eq!(other.fits("a", &profile()), Err(Misfit::Assignee));
        assert_eq!(other.fits("b", &profile()), Ok(()));
        let lead = LaneKey { role: Some("lead".into()), ..key() };
        assert_eq!(lead.fits("a", &profile()), Err(Misfit::Role));
        let go = LaneKey { skills: ["go".to_owned()].into(), ..key() };
        assert_eq!(go.fits("a", &profile()), Err(Misfit::Skill("go".into())));
        let docker = LaneKey { tools: ["docker".to_owned()].into(), ..key() };
        assert_eq!(docker.fits("a", &profile()), Err(Misfit::Tool("docker".into())));
        let gpus = LaneKey { resources: Amounts::of([("gpu".to_owned(), 2_000)]), ..docker };
        assert_eq!(gpus.misfits("a", &profile()).last(), Some(Misfit::Resource("gpu".into())));
        let one = AgentProfile { resources: [("gpu".to_owned(), 1.999)].into(), ..profile() };
        assert_eq!(gpus.misfits("a", &one).count(), 2);
        let two = AgentProfile { resources: [("gpu".to_owned(), 2.0)].into(), ..profile() };
        assert_eq!(gpus.misfits("a", &two).collect::<Vec<_>>(), [Misfit::Tool("docker".into())]);
    }

    /// Tasks lie in the stores under the ids of their lanes.
    #[test]
    fn a_lane_without_resources_and_keys_has_the_id_that_it_always_had() {
        assert_eq!(key().id(), LaneId(9_100_496_575_875_026_356));
        let gpus = |parts| LaneKey { resources: Amounts::of([("gpu".to_owned(), parts)]), ..key() };
        assert_ne!(gpus(1_000).id(), key().id());
        assert_ne!(gpus(1_000).id(), gpus(2_000).id());
        let fair = LaneKey { fairness_key: Some("a".into()), ..key() };
        let limited = LaneKey { limit_keys: ["a".to_owned()].into(), ..key() };
        assert_ne!(fair.id(), key().id());
        assert_ne!(limited.id(), fair.id());
        let json = serde_json::to_string(&key()).unwrap();
        assert!(!json.contains("resources") && !json.contains("_key"), "{json}");
        assert_eq!(serde_json::from_str::<LaneKey>(&json).unwrap(), key());
    }

    #[test]
    fn a_star_takes_any_type() {
        let any = AgentProfile { handles: vec![TaskHandler::named("*")], ..profile() };
        assert_eq!(key().fits("a", &any), Ok(()));
    }

    #[test]
    fn parts_do_not_run_into_each_other() {
        let ab = LaneKey { skills: ["a".to_owned(), "b".to_owned()].into(), ..key() };
        let a_tool_b = LaneKey { skills: ["a".to_owned()].into(), tools: ["b".to_owned()].into(), ..key() };
        let joined = LaneKey { skills: ["ab".to_owned()].into(), ..key() };
        assert_ne!(ab.id(), a_tool_b.id());
        assert_ne!(ab.id(), joined.id());
        assert_eq!(ab.id(), ab.clone().id());
    }
}
