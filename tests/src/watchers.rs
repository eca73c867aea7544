//! Watchers that never read. They speak HTTP/2 themselves: what stands in their windows is theirs to see.

use callboard_proto::v1::{WatchEventsRequest, WatchOutputRequest};
use h2::RecvStream;
use h2::client::Builder;
use prost::Message;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tonic::codegen::http::Request;

/// How many watch over one connection.
const PER_CONNECTION: usize = 50;
/// What the server may send to one of them: a few events.
const WINDOW: u32 = 1_024;
/// More than all of a connection can fill: it is the watchers that stall, not their connection.
const CONNECTION_WINDOW: u32 = 1 << 20;
/// Between two looks at the windows, and before a connection that was cut is made again.
const LOOK: Duration = Duration::from_millis(100);
/// How long the windows may take to fill: a thousand readers of the same events, on a machine that does much else.
const FILLING: Duration = Duration::from_secs(180);
const EVENTS: &str = "/callboard.v1.TaskService/WatchEvents";
const OUTPUT: &str = "/callboard.v1.TaskService/WatchOutput";

/// What they watch.
#[derive(Clone, Debug)]
struct Call {
    method: &'static str,
    /// The request, as gRPC frames it.
    request: bytes::Bytes,
}

impl Call {
    fn new(method: &'static str, request: &impl Message) -> Self {
        let message = request.encode_to_vec();
        let length = u32::try_from(message.len()).expect("a short message").to_be_bytes();
        Self { method, request: [&[0], length.as_slice(), &message].concat().into() }
    }
}

/// The watchers.
#[derive(Debug)]
pub struct Watchers {
    /// Of each connection, how many have a window that is full.
    stalled: Vec<watch::Receiver<usize>>,
    count: usize,
    cut: Arc<AtomicU64>,
    // Kept: they end with us.
    _connections: JoinSet<()>,
}

impl Watchers {
    /// Starts so many of the whole namespace's events, spread over the servers.
    pub fn start(addresses: &[String], count: usize) -> Self {
        Self::calling(addresses, count, &Call::new(EVENTS, &WatchEventsRequest::default()))
    }

    /// The same of a task's output.
    pub fn of_output(addresses: &[String], count: usize, task_id: &str) -> Self {
        let request = WatchOutputRequest { task_id: task_id.into(), ..Default::default() };
        Self::calling(addresses, count, &Call::new(OUTPUT, &request))
    }

    fn calling(addresses: &[String], count: usize, call: &Call) -> Self {
        let mut connections = JoinSet::new();
        let mut stalled = Vec::new();
        let cut = Arc::new(AtomicU64::new(0));
        for (number, address) in (0..count / PER_CONNECTION).zip(addresses.iter().cycle()) {
            let (tell, told) = watch::channel(0);
            stalled.push(told);
            let (address, cut, call) = (address.clone(), cut.clone(), call.clone());
            connections.spawn(async move {
                loop {
                    // However it ended, it is made again.
                    let ended = connection(&address, &call, number, &tell).await;
                    tell.send_replace(0);
                    cut.fetch_add(u64::from(ended.is_ok()), Ordering::Relaxed);
                    sleep(LOOK).await;
                }
            });
        }
        let count = stalled.len() * PER_CONNECTION;
        Self { stalled, count, cut, _connections: connections }
    }

    /// Waits until every window is full; whether all are in time.
    pub async fn all_stalled(&self) -> bool {
        let full = async {
            while self.stalled.iter().map(|told| *told.borrow()).sum::<usize>() < self.count {
                sleep(LOOK).await;
            }
        };
        timeout(FILLING, full).await.is_ok()
    }

    /// How many connections the server has cut.
    pub fn cut(&self) -> u64 {
        self.cut.load(Ordering::Relaxed)
    }
}

/// One connection with its watchers, until it is cut. An error: it could not be made.
async fn connection(address: &str, call: &Call, number: usize, stalled: &watch::Sender<usize>) -> Result<(), String> {
    let text = |error: &dyn std::fmt::Display| format!("connection {number}: {error}");
    let stream = TcpStream::connect(address.trim_start_matches("http://")).await.map_err(|error| text(&error))?;
    let mut builder = Builder::new();
    builder.initial_window_size(WINDOW).initial_connection_window_size(CONNECTION_WINDOW);
    let (client, connection) = builder.handshake::<_, bytes::Bytes>(stream).await.map_err(|error| text(&error))?;
    let mut driving = JoinSet::new();
    driving.spawn(async move { drop(connection.await) });
    let mut client = client.ready().await.map_err(|error| text(&error))?;
    let mut answers = Vec::new();
    for _ in 0..PER_CONNECTION {
        let request = Request::post(format!("{address}{}", call.method));
        let request = request.header("content-type", "application/grpc").header("te", "trailers").body(());
        let (answer, mut body) =
            client.send_request(request.map_err(|error| text(&error))?, false).map_err(|error| text(&error))?;
        body.send_data(call.request.clone(), true).map_err(|error| text(&error))?;
        answers.push(answer);
    }
    let mut unread: Vec<RecvStream> = Vec::new();
    for answer in answers {
        unread.push(answer.await.map_err(|error| text(&error))?.into_body());
    }
    loop {
        // A busy server may refuse one, which then would never be full. (One that it ended behind what is unread is.)
        if unread.iter().any(RecvStream::is_end_stream) {
            return Err(format!("connection {number}: a watcher was refused"));
        }
        let full = unread.iter_mut().filter_map(is_full).count();
        stalled.send_replace(full);
        tokio::select! {
            _ = driving.join_next() => return Ok(()),
            () = sleep(LOOK) => {}
        }
    }
}

fn is_full(stream: &mut RecvStream) -> Option<()> {
    (stream.flow_control().used_capacity() >= WINDOW as usize).then_some(())
}
