//! The fault battery: each [`fault::Fault`] does something bad to real servers, agents or databases under load, again and again;
//! then everything heals, and the checker of `callboard-tests` holds what happened to what was promised.
//!
//! A run ends as one line of the ledger ([`ledger`]): kept, violated, or void. It counts only if enough happened in it, and every
//! single fault was seen to fire. RELIABILITY.md has the table of what was run ([`table`]); `cargo xtask chaos` runs it.
//!
//! To add a fault: a file in `faults/`, its line in [`faults::ALL`], and its short form in `tests/short.rs`.

// A harness that can't do its part fails the run that asked for it, at the line that asked.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

pub mod crowd;
pub mod disk;
pub mod fault;
pub mod faults;
pub mod figures;
pub mod forwarder;
pub mod ledger;
pub mod namespace;
pub mod network;
pub mod programs;
pub mod proxy;
pub mod report;
pub mod run;
pub mod stage;
pub mod table;
