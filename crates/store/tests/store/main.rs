//! Tests of the stores: one suite for all, what SQLite alone promises, and random changes that both must take alike.

// Helpers of tests stand outside of tests.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

mod both;
mod conformance;
mod damage;
mod postgres;
mod sqlite;
mod stores_agree;
