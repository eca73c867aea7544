//! Watching events. The stream goes on behind its cursor when it breaks, and gives each event once.

use std::collections::VecDeque;

use callboard_proto::v1;
use futures::stream::{self, Stream};

use super::Client;
use super::resume::{Resumed, ended_early};
use crate::Result;
use crate::error::CallError;

/// What to watch, and from where.
#[derive(Debug, Clone, Default)]
pub struct Watch {
    request: v1::WatchEventsRequest,
}

impl Watch {
    /// The events of one task, from its first.
    pub fn task(id: impl Into<String>) -> Self {
        Self { request: v1::WatchEventsRequest { task_id: id.into(), ..Default::default() } }
    }

    /// The events of the client's namespace, from now.
    pub fn namespace() -> Self {
        Self::default()
    }

    /// Go on behind this cursor: see [`EventStream::cursor`].
    #[must_use]
    pub fn after(mut self, cursor: impl Into<String>) -> Self {
        self.request.cursor = cursor.into();
        self
    }

    /// End when the watched task has ended and all was given.
    #[must_use]
    pub fn until_ended(mut self) -> Self {
        self.request.until_ended = true;
        self
    }
}

impl Client {
    /// Watches events as they are committed: in order for each task, none skipped, each once. Nothing is connected before
    /// the first [`EventStream::next`].
    pub fn watch(&self, watch: Watch) -> EventStream {
        let mut request = watch.request;
        self.namespace().clone_into(&mut request.namespace);
        EventStream {
            source: Resumed::new(self.clone()),
            request,
            delivered: String::new(),
            waiting: VecDeque::new(),
            ended: false,
        }
    }
}

/// Events as they are committed. Read them with [`EventStream::next`], or as a [`Stream`] with
/// [`EventStream::into_stream`].
#[derive(Debug)]
pub struct EventStream {
    source: Resumed<v1::WatchEventsResponse>,
    /// Its cursor is behind everything that was received.
    request: v1::WatchEventsRequest,
    /// The cursor behind everything that was given out.
    delivered: String,
    /// Received, not given out yet. Never more than one frame.
    waiting: VecDeque<v1::Event>,
    ended: bool,
}

impl EventStream {
    /// The next event; `None` when the watched task has ended and that was asked for. Can be dropped and called again
    /// without losing an event.
    ///
    /// # Errors
    ///
    /// What the server answers; [`crate::Error::Unavailable`] when it could not be reached for as long as the client's timeout.
    /// The stream has ended then.
    pub async fn next(&mut self) -> Result<Option<v1::Event>> {
        loop {
            if let Some(event) = self.waiting.pop_front() {
                self.note_delivery();
                return Ok(Some(event));
            }
            if self.ended {
                return Ok(None);
            }
            if let Err(refused) = self.receive().await {
                let resumed = self.source.pause_before_resuming(refused).await;
                self.ended = resumed.is_err();
                resumed?;
            }
        }
    }

    /// Where to go on later, with [`Watch::after`], behind the events given so far. Events of one commit share a cursor,
    /// so that some may be given again. Empty when nothing came yet.
    pub fn cursor(&self) -> &str {
        &self.delivered
    }

    /// The events as a [`Stream`], which ends after an error.
    pub fn into_stream(self) -> impl Stream<Item = Result<v1::Event>> + Send + 'static {
        stream::try_unfold(self, |mut events| async move {
            let event = events.next().await?;
            Ok(event.map(|event| (event, events)))
        })
    }

    fn note_delivery(&mut self) {
        if self.waiting.is_empty() {
            self.delivered.clone_from(&self.request.cursor);
        }
    }

    /// Takes one frame.
    async fn receive(&mut self) -> Result<(), CallError> {
        let request = self.request.clone();
        match self.source.receive(|client| async move { client.tasks().watch_events(request).await }).await? {
            Some(frame) => self.take(frame),
            None if self.request.until_ended => self.ended = true,
            None => return Err(ended_early()),
        }
        Ok(())
    }

    fn take(&mut self, frame: v1::WatchEventsResponse) {
        self.waiting.extend(frame.events);
        if !frame.cursor.is_empty() {
            self.request.cursor = frame.cursor;
        }
        self.note_delivery();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn events() -> EventStream {
        Client::connect("http://127.0.0.1:1").unwrap().watch(Watch::task("t").after("c0"))
    }

    fn frame(sequences: &[i64], cursor: &str) -> v1::WatchEventsResponse {
        let events = sequences.iter().map(|sequence| v1::Event { sequence: *sequence, ..Default::default() });
        v1::WatchEventsResponse { events: events.collect(), cursor: cursor.into() }
    }

    #[tokio::test]
    async fn the_cursor_follows_what_was_given_out() {
        let mut events = events();
        events.take(frame(&[1, 2], "c2"));
        assert_eq!(events.next().await.unwrap().unwrap().sequence, 1);
        assert_eq!(events.cursor(), "", "the frame is not given out in full");
        assert_eq!(events.next().await.unwrap().unwrap().sequence, 2);
        assert_eq!(events.cursor(), "c2");
        events.take(frame(&[], "c9"));
        assert_eq!(events.cursor(), "c9", "an empty frame moves the cursor");
        events.take(frame(&[], ""));
        assert_eq!(events.request.cursor, "c9", "resuming goes on from there");
    }
}
