//! What watches have in common: when a stream that broke is opened again, and when that is given up.

use std::future::Future;
use std::time::Duration;

use tokio::time::{Instant, sleep, timeout};
use tonic::codegen::http::HeaderValue;
use tonic::{Code, Response, Status, Streaming};

use callboard_proto::v1;

use super::Client;
use crate::entropy;
use crate::error::{CallError, reason_name};
use crate::retry::Backoff;

/// The server sends something every 10 s: a stream that is silent for longer than this is dead.
const SILENCE: Duration = Duration::from_secs(40);

/// A stream of the server's that is opened again when it breaks.
#[derive(Debug)]
pub(super) struct Resumed<F> {
    client: Client,
    source: Option<Streaming<F>>,
    /// What the stream was opened with.
    authorization: Option<HeaderValue>,
    backoff: Backoff,
    /// When the first failure came since the server was last heard.
    failing_since: Option<Instant>,
}

impl<F> Resumed<F> {
    /// No stream yet.
    pub(super) fn new(client: Client) -> Self {
        Self { client, source: None, authorization: None, backoff: Backoff::default(), failing_since: None }
    }

    /// The next frame, from a new stream when there is none; `None` when the server has ended it.
    pub(super) async fn receive<O>(&mut self, open: impl FnOnce(Client) -> O) -> Result<Option<F>, CallError>
    where
        O: Future<Output = Result<Response<Streaming<F>>, Status>>,
    {
        if self.source.is_none() {
            self.authorization = self.client.identity().authorization();
            let opening = timeout(SILENCE, open(self.client.clone()));
            self.source = Some(opening.await.map_err(|_| silent())??.into_inner());
        }
        let Some(source) = self.source.as_mut() else { return Ok(None) };
        let frame = timeout(SILENCE, source.message()).await.map_err(|_| silent())??;
        if frame.is_some() {
            self.note_heard();
        }
        Ok(frame)
    }

    /// The server was heard: what fails from now on is a new failure.
    fn note_heard(&mut self) {
        self.failing_since = None;
        self.backoff.reset();
    }

    /// Lets go of the stream that broke, and waits until it is to be opened again.
    ///
    /// # Errors
    ///
    /// What broke it, when opening it again can't help, or has not for as long as the client's timeout.
    pub(super) async fn pause_before_resuming(&mut self, refused: CallError) -> Result<(), CallError> {
        self.source = None;
        if self.client.identity().is_renewed(&refused, self.authorization.as_ref()) {
            return Ok(());
        }
        let since = *self.failing_since.get_or_insert_with(Instant::now);
        let slow_reader = refused.reason == reason_name(v1::ErrorReason::SlowReader);
        if !(refused.is_retryable() || slow_reader) || since.elapsed() >= self.client.timeout() {
            return Err(refused);
        }
        tracing::debug!(error = %refused, "watching was interrupted, resuming where it was");
        self.client.leave(self.client.turn());
        sleep(self.backoff.next(refused.retry_after, entropy::fraction())).await;
        Ok(())
    }
}

/// The server ended a stream that was not to end.
pub(super) fn ended_early() -> CallError {
    unavailable("the server ended the stream")
}

/// It was not heard for too long.
pub(super) fn silent() -> CallError {
    unavailable("the server was silent for too long")
}

fn unavailable(message: &str) -> CallError {
    CallError::local(Code::Unavailable, v1::ErrorReason::Unspecified, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_can_be_resumed_is() {
        let mut stream = Resumed::<v1::WatchEventsResponse>::new(Client::connect("http://127.0.0.1:1").unwrap());
        assert!(stream.pause_before_resuming(ended_early()).await.is_ok());
        let slow = CallError::local(Code::ResourceExhausted, v1::ErrorReason::SlowReader, "slow");
        assert!(stream.pause_before_resuming(slow).await.is_ok());
        let gone = CallError::local(Code::NotFound, v1::ErrorReason::TaskNotFound, "no such task");
        assert_eq!(stream.pause_before_resuming(gone.clone()).await, Err(gone));
    }
}
