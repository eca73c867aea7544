//! What an answer means to somebody who asked under faults.

use super::history::{Recorder, Unanswered};
use callboard::{Client, Error, Unary};
use std::time::Duration;
use tokio_util::sync::CancellationToken;
use tonic::Code;

/// What became of a request.
#[derive(Debug)]
pub enum Answer<T> {
    /// It was done.
    Done(T),
    /// This try was refused, with this text. One before it of which nobody knows may still be carried out.
    Refused(String),
    /// Nobody knows.
    Unknown,
}

/// Sends a request once, as it is. What is neither an answer, nor expected to be refused, nor a broken connection is a surprise.
pub async fn once<R: Unary>(
    recorder: &Recorder,
    client: &Client,
    request: R,
    expected: &[Code],
) -> Answer<R::Response> {
    match client.call(request).await {
        Ok(response) => Answer::Done(response),
        Err(error) => classify(recorder, std::any::type_name::<R>(), true, error, expected),
    }
}

/// Sends a request that carries a request id until an answer comes, or nobody wants it any more.
pub async fn until_answered<R: Unary>(
    recorder: &Recorder,
    client: &Client,
    request: R,
    expected: &[Code],
    give_up: &CancellationToken,
) -> Answer<R::Response> {
    loop {
        let answer = tokio::select! {
            answer = once(recorder, client, request.clone(), expected) => answer,
            () = give_up.cancelled() => return Answer::Unknown,
        };
        match answer {
            Answer::Unknown => tokio::time::sleep(Duration::from_millis(50)).await,
            known => return known,
        }
    }
}

/// Whether faults explain that a stream ended so: its connection broke, or, where agents may be cut off for so long, its session is over
/// or its hello was under way for longer than servers wait for one.
pub fn explains_an_end(status: &tonic::Status, cut_off: bool) -> bool {
    let error = Error::from(status.clone());
    let late_hello =
        || error.reason() == "PROTOCOL_VIOLATION" && status.message().starts_with("hello: none came within");
    error.code() == Some(Code::Unavailable) || (cut_off && (error.reason() == "SESSION_EXPIRED" || late_hello()))
}

/// What an error means, of a call that was tried again or not.
pub fn classify<T>(recorder: &Recorder, what: &str, retried: bool, error: Error, expected: &[Code]) -> Answer<T> {
    match error.code() {
        Some(Code::Unavailable | Code::DeadlineExceeded) => {
            let (call, reason, error) = (what.to_owned(), error.reason().to_owned(), format!("{error:?}"));
            recorder.history().unanswered.push(Unanswered { call, retried, reason, error });
            Answer::Unknown
        }
        Some(code) if expected.contains(&code) => Answer::Refused(error.to_string()),
        _ => {
            recorder.surprise(format!("{what}: {error:?}"));
            Answer::Refused(error.to_string())
        }
    }
}
