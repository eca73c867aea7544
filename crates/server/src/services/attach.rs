//! `Attach`: an agent's stream, as frames.
//!
//! Two halves: the reading one takes frames in and gives them to the engine; the writing one makes frames of what the engine
//! pushes. The end of either ends the other.

use super::{Host, check};
use crate::convert::agent::{self, Manner};
use crate::convert::frame::{self, frame as to_frame};
use crate::convert::{ends, message as mail, time};
use crate::identity::Caller;
use crate::{caller, status};
use callboard_core::limits::{
    DEFAULT_MESSAGE_WINDOW, MAX_MESSAGE_WINDOW, MAX_MESSAGES, MAX_PAYLOAD, MAX_REPORTS, MAX_SLOTS,
};
use callboard_core::rejection::Rejection;
use callboard_core::validate::Faults;
use callboard_engine::{AttachRequest, Push, ReportItem, Stream as AgentStream};
use callboard_proto::v1;
use callboard_proto::v1::attach_request::Frame as Said;
use callboard_proto::v1::attach_response::Frame;
use futures::stream;
use prometheus_client::metrics::counter::Counter;
use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};
use tokio_stream::Stream;
use tokio_util::sync::{CancellationToken, DropGuard};
use tonic::{Code, Request, Response, Status, Streaming};

/// How long a new stream may take to say hello.
const HELLO: Duration = Duration::from_secs(10);
/// What an agent must list to get such frames.
const CANCELLATION: &str = "cancellation";
const DRAIN: &str = "drain";
const MESSAGES: &str = "messages";
const MESSAGE_RECEIPTS: &str = "message_receipts";
const CHILDREN: &str = "children";
/// What this server takes.
const FEATURES: [&str; 8] = ["progress", "checkpoint", "slots", "drain", "messages", "steps", "output", CHILDREN];
/// How many receipts for unreadable reports may wait; an agent that sends more nonsense is not read until it reads.
const LOCAL: usize = 16;
/// Features that a hello may list.
const MAX_FEATURES: usize = 1_000;
/// Attempts that a hello may list.
const MAX_HELD: usize = 2_000;

pub(super) type Frames = Pin<Box<dyn Stream<Item = Result<v1::AttachResponse, Status>> + Send>>;

/// Attaches an agent.
pub(super) async fn attach(
    host: &Host,
    request: Request<Streaming<v1::AttachRequest>>,
) -> Result<Response<Frames>, Status> {
    let caller = Caller::of(&request)?;
    let mut frames = request.into_inner();
    let first = tokio::time::timeout(HELLO, frames.message()).await;
    let first = first.map_err(|_| status::protocol("hello: none came within 10 s; send it first"))?;
    let first = first.map_err(|broken| status::of_transport(broken, "frame"))?;
    let Some(Said::Hello(hello)) = first.and_then(|message| message.frame) else {
        return Err(status::protocol("hello: another frame came before it, or none; send it as the first frame"));
    };
    caller.check(&hello)?;
    let request = read_hello(hello, caller.principal())?;
    let addressee = Addressee { namespace: request.namespace.clone(), name: request.name.clone() };
    let (stream, pushes) = host.engine.attach(request).await.map_err(status::of_engine)?;
    let welcome = welcome(host, &stream);
    let (verdict, over) = oneshot::channel();
    let (local, own) = mpsc::channel(LOCAL);
    let (written, let_go) = (CancellationToken::new(), CancellationToken::new());
    let writing = Writing {
        let_go: let_go.clone(),
        sent: host.frames.sent.clone(),
        addressee,
        ready: VecDeque::from([welcome]),
        pushes,
        own,
        over: Some(over),
        _guard: written.clone().drop_guard(),
    };
    let received = host.frames.received.clone();
    received.inc();
    host.tasks.spawn(read(stream, Incoming { frames, received }, local, verdict, Ends { written, let_go }));
    Ok(Response::new(Box::pin(stream::unfold(writing, Writing::next))))
}

