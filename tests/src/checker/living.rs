//! What faults of the server may not do to agents that live through them.

use super::Observed;
use crate::load::history::{HandlerRun, History};
use callboard::v1;
use callboard::v1::EventType as E;

/// Agents of the SDK, which keep what they run for as long as they live.
const KEEPERS: &str = "sdk-";
/// Agents that sometimes forget what they claimed.
const FORGETFUL: &str = "claims-";

/// Attempts that were taken from handlers of agents that lived. (One that never came to its agent may be taken back: nobody
/// ran it.)
pub fn taken(history: &History, observed: &Observed) -> Vec<(HandlerRun, v1::Event)> {
    let kept = history.runs.iter().filter(|run| run.agent.starts_with(KEEPERS));
    kept.filter_map(|run| taking(run, observed)).collect()
}

/// The same of every agent: attempts that were taken from handlers, whoever ran them. But for those that a claimer forgot: it never
/// said how they ended.
pub fn taken_from_anybody(history: &History, observed: &Observed) -> Vec<(HandlerRun, v1::Event)> {
    let ran = history.runs.iter().filter(|run| run.gave.is_some() || !run.agent.starts_with(FORGETFUL));
    ran.filter_map(|run| taking(run, observed)).collect()
}

fn taking(run: &HandlerRun, observed: &Observed) -> Option<(HandlerRun, v1::Event)> {
    let events = &observed.tasks.get(&run.task_id)?.events;
    let end = events.iter().find(|event| event.attempt == run.attempt && is_taking(event))?;
    Some((run.clone(), end.clone()))
}

/// Fails the test when an attempt was taken from a handler whose agent lived.
#[track_caller]
pub fn assert_none_taken(history: &History, observed: &Observed) {
    let taken = taken(history, observed);
    assert!(taken.is_empty(), "attempts were taken from agents that lived: {taken:#?}");
}

/// The attempts that were lost, by their events.
pub fn losses(observed: &Observed) -> Vec<v1::Event> {
    let events = observed.tasks.values().flat_map(|seen| &seen.events);
    events.filter(|event| event.r#type() == E::AttemptLost).cloned().collect()
}

fn is_taking(event: &v1::Event) -> bool {
    matches!(event.r#type(), E::AttemptLost | E::HandedBack | E::AttemptTimedOut)
}
