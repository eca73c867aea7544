//! Workflows.

use super::{dependency, task, time};
use callboard_core::limits::{MAX_DESCRIPTION, MAX_HEADER_BYTES, MAX_HEADERS, MAX_WEIGHT};
use callboard_core::model::{
    AddedTasks, Behind, NamespaceSettings, NewWorkflow, NewWorkflowTask, Terms, Timestamp, Workflow, WorkflowId,
    WorkflowLink, WorkflowSpec, WorkflowState,
};
use callboard_core::plan::{self, Planned};
use callboard_core::validate::{Faults, Within};
use callboard_proto::v1;
use std::collections::{BTreeMap, HashMap};
use std::fmt::Display;
use std::sync::Arc;
use uuid::Uuid;

/// Reads a workflow to create. Every fault of it is told.
pub(crate) fn new_workflow(
    at: impl Display + Copy,
    message: v1::WorkflowSpec,
    defaults: &NamespaceSettings,
    now: Timestamp,
    faults: &mut Faults,
) -> NewWorkflow {
    faults.name(Within(at, "name"), &message.name);
    faults.text(Within(at, "description"), &message.description, MAX_DESCRIPTION);
    let tags = message.tags.into_iter().collect();
    faults.tags(Within(at, "tags"), &tags);
    faults.map(Within(at, "metadata"), &message.metadata, 64, 16 << 10);
    faults.map(Within(at, "headers"), &message.headers, MAX_HEADERS, MAX_HEADER_BYTES);
    let names = names_of(&message.tasks);
    let order = plan::order(Within(at, "tasks"), &planned(&message.tasks, &names), faults).unwrap_or_default();
    drop(names);
    let places = places_of(&message.tasks);
    let mut tasks = Vec::with_capacity(message.tasks.len());
    for (index, task) in message.tasks.into_iter().enumerate() {
        let at = format_args!("{at}.tasks[{index}]").to_string();
        let (task, _) = new_task(&at, task, &message.headers, &places, Defaults { settings: defaults, now }, faults);
        tasks.push(task);
    }
    let spec = WorkflowSpec {
        name: message.name.into(),
        description: message.description,
        tags,
        metadata: message.metadata,
        headers: message.headers,
    };
    NewWorkflow { spec, tasks, order }
}

/// Reads tasks that are added to a workflow, which itself is not seen here. Every fault of them is told.
pub(crate) fn added_tasks(
    at: &'static str,
    messages: Vec<v1::WorkflowTask>,
    defaults: &NamespaceSettings,
    now: Timestamp,
    faults: &mut Faults,
) -> AddedTasks {
    let names = names_of(&messages);
    let order = plan::order_behind(at, &planned(&messages, &names), faults).unwrap_or_default();
    drop(names);
    let places = places_of(&messages);
    let (mut tasks, mut behind) = (Vec::with_capacity(messages.len()), Vec::new());
    for (place, message) in messages.into_iter().enumerate() {
        let at = format!("{at}[{place}]");
        let defaults = Defaults { settings: defaults, now };
        let (task, others) = new_task(&at, message, &BTreeMap::new(), &places, defaults, faults);
        tasks.push(task);
        behind.extend(others.into_iter().map(|Other { index, name, terms }| Behind { place, index, name, terms }));
    }
    AddedTasks { tasks, order, behind }
}

/// The names of what each task waits for.
fn names_of(tasks: &[v1::WorkflowTask]) -> Vec<Vec<&str>> {
    tasks.iter().map(|task| task.depends_on.iter().map(|dependency| &*dependency.task).collect()).collect()
}

fn planned<'a>(tasks: &'a [v1::WorkflowTask], names: &'a [Vec<&'a str>]) -> Vec<Planned<'a>> {
    tasks.iter().zip(names).map(|(task, depends_on)| Planned { name: &task.name, depends_on }).collect()
}

fn places_of(tasks: &[v1::WorkflowTask]) -> HashMap<String, usize> {
    tasks.iter().enumerate().map(|(place, task)| (task.name.clone(), place)).collect()
}

/// What is unset is as in the namespace's settings.
#[derive(Clone, Copy)]
struct Defaults<'a> {
    settings: &'a NamespaceSettings,
    now: Timestamp,
}

/// What a task waits for that is not in its request.
struct Other {
    /// Where in `depends_on`.
    index: usize,
    name: Arc<str>,
    terms: Terms,
}

