//! Messages and the mailboxes that they wait in.

use super::id::{AgentId, MessageId, NamespaceId};
use super::payload::Payload;
use super::time::{Span, Timestamp};
use std::collections::BTreeMap;
use std::sync::Arc;

/// A message in an agent's mailbox.
#[derive(Clone, Debug, PartialEq)]
pub struct Message {
    /// Its namespace.
    pub namespace: NamespaceId,
    /// Its id.
    pub id: MessageId,
    /// The agent whose mailbox it is in.
    pub recipient: AgentId,
    /// Its place in the mailbox: 1, 2, 3, … in the order of the commits. A promoted standby of PostgreSQL leaves a gap behind its primary's.
    pub sequence: i64,
    /// Who sent it.
    pub sender: Sender,
    /// What it says.
    pub payload: Arc<Payload>,
    /// What applications agree on.
    pub headers: BTreeMap<String, String>,
    /// When it was sent.
    pub sent_at: Timestamp,
    /// When it ceases to be delivered.
    pub expires_at: Timestamp,
}

/// Who sent a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sender {
    /// The principal.
    pub principal: Arc<str>,
    /// The agent, by name, when it was sent over an agent's stream.
    pub agent: Option<Arc<str>>,
}

/// What is known of a message without reading it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MessageStub {
    /// Its namespace.
    pub namespace: NamespaceId,
    /// Its id.
    pub id: MessageId,
    /// The agent whose mailbox it is in.
    pub recipient: AgentId,
    /// Its place in the mailbox.
    pub sequence: i64,
    /// What it takes of the mailbox's room, in bytes.
    pub bytes: i64,
    /// When it ceases to be delivered.
    pub expires_at: Timestamp,
}

/// An agent's mailbox: what is counted of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mailbox {
    /// Its namespace.
    pub namespace: NamespaceId,
    /// Whose it is.
    pub agent: AgentId,
    /// The place of the latest message; 0 before the first. Never falls.
    pub last_sequence: i64,
    /// How many messages are in it.
    pub messages: i64,
    /// How many bytes they take.
    pub bytes: i64,
    /// Its agent was removed: nothing comes in or out any more, and what is left is thrown away.
    pub closed: bool,
    /// Rises with every change; 0 is never stored.
    pub version: i64,
}

/// A message that is to be sent.
#[derive(Clone, Debug, PartialEq)]
pub struct NewMessage {
    /// Whom it is for.
    pub to: Address,
    /// What it says.
    pub payload: Arc<Payload>,
    /// What applications agree on.
    pub headers: BTreeMap<String, String>,
    /// How long it may wait for its acknowledgement; none: the default.
    pub ttl: Option<Span>,
}

/// Whom a message is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Address {
    /// One agent, by name.
    Agent(Arc<str>),
}

impl Message {
    /// What it takes of a mailbox's room: everything that its sender chose.
    pub fn bytes(&self) -> i64 {
        let words = |map: &BTreeMap<String, String>| map.iter().map(|(key, value)| key.len() + value.len()).sum();
        let beside: usize = words(&self.headers);
        let metadata: usize = words(&self.payload.metadata);
        let size = self.payload.len() + self.payload.content_type.len() + metadata + beside;
        i64::try_from(size).unwrap_or(i64::MAX)
    }

    /// What is known of it without reading it.
    pub fn stub(&self) -> MessageStub {
        MessageStub {
            namespace: self.namespace,
            id: self.id,
            recipient: self.recipient,
            sequence: self.sequence,
            bytes: self.bytes(),
            expires_at: self.expires_at,
        }
    }
}

impl Mailbox {
    /// An agent's mailbox before its first message.
    pub fn empty(namespace: NamespaceId, agent: AgentId) -> Self {
        Self { namespace, agent, last_sequence: 0, messages: 0, bytes: 0, closed: false, version: 0 }
    }
}
