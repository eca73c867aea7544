//! Verdicts from tasks' events.

use crate::value::{matches, short};
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// The types of the events, how many of some there are, and some of what they say.
pub(super) fn is(
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
            .map_err(|fault| format!("the number of {kind} {fault}; they are {}", timed(history)))?;
    }
    let mut rest = history.iter();
    for wanted in events.unwrap_or_default() {
        if !rest.any(|event| matches(event, wanted).is_ok()) {
            return Err(format!("no event like {wanted}, in this order, in {}", short(&json!(history))));
        }
    }
    Ok(())
}

/// The events with their times, in milliseconds since the first.
fn timed(history: &[Value]) -> String {
    let first = history.first().and_then(microseconds).unwrap_or_default();
    let line = |event| format!("{} +{}", event_type(event), (microseconds(event).unwrap_or_default() - first) / 1000);
    history.iter().map(line).collect::<Vec<_>>().join(", ")
}

fn event_type(event: &Value) -> &str {
    event["type"].as_str().unwrap_or_default()
}

/// How many milliseconds lie between two events.
pub(super) fn between(history: &[Value], from: &Value, to: &Value) -> Result<i64, String> {
    let at = |like: &Value| {
        let found = history.iter().find(|event| matches(event, like).is_ok()).and_then(microseconds);
        found.ok_or_else(|| format!("no event like {like} in {}", short(&json!(history))))
    };
    Ok((at(to)? - at(from)?) / 1000)
}

/// Each of these happened to its task, none before the one that is named ahead of it. One task's may be named several times.
pub(super) fn in_order(wanted: &[(Vec<Value>, Value)]) -> Result<(), String> {
    let mut now = i64::MIN;
    let mut sequences: BTreeMap<String, i64> = BTreeMap::new();
    for (history, like) in wanted {
        let behind = |event: &&Value| {
            let before = sequences.get(&event["task_id"].to_string()).copied().unwrap_or_default();
            event["sequence"].as_i64() > Some(before) && microseconds(event) >= Some(now)
        };
        let found = history.iter().filter(behind).find(|event| matches(event, like).is_ok());
        let found = found.ok_or_else(|| {
            let all: Vec<String> =
                history.iter().map(|event| format!("{} at {}", event["type"], event["at_us"])).collect();
            format!("nothing like {like} from {now} on: {}", all.join(", "))
        })?;
        now = microseconds(found).unwrap_or(now);
        sequences.insert(found["task_id"].to_string(), found["sequence"].as_i64().unwrap_or_default());
    }
    Ok(())
}

/// The most tasks that held a slot of an agent at once, by the server's clock: from when one is assigned until its attempt ends, without the time in
/// which it is paused. What ends when another begins was not beside it.
pub(super) fn most_at_once(histories: &[Vec<Value>], agent: &str) -> usize {
    let mut changes: Vec<(i64, i32)> = Vec::new();
    for history in histories {
        for (from, to) in held(history, agent).into_iter().filter(|(from, to)| from < to) {
            changes.extend([(from, 1), (to, -1)]);
        }
    }
    changes.sort_unstable();
    let counts = changes.iter().scan(0_usize, |held, (_, change)| {
        *held = held.saturating_add_signed(*change as isize);
        Some(*held)
    });
    counts.max().unwrap_or_default()
}

/// From when to when a task held a slot of the agent.
fn held(history: &[Value], agent: &str) -> Vec<(i64, i64)> {
    let (mut times, mut since, mut is_its) = (Vec::new(), None, false);
    for event in history {
        let at = microseconds(event);
        match event_type(event) {
            "ASSIGNED" => {
                is_its = event["agent"] == agent;
                since = at.filter(|_| is_its);
            }
            "RESUMED" => since = at.filter(|_| is_its),
            "PAUSED" | "HANDED_BACK" | "ATTEMPT_FAILED" | "ATTEMPT_TIMED_OUT" | "ATTEMPT_LOST" | "COMPLETED"
            | "FAILED" | "CANCELLED" => {
                if let (Some(from), Some(to)) = (since.take(), at) {
                    times.push((from, to));
                }
            }
            _ => {}
        }
    }
    times.extend(since.map(|from| (from, i64::MAX)));
    times
}

fn microseconds(event: &Value) -> Option<i64> {
    event["at_us"].as_i64()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn history(task: &str, events: &[(&str, i64)]) -> Vec<Value> {
        let all = (1..).zip(events);
        all.map(|(sequence, (kind, at))| {
            json!({ "task_id": task, "sequence": sequence, "type": kind, "at_us": at, "agent": "a" })
        })
        .collect()
    }

    #[test]
    fn a_paused_task_holds_no_slot() {
        let parent = history("p", &[("ASSIGNED", 1), ("PAUSED", 3), ("RESUMED", 8), ("COMPLETED", 9)]);
        let child = history("c", &[("ASSIGNED", 3), ("STARTED", 4), ("COMPLETED", 8)]);
        assert_eq!(most_at_once(&[parent.clone(), child.clone()], "a"), 1);
        let early = history("e", &[("ASSIGNED", 2), ("COMPLETED", 4)]);
        assert_eq!(most_at_once(&[parent.clone(), early.clone()], "a"), 2);
        assert_eq!(most_at_once(&[parent, early], "b"), 0);
    }

    #[test]
    fn events_of_several_tasks_have_an_order() {
        let (one, two) = (history("1", &[("ASSIGNED", 1), ("COMPLETED", 5)]), history("2", &[("ASSIGNED", 3)]));
        let like = |kind: &str| json!({ "type": kind });
        let right =
            [(one.clone(), like("ASSIGNED")), (two.clone(), like("ASSIGNED")), (one.clone(), like("COMPLETED"))];
        assert!(in_order(&right).is_ok());
        assert!(in_order(&[(one, like("COMPLETED")), (two, like("ASSIGNED"))]).is_err());
    }
}
