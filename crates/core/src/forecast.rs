//! What is expected of a workflow: when each of its tasks begins and ends, when all have, and which of them that waits for.
//!
//! This is the forward pass of the critical path method (J. E. Kelley, M. R. Walker: Critical-Path Planning and Scheduling, 1959),
//! begun in the middle of the work: a task begins when all that it waits for have ended, and takes as long as its type is known to.
//! So it says what would be if every task found an agent at once: agents that are few make it later.
//!
//! - One that runs ends at its expected end, but not before now: what takes longer than others did may be over at any moment.
//! - One that waits for a time doesn't begin before it. One that is held counts as if it were released now.
//! - Of a type that nobody knows it takes no time.
//! - Nothing fails, and conditions on results hold. So what waits for a failure is skipped, as soon as that can't come any more, and
//!   what becomes of its dependents is what the rules say.
//! - Tasks outside of the workflow, which its tasks may wait for, count as if they ended now.

use crate::model::{Condition, Edge, OnFailure, Outcome, Span, StateName, Task, TaskId, TaskState, Timestamp};
use std::cmp::Reverse;
use std::collections::{BTreeSet, BinaryHeap, HashMap};
use std::sync::Arc;

/// The most tasks of a workflow that a forecast is made of: those of the largest plan, and as many again.
pub const MAX_FORECAST_TASKS: usize = 20_000;

/// What a forecast must know of a task.
#[derive(Clone, Debug, PartialEq)]
pub struct Known {
    /// The task.
    pub task: TaskId,
    /// Its type: how long it takes is known by that.
    pub task_type: Arc<str>,
    /// Where it is in its life.
    pub state: StateName,
    /// When its latest attempt was accepted.
    pub started_at: Option<Timestamp>,
    /// A time that has to come first.
    pub not_before: Option<Timestamp>,
}

impl Known {
    /// What is known of a task as it is.
    pub fn of(task: &Task) -> Self {
        let not_before = match &task.state {
            TaskState::Waiting(waiting) => waiting.not_before.map(|time| time.at()),
            _ => None,
        };
        Self {
            task: task.id,
            task_type: task.spec.task_type.clone(),
            state: task.state.name(),
            started_at: task.started_at,
            not_before,
        }
    }

    /// When it began, if an agent has begun it.
    fn began_at(&self) -> Option<Timestamp> {
        matches!(self.state, StateName::Running | StateName::Paused).then_some(self.started_at).flatten()
    }
}

/// What is expected of a workflow.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Forecast {
    /// Of each task that has not ended, in the order in which they were given; nothing of the others.
    pub tasks: Vec<Option<Expected>>,
    /// When all have ended; nothing if they have.
    pub end: Option<Timestamp>,
    /// Those that the end waits for, behind each other: their places among the tasks. Of several chains the one of more tasks, then
    /// the one that ends in the first task.
    pub critical_path: Vec<usize>,
    /// The types of tasks that have not ended of which nobody knows how long they take.
    pub unknown_types: BTreeSet<Arc<str>>,
}

/// What is expected of a task.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Expected {
    /// When it begins, or began.
    pub start: Timestamp,
    /// When it ends.
    pub end: Timestamp,
    /// How: COMPLETED, or SKIPPED or FAILED without having been begun.
    pub outcome: StateName,
}

/// What is expected of tasks in the order of their ordinals, with all edges among them, when tasks take what `durations` says of
/// their types.
pub fn forecast(tasks: &[Known], edges: &[Edge], durations: &HashMap<Arc<str>, Span>, now: Timestamp) -> Forecast {
    let plan = Plan::new(tasks, edges);
    let mut pass = Pass { durations, now, steps: vec![None; tasks.len()] };
    for place in plan.order() {
        pass.steps[place] = Some(pass.step(&plan, place));
    }
    let unknown = tasks.iter().filter(|task| is_open(task) && !durations.contains_key(&task.task_type));
    Forecast {
        end: pass.steps.iter().flatten().map(|step| step.expected.end).max(),
        critical_path: pass.critical_path(),
        unknown_types: unknown.map(|task| task.task_type.clone()).collect(),
        tasks: pass.steps.into_iter().map(|step| step.map(|step| step.expected)).collect(),
    }
}

fn is_open(task: &Known) -> bool {
    !task.state.is_final()
}

/// Open tasks, and what of them waits for what.
struct Plan<'a> {
    tasks: &'a [Known],
    /// For each task the open ones that it waits for; none for what waits for nothing any more.
    sources: Vec<Vec<Wait<'a>>>,
}

/// That a task waits for another.
struct Wait<'a> {
    source: usize,
    condition: &'a Condition,
    on_failure: OnFailure,
}

impl<'a> Plan<'a> {
    fn new(tasks: &'a [Known], edges: &'a [Edge]) -> Self {
        let open = tasks.iter().enumerate().filter(|(_, task)| is_open(task));
        let places: HashMap<TaskId, usize> = open.map(|(place, task)| (task.task, place)).collect();
        let mut sources: Vec<Vec<Wait<'_>>> = tasks.iter().map(|_| Vec::new()).collect();
        for edge in edges {
            let (Some(source), Some(target)) = (places.get(&edge.source), places.get(&edge.target)) else { continue };
            if tasks[*target].state == StateName::Waiting {
                let wait =
                    Wait { source: *source, condition: &edge.terms.condition, on_failure: edge.terms.on_failure };
                sources[*target].push(wait);
            }
        }
        // By place, so that of those that are equal the first is found first.
        sources.iter_mut().for_each(|waits| waits.sort_by_key(|wait| wait.source));
        Self { tasks, sources }
    }

