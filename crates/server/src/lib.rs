//! Callboard's gRPC services over the engine: parse, authenticate, authorize, call, map the answer. No rules, no SQL.
//!
//! - [`identity`]: who asks and what they may do; the guard before every service.
//! - [`Server`]: binds everything to a listener; what it needs is passed in.
//! - [`Listener`]: accepts connections, with or without TLS. `reload`: files that are read again when they change.
//! - [`InProcess`]: the services without a transport.
//! - `services`: one file for each gRPC service; handlers unpack, call the engine or the store, and pack.
//! - [`archive`]: what retention hands on before it forgets, as messages of the protocol.
//! - `convert`: between messages and the model, with every fault named.
//! - `status`: the one place where errors become a `tonic::Status`.
//! - `refusals`: what the transport refuses by itself, said as every other refusal.
//! - `budget`: how many bytes calls under way may hold.
//! - `deadline`: calls whose callers give them no more time.
//! - `page`: page tokens and cursors.
//! - `pages`: what browsers, load balancers and Prometheus ask for on the same port.
//! - `digest`: what tells a request from another under the same request id.

pub mod archive;
mod budget;
mod caller;
mod convert;
mod deadline;
mod digest;
mod drain;
pub mod identity;
mod in_process;
mod listener;
mod mailbox;
mod page;
mod pages;
mod refusals;
mod reload;
mod server;
mod services;
mod status;

pub use in_process::InProcess;
pub use listener::{Listener, Tls, TlsFiles};
pub use server::{Limits, Server};
pub use services::{LogControl, LogFault};
