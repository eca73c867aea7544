//! The rules of Callboard: what a command does to tasks, agents and namespaces.
//!
//! This crate knows every rule and nothing else. It does no I/O, reads no clock, draws no random numbers and starts no
//! threads: the time, the entropy and the rows are passed in.
//!
//! ```text
//!             Envelope (command, principal, request id)
//!                  |
//!   WorkingSet --> decide(now, entropy, settings) --> Outcome: reply and effects; the changes are in the working set
//!                                              \----> Rejection: changes nothing
//!                                               \---> NeedMore: rows that were not loaded
//! ```
//!
//! - [`model`]: what there is: tasks, lanes, agents, events, payloads.
//! - [`command`]: what can be asked, and what comes back.
//! - [`working_set`]: the loaded rows, with undo, and the changes made to them.
//! - [`rules`]: what commands do. Every change of a task's state happens in [`rules::transition`].
//! - [`dispatch`]: which agent gets which task.
//! - [`forecast`]: when a workflow is expected to end, and what that waits for.

pub mod command;
pub mod decide;
pub mod dispatch;
pub mod effect;
pub mod entropy;
pub mod forecast;
pub mod limits;
pub mod model;
pub mod plan;
pub mod planted;
pub mod rejection;
pub mod rules;
pub mod settings;
pub mod validate;
pub mod working_set;

pub use command::{Command, Effect, Envelope, Outcome, Reply};
pub use decide::{Context, Decision, decide, foresee};
pub use entropy::Entropy;
pub use rejection::{Reason, Rejection};
pub use settings::Settings;
pub use working_set::{ChangeSet, Rows, Want, WorkingSet};
