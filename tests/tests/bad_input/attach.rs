//! An agent's stream: sequences of frames that the protocol does not allow, and reports that must not count.

use crate::case::{self, INVALID, NO_NAMESPACE, Refusal, STALE, TOO_LARGE};
use crate::stage::Stage;
use bytes::Bytes;
use callboard::v1::attach_response::Frame;
use callboard::v1::{AttachResponse, ErrorReason, MessageSendReceipt, Receipt, ReceiptStatus};
use callboard_tests::{descriptors, wait};
use prost_reflect::prost::Message;
use std::collections::BTreeSet;
use tonic::{Code, Status, Streaming};

/// The method that these are cases of.
pub const RPC: &str = "Attach";

const PROTOCOL: Refusal = (Code::FailedPrecondition, ErrorReason::ProtocolViolation);
const SUPERSEDED: Refusal = (Code::Aborted, ErrorReason::SessionSuperseded);
const NOT_YOURS: Refusal = (Code::PermissionDenied, ErrorReason::NotYourLease);
const NO_TASK: Refusal = case::NO_TASK;

/// Hello of an agent that handles nothing there is.
const HELLO: &str = "hello { profile { name: 'stranger' handles { type: 'nothing' } } }";

/// The same, of one that wants receipts for messages.
const MAIL: &str = "hello { profile { name: 'stranger' handles { type: 'nothing' } } features: 'message_receipts' }";

/// A row: frames, and what comes of them.
struct Sequence {
    frames: &'static [&'static str],
    ends: Ends,
    refusal: Refusal,
    names: &'static [&'static str],
}

/// What is refused.
#[derive(Clone, Copy, PartialEq)]
enum Ends {
    /// The stream, with a status.
    Stream,
    /// The last report, with a receipt; the stream goes on.
    Report,
    /// A message to another agent, with a receipt; the stream goes on.
    Message,
}

const fn ends(frames: &'static [&'static str], refusal: Refusal, names: &'static [&'static str]) -> Sequence {
    Sequence { frames, ends: Ends::Stream, refusal, names }
}

const fn refused(frames: &'static [&'static str], refusal: Refusal, names: &'static [&'static str]) -> Sequence {
    Sequence { frames, ends: Ends::Report, refusal, names }
}

const fn unsent(frames: &'static [&'static str], refusal: Refusal, names: &'static [&'static str]) -> Sequence {
    Sequence { frames, ends: Ends::Message, refusal, names }
}

