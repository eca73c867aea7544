//! Workflows in the crowd: created, grown, held, released, cancelled, retried; and what must be true of them behind every command.

use crate::support::World;
use crate::support::flows::{Named, added, workflow};
use crate::support::table::Tables;
use callboard_core::Command;
use callboard_core::model::{
    Condition, Event, EventKind, StateName, Tally, Task, TaskState, Workflow, WorkflowId, WorkflowTask,
};
use callboard_core::working_set::WorkflowRef;
use proptest::prelude::*;
use std::collections::BTreeMap;

/// What somebody does with a workflow. Numbers choose among what there is.
#[derive(Clone, Debug)]
pub enum Op {
    Create { tasks: Vec<Planned> },
    Add { flow: usize, tasks: Vec<Planned>, taken: bool },
    Hold { flow: usize },
    Release { flow: usize },
    Cancel { flow: usize },
    Retry { flow: usize },
    GoOn { flow: usize },
}

/// What a task of a plan waits for: some of those before it, in the plan and in the workflow.
#[derive(Clone, Debug)]
pub struct Planned {
    sources: Vec<usize>,
    condition: u8,
    allow_failure: bool,
}

/// Any of them.
pub fn operation() -> impl Strategy<Value = Op> {
    let flow = 0..3usize;
    let tasks = || prop::collection::vec(planned(), 1..5);
    prop_oneof![
        4 => tasks().prop_map(|tasks| Op::Create { tasks }),
        4 => (flow.clone(), tasks(), prop::bool::weighted(0.1))
            .prop_map(|(flow, tasks, taken)| Op::Add { flow, tasks, taken }),
        3 => flow.clone().prop_map(|flow| Op::Hold { flow }),
        3 => flow.clone().prop_map(|flow| Op::Release { flow }),
        1 => flow.clone().prop_map(|flow| Op::Cancel { flow }),
        2 => flow.clone().prop_map(|flow| Op::Retry { flow }),
        4 => flow.prop_map(|flow| Op::GoOn { flow }),
    ]
}

fn planned() -> impl Strategy<Value = Planned> {
    (prop::collection::vec(0..9usize, 0..3), 0..6u8, any::<bool>())
        .prop_map(|(sources, condition, allow_failure)| Planned { sources, condition, allow_failure })
}

/// The command of it, if there is a workflow for it.
pub fn command(w: &World, op: &Op) -> Option<Command> {
    let reason = String::new();
    Some(match op {
        Op::Create { tasks } => {
            let mut new = workflow(&named(&names(0, tasks.len()), &[], tasks).as_named());
            new.tasks.iter_mut().zip(tasks).for_each(|(task, planned)| task.allow_failure = planned.allow_failure);
            Command::CreateWorkflow { workflow: Box::new(new) }
        }
        Op::Add { flow, tasks, taken } => {
            let row = nth(w, *flow)?;
            let own = names(if *taken { 0 } else { row.tally.tasks }, tasks.len());
            let there = places(&w.tables, (row.namespace, row.id)).filter_map(|place| place.name.as_deref());
            let there: Vec<String> =
                there.filter(|name| !own.iter().any(|own| own == name)).map(str::to_owned).collect();
            let mut new = added(&named(&own, &there, tasks).as_named());
            new.tasks.iter_mut().zip(tasks).for_each(|(task, planned)| task.allow_failure = planned.allow_failure);
            Command::AddWorkflowTasks { workflow: row.id, added: Box::new(new) }
        }
        Op::Hold { flow } => Command::HoldWorkflow { workflow: nth(w, *flow)?.id, reason },
        Op::Release { flow } => Command::ReleaseWorkflow { workflow: nth(w, *flow)?.id },
        Op::Cancel { flow } => Command::CancelWorkflow { workflow: nth(w, *flow)?.id, reason },
        Op::Retry { flow } => Command::RetryWorkflow { workflow: nth(w, *flow)?.id },
        Op::GoOn { flow } => Command::GoOnWalking { workflow: nth(w, *flow)?.id },
    })
}

/// Names and what each waits for, as they are lent to those who make plans of them.
struct NamedTasks(Vec<(String, Vec<(String, Condition)>)>);

fn names(from: u32, count: usize) -> Vec<String> {
    (from..).take(count).map(|n| format!("t{n}")).collect()
}

fn named(own: &[String], there: &[String], tasks: &[Planned]) -> NamedTasks {
    let all: Vec<&String> = there.iter().chain(own).collect();
    let tasks = tasks.iter().enumerate().map(|(place, planned)| {
        let before = &all[..there.len() + place];
        let mut sources = BTreeMap::new();
        for source in planned.sources.iter().filter(|_| !before.is_empty()) {
            sources.insert(before[source % before.len()].clone(), condition(planned.condition));
        }
        (own[place].clone(), sources.into_iter().collect())
    });
    NamedTasks(tasks.collect())
}

