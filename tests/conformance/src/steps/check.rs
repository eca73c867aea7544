//! Verdicts: from what the server has, and from what passed on the wire.

use crate::proxy::record::Entry;
use crate::value::{matches, short};
use crate::world::World;
use serde::Deserialize;
use serde_json::{Value, json};
use std::collections::BTreeMap;

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
    /// So many milliseconds lie between a task's events.
    Between { task: Value, from: Value, to: Value, least_ms: Option<i64>, most_ms: Option<i64> },
    /// How an agent is.
    Agent { agent: String, is: Value },
    /// What waits in an agent's mailbox.
    Mailbox { agent: String, is: Value },
    /// How often something passed on the wire; and that all that passed so say the same there, or each another.
    Frames { like: Value, count: Option<Value>, same: Option<String>, distinct: Option<String> },
    /// These passed in this order.
    Order(Vec<Value>),
    /// So many milliseconds lie between two that passed: the first like `from`, and the first like `to` behind it.
    Wire { from: Value, to: Value, least_ms: Option<u64>, most_ms: Option<u64> },
    /// The most attempts that the agent had at once, on the wire.
    Slots { most: usize, at_least: Option<usize> },
    /// What the SDK gave.
    Value { value: Value, is: Value },
}

pub(super) async fn take(world: &World<'_>, check: Check) -> Result<(), String> {
    let said = |status: tonic::Status| status.to_string();
    match check {
        Check::Task { task, is } => {
            let found = world.reader.task(&world.task_id(&task)?).await.map_err(said)?;
            matches(&found, &is).map_err(|fault| format!("the task's {fault}"))
        }
        Check::History { task, types, counts, events } => {
            let history = world.reader.history(&world.task_id(&task)?).await.map_err(said)?;
            of_history(&history, types.as_ref(), counts.as_ref(), events.as_deref())
        }
        Check::Steps { task, is } => {
            let found = world.reader.steps(&world.task_id(&task)?).await.map_err(said)?;
            matches(&found, &is).map_err(|fault| format!("the list of steps {fault}"))
        }
        Check::Between { task, from, to, least_ms, most_ms } => {
            let history = world.reader.history(&world.task_id(&task)?).await.map_err(said)?;
            let passed = event_at(&history, &to)? - event_at(&history, &from)?;
            within(passed, least_ms, most_ms)
        }
        Check::Agent { agent, is } => {
            let found = world.reader.agent(&agent).await.map_err(said)?;
            matches(&found, &is).map_err(|fault| format!("the agent's {fault}"))
        }
        Check::Mailbox { agent, is } => {
            let found = world.reader.mailbox(&agent).await.map_err(said)?;
            matches(&found, &is).map_err(|fault| format!("the mailbox {fault}"))
        }
        Check::Frames { like, count, same, distinct } => {
            let entries = world.wire.record.entries();
            let like: Vec<&Entry> = entries.iter().filter(|entry| matches(&entry.said, &like).is_ok()).collect();
            of_frames(&like, count.as_ref(), same.as_deref(), distinct.as_deref())
        }
        Check::Order(wanted) => in_order(&world.wire.record.entries(), &wanted),
        Check::Wire { from, to, least_ms, most_ms } => {
            let entries = world.wire.record.entries();
            let first = first_like(&entries, &from)?;
            let last = first_like(&entries[first + 1..], &to)? + first + 1;
            let passed = (entries[last].at - entries[first].at).as_millis();
            let signed = |limit: Option<u64>| limit.and_then(|limit| i64::try_from(limit).ok());
            within(i64::try_from(passed).unwrap_or(i64::MAX), signed(least_ms), signed(most_ms))
        }
        Check::Slots { most, at_least } => {
            let had = most_at_once(&world.wire.record.entries());
            if had > most || at_least.is_some_and(|least| had < least) {
                return Err(format!("{had} attempts at once, instead of {at_least:?} to {most}"));
            }
            Ok(())
        }
        Check::Value { value, is } => matches(&value, &is).map_err(|fault| format!("the value {fault}")),
    }
}

