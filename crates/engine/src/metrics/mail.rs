//! Counters and gauges of mailboxes.

use super::Seconds;
use crate::error::{Error, Result};
use callboard_core::Settings;
use callboard_core::command::{Command, Reply};
use callboard_core::rejection::Reason;
use callboard_store::MailDepth;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::{Registry, Unit};

/// How a message reached whom it is for.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct Way {
    way: &'static str,
}

impl Way {
    pub const STREAM: Self = Self { way: "stream" };
    pub const FETCH: Self = Self { way: "fetch" };
}

/// The handles.
#[derive(Debug, Default)]
pub(crate) struct MailMetrics {
    sent: Counter,
    full: Counter,
    delivered: Family<Way, Counter>,
    acknowledged: Counter,
    expired: Counter,
    // Asked when somebody looks.
    waiting: Gauge,
    bytes: Gauge,
    /// A part, not seconds: the same kind of number.
    fullest: Seconds,
}

impl MailMetrics {
    /// Under the names that are documented.
    pub fn register(&self, registry: &mut Registry) {
        registry.register("messages_sent", "Messages that came into mailboxes", self.sent.clone());
        let text = "Messages that were refused because their mailbox was full";
        registry.register("messages_mailbox_full", text, self.full.clone());
        let text = "Messages that went to a stream or were fetched, each time that they did";
        registry.register("messages_delivered", text, self.delivered.clone());
        for way in [Way::STREAM, Way::FETCH] {
            self.delivered(&way, 0);
        }
        registry.register("messages_acknowledged", "Messages that were acknowledged", self.acknowledged.clone());
        registry.register("messages_expired", "Messages whose time was over before", self.expired.clone());
        registry.register("messages_waiting", "Messages in mailboxes", self.waiting.clone());
        registry.register_with_unit("messages_waiting", "Their size", Unit::Bytes, self.bytes.clone());
        let text = "How full the fullest mailbox is: 1 when it takes no more";
        registry.register_with_unit("mailbox_fullest", text, Unit::Other("ratio".into()), self.fullest.clone());
    }

    /// So many messages reached whom they are for.
    pub fn delivered(&self, way: &Way, count: usize) {
        self.delivered.get_or_create(way).inc_by(count as u64);
    }

    /// A command about messages was decided and committed, or refused.
    pub fn decided(&self, command: &Command, result: &Result<Reply>) {
        match (command, result) {
            (Command::SendMessage { .. }, Err(Error::Rejected(rejection))) => {
                self.full.inc_by(u64::from(rejection.reason == Reason::LimitReached));
            }
            (Command::AcknowledgeMessages { .. }, Ok(Reply::Taken(count))) => {
                self.acknowledged.inc_by(*count as u64);
            }
            (Command::ExpireMessages { .. }, Ok(Reply::Taken(count))) => {
                self.expired.inc_by(*count as u64);
            }
            _ => {}
        }
    }

    /// So many messages were committed.
    pub fn sent(&self, count: usize) {
        self.sent.inc_by(count as u64);
    }

    /// What waits now.
    pub fn set_depth(&self, depth: MailDepth, limits: &Settings) {
        self.waiting.set(depth.messages);
        self.bytes.set(depth.bytes);
        let part = |of: i64, limit: i64| of as f64 / limit.max(1) as f64;
        let fullest = part(depth.most_messages, limits.mailbox_messages);
        self.fullest.set(fullest.max(part(depth.most_bytes, limits.mailbox_bytes)));
    }
}
