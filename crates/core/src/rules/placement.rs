//! What tasks ask of where they are done, as far as rules see to it.

use super::{Ruled, Step};
use crate::model::{Task, TaskSpec, Terms};
use std::sync::Arc;

impl Step<'_, '_> {
    /// Refuses a task that takes resources while another replica would give it to whom it doesn't fit.
    pub(super) fn check_resources(&self, spec: &TaskSpec) -> Ruled<()> {
        match spec.requirements.resources.is_empty() {
            true => Ok(()),
            false => self.check_all_current("requirements.resources", "would give out more than agents have"),
        }
    }

    /// Refuses a fairness key that another replica would not heed, and would drop with an update.
    pub(super) fn check_fairness(&self, spec: &TaskSpec) -> Ruled<()> {
        match spec.fairness_key {
            Some(_) => self.check_all_current("fairness_key", "would give its tasks no turns of their own"),
            None => Ok(()),
        }
    }
}

/// Remembers who had a dependency last, if the task asks for it: what is chosen by that must cost no reads then.
pub(super) fn remember_agent(task: &mut Task, terms: &Terms, agent: Option<&Arc<str>>) {
    if let (Some(name), Some(agent)) = (&terms.name, agent)
        && task.spec.requirements.asks_for_agent_of(name)
    {
        task.dependency_agents.insert(name.clone(), agent.clone());
    }
}
