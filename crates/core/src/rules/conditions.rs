//! Conditions of dependencies: what must be seen of how a task ended.

use super::{Ruled, Step};
use crate::limits::MAX_RESULT_CONDITIONS;
use crate::model::condition::value_of;
use crate::model::{Condition, NewDependency, Outcome, StateName, TaskId, Terms};
use crate::rejection::{Reason, Rejection};

impl Step<'_, '_> {
    /// Refuses conditions that another replica would not understand, and more of results than may be read at once.
    pub(super) fn check_conditions<'t>(&self, asked: impl Iterator<Item = &'t NewDependency> + Clone) -> Ruled<()> {
        let mut conditions = asked.map(|dependency| &dependency.terms.condition);
        let of_results = conditions.clone().filter(|condition| matches!(condition, Condition::Result(_))).count();
        if !self.cx.all_current && conditions.any(|condition| *condition != Condition::Completed) {
            let message = "tasks.dependencies.condition: a server of an older version shares the store and would not \
                           understand it; finish the upgrade, then repeat";
            return Err(Rejection::new(Reason::UpgradeUnfinished, message).into());
        }
        if of_results > MAX_RESULT_CONDITIONS {
            let fault =
                format!("{of_results} dependencies have one; at most {MAX_RESULT_CONDITIONS}: create fewer at once");
            return Err(Rejection::field("tasks.dependencies.result", fault).into());
        }
        Ok(())
    }

    /// Asks for the results that conditions ask for, of tasks that are loaded, in one go.
    pub(super) fn want_results<'t>(&self, asked: impl Iterator<Item = (TaskId, &'t Terms)>) -> Ruled<()> {
        let of_ended = asked.filter(|(source, terms)| {
            let ended = self.ws.loaded_task(*source).map(|task| task.state.name());
            ended.is_some_and(|state| terms.condition.asks_for_result(state))
        });
        self.ws.want_results(of_ended.map(|(source, _)| (self.namespace.id, source)))
    }

    /// How a task ended, with its result if any of these terms asks for it.
    pub(super) fn outcome<'t>(
        &self,
        task: TaskId,
        state: StateName,
        mut asked: impl Iterator<Item = &'t Terms>,
    ) -> Ruled<Outcome> {
        let result = match asked.any(|terms| terms.condition.asks_for_result(state)) {
            true => self.ws.result((self.namespace.id, task))?,
            false => None,
        };
        Ok(Outcome { state, result: result.and_then(|result| value_of(&result)) })
    }
}
