//! `WatchEvents`: the store has the events; a signal says when to look.

use super::reading::{self, Reading};
use super::{Host, check, refuse};
use crate::convert::{event, task_id};
use crate::{caller, page, status};
use callboard_core::rejection::Rejection;
use callboard_core::validate::Faults;
use callboard_engine::Watch;
use callboard_proto::v1;
use callboard_store::{Cursor, EventScope};
use prost::Message;
use std::collections::VecDeque;
use std::pin::Pin;
use std::time::Duration;
use tokio_stream::Stream;
use tonic::Status;

/// How many events are read at a time, and make a message.
const READ: usize = 500;
/// A message of more bytes is made of fewer events.
const LARGE: usize = 1 << 20;
/// So many. (An event is at most some 20 KiB.)
const FEW: usize = 100;
/// How long nothing happens before the cursor is sent again.
const QUIET: Duration = Duration::from_secs(10);

type Events = Pin<Box<dyn Stream<Item = Result<v1::WatchEventsResponse, Status>> + Send>>;

/// A watch at work.
struct Watching {
    host: Host,
    scope: EventScope,
    query: page::Query,
    signal: Watch,
    cursor: Cursor,
    /// How many events are read next.
    read: usize,
    until_ended: bool,
    ready: VecDeque<v1::WatchEventsResponse>,
    over: bool,
}

/// Begins to watch.
pub(super) async fn watch(host: &Host, mut request: v1::WatchEventsRequest) -> Result<Events, Status> {
    let cursor = std::mem::take(&mut request.cursor);
    let until_ended = std::mem::take(&mut request.until_ended);
    let name = caller::namespace(&request.namespace);
    request.namespace = name.to_string();
    let query = page::Query::of("WatchEvents", &request);
    let namespace = host.engine.namespace(&name).await.map_err(status::of_engine)?;
    if until_ended && request.task_id.is_empty() {
        return refuse("until_ended", "needs a task_id: a namespace does not end");
    }
    let scope = match request.task_id.is_empty() {
        true => EventScope::Namespace(namespace),
        false => {
            let mut faults = Faults::default();
            let id = task_id("task_id", &request.task_id, &mut faults);
            check(faults)?;
            let known = host.engine.store().task((namespace, id)).await.map_err(status::of_store)?;
            known.ok_or_else(|| status::of_rejection(Rejection::task_not_found(id)))?;
            EventScope::Task(namespace, id)
        }
    };
    let place: Option<(i64, i64)> = query.place("cursor", &cursor)?;
    let cursor = match (place, scope) {
        (Some((transaction, position)), _) => Cursor { transaction, position },
        (None, EventScope::Task(..)) => Cursor { transaction: 0, position: 0 },
        (None, EventScope::Namespace(_)) => host.engine.store().end_of_events().await.map_err(status::of_store)?,
    };
    // Before the first read: what is committed in between is signalled.
    let signal = host.engine.watch(scope);
    let ready = VecDeque::new();
    let mut watching =
        Watching { host: host.clone(), scope, query, signal, cursor, read: READ, until_ended, ready, over: false };
    watching.tell_cursor();
    Ok(Box::pin(reading::to_end(watching)))
}

impl Reading for Watching {
    type Message = v1::WatchEventsResponse;

    fn take(&mut self) -> Option<Self::Message> {
        self.ready.pop_front()
    }

    fn is_over(&self) -> bool {
        self.over
    }

    async fn advance(&mut self) -> Result<(), Status> {
        // Asked before the events are read: then all events of an ended task are among them.
        let ended = self.until_ended && self.has_ended().await?;
        let store = self.host.engine.store();
        let page = store.events(self.scope, Some(self.cursor), self.read).await.map_err(status::of_store)?;
        if page.forgotten {
            return Err(status::cursor_forgotten());
        }
        if !page.events.is_empty() {
            let events = page.events.iter().map(event::to_event).collect();
            let mut message = v1::WatchEventsResponse { events, cursor: String::new() };
            if message.encoded_len() > LARGE && self.read > FEW {
                self.read = FEW;
                return Ok(());
            }
            self.read = READ;
            self.cursor = page.next;
            message.cursor = self.cursor_text();
            self.ready.push_back(message);
            return Ok(());
        }
        self.cursor = page.next;
        if page.more {
            return Ok(());
        }
        if ended {
            self.over = true;
            return Ok(());
        }
        let drain = self.host.drain.clone();
        if drain.unless(tokio::time::timeout(QUIET, self.signal.changed())).await?.is_err() {
            self.check_task().await?;
            self.tell_cursor();
        }
        Ok(())
    }
}

impl Watching {
    /// Nothing more will come of a task that was forgotten.
    async fn check_task(&self) -> Result<(), Status> {
        let EventScope::Task(namespace, task) = self.scope else { return Ok(()) };
        let view = self.host.engine.store().task((namespace, task)).await.map_err(status::of_store)?;
        view.map(drop).ok_or_else(|| status::of_rejection(Rejection::task_not_found(task)))
    }

    async fn has_ended(&self) -> Result<bool, Status> {
        let EventScope::Task(namespace, task) = self.scope else { return Ok(false) };
        let view = self.host.engine.store().task((namespace, task)).await.map_err(status::of_store)?;
        let view = view.ok_or_else(|| status::of_rejection(Rejection::task_not_found(task)))?;
        Ok(!view.task.is_live())
    }

    fn tell_cursor(&mut self) {
        let message = v1::WatchEventsResponse { events: Vec::new(), cursor: self.cursor_text() };
        self.ready.push_back(message);
    }

    fn cursor_text(&self) -> String {
        self.query.token(&(self.cursor.transaction, self.cursor.position))
    }
}
