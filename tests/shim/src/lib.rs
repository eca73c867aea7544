//! Faults of disk and clock for programs that run, from outside: `callboard serve`, `postgres`.
//!
//! A [`Shim`] is a library that is loaded in front of a program's C library (`LD_PRELOAD`, Linux), and a control file that both
//! have in memory. The program opens, writes, syncs and reads the clock as ever; the shim does it, or fails it, or does it
//! late, and counts. While [`Switch::Journal`] is on it also writes down what each change replaced, so that after
//! [`Shim::cut_power`] the harness can do to the files what a disk may do that loses its power: see [`Shim::lose`].
//!
//! What it doesn't see: writes through memory maps (SQLite's `-shm`, which is made anew at start) and through the C library's
//! buffered files (PostgreSQL's statistics and its list of cached relations, which it can do without). They count as durable.

// A harness that can't do its part fails the test that asked for it, at the line that asked.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod control;
mod journal;
mod loss;

pub use control::{Counter, Shim, Switch};
pub use loss::{Loss, Survivors};
