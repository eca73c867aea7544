//! What a file says as what the server is asked for; and the plan checked by the server's own rules, before anything is sent.

use std::collections::HashSet;

use callboard::v1::{self, Payload, Priority, Requirements, TaskSpec, WorkflowSpec, WorkflowTask, payload::Content};
use callboard_core::plan::{self, Planned};
use callboard_core::validate::Faults;
use jiff::Timestamp;
use serde_json::Value;

use super::Purpose;
use super::fault::Fault;
use super::fields::{Length, When};
use super::format::{Dependency, Fallback, ResultTest, RetryPolicy, Source, Step, Task, WorkflowFile};
use crate::output::time::{duration_to_proto, to_proto};

/// The workflow of a file. Durations that say when are from `now`.
pub fn workflow(mut file: WorkflowFile, now: Timestamp, purpose: Purpose) -> Result<WorkflowSpec, Vec<Fault>> {
    let (at, tasks) = match (file.tasks.take(), file.steps.take()) {
        (Some(tasks), None) => ("tasks", tasks),
        (None, Some(steps)) => ("steps", in_order(steps)),
        (None, None) => {
            return Err(vec![Fault::whole("has no tasks: write `tasks`, or `steps` for what runs in order")]);
        }
        (Some(_), Some(_)) => return Err(vec![Fault::at("steps", "stands beside `tasks`: write one of them")]),
    };
    let mut faults = Vec::new();
    let tasks: Vec<WorkflowTask> = tasks
        .into_iter()
        .enumerate()
        .map(|(index, task)| Reading { at: format!("{at}[{index}]"), now, faults: &mut faults }.task(task))
        .collect();
    check_plan(at, &tasks, purpose, &mut faults);
    match purpose {
        Purpose::Create if file.name.is_none() => faults.push(Fault::whole("missing field `name`")),
        Purpose::Create => {}
        Purpose::Add => refuse_what_the_workflow_has(&file, &mut faults),
    }
    if !faults.is_empty() {
        return Err(faults);
    }
    let (name, description, tags) = (file.name.unwrap_or_default(), file.description, file.tags);
    Ok(WorkflowSpec { name, description, tags, tasks, metadata: file.metadata, headers: file.headers })
}

/// What a workflow that exists has of its own: it would be ignored.
fn refuse_what_the_workflow_has(file: &WorkflowFile, faults: &mut Vec<Fault>) {
    let said = [
        ("description", !file.description.is_empty()),
        ("tags", !file.tags.is_empty()),
        ("metadata", !file.metadata.is_empty()),
        ("headers", !file.headers.is_empty()),
    ];
    let said = said.into_iter().filter(|(_, said)| *said);
    faults.extend(said.map(|(field, _)| Fault::at(field, "is what the workflow has already; leave it out")));
}

/// Steps as tasks: each waits for the one before it, or for the parallel ones before it, and parallel neighbours don't wait for each
/// other. What a step says itself of one of those stands.
fn in_order(steps: Vec<Step>) -> Vec<Task> {
    let mut tasks = Vec::with_capacity(steps.len());
    // What the next step waits for, if it isn't one of `beside`; and what those wait for.
    let (mut beside, mut before): (Vec<String>, Vec<String>) = (Vec::new(), Vec::new());
    let mut was_parallel = false;
    for Step { mut task, parallel } in steps {
        if !(parallel && was_parallel) {
            before = std::mem::take(&mut beside);
        }
        was_parallel = parallel;
        wait_for(&mut task, &before);
        beside.push(task.name.clone());
        tasks.push(task);
    }
    tasks
}

fn wait_for(task: &mut Task, names: &[String]) {
    let said: HashSet<&str> = task
        .depends_on
        .iter()
        .filter_map(|dependency| match &dependency.on {
            Source::Task(name) => Some(name.as_str()),
            Source::Outside(_) => None,
        })
        .collect();
    let more: Vec<Dependency> = names
        .iter()
        .filter(|name| !said.contains(name.as_str()))
        .map(|name| Dependency { on: Source::Task(name.clone()), ..Dependency::default() })
        .collect();
    task.depends_on.extend(more);
}

/// Names, what they wait for, and cycles, as the server checks them.
fn check_plan(at: &str, tasks: &[WorkflowTask], purpose: Purpose, faults: &mut Vec<Fault>) {
    let names: Vec<Vec<&str>> =
        tasks.iter().map(|task| task.depends_on.iter().map(|other| other.task.as_str()).collect()).collect();
    let planned: Vec<Planned<'_>> =
        tasks.iter().zip(&names).map(|(task, depends_on)| Planned { name: &task.name, depends_on }).collect();
    let mut found = Faults::default();
    match purpose {
        Purpose::Create => plan::order(at, &planned, &mut found),
        Purpose::Add => plan::order_behind(at, &planned, &mut found),
    };
    if let Err(refusal) = found.finish() {
        faults.extend(refusal.fields.into_iter().map(|fault| Fault::at(fault.field, fault.description)));
    }
}

/// Reads one task.
struct Reading<'a> {
    at: String,
    now: Timestamp,
    faults: &'a mut Vec<Fault>,
}

