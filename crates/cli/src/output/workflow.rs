//! Workflows for people: lists, one in full, its tasks.

use std::collections::HashMap;

use callboard::v1::{Task, TaskState, Workflow, WorkflowState};
use comfy_table::{Cell, Color, Table};
use jiff::Timestamp;

use super::details::{Rows, filled, pairs, when};
use super::forecast::unmet_names;
use super::table::{MAX_DESCRIPTION, MAX_NAME, Style, or_dash, state_colour, state_of};
use super::text::one_line;
use super::{names, time};
use crate::ids;
use crate::workflow::graph::name_of;

/// How many of the tasks that one waits for are named.
const NAMED: usize = 4;

/// A list of workflows.
pub fn list(workflows: &[Workflow], style: Style, now: Timestamp) -> Table {
    let mut table = style.list(&["ID", "NAME", "STATE", "PROGRESS", "TASKS", "AGE", "DESCRIPTION"]);
    for workflow in workflows {
        let done = workflow.tasks - workflow.open_tasks;
        table.add_row([
            Cell::new(ids::short(&workflow.id)),
            Cell::new(one_line(&workflow.name, MAX_NAME)),
            style.coloured(state(workflow), colour(workflow.state())),
            Cell::new(percent(workflow)),
            Cell::new(format!("{done}/{}", workflow.tasks)),
            Cell::new(workflow.created_at.as_ref().map_or_else(|| "-".to_owned(), |at| time::age(at, now))),
            Cell::new(one_line(&workflow.description, MAX_DESCRIPTION)),
        ]);
    }
    style.finish(&mut table);
    table
}

/// One workflow.
pub fn details(workflow: &Workflow, now: Timestamp) -> Rows {
    filled(vec![
        ("id", workflow.id.clone()),
        ("namespace", workflow.namespace.clone()),
        ("name", workflow.name.clone()),
        ("description", workflow.description.clone()),
        ("state", state(workflow)),
        ("progress", percent(workflow)),
        ("tasks", tally(workflow)),
        ("tags", workflow.tags.join(", ")),
        ("metadata", pairs(&workflow.metadata)),
        ("created", when(workflow.created_at.as_ref(), now)),
        ("created by", workflow.created_by.clone()),
        ("ended", when(workflow.ended_at.as_ref(), now)),
    ])
}

