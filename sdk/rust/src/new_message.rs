//! Describing a message to be sent.

use std::time::Duration;

use callboard_proto::v1;
use serde::Serialize;

use crate::time::proto_duration;
use crate::{Result, payload};

/// A message to be sent to an agent's mailbox.
#[derive(Debug, Clone, Default)]
pub struct NewMessage {
    pub(crate) message: v1::NewMessage,
    pub(crate) request_id: String,
}

impl NewMessage {
    /// A message to the agent of this name. The agent must be known to the server; it need not be attached.
    pub fn to(agent: impl Into<String>) -> Self {
        let to = Some(v1::Address { to: Some(v1::address::To::Agent(agent.into())) });
        Self { message: v1::NewMessage { to, ..Default::default() }, request_id: String::new() }
    }

    /// What it says: a string, [`crate::Bytes`], or anything that can be JSON.
    ///
    /// # Errors
    ///
    /// [`crate::Error::InvalidArgument`] when the value can't be a payload: see [`crate::to_payload`].
    pub fn body<T: Serialize + ?Sized>(self, body: &T) -> Result<Self> {
        Ok(self.body_payload(payload::to_payload(body)?))
    }

    /// What it says as a payload, made by the caller.
    #[must_use]
    pub fn body_payload(mut self, body: v1::Payload) -> Self {
        self.message.payload = Some(body);
        self
    }

    /// What applications agree on: `correlation_id`, `reply_to`. Call it once for each.
    #[must_use]
    pub fn header(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.message.headers.insert(name.into(), value.into());
        self
    }

    /// How long it may wait for its acknowledgement: at most 30 days. Default 7 days.
    #[must_use]
    pub fn ttl(mut self, ttl: Duration) -> Self {
        self.message.ttl = Some(proto_duration(ttl));
        self
    }

    /// Makes a repetition of the call safe beyond its own retries. Default: a random one.
    #[must_use]
    pub fn request_id(mut self, request_id: impl Into<String>) -> Self {
        self.request_id = request_id.into();
        self
    }
}

impl From<v1::NewMessage> for NewMessage {
    fn from(message: v1::NewMessage) -> Self {
        Self { message, request_id: String::new() }
    }
}
