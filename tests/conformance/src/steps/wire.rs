//! Verdicts from what passed on the wire.

use crate::proxy::record::Entry;
use crate::value::{matches, short};
use serde_json::{Value, json};

/// What passed that is like this.
pub(super) fn like<'e>(entries: &'e [Entry], like: &Value) -> Vec<&'e Entry> {
    entries.iter().filter(|entry| matches(&entry.said, like).is_ok()).collect()
}

/// How many they are; and that all say the same somewhere, or each another.
pub(super) fn are(
    entries: &[&Entry],
    count: Option<&Value>,
    same: Option<&str>,
    distinct: Option<&str>,
) -> Result<(), String> {
    let said: Vec<&Value> = entries.iter().map(|entry| &entry.said).collect();
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

/// These passed in this order.
pub(super) fn in_order(entries: &[Entry], wanted: &[Value]) -> Result<(), String> {
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

/// How many milliseconds lie between two that passed: the first like `from`, and the first like `to` behind it.
pub(super) fn between(entries: &[Entry], from: &Value, to: &Value) -> Result<i64, String> {
    let first_like = |entries: &[Entry], like: &Value| {
        let found = entries.iter().position(|entry| matches(&entry.said, like).is_ok());
        found.ok_or_else(|| format!("nothing like {like} passed"))
    };
    let first = first_like(entries, from)?;
    let last = first_like(&entries[first + 1..], to)? + first + 1;
    let passed = entries[last].at.saturating_sub(entries[first].at);
    Ok(i64::try_from(passed.as_millis()).unwrap_or(i64::MAX))
}

/// So many a second passed at most, from the first to the last, and so many more: what is late by chance comes in heaps.
pub(super) fn pace(entries: &[&Entry], per_second: u32, more: u32) -> Result<(), String> {
    let (Some(first), Some(last)) = (entries.first(), entries.last()) else { return Ok(()) };
    let took = last.at.saturating_sub(first.at);
    let most = f64::from(per_second) * took.as_secs_f64() + f64::from(more);
    if entries.len() as f64 <= most {
        Ok(())
    } else {
        Err(format!("{} passed within {took:?}: more than {per_second} a second", entries.len()))
    }
}

/// The most attempts that an agent had at once: from an assignment to the last report of its attempt, without the time in which it is paused.
pub(super) fn most_at_once(entries: &[Entry]) -> usize {
    let (mut running, mut most) = (Vec::new(), 0);
    for Entry { said, .. } in entries {
        let attempt = (said["task_id"].clone(), said["attempt"].clone());
        match (said["way"].as_str(), said["kind"].as_str()) {
            (Some("down"), Some("assignment" | "resumption")) => enter(&mut running, attempt),
            (Some("down"), Some("receipt")) if said["of"] == "resume" && said["state"] == "RUNNING" => {
                enter(&mut running, attempt);
            }
            (Some("up"), Some("completed" | "failed" | "rejected" | "pause")) => {
                running.retain(|other| *other != attempt);
            }
            _ => {}
        }
        most = most.max(running.len());
    }
    most
}

fn enter<T: PartialEq>(running: &mut Vec<T>, attempt: T) {
    if !running.contains(&attempt) {
        running.push(attempt);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn passed(milliseconds: u64, said: Value) -> Entry {
        Entry { at: Duration::from_millis(milliseconds), said }
    }

    #[test]
    fn what_is_paused_has_no_slot() {
        let said =
            |way: &str, kind: &str, task: &str| json!({ "way": way, "kind": kind, "task_id": task, "attempt": 1 });
        let entries = [
            passed(0, said("down", "assignment", "parent")),
            passed(1, said("up", "pause", "parent")),
            passed(2, said("down", "assignment", "child")),
            passed(3, said("up", "completed", "child")),
            passed(4, said("down", "resumption", "parent")),
        ];
        assert_eq!(most_at_once(&entries), 1);
        assert_eq!(most_at_once(&[entries[0].clone(), entries[2].clone()]), 2);
    }

    #[test]
    fn a_pace_is_kept_or_not() {
        let entries: Vec<Entry> = (0..21).map(|number| passed(number * 50, json!({}))).collect();
        let all: Vec<&Entry> = entries.iter().collect();
        assert!(pace(&all, 20, 1).is_ok());
        assert!(pace(&all, 10, 1).is_err());
        assert!(pace(&[], 10, 0).is_ok());
    }
}
