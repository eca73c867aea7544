//! Very many agents in this process, over a few connections: what an SDK costs would be measured otherwise.
//!
//! Each speaks frames as `sdk/SPEC.md` has it: it beats, accepts what it is given, holds it, and names it when it comes back.

use callboard::v1::agent_service_client::AgentServiceClient;
use callboard::v1::attach_request::Frame as Said;
use callboard::v1::attach_response::Frame;
use callboard::v1::report::Kind;
use callboard::v1::{self, Attempt, Report, ReportBatch};
use callboard_tests::agent::{frame, hello};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::{Channel, Endpoint};
use tonic::{Status, Streaming};

/// The type of the tasks that are held.
pub const HELD: &str = "crowd.held";
/// How many agents share a connection.
const PER_CONNECTION: usize = 250;
/// How many frames may wait.
const OUTGOING: usize = 8;
/// Between two tries to attach: a fifth of a second, so that all come while the server has hardly begun.
const AGAIN: Duration = Duration::from_millis(200);
/// How long an answer to a hello is awaited.
const PATIENCE: Duration = Duration::from_secs(60);

/// What all agents share.
#[derive(Debug)]
struct Shared {
    /// How many are attached.
    attached: watch::Sender<usize>,
    /// How many have accepted a task, with its receipt.
    holding: watch::Sender<usize>,
    /// How many completed it, with its receipt.
    completed: watch::Sender<usize>,
    /// What they hold is to be completed.
    finish: watch::Receiver<bool>,
    /// Attempts that were not theirs any more.
    refused: watch::Sender<Vec<Attempt>>,
}

/// The agents.
#[derive(Debug)]
pub struct Crowd {
    shared: Arc<Shared>,
    finish: watch::Sender<bool>,
    // Kept: they end with us.
    _agents: JoinSet<()>,
}

impl Crowd {
    /// Starts so many, spread over the servers.
    pub fn start(addresses: &[String], count: usize) -> Self {
        let (finish, told) = watch::channel(false);
        let (attached, holding, completed) = (watch::channel(0).0, watch::channel(0).0, watch::channel(0).0);
        let refused = watch::channel(Vec::new()).0;
        let shared = Arc::new(Shared { attached, holding, completed, finish: told, refused });
        let mut agents = JoinSet::new();
        let mut channels = BTreeMap::new();
        for number in 0..count {
            let group = number / PER_CONNECTION;
            let address = &addresses[group % addresses.len()];
            let channel = channels.entry(group).or_insert_with(|| lazily(address)).clone();
            agents.spawn(live(Member::new(number, channel, shared.clone())));
        }
        Self { shared, finish, _agents: agents }
    }

    /// Waits until so many are attached; whether they were in time.
    pub async fn attached(&self, count: usize, within: Duration) -> bool {
        reaches(&self.shared.attached, within, |attached| *attached == count).await
    }

    /// How many are attached.
    pub fn count(&self) -> usize {
        *self.shared.attached.borrow()
    }

    /// Waits until so many hold a task.
    pub async fn holding(&self, count: usize, within: Duration) {
        let held = reaches(&self.shared.holding, within, |holding| *holding == count).await;
        assert!(held, "{} of {count} agents hold a task", *self.shared.holding.borrow());
    }

    /// Has all that is held completed. Gives what could not be, because the lease was lost.
    pub async fn finish(&self, count: usize, within: Duration) -> Vec<Attempt> {
        self.finish.send_replace(true);
        let done = reaches(&self.shared.completed, within, |completed| *completed == count).await;
        let refused = self.shared.refused.borrow().clone();
        assert!(done || !refused.is_empty(), "{} of {count} tasks are completed", *self.shared.completed.borrow());
        refused
    }
}

async fn reaches<T>(value: &watch::Sender<T>, within: Duration, is: impl FnMut(&T) -> bool) -> bool {
    timeout(within, value.subscribe().wait_for(is)).await.is_ok_and(|reached| reached.is_ok())
}

fn lazily(address: &str) -> Channel {
    Endpoint::from_shared(address.to_owned()).expect("an address").connect_lazy()
}

/// An agent.
struct Member {
    name: String,
    client: AgentServiceClient<Channel>,
    shared: Arc<Shared>,
    finish: watch::Receiver<bool>,
    epoch: i64,
    held: Option<Attempt>,
    /// The report of what it holds that has no receipt.
    unreceipted: Option<Report>,
    reports: i64,
    is_attached: bool,
    accepted: bool,
}

async fn live(mut member: Member) {
    loop {
        // Whatever ended the stream, it comes again.
        let _ = member.attached().await;
        if std::mem::take(&mut member.is_attached) {
            member.shared.attached.send_modify(|attached| *attached -= 1);
        }
        sleep(AGAIN).await;
    }
}

impl Member {
    fn new(number: usize, channel: Channel, shared: Arc<Shared>) -> Self {
        let finish = shared.finish.clone();
        Self {
            name: format!("crowd-{number}"),
            client: AgentServiceClient::new(channel),
            shared,
            finish,
            epoch: 0,
            held: None,
            unreceipted: None,
            reports: 0,
            is_attached: false,
            accepted: false,
        }
    }

