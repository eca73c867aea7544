//! The connection: when to open, to give up, to send a heartbeat, to call the server silent, to try again.

use std::collections::VecDeque;
use std::time::Duration;

use callboard_proto::v1;
use tonic::Code;

use super::Moment;
use crate::error::{CallError, reason_name};
use crate::retry::Backoff;

/// How long opening a stream may take, up to the welcome.
const OPENING: Duration = Duration::from_secs(10);

/// The same at an endpoint that a server that drains named. There is always something else to try behind it, and servers give the
/// attempts of an agent that stays away for long to others.
const OPENING_NAMED: Duration = Duration::from_secs(5);

/// How many such endpoints are kept: all of them, silent, take less than the time for which agents that were sent away are awaited (30 s).
const MAX_NAMED: usize = 4;

/// The lease when the server says none.
const DEFAULT_LEASE: Duration = Duration::from_secs(10);
const SHORTEST_LEASE: Duration = Duration::from_millis(100);

/// A server that drains sooner after its welcome than this, or in its place, is not left at once, but after a while.
const BRIEF: Duration = Duration::from_secs(1);

/// Where to open a stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::agent) enum Target {
    /// The address of this number in the agent's list.
    Address(usize),
    /// Where a draining server sent us.
    Endpoint(String),
}

#[derive(Debug)]
enum Phase {
    /// Not connected, and will be at this moment.
    Detached { retry_at: Moment },
    /// The stream is being opened, the hello is on its way.
    Opening { give_up_at: Moment, hello_sent: bool, is_named: bool },
    /// The welcome came.
    Attached(Attached),
}

#[derive(Debug)]
struct Attached {
    since: Moment,
    lease: Duration,
    features: Vec<String>,
    last_sent: Moment,
    last_received: Moment,
    drain_sent: bool,
    slots_sent: bool,
}

#[derive(Debug)]
pub(super) struct Link {
    phase: Phase,
    addresses: usize,
    /// Of the agent's own addresses, the one that is tried next.
    turn: usize,
    /// The endpoints of the latest drain notice that were not tried yet.
    named: VecDeque<String>,
    backoff: Backoff,
    epoch: i64,
}

impl Link {
    pub(super) fn new(addresses: usize) -> Self {
        let phase = Phase::Detached { retry_at: Moment::ZERO };
        let named = VecDeque::new();
        Self { phase, addresses: addresses.max(1), turn: 0, named, backoff: Backoff::default(), epoch: 0 }
    }

    pub(super) fn epoch(&self) -> i64 {
        self.epoch
    }

    pub(super) fn is_attached(&self) -> bool {
        matches!(self.phase, Phase::Attached(_))
    }

    pub(super) fn is_detached(&self) -> bool {
        matches!(self.phase, Phase::Detached { .. })
    }

    pub(super) fn server_takes(&self, feature: &str) -> bool {
        matches!(&self.phase, Phase::Attached(attached) if attached.features.iter().any(|known| known == feature))
    }

    /// Begins to open a stream, when that is due.
    pub(super) fn open_when_due(&mut self, now: Moment) -> Option<Target> {
        match self.phase {
            Phase::Detached { retry_at } if retry_at <= now => {
                let named = self.named.pop_front();
                let is_named = named.is_some();
                let give_up_at = now + if is_named { OPENING_NAMED } else { OPENING };
                self.phase = Phase::Opening { give_up_at, hello_sent: false, is_named };
                Some(named.map_or_else(|| self.next_address(), Target::Endpoint))
            }
            _ => None,
        }
    }

    fn next_address(&mut self) -> Target {
        let address = self.turn % self.addresses;
        self.turn = self.turn.wrapping_add(1);
        Target::Address(address)
    }

    /// Whether the hello is to be sent now; it then is.
    pub(super) fn take_hello(&mut self) -> bool {
        match &mut self.phase {
            Phase::Opening { hello_sent, .. } => !std::mem::replace(hello_sent, true),
            _ => false,
        }
    }

    /// Whether the drain frame is to be sent on this stream; it then is.
    pub(super) fn take_drain_turn(&mut self) -> bool {
        match &mut self.phase {
            Phase::Attached(attached) => !std::mem::replace(&mut attached.drain_sent, true),
            _ => false,
        }
    }

    /// Whether the frame that closes all slots is to be sent on this stream; it then is.
    pub(super) fn take_slots_turn(&mut self) -> bool {
        match &mut self.phase {
            Phase::Attached(attached) => !std::mem::replace(&mut attached.slots_sent, true),
            _ => false,
        }
    }

