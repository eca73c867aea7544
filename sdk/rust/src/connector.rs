//! Connections that are made otherwise than by TCP.

use std::fmt;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};

use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tonic::codegen::Service;
use tonic::transport::{Channel, Endpoint, Uri};

use crate::transport::CONNECT_TIMEOUT;

/// What carries bytes both ways.
trait Io: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Io for T {}

type Connecting = Pin<Box<dyn Future<Output = io::Result<TokioIo<Box<dyn Io>>>> + Send>>;

/// How connections to servers are made, instead of by TCP: over a Unix socket, through a proxy or a tunnel, in memory. It is asked with
/// the address that is to be reached; TLS goes on top when that begins with `https`.
///
/// ```
/// # fn main() -> callboard::Result<()> {
/// use callboard::{Client, Connector};
///
/// let socket = Connector::new(|_address| tokio::net::UnixStream::connect("/run/callboard.sock"));
/// let client = Client::builder().address("http://localhost").connector(socket).build()?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Connector(Arc<dyn Fn(Uri) -> Connecting + Send + Sync>);

impl Connector {
    /// One that connects by this function. A connection must be made within five seconds.
    pub fn new<F, Fut, S>(connect: F) -> Self
    where
        F: Fn(Uri) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = io::Result<S>> + Send + 'static,
        S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        Self(Arc::new(move |address| {
            let connecting = connect(address);
            Box::pin(async move { Ok(TokioIo::new(Box::new(connecting.await?) as Box<dyn Io>)) })
        }))
    }
}

impl fmt::Debug for Connector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Connector")
    }
}

/// A connector as tonic wants it.
struct Dial(Connector);

impl Service<Uri> for Dial {
    type Response = TokioIo<Box<dyn Io>>;
    type Error = io::Error;
    type Future = Connecting;

    fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, address: Uri) -> Connecting {
        (self.0.0)(address)
    }
}

/// A channel whose connection is made at its first call: by the connector, or by TCP without one.
pub(crate) fn channel(endpoint: &Endpoint, connector: Option<&Connector>) -> Channel {
    match connector {
        Some(connector) => endpoint.connect_with_connector_lazy(Dial(connector.clone())),
        None => endpoint.connect_lazy(),
    }
}

/// The same for whoever wants to know how often it connects.
pub(crate) fn counted_channel(endpoint: &Endpoint, connector: Option<&Connector>, connected: &Connected) -> Channel {
    let connected = connected.clone();
    match connector {
        Some(connector) => {
            endpoint.connect_with_connector_lazy(Counted { connector: Dial(connector.clone()), connected })
        }
        None => endpoint.connect_with_connector_lazy(Counted { connector: tcp(), connected }),
    }
}

/// As tonic makes it.
fn tcp() -> HttpConnector {
    let mut tcp = HttpConnector::new();
    tcp.enforce_http(false);
    tcp.set_nodelay(true);
    tcp.set_connect_timeout(Some(CONNECT_TIMEOUT));
    tcp
}

/// How often connections were made.
#[derive(Clone, Debug, Default)]
pub(crate) struct Connected(Arc<AtomicU64>);

impl Connected {
    pub(crate) fn times(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// A connector that counts.
struct Counted<C> {
    connector: C,
    connected: Connected,
}

impl<C> Service<Uri> for Counted<C>
where
    C: Service<Uri, Future: Send + 'static>,
{
    type Response = C::Response;
    type Error = C::Error;
    type Future = Pin<Box<dyn Future<Output = Result<C::Response, C::Error>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), C::Error>> {
        self.connector.poll_ready(cx)
    }

    fn call(&mut self, address: Uri) -> Self::Future {
        let (connecting, connected) = (self.connector.call(address), self.connected.clone());
        Box::pin(async move {
            let made = connecting.await?;
            connected.0.fetch_add(1, Ordering::Relaxed);
            Ok(made)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Agent, Client, Context, TaskError};
    use std::sync::Mutex;
    use std::time::Duration;

    /// Says whom it was asked for, and refuses.
    fn refusing() -> (Connector, Arc<Mutex<Vec<String>>>) {
        let asked: Arc<Mutex<Vec<String>>> = Arc::default();
        let seen = asked.clone();
        let connector = Connector::new(move |address: Uri| {
            seen.lock().unwrap().push(address.to_string());
            async { Err::<tokio::net::TcpStream, _>(io::ErrorKind::ConnectionRefused.into()) }
        });
        (connector, asked)
    }

    #[tokio::test]
    async fn clients_connect_by_it_to_each_address_in_turn() {
        let (connector, asked) = refusing();
        let client = Client::builder().address("http://one,http://two").connector(connector);
        let client = client.timeout(Duration::from_millis(500)).build().unwrap();
        client.get("a task").await.unwrap_err();
        assert_eq!(asked.lock().unwrap()[..2], ["http://one/", "http://two/"]);
    }

    #[tokio::test]
    async fn agents_connect_by_it_also_when_it_is_their_clients() {
        let (connector, asked) = refusing();
        let client = Client::builder().address("http://one").connector(connector).build().unwrap();
        let agent = Agent::builder("t").client(&client).name("a");
        let agent = agent.handle("work", |_: Context, (): ()| async move { Ok::<_, TaskError>(()) }).spawn().unwrap();
        while asked.lock().unwrap().is_empty() {
            tokio::task::yield_now().await;
        }
        agent.stop();
        agent.join().await.unwrap();
        assert_eq!(asked.lock().unwrap()[0], "http://one/");
    }
}
