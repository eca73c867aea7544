//! The rules by example: one file for each subject. Every test runs in every mode of the cache.

#![allow(clippy::expect_used, clippy::unwrap_used, clippy::panic, reason = "a test fails by a panic")]

mod adopting;
mod batches;
mod cancelling;
mod children;
mod claims;
mod conditions;
mod dependencies;
mod depending;
mod dispatching;
mod fallbacks;
mod fencing;
mod forecast;
mod growing;
mod holding;
mod keys;
mod lanes;
mod lifecycle;
mod limits;
mod messages;
mod namespaces;
mod output;
mod pausing;
mod placement;
mod principals;
mod releasing;
mod requests;
mod retries;
mod sessions;
mod steering;
mod steps;
#[path = "../support/mod.rs"]
mod support;
mod timeouts;
mod transitions;
mod turns;
mod workflows;
