//! Sending messages to agents, and reading an agent's mailbox.

use std::time::Duration;

use callboard_proto::v1;
use futures::stream::{self, Stream};

use super::Client;
use super::tasks::flatten;
use crate::time::proto_duration;
use crate::{Error, NewMessage, Result};

/// How long one fetch of a watch waits. Shorter than what proxies leave an idle request.
const WAIT_SLICE: Duration = Duration::from_secs(50);

impl Client {
    /// Sends a message to an agent's mailbox. It is durable when this returns.
    ///
    /// # Errors
    ///
    /// [`Error::NotFound`] when the namespace has no such agent, [`Error::ResourceExhausted`] when its mailbox is full; and
    /// what every call may give.
    pub async fn send_message(&self, message: NewMessage) -> Result<v1::MessageReceipt> {
        let NewMessage { message, request_id } = message;
        let request = v1::SendMessageRequest { message: Some(message), request_id, ..Default::default() };
        self.call(request).await?.receipt.ok_or_else(|| Error::missing("receipt"))
    }

    /// Lists the messages that wait in an agent's mailbox, oldest first. It takes nothing away.
    pub fn list_messages(&self, agent: &str) -> impl Stream<Item = Result<v1::Message>> + Send + 'static {
        self.fetch_pages(agent, None)
    }

    /// Gives the messages that wait in an agent's mailbox, oldest first, and then each that comes, without an end. It takes
    /// nothing away: acknowledge what is handled.
    pub fn watch_messages(&self, agent: &str) -> impl Stream<Item = Result<v1::Message>> + Send + 'static {
        self.fetch_pages(agent, Some(WAIT_SLICE))
    }

    /// Takes messages out of an agent's mailbox for good; says how many were there. A second time is fine.
    ///
    /// # Errors
    ///
    /// [`Error::NotFound`] when there is no such agent, [`Error::PermissionDenied`] when it is another principal's; and
    /// what every call may give.
    pub async fn acknowledge_messages(
        &self,
        agent: &str,
        ids: impl IntoIterator<Item = impl Into<String>>,
    ) -> Result<i32> {
        let message_ids = ids.into_iter().map(Into::into).collect();
        let request = v1::AcknowledgeMessagesRequest { agent: agent.to_owned(), message_ids, ..Default::default() };
        Ok(self.call(request).await?.acknowledged)
    }

    /// Page after page; without a wait until there is nothing more.
    fn fetch_pages(
        &self,
        agent: &str,
        wait: Option<Duration>,
    ) -> impl Stream<Item = Result<v1::Message>> + Send + 'static + use<> {
        let (client, agent) = (self.clone(), agent.to_owned());
        let pages = stream::try_unfold(0, move |after_sequence| {
            let (client, agent) = (client.clone(), agent.clone());
            async move {
                let wait = wait.map(proto_duration);
                let request = v1::FetchMessagesRequest { agent, after_sequence, wait, ..Default::default() };
                let messages = client.call(request).await?.messages;
                match messages.last() {
                    Some(last) => {
                        let last = last.sequence;
                        Ok(Some((messages, last)))
                    }
                    None if wait.is_some() => Ok(Some((messages, after_sequence))),
                    None => Ok(None),
                }
            }
        });
        flatten(pages)
    }
}