    /// The places of open tasks, each behind what it waits for. (Ordinals are such an order, but nothing here depends on that. What
    /// would wait for itself, which rules rule out, is left out.)
    fn order(&self) -> Vec<usize> {
        let mut unmet: Vec<usize> = self.sources.iter().map(Vec::len).collect();
        let mut targets: Vec<Vec<usize>> = vec![Vec::new(); self.tasks.len()];
        for (target, waits) in self.sources.iter().enumerate() {
            waits.iter().for_each(|wait| targets[wait.source].push(target));
        }
        let free = (0..self.tasks.len()).filter(|place| unmet[*place] == 0 && is_open(&self.tasks[*place]));
        let mut free: BinaryHeap<Reverse<usize>> = free.map(Reverse).collect();
        let mut order = Vec::with_capacity(self.tasks.len());
        while let Some(Reverse(place)) = free.pop() {
            order.push(place);
            for target in &targets[place] {
                unmet[*target] -= 1;
                if unmet[*target] == 0 {
                    free.push(Reverse(*target));
                }
            }
        }
        order
    }
}

/// What is expected of a task, and why.
#[derive(Clone, Copy, Debug)]
struct Step {
    expected: Expected,
    /// What its start waits for, if it waits for a task.
    behind: Option<usize>,
    /// How many tasks, with it, are done behind each other until then.
    chain: u32,
}

/// The pass over the tasks, from those that wait for nothing on.
struct Pass<'a> {
    durations: &'a HashMap<Arc<str>, Span>,
    now: Timestamp,
    steps: Vec<Option<Step>>,
}

impl Pass<'_> {
    /// What is expected of a task, when all that it waits for are known.
    fn step(&self, plan: &Plan<'_>, place: usize) -> Step {
        let waits = &plan.sources[place];
        let task = &plan.tasks[place];
        match self.misfit(waits) {
            Some((wait, source)) => {
                let outcome = match wait.on_failure {
                    OnFailure::Skip => StateName::Skipped,
                    OnFailure::Fail => StateName::Failed,
                };
                let at = source.expected.end;
                let expected = Expected { start: at, end: at, outcome };
                Step { expected, behind: Some(wait.source), chain: source.chain }
            }
            None => self.done(task, self.last(waits)),
        }
    }

    /// A task that is done behind the last one that it waits for.
    fn done(&self, task: &Known, last: Option<(&Wait<'_>, Step)>) -> Step {
        let takes = self.durations.get(&task.task_type).copied().unwrap_or_default();
        let begins = self.now.max(task.not_before.unwrap_or(self.now));
        let last = last.filter(|(_, source)| source.expected.end >= begins);
        let start = task.began_at().or(last.map(|(_, source)| source.expected.end)).unwrap_or(begins);
        let end = (start + takes).max(self.now);
        Step {
            expected: Expected { start, end, outcome: StateName::Completed },
            behind: last.map(|(wait, _)| wait.source),
            chain: last.map_or(0, |(_, source)| source.chain) + 1,
        }
    }

    /// The first to end of those that will end otherwise than asked.
    fn misfit<'w, 'c>(&self, waits: &'w [Wait<'c>]) -> Option<(&'w Wait<'c>, Step)> {
        let misfits = self.with_steps(waits).filter(|(wait, source)| !fits(wait.condition, source.expected.outcome));
        misfits.min_by_key(|(wait, source)| (source.expected.end, wait.source))
    }

    /// The last to end; of several the one behind most others, then the first.
    fn last<'w, 'c>(&self, waits: &'w [Wait<'c>]) -> Option<(&'w Wait<'c>, Step)> {
        self.with_steps(waits).max_by_key(|(wait, source)| (source.expected.end, source.chain, Reverse(wait.source)))
    }

    fn with_steps<'w, 'c>(&self, waits: &'w [Wait<'c>]) -> impl Iterator<Item = (&'w Wait<'c>, Step)> {
        waits.iter().filter_map(|wait| Some((wait, self.steps[wait.source]?)))
    }

    /// From what the end waits for back to what waits for no task; then the other way round.
    fn critical_path(&self) -> Vec<usize> {
        let steps = self.steps.iter().enumerate().filter_map(|(place, step)| Some((place, (*step)?)));
        let last = steps.max_by_key(|(place, step)| (step.expected.end, step.chain, Reverse(*place)));
        let behind = |place: &usize| self.steps[*place].and_then(|step| step.behind);
        let mut path: Vec<usize> = std::iter::successors(last.map(|(place, _)| place), behind).collect();
        path.reverse();
        path
    }
}

/// Whether a task that ends so ends as it is asked to. What its result will be nobody knows: it counts as the one that is asked for.
fn fits(condition: &Condition, outcome: StateName) -> bool {
    match condition {
        Condition::Result(_) => outcome == StateName::Completed,
        condition => condition.holds(&Outcome { state: outcome, result: None }),
    }
}
