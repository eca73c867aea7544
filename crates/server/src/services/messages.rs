//! `MessageService`.

use super::{Answer, Host, check, open, unexpected};
use crate::convert::{message, time};
use crate::identity::Caller;
use crate::{caller, digest, mailbox, status};
use callboard_core::command::{Command, Reply};
use callboard_core::limits::{DEFAULT_PAGE, MAX_MESSAGES, MAX_PAGE};
use callboard_core::model::Span;
use callboard_core::validate::Faults;
use callboard_engine::FetchRequest;
use callboard_proto::v1::message_service_server::MessageService;
use callboard_proto::{MAX_FRAME_BYTES, v1};
use tonic::{Request, Response};

/// How long a fetch may wait.
const MAX_WAIT: Span = Span::seconds(60);
/// The room of an answer for what senders chose; the rest is for ids, names and times of a thousand messages.
const PAGE_BYTES: usize = MAX_FRAME_BYTES - (512 << 10);

/// The service.
#[derive(Clone, Debug)]
pub(crate) struct Messages(pub Host);

#[tonic::async_trait]
impl MessageService for Messages {
    async fn send_message(&self, request: Request<v1::SendMessageRequest>) -> Answer<v1::SendMessageResponse> {
        let (principal, request) = open(request)?;
        let mut faults = Faults::default();
        let values = request.message.clone().unwrap_or_default();
        let new = message::new_message("message", request.message, &mut faults);
        check(faults)?;
        let token = digest::token(message::METHOD, &request.request_id, &values)?;
        let command = Command::SendMessage { from: None, message: new };
        match self.0.command(principal, &request.namespace, token, command).await? {
            Reply::Sent(receipt) => {
                Ok(Response::new(v1::SendMessageResponse { receipt: Some(message::to_receipt(receipt)) }))
            }
            other => Err(unexpected(&other)),
        }
    }

    async fn fetch_messages(&self, request: Request<v1::FetchMessagesRequest>) -> Answer<v1::FetchMessagesResponse> {
        let caller = Caller::of(&request)?;
        let (_, request) = open(request)?;
        let mut faults = Faults::default();
        faults.name("agent", &request.agent);
        let wait = time::span("wait", request.wait, &mut faults).unwrap_or_default();
        faults.span("wait", wait, Span(0), MAX_WAIT);
        if request.after_sequence < 0 {
            faults.add("after_sequence", "is negative; give the sequence of the last message, or 0");
        }
        let limit = match usize::try_from(request.max_messages) {
            Ok(0) => DEFAULT_PAGE,
            Ok(limit) if limit <= MAX_PAGE => limit,
            _ => {
                let fault =
                    format!("is {}; must be 0 (the default of {DEFAULT_PAGE}) to {MAX_PAGE}", request.max_messages);
                faults.add("max_messages", fault);
                1
            }
        };
        check(faults)?;
        let agent = mailbox::seen_by(&self.0, &caller, &request.namespace, &request.agent).await?;
        let fetch = FetchRequest { after: request.after_sequence, limit, max_bytes: PAGE_BYTES, wait: wait.to_std() };
        let at = (agent.namespace, agent.id);
        let give_up = self.0.drain.begun.cancelled();
        let found = self.0.engine.fetch_messages(at, fetch, give_up).await.map_err(status::of_engine)?;
        let namespace = caller::namespace(&request.namespace);
        let messages = found.iter().map(|found| message::to_message(found, &namespace, &agent.name)).collect();
        Ok(Response::new(v1::FetchMessagesResponse { messages }))
    }

    async fn acknowledge_messages(
        &self,
        request: Request<v1::AcknowledgeMessagesRequest>,
    ) -> Answer<v1::AcknowledgeMessagesResponse> {
        let (principal, request) = open(request)?;
        let mut faults = Faults::default();
        faults.name("agent", &request.agent);
        let count = request.message_ids.len();
        if !(1..=MAX_MESSAGES).contains(&count) {
            faults.add("message_ids", format!("has {count} entries; give 1 to {MAX_MESSAGES}"));
        }
        let messages = message::message_ids("message_ids", &request.message_ids, &mut faults);
        check(faults)?;
        let agent = mailbox::of(&self.0, &principal, &request.namespace, &request.agent).await?;
        let command = Command::AcknowledgeMessages { agent: agent.id, epoch: None, messages };
        match self.0.command(principal, &request.namespace, None, command).await? {
            Reply::Taken(count) => Ok(Response::new(v1::AcknowledgeMessagesResponse {
                acknowledged: i32::try_from(count).unwrap_or(i32::MAX),
            })),
            other => Err(unexpected(&other)),
        }
    }
}
