//! The engine: gathers commands into batches, runs load → decide → save, and carries out the effects after the commit.
//!
//! - [`Engine`]: what the server calls.
//! - `committer`: the one task that writes: group commit. `batch` is what it decides and saves, `retry` what it does when the
//!   store refuses that, and `order` how an attempt's reports keep their order then.
//! - `sessions`: attached agents, who was heard when, what is pushed to them.
//! - `effects`: what is done after a commit: pushes, wake-ups, answers. `at_hand` is what assignments carry that is in memory, `hydrate`
//!   reads the rest.
//! - `explain`: who could have a task now, and why not; `past` is who was chosen before.
//! - `metrics`, `health`: what can be watched from outside.
//! - `mail`: what waits in mailboxes reaches streams and calls; `window` is what a stream may be sent.
//! - `cluster`: this replica among those that share the store; `hints` is what they tell each other, `passed_over` what was locked by another.
//! - `retention`: forgets what nobody needs any more; `archive` is who keeps it before.
//! - `steady`: the time of day that rows are written by.
//! - `sweep`: time: silence, timers, and a second look at everything that a lost wake-up could have missed.
//!
//! Time is a [`Clock`] and chance an [`Entropy`](callboard_core::Entropy), both passed in. A future of the store is never
//! cancelled half-way: the committer awaits each to its end.

mod archive;
mod at_hand;
mod awaits;
mod batch;
mod claims;
mod clock;
mod cluster;
mod committer;
mod config;
mod effects;
mod engine;
mod entropy;
mod error;
mod explain;
mod health;
mod hints;
mod hydrate;
mod log;
mod mail;
mod metrics;
mod names;
mod order;
mod passed_over;
mod past;
mod progress;
mod push;
mod queue;
mod retention;
mod retry;
mod sessions;
mod shared;
mod steady;
mod stream;
mod sweep;
mod waiters;
mod watch;
mod window;
mod workflows;

pub use archive::{Archive, ArchivedTask, Piece};
pub use clock::{Clock, SystemClock};
pub use config::Config;
pub use engine::{ClaimRequest, Claimed, Engine};
pub use entropy::SystemEntropy;
pub use error::{Error, Result};
pub use explain::Explained;
pub use mail::FetchRequest;
pub use metrics::PREFIX as METRICS_PREFIX;
pub use past::PastAssignment;
pub use push::{
    Assignment, DependencyOutcome, Leave, MessageReceipts, Push, Receipt, ReceiptStatus, Resumption, SendStatus, Stop,
    TaskEnd, TaskEnds, TaskOutcome,
};
pub use shared::Ended;
pub use stream::{AttachRequest, ReportItem, SendItem, Stream};
pub use watch::Watch;