fn of_history(
    history: &[Value],
    types: Option<&Value>,
    counts: Option<&BTreeMap<String, Value>>,
    events: Option<&[Value]>,
) -> Result<(), String> {
    let found: Vec<&Value> = history.iter().map(|event| &event["type"]).collect();
    if let Some(types) = types {
        matches(&json!(found), types).map_err(|fault| format!("the history {fault}; it is {}", json!(found)))?;
    }
    for (kind, wanted) in counts.into_iter().flatten() {
        let count = found.iter().filter(|found| **found == kind.as_str()).count();
        matches(&count.into(), wanted)
            .map_err(|fault| format!("the number of {kind} {fault}; they are {}", json!(found)))?;
    }
    let mut rest = history.iter();
    for wanted in events.unwrap_or_default() {
        if !rest.any(|event| matches(event, wanted).is_ok()) {
            return Err(format!("no event like {wanted}, in this order, in {}", short(&json!(history))));
        }
    }
    Ok(())
}

fn event_at(history: &[Value], like: &Value) -> Result<i64, String> {
    let found = history.iter().find(|event| matches(event, like).is_ok()).and_then(|event| event["at_ms"].as_i64());
    found.ok_or_else(|| format!("no event like {like} in {}", short(&json!(history))))
}

fn within(passed: i64, least: Option<i64>, most: Option<i64>) -> Result<(), String> {
    if least.is_some_and(|least| passed < least) || most.is_some_and(|most| passed > most) {
        return Err(format!("{passed} ms lie between, instead of {least:?} to {most:?}"));
    }
    Ok(())
}

fn of_frames(like: &[&Entry], count: Option<&Value>, same: Option<&str>, distinct: Option<&str>) -> Result<(), String> {
    let said: Vec<&Value> = like.iter().map(|entry| &entry.said).collect();
    if let Some(count) = count {
        let fault = |fault| format!("how many passed {fault}: {}", short(&json!(said)));
        matches(&said.len().into(), count).map_err(fault)?;
    }
    if let Some(field) = same
        && said.windows(2).any(|pair| pair[0][field] != pair[1][field])
    {
        return Err(format!("`{field}` is not the same in all: {}", short(&json!(said))));
    }
    if let Some(field) = distinct {
        let mut values: Vec<String> = said.iter().map(|said| said[field].to_string()).collect();
        values.sort();
        values.dedup();
        if values.len() != said.len() {
            return Err(format!("`{field}` is the same in some: {}", short(&json!(said))));
        }
    }
    Ok(())
}

fn in_order(entries: &[Entry], wanted: &[Value]) -> Result<(), String> {
    let mut rest = entries.iter();
    for one in wanted {
        if !rest.any(|entry| matches(&entry.said, one).is_ok()) {
            let kinds: Vec<String> =
                entries.iter().map(|entry| format!("{} {}", entry.said["way"], entry.said["kind"])).collect();
            return Err(format!("nothing like {one} passed, in this order: {}", short(&json!(kinds.join(", ")))));
        }
    }
    Ok(())
}

fn first_like(entries: &[Entry], like: &Value) -> Result<usize, String> {
    let found = entries.iter().position(|entry| matches(&entry.said, like).is_ok());
    found.ok_or_else(|| format!("nothing like {like} passed"))
}

/// From an assignment to the last report of its attempt.
fn most_at_once(entries: &[Entry]) -> usize {
    let (mut running, mut most) = (Vec::new(), 0);
    for Entry { said, .. } in entries {
        let attempt = (said["task_id"].clone(), said["attempt"].clone());
        match (said["way"].as_str(), said["kind"].as_str()) {
            (Some("down"), Some("assignment")) if !running.contains(&attempt) => running.push(attempt),
            (Some("up"), Some("completed" | "failed" | "rejected")) => running.retain(|other| *other != attempt),
            _ => {}
        }
        most = most.max(running.len());
    }
    most
}
