//! Sends pages to their router and everything else to gRPC, without another router on a call's way. It stands before gRPC-Web,
//! which refuses whatever comes by HTTP/1 and is not its own.

use super::PATHS;
use axum::Router;
use axum::body::Body;
use axum::http::{Request, Response};
use axum::routing::future::RouteFuture;
use futures::future::{Either, MapOk, TryFutureExt};
use std::convert::Infallible;
use std::task::{Context, Poll};
use tower::{Layer, Service};

/// Puts pages before a service.
#[derive(Clone, Debug)]
pub(crate) struct PagesLayer(pub Router);

impl<S> Layer<S> for PagesLayer {
    type Service = WithPages<S>;

    fn layer(&self, inner: S) -> WithPages<S> {
        WithPages { pages: self.0.clone(), inner }
    }
}

/// A service with pages before it.
#[derive(Clone, Debug)]
pub(crate) struct WithPages<S> {
    pages: Router,
    inner: S,
}

type Converted = fn(Response<Body>) -> Response<tonic::body::Body>;
type PageFuture = MapOk<RouteFuture<Infallible>, Converted>;

impl<S> Service<Request<tonic::body::Body>> for WithPages<S>
where
    S: Service<Request<tonic::body::Body>, Response = Response<tonic::body::Body>>,
    S::Error: From<Infallible>,
{
    type Response = Response<tonic::body::Body>;
    type Error = S::Error;
    type Future = Either<futures::future::ErrInto<PageFuture, S::Error>, S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        // The pages are always ready.
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<tonic::body::Body>) -> Self::Future {
        if !PATHS.contains(&request.uri().path()) {
            return Either::Right(self.inner.call(request));
        }
        let convert: Converted = |response| response.map(tonic::body::Body::new);
        Either::Left(self.pages.call(request.map(Body::new)).map_ok(convert).err_into())
    }
}
