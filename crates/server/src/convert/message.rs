//! Messages between agents.

use super::frame::frame;
use super::{payload, shorten, time};
use crate::digest;
use callboard_core::model::{Address, Message, MessageId, NewMessage};
use callboard_core::rejection::Rejection;
use callboard_core::validate::Faults;
use callboard_engine::{MessageReceipts, SendItem, SendStatus};
use callboard_proto::v1::address::To;
use callboard_proto::v1::attach_response::Frame;
use callboard_proto::{MAX_FRAME_BYTES, v1};
use prost::Message as _;
use std::fmt::Display;
use std::sync::Arc;
use uuid::Uuid;

/// Under what the request ids of messages are remembered, whichever way they come.
pub(crate) const METHOD: &str = "SendMessage";

/// Reads a message that is to be sent.
pub(crate) fn new_message(at: impl Display + Copy, message: Option<v1::NewMessage>, faults: &mut Faults) -> NewMessage {
    let message = message.unwrap_or_default();
    let to = match message.to.and_then(|address| address.to) {
        Some(To::Agent(name)) => Address::Agent(name.into()),
        // The rules' own check of the name says what is missing.
        None => Address::Agent("".into()),
    };
    let new = NewMessage {
        to,
        // Its faults are named with the others.
        payload: payload::payload(format_args!("{at}.payload"), message.payload, &mut Faults::default()),
        headers: message.headers,
        ttl: time::span(format_args!("{at}.ttl"), message.ttl, faults),
    };
    faults.new_message(at, &new);
    new
}

/// Reads a message that comes over a stream.
pub(crate) fn send_item(send: v1::MessageSend) -> Result<SendItem, Rejection> {
    let mut faults = Faults::default();
    if send.request_id.is_empty() {
        faults.add("messages.request_id", "is empty; give a UUID, so that the message can be repeated");
    }
    let values = send.message.clone().unwrap_or_default();
    let message = new_message("messages.message", send.message, &mut faults);
    faults.finish()?;
    match digest::read(METHOD, &send.request_id, &values)? {
        Some(request) => Ok(SendItem { request, message }),
        None => Err(Rejection::field("messages.request_id", "is empty; give a UUID")),
    }
}

/// Reads messages' ids.
pub(crate) fn message_ids(field: impl Display + Copy, ids: &[String], faults: &mut Faults) -> Vec<MessageId> {
    let read = |(index, text): (usize, &String)| {
        Uuid::try_parse(text).map(MessageId).unwrap_or_else(|_| {
            faults.add(
                format!("{field}[{index}]"),
                format!("{:?} is not a UUID; give the message's full id", shorten(text)),
            );
            MessageId(Uuid::nil())
        })
    };
    ids.iter().enumerate().map(read).collect()
}

/// Writes a message of an agent's mailbox.
pub(crate) fn to_message(message: &Message, namespace: &str, agent: &str) -> v1::Message {
    v1::Message {
        id: message.id.to_string(),
        namespace: namespace.to_owned(),
        to: Some(v1::Address { to: Some(To::Agent(agent.to_owned())) }),
        sequence: message.sequence,
        principal: message.sender.principal.to_string(),
        agent: message.sender.agent.as_deref().unwrap_or_default().to_owned(),
        payload: Some(payload::to_payload(&message.payload)),
        headers: message.headers.clone(),
        sent_at: Some(time::to_timestamp(message.sent_at)),
        expires_at: Some(time::to_timestamp(message.expires_at)),
    }
}

/// Writes where a message is.
pub(crate) fn to_receipt(receipt: callboard_core::command::MessageReceipt) -> v1::MessageReceipt {
    v1::MessageReceipt { message_id: receipt.message.to_string(), sequence: receipt.sequence }
}

/// Messages in frames that are not larger than both sides take.
pub(crate) fn delivery_frames(messages: &[Arc<Message>], namespace: &str, agent: &str) -> Vec<v1::AttachResponse> {
    let mut frames = Vec::new();
    let mut batch = Vec::new();
    let mut size = 0;
    let close = |messages| frame(Frame::Messages(v1::MessageDeliveryBatch { messages }));
    for message in messages {
        let message = to_message(message, namespace, agent);
        let length = message.encoded_len() + 8;
        if size + length > MAX_FRAME_BYTES && !batch.is_empty() {
            frames.push(close(std::mem::take(&mut batch)));
            size = 0;
        }
        size += length;
        batch.push(message);
    }
    if !batch.is_empty() {
        frames.push(close(batch));
    }
    frames
}

/// Writes what became of an agent's own messages and acknowledgements.
pub(crate) fn receipts(receipts: MessageReceipts) -> v1::AttachResponse {
    let MessageReceipts { sent, acknowledged, retry } = receipts;
    let texts = |ids: Vec<MessageId>| ids.iter().map(MessageId::to_string).collect();
    frame(Frame::MessageReceipts(v1::MessageReceiptBatch {
        sent: sent.into_iter().map(|(request_id, status)| to_send_receipt(request_id, status)).collect(),
        acknowledged_ids: texts(acknowledged),
        retry_ids: texts(retry),
    }))
}

/// The receipt of a message that could not be read.
pub(crate) fn refused(request_id: String, rejection: Rejection) -> v1::AttachResponse {
    let sent = vec![to_send_receipt(request_id, SendStatus::Refused(rejection.reason, rejection.message))];
    frame(Frame::MessageReceipts(v1::MessageReceiptBatch { sent, ..Default::default() }))
}

fn to_send_receipt(request_id: String, status: SendStatus) -> v1::MessageSendReceipt {
    let mut receipt = v1::MessageSendReceipt { request_id, ..Default::default() };
    match status {
        SendStatus::Committed(message) => receipt.message = Some(to_receipt(message)),
        SendStatus::Refused(reason, detail) => {
            receipt.set_reason(crate::status::reason(reason).1);
            receipt.detail = detail;
        }
        SendStatus::Retry(detail) => (receipt.retry, receipt.detail) = (true, detail),
    }
    receipt
}
