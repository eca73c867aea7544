//! One connection, and what is known of who is at its other end.

use crate::budget::Traffic;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::{Sleep, sleep};
use tokio_rustls::server::TlsStream;
use tonic::transport::server::Connected;

/// How many bytes must have come of a new connection, and within what time. The shortest request of HTTP/1 has that many; HTTP/2
/// begins with 24.
const GREETING: usize = 16;
const GREETING_WITHIN: Duration = Duration::from_secs(10);

/// A connection, plain or encrypted.
pub(crate) struct Connection {
    stream: Stream,
    peer: Peer,
    /// Until the client has begun.
    greeting: Option<Greeting>,
    _place: OwnedSemaphorePermit,
}

/// What must come of a new connection.
#[derive(Debug)]
struct Greeting {
    missing: usize,
    late: Pin<Box<Sleep>>,
}

enum Stream {
    Plain(TcpStream),
    // Far larger than a socket, and an idle agent may have either.
    Tls(Box<TlsStream<TcpStream>>),
    Other(Box<dyn Io>),
}

/// What carries bytes both ways.
pub(crate) trait Io: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Io for T {}

/// Who is at the other end of a connection. It is among the extensions of each of the connection's requests.
#[derive(Clone, Debug, Default)]
pub(crate) struct Peer {
    /// The names in its verified certificate, most specific first; none without a certificate.
    pub names: Option<Arc<[String]>>,
    /// What calls on the connection hold.
    pub traffic: Traffic,
}

impl Connection {
    /// Without TLS.
    pub fn plain(stream: TcpStream, place: OwnedSemaphorePermit) -> Self {
        Self::new(Stream::Plain(stream), Peer::default(), place)
    }

    /// With TLS, after the handshake.
    pub fn tls(stream: TlsStream<TcpStream>, names: Option<Arc<[String]>>, place: OwnedSemaphorePermit) -> Self {
        let peer = Peer { names, traffic: Traffic::default() };
        Self::new(Stream::Tls(Box::new(stream)), peer, place)
    }

    /// That is not TCP's.
    pub fn other(stream: Box<dyn Io>, place: OwnedSemaphorePermit) -> Self {
        Self::new(Stream::Other(stream), Peer::default(), place)
    }

    /// Its calls may hold so many bytes, in each direction.
    pub fn limited(mut self, traffic: usize) -> Self {
        self.peer.traffic = Traffic::limited(traffic);
        self
    }

    fn new(stream: Stream, peer: Peer, place: OwnedSemaphorePermit) -> Self {
        let greeting = Greeting { missing: GREETING, late: Box::pin(sleep(GREETING_WITHIN)) };
        Self { stream, peer, greeting: Some(greeting), _place: place }
    }

    /// Counts what came; a client that says nothing for too long is cut off, and so is one that leaves its answers lying.
    fn judge(&mut self, came: Poll<usize>, cx: &mut Context<'_>) -> io::Result<()> {
        let fault = |why| Err(io::Error::new(io::ErrorKind::TimedOut, why));
        if self.peer.traffic.is_stuck() {
            return fault("its answers are not read");
        }
        let Some(greeting) = &mut self.greeting else { return Ok(()) };
        if let Poll::Ready(came) = came {
            greeting.missing = greeting.missing.saturating_sub(came);
        }
        if greeting.missing == 0 {
            self.greeting = None;
        } else if greeting.late.as_mut().poll(cx).is_ready() {
            return fault("it says nothing");
        }
        Ok(())
    }
}

impl Connected for Connection {
    type ConnectInfo = Peer;

    fn connect_info(&self) -> Peer {
        self.peer.clone()
    }
}

impl AsyncRead for Connection {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let connection = self.get_mut();
        let before = buf.filled().len();
        let read = match &mut connection.stream {
            Stream::Plain(stream) => Pin::new(stream).poll_read(cx, buf),
            Stream::Tls(stream) => Pin::new(stream).poll_read(cx, buf),
            Stream::Other(stream) => Pin::new(stream).poll_read(cx, buf),
        };
        let came = read.is_ready().then(|| buf.filled().len() - before);
        connection.judge(came.map_or(Poll::Pending, Poll::Ready), cx)?;
        read
    }
}

impl AsyncWrite for Connection {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        match &mut self.get_mut().stream {
            Stream::Plain(stream) => Pin::new(stream).poll_write(cx, buf),
            Stream::Tls(stream) => Pin::new(stream).poll_write(cx, buf),
            Stream::Other(stream) => Pin::new(stream).poll_write(cx, buf),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match &mut self.get_mut().stream {
            Stream::Plain(stream) => Pin::new(stream).poll_write_vectored(cx, bufs),
            Stream::Tls(stream) => Pin::new(stream).poll_write_vectored(cx, bufs),
            Stream::Other(stream) => Pin::new(stream).poll_write_vectored(cx, bufs),
        }
    }

    fn is_write_vectored(&self) -> bool {
        match &self.stream {
            Stream::Plain(stream) => stream.is_write_vectored(),
            Stream::Tls(stream) => stream.is_write_vectored(),
            Stream::Other(stream) => stream.is_write_vectored(),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.get_mut().stream {
            Stream::Plain(stream) => Pin::new(stream).poll_flush(cx),
            Stream::Tls(stream) => Pin::new(stream).poll_flush(cx),
            Stream::Other(stream) => Pin::new(stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.get_mut().stream {
            Stream::Plain(stream) => Pin::new(stream).poll_shutdown(cx),
            Stream::Tls(stream) => Pin::new(stream).poll_shutdown(cx),
            Stream::Other(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }
}
