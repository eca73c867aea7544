//! A task's end, and what it means for those that depend on it, and for its children.

use super::{Ruled, Step};
use crate::command::Effect;
use crate::model::payload::SystemFailure;
use crate::model::{
    Condition, Edge, EventKind, Failure, OnFailure, Outcome, Payload, StateName, Task, TaskId, TaskState, Terms,
    Waiting,
};
use crate::planted::Bug;
use crate::rules::placement::remember_agent;
use crate::rules::transition::Move;
use crate::working_set::PayloadValue;
use std::collections::VecDeque;
use std::sync::Arc;

/// How many tasks' dependents and children are told of in a step. Each is up to three reads of the store, behind each other, of which
/// a command has [`crate::decide::MOST_ROUNDS`].
const MOST_ENDED: usize = 64;

/// How a task ends.
#[derive(Clone, Debug)]
pub(crate) enum Ending {
    /// With a result.
    Completed { result: Arc<Payload> },
    /// With a failure.
    Failed { failure: Arc<Failure> },
    /// Because someone cancelled it.
    Cancelled { reason: String },
    /// Because a dependency ended otherwise than its condition says.
    Skipped { dependency: TaskId },
}

impl Ending {
    /// With a failure of the server's own.
    pub fn system(kind: SystemFailure, message: impl Into<String>) -> Self {
        Self::Failed { failure: Arc::new(Failure::system(kind, message)) }
    }

    /// What a dependent wants when its dependency ended so, otherwise than its condition says.
    pub fn of_dependency(dependency: TaskId, ended: StateName, terms: &Terms) -> Self {
        match (terms.on_failure, &terms.condition) {
            (OnFailure::Skip, _) => Self::Skipped { dependency },
            (OnFailure::Fail, Condition::Completed) => {
                Self::system(SystemFailure::DependencyFailed, format!("dependency {dependency} did not complete"))
            }
            (OnFailure::Fail, condition) => {
                let (ended, asked) = (ended.as_str(), condition.name());
                let message = format!("dependency {dependency} is {ended}, and had to be {asked}");
                Self::system(SystemFailure::DependencyFailed, message)
            }
        }
    }
}

impl Step<'_, '_> {
    /// Ends a task, releases those that depend on it and cancels its children: at most a step's worth now, the others from [`Step::go_on_releasing`].
    pub(super) fn end(&mut self, task: &mut Task, ending: Ending) -> Ruled<()> {
        self.end_one(task, ending)?;
        if task.releasing {
            self.release_dependents(task.id)?;
            // Releasing wrote the task again.
            *task = self.task(task.id)?;
        }
        Ok(())
    }

    pub(super) fn end_one(&mut self, task: &mut Task, ending: Ending) -> Ruled<()> {
        let at = self.cx.now;
        let agent = task.agent_name.clone().unwrap_or_else(|| "".into());
        // Committed with the end: whoever reads the row later knows that dependents and children are still to be told.
        task.releasing = task.has_dependents && !self.cx.settings.planted.has(Bug::ForgetDependents);
        let (mut result, mut failed) = (None, None);
        match ending {
            Ending::Completed { result: payload } => {
                self.go(task, Move::Complete(at), EventKind::Completed { agent })?;
                self.ws.add_payload((task.namespace, task.id), PayloadValue::Result(payload.clone()));
                result = Some(payload);
            }
            Ending::Failed { failure } => {
                self.go(task, Move::Fail(at), EventKind::Failed { failure: failure.brief() })?;
                self.ws.add_payload((task.namespace, task.id), PayloadValue::Failure(failure.clone()));
                failed = Some(failure);
            }
            Ending::Cancelled { reason } => self.go(task, Move::Cancel(at), EventKind::Cancelled { reason })?,
            Ending::Skipped { dependency } => self.go(task, Move::Skip(at), EventKind::Skipped { dependency })?,
        }
        if let Some(key) = &task.spec.key {
            self.ws.put_key((task.namespace, key.clone()), None);
        }
        self.ws.add_live(task.namespace, -1);
        self.tally_end(task)?;
        self.effects.push(Effect::Ended { task: Arc::new(task.clone()), result, failure: failed });
        Ok(())
    }

    /// Goes on telling dependents of a task that ended earlier.
    pub(super) fn go_on_releasing(&mut self, task: TaskId) -> Ruled<()> {
        self.release_dependents(task)
    }

    /// Tells dependents and children, theirs too when they end by it, up to a step's worth in all. What is left keeps `releasing` set, which
    /// wakes it again.
    fn release_dependents(&mut self, first: TaskId) -> Ruled<()> {
        let mut budget = self.cx.settings.release_step;
        let mut ended = VecDeque::from([first]);
        for _ in 0..MOST_ENDED {
            if budget == 0 {
                break;
            }
            let Some(id) = ended.pop_front() else { break };
            let source = self.task(id)?;
            let (edges, more) = self.ws.pending_edges((source.namespace, id), budget)?;
            budget -= edges.len();
            let outcome = self.outcome(id, source.state.name(), edges.iter().map(|edge| &edge.terms))?;
            for edge in edges {
                if let Some(next) = self.release_edge(&outcome, source.agent_name.as_ref(), &edge)? {
                    ended.push_back(next);
                }
            }
            if more || self.cancel_children(&source, &mut budget, &mut ended)? {
                ended.push_front(id);
                break;
            }
            let mut source = self.task(id)?;
            source.releasing = false;
            self.write(&mut source);
        }
        self.effects.extend(ended.into_iter().map(|task| Effect::Releasing { task }));
        Ok(())
    }

    /// Tells one dependent how a task ended, and who had it. Gives it back when it ended by that, and others wait for it.
    fn release_edge(&mut self, source: &Outcome, had: Option<&Arc<str>>, edge: &Edge) -> Ruled<Option<TaskId>> {
        self.ws.resolve_edge(edge);
        let mut target = self.task(edge.target)?;
        let TaskState::Waiting(waiting) = &target.state else {
            return Ok(None);
        };
        if !edge.terms.condition.holds(source) {
            self.end_one(&mut target, Ending::of_dependency(edge.source, source.state, &edge.terms))?;
            return Ok(target.releasing.then_some(target.id));
        }
        let left = Waiting { unmet: waiting.unmet.saturating_sub(1), ..waiting.clone() };
        remember_agent(&mut target, &edge.terms, had);
        if left.over() {
            self.go(&mut target, Move::Ready(self.cx.now), EventKind::Ready)?;
            if target.dependencies == 1 {
                self.effects.push(Effect::Released { edge: edge.clone() });
            }
        } else {
            let met = EventKind::DependencyMet { dependency: edge.source };
            self.go(&mut target, Move::Wait(left), met)?;
        }
        Ok(None)
    }
}
