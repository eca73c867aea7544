//! Those who watch the whole namespace, and go on where they were when their stream breaks.

use super::Worker;
use super::history::Watching;
use callboard::v1;
use std::time::Duration;
use tokio::time::timeout;
use tonic::{Code, Status};

/// A server says something every 10 s; a stream that is silent for longer is broken.
const SILENCE: Duration = Duration::from_secs(12);

/// Watches until it is to stop.
pub(super) async fn watch(mut worker: Worker) {
    let index = {
        let mut history = worker.recorder.history();
        history.watches.push(Watching::default());
        history.watches.len() - 1
    };
    let mut cursor = String::new();
    while !worker.stop.is_cancelled() {
        if let Err(status) = follow(&worker, index, &mut cursor).await {
            let error = callboard::Error::from(status.clone());
            if !matches!(error.code(), Some(Code::Unavailable | Code::DeadlineExceeded)) {
                worker.recorder.surprise(format!("{} ended: {status:?}", worker.name));
            }
        }
        worker.pause(20..120).await;
    }
}

/// One stream, to its end.
async fn follow(worker: &Worker, index: usize, cursor: &mut String) -> Result<(), Status> {
    let request = v1::WatchEventsRequest { cursor: cursor.clone(), ..Default::default() };
    let opened = timeout(SILENCE, worker.client.tasks().watch_events(request)).await;
    let mut events = opened.map_err(silent)??.into_inner();
    loop {
        let message = tokio::select! {
            () = worker.stop.cancelled() => return Ok(()),
            message = timeout(SILENCE, events.message()) => message.map_err(silent)??,
        };
        let Some(message) = message else { return Ok(()) };
        let mut history = worker.recorder.history();
        let asked = history.creations.len();
        let watching = &mut history.watches[index];
        watching.from.get_or_insert(asked);
        watching.seen.extend(message.events.into_iter().map(|event| (event.task_id, event.sequence)));
        *cursor = message.cursor;
    }
}

fn silent(_: tokio::time::error::Elapsed) -> Status {
    Status::deadline_exceeded("the server is silent")
}
