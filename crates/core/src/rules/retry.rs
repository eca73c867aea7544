//! Further runs of what ended badly.

use super::steer::receipt;
use super::{Ruled, Step};
use crate::command::Reply;
use crate::decide::Stop;
use crate::model::{Edge, EventKind, LaneKey, StateName, Task, TaskId, Waiting};
use crate::rejection::Rejection;
use crate::rules::placement::remember_agent;
use crate::rules::transition::Move;
use crate::working_set::Want;

impl Step<'_, '_> {
    /// Opens the next run of a task that ended badly.
    pub(super) fn retry_task(&mut self, id: TaskId) -> Ruled<Reply> {
        let mut task = self.task(id)?;
        if !matches!(task.state.name(), StateName::Failed | StateName::Cancelled | StateName::Skipped) {
            let remedy = "only a FAILED, CANCELLED or SKIPPED task can be retried";
            return Err(Rejection::task_state(id, task.state.name(), remedy).into());
        }
        if task.releasing {
            let remedy = "its dependents are still being told; try again in a moment";
            return Err(Rejection::task_state(id, task.state.name(), remedy).into());
        }
        if let Some(workflow) = self.workflow_of(&task)?.filter(|(_, workflow)| workflow.is_being_cancelled()) {
            let remedy = format!("its workflow {} is being cancelled; retry it when that has ended", workflow.1.id);
            return Err(Rejection::task_state(id, task.state.name(), &remedy).into());
        }
        self.check_room()?;
        self.take_key_again(&task)?;
        self.run_again(&mut task)?;
        Ok(receipt(&task))
    }

    /// Opens the next run of a task. Refused, it has changed nothing.
    pub(super) fn run_again(&mut self, task: &mut Task) -> Ruled<()> {
        self.check_deadline_ahead(task)?;
        // Without live tasks its lane may have been given to another.
        let lane = self.lane_of(LaneKey::of(&task.spec))?;
        let edges = self.look_again(task)?;
        let unmet = self.wait_again(&edges)?;
        self.tally_reopen(task)?;
        task.lane = lane;
        self.reset(task);
        for edge in &edges {
            let source = self.ws.loaded_task(edge.source);
            remember_agent(task, &edge.terms, source.and_then(|source| source.agent_name.as_ref()));
        }
        let waiting = Waiting { unmet, held: self.is_held_by_its_workflow(task)?, ..Waiting::default() };
        self.go(task, Move::Reopen(waiting.clone()), EventKind::RunOpened)?;
        if waiting.over() {
            self.go(task, Move::Ready(self.cx.now), EventKind::Ready)?;
        }
        self.ws.add_live(task.namespace, 1);
        Ok(())
    }

    fn check_deadline_ahead(&self, task: &Task) -> Ruled<()> {
        let Some(deadline) = task.spec.deadline.filter(|at| *at <= self.cx.now) else { return Ok(()) };
        let passed = self.cx.now.since(deadline).0 / 1_000_000;
        let remedy = format!("its deadline passed {passed} s ago: a run would end at once; create a new task");
        Err(Rejection::task_state(task.id, task.state.name(), &remedy).into())
    }

    /// A retried task is live again: its key must be free.
    fn take_key_again(&mut self, task: &Task) -> Ruled<()> {
        let Some(key) = &task.spec.key else { return Ok(()) };
        let at = (task.namespace, key.clone());
        if let Some(holder) = self.ws.task_by_key(&at)? {
            let message = format!("key: {key:?} is now the key of live task {holder}; cancel that first");
            return Err(Rejection::new(crate::Reason::KeyExists, message).into());
        }
        self.ws.put_key(at, Some(task.id));
        Ok(())
    }

    /// Asks for what these tasks depend on, in one go.
    pub(super) fn want_to_wait_again<'t>(&self, tasks: impl Iterator<Item = &'t Task>) -> Ruled<()> {
        let waited = tasks.filter(|task| task.dependencies > 0 && task.state.name().is_final());
        let edges = all_loaded(waited.map(|task| self.ws.dependencies((task.namespace, task.id))))?;
        let sources = edges.iter().flat_map(|edges| edges.iter()).map(|edge| (self.namespace.id, edge.source));
        self.ws.want_loaded(std::iter::empty(), sources)?;
        self.want_results(edges.iter().flat_map(|edges| edges.iter()).map(|edge| (edge.source, &edge.terms)))
    }

    /// What a task depended on, if it may wait for that again: what is live is waited for; one that ended otherwise than its condition
    /// says must be retried first.
    fn look_again(&self, task: &Task) -> Ruled<Vec<Edge>> {
        if task.dependencies == 0 {
            return Ok(Vec::new());
        }
        let edges: Vec<Edge> = self.ws.dependencies((task.namespace, task.id))?.to_vec();
        // Whether a forgotten dependency completed is known only from the task's having run since.
        if edges.len() < task.dependencies as usize && task.attempt == 0 {
            let remedy = "what it depended on has been forgotten since; create a new task";
            return Err(Rejection::task_state(task.id, task.state.name(), remedy).into());
        }
        self.want_results(edges.iter().map(|edge| (edge.source, &edge.terms)))?;
        for edge in &edges {
            let state = self.task(edge.source)?.state.name();
            if !state.is_final() {
                continue;
            }
            let outcome = self.outcome(edge.source, state, std::iter::once(&edge.terms))?;
            if !edge.terms.condition.holds(&outcome) {
                let remedy = match state {
                    StateName::Completed => "its condition is not for that; create a new task",
                    _ => "retry that first",
                };
                let remedy = format!("its dependency {} is {}; {remedy}", edge.source, state.as_str());
                return Err(Rejection::task_state(task.id, task.state.name(), &remedy).into());
            }
        }
        Ok(edges)
    }

    /// Waits for those that are live; gives how many.
    fn wait_again(&mut self, edges: &[Edge]) -> Ruled<u32> {
        let mut unmet = 0;
        for edge in edges {
            let mut source = self.task(edge.source)?;
            if source.state.name().is_final() {
                // One that is still being told of later would count as met twice.
                if source.releasing {
                    self.ws.resolve_edge(edge);
                }
                continue;
            }
            unmet += 1;
            self.ws.reopen_edge(edge);
            if !source.has_dependents {
                source.has_dependents = true;
                self.write(&mut source);
            }
        }
        Ok(unmet)
    }

    fn reset(&self, task: &mut Task) {
        task.run += 1;
        task.run_opened_at = self.cx.now;
        task.attempts_used = 0;
        task.lost_in_row = 0;
        task.handed_back = 0;
        task.avoid = None;
        task.failed_at = None;
        task.fallback = 0;
        task.fallbacks_anew = None;
        task.progress = Default::default();
        task.has_children = false;
    }
}

/// All of these, or what is missing of any of them, to be loaded in one go.
pub(super) fn all_loaded<T>(each: impl Iterator<Item = Ruled<T>>) -> Ruled<Vec<T>> {
    let (mut loaded, mut wanted) = (Vec::new(), None::<Box<Want>>);
    for one in each {
        match one {
            Ok(one) => loaded.push(one),
            Err(Stop::NeedMore(want)) => match &mut wanted {
                Some(all) => all.merge(*want),
                None => wanted = Some(want),
            },
            Err(stop) => return Err(stop),
        }
    }
    wanted.map_or(Ok(loaded), |wanted| Err(Stop::NeedMore(wanted)))
}
