//! What those need who run a server for weeks.

// Helpers of tests stand outside of tests.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

mod archive;
mod backup;
mod check;
mod log_level;
mod pages;
mod retention;
