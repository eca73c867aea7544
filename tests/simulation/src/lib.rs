//! Deterministic simulation: real servers, agents of the real SDK and clients, in one thread, on a network and with clocks that are
//! made up. One seed decides everything: who asks what, what the network drops, delays and holds up, who dies and when, how long the
//! store takes. The same seed does the same again, to the byte.
//!
//! What is real: core, engine, server, the store in memory, gRPC over HTTP/2, the SDK, the load of `callboard-tests`, its checker. What is
//! made up: TCP (`turmoil`), time (tokio's paused clock), chance (the binary answers for the operating system, see `main.rs`).
//! A process runs one seed, since what third parties keep in statics must begin anew, too.

// A harness that can't do its part fails at the line that asked.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod clock;
mod hosts;
mod net;
pub mod plan;
pub mod report;
mod store;
mod trace;
mod world;

pub use world::{Options, run};
