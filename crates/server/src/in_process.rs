//! The services without a transport, for calls from this very process: what fuzzing needs, thousands of times a second.

use crate::drain::Drain;
use crate::identity::{Access, Guard, Guarded};
use crate::pages::Counts;
use crate::server::{Failure, Server, routes};
use crate::services::{Host, Room};
use http::{Request, Response};
use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use tokio_util::task::TaskTracker;
use tonic::body::Body;
use tonic::codegen::Service;
use tonic::service::Routes;
use tower::Layer;

/// Every service behind the guard; what the transport limits (sizes of headers, bytes under way, connections) is not here.
#[derive(Clone, Debug)]
pub struct InProcess(Guarded<Routes>);

impl Server {
    /// Serves calls of this process. Everybody may do everything.
    ///
    /// # Errors
    ///
    /// If the descriptors can't be read.
    pub async fn in_process(self) -> Result<InProcess, Failure> {
        let Self { engine, log, .. } = self;
        let counts = Counts::new();
        let host = Host {
            engine: engine.clone(),
            drain: Drain::default(),
            tasks: TaskTracker::new(),
            frames: counts.frames.clone(),
            refused: counts.refused.clone(),
            results: Room::default(),
            version: env!("CARGO_PKG_VERSION"),
        };
        let guard = Guard { access: Access::open(), engine, refused: counts.refused };
        Ok(InProcess(guard.layer(routes(host, log).await?)))
    }
}

impl Service<Request<Body>> for InProcess {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, Infallible>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Service::<Request<Body>>::poll_ready(&mut self.0, cx)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        Box::pin(self.0.call(request))
    }
}
