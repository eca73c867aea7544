//! Messages: those that handlers send, until their receipt, and those that are delivered, until they are handled and
//! acknowledged. One is handled at a time, in the order of the mailbox; one that failed holds up only its own sender's.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet, VecDeque};
use std::time::Duration;

use callboard_proto::{MAX_FRAME_BYTES, v1};
use prost::Message;

use super::{Moment, Ticket};
use crate::retry::Backoff;

/// The most messages or acknowledgements in a frame, by the protocol.
const MAX_BATCH: usize = 1000;
/// Room in a frame for its own headers.
const BATCH_BYTES: usize = MAX_FRAME_BYTES - (64 << 10);
/// How many handled messages are remembered, to know them when they come again: far more than a server may have on its way.
const REMEMBERED: usize = 1000;
/// The most messages that wait for the handler: only a server that doesn't count comes here.
const MOST_WAITING: usize = 1000;
/// How often a message is given to its handler before it is given up.
const MOST_TRIES: u32 = 5;
/// The delay before the second try; it doubles up to the longest.
const FIRST_DELAY: Duration = Duration::from_secs(1);
const LONGEST_DELAY: Duration = Duration::from_secs(60);

/// What became of a message that was sent.
pub(super) type Sent = Result<v1::MessageReceipt, (v1::ErrorReason, String)>;

#[derive(Debug)]
struct Sending {
    send: v1::MessageSend,
    ticket: Ticket,
    size: usize,
}

/// A message's sender: principal and agent.
type Sender = (String, String);

#[derive(Debug, Default)]
pub(super) struct Mail {
    last: u64,
    sending: BTreeMap<u64, Sending>,
    /// Of those, what can be sent: it was not yet on this stream, or is to be again.
    unsent: BTreeSet<u64>,
    paused_until: Option<Moment>,
    backoff: Backoff,
    /// Delivered and not handled, in the order of the mailbox; the one that is being handled among them.
    waiting: VecDeque<v1::Message>,
    running: Option<String>,
    /// Senders whose oldest message failed, and until when they wait.
    delayed: HashMap<Sender, Moment>,
    failures: HashMap<String, u32>,
    handled: HashSet<String>,
    handled_in_order: VecDeque<String>,
    /// Acknowledgements that are to be sent, in order.
    unacknowledged: VecDeque<String>,
    /// Those that have no receipt yet.
    acknowledging: HashSet<String>,
    acknowledge_at: Option<Moment>,
}

impl Mail {
    /// A handler sends a message.
    pub(super) fn send(&mut self, send: v1::MessageSend, ticket: Ticket) {
        self.last += 1;
        let size = send.encoded_len() + 8;
        self.sending.insert(self.last, Sending { send, ticket, size });
        self.unsent.insert(self.last);
    }

    /// What can be sent now, as much as fits into a frame.
    pub(super) fn take_sends(&mut self, now: Moment) -> Vec<v1::MessageSend> {
        let mut batch = Vec::new();
        if self.paused_until.is_some_and(|until| now < until) {
            return batch;
        }
        self.paused_until = None;
        let mut bytes = 0;
        while let Some(next) = self.unsent.first().copied().filter(|_| batch.len() < MAX_BATCH) {
            let Some(sending) = self.sending.get(&next).filter(|s| batch.is_empty() || bytes + s.size <= BATCH_BYTES)
            else {
                break;
            };
            bytes += sending.size;
            batch.push(sending.send.clone());
            self.unsent.remove(&next);
        }
        batch
    }

    /// The receipt of a message. Gives whose wait is over.
    pub(super) fn on_sent(
        &mut self,
        receipt: v1::MessageSendReceipt,
        now: Moment,
        fraction: f64,
    ) -> Option<(Ticket, Sent)> {
        let known = self.sending.iter().find(|(_, sending)| sending.send.request_id == receipt.request_id);
        let number = *known?.0;
        if receipt.retry {
            self.unsent.insert(number);
            if self.paused_until.is_none_or(|until| until <= now) {
                self.paused_until = Some(now + self.backoff.next(None, fraction));
            }
            return None;
        }
        self.backoff.reset();
        self.unsent.remove(&number);
        let ticket = self.sending.remove(&number)?.ticket;
        let reason = receipt.reason();
        let sent = receipt.message.ok_or((reason, receipt.detail));
        Some((ticket, sent))
    }

    /// Gives up all that was to be sent.
    pub(super) fn take_sending(&mut self) -> Vec<Ticket> {
        self.unsent.clear();
        std::mem::take(&mut self.sending).into_values().map(|sending| sending.ticket).collect()
    }

