//! A proxy between an SDK and a server, which speaks HTTP/2 with both. It passes calls and streams on as they are, keeps a record of what
//! was said, and does what a scenario asks for: cuts connections, withholds, repeats, delays and forges frames.
//!
//! A scenario has its own, so that its record is of nobody else.

mod body;
mod calls;
pub mod record;
pub mod rules;
mod runs;
mod streams;

use body::BoxError;
use bytes::Bytes;
use http::{Request, Response};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use record::Record;
use rules::Rules;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
pub use streams::Method;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tonic::transport::{Channel, Endpoint};

/// What the proxies of a scenario share.
#[derive(Debug, Default)]
pub struct Shared {
    /// What passed.
    pub record: Record,
    /// What is done to it.
    pub rules: Rules,
    /// What carries the streams.
    tasks: TaskTracker,
    attachments: Streams,
    runs: Streams,
}

impl Shared {
    fn streams(&self, method: Method) -> &Streams {
        match method {
            Method::Attach => &self.attachments,
            Method::RunTasks => &self.runs,
        }
    }

    /// Says a frame to everyone who has a stream of this method open, as if the server had said it. To how many.
    pub async fn inject(&self, method: Method, frame: Bytes) -> usize {
        let injectors = self.streams(method).open.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let mut reached = 0;
        for injector in injectors {
            reached += usize::from(injector.send(frame.clone()).await.is_ok());
        }
        reached
    }
}

/// The streams of one method.
#[derive(Debug, Default)]
struct Streams {
    /// How many there were.
    count: AtomicU32,
    /// Where frames can be put into those that are open.
    open: Mutex<Vec<mpsc::Sender<Bytes>>>,
}

impl Streams {
    /// The number of one that is being opened, from 1.
    fn next(&self) -> u32 {
        self.count.fetch_add(1, Ordering::Relaxed) + 1
    }

    fn note(&self, inject: mpsc::Sender<Bytes>) {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        open.retain(|injector| !injector.is_closed());
        open.push(inject);
    }
}

/// A proxy. It ends, and breaks its connections, when it is dropped.
#[derive(Debug)]
pub struct Proxy {
    address: SocketAddr,
    state: Arc<State>,
    _listening: JoinSet<()>,
}

#[derive(Debug)]
struct State {
    server: SocketAddr,
    shared: Arc<Shared>,
    refuses: AtomicBool,
    /// Cancelled, and replaced, to cut every connection.
    cut: Mutex<CancellationToken>,
}

/// A connection of an SDK, and what leads on from it.
#[derive(Clone, Debug)]
struct Connection {
    upstream: Channel,
    broken: CancellationToken,
}

impl Proxy {
    /// Starts one in front of a server, on a port of its own.
    ///
    /// # Errors
    ///
    /// When no port is free.
    pub async fn start(server: SocketAddr, shared: Arc<Shared>) -> std::io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let state = State { server, shared, refuses: AtomicBool::new(false), cut: Mutex::default() };
        let state = Arc::new(state);
        let mut listening = JoinSet::new();
        listening.spawn(listen(listener, state.clone()));
        Ok(Self { address, state, _listening: listening })
    }

    /// Where it is: `http://127.0.0.1:PORT`.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Breaks every connection.
    pub fn cut(&self) {
        let mut cut = self.state.cut.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::take(&mut *cut).cancel();
    }

    /// Whether new connections are broken at once.
    pub fn refuse(&self, refuses: bool) {
        self.state.refuses.store(refuses, Ordering::SeqCst);
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.cut();
    }
}

async fn listen(listener: TcpListener, state: Arc<State>) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                if let Ok((client, _)) = accepted {
                    connections.spawn(connect(client, state.clone()));
                }
            }
            Some(_) = connections.join_next(), if !connections.is_empty() => {}
        }
    }
}

async fn connect(client: TcpStream, state: Arc<State>) {
    let cut = state.cut.lock().unwrap_or_else(PoisonError::into_inner).clone();
    // A server that is not there is not there through a proxy either.
    if state.refuses.load(Ordering::SeqCst) || TcpStream::connect(state.server).await.is_err() {
        return;
    }
    let Ok(endpoint) = Endpoint::from_shared(format!("http://{}", state.server)) else { return };
    let _ = client.set_nodelay(true);
    let connection = Connection { upstream: endpoint.tcp_nodelay(true).connect_lazy(), broken: cut.child_token() };
    let broken = connection.broken.clone();
    let service = service_fn(move |request| pass(request, connection.clone(), state.shared.clone()));
    let mut server = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
    server.max_concurrent_streams(1000).initial_stream_window_size(4 << 20).initial_connection_window_size(8 << 20);
    let serving = server.serve_connection(TokioIo::new(client), service);
    tokio::select! {
        _ = serving => broken.cancel(),
        () = broken.cancelled() => {}
    }
}

async fn pass(
    request: Request<Incoming>,
    connection: Connection,
    shared: Arc<Shared>,
) -> Result<Response<tonic::body::Body>, BoxError> {
    match Method::of(&request) {
        Some(method) => streams::carry(method, request, connection, shared).await,
        None => calls::carry(request, connection, shared).await,
    }
}