// A row is read as one line, however long it is.
#[rustfmt::skip]
const SEQUENCES: &[Sequence] = &[
    // The order of frames.
    ends(&["heartbeat {}", HELLO], PROTOCOL, &["hello", "first frame"]),
    ends(&["", HELLO], PROTOCOL, &["hello", "first frame"]),
    ends(&["reports {}"], PROTOCOL, &["hello", "first frame"]),
    ends(&["slots { slots: 1 }"], PROTOCOL, &["hello"]),
    ends(&["messages {}", HELLO], PROTOCOL, &["hello"]),
    ends(&["acknowledgements {}", HELLO], PROTOCOL, &["hello"]),
    ends(&["awaits {}", HELLO], PROTOCOL, &["hello"]),
    ends(&["drain {}"], PROTOCOL, &["hello"]),
    ends(&[HELLO, HELLO], PROTOCOL, &["hello", "once"]),
    ends(&[HELLO, "heartbeat {}", "drain {}", HELLO], PROTOCOL, &["hello", "once"]),
    // What a hello says.
    ends(&["hello {}"], INVALID, &["hello.profile.name", "hello.profile.handles"]),
    ends(&["hello { namespace: 'nowhere' profile { name: 'stranger' handles { type: 't' } } }"], NO_NAMESPACE, &["nowhere"]),
    ends(&["hello { namespace: 'NO' profile { name: 'stranger' handles { type: 't' } } }"], INVALID, &["namespace", "small letters"]),
    ends(&["hello { profile { name: 'a b' handles { type: 't' } } }"], INVALID, &["hello.profile.name", "letters"]),
    ends(&["hello { profile { name: 'stranger' handles { type: 't t' } } }"], INVALID, &["hello.profile.handles[0].type"]),
    ends(&["hello { profile { name: 'stranger' slots: -1 handles { type: 't' } } }"], INVALID, &["hello.profile.slots", "is -1"]),
    ends(&["hello { profile { name: 'stranger' resources { key: '' value: nan } handles { type: 't' } } }"], INVALID, &["hello.profile.resources"]),
    ends(&["hello { profile { name: 'stranger' $[60 handles { type: 't#' input_schema: '$(x*60000)' }] } }"], INVALID, &["hello.profile.handles", "2097152"]),
    ends(&["hello { profile { name: 'stranger' handles { type: 't' } } held {} }"], INVALID, &["hello.held[0].task_id", "hello.held[0].lease_token"]),
    ends(&["hello { profile { name: 'stranger' handles { type: 't' } } $[2001 held { $lease }] }"], INVALID, &["hello.held", "2001 entries"]),
    ends(&["hello { profile { name: 'stranger' handles { type: 't' } } previous_epoch: -9223372036854775808 }"], INVALID, &["hello.previous_epoch", "negative"]),
    ends(&["hello { profile { name: 'stranger' handles { type: 't' } } instance_id: '$(x*65)' }"], INVALID, &["hello.instance_id", "at most 64"]),
    ends(&["hello { profile { name: 'stranger' handles { type: 't' } } $[10001 features: 'f#'] }"], INVALID, &["hello.features", "10001 entries"]),
    ends(&["hello { profile { name: 'stranger' role: 'ÿ' handles { type: 't' } } }"], INVALID, &["frame.profile.role", "UTF-8"]),
    // A second program under the name of one that is attached, which had been there before.
    ends(&["hello { profile { name: 'streamer' handles { type: 'stage.running' } } previous_epoch: 1 instance_id: 'second' }"], SUPERSEDED, &["streamer", "another name"]),
    // Frames of an attached agent.
    ends(&[HELLO, "slots { slots: -1 }"], INVALID, &["slots.slots", "is -1", "0 to 1000"]),
    ends(&[HELLO, "slots { slots: 1001 }"], INVALID, &["slots.slots", "1001"]),
    ends(&[HELLO, "reports { $[1001 reports { attempt { $lease } accepted {} }] }"], INVALID, &["reports.reports", "1001 entries", "1000 in a frame"]),
    ends(&[HELLO, "reports { reports { attempt { $lease } rejected { reason: 'ÿ' } } }"], INVALID, &["frame.reports.kind.reason", "UTF-8"]),
    ends(&[HELLO, "reports { reports { report_id: 1 attempt { $lease } completed { result { text: '$(x*4200000)' } } } }"], TOO_LARGE, &["frame", "4194304"]),
    ends(&[HELLO, "messages { $[1001 messages { request_id: 'r#' message { to { agent: 'streamer' } } }] }"], INVALID, &["messages.messages", "1001 entries"]),
    ends(&[HELLO, "acknowledgements { $[1001 message_ids: '$nobody'] }"], INVALID, &["acknowledgements.message_ids", "1001 entries"]),
    ends(&[HELLO, "acknowledgements { message_ids: '$nobody' message_ids: 'nonsense' }"], INVALID, &["acknowledgements.message_ids[1]", "not a UUID"]),
    ends(&[HELLO, "awaits { $[1001 task_ids: '$nobody'] }"], INVALID, &["awaits.task_ids", "1001 entries"]),
    ends(&[HELLO, "awaits { task_ids: '$nobody' task_ids: 'nonsense' }"], INVALID, &["awaits.task_ids[1]", "not a UUID"]),
    ends(&["hello { profile { name: 'stranger' handles { type: 't' } } message_window: -1 }"], INVALID, &["hello.message_window", "is -1"]),
    ends(&["hello { profile { name: 'stranger' handles { type: 't' } } message_window: 101 }"], INVALID, &["hello.message_window", "101"]),
    // Messages that can't be sent.
    unsent(&[MAIL, "messages { messages { request_id: 'm' } }"], INVALID, &["message.to.agent", "is empty"]),
    unsent(&[MAIL, "messages { messages { message { to { agent: 'streamer' } } } }"], INVALID, &["request_id", "is empty"]),
    unsent(&[MAIL, "messages { messages { request_id: '$(x*129)' message { to { agent: 'streamer' } } } }"], INVALID, &["request_id", "128"]),
    unsent(&[MAIL, "messages { messages { request_id: 'm' message { to { agent: 'unheard-of' } } } }"], case::NO_AGENT, &["unheard-of"]),
    unsent(&[MAIL, "messages { messages { request_id: 'm' message { to { agent: 'streamer' } payload { text: '$(x*1048577)' } } } }"], TOO_LARGE, &["message.payload", "1048577"]),
    unsent(&[MAIL, "messages { messages { request_id: 'm' message { to { agent: 'streamer' } ttl { seconds: -1 } } } }"], INVALID, &["message.ttl", "negative"]),
    // Reports that can't be read.
    refused(&[HELLO, "reports { reports { report_id: 7 accepted {} } }"], INVALID, &["report.attempt", "is missing"]),
    refused(&[HELLO, "reports { reports { report_id: 7 attempt {} accepted {} } }"], INVALID, &["report.attempt.task_id", "is empty"]),
    refused(&[HELLO, "reports { reports { report_id: 7 attempt { task_id: 'x' attempt: -1 lease_token: 'y' } accepted {} } }"], INVALID, &["report.attempt.task_id", "report.attempt.attempt", "report.attempt.lease_token"]),
    refused(&[HELLO, "reports { reports { report_id: 7 attempt { $streamed } progress { fraction: nan } } }"], INVALID, &["report.progress.fraction", "NaN"]),
    refused(&[HELLO, "reports { reports { report_id: 7 attempt { $streamed } completed { result { text: '$(x*1048577)' } } } }"], TOO_LARGE, &["report.completed.result", "1048577"]),
    refused(&[HELLO, "reports { reports { report_id: 7 attempt { $streamed } checkpoint { data { text: '$(x*1048577)' } } } }"], TOO_LARGE, &["report.checkpoint.data"]),
    refused(&[HELLO, "reports { reports { report_id: 7 attempt { $streamed } step { name: '' } } }"], INVALID, &["report.step.name", "1 to 128"]),
    refused(&[HELLO, "reports { reports { report_id: 7 attempt { $streamed } step { name: 's' occurrence: -1 } } }"], INVALID, &["report.step.occurrence", "is -1"]),
    refused(&[HELLO, "reports { reports { report_id: 7 attempt { $streamed } step { name: 's' result { text: '$(x*1048577)' } } } }"], TOO_LARGE, &["report.step.result", "1048577"]),
    refused(&[HELLO, "reports { reports { report_id: 7 attempt { $streamed } step { name: 's' } } }"], NOT_YOURS, &["another agent"]),
    refused(&[HELLO, "reports { reports { report_id: 7 attempt { $streamed } output { } } }"], INVALID, &["report.output.chunks", "1 to 64"]),
    refused(&[HELLO, "reports { reports { report_id: 7 attempt { $streamed } output { offset: -1 chunks { text: 'x' } } } }"], INVALID, &["report.output.offset", "is -1"]),
    refused(&[HELLO, "reports { reports { report_id: 7 attempt { $streamed } output { chunks { text: '$(x*65537)' } } } }"], INVALID, &["report.output.chunks[0]", "65537"]),
    refused(&[HELLO, "reports { reports { report_id: 7 attempt { $streamed } output { chunks { text: 'x' } } } }"], NOT_YOURS, &["another agent"]),
    refused(&[HELLO, "reports { reports { report_id: 7 attempt { $streamed } failed { failure { retry_after { seconds: -1 } } } } }"], INVALID, &["report.failed.failure.retry_after", "negative"]),
    // Reports of what is another's, or over.
    refused(&[HELLO, "reports { reports { report_id: 7 attempt { $streamed } accepted {} } }"], NOT_YOURS, &["attempt", "another agent"]),
    refused(&[HELLO, "reports { reports { report_id: 7 attempt { $streamed } completed { result { text: 'stolen' } } } }"], NOT_YOURS, &["another agent"]),
    refused(&[HELLO, "reports { reports { report_id: 7 attempt { $lease } failed {} } }"], NOT_YOURS, &["another agent"]),
    refused(&[HELLO, "reports { reports { report_id: 7 attempt { $lease } rejected {} } }"], NOT_YOURS, &["another agent"]),
    refused(&[HELLO, "reports { reports { report_id: 7 attempt { $lease } progress { fraction: 0.5 } } }"], NOT_YOURS, &["another agent"]),
    refused(&[HELLO, "reports { reports { report_id: 7 attempt { $lease } pause {} } }"], NOT_YOURS, &["another agent"]),
    refused(&[HELLO, "reports { reports { report_id: 7 attempt { $stale } resume {} } }"], STALE, &["attempt 1", "stop the work"]),
    refused(&[HELLO, "reports { reports { report_id: 7 attempt { $wrong_token } accepted {} } }"], NOT_YOURS, &["another agent"]),
    refused(&[HELLO, "reports { reports { report_id: 7 attempt { $stale } completed {} } }"], STALE, &["attempt 1", "stop the work"]),
    refused(&[HELLO, "reports { reports { report_id: 7 attempt { $future } completed {} } }"], STALE, &["attempt 3"]),
    refused(&[HELLO, "reports { reports { report_id: 7 attempt { $ended } completed { result { text: 'another' } } } }"], STALE, &["COMPLETED"]),
    refused(&[HELLO, "reports { reports { report_id: 7 attempt { $foreign } completed {} } }"], NO_TASK, &["$nobody"]),
    refused(&["hello { namespace: 'other' profile { name: 'stranger' handles { type: 'nothing' } } }", "reports { reports { report_id: 7 attempt { $lease } completed {} } }"], NO_TASK, &["$claimed"]),
];