    /// A message came. One that is known is not handled again; one that was handled is acknowledged again.
    pub(super) fn deliver(&mut self, message: v1::Message) {
        if self.handled.contains(&message.id) {
            return self.acknowledge(message.id);
        }
        let waits = self.waiting.iter().any(|waiting| waiting.id == message.id);
        if !waits && self.waiting.len() < MOST_WAITING {
            self.waiting.push_back(message);
        }
    }

    /// The next message to be handled, if it is time.
    pub(super) fn start(&mut self, now: Moment) -> Option<v1::Message> {
        if self.running.is_some() {
            return None;
        }
        self.delayed.retain(|_, until| *until > now);
        let next = self.waiting.iter().find(|message| !self.delayed.contains_key(&sender(message)))?.clone();
        self.running = Some(next.id.clone());
        Some(next)
    }

    /// The handler has ended; `true` when without an error. False when the message is given up.
    pub(super) fn finish(&mut self, now: Moment, id: &str, ok: bool) -> bool {
        if self.running.as_deref() != Some(id) {
            return true;
        }
        self.running = None;
        if !ok {
            let failures = self.failures.entry(id.to_owned()).or_default();
            *failures += 1;
            if *failures < MOST_TRIES {
                let delay = FIRST_DELAY.saturating_mul(1 << (*failures - 1).min(16)).min(LONGEST_DELAY);
                if let Some(message) = self.waiting.iter().find(|message| message.id == id) {
                    self.delayed.insert(sender(message), now + delay);
                }
                return true;
            }
        }
        self.failures.remove(id);
        self.waiting.retain(|message| message.id != id);
        self.remember(id);
        self.acknowledge(id.to_owned());
        ok
    }

    /// The handler was dropped: what it had is delivered again, to whoever attaches next.
    pub(super) fn abort(&mut self) {
        self.running = None;
    }

    /// Acknowledgements that can be sent now.
    pub(super) fn take_acknowledgements(&mut self, now: Moment) -> Vec<String> {
        if self.acknowledge_at.is_some_and(|at| now < at) {
            return Vec::new();
        }
        self.acknowledge_at = None;
        let count = self.unacknowledged.len().min(MAX_BATCH);
        let batch: Vec<String> = self.unacknowledged.drain(..count).collect();
        self.acknowledging.extend(batch.iter().cloned());
        batch
    }

    /// Messages are out of the mailbox.
    pub(super) fn on_acknowledged(&mut self, ids: &[String]) {
        self.acknowledging.retain(|id| !ids.contains(id));
    }

    /// The server could not take acknowledgements: send them again after a while.
    pub(super) fn on_retry(&mut self, ids: Vec<String>, now: Moment, fraction: f64) {
        if ids.is_empty() {
            return;
        }
        self.acknowledge_at = Some(now + self.backoff.next(None, fraction));
        ids.into_iter().for_each(|id| self.acknowledge(id));
    }

    /// A new stream: everything without a receipt is sent again.
    pub(super) fn send_all_again(&mut self) {
        self.unsent = self.sending.keys().copied().collect();
        self.paused_until = None;
        self.acknowledge_at = None;
        for id in std::mem::take(&mut self.acknowledging) {
            self.acknowledge(id);
        }
    }

    /// Whether the handler is at work.
    pub(super) fn is_running(&self) -> bool {
        self.running.is_some()
    }

    /// Whether nothing is at work, and everything has its receipt.
    pub(super) fn is_idle(&self) -> bool {
        !self.is_running() && self.sending.is_empty() && self.unacknowledged.is_empty() && self.acknowledging.is_empty()
    }

    /// When a frame can be sent; the beginning of time when at once.
    pub(super) fn next_frame(&self) -> Option<Moment> {
        let sends = (!self.unsent.is_empty()).then(|| self.paused_until.unwrap_or_default());
        let acknowledgements = (!self.unacknowledged.is_empty()).then(|| self.acknowledge_at.unwrap_or_default());
        [sends, acknowledgements].into_iter().flatten().min()
    }

    /// When a message that failed is tried again.
    pub(super) fn next_start(&self) -> Option<Moment> {
        if self.is_running() { None } else { self.delayed.values().min().copied() }
    }

    fn acknowledge(&mut self, id: String) {
        if !self.unacknowledged.contains(&id) {
            self.unacknowledged.push_back(id);
        }
    }

    fn remember(&mut self, id: &str) {
        if self.handled.insert(id.to_owned()) {
            self.handled_in_order.push_back(id.to_owned());
        }
        if self.handled_in_order.len() > REMEMBERED
            && let Some(oldest) = self.handled_in_order.pop_front()
        {
            self.handled.remove(&oldest);
        }
    }
}

fn sender(message: &v1::Message) -> Sender {
    (message.principal.clone(), message.agent.clone())
}
