//! Output of attempts: what handlers give while they work, for those who watch.

use super::id::{NamespaceId, TaskId};
use super::payload::Payload;
use super::time::Timestamp;
use std::sync::Arc;

/// Output that an attempt gives.
#[derive(Clone, Debug, PartialEq)]
pub struct OutputBatch {
    /// How many bytes the attempt gave before it.
    pub offset: u64,
    /// The pieces, in their order; none is empty.
    pub chunks: Vec<Arc<Payload>>,
}

impl OutputBatch {
    /// How many bytes the attempt has given with it.
    pub fn end(&self) -> u64 {
        self.chunks.iter().fold(self.offset, |at, chunk| at.saturating_add(chunk.len() as u64))
    }
}

/// A piece of a run's output. It never changes.
#[derive(Clone, Debug, PartialEq)]
pub struct OutputChunk {
    /// Its namespace.
    pub namespace: NamespaceId,
    /// Its task.
    pub task: TaskId,
    /// The run that it is of.
    pub run: u32,
    /// How many bytes of the run's output come before it.
    pub offset: u64,
    /// Its place among the run's chunks: 1, 2, 3, …
    pub ordinal: u32,
    /// The attempt that gave it.
    pub attempt: u32,
    /// How many bytes that attempt has given with it.
    pub attempt_bytes: u64,
    /// When it was given.
    pub given_at: Timestamp,
    /// What was given.
    pub data: Arc<Payload>,
}

impl OutputChunk {
    /// How many bytes of the run's output there are with it.
    pub fn end(&self) -> u64 {
        self.offset.saturating_add(self.data.len() as u64)
    }
}

/// What a run's output has come to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OutputTotals {
    /// How many bytes, over all attempts.
    pub bytes: u64,
    /// How many chunks.
    pub chunks: u32,
    /// The latest attempt that gave some; 0: none did.
    pub attempt: u32,
    /// How many bytes that attempt gave.
    pub attempt_bytes: u64,
}

impl OutputTotals {
    /// How many bytes an attempt gave, when it is the latest that gave any.
    pub fn of_attempt(&self, attempt: u32) -> u64 {
        if self.attempt == attempt { self.attempt_bytes } else { 0 }
    }

    /// What the last chunk of a run says.
    pub fn with(chunk: &OutputChunk) -> Self {
        Self { bytes: chunk.end(), chunks: chunk.ordinal, attempt: chunk.attempt, attempt_bytes: chunk.attempt_bytes }
    }
}
