//! What an operator can choose, and its defaults.

use crate::model::Span;
use crate::planted::Planted;

/// The settings that rules read. `callboard serve --help` says how to set them.
#[derive(Clone, Debug)]
pub struct Settings {
    /// How long a stream may be silent before its attempts are requeued.
    pub stream_lease: Span,
    /// How long a claimed task is leased when the claim doesn't say.
    pub claim_lease: Span,
    /// How long an assignment may stay unaccepted.
    pub accept_within: Span,
    /// How long an agent has to stop after a cancellation.
    pub cancel_grace: Span,
    /// How long a preferred agent goes before others.
    pub preferred_head_start: Span,
    /// How long answers are remembered by their request id.
    pub remember_requests: Span,
    /// After how many attempts in a row that lost their agents a task is given up, if its policy doesn't give it up earlier.
    pub poison_limit: u32,
    /// After how many hand-backs a run is given up.
    pub hand_back_limit: u32,
    /// How many dependents are released in one step.
    pub release_step: usize,
    /// How many namespaces there may be.
    pub max_namespaces: usize,
    /// How many messages a mailbox may hold.
    pub mailbox_messages: i64,
    /// How many bytes the messages of a mailbox may take.
    pub mailbox_bytes: i64,
    /// How long a message may wait for its acknowledgement when its sender doesn't say.
    pub message_ttl: Span,
    /// Guards that a test took out.
    pub planted: Planted,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            stream_lease: Span::seconds(10),
            claim_lease: Span::seconds(60),
            accept_within: Span::seconds(10),
            cancel_grace: Span::seconds(30),
            preferred_head_start: Span::seconds(2),
            remember_requests: Span::seconds(24 * 3_600),
            poison_limit: 5,
            hand_back_limit: 100,
            release_step: 256,
            max_namespaces: 10_000,
            mailbox_messages: 10_000,
            mailbox_bytes: 64 << 20,
            message_ttl: Span::seconds(7 * 86_400),
            planted: Planted::default(),
        }
    }
}
