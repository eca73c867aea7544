//! Watching events. The stream goes on behind its cursor when it breaks, and gives each event once.

use std::collections::VecDeque;
use std::time::Duration;

use callboard_proto::v1;
use futures::stream::{self, Stream};
use tokio::time::{Instant, sleep, timeout};
use tonic::codegen::http::HeaderValue;
use tonic::{Code, Streaming};

use super::Client;
use crate::error::{CallError, reason_name};
use crate::retry::Backoff;
use crate::{Result, entropy};

/// The server sends something every 10 s: a stream that is silent for longer than this is dead.
const SILENCE: Duration = Duration::from_secs(40);

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
            client: self.clone(),
            request,
            delivered: String::new(),
            waiting: VecDeque::new(),
            source: None,
            authorization: None,
            backoff: Backoff::default(),
            failing_since: None,
            ended: false,
        }
    }
}

/// Events as they are committed. Read them with [`EventStream::next`], or as a [`Stream`] with
/// [`EventStream::into_stream`].
#[derive(Debug)]
pub struct EventStream {
    client: Client,
    /// Its cursor is behind everything that was received.
    request: v1::WatchEventsRequest,
    /// The cursor behind everything that was given out.
    delivered: String,
    /// Received, not given out yet. Never more than one frame.
    waiting: VecDeque<v1::Event>,
    source: Option<Streaming<v1::WatchEventsResponse>>,
    /// What the stream was opened with.
    authorization: Option<HeaderValue>,
    backoff: Backoff,
    /// When the first failure came since the server was last heard.
    failing_since: Option<Instant>,
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
                self.source = None;
                if self.client.identity().is_renewed(&refused, self.authorization.as_ref()) {
                    continue;
                }
                self.pause_before_resuming(refused).await?;
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

    /// Takes one frame, from a new stream when there is none.
    async fn receive(&mut self) -> Result<(), CallError> {
        if self.source.is_none() {
            self.authorization = self.client.identity().authorization();
            let opening = timeout(SILENCE, async { self.client.tasks().watch_events(self.request.clone()).await });
            self.source = Some(opening.await.map_err(|_| silent())??.into_inner());
        }
        let Some(source) = self.source.as_mut() else { return Ok(()) };
        match timeout(SILENCE, source.message()).await.map_err(|_| silent())?? {
            Some(frame) => self.take(frame),
            None if self.request.until_ended => self.ended = true,
            None => return Err(unavailable("the server ended the stream")),
        }
        Ok(())
    }

    fn take(&mut self, frame: v1::WatchEventsResponse) {
        self.failing_since = None;
        self.backoff.reset();
        self.waiting.extend(frame.events);
        if !frame.cursor.is_empty() {
            self.request.cursor = frame.cursor;
        }
        self.note_delivery();
    }

    async fn pause_before_resuming(&mut self, refused: CallError) -> Result<()> {
        let since = *self.failing_since.get_or_insert_with(Instant::now);
        let slow_reader = refused.reason == reason_name(v1::ErrorReason::SlowReader);
        if !(refused.is_retryable() || slow_reader) || since.elapsed() >= self.client.timeout() {
            self.ended = true;
            return Err(refused.into());
        }
        tracing::debug!(error = %refused, "watching was interrupted, resuming behind the cursor");
        self.client.leave(self.client.turn());
        sleep(self.backoff.next(refused.retry_after, entropy::fraction())).await;
        Ok(())
    }
}

fn silent() -> CallError {
    unavailable("the server was silent for too long")
}

fn unavailable(message: &str) -> CallError {
    CallError::local(Code::Unavailable, v1::ErrorReason::Unspecified, message)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Error;

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

    #[tokio::test]
    async fn what_can_be_resumed_is() {
        let mut events = events();
        assert!(events.pause_before_resuming(unavailable("x")).await.is_ok());
        let slow = CallError::local(Code::ResourceExhausted, v1::ErrorReason::SlowReader, "slow");
        assert!(events.pause_before_resuming(slow).await.is_ok());
        let gone = CallError::local(Code::NotFound, v1::ErrorReason::TaskNotFound, "no such task");
        assert!(matches!(events.pause_before_resuming(gone).await, Err(Error::NotFound(_))));
        assert!(events.next().await.unwrap().is_none(), "the stream has ended");
    }
}
