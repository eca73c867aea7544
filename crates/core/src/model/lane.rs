//! Lanes: tasks that the same agents fit.

use super::agent::{Agent, AgentProfile};
use super::id::{LaneId, NamespaceId};
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

/// What tasks of a lane have in common: task type, assignee and hard requirements. Sets are sorted, so that equal keys are
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
        let digest = hash.finalize();
        let mut first = [0; 8];
        first.copy_from_slice(&digest[..8]);
        LaneId(i64::from_be_bytes(first))
    }

    /// Whether an agent may have the lane's tasks, and why not.
    pub fn fits(&self, agent: &str, profile: &AgentProfile) -> Result<(), Misfit> {
        if !profile.takes(&self.task_type) {
            return Err(Misfit::TaskType);
        }
        if self.assignee.as_deref().is_some_and(|a| a != agent) {
            return Err(Misfit::Assignee);
        }
        if self.role.is_some() && self.role.as_deref() != Some(profile.role.as_str()) {
            return Err(Misfit::Role);
        }
        if let Some(skill) = self.skills.iter().find(|s| !profile.skills.contains(*s)) {
            return Err(Misfit::Skill(skill.clone()));
        }
        if let Some(tool) = self.tools.iter().find(|t| !profile.tools.contains(*t)) {
            return Err(Misfit::Tool(tool.clone()));
        }
        Ok(())
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