/// Reads a task; what it waits for that is not among these places is given beside it.
fn new_task(
    at: &str,
    message: v1::WorkflowTask,
    headers: &BTreeMap<String, String>,
    places: &HashMap<String, usize>,
    defaults: Defaults<'_>,
    faults: &mut Faults,
) -> (NewWorkflowTask, Vec<Other>) {
    let mut spec = message.task.unwrap_or_default();
    if !spec.key.is_empty() {
        let fault = "a task of a workflow has none: the workflow and its name tell it from others; leave it out";
        faults.add(format_args!("{at}.task.key"), fault);
    }
    for (name, value) in headers {
        spec.headers.entry(name.clone()).or_insert_with(|| value.clone());
    }
    let weight = if message.weight == 0 { 1 } else { message.weight };
    let weight = u32::try_from(weight).ok().filter(|weight| *weight <= MAX_WEIGHT).unwrap_or_else(|| {
        faults.add(format_args!("{at}.weight"), format!("is {weight}; must be 1 to {MAX_WEIGHT}"));
        1
    });
    let names: Vec<&str> = message.depends_on.iter().map(|dependency| &*dependency.task).collect();
    let task = Within(at, "task");
    let task = task::new_task_with(task, Some(spec), &names, defaults.settings, defaults.now, faults);
    let (mut depends_on, mut others) = (Vec::with_capacity(message.depends_on.len()), Vec::new());
    for (index, dependency) in message.depends_on.into_iter().enumerate() {
        let at = format!("{at}.depends_on[{index}]");
        let name: Arc<str> = dependency.task.as_str().into();
        let terms = terms(&at, dependency, faults);
        match places.get(&*name) {
            Some(place) => depends_on.push((*place, terms)),
            None => others.push(Other { index, name, terms }),
        }
    }
    let task =
        NewWorkflowTask { name: message.name.into(), task, depends_on, allow_failure: message.allow_failure, weight };
    (task, others)
}

/// What a task asks of one that it depends on, which it calls by its name.
fn terms(at: &str, message: v1::WorkflowDependency, faults: &mut Faults) -> Terms {
    let v1::WorkflowDependency { task, on_failure, condition, result } = message;
    let asked = v1::Dependency { task_id: String::new(), on_failure, condition, result, name: task };
    let terms = dependency::terms(at, asked, faults);
    faults.condition(at, &terms.condition);
    terms
}

/// Reads the id of a workflow.
pub(crate) fn workflow_id(field: &str, text: &str, faults: &mut Faults) -> WorkflowId {
    match Uuid::parse_str(text) {
        Ok(id) => WorkflowId(id),
        Err(_) => {
            let fault = if text.is_empty() {
                "is empty; give the workflow's id".to_owned()
            } else {
                format!("{text:?} is not a UUID")
            };
            faults.add(field, fault);
            WorkflowId(Uuid::nil())
        }
    }
}

/// Reads a state of a filter.
pub(crate) fn state(field: impl Display, value: i32, faults: &mut Faults) -> Option<WorkflowState> {
    use v1::WorkflowState as S;
    match S::try_from(value) {
        Ok(S::Running) => Some(WorkflowState::Running),
        Ok(S::Completed) => Some(WorkflowState::Completed),
        Ok(S::Failed) => Some(WorkflowState::Failed),
        Ok(S::Cancelled) => Some(WorkflowState::Cancelled),
        Ok(S::Unspecified) | Err(_) => {
            faults.add(field, format!("{value} is not a workflow state; use RUNNING (1) to CANCELLED (4)"));
            None
        }
    }
}

/// Writes a workflow.
pub(crate) fn to_workflow(row: &Workflow, namespace: &str) -> v1::Workflow {
    let tally = &row.tally;
    let number = |count: u32| i32::try_from(count).unwrap_or(i32::MAX);
    let state = match row.state() {
        WorkflowState::Running => v1::WorkflowState::Running,
        WorkflowState::Completed => v1::WorkflowState::Completed,
        WorkflowState::Failed => v1::WorkflowState::Failed,
        WorkflowState::Cancelled => v1::WorkflowState::Cancelled,
    };
    v1::Workflow {
        id: row.id.to_string(),
        namespace: namespace.to_owned(),
        name: row.spec.name.to_string(),
        description: row.spec.description.clone(),
        state: state.into(),
        tasks: number(tally.tasks),
        open_tasks: number(tally.open()),
        completed_tasks: number(tally.completed),
        failed_tasks: number(tally.failed),
        cancelled_tasks: number(tally.cancelled),
        skipped_tasks: number(tally.skipped),
        progress: tally.progress(),
        cancel_requested: row.cancelling.is_some(),
        tags: row.spec.tags.iter().cloned().collect(),
        metadata: row.spec.metadata.clone(),
        created_at: Some(time::to_timestamp(row.created_at)),
        ended_at: row.ended_at.map(time::to_timestamp),
        created_by: row.created_by.to_string(),
        version: row.version,
        held: row.held.is_some(),
    }
}

/// Writes what workflow a task is of.
pub(super) fn to_link(link: &WorkflowLink) -> v1::WorkflowLink {
    v1::WorkflowLink {
        workflow_id: link.workflow.to_string(),
        name: link.name.as_deref().unwrap_or_default().to_owned(),
        allow_failure: link.allow_failure,
        weight: i32::try_from(link.weight).unwrap_or(i32::MAX),
        tasks_behind: i32::try_from(link.tasks_behind).unwrap_or(i32::MAX),
    }
}