    /// One stream, from hello to its end.
    async fn attached(&mut self) -> Result<(), Status> {
        let (outgoing, frames) = mpsc::channel(OUTGOING);
        let held = self.held.iter().cloned().collect();
        let hello = v1::Hello { held, previous_epoch: self.epoch, ..hello(&self.name, HELD) };
        let _ = outgoing.try_send(frame(Said::Hello(hello)));
        let opened = timeout(PATIENCE, self.client.attach(ReceiverStream::new(frames))).await;
        let mut incoming = opened.map_err(|_| Status::deadline_exceeded("no answer to a hello"))??.into_inner();
        let mut beats = Beats::default();
        loop {
            tokio::select! {
                heard = hear(&mut incoming) => match heard? {
                    Some(Frame::Welcome(welcome)) => {
                        beats.begin(&welcome);
                        self.welcomed(welcome, &outgoing).await;
                    }
                    Some(Frame::Assignments(batch)) => {
                        for assignment in batch.assignments {
                            self.held = assignment.attempt;
                            self.accepted = false;
                            self.report(Kind::Accepted(v1::Accepted {}), &outgoing).await;
                        }
                    }
                    Some(Frame::Receipts(batch)) => {
                        for receipt in batch.receipts {
                            self.receipted(&receipt, &outgoing).await;
                        }
                    }
                    Some(_) => {}
                    None => return Ok(()),
                },
                () = beats.next() => say(&outgoing, Said::Heartbeat(v1::Heartbeat {})).await,
                _ = self.finish.changed() => self.complete(&outgoing).await,
            }
        }
    }

    async fn welcomed(&mut self, welcome: v1::Welcome, outgoing: &mpsc::Sender<v1::AttachRequest>) {
        self.epoch = welcome.session_epoch;
        self.is_attached = true;
        self.shared.attached.send_modify(|attached| *attached += 1);
        if let Some(held) = self.held.take() {
            match welcome.held.contains(&held) {
                true => self.held = Some(held),
                false => self.shared.refused.send_modify(|refused| refused.push(held)),
            }
        }
        if let Some(report) = self.unreceipted.clone() {
            say(outgoing, Said::Reports(ReportBatch { reports: vec![report] })).await;
        }
    }

    async fn receipted(&mut self, receipt: &v1::Receipt, outgoing: &mpsc::Sender<v1::AttachRequest>) {
        let Some(report) = self.unreceipted.take().filter(|report| report.report_id == receipt.report_id) else {
            return;
        };
        match (receipt.status(), &report.kind) {
            (v1::ReceiptStatus::Committed, Some(Kind::Accepted(_))) => {
                self.accepted = true;
                self.shared.holding.send_modify(|holding| *holding += 1);
                if *self.finish.borrow() {
                    self.complete(outgoing).await;
                }
            }
            (v1::ReceiptStatus::Committed, _) => {
                self.held = None;
                self.shared.completed.send_modify(|completed| *completed += 1);
            }
            (v1::ReceiptStatus::Refused, _) => {
                self.shared.refused.send_modify(|refused| refused.extend(self.held.take()));
            }
            _ => {
                say(outgoing, Said::Reports(ReportBatch { reports: vec![report.clone()] })).await;
                self.unreceipted = Some(report);
            }
        }
    }

    async fn complete(&mut self, outgoing: &mpsc::Sender<v1::AttachRequest>) {
        if self.held.is_some() && self.accepted && self.unreceipted.is_none() {
            let result = Some(callboard_tests::text("done"));
            self.report(Kind::Completed(v1::Completion { result }), outgoing).await;
        }
    }

    async fn report(&mut self, kind: Kind, outgoing: &mpsc::Sender<v1::AttachRequest>) {
        self.reports += 1;
        let report = Report { report_id: self.reports, attempt: self.held.clone(), kind: Some(kind) };
        self.unreceipted = Some(report.clone());
        say(outgoing, Said::Reports(ReportBatch { reports: vec![report] })).await;
    }
}

/// When the next heartbeat is due: not before the welcome.
#[derive(Debug, Default)]
struct Beats {
    every: Option<Duration>,
    next: Option<Instant>,
}

impl Beats {
    fn begin(&mut self, welcome: &v1::Welcome) {
        let lease = welcome.lease.and_then(|lease| Duration::try_from(lease).ok());
        self.every = lease.map(|lease| lease / 3);
        self.next = self.every.map(|every| Instant::now() + every);
    }

    async fn next(&mut self) {
        let (Some(every), Some(next)) = (self.every, self.next) else { return std::future::pending().await };
        tokio::time::sleep_until(next).await;
        self.next = Some(next + every);
    }
}

/// A stream that is gone says so when it is read.
async fn say(outgoing: &mpsc::Sender<v1::AttachRequest>, said: Said) {
    let _ = outgoing.send(frame(said)).await;
}

async fn hear(incoming: &mut Streaming<v1::AttachResponse>) -> Result<Option<Frame>, Status> {
    while let Some(message) = incoming.message().await? {
        if message.frame.is_some() {
            return Ok(message.frame);
        }
    }
    Ok(None)
}
