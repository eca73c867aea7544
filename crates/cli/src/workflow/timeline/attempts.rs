//! The attempts of a task, from its history.

use std::collections::BTreeMap;

use callboard::v1::{Event, EventType};
use prost_types::Timestamp;
use serde_json::{Value, json};

use crate::output::{names, time};

/// One lease of a task by an agent.
#[derive(Clone, Debug, PartialEq)]
pub struct Attempt {
    /// Its number.
    pub number: i32,
    /// The agent.
    pub agent: String,
    /// When it was given out.
    pub assigned_at: Option<Timestamp>,
    /// When the agent accepted it.
    pub started_at: Option<Timestamp>,
    /// How it ended, if it has.
    pub end: Option<End>,
}

/// How an attempt ended.
#[derive(Clone, Debug, PartialEq)]
pub struct End {
    /// When.
    pub at: Option<Timestamp>,
    /// By what.
    pub by: EventType,
}

/// The attempts of a task, in their order.
pub fn attempts(history: &[Event]) -> Vec<Attempt> {
    let mut attempts: BTreeMap<i32, Attempt> = BTreeMap::new();
    for event in history.iter().filter(|event| event.attempt > 0) {
        let of_event = || Attempt {
            number: event.attempt,
            agent: event.agent.clone(),
            assigned_at: None,
            started_at: None,
            end: None,
        };
        match event.r#type() {
            EventType::Assigned => attempts.entry(event.attempt).or_insert_with(of_event).assigned_at = event.at,
            EventType::Started => attempts.entry(event.attempt).or_insert_with(of_event).started_at = event.at,
            by if ends(by) => {
                // What ends the task behind its last attempt has that one's number; only the first ends it.
                if let Some(attempt) = attempts.get_mut(&event.attempt).filter(|attempt| attempt.end.is_none()) {
                    attempt.end = Some(End { at: event.at, by });
                }
            }
            _ => {}
        }
    }
    attempts.into_values().collect()
}

fn ends(by: EventType) -> bool {
    matches!(
        by,
        EventType::Completed
            | EventType::Failed
            | EventType::Cancelled
            | EventType::AttemptFailed
            | EventType::AttemptLost
            | EventType::AttemptTimedOut
            | EventType::HandedBack
    )
}

impl Attempt {
    /// When it began: what is drawn begins there.
    pub fn from(&self) -> Option<i64> {
        self.assigned_at.as_ref().or(self.started_at.as_ref()).map(micros)
    }

    /// What became of it, for people.
    pub fn became(&self) -> String {
        match (&self.end, &self.started_at) {
            (Some(end), _) => names::event_type(end.by.into()).replace("attempt_", "").replace('_', " "),
            (None, Some(_)) => "running".to_owned(),
            (None, None) => "assigned".to_owned(),
        }
    }

    /// For programs.
    pub fn to_json(&self) -> Value {
        let at = |at: Option<&Timestamp>| at.map(time::rfc3339);
        json!({
            "attempt": self.number,
            "agent": self.agent,
            "assigned_at": at(self.assigned_at.as_ref()),
            "started_at": at(self.started_at.as_ref()),
            "ended_at": at(self.end.as_ref().and_then(|end| end.at.as_ref())),
            "end": self.end.as_ref().map(|end| names::event_type(end.by.into())),
        })
    }
}

/// Microseconds since 1970.
pub fn micros(at: &Timestamp) -> i64 {
    at.seconds.saturating_mul(1_000_000).saturating_add(i64::from(at.nanos) / 1_000)
}

#[cfg(test)]
mod tests {
    use super::*;

    pub fn event(kind: EventType, attempt: i32, agent: &str, seconds: i64) -> Event {
        let at = Some(Timestamp { seconds, nanos: 0 });
        Event { r#type: kind.into(), attempt, agent: agent.into(), at, ..Event::default() }
    }

    #[test]
    fn attempts_of_a_history() {
        let history = [
            event(EventType::Created, 0, "", 0),
            event(EventType::Ready, 0, "", 0),
            event(EventType::Assigned, 1, "ann", 1),
            event(EventType::Started, 1, "ann", 2),
            event(EventType::Checkpointed, 1, "ann", 2),
            event(EventType::AttemptFailed, 1, "ann", 5),
            event(EventType::Assigned, 2, "bob", 7),
            event(EventType::AttemptLost, 2, "bob", 8),
            event(EventType::Assigned, 3, "ann", 9),
            event(EventType::Started, 3, "ann", 9),
            event(EventType::Failed, 3, "ann", 10),
            event(EventType::Failed, 3, "", 10),
            event(EventType::Assigned, 4, "cyd", 20),
        ];
        let found = attempts(&history);
        let told: Vec<_> =
            found.iter().map(|attempt| (attempt.number, attempt.agent.as_str(), attempt.became())).collect();
        let expected = [(1, "ann", "failed"), (2, "bob", "lost"), (3, "ann", "failed"), (4, "cyd", "assigned")];
        assert_eq!(told, expected.map(|(number, agent, became)| (number, agent, became.to_owned())));
        assert_eq!(found[1].started_at, None, "it was lost before anybody accepted it");
        assert_eq!(found[0].to_json()["end"], "attempt_failed");
        assert_eq!(found[3].to_json()["ended_at"], Value::Null);
        assert!(attempts(&history[..2]).is_empty());
    }

    #[test]
    fn histories_that_make_no_sense_are_no_panic() {
        let odd = [event(EventType::Completed, 1, "ann", 1), event(EventType::Started, -3, "ann", 1)];
        assert!(attempts(&odd).is_empty());
        let untimed = Event { at: None, ..event(EventType::Started, 1, "ann", 1) };
        assert_eq!(attempts(&[untimed])[0].from(), None);
    }
}