impl Reading<'_> {
    fn task(mut self, task: Task) -> WorkflowTask {
        if task.r#type.is_empty() {
            self.fault("type", "is missing: say what kind of work it is, here or in `defaults`");
        }
        let (mut depends_on, mut dependencies) = (Vec::new(), Vec::new());
        for (index, dependency) in task.depends_on.iter().enumerate() {
            match &dependency.on {
                Source::Task(name) => depends_on.push(self.inside(index, name, dependency)),
                Source::Outside(id) => dependencies.push(self.outside(index, id, dependency)),
            }
        }
        let spec = TaskSpec {
            r#type: task.r#type,
            description: task.description,
            input: payload(task.input),
            requirements: Some(Requirements {
                skills: task.skills,
                tools: task.tools,
                role: task.role,
                assignee: task.assignee,
                preferred_agent: task.preferred_agent,
                affinity: task.affinity,
                fallbacks: task.fallbacks.into_iter().map(fallback).collect(),
                anti_affinity: task.anti_affinity,
                resources: task.resources,
                near: task.near,
                apart: task.apart,
            }),
            priority: task.priority.map_or(Priority::Unspecified, |urgency| urgency.0).into(),
            dependencies,
            retry_policy: self.retry_policy(task.retry_policy),
            timeouts: Some(v1::Timeouts {
                schedule_to_start: length(task.timeouts.schedule_to_start),
                start_to_close: length(task.timeout),
                schedule_to_close: length(task.timeouts.schedule_to_close),
                heartbeat: length(task.timeouts.heartbeat),
            }),
            deadline: self.when("deadline", task.deadline),
            start_at: self.when("start_at", task.start_at),
            hold: task.hold,
            tags: task.tags,
            metadata: task.metadata,
            headers: task.headers,
            fairness_key: task.fairness_key,
            limit_keys: task.limit_keys,
            ..TaskSpec::default()
        };
        let weight = self.weight(task.weight);
        WorkflowTask { name: task.name, task: Some(spec), depends_on, allow_failure: task.allow_failure, weight }
    }

    fn inside(&mut self, index: usize, name: &str, said: &Dependency) -> v1::WorkflowDependency {
        v1::WorkflowDependency {
            task: name.to_owned(),
            on_failure: v1::DependencyFailureAction::from(said.on_failure).into(),
            condition: v1::DependencyCondition::from(said.condition).into(),
            result: self.result(index, said.result.as_ref()),
        }
    }

    fn outside(&mut self, index: usize, id: &str, said: &Dependency) -> v1::Dependency {
        v1::Dependency {
            task_id: id.to_owned(),
            on_failure: v1::DependencyFailureAction::from(said.on_failure).into(),
            condition: v1::DependencyCondition::from(said.condition).into(),
            result: self.result(index, said.result.as_ref()),
            name: said.name.clone(),
        }
    }

    fn result(&mut self, index: usize, test: Option<&ResultTest>) -> Option<v1::ResultCondition> {
        let test = test?;
        let comparison = v1::ResultComparison::from(test.comparison);
        let needs_value = !matches!(comparison, v1::ResultComparison::Exists | v1::ResultComparison::NotExists);
        let at = format!("depends_on[{index}].result.value");
        match (&test.value, needs_value) {
            (None, true) => self.fault(&at, "is missing: what is the result compared with?"),
            (Some(_), false) => {
                self.fault(&at, "stands beside `exists` or `not_exists`, which compare nothing: leave it out")
            }
            _ => {}
        }
        let value = test.value.as_ref().map(Value::to_string).unwrap_or_default();
        Some(v1::ResultCondition { pointer: test.pointer.clone(), comparison: comparison.into(), value })
    }

    /// Unset unless something of it is given: the namespace's own applies then.
    fn retry_policy(&mut self, said: RetryPolicy) -> Option<v1::RetryPolicy> {
        if said.max_attempts.is_some_and(|attempts| attempts < 1) {
            self.fault("retry_policy.max_attempts", "must be 1 to 1000: 1 is no retry");
        }
        if said.multiplier.is_some_and(|multiplier| !(1.0..=100.0).contains(&multiplier)) {
            self.fault("retry_policy.multiplier", "must be 1 to 100");
        }
        let policy = v1::RetryPolicy {
            max_attempts: said.max_attempts.unwrap_or_default(),
            initial_backoff: length(said.backoff),
            multiplier: said.multiplier.unwrap_or_default(),
            max_backoff: length(said.max_backoff),
            non_retryable_types: said.non_retryable_types,
        };
        (policy != v1::RetryPolicy::default()).then_some(policy)
    }

    fn when(&mut self, field: &str, said: Option<When>) -> Option<prost_types::Timestamp> {
        let at = said?.0.resolve(self.now).map(to_proto);
        if at.is_none() {
            self.fault(field, "is not on the calendar: give a time before the year 10000");
        }
        at
    }

    /// Zero would mean the default on the wire, and nothing to whoever wrote it.
    fn weight(&mut self, said: Option<i32>) -> i32 {
        if said.is_some_and(|weight| weight < 1) {
            self.fault("weight", "must be 1 to 1000000");
        }
        said.unwrap_or_default()
    }

    fn fault(&mut self, field: &str, message: &str) {
        self.faults.push(Fault::at(format!("{}.{field}", self.at), message));
    }
}

fn fallback(said: Fallback) -> v1::RequirementsFallback {
    let after = length(Some(said.after));
    v1::RequirementsFallback { after, skills: said.skills, tools: said.tools, role: said.role, assignee: said.assignee }
}

fn length(said: Option<Length>) -> Option<prost_types::Duration> {
    said.map(|length| duration_to_proto(length.0))
}

/// As the SDKs have it: a text is text, everything else JSON; nothing is no input.
fn payload(input: Value) -> Option<Payload> {
    let (content_type, text) = match input {
        Value::Null => return None,
        Value::String(text) => ("text/plain", text),
        other => ("application/json", other.to_string()),
    };
    Some(Payload { content_type: content_type.to_owned(), content: Some(Content::Text(text)), ..Payload::default() })
}
