//! What a message handler is given.

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::SystemTime;

use callboard_proto::v1;
use serde::de::DeserializeOwned;

use super::context::Link;
use crate::task_error::TaskError;
use crate::{Client, NewMessage, Result, payload, time};

/// A message from the agent's mailbox. It is acknowledged when its handler returns without an error.
#[derive(Debug, Clone)]
pub struct Message {
    message: Arc<v1::Message>,
    link: Link,
}

pub(super) type MessageFuture = Pin<Box<dyn Future<Output = Result<(), TaskError>> + Send>>;

/// A message handler, whatever errors its author gave it.
pub(super) type MessageHandler = Arc<dyn Fn(Message) -> MessageFuture + Send + Sync>;

impl Message {
    pub(super) fn new(message: v1::Message, link: Link) -> Self {
        Self { message: Arc::new(message), link }
    }

    /// Its id. The same message has the same id each time that it is delivered.
    pub fn id(&self) -> &str {
        &self.message.id
    }

    /// Its place in the mailbox: 1, 2, 3, ... Behind a promoted standby of PostgreSQL there is a gap.
    pub fn sequence(&self) -> i64 {
        self.message.sequence
    }

    /// The name of the agent that sent it; empty when it was sent by a call.
    pub fn agent(&self) -> &str {
        &self.message.agent
    }

    /// The principal that sent it.
    pub fn principal(&self) -> &str {
        &self.message.principal
    }

    /// What applications agree on: `correlation_id`, `reply_to`.
    pub fn headers(&self) -> &BTreeMap<String, String> {
        &self.message.headers
    }

    /// When it was sent.
    pub fn sent_at(&self) -> Option<SystemTime> {
        self.message.sent_at.as_ref().and_then(time::system_time)
    }

    /// What it says, decoded.
    ///
    /// # Errors
    ///
    /// [`crate::Error::Decode`] when it is no `T`.
    pub fn body<T: DeserializeOwned>(&self) -> Result<T> {
        payload::from_optional(self.message.payload.as_ref())
    }

    /// What it says, as it came.
    pub fn payload(&self) -> Option<&v1::Payload> {
        self.message.payload.as_ref()
    }

    /// All of it.
    pub fn message(&self) -> &v1::Message {
        &self.message
    }

    /// Sends a message as this agent: an answer, say. Returns when it is durable.
    ///
    /// # Errors
    ///
    /// As [`super::Context::send`].
    pub async fn send(&self, message: NewMessage) -> Result<v1::MessageReceipt> {
        self.link.send(message).await
    }

    /// A client of the same server and namespace.
    pub fn client(&self) -> &Client {
        &self.link.client
    }
}

/// A handler of messages.
pub(super) fn of<F, Fut, E>(handler: F) -> MessageHandler
where
    F: Fn(Message) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<(), E>> + Send + 'static,
    E: Into<TaskError>,
{
    let handler = Arc::new(handler);
    Arc::new(move |message| {
        let handler = Arc::clone(&handler);
        Box::pin(async move { handler(message).await.map_err(Into::into) })
    })
}
