//! The events of our namespace, which hold what was really done.

use std::time::Duration;

use callboard::v1::{Event, TaskState, WatchEventsRequest};
use callboard::{Client, EventStream, NewTask, Watch};
use tokio::time::timeout;

use super::agent::TASK;
use super::error::Error;
use super::verify::{Expected, Verified, Verifier};
use super::world;

/// How long the events may be silent while some are due. Longer than it takes to give out an attempt that was lost.
const SILENCE: Duration = Duration::from_secs(90);

/// A place in the events of the namespace: now.
pub async fn mark(client: &Client) -> Result<String, Error> {
    let request = WatchEventsRequest { namespace: client.namespace().to_owned(), ..Default::default() };
    let opened = client.tasks().watch_events(request).await.map_err(callboard::Error::from)?;
    let first = opened.into_inner().message().await.map_err(callboard::Error::from)?;
    let cursor = first.map(|frame| frame.cursor).filter(|cursor| !cursor.is_empty());
    cursor.ok_or(Error::Stuck { what: "a cursor of the events", seconds: 0 })
}

/// The events behind a place.
pub fn since(client: &Client, mark: &str) -> EventStream {
    client.watch(Watch::namespace().after(mark))
}

/// The next event, which must be due.
pub async fn next(events: &mut EventStream) -> Result<Event, Error> {
    let stuck = || Error::Stuck { what: "an event that was due", seconds: SILENCE.as_secs() };
    timeout(SILENCE, events.next()).await.map_err(|_| stuck())??.ok_or_else(stuck)
}

/// Verifies all events since a mark. A last task tells where they end: what comes behind it is not ours.
pub async fn verify(client: &Client, mark: &str, mut verifier: Verifier) -> Result<Verified, Error> {
    let last = client.run_until_ended(NewTask::new(TASK).input("")?, None).await?;
    verifier.expect(world::parse(&last.id)?, Expected::AT_ONCE);
    let mut events = since(client, mark);
    loop {
        let event = next(&mut events).await?;
        verifier.take(&event);
        if event.task_id == last.id && event.state() == TaskState::Completed {
            return verifier.finish().map_err(Error::Violations);
        }
    }
}
