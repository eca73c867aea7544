//! An agent that says frames one by one, and hears them one by one: what an SDK would hide.

use crate::server::Server;
use crate::wait::{LONG, within};
use callboard::v1::agent_service_client::AgentServiceClient;
use callboard::v1::attach_request::Frame as Said;
use callboard::v1::attach_response::Frame;
use callboard::v1::report::Kind;
use callboard::v1::{
    self, AgentProfile, Assignment, AttachRequest, AttachResponse, Attempt, Cancellation, Hello, Receipt, Report,
    ReportBatch, TaskHandler, Welcome,
};
use std::collections::VecDeque;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::{Channel, Endpoint};
use tonic::{Status, Streaming};

/// How many frames may wait to be sent.
const OUTGOING: usize = 64;

/// A profile with a name and one task type.
pub fn profile(name: &str, task_type: &str) -> AgentProfile {
    AgentProfile {
        name: name.into(),
        agent_type: "test".into(),
        slots: 1,
        handles: vec![TaskHandler { r#type: task_type.into(), ..Default::default() }],
        ..Default::default()
    }
}

/// A hello with all features.
pub fn hello(name: &str, task_type: &str) -> Hello {
    Hello {
        profile: Some(profile(name, task_type)),
        features: vec!["cancellation".into(), "drain".into()],
        instance_id: format!("{name}-1"),
        ..Default::default()
    }
}

/// The same with a number of slots.
pub fn hello_with_slots(name: &str, task_type: &str, slots: i32) -> Hello {
    let mut hello = hello(name, task_type);
    if let Some(profile) = &mut hello.profile {
        profile.slots = slots;
    }
    hello
}

/// An attached agent. Frames of other kinds than the one that is asked for are kept for later.
#[derive(Debug)]
pub struct RawAgent {
    /// What the server welcomed it with.
    pub welcome: Welcome,
    outgoing: mpsc::Sender<AttachRequest>,
    incoming: Streaming<AttachResponse>,
    waiting: VecDeque<Frame>,
    next_report: i64,
    heartbeats: JoinSet<()>,
}

/// A frame that says something.
pub fn frame(said: Said) -> AttachRequest {
    AttachRequest { frame: Some(said) }
}

/// Opens a stream that has said these frames and says no more until it is told to.
pub async fn open(
    server: &Server,
    first: impl IntoIterator<Item = AttachRequest>,
) -> Result<(mpsc::Sender<AttachRequest>, Streaming<AttachResponse>), Status> {
    open_by(server.agents().await, first).await
}

/// The same over a connection.
async fn open_by(
    mut agents: AgentServiceClient<Channel>,
    first: impl IntoIterator<Item = AttachRequest>,
) -> Result<(mpsc::Sender<AttachRequest>, Streaming<AttachResponse>), Status> {
    let (outgoing, frames) = mpsc::channel(OUTGOING);
    for frame in first {
        outgoing.try_send(frame).expect("room for the first frames");
    }
    let opened = within(LONG, "an answer to attach", agents.attach(ReceiverStream::new(frames))).await?;
    Ok((outgoing, opened.into_inner()))
}

impl RawAgent {
    /// Attaches with a hello, and waits for the welcome.
    pub async fn attach(server: &Server, hello: Hello) -> Result<Self, Status> {
        Self::attach_by(server.agents().await, hello).await
    }

    /// The same at an address, which may be a proxy's.
    pub async fn attach_at(address: &str, hello: Hello) -> Result<Self, Status> {
        let endpoint = Endpoint::from_shared(address.to_owned()).expect("an address");
        let channel = within(LONG, "a connection", endpoint.connect()).await.expect("a connection");
        Self::attach_by(AgentServiceClient::new(channel), hello).await
    }

    async fn attach_by(agents: AgentServiceClient<Channel>, hello: Hello) -> Result<Self, Status> {
        let (outgoing, mut incoming) = open_by(agents, [frame(Said::Hello(hello))]).await?;
        let first = within(LONG, "the welcome", incoming.message()).await?;
        let Some(Frame::Welcome(welcome)) = first.and_then(|message| message.frame) else {
            panic!("the first frame is no welcome");
        };
        let (waiting, heartbeats) = (VecDeque::new(), JoinSet::new());
        Ok(Self { welcome, outgoing, incoming, waiting, next_report: 1, heartbeats })
    }

    /// Attaches under a name, for one task type, with one slot.
    pub async fn start(server: &Server, name: &str, task_type: &str) -> Self {
        Self::attach(server, hello(name, task_type)).await.expect("the agent attaches")
    }

    /// Sends heartbeats from now on, as an SDK would: every third of the lease.
    #[must_use]
    pub fn beating(mut self) -> Self {
        let lease = self.welcome.lease.and_then(|lease| Duration::try_from(lease).ok()).expect("a lease");
        let outgoing = self.outgoing.clone();
        self.heartbeats.spawn(async move {
            let mut ticks = tokio::time::interval(lease / 3);
            loop {
                ticks.tick().await;
                if outgoing.send(frame(Said::Heartbeat(v1::Heartbeat {}))).await.is_err() {
                    return;
                }
            }
        });
        self
    }

    /// Says one more heartbeat, and nothing from then on; the stream stays open.
    pub async fn fall_silent(&mut self) {
        self.heartbeats.abort_all();
        self.say(Said::Heartbeat(v1::Heartbeat {})).await;
    }

    /// Says a frame.
    pub async fn say(&self, said: Said) {
        self.say_frame(frame(said)).await;
    }

    /// Says a frame as it is.
    pub async fn say_frame(&self, said: AttachRequest) {
        let sent = within(LONG, "room for a frame", self.outgoing.send(said)).await;
        sent.expect("the stream takes frames");
    }

    /// Reports, and gives the report's id.
    pub async fn report(&mut self, attempt: &Attempt, kind: Kind) -> i64 {
        let report_id = self.next_report;
        self.next_report += 1;
        self.report_as(report_id, attempt, kind).await;
        report_id
    }

    /// Reports under an id of the caller's.
    pub async fn report_as(&self, report_id: i64, attempt: &Attempt, kind: Kind) {
        let report = Report { report_id, attempt: Some(attempt.clone()), kind: Some(kind) };
        self.say(Said::Reports(ReportBatch { reports: vec![report] })).await;
    }

    /// Reports, and waits for the receipt.
    pub async fn receipt_of(&mut self, attempt: &Attempt, kind: Kind) -> Receipt {
        let report_id = self.report(attempt, kind).await;
        self.receipt(report_id).await
    }

    /// Completes an attempt with a text, and waits for the receipt.
    pub async fn complete(&mut self, attempt: &Attempt, result: &str) -> Receipt {
        let result = Some(crate::text(result));
        self.receipt_of(attempt, Kind::Completed(v1::Completion { result })).await
    }

    /// The next frame that says something; `None` when the server ended the stream in an orderly way.
    pub async fn hear(&mut self) -> Result<Option<Frame>, Status> {
        if let Some(frame) = self.waiting.pop_front() {
            return Ok(Some(frame));
        }
        self.receive().await
    }

    async fn receive(&mut self) -> Result<Option<Frame>, Status> {
        loop {
            match within(LONG, "a frame", self.incoming.message()).await? {
                None => return Ok(None),
                Some(AttachResponse { frame: Some(Frame::Heartbeat(_)) | None }) => {}
                Some(AttachResponse { frame: Some(frame) }) => return Ok(Some(frame)),
            }
        }
    }

    /// Waits for the stream's end; frames that come before it are dropped.
    pub async fn end(&mut self) -> Result<(), Status> {
        self.waiting.clear();
        while self.receive().await?.is_some() {}
        Ok(())
    }

    /// What the first frame has in which the look finds something; what it leaves is kept, as are other frames.
    pub async fn pick<T>(&mut self, what: &str, look: impl FnMut(&mut Frame) -> Option<T>) -> T {
        within(LONG, what, self.pick_in_time(what, look)).await
    }

    async fn pick_in_time<T>(&mut self, what: &str, mut look: impl FnMut(&mut Frame) -> Option<T>) -> T {
        let mut seen = 0;
        loop {
            if let Some(frame) = self.waiting.get_mut(seen) {
                if let Some(found) = look(frame) {
                    if is_empty(frame) {
                        self.waiting.remove(seen);
                    }
                    return found;
                }
                seen += 1;
                continue;
            }
            match self.receive().await {
                Ok(Some(frame)) => self.waiting.push_back(frame),
                Ok(None) => panic!("the stream ended in an orderly way before {what}"),
                Err(status) => panic!("the stream ended before {what}: {status:?}"),
            }
        }
    }

    /// The next assignment.
    pub async fn assignment(&mut self) -> Assignment {
        let first = |frame: &mut Frame| match frame {
            Frame::Assignments(batch) => Some(batch.assignments.remove(0)),
            _ => None,
        };
        self.pick("an assignment", first).await
    }

    /// The lease of the next assignment, accepted.
    pub async fn accepted(&mut self) -> Attempt {
        let attempt = self.assignment().await.attempt.expect("a lease");
        let receipt = self.receipt_of(&attempt, Kind::Accepted(v1::Accepted {})).await;
        assert_eq!(receipt.status(), v1::ReceiptStatus::Committed, "{receipt:?}");
        attempt
    }

    /// The receipt of a report.
    pub async fn receipt(&mut self, report_id: i64) -> Receipt {
        let find = |frame: &mut Frame| {
            let Frame::Receipts(batch) = frame else { return None };
            let at = batch.receipts.iter().position(|receipt| receipt.report_id == report_id)?;
            Some(batch.receipts.remove(at))
        };
        self.pick("a receipt", find).await
    }

    /// The next cancellation.
    pub async fn cancellation(&mut self) -> Cancellation {
        let first = |frame: &mut Frame| match frame {
            Frame::Cancellations(batch) => Some(batch.cancellations.remove(0)),
            _ => None,
        };
        self.pick("a cancellation", first).await
    }

    /// The notice that the server goes away.
    pub async fn drain_notice(&mut self) -> v1::DrainNotice {
        let find = |frame: &mut Frame| match frame {
            Frame::Drain(notice) => Some(std::mem::take(notice)),
            _ => None,
        };
        self.pick("a drain notice", find).await
    }

    /// Checks that no frame of a kind comes for a while. The one place where time itself is what is waited for.
    pub async fn hears_nothing(&mut self, of: &str, mut unwanted: impl FnMut(&Frame) -> bool, during: Duration) {
        assert!(!self.waiting.iter().any(&mut unwanted), "{of} had come");
        let heard = tokio::time::timeout(during, async {
            loop {
                match self.receive().await {
                    Ok(Some(frame)) if unwanted(&frame) => panic!("{of} came: {frame:?}"),
                    Ok(Some(frame)) => self.waiting.push_back(frame),
                    ended => panic!("the stream ended: {ended:?}"),
                }
            }
        });
        let _: Result<(), _> = heard.await;
    }

    /// Closes its side in an orderly way, and keeps listening.
    pub fn close(&mut self) {
        self.heartbeats.abort_all();
        let (closed, _) = mpsc::channel(1);
        self.outgoing = closed;
    }
}

/// Whether everything was taken from a frame.
fn is_empty(frame: &Frame) -> bool {
    match frame {
        Frame::Assignments(batch) => batch.assignments.is_empty(),
        Frame::Receipts(batch) => batch.receipts.is_empty(),
        Frame::Cancellations(batch) => batch.cancellations.is_empty(),
        Frame::Messages(batch) => batch.messages.is_empty(),
        Frame::MessageReceipts(batch) => batch.sent.is_empty() && batch.acknowledged_ids.is_empty(),
        Frame::TaskEnds(batch) => batch.ends.is_empty(),
        Frame::Resumptions(batch) => batch.resumptions.is_empty(),
        Frame::Welcome(_) | Frame::Drain(_) | Frame::Heartbeat(_) => true,
    }
}