impl NamedTasks {
    /// Leaked: what a plan is made of lives as long as the test, and there is little of it.
    fn as_named(&self) -> Vec<Named<'static>> {
        let lent = |name: &String| -> &'static str { Box::leak(name.clone().into_boxed_str()) };
        let tasks = self.0.iter().map(|(name, sources)| {
            let sources: Vec<(&'static str, Condition)> =
                sources.iter().map(|(source, condition)| (lent(source), condition.clone())).collect();
            (lent(name), &*Box::leak(sources.into_boxed_slice()))
        });
        tasks.collect()
    }
}

fn condition(n: u8) -> Condition {
    match n {
        0 => Condition::Failed,
        1 => Condition::NotCompleted,
        2 => Condition::Ended,
        _ => Condition::Completed,
    }
}

fn nth(w: &World, n: usize) -> Option<&Workflow> {
    let count = w.tables.workflows.len();
    w.tables.workflows.values().nth(n % count.max(1))
}

fn places(tables: &Tables, at: WorkflowRef) -> impl Iterator<Item = &WorkflowTask> {
    tables.workflow_tasks.range((at, 0)..=(at, u32::MAX)).map(|(_, place)| place)
}

/// Releases all that are held, as far as that is allowed by now, and goes on with what is carried out over workflows.
pub fn heal(w: &mut World) {
    for _ in 0..30 {
        let rows: Vec<Workflow> = w.tables.workflows.values().cloned().collect();
        for row in &rows {
            if row.walk.is_some() {
                w.run(Command::GoOnWalking { workflow: row.id }).expect("never refused");
            } else if row.held.is_some() {
                w.run(Command::ReleaseWorkflow { workflow: row.id }).expect("a release is taken");
            }
        }
    }
}

/// Nothing is left to be carried out, or held.
pub fn check_healed(w: &World) {
    for row in w.tables.workflows.values() {
        assert_eq!((row.walk, &row.held), (None, &None), "workflow {} is not healed", row.id);
    }
}

/// Checks every workflow against its tasks.
pub fn check(tables: &Tables) {
    let mut of: BTreeMap<WorkflowId, Vec<&Task>> = BTreeMap::new();
    for task in tables.tasks.values() {
        if let Some(link) = task.spec.workflow.as_deref() {
            of.entry(link.workflow).or_default().push(task);
        }
    }
    for (at, row) in &tables.workflows {
        let tasks = of.remove(&at.1).unwrap_or_default();
        assert_eq!(row.tally, counted(&tasks), "a workflow's tally is what its tasks say");
        let over = row.tally.open() == 0 && !row.is_being_retried();
        assert_eq!(row.ended_at.is_some(), over, "a workflow has ended when nothing of it lives, or is to live again");
        assert!(row.held.is_none() || (row.ended_at.is_none() && row.cancelling.is_none()), "a hold without a sense");
        check_places(tables, *at, row);
        if row.held.is_some() && row.walk.is_none() {
            tasks.iter().for_each(|task| check_held(task, row, tables));
        }
    }
    assert!(of.is_empty(), "a task is of a workflow that there is not");
}

fn counted(tasks: &[&Task]) -> Tally {
    let mut tally = Tally::default();
    for task in tasks {
        let link = task.spec.workflow.as_deref().expect("it is of a workflow");
        tally.add(link);
        if !task.is_live() {
            tally.end(link, task.state.name());
        }
    }
    tally
}

/// Ordinals have no gaps, names are each one task's, and each of the plan stands behind those of it that it was created to wait for.
fn check_places(tables: &Tables, at: WorkflowRef, row: &Workflow) {
    let ordinals: Vec<u32> = places(tables, at).map(|place| place.ordinal).collect();
    assert_eq!(ordinals, (0..row.tally.tasks).collect::<Vec<_>>());
    let names: BTreeMap<_, _> =
        places(tables, at).filter_map(|place| Some((place.name.clone()?, place.ordinal))).collect();
    let of_plan: BTreeMap<_, _> =
        places(tables, at).filter(|place| place.name.is_some()).map(|place| (place.task, place.ordinal)).collect();
    assert_eq!(names.len(), of_plan.len(), "a name is two tasks'");
    let is_given_more =
        |event: &Event| matches!(&event.kind, EventKind::Updated { fields, .. } if fields.starts_with("dependencies"));
    for edge in tables.edges.values().filter(|edge| !tables.events[&edge.target].iter().any(is_given_more)) {
        if let (Some(source), Some(target)) = (of_plan.get(&edge.source), of_plan.get(&edge.target)) {
            assert!(source < target, "a task stands before what it waits for");
        }
    }
}

/// What no agent has had waits, unless somebody released it by itself.
fn check_held(task: &Task, row: &Workflow, tables: &Tables) {
    let Some(hold) = &row.held else { return };
    let of_plan = task.spec.workflow.as_deref().is_some_and(|link| link.name.is_some());
    let untouched = (task.attempts_used, task.lost_in_row, task.handed_back) == (0, 0, 0);
    let released = |event: &Event| event.at >= hold.since && matches!(event.kind, EventKind::Released);
    if !of_plan || !untouched || tables.events[&task.id].iter().any(released) {
        return;
    }
    let held = match &task.state {
        TaskState::Waiting(waiting) => waiting.held,
        state => state.name() != StateName::Ready,
    };
    assert!(held, "{} is not held, and its workflow is", task.id);
}
