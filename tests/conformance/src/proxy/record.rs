//! What passed through a proxy, as the verdicts read it.

use callboard_proto::v1;
use serde_json::{Value, json};
use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::Notify;
use tokio::time::Instant;

/// Which way something went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// From the SDK to the server.
    Up,
    /// From the server to the SDK.
    Down,
}

impl Way {
    fn name(self) -> &'static str {
        match self {
            Self::Up => "up",
            Self::Down => "down",
        }
    }
}

/// One thing that was said: a report, a receipt, an assignment, a call. Frames that carry lists are recorded item by item.
#[derive(Clone, Debug)]
pub struct Entry {
    /// When, since the scenario began.
    pub at: Duration,
    /// What it is: `way`, `kind`, `stream` and what there is of `task_id`, `attempt`, and so on.
    pub said: Value,
}

/// Everything that passed, in order. Shared by all proxies of a scenario.
#[derive(Debug)]
pub struct Record {
    began: Instant,
    entries: Mutex<Vec<Entry>>,
    /// The kind of each report that was seen, by what its receipt will say.
    reports: Mutex<HashMap<(i64, String, i32), &'static str>>,
    changed: Notify,
}

impl Default for Record {
    fn default() -> Self {
        Self { began: Instant::now(), entries: Mutex::default(), reports: Mutex::default(), changed: Notify::new() }
    }
}

/// What an item of a frame is: its kind, and what is told of it.
pub type Item = (&'static str, Value);

impl Record {
    /// Adds something that was said. `stream` counts the attachments of the scenario; calls have 0.
    pub fn add(&self, way: Way, stream: u32, (kind, mut said): Item) {
        said["way"] = way.name().into();
        said["kind"] = kind.into();
        said["stream"] = stream.into();
        let entry = Entry { at: self.began.elapsed(), said };
        self.entries.lock().unwrap_or_else(PoisonError::into_inner).push(entry);
        self.changed.notify_waiters();
    }

    /// What was said so far.
    pub fn entries(&self) -> Vec<Entry> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Shows what was said behind the first `known` entries, and gives how many there are now: who waits looks at each once, not at all of
    /// them whenever one comes.
    pub fn behind(&self, known: usize, mut show: impl FnMut(&Entry)) -> usize {
        let entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        entries.iter().skip(known).for_each(&mut show);
        entries.len()
    }

    /// Told of by [`Record::add`].
    pub fn changed(&self) -> &Notify {
        &self.changed
    }

    /// How long it is since the scenario began.
    pub fn now(&self) -> Duration {
        self.began.elapsed()
    }

    /// Keeps what a report was, for its receipt.
    pub fn note_report(&self, report: &v1::Report) {
        let kind = report_kind(report);
        self.reports
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(report_key(report.report_id, &report.attempt), kind);
    }

    /// What a receipt is for; empty when the report was not seen.
    pub fn receipt_of(&self, receipt: &v1::Receipt) -> &'static str {
        let reports = self.reports.lock().unwrap_or_else(PoisonError::into_inner);
        reports.get(&report_key(receipt.report_id, &receipt.attempt)).copied().unwrap_or_default()
    }
}

fn report_key(report_id: i64, attempt: &Option<v1::Attempt>) -> (i64, String, i32) {
    let attempt = attempt.clone().unwrap_or_default();
    (report_id, attempt.task_id, attempt.attempt)
}

/// What a report says, by the name of its field.
pub fn report_kind(report: &v1::Report) -> &'static str {
    use v1::report::Kind;
    match &report.kind {
        Some(Kind::Accepted(_)) => "accepted",
        Some(Kind::Rejected(_)) => "rejected",
        Some(Kind::Progress(_)) => "progress",
        Some(Kind::Checkpoint(_)) => "checkpoint",
        Some(Kind::Step(_)) => "step",
        Some(Kind::Pause(_)) => "pause",
        Some(Kind::Resume(_)) => "resume",
        Some(Kind::Output(_)) => "output",
        Some(Kind::Completed(_)) => "completed",
        Some(Kind::Failed(_)) => "failed",
        None => "unknown",
    }
}

