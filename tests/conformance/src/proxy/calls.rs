//! Calls on their way through: the request is recorded, and refused or passed on as the rules say.

use super::body::{BoxError, Messages, whole};
use super::record::Way;
use super::rules::Action;
use super::{Connection, Shared};
use bytes::Bytes;
use callboard_proto::v1;
use callboard_tests::descriptors;
use http::{HeaderMap, Request, Response};
use http_body::Body;
use prost_reflect::{DynamicMessage, ReflectMessage};
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt};
use tower::ServiceExt;

/// A call's body in one piece.
struct Once(Option<Bytes>);

impl Body for Once {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: std::pin::Pin<&mut Self>,
        _: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Result<http_body::Frame<Bytes>, BoxError>>> {
        std::task::Poll::Ready(self.0.take().map(|bytes| Ok(http_body::Frame::data(bytes))))
    }
}

/// Carries a call. A server that is gone breaks the connection, as it would without a proxy.
pub async fn carry<B>(
    request: Request<B>,
    connection: Connection,
    shared: Arc<Shared>,
) -> Result<Response<tonic::body::Body>, BoxError>
where
    B: Body<Data = Bytes> + Unpin,
    B::Error: Into<BoxError>,
{
    let (parts, body) = request.into_parts();
    let body = whole(body).await?;
    let method = parts.uri.path().rsplit('/').next().unwrap_or_default().to_owned();
    let mut said = json!({ "method": method, "request_id": null, "timeout": timeout(&parts.headers) });
    for (name, value) in asked(&method, &body) {
        said[name] = value;
    }
    let item = ("call", said);
    shared.record.add(Way::Up, 0, item.clone());
    let action = shared.rules.actions(Way::Up, 0, &item).into_iter().next();
    if let Some(refused) = action.as_ref().and_then(refusal) {
        return Ok(refused.into_http());
    }
    if let Some(Action::Delay(milliseconds)) = action {
        tokio::time::sleep(Duration::from_millis(milliseconds)).await;
    }
    let request = Request::from_parts(parts, tonic::body::Body::new(Once(Some(body))));
    let answered = connection.upstream.clone().oneshot(request).await;
    let answer = answered.inspect_err(|_| connection.broken.cancel())?;
    if action == Some(Action::LoseAnswer) {
        whole(answer.into_body()).await?;
        return Ok(Status::unavailable("the answer was lost by the proxy").into_http());
    }
    Ok(answer)
}

/// Records that a stream is opened. What the rules say against it.
pub fn announce<B>(shared: &Shared, stream: u32, method: &str, request: &Request<B>) -> Option<Status> {
    let item = ("call", json!({ "method": method, "request_id": null, "timeout": timeout(request.headers()) }));
    shared.record.add(Way::Up, stream, item.clone());
    shared.rules.actions(Way::Up, stream, &item).iter().find_map(refusal)
}

fn timeout(headers: &HeaderMap) -> &str {
    headers.get("grpc-timeout").and_then(|value| value.to_str().ok()).unwrap_or_default()
}

/// What is answered to a call that does not reach the server.
fn refusal(action: &Action) -> Option<Status> {
    match action {
        Action::Refuse => Some(Status::unavailable("refused by the proxy")),
        Action::TryLater(milliseconds) => Some(try_later(*milliseconds)),
        Action::Unimplemented => Some(Status::unimplemented("the proxy says: there is no such method")),
        _ => None,
    }
}

/// A refusal that says when to try again.
pub fn try_later(milliseconds: u64) -> Status {
    let details = ErrorDetails::with_retry_info(Some(Duration::from_millis(milliseconds)));
    Status::with_error_details(Code::ResourceExhausted, "the proxy says: later", details)
}

/// What the request asks for, field by field: its texts and numbers, and the task of an attempt.
fn asked(method: &str, body: &[u8]) -> Vec<(String, Value)> {
    let Some(known) = descriptors::methods().into_iter().find(|known| known.name() == method) else {
        return Vec::new();
    };
    let mut messages = Messages::default();
    messages.push(body);
    let Ok(Some(message)) = messages.next() else { return Vec::new() };
    let Ok(request) = DynamicMessage::decode(known.input(), message) else { return Vec::new() };
    let kind = known.input();
    let fields = kind.fields();
    fields.filter_map(|field| Some((field.name().to_owned(), plain(&request.get_field(&field))?))).collect()
}

/// A field's value, if it is one that a scenario can name.
fn plain(value: &prost_reflect::Value) -> Option<Value> {
    use prost_reflect::Value as Field;
    match value {
        Field::String(text) => Some(text.as_str().into()),
        Field::I32(number) => Some((*number).into()),
        Field::I64(number) => Some((*number).into()),
        Field::Message(message) => {
            let is_attempt = message.descriptor().full_name() == "callboard.v1.Attempt";
            let attempt = is_attempt.then(|| message.transcode_to::<v1::Attempt>())?.ok()?;
            Some(json!({ "task_id": attempt.task_id, "attempt": attempt.attempt }))
        }
        _ => None,
    }
}
