//! Workflows, and what is added to them, by the names of their tasks.

use super::World;
use super::make::task;
use callboard_core::model::{
    AddedTasks, Behind, Condition, NewWorkflow, NewWorkflowTask, OnFailure, TaskId, Terms, Workflow, WorkflowId,
    WorkflowSpec,
};
use callboard_core::plan::{self, Planned};
use callboard_core::rejection::Rejection;
use callboard_core::validate::Faults;
use callboard_core::{Command, Reply};
use std::collections::{BTreeMap, BTreeSet};

pub const COMPLETED: Condition = Condition::Completed;

/// A task by its name, and what it waits for.
pub type Named<'a> = (&'a str, &'a [(&'a str, Condition)]);

/// A workflow of tasks by name, each with what it waits for.
pub fn workflow(tasks: &[Named<'_>]) -> NewWorkflow {
    let added = added(tasks);
    assert!(added.behind.is_empty(), "a name is of a task");
    let spec = WorkflowSpec {
        name: "report".into(),
        description: String::new(),
        tags: BTreeSet::new(),
        metadata: BTreeMap::new(),
        headers: BTreeMap::new(),
    };
    NewWorkflow { spec, tasks: added.tasks, order: added.order }
}

/// Tasks that are added to a workflow: names that are not among them are of tasks that it has.
pub fn added(tasks: &[Named<'_>]) -> AddedTasks {
    let names: Vec<Vec<&str>> =
        tasks.iter().map(|(_, depends_on)| depends_on.iter().map(|(name, _)| *name).collect()).collect();
    let planned: Vec<Planned<'_>> =
        tasks.iter().zip(&names).map(|((name, _), depends_on)| Planned { name, depends_on }).collect();
    let mut faults = Faults::default();
    let order = plan::order_behind("tasks", &planned, &mut faults).expect("a plan without a fault");
    let place = |name: &str| tasks.iter().position(|(other, _)| *other == name);
    let (mut new, mut behind) = (Vec::new(), Vec::new());
    for (here, (name, asked)) in tasks.iter().enumerate() {
        let mut depends_on = Vec::new();
        for (index, (name, condition)) in asked.iter().enumerate() {
            let terms = Terms { condition: condition.clone(), on_failure: OnFailure::Skip, name: Some((*name).into()) };
            match place(name) {
                Some(place) => depends_on.push((place, terms)),
                None => behind.push(Behind { place: here, index, name: (*name).into(), terms }),
            }
        }
        let name = (*name).into();
        new.push(NewWorkflowTask { name, task: task("work"), depends_on, allow_failure: false, weight: 1 });
    }
    AddedTasks { tasks: new, order, behind }
}

pub struct Created {
    pub id: WorkflowId,
    pub tasks: Vec<TaskId>,
}

pub fn create(w: &mut World, workflow: NewWorkflow) -> Created {
    let outcome = w.run(Command::CreateWorkflow { workflow: Box::new(workflow) }).unwrap();
    let Reply::Workflow { workflow, tasks } = outcome.reply else { panic!("a workflow is answered by its tasks") };
    Created { id: workflow, tasks: tasks.into_iter().map(|receipt| receipt.task).collect() }
}

pub fn add(w: &mut World, created: &Created, added: AddedTasks) -> Result<Vec<TaskId>, Rejection> {
    let outcome = w.run(Command::AddWorkflowTasks { workflow: created.id, added: Box::new(added) })?;
    let Reply::Tasks(receipts) = outcome.reply else { panic!("added tasks are answered by their receipts") };
    Ok(receipts.into_iter().map(|receipt| receipt.task).collect())
}

pub fn row(w: &World, created: &Created) -> Workflow {
    w.tables.workflows.values().find(|row| row.id == created.id).expect("the workflow is stored").clone()
}

/// Lets what is carried out over a workflow reach all of its tasks.
pub fn walk_to_the_end(w: &mut World, created: &Created) {
    for _ in 0..100 {
        if row(w, created).walk.is_none() {
            return;
        }
        w.run(Command::GoOnWalking { workflow: created.id }).unwrap();
    }
    panic!("the walk has no end");
}
