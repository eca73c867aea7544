//! Who may do what, from outside: real servers with identities, real calls.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod access;
mod agents;
mod bench;
mod call;
mod canary;
mod command_line;
mod tls;
mod tokens;
