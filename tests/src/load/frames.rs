//! An agent that speaks frames itself, and repeats, lies and comes back as agents do.

use super::Worker;
use super::answer::explains_an_end;
use super::history::{Said, Verdict};
use super::work::{FRAMES, Work, asked_to_fail, payload, resources, result_of};
use callboard::v1;
use callboard::v1::attach_request::Frame as Saying;
use callboard::v1::attach_response::Frame;
use callboard::v1::report::Kind;
use rand::Rng;
use std::collections::BTreeMap;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Streaming;

const SLOTS: i32 = 4;
/// A third of a short lease.
const BEAT: Duration = Duration::from_millis(500);
/// How many frames may wait.
const OUTGOING: usize = 256;

/// A report without a receipt.
struct Unreceipted {
    report: v1::Report,
    /// In the history; none for an acceptance.
    index: Option<usize>,
}

/// The agent, beyond its streams.
struct Speaker {
    worker: Worker,
    epoch: i64,
    /// Attempts whose handlers run.
    running: BTreeMap<String, v1::Attempt>,
    handlers: JoinSet<(v1::Assignment, v1::Attempt)>,
    unreceipted: BTreeMap<i64, Unreceipted>,
    next_report: i64,
}

/// Attaches, works, and attaches again when its stream breaks, until it is to stop.
pub(super) async fn speak(worker: Worker) {
    worker.recorder.declares(&worker.name, &resources(&worker.size));
    let mut speaker = Speaker {
        worker,
        epoch: 0,
        running: BTreeMap::new(),
        handlers: JoinSet::new(),
        unreceipted: BTreeMap::new(),
        next_report: 1,
    };
    while !speaker.worker.stop.is_cancelled() {
        if let Err(status) = speaker.attached().await {
            note_end(&speaker, &status);
        }
        speaker.worker.pause(20..120).await;
    }
}

/// An end of the stream that no fault explains is a surprise.
fn note_end(speaker: &Speaker, status: &tonic::Status) {
    if !explains_an_end(status, speaker.worker.size.cut_off) {
        speaker.worker.recorder.surprise(format!("the stream of {} ended: {status:?}", speaker.worker.name));
    }
}

impl Speaker {
    /// One stream, from hello to its end.
    async fn attached(&mut self) -> Result<(), tonic::Status> {
        let (outgoing, frames) = mpsc::channel(OUTGOING);
        let _ = outgoing.try_send(said(Saying::Hello(self.hello())));
        let mut incoming = self.worker.client.agents().attach(ReceiverStream::new(frames)).await?.into_inner();
        let stop = self.worker.stop.clone();
        loop {
            let beat = tokio::time::sleep(BEAT);
            tokio::select! {
                () = stop.cancelled() => return Ok(()),
                frame = next(&mut incoming) => match frame? {
                    // The server goes away: another is attached to, with what runs.
                    Some(Frame::Drain(_)) | None => return Ok(()),
                    Some(frame) => self.hear(frame, &outgoing).await,
                },
                Some(Ok((assignment, attempt))) = self.handlers.join_next() => {
                    self.ended(&assignment, attempt, &outgoing).await;
                }
                () = beat => send(&outgoing, Saying::Heartbeat(v1::Heartbeat {})).await,
            }
        }
    }

    fn hello(&self) -> v1::Hello {
        let mut held: Vec<v1::Attempt> = self.running.values().cloned().collect();
        // A lie is not held: it names a lease that is not this agent's.
        let waiting = self.unreceipted.values().filter(|waiting| !self.is_lie(waiting));
        held.extend(waiting.filter_map(|waiting| waiting.report.attempt.clone()));
        held.sort_by(|a, b| (&a.task_id, a.attempt).cmp(&(&b.task_id, b.attempt)));
        held.dedup();
        let mut hello = crate::agent::hello_with_slots(&self.worker.name, FRAMES, SLOTS);
        if let Some(profile) = &mut hello.profile {
            profile.resources = resources(&self.worker.size);
        }
        v1::Hello { held, previous_epoch: self.epoch, ..hello }
    }

    fn is_lie(&self, waiting: &Unreceipted) -> bool {
        waiting.index.is_some_and(|index| self.worker.recorder.history().reports[index].bogus)
    }

    async fn hear(&mut self, frame: Frame, outgoing: &mpsc::Sender<v1::AttachRequest>) {
        match frame {
            Frame::Welcome(welcome) => {
                self.epoch = welcome.session_epoch;
                // Handlers of what is no longer held go on; their reports will be refused.
                let reports: Vec<_> = self.unreceipted.values().map(|waiting| waiting.report.clone()).collect();
                if !reports.is_empty() {
                    send(outgoing, Saying::Reports(v1::ReportBatch { reports })).await;
                }
            }
            Frame::Assignments(batch) => {
                for assignment in batch.assignments {
                    self.begin(assignment, outgoing).await;
                }
            }
            Frame::Receipts(batch) => {
                for receipt in batch.receipts {
                    self.receipted(&receipt, outgoing).await;
                }
            }
            Frame::Cancellations(_)
            | Frame::TaskEnds(_)
            | Frame::Resumptions(_)
            | Frame::Drain(_)
            | Frame::Heartbeat(_)
            | Frame::Messages(_)
            | Frame::MessageReceipts(_) => {}
        }
    }

