//! Connections: accepted, wrapped in TLS when there are certificates, and handed to the transport one by one.
//!
//! It knows nothing of what is served: the same connections carry gRPC and pages. TLS is ours and not tonic's, because its
//! acceptor can't take new certificates, and waits for a handshake while the client likes.

mod connection;
mod tls;

pub(crate) use connection::{Connection, Io, Peer};
pub use tls::{Tls, TlsFiles};

use futures::Stream;
use futures::stream::BoxStream;
use std::io;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::task::JoinSet;
use tokio_stream::StreamExt;
use tonic::transport::server::TcpIncoming;

/// How long a client may take for its TLS handshake.
const HANDSHAKE: Duration = Duration::from_secs(10);
/// Handshakes at the same time; further connections wait in the kernel's queue.
const HANDSHAKES: usize = 1024;
/// Connections that wait for the transport.
const READY: usize = 64;
/// Connections at the same time. Further ones wait in the kernel's queue until one ends: 10,000 agents, and as many others.
const CONNECTIONS: usize = 20_000;
/// How long to wait after the system had no descriptor left for another connection.
const OUT_OF_FILES: Duration = Duration::from_millis(100);
/// When a silent peer is asked by TCP whether it is there.
const TCP_KEEPALIVE: Duration = Duration::from_secs(30);

/// Where connections come from: a socket that listens, with or without TLS, or anything else.
#[derive(Debug)]
pub struct Listener(Source);

enum Source {
    Tcp(TcpListener, Option<Tls>),
    Other(BoxStream<'static, io::Result<Box<dyn Io>>>),
}

/// A connection that nothing is known of yet.
enum Incoming {
    Tcp(TcpStream),
    Other(Box<dyn Io>),
}

impl Listener {
    /// Plain text.
    pub fn plain(tcp: TcpListener) -> Self {
        Self(Source::Tcp(tcp, None))
    }

    /// TLS, with certificates that are read again when they change.
    pub fn tls(tcp: TcpListener, tls: Tls) -> Self {
        Self(Source::Tcp(tcp, Some(tls)))
    }

    /// Connections that are made otherwise than by TCP: in memory, over a Unix socket, through a tunnel. They are served as they are,
    /// as plain text.
    pub fn connections<S>(incoming: impl Stream<Item = io::Result<S>> + Send + 'static) -> Self
    where
        S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        Self(Source::Other(Box::pin(incoming.map(|one| one.map(|stream| Box::new(stream) as Box<dyn Io>)))))
    }

    /// Accepts connections until nobody takes them any more; then the socket is closed, and handshakes under way are dropped.
    pub(crate) async fn accept(self, ready: mpsc::Sender<Connection>) {
        match self.0 {
            Source::Tcp(tcp, None) => accept_all(of_socket(tcp), None, ready).await,
            Source::Tcp(tcp, Some(tls)) => {
                let (acceptor, follower) = tls.start();
                tokio::select! {
                    () = accept_all(of_socket(tcp), Some(acceptor), ready) => {}
                    () = follower.follow() => {}
                }
            }
            Source::Other(incoming) => {
                accept_all(incoming.map(|one| one.map(Incoming::Other)), None, ready).await;
            }
        }
    }

    /// A channel for connections on their way to the transport.
    pub(crate) fn channel() -> (mpsc::Sender<Connection>, mpsc::Receiver<Connection>) {
        mpsc::channel(READY)
    }
}

impl std::fmt::Debug for Source {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Tcp(tcp, tls) => f.debug_tuple("Tcp").field(tcp).field(tls).finish(),
            Self::Other(_) => f.write_str("Other"),
        }
    }
}

fn of_socket(tcp: TcpListener) -> impl Stream<Item = io::Result<Incoming>> {
    // Without Nagle's delay: with it, a small frame waits up to 40 ms for the other side's acknowledgement.
    let incoming = TcpIncoming::from(tcp).with_nodelay(Some(true)).with_keepalive(Some(TCP_KEEPALIVE));
    incoming.map(|one| one.map(Incoming::Tcp))
}

async fn accept_all(
    incoming: impl Stream<Item = io::Result<Incoming>>,
    acceptor: Option<tls::Acceptor>,
    ready: mpsc::Sender<Connection>,
) {
    let mut incoming = std::pin::pin!(incoming);
    let mut handshakes = JoinSet::new();
    let places = Arc::new(Semaphore::new(CONNECTIONS));
    loop {
        let place = tokio::select! {
            () = ready.closed() => return,
            place = places.clone().acquire_owned() => place,
        };
        // Never closed.
        let Ok(place) = place else { return };
        let accepted = tokio::select! {
            () = ready.closed() => return,
            Some(_) = handshakes.join_next() => continue,
            accepted = incoming.next(), if handshakes.len() < HANDSHAKES => accepted,
        };
        match accepted {
            Some(Ok(stream)) => {
                let connection = match (stream, &acceptor) {
                    (Incoming::Tcp(stream), Some(acceptor)) => {
                        handshakes.spawn(shake_hands(stream, place, acceptor.clone(), ready.clone()));
                        continue;
                    }
                    (Incoming::Tcp(stream), None) => Connection::plain(stream, place),
                    (Incoming::Other(stream), _) => Connection::other(stream, place),
                };
                if ready.send(connection).await.is_err() {
                    return;
                }
            }
            Some(Err(error)) => {
                tracing::warn!(%error, "a connection could not be accepted");
                // Most often the process has no descriptor left: at once would be a busy loop.
                tokio::time::sleep(OUT_OF_FILES).await;
            }
            None => return,
        }
    }
}

async fn shake_hands(
    stream: TcpStream,
    place: OwnedSemaphorePermit,
    acceptor: tls::Acceptor,
    ready: mpsc::Sender<Connection>,
) {
    let address = stream.peer_addr().ok();
    match tokio::time::timeout(HANDSHAKE, acceptor.accept(stream, place)).await {
        // The transport may have gone meanwhile.
        Ok(Ok(connection)) => drop(ready.send(connection).await),
        Ok(Err(error)) => tracing::info!(?address, %error, "a TLS handshake failed"),
        Err(_) => tracing::info!(?address, seconds = HANDSHAKE.as_secs(), "a TLS handshake took too long"),
    }
}

#[cfg(test)]
mod tests;
