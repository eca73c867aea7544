//! The address where an agent answers probes: whether it lives, and whether it takes tasks.

use std::convert::Infallible;
use std::future::{Future, ready};
use std::net::{SocketAddr, TcpListener as Listener};
use std::time::Duration;

use futures::StreamExt;
use futures::stream::FuturesUnordered;
use hyper::header::{ALLOW, CONTENT_TYPE};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::time::{sleep, timeout};

use super::handle::Status;
use super::session::Readiness;
use crate::{Error, Result};

const LIVENESS: &str = "/healthz";
const READINESS: &str = "/readyz";

/// Probes are few, and what is no probe must not cost the agent anything: more connections than these wait.
const CONNECTIONS: usize = 64;
const MAX_HEAD_BYTES: usize = 8 << 10;

/// From accepting a connection to having closed it.
const LONGEST: Duration = Duration::from_secs(5);

/// How long nothing is accepted after accepting failed: for want of descriptors, most likely.
const AFTER_A_FAILURE: Duration = Duration::from_millis(100);

/// Where probes are answered. What comes before [`Health::answer_during`] waits.
pub(super) struct Health {
    listener: Listener,
    address: SocketAddr,
}

impl Health {
    /// Listens at `host:port`; port 0 is any free one.
    pub(super) fn listen(wanted: &str) -> Result<Self> {
        let listen = || {
            let listener = Listener::bind(wanted)?;
            listener.set_nonblocking(true)?;
            let address = listener.local_addr()?;
            Ok(Self { listener, address })
        };
        listen().map_err(|error| unusable(wanted, &error))
    }

    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Answers until the agent has ended, and gives what it gave. It is one task with the agent: an answer proves that the agent's loop
    /// goes on.
    pub(super) async fn answer_during<T>(
        self,
        status: watch::Receiver<Status>,
        agent: impl Future<Output = Result<T>>,
    ) -> Result<T> {
        let listener =
            TcpListener::from_std(self.listener).map_err(|error| unusable(&self.address.to_string(), &error))?;
        tracing::info!(address = %self.address, "answering probes");
        tokio::select! {
            given = agent => given,
            never = answer(&listener, &status) => match never {},
        }
    }
}

fn unusable(address: &str, error: &std::io::Error) -> Error {
    Error::invalid("health", format!("health address `{address}` can't be listened at: {error}: give a host:port"))
}

async fn answer(listener: &TcpListener, status: &watch::Receiver<Status>) -> Infallible {
    let mut connections = FuturesUnordered::new();
    loop {
        tokio::select! {
            accepted = listener.accept(), if connections.len() < CONNECTIONS => match accepted {
                Ok((stream, _)) => connections.push(answer_once(stream, status)),
                Err(error) => {
                    tracing::warn!(%error, "probes can't be accepted");
                    sleep(AFTER_A_FAILURE).await;
                }
            },
            Some(()) = connections.next() => {}
        }
    }
}

/// Answers one request, and closes.
async fn answer_once(stream: TcpStream, status: &watch::Receiver<Status>) {
    let service = service_fn(|request| {
        let readiness = status.borrow().readiness;
        ready(Ok::<_, Infallible>(answer_to(&request, readiness)))
    });
    let connection = http1::Builder::new()
        .keep_alive(false)
        .max_buf_size(MAX_HEAD_BYTES)
        .serve_connection(TokioIo::new(stream), service);
    // Whoever sent what is no request, or nothing in time, is told so or cut off.
    let _ = timeout(LONGEST, connection).await;
}

fn answer_to<B>(request: &Request<B>, readiness: Readiness) -> Response<String> {
    let known = [LIVENESS, READINESS].contains(&request.uri().path());
    let (status, text) = match request.uri().path() {
        _ if known && request.method() != Method::GET => (StatusCode::METHOD_NOT_ALLOWED, "use GET"),
        LIVENESS => (StatusCode::OK, "ok"),
        READINESS if readiness == Readiness::Attached => (StatusCode::OK, readiness.word()),
        READINESS => (StatusCode::SERVICE_UNAVAILABLE, readiness.word()),
        _ => (StatusCode::NOT_FOUND, "not found"),
    };
    let mut response = Response::new(text.to_owned());
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, const { hyper::header::HeaderValue::from_static("text/plain; charset=utf-8") });
    if status == StatusCode::METHOD_NOT_ALLOWED {
        headers.insert(ALLOW, const { hyper::header::HeaderValue::from_static("GET") });
    }
    response
}

#[cfg(test)]
mod tests;