/// The items of a frame of an agent.
pub fn items_up(frame: &v1::AttachRequest) -> Vec<Item> {
    use v1::attach_request::Frame;
    match &frame.frame {
        Some(Frame::Hello(hello)) => vec![("hello", hello_said(hello))],
        Some(Frame::Heartbeat(_)) => vec![("heartbeat", json!({}))],
        Some(Frame::Reports(batch)) => batch.reports.iter().map(report_item).collect(),
        Some(Frame::Slots(change)) => vec![("slots", json!({ "slots": change.slots }))],
        Some(Frame::Drain(_)) => vec![("drain", json!({}))],
        Some(Frame::Messages(batch)) => batch.messages.iter().map(send_item).collect(),
        Some(Frame::Acknowledgements(batch)) => {
            batch.message_ids.iter().map(|id| ("acknowledgement", json!({ "message_id": id }))).collect()
        }
        Some(Frame::Awaits(batch)) => batch.task_ids.iter().map(|id| ("await", json!({ "task_id": id }))).collect(),
        None => vec![("unknown", json!({}))],
    }
}

fn hello_said(hello: &v1::Hello) -> Value {
    let profile = hello.profile.clone().unwrap_or_default();
    let held: Vec<Value> = hello.held.iter().map(|held| attempt_said(&Some(held.clone()))).collect();
    let handles: Vec<Value> = profile
        .handles
        .iter()
        .map(|handler| {
            json!({ "type": handler.r#type, "description": handler.description, "input_schema": handler.input_schema,
                    "output_schema": handler.output_schema })
        })
        .collect();
    json!({
        "agent": profile.name, "agent_type": profile.agent_type, "role": profile.role, "skills": profile.skills,
        "tools": profile.tools, "labels": profile.labels, "slots": profile.slots, "build_id": profile.build_id,
        "sdk": profile.sdk, "sdk_version": profile.sdk_version, "handles": handles, "held": held,
        "features": hello.features, "previous_epoch": hello.previous_epoch, "instance_id": hello.instance_id,
        "namespace": hello.namespace,
    })
}

fn report_item(report: &v1::Report) -> Item {
    use v1::report::Kind;
    let mut said = attempt_said(&report.attempt);
    said["report_id"] = report.report_id.into();
    match &report.kind {
        Some(Kind::Rejected(rejected)) => said["reason"] = rejected.reason.clone().into(),
        Some(Kind::Progress(progress)) => {
            said["fraction"] = json!(progress.fraction);
            said["phase"] = progress.phase.clone().into();
            said["message"] = progress.message.clone().into();
        }
        Some(Kind::Step(step)) => {
            said["name"] = step.name.clone().into();
            said["occurrence"] = step.occurrence.into();
        }
        Some(Kind::Output(output)) => {
            said["offset"] = output.offset.into();
            said["chunks"] = output.chunks.len().into();
            said["bytes"] = output.chunks.iter().map(content_bytes).sum::<usize>().into();
            said["largest"] = output.chunks.iter().map(content_bytes).max().into();
        }
        Some(Kind::Failed(failed)) => {
            let failure = failed.failure.clone().unwrap_or_default();
            said["type"] = failure.r#type.into();
            said["message"] = failure.message.into();
            said["retryable"] = json!(failure.retryable);
        }
        _ => {}
    }
    (report_kind(report), said)
}

/// How many bytes of content a payload has.
pub fn content_bytes(payload: &v1::Payload) -> usize {
    use v1::payload::Content;
    match &payload.content {
        Some(Content::Text(text)) => text.len(),
        Some(Content::Binary(bytes)) => bytes.len(),
        None => 0,
    }
}

fn send_item(send: &v1::MessageSend) -> Item {
    ("message", json!({ "request_id": send.request_id }))
}

