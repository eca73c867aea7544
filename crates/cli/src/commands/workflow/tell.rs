//! How a workflow that is followed is told: lines, above a bar where a terminal shows them, or lines of JSON.

use std::collections::HashMap;

use callboard::v1::{Task, TaskState, Workflow, WorkflowForecast, WorkflowState};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use prost_types::Timestamp;
use serde_json::json;

use crate::error::Error;
use crate::output::text::one_line;
use crate::output::{Output, forecast, json, names, table, time, workflow as shown};
use crate::values;
use crate::workflow::graph::name_of;

/// The longest line about a failure.
const MAX_FAILURE: usize = 100;

/// Tells what is seen of a workflow.
pub enum Teller {
    /// Nothing: a document follows at the end.
    Nobody,
    /// A line of JSON for each change.
    Json { output: Output, version: i64 },
    /// A line for each state that a task comes to, and what the whole does in a bar, if a terminal shows it.
    Lines { output: Output, bar: Option<ProgressBar>, states: HashMap<String, (TaskState, i32)> },
}

impl Teller {
    /// As fits where results go.
    pub fn new(output: Output) -> Self {
        if output.is_json() {
            return Self::Json { output, version: 0 };
        }
        Self::Lines { output, bar: output.style.terminal.then(bar), states: HashMap::new() }
    }

    /// A task that is new or has changed.
    pub fn task(&mut self, task: &Task) -> Result<(), Error> {
        match self {
            Self::Nobody => Ok(()),
            Self::Json { output, .. } => output.line(&json!({ "task": json::task(task) }).to_string()),
            Self::Lines { output, bar, states } => {
                let state = (task.state(), task.attempt);
                let before = states.insert(task.id.clone(), state);
                // Progress is no line of its own, and what waits from the start is in the count.
                if before == Some(state) || (before.is_none() && task.state() == TaskState::Waiting) {
                    return Ok(());
                }
                let line = task_line(task);
                match bar {
                    Some(bar) => {
                        bar.println(line);
                        Ok(())
                    }
                    None => output.line(&line),
                }
            }
        }
    }

    /// Whether it has a place for when the end is expected.
    pub fn shows_outlook(&self) -> bool {
        matches!(self, Self::Lines { bar: Some(_), .. })
    }

    /// The whole, behind its tasks.
    pub fn workflow(
        &mut self,
        workflow: &Workflow,
        tasks: &[Task],
        expected: Option<&WorkflowForecast>,
    ) -> Result<(), Error> {
        match self {
            Self::Json { output, version } if *version != workflow.version => {
                *version = workflow.version;
                output.line(&json!({ "workflow": json::workflow(workflow) }).to_string())
            }
            Self::Lines { bar: Some(bar), .. } => {
                bar.set_position((workflow.progress * 100.0) as u64);
                bar.set_message(message(workflow, tasks, expected));
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// It has ended.
    pub fn end(self, workflow: &Workflow) -> Result<(), Error> {
        let Self::Lines { output, bar, .. } = self else { return Ok(()) };
        if let Some(bar) = bar {
            bar.finish_and_clear();
        }
        output.line(&end_line(workflow))
    }
}

fn bar() -> ProgressBar {
    let bar = ProgressBar::with_draw_target(Some(100), ProgressDrawTarget::stdout());
    if let Ok(style) = ProgressStyle::with_template("{bar:30} {percent:>3}%  {wide_msg}") {
        bar.set_style(style);
    }
    bar
}

/// When it came to its state, as far as a task says.
pub fn last_change(task: &Task) -> Option<&Timestamp> {
    let started = || task.started_at.as_ref().filter(|_| task.state() != TaskState::Ready);
    task.ended_at.as_ref().or_else(started).or(task.ready_at.as_ref())
}

/// `12:00:00.000  build      failed     ProgramFailed: exit status 1`
fn task_line(task: &Task) -> String {
    let at = last_change(task).map_or_else(|| time::of_day(&time::to_proto(values::now())), time::of_day);
    let failure = task.failure.as_ref().filter(|_| task.state() == TaskState::Failed);
    let detail = match failure {
        Some(failure) => one_line(&format!("{}: {}", failure.r#type, failure.message), MAX_FAILURE),
        None => one_line(&task.agent, MAX_FAILURE),
    };
    let state = table::state_of(task);
    format!("{at}  {:<20}  {state:<10}  {detail}", name_of(task)).trim_end().to_owned()
}

fn message(workflow: &Workflow, tasks: &[Task], expected: Option<&WorkflowForecast>) -> String {
    let in_state = |state| tasks.iter().filter(|task| task.state() == state).count();
    let running = in_state(TaskState::Running) + in_state(TaskState::Assigned);
    let done = workflow.tasks - workflow.open_tasks;
    let cancelling = match (workflow.cancel_requested, workflow.held) {
        (true, _) => ", cancelling",
        (false, true) => ", held",
        (false, false) => "",
    };
    let end = expected.map(|expected| forecast::expected_end(expected, values::now())).unwrap_or_default();
    let end = if end.is_empty() { end } else { format!(", ends {end}") };
    format!("{}: {done} of {} done, {running} running{cancelling}{end}", one_line(&workflow.name, 40), workflow.tasks)
}

/// `workflow release completed in 1m 5s: 4 tasks, 3 completed, 1 skipped`
fn end_line(workflow: &Workflow) -> String {
    let took = match (&workflow.created_at, &workflow.ended_at) {
        (Some(from), Some(to)) => format!(" in {}", time::between(from, to)),
        _ => String::new(),
    };
    let was = if workflow.state() == WorkflowState::Cancelled { "was " } else { "" };
    let (name, state) = (one_line(&workflow.name, 40), names::workflow_state(workflow.state));
    format!("workflow {name} {was}{state}{took}: {}", shown::tally(workflow))
}

#[cfg(test)]
mod tests {
    use callboard::v1::{Failure, WorkflowLink};

    use super::*;

    fn at(text: &str) -> Option<prost_types::Timestamp> {
        Some(time::to_proto(text.parse().unwrap()))
    }

    #[test]
    fn an_end_is_a_line() {
        let mut workflow = Workflow {
            name: "release".into(),
            tasks: 3,
            completed_tasks: 2,
            failed_tasks: 1,
            created_at: at("2026-01-01T12:00:00Z"),
            ended_at: at("2026-01-01T12:01:05Z"),
            ..Workflow::default()
        };
        workflow.set_state(WorkflowState::Failed);
        assert_eq!(end_line(&workflow), "workflow release failed in 1m 5s: 3 tasks, 2 completed, 1 failed");
    }

    #[test]
    fn a_task_is_a_line_with_what_there_is_to_say() {
        let failure = Failure { r#type: "Boom".into(), message: "it\nbroke \u{1b}[31m".into(), ..Failure::default() };
        let link = WorkflowLink { name: "build".into(), ..WorkflowLink::default() };
        let mut task = Task {
            workflow: Some(link),
            failure: Some(failure),
            ended_at: at("2026-01-01T12:00:00Z"),
            agent: "ann".into(),
            ..Task::default()
        };
        task.set_state(TaskState::Failed);
        assert_eq!(task_line(&task), "12:00:00.000  build                 failed      Boom: it broke \u{fffd}[31m");
        task.set_state(TaskState::Running);
        assert_eq!(task_line(&task), "12:00:00.000  build                 running     ann");
    }
}
