//! Direct messages from outside: calls, streams, and what outlives a killed server.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod calls;
mod recovery;
mod sdk;
mod streams;