fn read_hello(hello: v1::Hello, principal: Arc<str>) -> Result<AttachRequest, Status> {
    let mut faults = Faults::default();
    let (name, profile) = agent::profile("hello.profile", hello.profile, Manner::Pushed, &mut faults);
    if hello.held.len() > MAX_HELD {
        faults.add("hello.held", format!("has {} entries; at most {MAX_HELD}", hello.held.len()));
    }
    let held = hello.held.into_iter().take(MAX_HELD).enumerate();
    let held = held.map(|(index, attempt)| frame::fence(&format!("hello.held[{index}]"), Some(attempt), &mut faults));
    let held = held.collect();
    let features = hello.features.len();
    if features > MAX_FEATURES {
        faults.add("hello.features", format!("has {features} entries; at most {MAX_FEATURES}"));
    }
    faults.text("hello.instance_id", &hello.instance_id, 64);
    if hello.previous_epoch < 0 {
        faults.add("hello.previous_epoch", "is negative; give the epoch of the last welcome, or 0");
    }
    let window = match u32::try_from(hello.message_window) {
        Ok(0) => DEFAULT_MESSAGE_WINDOW,
        Ok(window) if window <= MAX_MESSAGE_WINDOW => window,
        _ => {
            let fault = format!("is {}; must be 0 (the default) to {MAX_MESSAGE_WINDOW}", hello.message_window);
            faults.add("hello.message_window", fault);
            1
        }
    };
    check(faults)?;
    let lists = |feature: &str| hello.features.iter().any(|listed| listed == feature);
    Ok(AttachRequest {
        namespace: caller::namespace(&hello.namespace),
        principal,
        name,
        profile,
        held,
        previous_epoch: hello.previous_epoch,
        takes_drain: lists(DRAIN),
        takes_cancellation: lists(CANCELLATION),
        takes_message_receipts: lists(MESSAGE_RECEIPTS),
        takes_children: lists(CHILDREN),
        message_window: lists(MESSAGES).then_some(window),
        instance: hello.instance_id,
    })
}

fn welcome(host: &Host, stream: &AgentStream) -> v1::AttachResponse {
    let rules = &host.engine.config().rules;
    to_frame(Frame::Welcome(v1::Welcome {
        agent_id: stream.attached.agent.to_string(),
        session_epoch: stream.attached.epoch,
        lease: Some(time::to_duration(rules.stream_lease)),
        held: stream.attached.held.iter().copied().map(frame::to_attempt).collect(),
        features: FEATURES.map(str::to_owned).to_vec(),
        server_version: host.version.to_owned(),
        max_payload_bytes: i32::try_from(MAX_PAYLOAD).unwrap_or(i32::MAX),
        accept_within: Some(time::to_duration(rules.accept_within)),
    }))
}

/// How the reading half ended: in an orderly way, or with a status for the agent.
type Verdict = Result<(), Status>;

/// What ends the reading half from outside.
struct Ends {
    /// The writing half is gone: the agent does not listen any more.
    written: CancellationToken,
    /// The session let go of the stream.
    let_go: CancellationToken,
}

/// The agent's frames, which are counted.
struct Incoming {
    frames: Streaming<v1::AttachRequest>,
    received: Counter,
}

async fn read(
    mut stream: AgentStream,
    mut incoming: Incoming,
    local: mpsc::Sender<v1::AttachResponse>,
    verdict: oneshot::Sender<Verdict>,
    ends: Ends,
) {
    let outcome = loop {
        let message = tokio::select! {
            biased;
            () = ends.written.cancelled() => return,
            () = ends.let_go.cancelled() => break Err(status::draining()),
            () = stream.cut_off() => break Err(status::slow_reader()),
            message = incoming.frames.message() => message,
        };
        match message {
            Ok(Some(message)) => {
                incoming.received.inc();
                stream.heard();
                if let Err(status) = take(&mut stream, message, &local).await {
                    break Err(status);
                }
            }
            Ok(None) => {
                stream.finished().await;
                break Ok(());
            }
            // The connection is gone, or what came is not a message: the stream is broken either way.
            Err(broken) => break Err(status::of_transport(broken, "frame")),
        }
    };
    let slow = stream.was_slow();
    // The session is broken before the agent is told: when it attaches again at once, it finds no older session open.
    drop(stream);
    // Nobody listens when the writing half is gone already.
    let _ = verdict.send(if slow { Err(status::slow_reader()) } else { outcome });
}

