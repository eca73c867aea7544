//! Events in rows: those of one task in one transaction stand in one row, since rows, their values and their indexes are what a
//! write costs.

use crate::Result;
use crate::codec::{from_json, readable, state_code, state_of, to_json};
use crate::columns::Columns;
use callboard_core::model::{Event, EventKind, StateName, Timestamp};
use callboard_core::working_set::TaskRef;
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::Arc;

/// Events in a row, at most. An event's position is its row's number and its place in the row: `row * IN_A_ROW + place`.
pub const IN_A_ROW: i64 = 256;

/// The columns of [`unpack`].
macro_rules! event_columns {
    () => {
        "position, namespace, task, sequence, facts, format"
    };
}
pub(crate) use event_columns;

/// An event within its row: time, principal, state, run, attempt, kind. Its task and sequence number are the row's.
#[derive(Serialize, Deserialize)]
struct Fact<'a>(Timestamp, Cow<'a, str>, i64, u32, u32, Told<'a>);

/// What an event tells. That its task was PAUSED behind it stands here, where a version that knows no pauses passes over it, and
/// not in the state's number, which it would take for damage.
#[derive(Serialize, Deserialize)]
struct Told<'a> {
    #[serde(flatten)]
    kind: Cow<'a, EventKind>,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    paused: bool,
}

impl<'a> Fact<'a> {
    fn of(event: &'a Event) -> Self {
        let told = Told { kind: Cow::Borrowed(&event.kind), paused: event.state == StateName::Paused };
        let principal = Cow::Borrowed(&*event.principal);
        Self(event.at, principal, state_code(event.state), event.run, event.attempt, told)
    }
}

/// A row to be written: its sequence number, time and state are the last event's.
pub struct Packed<'a> {
    /// Whose events.
    pub task: TaskRef,
    events: Vec<&'a Event>,
}

impl Packed<'_> {
    /// The last event.
    pub fn last(&self) -> Option<&Event> {
        self.events.last().copied()
    }

    /// The events as JSON.
    pub fn facts(&self) -> Result<String> {
        let facts: Vec<Fact<'_>> = self.events.iter().map(|event| Fact::of(event)).collect();
        to_json(&facts)
    }
}

/// Groups events by task, in the order in which the tasks come first.
pub fn pack(events: &[Event]) -> Vec<Packed<'_>> {
    let mut rows: Vec<Packed<'_>> = Vec::new();
    let mut latest: HashMap<TaskRef, usize> = HashMap::with_capacity(events.len());
    for event in events {
        let task = (event.namespace, event.task);
        let room = |row: &usize| {
            let events = &rows[*row].events;
            (events.len() as i64) < IN_A_ROW && events.last().is_some_and(|last| last.sequence + 1 == event.sequence)
        };
        match latest.get(&task).copied().filter(room) {
            Some(row) => rows[row].events.push(event),
            None => {
                latest.insert(task, rows.len());
                rows.push(Packed { task, events: vec![event] });
            }
        }
    }
    rows
}

/// How many rows a page of so many events reads. Most have two or more; those that the page has no room for would be read, and
/// their events put together, once more with the next. One row more: the first may have nothing new.
pub fn rows_for(limit: usize) -> usize {
    limit.div_ceil(2).saturating_add(1)
}

