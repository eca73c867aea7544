//! Describing what a task asks for when nobody takes it.

use std::time::Duration;

use callboard_proto::v1;

use crate::time::proto_duration;

/// What a task asks for instead of its own skills, tools, role and assignee when nobody has taken it for some time: all of
/// these, so that what is not said here is not asked for any more. For [`crate::NewTask::fallback`].
///
/// ```
/// use std::time::Duration;
/// use callboard::{NewFallback, NewTask};
///
/// let review = NewTask::new("review")
///     .skill("rust")
///     .role("reviewer")
///     // After half a minute any reviewer will do, and after two the team's leader.
///     .fallback(NewFallback::after(Duration::from_secs(30)).role("reviewer"))
///     .fallback(NewFallback::after(Duration::from_secs(120)).role("leader"));
/// ```
///
/// Nothing of it is checked here: the server says what is wrong when the task is created.
#[derive(Debug, Clone, PartialEq)]
pub struct NewFallback {
    pub(crate) fallback: v1::RequirementsFallback,
}

impl NewFallback {
    /// After the task was READY for so long, counted from when it became READY: 1 ms to ten years.
    pub fn after(time: Duration) -> Self {
        v1::RequirementsFallback { after: Some(proto_duration(time)), ..v1::RequirementsFallback::default() }.into()
    }

    /// A skill that the agent must have then. Call it once for each.
    #[must_use]
    pub fn skill(mut self, skill: impl Into<String>) -> Self {
        self.fallback.skills.push(skill.into());
        self
    }

    /// A tool that the agent must have then. Call it once for each.
    #[must_use]
    pub fn tool(mut self, tool: impl Into<String>) -> Self {
        self.fallback.tools.push(tool.into());
        self
    }

    /// The role that the agent must have then.
    #[must_use]
    pub fn role(mut self, role: impl Into<String>) -> Self {
        self.fallback.role = role.into();
        self
    }

    /// The only agent that may have the task then, by name.
    #[must_use]
    pub fn assignee(mut self, agent: impl Into<String>) -> Self {
        self.fallback.assignee = agent.into();
        self
    }
}

impl From<v1::RequirementsFallback> for NewFallback {
    fn from(fallback: v1::RequirementsFallback) -> Self {
        Self { fallback }
    }
}
