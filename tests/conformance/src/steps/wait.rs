//! Waiting: for the server, for a frame, for a handler, for an answer. Each has a limit.

use super::health::Probe;
use super::read;
use crate::news::until;
use crate::scenario::Step;
use crate::value::{matches, short};
use crate::world::World;
use serde::Deserialize;
use serde_json::Value;
use std::future::Future;
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// Between two looks at what the server has.
const LOOK: Duration = Duration::from_millis(15);

#[derive(Debug, Deserialize)]
#[serde(untagged)]
pub(super) enum Wait {
    Answer(Answer),
    Task(Task),
    Event(Event),
    Gate(Gate),
    Frame(Frame),
    Agent(Agent),
    Health(Health),
}

/// What was begun in the background.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Answer {
    answer: String,
}

/// Until a task is so.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Task {
    task: Value,
    is: Value,
}

/// Until a task has so many events like this.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Event {
    task: Value,
    event: String,
    attempt: Option<u32>,
    #[serde(default = "once")]
    count: usize,
}

/// Until so many handlers have come to a gate.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Gate {
    gate: String,
    #[serde(default = "once")]
    count: usize,
}

/// Until something like this passed so often.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Frame {
    frame: Value,
    #[serde(default = "once")]
    count: usize,
    /// Where that takes longer than the rest, by the SDK's own limits.
    within_ms: Option<u64>,
}

/// Until an agent is so.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Agent {
    agent: String,
    is: Value,
}

/// Until an agent's health is so.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Health {
    health: Probe,
    is: Value,
}

fn once() -> usize {
    1
}

pub(super) async fn take(world: &mut World<'_>, step: &Step) -> Result<(), String> {
    let limit = world.patience();
    match read(&world.fill(&step.args)?)? {
        Wait::Answer(Answer { answer }) => world.await_answer(&answer, step).await,
        Wait::Task(Task { task, is }) => {
            let id = world.task_id(&task)?;
            let reader = &world.reader;
            look(limit, || async { matches(&reader.task(&id).await.map_err(|status| status.to_string())?, &is) }).await
        }
        Wait::Event(event) => {
            let id = world.task_id(&event.task)?;
            let reader = &world.reader;
            look(limit, || async { has(&reader.history(&id).await.map_err(|status| status.to_string())?, &event) })
                .await
        }
        Wait::Gate(Gate { gate, count }) => {
            let name = world.gate(&gate);
            let driver = world.driver(&step.process).await?;
            let at_gate = || driver.seen().iter().filter(|seen| seen["gate"] == name.as_str()).count();
            let come = until(driver.news(), limit, || (at_gate() >= count).then_some(())).await;
            come.ok_or_else(|| format!("{} of {count} handlers came to the gate {gate}", at_gate()))
        }
        Wait::Frame(Frame { frame, count, within_ms }) => {
            let limit = within_ms.map_or(limit, Duration::from_millis);
            let record = &world.wire.record;
            let (mut known, mut seen) = (0, 0);
            let look = || {
                known = record.behind(known, |entry| seen += usize::from(matches(&entry.said, &frame).is_ok()));
                (seen >= count).then_some(())
            };
            let come = until(record.changed(), limit, look).await;
            come.ok_or_else(|| format!("{seen} of {count} passed like {frame}"))
        }
        Wait::Agent(Agent { agent, is }) => {
            let reader = &world.reader;
            look(limit, || async { matches(&reader.agent(&agent).await.map_err(|status| status.to_string())?, &is) })
                .await
        }
        Wait::Health(Health { health, is }) => look(limit, || async { matches(&health.ask().await?, &is) }).await,
    }
}

fn has(events: &[Value], wanted: &Event) -> Result<(), String> {
    let fits = |event: &&Value| {
        event["type"] == wanted.event.as_str() && wanted.attempt.is_none_or(|attempt| event["attempt"] == attempt)
    };
    if events.iter().filter(fits).count() >= wanted.count {
        return Ok(());
    }
    let types: Vec<String> = events.iter().map(|event| format!("{} {}", event["type"], event["attempt"])).collect();
    Err(format!("has no {} × {} yet: {}", wanted.count, wanted.event, types.join(", ")))
}

/// Looks until it is so. What can't be read meanwhile, since the server is away, is looked at again.
async fn look<F: Future<Output = Result<(), String>>>(limit: Duration, look: impl Fn() -> F) -> Result<(), String> {
    let end = Instant::now() + limit;
    loop {
        let Err(fault) = look().await else { return Ok(()) };
        if Instant::now() >= end {
            return Err(format!("after {limit:?} {}", short(&fault.into())));
        }
        sleep(LOOK).await;
    }
}