/// The events of a row, with their positions.
pub fn unpack(row: &impl Columns) -> Result<Vec<(i64, Event)>> {
    readable(row.number(5)?, "events")?;
    let first = row.number(0)? * IN_A_ROW;
    let (namespace, task, last) = (row.namespace_id(1)?, row.task_id(2)?, row.number(3)?);
    let facts: Vec<Fact<'_>> = from_json(row.json(4)?, "events")?;
    let before = last - facts.len() as i64;
    let event = |(place, Fact(at, principal, state, run, attempt, told)): (i64, Fact<'_>)| {
        let state = if told.paused { StateName::Paused } else { state_of(state)? };
        let principal = Arc::from(&*principal);
        let kind = told.kind.into_owned();
        let event = Event { namespace, task, sequence: before + 1 + place, at, principal, state, run, attempt, kind };
        Ok((first + place, event))
    };
    (0..).zip(facts).map(event).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use callboard_core::model::{Chosen, KeptScore, NamespaceId, PauseTurn, RunnerUp, TaskId};
    use uuid::Uuid;

    /// What an event was before there were pauses.
    #[derive(Deserialize)]
    #[expect(dead_code, reason = "what is read is that it can be")]
    struct Before(Timestamp, String, i64, u32, u32, KindBefore);

    #[derive(Deserialize, Debug, PartialEq)]
    #[serde(tag = "event", rename_all = "snake_case")]
    enum KindBefore {
        Assigned { agent: String },
        Started { agent: String },
        Updated { fields: String },
        Ready,
    }

    fn event(state: StateName, kind: EventKind) -> Event {
        let (namespace, task, at) = (NamespaceId(1), TaskId(Uuid::nil()), Timestamp(1));
        Event { namespace, task, sequence: 1, at, principal: "ann".into(), state, run: 1, attempt: 1, kind }
    }

    #[test]
    fn a_version_that_knows_no_pauses_reads_their_events() {
        let began = EventKind::Started { agent: "ann".into(), pause: Some(PauseTurn::Began) };
        let events = [event(StateName::Paused, began), event(StateName::Paused, EventKind::Ready)];
        let facts = pack(&events[..1])[0].facts().unwrap();
        let Before(_, _, state, _, _, kind) = from_json::<Vec<Before>>(&facts, "events").unwrap().remove(0);
        assert_eq!((state_of(state).unwrap(), kind), (StateName::Running, KindBefore::Started { agent: "ann".into() }));
        let unit = pack(&events[1..])[0].facts().unwrap();
        assert_eq!(from_json::<Vec<Before>>(&unit, "events").unwrap()[0].5, KindBefore::Ready);
    }

    #[test]
    fn a_version_that_knows_no_fallbacks_reads_their_events_and_is_read() {
        let fields = "nobody took it".to_owned();
        let fell_back = [event(StateName::Ready, EventKind::Updated { fields: fields.clone(), fallback: Some(1) })];
        let facts = pack(&fell_back)[0].facts().unwrap();
        assert_eq!(from_json::<Vec<Before>>(&facts, "events").unwrap()[0].5, KindBefore::Updated { fields });
        let facts = r#"[[1,"ann",1,1,0,{"event":"updated","fields":"tags"}]]"#;
        let Fact(_, _, _, _, _, told) = from_json::<Vec<Fact<'_>>>(facts, "events").unwrap().remove(0);
        assert_eq!(*told.kind, EventKind::Updated { fields: "tags".into(), fallback: None });
    }

    #[test]
    fn a_version_that_does_not_know_who_else_was_compared_reads_assignments_and_is_read() {
        let other = RunnerUp { agent: "bob".into(), score: KeptScore::of(0.5) };
        let chosen = Chosen { score: KeptScore::of(0.8), compared: 2, runners_up: vec![other] };
        let ann = || "ann".into();
        let assigned = [event(StateName::Assigned, EventKind::Assigned { agent: ann(), chosen: Some(chosen) })];
        let facts = pack(&assigned)[0].facts().unwrap();
        assert_eq!(
            from_json::<Vec<Before>>(&facts, "events").unwrap()[0].5,
            KindBefore::Assigned { agent: "ann".into() }
        );
        let facts = r#"[[1,"system",2,1,1,{"event":"assigned","agent":"ann"}]]"#;
        let Fact(_, _, _, _, _, told) = from_json::<Vec<Fact<'_>>>(facts, "events").unwrap().remove(0);
        assert_eq!(*told.kind, EventKind::Assigned { agent: ann(), chosen: None });
    }

    #[test]
    fn of_one_that_nobody_was_compared_with_the_score_alone_is_written() {
        let chosen = Chosen { score: KeptScore::of(0.8), compared: 1, runners_up: Vec::new() };
        let assigned = [event(StateName::Assigned, EventKind::Assigned { agent: "ann".into(), chosen: Some(chosen) })];
        let facts = pack(&assigned)[0].facts().unwrap();
        assert_eq!(facts, r#"[[1,"ann",2,1,1,{"event":"assigned","agent":"ann","chosen":{"score":800000}}]]"#);
    }

    #[test]
    fn what_a_version_without_pauses_wrote_is_read() {
        let facts = r#"[[1,"ann",3,1,1,{"event":"started","agent":"ann"}]]"#;
        let Fact(_, _, state, _, _, told) = from_json::<Vec<Fact<'_>>>(facts, "events").unwrap().remove(0);
        assert_eq!((state, told.paused), (3, false));
        assert_eq!(*told.kind, EventKind::Started { agent: "ann".into(), pause: None });
    }
}
