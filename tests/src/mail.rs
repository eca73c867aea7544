//! Messages, frame by frame and call by call.

use crate::agent::{RawAgent, hello};
use crate::server::Server;
use crate::text;
use callboard::v1::attach_request::Frame as Said;
use callboard::v1::attach_response::Frame;
use callboard::v1::message_service_client::MessageServiceClient;
use callboard::v1::{self, Address, Hello, Message, MessageSendReceipt, NewMessage};
use callboard_proto::MAX_MESSAGE_BYTES;
use tonic::Status;
use tonic::transport::Channel;

/// A hello of an agent that takes messages and their receipts.
pub fn mail_hello(name: &str) -> Hello {
    let mut hello = hello(name, "t");
    hello.features.extend(["messages".to_owned(), "message_receipts".to_owned()]);
    hello
}

/// A message to an agent that says something.
pub fn message(to: &str, content: &str) -> NewMessage {
    let to = Some(Address { to: Some(v1::address::To::Agent(to.into())) });
    NewMessage { to, payload: Some(text(content)), ..Default::default() }
}

/// What messages say.
#[track_caller]
pub fn texts(messages: &[Message]) -> Vec<String> {
    messages.iter().map(|message| crate::text_of(message.payload.as_ref())).collect()
}

/// The calls about messages, without retries or request ids.
#[derive(Clone, Debug)]
pub struct Mailbox {
    calls: MessageServiceClient<Channel>,
}

impl Server {
    /// The bare client of `MessageService`.
    pub async fn messages(&self) -> Mailbox {
        let calls = MessageServiceClient::new(self.channel().await);
        Mailbox { calls: calls.max_decoding_message_size(MAX_MESSAGE_BYTES) }
    }
}

impl Mailbox {
    /// Sends a message.
    pub async fn send(&mut self, message: NewMessage) -> Result<v1::MessageReceipt, Status> {
        self.send_as("", message).await
    }

    /// Sends a message under a request id.
    pub async fn send_as(&mut self, request_id: &str, message: NewMessage) -> Result<v1::MessageReceipt, Status> {
        let request =
            v1::SendMessageRequest { message: Some(message), request_id: request_id.into(), ..Default::default() };
        let answer = self.calls.send_message(request).await?.into_inner();
        Ok(answer.receipt.expect("a receipt"))
    }

    /// What waits in an agent's mailbox.
    pub async fn waiting(&mut self, agent: &str) -> Vec<Message> {
        self.fetch(v1::FetchMessagesRequest { agent: agent.into(), ..Default::default() }).await.expect("its mailbox")
    }

    /// Fetches messages.
    pub async fn fetch(&mut self, request: v1::FetchMessagesRequest) -> Result<Vec<Message>, Status> {
        Ok(self.calls.fetch_messages(request).await?.into_inner().messages)
    }

    /// Acknowledges messages; says how many were there.
    pub async fn acknowledge(&mut self, agent: &str, ids: &[&str]) -> Result<i32, Status> {
        let request = v1::AcknowledgeMessagesRequest {
            agent: agent.into(),
            message_ids: ids.iter().map(ToString::to_string).collect(),
            ..Default::default()
        };
        Ok(self.calls.acknowledge_messages(request).await?.into_inner().acknowledged)
    }
}

impl RawAgent {
    /// The next message that is delivered.
    pub async fn message(&mut self) -> Message {
        let first = |frame: &mut Frame| match frame {
            Frame::Messages(batch) => Some(batch.messages.remove(0)),
            _ => None,
        };
        self.pick("a message", first).await
    }

    /// The next messages that are delivered.
    pub async fn messages(&mut self, count: usize) -> Vec<Message> {
        let mut messages = Vec::with_capacity(count);
        for _ in 0..count {
            messages.push(self.message().await);
        }
        messages
    }

    /// Acknowledges messages.
    pub async fn acknowledge(&self, messages: &[&Message]) {
        let message_ids = messages.iter().map(|message| message.id.clone()).collect();
        self.say(Said::Acknowledgements(v1::MessageAcknowledgementBatch { message_ids })).await;
    }

    /// Acknowledges a message, and waits for the receipt.
    pub async fn acknowledged(&mut self, message: &Message) {
        self.acknowledge(&[message]).await;
        let find = |frame: &mut Frame| {
            let Frame::MessageReceipts(batch) = frame else { return None };
            let at = batch.acknowledged_ids.iter().position(|id| *id == message.id)?;
            Some(batch.acknowledged_ids.remove(at))
        };
        self.pick("an acknowledgement's receipt", find).await;
    }

    /// Sends a message, and waits for the receipt.
    pub async fn send(&mut self, request_id: &str, message: NewMessage) -> MessageSendReceipt {
        let send = v1::MessageSend { request_id: request_id.into(), message: Some(message) };
        self.say(Said::Messages(v1::MessageSendBatch { messages: vec![send] })).await;
        let find = |frame: &mut Frame| {
            let Frame::MessageReceipts(batch) = frame else { return None };
            let at = batch.sent.iter().position(|receipt| receipt.request_id == request_id)?;
            Some(batch.sent.remove(at))
        };
        self.pick("a message's receipt", find).await
    }
}
