//! What the transport refuses by itself, said as every other refusal: with a reason, and with what to do.
//!
//! tonic answers for itself when a request is no message, too large, or for a method that isn't there. Its statuses have no
//! details, and most are INTERNAL; here they become ours. So does the CANCELLED of a call whose time is over. A stream's frames are the stream's own matter: see `attach`.

use crate::budget::Budget;
use crate::listener::Peer;
use crate::{deadline, status};
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use tonic::body::Body;
use tonic::codegen::Service;
use tonic::codegen::http::{Request, Response};
use tonic::{Code, Status};
use tower::Layer;

/// The layer around all services. It also holds calls to their budget, so that each call passes one layer and not two.
#[derive(Clone, Debug)]
pub(crate) struct Refusals(pub Budget);

/// The services with it.
#[derive(Clone, Debug)]
pub(crate) struct Refusing<S> {
    inner: S,
    budget: Budget,
}

impl<S> Layer<S> for Refusals {
    type Service = Refusing<S>;

    fn layer(&self, inner: S) -> Refusing<S> {
        Refusing { inner, budget: self.0.clone() }
    }
}

impl<S> Service<Request<Body>> for Refusing<S>
where
    S: Service<Request<Body>, Response = Response<Body>>,
    S::Future: Send + 'static,
{
    type Response = Response<Body>;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, S::Error>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let path = request.uri().clone();
        let budget = self.budget.clone();
        let deadline = deadline::of(request.headers());
        let connection = request.extensions().get::<Peer>().map(|peer| peer.traffic.clone());
        let answer = self.inner.call(request.map(|body| budget.received(body, connection.as_ref())));
        Box::pin(async move {
            let Some(answer) = deadline::before(deadline, answer).await else {
                return Ok(status::deadline_exceeded().into_http());
            };
            let response = in_our_words(path.path(), answer?);
            Ok(budget.sent(response, connection))
        })
    }
}

/// Replaces a refusal that isn't ours. Such ones are answers of headers alone.
fn in_our_words(path: &str, response: Response<Body>) -> Response<Body> {
    let headers = response.headers();
    if !headers.contains_key(Status::GRPC_STATUS) || headers.contains_key(Status::GRPC_STATUS_DETAILS) {
        return response;
    }
    let Some(status) = Status::from_header_map(headers) else { return response };
    let status = match status.code() {
        Code::Unimplemented => status::unknown_method(path, status.message()),
        _ => status::of_transport(status, "request"),
    };
    status.into_http()
}
