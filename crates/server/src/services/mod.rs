//! One file for each gRPC service, and one for each of its streams.

mod admin;
mod agents;
mod attach;
mod children;
mod explain;
mod forecast;
mod messages;
mod namespaces;
mod output;
mod reading;
mod run;
mod runs;
mod tasks;
mod watch;
mod workflows;

pub(crate) use admin::Admin;
pub use admin::{LogControl, LogFault};
pub(crate) use agents::Agents;
pub(crate) use messages::Messages;
pub(crate) use namespaces::Namespaces;
pub(crate) use runs::Room;
pub(crate) use tasks::Tasks;
pub(crate) use workflows::Workflows;

use crate::caller;
use crate::drain::Drain;
use crate::identity::{Caller, Scoped};
use crate::pages::{Frames, Refused};
use crate::status;
use callboard_core::command::{Command, Envelope, Reply, RequestToken, TaskReceipt};
use callboard_core::rejection::Rejection;
use callboard_core::validate::Faults;
use callboard_engine::Engine;
use std::sync::Arc;
use tonic::{Request, Response, Status};

/// What handlers need.
#[derive(Clone, Debug)]
pub(crate) struct Host {
    pub engine: Engine,
    pub drain: Drain,
    pub tasks: tokio_util::task::TaskTracker,
    pub frames: Frames,
    pub refused: Refused,
    pub results: Room,
    pub version: &'static str,
}

/// What a handler answers.
pub(crate) type Answer<T> = Result<Response<T>, Status>;

impl Host {
    /// Sends a command, and gives the engine's answer.
    pub async fn command(
        &self,
        principal: Arc<str>,
        namespace: &str,
        request: Option<RequestToken>,
        command: Command,
    ) -> Result<Reply, Status> {
        let namespace = caller::namespace(namespace);
        let envelope = Envelope { namespace, principal, request, command };
        self.engine.submit(envelope).await.map_err(status::of_engine)
    }
}

/// Refuses a request with faults.
pub(crate) fn check(faults: Faults) -> Result<(), Status> {
    faults.finish().map_err(status::of_rejection)
}

/// The receipts of an answer.
pub(crate) fn receipts(reply: Reply) -> Result<Vec<TaskReceipt>, Status> {
    match reply {
        Reply::Tasks(receipts) => Ok(receipts),
        other => Err(unexpected(&other)),
    }
}

/// An answer of another kind than the command's: an error of ours.
pub(crate) fn unexpected(reply: &Reply) -> Status {
    status::of_engine(callboard_engine::Error::Internal(format!("unexpected answer {reply:?}")))
}

/// Refuses by one field.
pub(crate) fn refuse<T>(field: &str, fault: impl Into<String>) -> Result<T, Status> {
    Err(status::of_rejection(Rejection::field(field, fault)))
}

/// Takes a request apart: who asks, and for what. Refuses what is of a namespace that isn't the caller's.
pub(crate) fn open<T: Scoped>(request: Request<T>) -> Result<(Arc<str>, T), Status> {
    let caller = Caller::of(&request)?;
    let request = request.into_inner();
    caller.check(&request)?;
    Ok((caller.principal(), request))
}
