//! One unary call: its deadline, its request id, its retries.

use std::time::Duration;

use tokio::time::{Instant, sleep_until, timeout_at};
use tonic::{Code, Request, Status};

use super::Client;
use super::unary::{Defaults, Unary};
use crate::error::CallError;
use crate::retry::Backoff;
use crate::{Result, entropy};

impl Client {
    /// Makes any unary call of the protocol with what every call of this client has: the client's namespace where the
    /// request names none, a request id where it has none, retries, and a deadline that the server is told.
    ///
    /// # Errors
    ///
    /// What the server answers; [`crate::Error::Unavailable`] when it could not be reached in time.
    pub async fn call<R: Unary>(&self, request: R) -> Result<R::Response> {
        let timeout = self.timeout().saturating_add(request.waits());
        self.call_repeatedly(timeout, |_| request.clone()).await
    }

    /// The same for requests that depend on the time that is left. (Commands must not: a changed request under the same
    /// request id is refused.)
    pub(super) async fn call_repeatedly<R: Unary>(
        &self,
        timeout: Duration,
        make: impl Fn(Duration) -> R,
    ) -> Result<R::Response> {
        let defaults = Defaults { namespace: self.namespace().to_owned(), request_id: entropy::unique_id() };
        let deadline = Instant::now() + timeout;
        let mut backoff = Backoff::default();
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let mut message = make(left);
            message.fill(&defaults);
            message.check()?;
            let turn = self.turn();
            let sent = self.identity().authorization();
            let refused = match self.send_once(turn, message, deadline).await {
                Ok(response) => return Ok(response),
                Err(refused) => refused,
            };
            if self.identity().is_renewed(&refused, sent.as_ref()) {
                continue;
            }
            let retry_at = Instant::now() + backoff.next(refused.retry_after, entropy::fraction());
            if !refused.is_retryable() || retry_at >= deadline {
                if refused.code == Code::DeadlineExceeded {
                    // Who is silent does not get the next call first.
                    self.leave(turn);
                }
                return Err(refused.into());
            }
            tracing::debug!(code = ?refused.code, error = %refused, "call failed, trying again");
            self.leave(turn);
            sleep_until(retry_at).await;
        }
    }

    async fn send_once<R: Unary>(&self, turn: usize, message: R, deadline: Instant) -> Result<R::Response, CallError> {
        let mut request = Request::new(message);
        request.set_timeout(deadline.saturating_duration_since(Instant::now()));
        match timeout_at(deadline, R::send(self.channel_in_turn(turn), request)).await {
            Ok(Ok(response)) => Ok(response.into_inner()),
            Ok(Err(status)) => Err(refusal(status, Instant::now() >= deadline)),
            Err(_elapsed) => Err(out_of_time()),
        }
    }
}

/// tonic ends a call at its `grpc-timeout` with CANCELLED. What is known for sure stays known, however late: that nobody was there, say.
fn refusal(status: Status, is_late: bool) -> CallError {
    if is_late && status.code() == Code::Cancelled { out_of_time() } else { status.into() }
}

pub(super) fn out_of_time() -> CallError {
    CallError {
        code: Code::DeadlineExceeded,
        reason: String::new(),
        message: "the call's time was over before the server answered: its outcome is unknown".to_owned(),
        violations: Vec::new(),
        retry_after: None,
    }
}

#[cfg(test)]
mod tests {
    use callboard_proto::v1;

    use super::*;
    use crate::Error;

    /// Nothing listens at port 1.
    fn nobody() -> Client {
        let address = "http://127.0.0.1:1,http://127.0.0.1:1";
        Client::builder().address(address).timeout(Duration::from_millis(400)).build().unwrap()
    }

    #[tokio::test]
    async fn an_unreachable_server_is_tried_until_the_time_is_over() {
        let client = nobody();
        let began = Instant::now();
        let error = client.call(v1::GetTaskRequest::default()).await.unwrap_err();
        assert!(matches!(error, Error::Unavailable(_)), "{error:?}");
        assert!(client.turn() >= 2, "it went round the addresses");
        assert!(began.elapsed() < Duration::from_secs(2));
    }

    #[test]
    fn that_nobody_was_there_is_known_also_when_the_time_is_over() {
        let code = |code, is_late| refusal(Status::new(code, ""), is_late).code;
        assert_eq!(code(Code::Unavailable, true), Code::Unavailable);
        assert_eq!(code(Code::Cancelled, true), Code::DeadlineExceeded);
        assert_eq!(code(Code::Cancelled, false), Code::Cancelled);
    }

    #[tokio::test]
    async fn a_silent_server_exceeds_the_deadline() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let client = Client::builder().address(address).timeout(Duration::from_millis(200)).build().unwrap();
        let error = client.call(v1::GetTaskRequest::default()).await.unwrap_err();
        assert!(matches!(error, Error::DeadlineExceeded(_)), "{error:?}");
    }

    #[tokio::test]
    async fn a_call_that_nobody_answered_in_time_leaves_the_address() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addresses = format!("http://{},http://127.0.0.1:1", listener.local_addr().unwrap());
        let client = Client::builder().address(addresses).timeout(Duration::from_millis(200)).build().unwrap();
        let error = client.call(v1::GetTaskRequest::default()).await.unwrap_err();
        assert!(matches!(error, Error::DeadlineExceeded(_)), "{error:?}");
        assert_eq!(client.turn(), 1, "the next call begins at the silent server again");
    }

    #[tokio::test]
    async fn what_is_too_large_is_not_sent() {
        let content = v1::payload::Content::Text("x".repeat((1 << 20) + 1));
        let result = Some(v1::Payload { content: Some(content), ..Default::default() });
        let error = nobody().call(v1::CompleteTaskRequest { result, ..Default::default() }).await.unwrap_err();
        assert_eq!(error.reason(), "PAYLOAD_TOO_LARGE");
    }
}