    async fn begin(&mut self, assignment: v1::Assignment, outgoing: &mpsc::Sender<v1::AttachRequest>) {
        let Some(attempt) = assignment.attempt.clone() else { return };
        if self.running.contains_key(&attempt.lease_token) {
            return;
        }
        self.running.insert(attempt.lease_token.clone(), attempt.clone());
        self.report(attempt.clone(), Kind::Accepted(v1::Accepted {}), None, outgoing).await;
        let (recorder, name) = (self.worker.recorder.clone(), self.worker.name.clone());
        let work = Work::of(&assignment);
        self.handlers.spawn(async move {
            let running = recorder.run(&attempt.task_id, attempt.attempt, &name);
            tokio::time::sleep(work.length()).await;
            running.gives(outcome(&assignment, &attempt, &name));
            drop(running);
            (assignment, attempt)
        });
    }

    async fn ended(
        &mut self,
        assignment: &v1::Assignment,
        attempt: v1::Attempt,
        outgoing: &mpsc::Sender<v1::AttachRequest>,
    ) {
        if self.worker.random.random_bool(0.1) {
            self.lie(&attempt, outgoing).await;
        }
        self.running.remove(&attempt.lease_token);
        let said = outcome(assignment, &attempt, &self.worker.name);
        let index = self.worker.recorder.report(attempt.clone(), said.clone(), false);
        self.report(attempt.clone(), kind(&said), Some(index), outgoing).await;
        // The same again, under another id: it must get the same receipt.
        if self.worker.random.random_bool(0.2) {
            self.report(attempt.clone(), kind(&said), Some(index), outgoing).await;
        }
    }

    /// Another outcome behind one that was committed: it must be refused. (Behind one that has no receipt it could be the first to
    /// be decided, when the store is away for moments.)
    async fn second_thought(&mut self, index: usize, outgoing: &mpsc::Sender<v1::AttachRequest>) {
        let attempt = {
            let history = self.worker.recorder.history();
            let first = &history.reports[index];
            (!first.bogus && first.receipts.len() == 1).then(|| first.attempt.clone())
        };
        if let Some(attempt) = attempt.filter(|_| self.worker.random.random_bool(0.1)) {
            let late = Said::Completed("a second thought".to_owned());
            let index = self.worker.recorder.report(attempt.clone(), late.clone(), true);
            self.report(attempt, kind(&late), Some(index), outgoing).await;
        }
    }

    /// A report of another attempt, or with another token, must change nothing.
    async fn lie(&mut self, attempt: &v1::Attempt, outgoing: &mpsc::Sender<v1::AttachRequest>) {
        let mut lie = attempt.clone();
        match self.worker.random.random_bool(0.5) {
            true => lie.attempt += 1,
            false => lie.lease_token = "0123456789abcdef0123456789abcdef".to_owned(),
        }
        let said = Said::Completed("a lie".to_owned());
        let index = self.worker.recorder.report(lie.clone(), said.clone(), true);
        self.report(lie, kind(&said), Some(index), outgoing).await;
    }

    async fn report(
        &mut self,
        attempt: v1::Attempt,
        kind: Kind,
        index: Option<usize>,
        outgoing: &mpsc::Sender<v1::AttachRequest>,
    ) {
        let report_id = self.next_report;
        self.next_report += 1;
        let report = v1::Report { report_id, attempt: Some(attempt), kind: Some(kind) };
        self.unreceipted.insert(report_id, Unreceipted { report: report.clone(), index });
        send(outgoing, Saying::Reports(v1::ReportBatch { reports: vec![report] })).await;
    }

    async fn receipted(&mut self, receipt: &v1::Receipt, outgoing: &mpsc::Sender<v1::AttachRequest>) {
        let Some(waiting) = self.unreceipted.get(&receipt.report_id) else { return };
        let verdict = match receipt.status() {
            v1::ReceiptStatus::Committed => Verdict::Committed,
            v1::ReceiptStatus::Refused => Verdict::Refused,
            _ => {
                let reports = vec![waiting.report.clone()];
                return send(outgoing, Saying::Reports(v1::ReportBatch { reports })).await;
            }
        };
        let index = waiting.index;
        self.unreceipted.remove(&receipt.report_id);
        if let Some(index) = index {
            self.worker.recorder.receipt(index, verdict);
            if verdict == Verdict::Committed {
                self.second_thought(index, outgoing).await;
            }
        }
    }
}

fn outcome(assignment: &v1::Assignment, attempt: &v1::Attempt, agent: &str) -> Said {
    match Work::of(assignment).fails(assignment.attempts_used) {
        true => Said::Failed(asked_to_fail().r#type),
        false => Said::Completed(result_of(&attempt.task_id, attempt.attempt, agent)),
    }
}

fn kind(said: &Said) -> Kind {
    match said {
        Said::Completed(text) => Kind::Completed(v1::Completion { result: Some(payload("text/plain", text)) }),
        Said::Failed(_) => Kind::Failed(v1::FailureReport { failure: Some(asked_to_fail()) }),
    }
}

fn said(frame: Saying) -> v1::AttachRequest {
    v1::AttachRequest { frame: Some(frame) }
}

/// A stream that is gone says so when it is read.
async fn send(outgoing: &mpsc::Sender<v1::AttachRequest>, frame: Saying) {
    let _ = outgoing.send(said(frame)).await;
}

async fn next(incoming: &mut Streaming<v1::AttachResponse>) -> Result<Option<Frame>, tonic::Status> {
    while let Some(message) = incoming.message().await? {
        if message.frame.is_some() {
            return Ok(message.frame);
        }
    }
    Ok(None)
}
