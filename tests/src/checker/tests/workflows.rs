//! Workflows, red.

use super::*;
use callboard::v1::WorkflowState as W;

/// Completed: `first` is of it.
fn world() -> World {
    let mut world = World::good();
    let link =
        v1::WorkflowLink { workflow_id: "flow".into(), name: "a".into(), weight: 1, ..v1::WorkflowLink::default() };
    world.task("first").task.workflow = Some(link);
    world.history.workflows.push("flow".into());
    let workflow = v1::Workflow {
        id: "flow".into(),
        state: W::Completed.into(),
        tasks: 1,
        completed_tasks: 1,
        progress: 1.0,
        ended_at: Some(Default::default()),
        ..Default::default()
    };
    world.observed.workflows.insert("flow".into(), workflow);
    world
}

fn broken(change: impl FnOnce(&mut World)) -> Vec<Rule> {
    let mut world = world();
    change(&mut world);
    check(&world.history, &world.observed).into_iter().map(|violation| violation.rule).collect()
}

#[test]
fn a_workflow_says_what_its_tasks_say() {
    assert_eq!(broken(|_| {}), []);
    let flow = |world: &mut World, change: fn(&mut v1::Workflow)| {
        change(world.observed.workflows.get_mut("flow").unwrap());
    };
    assert_eq!(broken(|world| world.observed.workflows.clear()), [Rule::NothingLost]);
    for wrong in [
        (|workflow| workflow.set_state(W::Failed)) as fn(&mut v1::Workflow),
        |workflow| workflow.set_state(W::Cancelled),
        |workflow| workflow.tasks = 2,
        |workflow| workflow.completed_tasks = 0,
        |workflow| workflow.ended_at = None,
        |workflow| workflow.cancel_requested = true,
        |workflow| workflow.held = true,
    ] {
        assert_eq!(broken(|world| flow(world, wrong)), [Rule::WorkflowTells]);
    }
    let fails = |world: &mut World| world.task("first").task.workflow.as_mut().unwrap().workflow_id.clear();
    assert_eq!(broken(fails), [Rule::WorkflowTells], "a task that it doesn't have");
}
