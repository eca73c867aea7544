//! The API from outside: every call against a real server, by the SDK's client and the bare ones.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod deadlines;
mod dependencies;
mod dispatching;
mod lists;
mod payloads;
mod refusals;
mod requests;
mod retries;
mod steering;
mod tasks;
mod timeouts;
