//! Messages in the session: what the server says of them, what handlers do with them, and the frames that go.

use callboard_proto::v1;
use tonic::Code;
use v1::attach_request::Frame;

use super::{Action, CANCELLATION, CHILDREN, DRAIN, MESSAGE_RECEIPTS, MESSAGES, Moment, STEPS, Session, Ticket};
use crate::Error;
use crate::error::CallError;

impl Session {
    /// A handler sends a message, and waits for [`Action::SendDone`].
    pub(in crate::agent) fn on_send(&mut self, send: v1::MessageSend, ticket: Ticket) {
        if self.link.is_attached() && !self.link.server_takes(MESSAGES) {
            let refused = refusal(v1::ErrorReason::Unspecified, "the server takes no messages");
            return self.actions.push_back(Action::SendDone { ticket, result: Err(refused) });
        }
        self.mail.send(send, ticket);
    }

    /// The handler of a message has ended.
    pub(in crate::agent) fn on_handled(&mut self, now: Moment, id: &str, error: Option<&str>) {
        if let Some(error) = error {
            tracing::warn!(message = id, error, "a message's handler failed");
        }
        if !self.mail.finish(now, id, error.is_none()) {
            tracing::error!(message = id, "a message failed too often, and is given up");
        }
    }

    /// Hands the next message to the handler, if it is at rest and the agent goes on.
    pub(super) fn handle_next(&mut self, now: Moment) {
        if !self.config.takes_messages || !self.ending.is_working() {
            return;
        }
        if let Some(message) = self.mail.start(now) {
            self.actions.push_back(Action::Handle(Box::new(message)));
        }
    }

    pub(super) fn on_messages(&mut self, batch: v1::MessageDeliveryBatch) {
        if self.config.takes_messages {
            batch.messages.into_iter().for_each(|message| self.mail.deliver(message));
        }
    }

    pub(super) fn on_message_receipts(&mut self, now: Moment, batch: v1::MessageReceiptBatch) {
        for receipt in batch.sent {
            let fraction = self.fraction();
            if let Some((ticket, sent)) = self.mail.on_sent(receipt, now, fraction) {
                let result = sent.map_err(|(reason, detail)| refusal(reason, &detail));
                self.actions.push_back(Action::SendDone { ticket, result });
            }
        }
        self.mail.on_acknowledged(&batch.acknowledged_ids);
        let fraction = self.fraction();
        self.mail.on_retry(batch.retry_ids, now, fraction);
    }

    /// Nobody waits for what has no receipt any longer.
    pub(super) fn give_up_messages(&mut self, error: &Error) {
        for ticket in self.mail.take_sending() {
            self.actions.push_back(Action::SendDone { ticket, result: Err(error.clone()) });
        }
    }

    /// What the agent understands beyond the basic frames.
    pub(super) fn features(&self) -> Vec<String> {
        let mut features = [CANCELLATION, DRAIN, MESSAGE_RECEIPTS, STEPS, CHILDREN].map(str::to_owned).to_vec();
        if self.config.takes_messages {
            features.push(MESSAGES.to_owned());
        }
        features
    }

    pub(super) fn mail_frame(&mut self, now: Moment) -> Option<Frame> {
        if !self.link.server_takes(MESSAGES) {
            return None;
        }
        let message_ids = self.mail.take_acknowledgements(now);
        if !message_ids.is_empty() {
            return Some(Frame::Acknowledgements(v1::MessageAcknowledgementBatch { message_ids }));
        }
        let messages = self.mail.take_sends(now);
        (!messages.is_empty()).then_some(Frame::Messages(v1::MessageSendBatch { messages }))
    }
}

fn refusal(reason: v1::ErrorReason, message: &str) -> Error {
    let code = match reason {
        v1::ErrorReason::AgentNotFound | v1::ErrorReason::NamespaceNotFound => Code::NotFound,
        v1::ErrorReason::LimitReached => Code::ResourceExhausted,
        v1::ErrorReason::InvalidField | v1::ErrorReason::PayloadTooLarge | v1::ErrorReason::RequestIdReused => {
            Code::InvalidArgument
        }
        _ => Code::FailedPrecondition,
    };
    CallError::local(code, reason, message).into()
}