impl Sequence {
    async fn run(&self, stage: &Stage) -> Result<(), String> {
        let method = descriptors::method(RPC);
        let frames = self.frames.iter().map(|frame| case::encode(method.input(), &stage.fill(frame)));
        let (say, said) = tokio::sync::mpsc::channel::<Bytes>(self.frames.len());
        frames.for_each(|frame| say.try_send(frame).unwrap());
        let said = tokio_stream::wrappers::ReceiverStream::new(said);
        let names = stage.fill_all(self.names);
        let heard = match stage.client.stream(&method, said).await {
            Ok(mut answers) => hear(&mut answers).await,
            Err(status) => Heard::End(status),
        };
        drop(say);
        match (self.ends, heard) {
            (Ends::Stream, Heard::End(status)) => case::check(&status, self.refusal, &names),
            (Ends::Report, Heard::Receipt(receipt)) => check_receipt(&receipt, self.refusal, &names),
            (_, Heard::End(status)) => Err(format!("the stream ended with {status:?}")),
            (Ends::Message, Heard::Message(receipt)) => check_message(&receipt, self.refusal, &names),
            (_, Heard::Message(receipt)) => Err(format!("the stream went on with {receipt:?}")),
            (_, Heard::Receipt(receipt)) => Err(format!("the stream went on with {receipt:?}")),
        }
    }
}

