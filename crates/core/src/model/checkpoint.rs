//! Checkpoints: what the next attempt is to begin from.

use super::payload::Payload;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// A checkpoint that is to be saved.
#[derive(Clone, Debug, PartialEq)]
pub struct NewCheckpoint {
    /// The handler's own state.
    pub data: Arc<Payload>,
    /// A digest of it.
    pub digest: u64,
}

/// The last checkpoint that was saved, as far as a repetition of it is known by it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LastCheckpoint {
    /// The attempt that saved it.
    pub attempt: u32,
    /// A digest of what it holds.
    pub digest: u64,
}
