//! `RunTasks`: tasks created, and their ends told, many in a frame.

use super::Host;
use callboard_proto::v1;
use std::pin::Pin;
use tokio_stream::Stream;
use tonic::{Request, Status, Streaming};

pub(super) type Outcomes = Pin<Box<dyn Stream<Item = Result<v1::RunTasksResponse, Status>> + Send>>;

/// Runs tasks.
#[allow(clippy::unused_async)]
pub(super) async fn run(_host: &Host, _request: Request<Streaming<v1::RunTasksRequest>>) -> Result<Outcomes, Status> {
    Err(Status::unimplemented("not yet"))
}