enum Heard {
    End(Status),
    Receipt(Receipt),
    Message(MessageSendReceipt),
}

/// The stream's end, or the first receipt.
async fn hear(answers: &mut Streaming<Bytes>) -> Heard {
    loop {
        let frame = match wait::soon("a frame or the end", answers.message()).await {
            Ok(Some(frame)) => AttachResponse::decode(frame).unwrap().frame,
            Ok(None) => return Heard::End(Status::ok("an orderly end")),
            Err(status) => return Heard::End(status),
        };
        match frame {
            Some(Frame::Receipts(batch)) => return Heard::Receipt(batch.receipts[0].clone()),
            Some(Frame::MessageReceipts(batch)) => return Heard::Message(batch.sent[0].clone()),
            _ => {}
        }
    }
}

fn check_message(receipt: &MessageSendReceipt, (_, reason): Refusal, names: &[String]) -> Result<(), String> {
    if receipt.reason() != reason || receipt.message.is_some() {
        return Err(format!("expected {reason:?}, got {receipt:?}"));
    }
    names_all(&receipt.detail, names)
}

fn names_all(message: &str, names: &[String]) -> Result<(), String> {
    match names.iter().find(|name| !message.contains(name.as_str())) {
        Some(name) => Err(format!("the message does not name {name:?}: {message}")),
        None => Ok(()),
    }
}

fn check_receipt(receipt: &Receipt, (_, reason): Refusal, names: &[String]) -> Result<(), String> {
    if (receipt.report_id, receipt.status(), receipt.reason()) != (7, ReceiptStatus::Refused, reason) {
        return Err(format!("expected REFUSED {reason:?}, got {receipt:?}"));
    }
    names_all(&receipt.message, names)
}

#[tokio::test]
async fn every_stream_refuses_nonsense_and_changes_nothing() {
    let stage = Stage::set().await;
    let mut failures = Vec::new();
    let (first, before) = (stage.snapshot().await, stage.glance().await);
    for sequence in SEQUENCES {
        let verdict = sequence.run(&stage).await;
        stage.forget("stranger").await;
        let after = stage.glance().await;
        let name = sequence.frames.join(" | ");
        failures.extend(verdict.err().map(|fault| format!("{name}\n    {fault}")));
        failures.extend(before.changed(&after).map(|change| format!("{name}\n    changed {change}")));
    }
    failures.extend(first.changed(&stage.snapshot().await).map(|change| format!("in the end: changed {change}")));
    stage.still_works().await;
    assert!(failures.is_empty(), "{} faults:\n{}", failures.len(), failures.join("\n"));
}

/// Every kind of frame and of report stands in a row.
#[test]
fn every_kind_of_frame_has_its_cases() {
    let input = descriptors::method(RPC).input();
    let report = descriptors::pool().get_message_by_name("callboard.v1.Report").unwrap();
    let rows: String = SEQUENCES.iter().flat_map(|sequence| sequence.frames).copied().collect();
    let kinds = [input, report].into_iter().flat_map(|m| m.oneofs().collect::<Vec<_>>());
    let kinds = kinds.flat_map(|oneof| oneof.fields().map(|field| field.name().to_owned()).collect::<Vec<_>>());
    let missing: BTreeSet<String> = kinds.filter(|kind| !rows.contains(&format!("{kind} {{"))).collect();
    assert!(missing.is_empty(), "no sequence with {missing:?}: add rows to tests/tests/bad_input/attach.rs");
}
