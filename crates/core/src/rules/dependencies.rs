//! What a task is to wait for: looked at when it is asked for, and written.

use super::placement::remember_agent;
use super::{Ruled, Step};
use crate::model::{Edge, NewDependency, Task, TaskId};
use crate::rules::end::Ending;
use crate::validate::Faults;
use crate::working_set::TaskKey;
use std::collections::BTreeSet;
use std::fmt::Display;

/// What is known of dependencies that a task is to have.
#[derive(Default)]
pub(super) struct Dependencies<'a> {
    /// Each with whether it has ended.
    all: Vec<(&'a NewDependency, bool)>,
    /// How many have not ended.
    pub unmet: u32,
    /// How many there are not.
    pub missing: usize,
    /// What the task ends by: the first that has already ended otherwise than asked.
    pub ending: Option<Ending>,
}

impl Step<'_, '_> {
    /// Asks for the tasks that have keys and for those that are to be waited for, in one go, and for the results that conditions ask for.
    pub(super) fn want_sources<'t>(
        &self,
        keys: impl Iterator<Item = TaskKey>,
        asked: impl Iterator<Item = &'t NewDependency> + Clone,
    ) -> Ruled<()> {
        self.ws.want_loaded(keys, asked.clone().map(|dependency| (self.namespace.id, dependency.source)))?;
        self.want_results(asked.map(|dependency| (dependency.source, &dependency.terms)))
    }

    /// Looks at what a task is to wait for; tells which of it there is not, or twice.
    pub(super) fn examine_dependencies<'a>(
        &self,
        at: impl Display,
        asked: &'a [NewDependency],
        faults: &mut Faults,
    ) -> Ruled<Dependencies<'a>> {
        let mut found = Dependencies::default();
        let mut seen = BTreeSet::new();
        for (place, dependency) in asked.iter().enumerate() {
            let NewDependency { source, terms } = dependency;
            let field = format_args!("{at}[{place}].task_id");
            if !seen.insert(*source) {
                faults.add(field, format!("task {source} stands here twice; name it once"));
                continue;
            }
            let Some(task) = self.ws.task((self.namespace.id, *source))? else {
                faults.add(field, format!("there is no task {source} in this namespace; create it first"));
                found.missing += 1;
                continue;
            };
            let state = task.state.name();
            found.all.push((dependency, state.is_final()));
            if !state.is_final() {
                found.unmet += 1;
            } else if found.ending.is_none() {
                let outcome = self.outcome(*source, state, std::iter::once(terms))?;
                let holds = terms.condition.holds(&outcome);
                found.ending = (!holds).then(|| Ending::of_dependency(*source, state, terms));
            }
        }
        Ok(found)
    }

    /// Remembers who had those that have ended, as far as the task asks for it. The caller writes the task.
    pub(super) fn remember_agents(&self, task: &mut Task, dependencies: &Dependencies<'_>) {
        for (dependency, _) in dependencies.all.iter().filter(|(_, ended)| *ended) {
            let source = self.ws.loaded_task(dependency.source);
            remember_agent(task, &dependency.terms, source.and_then(|source| source.agent_name.as_ref()));
        }
    }

    /// Writes the edges to a task, which has so many already, and marks their sources.
    pub(super) fn connect(&mut self, target: TaskId, first: u32, dependencies: &Dependencies<'_>) -> Ruled<()> {
        for (ordinal, (dependency, resolved)) in (first..).zip(&dependencies.all) {
            self.ws.add_edge(Edge {
                namespace: self.namespace.id,
                source: dependency.source,
                target,
                ordinal,
                terms: dependency.terms.clone(),
                resolved: *resolved,
            });
            // Writing the source also makes a completion of it at the same time, elsewhere, see this edge or wait for it.
            let mut source = self.task(dependency.source)?;
            if !resolved && !source.has_dependents {
                source.has_dependents = true;
                self.write(&mut source);
            }
        }
        Ok(())
    }
}
