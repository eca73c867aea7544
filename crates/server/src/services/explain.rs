//! `ExplainAssignment`.

use super::check;
use super::tasks::Tasks;
use crate::convert::{assignment, task_id};
use crate::status;
use callboard_core::rejection::Rejection;
use callboard_core::validate::Faults;
use callboard_proto::v1;
use tonic::Status;

/// Says who could have a task.
pub(super) async fn explain(
    tasks: &Tasks,
    request: v1::ExplainAssignmentRequest,
) -> Result<v1::ExplainAssignmentResponse, Status> {
    let mut faults = Faults::default();
    let id = task_id("task_id", &request.task_id, &mut faults);
    check(faults)?;
    let (_, namespace) = tasks.namespace(&request.namespace).await?;
    let explained = tasks.0.engine.explain((namespace, id)).await.map_err(status::of_engine)?;
    let explained = explained.ok_or_else(|| status::of_rejection(Rejection::task_not_found(id)))?;
    Ok(v1::ExplainAssignmentResponse { explanation: Some(assignment::to_explanation(&explained)) })
}