/// The tasks of a workflow, with what those that wait for others wait for.
pub fn tasks(tasks: &[Task], style: Style) -> Table {
    let by_id: HashMap<&str, &Task> = tasks.iter().map(|task| (task.id.as_str(), task)).collect();
    let mut table = style.list(&["TASK", "ID", "TYPE", "STATE", "AGENT", "ATTEMPT", "WAITS FOR", "FAILURE"]);
    for task in tasks {
        let spec = task.spec.clone().unwrap_or_default();
        let failure = task.failure.as_ref().filter(|_| task.state() == TaskState::Failed);
        let failure = failure.map(|failure| format!("{}: {}", failure.r#type, failure.message)).unwrap_or_default();
        table.add_row([
            Cell::new(name_of(task)),
            Cell::new(ids::short(&task.id)),
            Cell::new(one_line(&spec.r#type, MAX_NAME)),
            style.coloured(state_of(task), state_colour(task.state())),
            Cell::new(or_dash(one_line(&task.agent, MAX_NAME))),
            Cell::new(task.attempt),
            Cell::new(waits_for(task, &by_id)),
            Cell::new(one_line(&failure, MAX_DESCRIPTION)),
        ]);
    }
    style.finish(&mut table);
    table
}

/// The names of those that have not ended; those outside of the workflow by their ids.
fn waits_for(task: &Task, by_id: &HashMap<&str, &Task>) -> String {
    if task.state() != TaskState::Waiting {
        return String::new();
    }
    let names = unmet_names(task, by_id);
    match names.len().checked_sub(NAMED + 1) {
        Some(more) => format!("{} and {} more", names[..NAMED].join(", "), more + 1),
        None => names.join(", "),
    }
}

/// The state with what there is to say about it.
fn state(workflow: &Workflow) -> String {
    let state = names::workflow_state(workflow.state);
    let cancelling = workflow.cancel_requested && workflow.state() == WorkflowState::Running;
    match (cancelling, workflow.held) {
        (true, _) => format!("{state}, cancelling"),
        (false, true) => format!("{state}, held"),
        (false, false) => state,
    }
}

fn percent(workflow: &Workflow) -> String {
    format!("{:.0}%", (workflow.progress * 100.0).floor())
}

/// `5 tasks, 3 completed, 1 failed, 1 open`; what there is none of is left out.
pub fn tally(workflow: &Workflow) -> String {
    let counts = [
        (workflow.completed_tasks, "completed"),
        (workflow.failed_tasks, "failed"),
        (workflow.cancelled_tasks, "cancelled"),
        (workflow.skipped_tasks, "skipped"),
        (workflow.open_tasks, "open"),
    ];
    let mut parts = vec![format!("{} {}", workflow.tasks, if workflow.tasks == 1 { "task" } else { "tasks" })];
    parts.extend(counts.iter().filter(|(count, _)| *count > 0).map(|(count, word)| format!("{count} {word}")));
    parts.join(", ")
}

fn colour(state: WorkflowState) -> Option<Color> {
    match state {
        WorkflowState::Running => Some(Color::Cyan),
        WorkflowState::Completed => Some(Color::Green),
        WorkflowState::Failed => Some(Color::Red),
        WorkflowState::Cancelled => Some(Color::DarkGrey),
        WorkflowState::Unspecified => None,
    }
}

#[cfg(test)]
mod tests {
    use callboard::v1::{Dependency, TaskSpec, WaitReason, WorkflowLink};

    use super::*;

    const PLAIN: Style = Style { terminal: false, colour: false };

    fn task(name: &str, state: TaskState, depends_on: &[&str]) -> Task {
        let dependency = |id: &&str| Dependency { task_id: format!("id-of-{id}"), ..Dependency::default() };
        let dependencies = depends_on.iter().map(dependency).collect();
        let mut task = Task {
            id: format!("id-of-{name}"),
            spec: Some(TaskSpec { r#type: "t".into(), dependencies, ..TaskSpec::default() }),
            workflow: Some(WorkflowLink { name: name.into(), ..WorkflowLink::default() }),
            ..Task::default()
        };
        task.set_state(state);
        if state == TaskState::Waiting {
            task.waiting_for = vec![WaitReason::Dependencies.into()];
        }
        task
    }

    #[test]
    fn tasks_say_what_they_wait_for() {
        let list = [
            task("a", TaskState::Completed, &[]),
            task("b", TaskState::Running, &["a"]),
            task("c", TaskState::Waiting, &["a", "b", "outside"]),
        ];
        let table = tasks(&list, PLAIN).trim_fmt();
        let expected = [
            "TASK  ID       TYPE  STATE                   AGENT  ATTEMPT  WAITS FOR    FAILURE",
            "a     id-of-a  t     completed               -      0                     ",
            "b     id-of-b  t     running                 -      0                     ",
            "c     id-of-c  t     waiting (dependencies)  -      0        b, -outside  ",
        ];
        let lines: Vec<&str> = table.lines().map(str::trim_end).collect();
        assert_eq!(lines, expected.map(str::trim_end));
    }

    #[test]
    fn many_are_counted() {
        let names: Vec<String> = (0..9).map(|n| format!("t{n}")).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let waiting = task("w", TaskState::Waiting, &names);
        assert!(waits_for(&waiting, &HashMap::new()).ends_with("and 5 more"));
    }

    #[test]
    fn a_workflow_in_a_list() {
        let mut workflow = Workflow {
            id: "01989b0e-3c1a-7000-8000-0000aabbccdd".into(),
            name: "report".into(),
            tasks: 4,
            open_tasks: 1,
            completed_tasks: 2,
            failed_tasks: 1,
            progress: 0.999,
            cancel_requested: true,
            ..Workflow::default()
        };
        workflow.set_state(WorkflowState::Running);
        let table = list(&[workflow.clone()], PLAIN, Timestamp::UNIX_EPOCH).trim_fmt();
        assert!(table.contains("aabbccdd  report  running, cancelling  99%       3/4"), "{table}");
        let held = Workflow { cancel_requested: false, held: true, ..workflow.clone() };
        assert_eq!(state(&held), "running, held");
        assert_eq!(tally(&workflow), "4 tasks, 2 completed, 1 failed, 1 open");
    }
}
