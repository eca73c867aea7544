//! Calls on their way through: the request is recorded, and refused or passed on as the rules say.

use super::body::{BoxError, Messages, whole};
use super::record::Way;
use super::rules::Action;
use super::{Connection, Shared};
use bytes::Bytes;
use callboard_tests::descriptors;
use http::{Request, Response};
use http_body::Body;
use prost_reflect::DynamicMessage;
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
    let timeout = parts.headers.get("grpc-timeout").and_then(|value| value.to_str().ok()).unwrap_or_default();
    let said = json!({ "method": method, "request_id": request_id(&method, &body), "timeout": timeout });
    let item = ("call", said);
    shared.record.add(Way::Up, 0, item.clone());
    let action = shared.rules.actions(Way::Up, 0, &item).into_iter().next();
    match action {
        Some(Action::Refuse) => return Ok(Status::unavailable("refused by the proxy").into_http()),
        Some(Action::TryLater(milliseconds)) => return Ok(try_later(milliseconds).into_http()),
        Some(Action::Delay(milliseconds)) => tokio::time::sleep(Duration::from_millis(milliseconds)).await,
        _ => {}
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

fn try_later(milliseconds: u64) -> Status {
    let details = ErrorDetails::with_retry_info(Some(Duration::from_millis(milliseconds)));
    Status::with_error_details(Code::ResourceExhausted, "the proxy says: later", details)
}

/// The id of the request, if its method has one.
fn request_id(method: &str, body: &[u8]) -> Value {
    let Some(known) = descriptors::methods().into_iter().find(|known| known.name() == method) else {
        return Value::Null;
    };
    let mut messages = Messages::default();
    messages.push(body);
    let Ok(Some(message)) = messages.next() else { return Value::Null };
    let Ok(request) = DynamicMessage::decode(known.input(), message) else { return Value::Null };
    let field = request.get_field_by_name("request_id");
    field.and_then(|id| id.as_str().map(Value::from)).unwrap_or_default()
}
