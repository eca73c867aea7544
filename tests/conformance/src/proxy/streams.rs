//! A stream on its way through, an agent's or one of runs: each frame is decoded, recorded, and passed on as the rules say.

use super::body::{BoxError, Messages, PiecesIn, framed, next_piece, pieces};
use super::record::Way;
use super::rules::Passed;
use super::{Connection, Shared, calls, runs};
use bytes::Bytes;
use http::{HeaderMap, Request, Response};
use http_body::{Body, Frame};
use prost::Message;
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until};
use tower::ServiceExt;

/// A method whose frames are looked at, both ways.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    /// An agent's stream.
    Attach,
    /// A client's stream of runs.
    RunTasks,
}

impl Method {
    /// That of a request; `None` for one whose answers pass as they are.
    pub fn of<B>(request: &Request<B>) -> Option<Self> {
        match request.uri().path().rsplit('/').next() {
            Some("Attach") => Some(Self::Attach),
            Some("RunTasks") => Some(Self::RunTasks),
            _ => None,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Attach => "Attach",
            Self::RunTasks => "RunTasks",
        }
    }
}

/// One way of one stream.
struct Lane {
    shared: Arc<Shared>,
    connection: Connection,
    method: Method,
    way: Way,
    stream: u32,
    out: PiecesIn,
}

/// What goes out, and when.
type Due = (Instant, Result<Frame<Bytes>, BoxError>);

/// Carries a stream. When either side breaks, so does the other, with the connection that it came by.
pub async fn carry<B>(
    method: Method,
    request: Request<B>,
    connection: Connection,
    shared: Arc<Shared>,
) -> Result<Response<tonic::body::Body>, BoxError>
where
    B: Body<Data = Bytes> + Send + Unpin + 'static,
    B::Error: Into<BoxError> + Send,
{
    let stream = shared.streams(method).next();
    if method == Method::RunTasks
        && let Some(refused) = calls::announce(&shared, stream, method.name(), &request)
    {
        return Ok(refused.into_http());
    }
    let (parts, callers_body) = request.into_parts();
    let (to_server, up_body) = pieces();
    let lane = |way, out| Lane { shared: shared.clone(), connection: connection.clone(), method, way, stream, out };
    shared.tasks.spawn(lane(Way::Up, to_server).carry(callers_body, None));
    let request = Request::from_parts(parts, up_body);
    let answered = connection.upstream.clone().oneshot(request).await;
    let (parts, servers_body) = answered.inspect_err(|_| connection.broken.cancel())?.into_parts();
    if servers_body.is_end_stream() {
        // Refused: all is said in the headers, and some clients take nothing behind them.
        let said = json!({ "method": method.name(), "status": status(&parts.headers) });
        shared.record.add(Way::Down, stream, ("end", said));
        return Ok(Response::from_parts(parts, tonic::body::Body::empty()));
    }
    let (to_caller, down_body) = pieces();
    let (inject, injected) = mpsc::channel(16);
    shared.streams(method).note(inject);
    shared.tasks.spawn(lane(Way::Down, to_caller).carry(servers_body, Some(injected)));
    Ok(Response::from_parts(parts, down_body))
}

