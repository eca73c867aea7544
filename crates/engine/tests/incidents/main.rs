//! Known incidents of other systems, by name: none of them happens here, and each does when its guard is taken out.
//!
//! Each has a scenario that says whether it went as promised; it is played as it is, and with the guard taken out
//! (`callboard_core::planted`; of a database's tables, in the database). Those whose guards stand elsewhere have their tests there:
//! ARCHITECTURE.md, "Incidents of other systems", names all of them.

// Helpers of tests stand outside of tests.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs, dead_code)]

#[path = "../faults/store.rs"]
mod store;
mod text;
mod time;
mod work;
mod world;
