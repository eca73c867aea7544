//! What fuzzing runs: the whole server but its transport, in one process, on a store in memory, with a clock that stands still
//! while anything is left to do.
//!
//! - [`requests`]: bytes as calls of any method: decoded, converted, decided, answered.
//! - [`stream`]: bytes as what an agent does on its stream: frames that fit and frames that don't, breaks, re-attachments.
//!
//! The same bytes always do the same: ids, tokens and times are made up from nothing else. The targets in `fuzz/` call these
//! functions under libFuzzer; the tests here call them with the committed corpus and with what chance makes of it, on stable.

// A fuzz target says what it found by a panic.
#![allow(clippy::expect_used, clippy::unwrap_used, clippy::panic)]

pub mod mutate;
mod requests;
mod stream;
mod world;

pub use requests::{requests, seeds};
pub use stream::stream;
