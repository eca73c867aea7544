//! Rules on workflows.

use super::{Findings, Observed, Rule};
use crate::load::history::History;
use callboard::v1::{self, TaskState as S, WorkflowState as W};

pub(super) fn check(history: &History, observed: &Observed, findings: &mut Findings) {
    for id in &history.workflows {
        let kept = observed.workflows.contains_key(id);
        findings.demand(kept, Rule::NothingLost, id, || "it was acknowledged as a workflow, and is gone".to_owned());
    }
    for (id, workflow) in &observed.workflows {
        let tasks: Vec<&v1::Task> =
            observed.tasks.values().map(|seen| &seen.task).filter(|task| is_of(task, id)).collect();
        let told = said_of(workflow);
        let expected = expected_of(workflow, &tasks);
        findings.demand(told == expected, Rule::WorkflowTells, id, || {
            format!("it says {told:?}, and its tasks {expected:?}")
        });
        let ended = workflow.ended_at.is_some() == (workflow.state() != W::Running);
        findings.demand(ended, Rule::WorkflowTells, id, || format!("{:?}, {:?}", workflow.state(), workflow.ended_at));
        let free = !workflow.held || workflow.state() == W::Running;
        findings.demand(free, Rule::WorkflowTells, id, || format!("it is {:?}, and held", workflow.state()));
    }
}

fn is_of(task: &v1::Task, workflow: &str) -> bool {
    task.workflow.as_ref().is_some_and(|link| link.workflow_id == workflow)
}

/// Its state, and how many tasks it has: all, open, and of each end.
type Tally = (W, [i32; 6]);

fn said_of(workflow: &v1::Workflow) -> Tally {
    let v1::Workflow { tasks, open_tasks, completed_tasks, failed_tasks, cancelled_tasks, skipped_tasks, .. } =
        workflow;
    let counts = [*tasks, *open_tasks, *completed_tasks, *failed_tasks, *cancelled_tasks, *skipped_tasks];
    (workflow.state(), counts)
}

fn expected_of(workflow: &v1::Workflow, tasks: &[&v1::Task]) -> Tally {
    let count = |states: &[S]| {
        i32::try_from(tasks.iter().filter(|task| states.contains(&task.state())).count()).unwrap_or(i32::MAX)
    };
    let open = count(&[S::Waiting, S::Ready, S::Assigned, S::Running, S::Paused]);
    let may_fail = |task: &v1::Task| task.workflow.as_ref().is_some_and(|link| link.allow_failure);
    let has_fault = tasks.iter().any(|task| matches!(task.state(), S::Failed | S::Cancelled) && !may_fail(task));
    let state = match (open, workflow.cancel_requested, has_fault) {
        (1.., _, _) => W::Running,
        (_, true, _) => W::Cancelled,
        (_, _, true) => W::Failed,
        _ => W::Completed,
    };
    let all = i32::try_from(tasks.len()).unwrap_or(i32::MAX);
    (state, [all, open, count(&[S::Completed]), count(&[S::Failed]), count(&[S::Cancelled]), count(&[S::Skipped])])
}
