//! The conformance suite: scenarios that are written once, in data, and played with every SDK by its driver.
//!
//! A scenario says what a client does, what an agent's handlers do, what goes wrong, and what must be seen. Verdicts come from the server
//! ([`read`]) and from a proxy between the SDK and the server ([`proxy`]); a driver is believed only what its SDK's calls gave. DRIVER.md is the contract of
//! drivers, README.md says how scenarios are written.

mod chunks;
pub mod driver;
mod news;
pub mod proxy;
pub mod read;
pub mod report;
pub mod run;
pub mod scenario;
pub mod sdk;
mod shape;
pub mod stage;
mod steps;
pub mod value;
mod world;