/// The items of a frame of the server.
pub fn items_down(frame: &v1::AttachResponse, record: &Record) -> Vec<Item> {
    use v1::attach_response::Frame;
    match &frame.frame {
        Some(Frame::Welcome(welcome)) => vec![(
            "welcome",
            json!({ "agent_id": welcome.agent_id, "session_epoch": welcome.session_epoch,
                    "held": welcome.held.iter().map(|held| attempt_said(&Some(held.clone()))).collect::<Vec<_>>(),
                    "features": welcome.features }),
        )],
        Some(Frame::Assignments(batch)) => batch.assignments.iter().map(assignment_item).collect(),
        Some(Frame::Receipts(batch)) => batch.receipts.iter().map(|receipt| receipt_item(receipt, record)).collect(),
        Some(Frame::Cancellations(batch)) => batch.cancellations.iter().map(cancellation_item).collect(),
        Some(Frame::Drain(notice)) => vec![("drain", json!({ "endpoints": notice.endpoints }))],
        Some(Frame::Heartbeat(_)) => vec![("heartbeat", json!({}))],
        Some(Frame::Messages(batch)) => {
            batch.messages.iter().map(|message| ("message", json!({ "message_id": message.id }))).collect()
        }
        Some(Frame::MessageReceipts(batch)) => vec![(
            "message_receipt",
            json!({ "sent": batch.sent.iter().map(|sent| sent.request_id.clone()).collect::<Vec<_>>(),
                    "acknowledged_ids": batch.acknowledged_ids, "retry_ids": batch.retry_ids }),
        )],
        Some(Frame::TaskEnds(batch)) => batch.ends.iter().map(task_end_item).collect(),
        Some(Frame::Resumptions(batch)) => {
            batch.resumptions.iter().map(|resumption| ("resumption", attempt_said(&resumption.attempt))).collect()
        }
        None => vec![("unknown", json!({}))],
    }
}

fn assignment_item(assignment: &v1::Assignment) -> Item {
    let mut said = attempt_said(&assignment.attempt);
    let spec = assignment.spec.clone().unwrap_or_default();
    said["type"] = spec.r#type.into();
    said["headers"] = json!(spec.headers);
    said["run"] = assignment.run.into();
    said["with_checkpoint"] = assignment.checkpoint.is_some().into();
    said["steps"] = assignment.steps.iter().map(|step| json!([step.name, step.occurrence])).collect();
    said["step_count"] = assignment.step_count.into();
    ("assignment", said)
}

fn receipt_item(receipt: &v1::Receipt, record: &Record) -> Item {
    let mut said = attempt_said(&receipt.attempt);
    said["report_id"] = receipt.report_id.into();
    said["of"] = record.receipt_of(receipt).into();
    said["status"] = bare(receipt.status().as_str_name(), "RECEIPT_STATUS_").into();
    said["reason"] = bare(receipt.reason().as_str_name(), "ERROR_REASON_").into();
    said["state"] = bare(receipt.state().as_str_name(), "TASK_STATE_").into();
    ("receipt", said)
}

fn task_end_item(end: &v1::TaskEnd) -> Item {
    let state = bare(end.state().as_str_name(), "TASK_STATE_");
    (
        "task_end",
        json!({ "task_id": end.task_id, "state": state, "run": end.run, "with_result": end.result.is_some(),
                "result_omitted": end.result_omitted }),
    )
}

fn cancellation_item(cancellation: &v1::Cancellation) -> Item {
    let mut said = attempt_said(&cancellation.attempt);
    said["reason"] = bare(cancellation.reason().as_str_name(), "CANCELLATION_REASON_").into();
    ("cancellation", said)
}

fn attempt_said(attempt: &Option<v1::Attempt>) -> Value {
    let attempt = attempt.clone().unwrap_or_default();
    json!({ "task_id": attempt.task_id, "attempt": attempt.attempt })
}

/// An enum value's name as people write it.
pub fn bare(name: &str, prefix: &str) -> String {
    name.strip_prefix(prefix).unwrap_or(name).to_owned()
}