    pub(super) fn welcome(&mut self, now: Moment, welcome: &v1::Welcome) {
        let lease = welcome.lease.as_ref().map(crate::time::duration).filter(|lease| !lease.is_zero());
        self.epoch = welcome.session_epoch;
        self.backoff.reset();
        self.named.clear();
        self.phase = Phase::Attached(Attached {
            since: now,
            lease: lease.unwrap_or(DEFAULT_LEASE).max(SHORTEST_LEASE),
            features: welcome.features.clone(),
            last_sent: now,
            last_received: now,
            drain_sent: false,
            slots_sent: false,
        });
    }

    pub(super) fn note_sent(&mut self, now: Moment) {
        if let Phase::Attached(attached) = &mut self.phase {
            attached.last_sent = now;
        }
    }

    pub(super) fn note_received(&mut self, now: Moment) {
        if let Phase::Attached(attached) = &mut self.phase {
            attached.last_received = now;
        }
    }

    /// When the next heartbeat is due: a third of the lease after the last frame.
    pub(super) fn heartbeat_at(&self) -> Option<Moment> {
        match &self.phase {
            Phase::Attached(attached) => Some(attached.last_sent + attached.lease / 3),
            _ => None,
        }
    }

    /// Why the stream is to be cut now: opening it took too long, or the server was silent for a whole lease.
    pub(super) fn overdue(&self, now: Moment) -> Option<&'static str> {
        match &self.phase {
            Phase::Opening { give_up_at, .. } if *give_up_at <= now => Some("no welcome came in time"),
            Phase::Attached(attached) if attached.last_received + attached.lease <= now => {
                Some("the server was silent for a whole lease")
            }
            _ => None,
        }
    }

    /// Whether attaching again can't help, when the stream ended with this.
    pub(super) fn is_final(&self, refused: &CallError) -> bool {
        ends_agent(refused, self.is_attached()) || (is_lasting(refused) && !self.is_at_unproven_endpoint())
    }

    /// Whether the stream is at an endpoint that a drain notice named, and that has not welcomed the agent. It may be anything: a
    /// server that was misspelled, of others, or that doesn't know the agent yet.
    fn is_at_unproven_endpoint(&self) -> bool {
        matches!(self.phase, Phase::Opening { is_named: true, .. })
    }

    /// The stream is gone: try the next address after a while.
    pub(super) fn detach(&mut self, now: Moment, asked: Option<Duration>, fraction: f64) {
        // What a named endpoint asks for is of no matter to the others, and it is not tried again.
        let asked = asked.filter(|_| !self.is_at_unproven_endpoint());
        self.phase = Phase::Detached { retry_at: now + self.backoff.next(asked, fraction) };
    }

    /// The server goes away: try where it says, in this order and each once, and then the next address, at once.
    pub(super) fn move_on(&mut self, now: Moment, endpoints: impl Iterator<Item = String>, fraction: f64) {
        let lasted = matches!(&self.phase, Phase::Attached(attached) if attached.since + BRIEF <= now);
        self.named.clear();
        for endpoint in endpoints {
            if !self.named.contains(&endpoint) {
                self.named.push_back(endpoint);
            }
            if self.named.len() == MAX_NAMED {
                break;
            }
        }
        let delay = if lasted { Duration::ZERO } else { self.backoff.next(None, fraction) };
        self.phase = Phase::Detached { retry_at: now + delay };
    }

    pub(super) fn next_due(&self) -> Option<Moment> {
        Some(match &self.phase {
            Phase::Detached { retry_at } => *retry_at,
            Phase::Opening { give_up_at, .. } => *give_up_at,
            Phase::Attached(attached) => attached.last_received + attached.lease,
        })
    }
}

/// Whether it is about the agent itself, whoever says it: it would hear the same elsewhere.
fn ends_agent(refused: &CallError, was_attached: bool) -> bool {
    let has_reason = |reason: v1::ErrorReason| refused.reason == reason_name(reason);
    has_reason(v1::ErrorReason::SessionSuperseded)
        || has_reason(v1::ErrorReason::NotYourAgent)
        || (has_reason(v1::ErrorReason::AgentState) && !was_attached)
}

/// Whether whoever said it would say it again.
fn is_lasting(refused: &CallError) -> bool {
    matches!(refused.code, Code::InvalidArgument | Code::NotFound | Code::PermissionDenied | Code::Unauthenticated)
}
