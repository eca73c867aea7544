//! Verdicts: from what the server has, and from what passed on the wire.

use super::health::Probe;
use super::{history, wire};
use crate::chunks::joined;
use crate::shape;
use crate::value::matches;
use crate::world::World;
use serde::Deserialize;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use tonic::Status;

/// A verdict.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub(super) enum Check {
    /// How a task is.
    Task { task: Value, is: Value },
    /// A task's events: their types in order, or how many of some there are, or some of what they say.
    History { task: Value, types: Option<Value>, counts: Option<BTreeMap<String, Value>>, events: Option<Vec<Value>> },
    /// What the latest run of a task recorded.
    Steps { task: Value, is: Value },
    /// What the latest run of a task has for children.
    Children { task: Value, is: Value },
    /// What a run of a task (0, and if unsaid: the latest) gave, its chunks joined.
    Output {
        task: Value,
        #[serde(default)]
        run: i32,
        is: Value,
    },
    /// Chunks that the SDK gave, joined.
    Chunks { of: Value, is: Value },
    /// So many milliseconds lie between a task's events.
    Between { task: Value, from: Value, to: Value, least_ms: Option<i64>, most_ms: Option<i64> },
    /// These events happened in this order, each to its task.
    Events(Vec<EventOf>),
    /// The most tasks that held a slot of an agent at once, by the tasks' events.
    Busy { agent: String, most: usize, at_least: Option<usize> },
    /// How an agent is.
    Agent { agent: String, is: Value },
    /// What an agent answers to a probe.
    Health { probe: Probe, is: Value },
    /// The shapes of the schemas that an agent lists of a task type: see [`shape::of`].
    Schemas {
        agent: String,
        #[serde(rename = "type")]
        kind: String,
        input: Value,
        output: Value,
    },
    /// What waits in an agent's mailbox.
    Mailbox { agent: String, is: Value },
    /// How often something passed on the wire; and that all that passed so say the same there, or each another.
    Frames { like: Value, count: Option<Value>, same: Option<String>, distinct: Option<String> },
    /// These passed in this order.
    Order(Vec<Value>),
    /// So many milliseconds lie between two that passed: the first like `from`, and the first like `to` behind it.
    Wire { from: Value, to: Value, least_ms: Option<i64>, most_ms: Option<i64> },
    /// No more than so many a second passed, and so many more.
    Pace { like: Value, per_second: u32, more: u32 },
    /// The most attempts that the agent had at once, on the wire.
    Slots { most: usize, at_least: Option<usize> },
    /// What the SDK gave.
    Value { value: Value, is: Value },
}

/// An event of a task: what it must say.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct EventOf {
    task: Value,
    is: Value,
}

pub(super) async fn take(world: &World<'_>, check: Check) -> Result<(), String> {
    let reader = &world.reader;
    let passed = || world.wire.record.entries();
    match check {
        Check::Task { task, is } => has("task's", reader.task(&world.task_id(&task)?).await, &is),
        Check::Steps { task, is } => has("list of steps", reader.steps(&world.task_id(&task)?).await, &is),
        Check::Children { task, is } => has("list of children", reader.children(&world.task_id(&task)?).await, &is),
        Check::Agent { agent, is } => has("agent's", reader.agent(&agent).await, &is),
        Check::Health { probe, is } => matches(&probe.ask().await?, &is),
        Check::Schemas { agent, kind, input, output } => {
            let found = reader.agent(&agent).await.map_err(said)?;
            let listed = found["handles"].as_array().into_iter().flatten().find(|one| one["type"] == kind.as_str());
            let listed = listed.ok_or_else(|| format!("{agent} does not handle {kind}"))?;
            is_shape(&listed["input_schema"], &input)?;
            is_shape(&listed["output_schema"], &output)
        }
        Check::Mailbox { agent, is } => has("mailbox", reader.mailbox(&agent).await, &is),
        Check::Output { task, run, is } => {
            are_chunks(&reader.output(&world.task_id(&task)?, run).await.map_err(said)?, &is)
        }
        Check::Chunks { of, is } => are_chunks(of.as_array().ok_or_else(|| format!("{of} is no list"))?, &is),
        Check::History { task, types, counts, events } => {
            history::is(&history_of(world, &task).await?, types.as_ref(), counts.as_ref(), events.as_deref())
        }
        Check::Between { task, from, to, least_ms, most_ms } => {
            within(history::between(&history_of(world, &task).await?, &from, &to)?, least_ms, most_ms)
        }
        Check::Events(wanted) => {
            let mut found = Vec::new();
            for EventOf { task, is } in wanted {
                found.push((history_of(world, &task).await?, is));
            }
            history::in_order(&found)
        }
        Check::Busy { agent, most, at_least } => {
            let mut histories = Vec::new();
            for id in reader.task_ids().await.map_err(said)? {
                histories.push(reader.history(&id).await.map_err(said)?);
            }
            in_bounds(history::most_at_once(&histories, &agent), most, at_least)
        }
        Check::Frames { like, count, same, distinct } => {
            wire::are(&wire::like(&passed(), &like), count.as_ref(), same.as_deref(), distinct.as_deref())
        }
        Check::Order(wanted) => wire::in_order(&passed(), &wanted),
        Check::Wire { from, to, least_ms, most_ms } => within(wire::between(&passed(), &from, &to)?, least_ms, most_ms),
        Check::Pace { like, per_second, more } => wire::pace(&wire::like(&passed(), &like), per_second, more),
        Check::Slots { most, at_least } => in_bounds(wire::most_at_once(&passed()), most, at_least),
        Check::Value { value, is } => matches(&value, &is).map_err(|fault| format!("the value {fault}")),
    }
}

/// Whether what the server has is as expected.
fn has(what: &str, found: Result<Value, Status>, is: &Value) -> Result<(), String> {
    matches(&found.map_err(said)?, is).map_err(|fault| format!("the {what} {fault}"))
}

fn said(status: Status) -> String {
    status.to_string()
}

async fn history_of(world: &World<'_>, task: &Value) -> Result<Vec<Value>, String> {
    world.reader.history(&world.task_id(task)?).await.map_err(said)
}

fn is_shape(schema: &Value, is: &Value) -> Result<(), String> {
    let fault = |fault| format!("the schema {schema}: its shape {fault}");
    matches(&shape::of(schema).map_err(fault)?, is).map_err(fault)
}

fn are_chunks(chunks: &[Value], is: &Value) -> Result<(), String> {
    let found = joined(chunks).and_then(|found| matches(&json!(found), is));
    found.map_err(|fault| format!("the output {fault}"))
}

fn within(passed: i64, least: Option<i64>, most: Option<i64>) -> Result<(), String> {
    if least.is_some_and(|least| passed < least) || most.is_some_and(|most| passed > most) {
        return Err(format!("{passed} ms lie between, instead of {least:?} to {most:?}"));
    }
    Ok(())
}

fn in_bounds(had: usize, most: usize, at_least: Option<usize>) -> Result<(), String> {
    if had > most || at_least.is_some_and(|least| had < least) {
        return Err(format!("{had} at once, instead of {at_least:?} to {most}"));
    }
    Ok(())
}