impl Lane {
    /// Passes everything on, in order, until the body ends.
    async fn carry<B>(self, mut body: B, mut injected: Option<mpsc::Receiver<Bytes>>)
    where
        B: Body<Data = Bytes> + Unpin,
        B::Error: Into<BoxError> + Send,
    {
        let (due, queue) = mpsc::channel(1024);
        let delivering = self.shared.tasks.spawn(deliver(queue, self.out.clone()));
        let mut messages = Messages::default();
        let mut late = Duration::ZERO;
        loop {
            let piece = tokio::select! {
                piece = next_piece(&mut body) => piece,
                Some(bytes) = next_injected(&mut injected) => {
                    self.record("injected", json!({}));
                    if due.send((Instant::now() + late, Ok(Frame::data(framed(&bytes))))).await.is_err() { break }
                    continue;
                }
                () = self.out.closed() => break,
                () = self.connection.broken.cancelled() => break,
            };
            let going = match piece {
                None => break,
                Some(Err(error)) => vec![Err(error.into())],
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(data) => self.pass(&mut messages, &data, &mut late),
                    Err(frame) => {
                        let status = frame.trailers_ref().map(status).unwrap_or_default();
                        self.record("trailers", json!({ "status": status }));
                        vec![Ok(frame)]
                    }
                },
            };
            let broken = going.iter().any(Result::is_err);
            for piece in going {
                let _ = due.send((Instant::now() + late, piece)).await;
            }
            if broken {
                break;
            }
        }
        drop(due);
        let _ = delivering.await;
        self.record("end", json!({}));
        // Half of a stream is none: a caller that is gone is gone for the server, too, and the other way round.
        if self.connection.broken.is_cancelled() {
            let _ = self.out.send(Err("the connection was cut".into())).await;
        }
    }

    /// The frames in these bytes, as they are to go on.
    fn pass(&self, messages: &mut Messages, data: &[u8], late: &mut Duration) -> Vec<Result<Frame<Bytes>, BoxError>> {
        messages.push(data);
        let mut going = Vec::new();
        loop {
            match messages.next() {
                Ok(None) => return going,
                Ok(Some(message)) => {
                    let (passed, times, delay) = self.one(message);
                    *late = (*late).max(delay);
                    for _ in 0..times {
                        going.extend(passed.iter().map(|bytes| Ok(Frame::data(framed(bytes)))));
                    }
                }
                Err(error) => {
                    going.push(Err(error));
                    return going;
                }
            }
        }
    }

    /// One frame: what goes on of it, how often, and how late.
    fn one(&self, message: Bytes) -> (Option<Bytes>, u32, Duration) {
        let Shared { record, rules, .. } = &*self.shared;
        match (self.method, self.way) {
            (Method::Attach, Way::Up) => self.decoded(message, |frame| rules.pass_up(self.stream, frame, record)),
            (Method::Attach, Way::Down) => self.decoded(message, |frame| rules.pass_down(self.stream, frame, record)),
            (Method::RunTasks, Way::Up) => {
                self.decoded(message, |frame| runs::pass_up(rules, self.stream, frame, record))
            }
            (Method::RunTasks, Way::Down) => {
                self.decoded(message, |frame| runs::pass_down(rules, self.stream, frame, record))
            }
        }
    }

    /// What was not changed, or can't be read, goes on as it came, with fields that this program doesn't know.
    fn decoded<F: Message + Default>(
        &self,
        came: Bytes,
        pass: impl FnOnce(F) -> Passed<F>,
    ) -> (Option<Bytes>, u32, Duration) {
        let Ok(frame) = F::decode(came.clone()) else {
            self.record("unreadable", json!({}));
            return (Some(came), 1, Duration::ZERO);
        };
        let Passed { frame, changed, times, delay } = pass(frame);
        (frame.map(|frame| if changed { frame.encode_to_vec().into() } else { came }), times, delay)
    }

    /// Notes what is no frame.
    fn record(&self, kind: &'static str, mut said: Value) {
        said["method"] = self.method.name().into();
        self.shared.record.add(self.way, self.stream, (kind, said));
    }
}

/// The number of the gRPC status.
fn status(headers: &HeaderMap) -> String {
    headers.get("grpc-status").and_then(|value| value.to_str().ok()).unwrap_or_default().to_owned()
}

async fn next_injected(injected: &mut Option<mpsc::Receiver<Bytes>>) -> Option<Bytes> {
    match injected {
        Some(injected) => injected.recv().await,
        None => None,
    }
}

/// Sends what is due, in order.
async fn deliver(mut queue: mpsc::Receiver<Due>, out: PiecesIn) {
    while let Some((due, piece)) = queue.recv().await {
        sleep_until(due).await;
        if out.send(piece).await.is_err() {
            return;
        }
    }
}
