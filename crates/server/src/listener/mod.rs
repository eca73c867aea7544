//! Connections: accepted, wrapped in TLS when there are certificates, and handed to the transport one by one.
//!
//! It knows nothing of what is served: the same connections carry gRPC and pages. TLS is ours and not tonic's, because its
//! acceptor can't take new certificates, and waits for a handshake while the client likes.

mod connection;
mod tls;

pub(crate) use connection::{Connection, Peer};
pub use tls::{Tls, TlsFiles};

use std::sync::Arc;
use std::time::Duration;
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

/// A socket that listens, with or without TLS.
#[derive(Debug)]
pub struct Listener {
    tcp: TcpListener,
    tls: Option<Tls>,
}

impl Listener {
    /// Plain text.
    pub fn plain(tcp: TcpListener) -> Self {
        Self { tcp, tls: None }
    }

    /// TLS, with certificates that are read again when they change.
    pub fn tls(tcp: TcpListener, tls: Tls) -> Self {
        Self { tcp, tls: Some(tls) }
    }

    /// Accepts connections until nobody takes them any more; then the socket is closed, and handshakes under way are dropped.
    pub(crate) async fn accept(self, ready: mpsc::Sender<Connection>) {
        let Self { tcp, tls } = self;
        let (acceptor, following) = match tls {
            Some(tls) => {
                let (acceptor, follower) = tls.start();
                (Some(acceptor), Some(follower.follow()))
            }
            None => (None, None),
        };
        let accepting = accept_all(tcp, acceptor, ready);
        match following {
            Some(following) => tokio::select! {
                () = accepting => {}
                () = following => {}
            },
            None => accepting.await,
        }
    }

    /// A channel for connections on their way to the transport.
    pub(crate) fn channel() -> (mpsc::Sender<Connection>, mpsc::Receiver<Connection>) {
        mpsc::channel(READY)
    }
}

async fn accept_all(tcp: TcpListener, acceptor: Option<tls::Acceptor>, ready: mpsc::Sender<Connection>) {
    // Without Nagle's delay: with it, a small frame waits up to 40 ms for the other side's acknowledgement.
    let mut incoming = TcpIncoming::from(tcp).with_nodelay(Some(true)).with_keepalive(Some(TCP_KEEPALIVE));
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
            Some(Ok(stream)) => match &acceptor {
                Some(acceptor) => {
                    handshakes.spawn(shake_hands(stream, place, acceptor.clone(), ready.clone()));
                }
                None if ready.send(Connection::plain(stream, place)).await.is_err() => return,
                None => {}
            },
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