/// Takes a frame in.
async fn take(
    stream: &mut AgentStream,
    message: v1::AttachRequest,
    local: &mpsc::Sender<v1::AttachResponse>,
) -> Result<(), Status> {
    match message.frame {
        Some(Said::Hello(_)) => {
            Err(status::protocol("hello: it was said already; send it once, and attach again to change it"))
        }
        Some(Said::Reports(batch)) => take_reports(stream, batch, local).await,
        Some(Said::Slots(change)) => match u32::try_from(change.slots) {
            Ok(slots) if slots <= MAX_SLOTS => stream.set_slots(slots).await.map_err(status::of_engine),
            _ => {
                let fault = format!("is {}; must be 0 to {MAX_SLOTS}", change.slots);
                Err(status::of_rejection(Rejection::field("slots.slots", fault)))
            }
        },
        Some(Said::Drain(_)) => stream.drain().await.map_err(status::of_engine),
        Some(Said::Messages(batch)) => take_messages(stream, batch, local).await,
        Some(Said::Acknowledgements(batch)) => take_acknowledgements(stream, &batch).await,
        Some(Said::Awaits(batch)) => take_awaits(stream, &batch),
        // A heartbeat, or a kind of a newer agent: a sign of life is all that it says to us.
        Some(Said::Heartbeat(_)) | None => Ok(()),
    }
}

async fn take_reports(
    stream: &AgentStream,
    batch: v1::ReportBatch,
    local: &mpsc::Sender<v1::AttachResponse>,
) -> Result<(), Status> {
    let count = batch.reports.len();
    if count > MAX_REPORTS {
        let fault = format!("has {count} entries; at most {MAX_REPORTS} in a frame");
        return Err(status::of_rejection(Rejection::field("reports.reports", fault)));
    }
    let mut readable = Vec::with_capacity(count);
    for report in batch.reports {
        let (report_id, attempt) = (report.report_id, report.attempt.clone());
        match frame::report(report) {
            Ok(Some((fence, report))) => readable.push(ReportItem { report_id, fence, report }),
            Ok(None) => {}
            Err(rejection) => {
                let receipt = frame::refused(report_id, attempt, rejection);
                // The writing half is gone: then the stream is, too.
                local.send(receipt).await.map_err(|_| status::draining())?;
            }
        }
    }
    stream.report(readable).await.map_err(status::of_engine)
}

async fn take_messages(
    stream: &AgentStream,
    batch: v1::MessageSendBatch,
    local: &mpsc::Sender<v1::AttachResponse>,
) -> Result<(), Status> {
    let count = batch.messages.len();
    if count > MAX_MESSAGES {
        let fault = format!("has {count} entries; at most {MAX_MESSAGES} in a frame");
        return Err(status::of_rejection(Rejection::field("messages.messages", fault)));
    }
    let mut readable = Vec::with_capacity(count);
    for send in batch.messages {
        let request_id = send.request_id.clone();
        match mail::send_item(send) {
            Ok(item) => readable.push(item),
            Err(rejection) if stream.takes_message_receipts() => {
                // The writing half is gone: then the stream is, too.
                local.send(mail::refused(request_id, rejection)).await.map_err(|_| status::draining())?;
            }
            Err(rejection) => tracing::debug!(%rejection, "a message was refused, and its agent takes no receipts"),
        }
    }
    stream.send_messages(readable).await.map_err(status::of_engine)
}

async fn take_acknowledgements(stream: &AgentStream, batch: &v1::MessageAcknowledgementBatch) -> Result<(), Status> {
    let count = batch.message_ids.len();
    let mut faults = Faults::default();
    if count > MAX_MESSAGES {
        faults.add("acknowledgements.message_ids", format!("has {count} entries; at most {MAX_MESSAGES} in a frame"));
    }
    let messages = mail::message_ids("acknowledgements.message_ids", &batch.message_ids, &mut faults);
    check(faults)?;
    if messages.is_empty() {
        return Ok(());
    }
    stream.acknowledge(messages).await.map_err(status::of_engine)
}

fn take_awaits(stream: &mut AgentStream, batch: &v1::TaskAwaitBatch) -> Result<(), Status> {
    let mut faults = Faults::default();
    let tasks = ends::awaited("awaits.task_ids", &batch.task_ids, &mut faults);
    check(faults)?;
    stream.await_ends(tasks).map_err(status::of_engine)
}

/// Whose stream it is, as messages name it.
struct Addressee {
    namespace: Arc<str>,
    name: Arc<str>,
}

/// The writing half.
struct Writing {
    sent: Counter,
    ready: VecDeque<v1::AttachResponse>,
    pushes: mpsc::Receiver<Push>,
    own: mpsc::Receiver<v1::AttachResponse>,
    over: Option<oneshot::Receiver<Verdict>>,
    let_go: CancellationToken,
    addressee: Addressee,
    _guard: DropGuard,
}

impl Writing {
    async fn next(mut self) -> Option<(Result<v1::AttachResponse, Status>, Self)> {
        loop {
            if let Some(frame) = self.ready.pop_front() {
                self.sent.inc();
                return Some((Ok(frame), self));
            }
            let over = self.over.as_mut()?;
            let ending = tokio::select! {
                biased;
                push = self.pushes.recv() => match push {
                    Some(Push::Close(why)) => status::of_session_end(why).map_or(Ok(()), Err),
                    Some(push) => {
                        self.ready.extend(frames_of(push, &self.addressee));
                        continue;
                    }
                    // The session let go of the stream; the reading half knows why.
                    None => {
                        self.let_go.cancel();
                        (&mut *over).await.unwrap_or_else(|_| Err(status::draining()))
                    }
                },
                Some(own) = self.own.recv() => {
                    self.ready.push_back(own);
                    continue;
                }
                verdict = &mut *over => verdict.unwrap_or_else(|_| Err(status::plain(
                    Code::Internal, v1::ErrorReason::Internal, "stream: its reader ended; attach again",
                ))),
            };
            self.over = None;
            match ending {
                Ok(()) => return None,
                Err(status) => return Some((Err(status), self)),
            }
        }
    }
}

fn frames_of(push: Push, to: &Addressee) -> Vec<v1::AttachResponse> {
    match push {
        Push::Assign(assignments) => frame::assignment_frames(&assignments),
        Push::Receipts(receipts) => vec![frame::receipts(&receipts)],
        Push::Resume(resumptions) => vec![ends::resumptions(&resumptions)],
        Push::TaskEnds(told) => ends::end_frames(&told.ends),
        Push::Messages(messages) => mail::delivery_frames(&messages, &to.namespace, &to.name),
        Push::MessageReceipts(receipts) => vec![mail::receipts(receipts)],
        Push::Stop(stops) => vec![frame::stops(&stops)],
        Push::Drain(leave) => {
            let endpoints = leave.to.iter().map(ToString::to_string).collect();
            let deadline = Some(time::to_timestamp(leave.by));
            vec![to_frame(Frame::Drain(v1::DrainNotice { endpoints, deadline }))]
        }
        Push::Heartbeat => vec![to_frame(Frame::Heartbeat(v1::Heartbeat {}))],
        Push::Close(_) => Vec::new(),
    }
}
