//! A task that is created, and whose end is waited for: what `RunTask` does, and `RunTasks` for each of its runs.

use super::tasks::{MAX_WAIT, Named, Tasks, of_single};
use crate::convert::{payload, task};
use crate::digest;
use callboard_core::command::{Command, Envelope, Reply};
use callboard_core::model::TaskId;
use callboard_engine::Ended;
use callboard_proto::v1;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::oneshot;
use tonic::Status;

/// A task that was created, or found to have been, and whose end will be told.
#[derive(Debug)]
pub(super) struct Created {
    namespace: Named,
    task: TaskId,
    end: oneshot::Receiver<Arc<Ended>>,
}

/// Creates it. `request` is without its id, and without how long to wait: what makes a repetition the same.
pub(super) async fn create(
    tasks: &Tasks,
    principal: Arc<str>,
    namespace: Named,
    request_id: String,
    request: v1::RunTaskRequest,
) -> Result<Created, Status> {
    let token = digest::token("RunTask", &request_id, &request)?;
    let new = tasks.new_tasks(&request.namespace, vec![("task".into(), request.task)]).await?;
    let command = Command::CreateTasks { tasks: new };
    let envelope = Envelope { namespace: namespace.0.clone(), principal, request: token, command };
    let (reply, end) = tasks.0.engine.run(envelope).await.map_err(of_single)?;
    let receipt = super::receipts(reply)?.first().copied();
    let receipt = receipt.ok_or_else(|| super::unexpected(&Reply::Done))?;
    Ok(Created { namespace, task: receipt.task, end })
}

impl Created {
    /// The task when it has ended, or as far as it came when the time is over; and whether it ended.
    pub async fn ended_within(self, tasks: &Tasks, wait: Duration) -> Result<(v1::Task, bool), Status> {
        match tokio::time::timeout(wait, self.end).await {
            Ok(Ok(ended)) => Ok((ended_task(&ended, &self.namespace.0), true)),
            // Nobody will tell.
            Ok(Err(_)) => tasks.wait(self.namespace, self.task, wait).await,
            Err(_) => tasks.wait(self.namespace, self.task, Duration::ZERO).await,
        }
    }

    /// What is told when it has ended.
    pub async fn ended(self, tasks: &Tasks) -> Result<(TaskId, v1::Task), Status> {
        if let Ok(ended) = self.end.await {
            return Ok((self.task, ended_task(&ended, &self.namespace.0)));
        }
        // Nobody will tell.
        loop {
            let (task, ended) = tasks.wait(self.namespace.clone(), self.task, MAX_WAIT.to_std()).await?;
            if ended {
                return Ok((self.task, task));
            }
        }
    }
}

/// A task that ended just now, from memory.
pub(super) fn ended_task(ended: &Ended, namespace: &str) -> v1::Task {
    let mut message = task::to_task(&ended.task, namespace);
    message.result = ended.result.as_deref().map(payload::to_payload);
    message.failure = ended.failure.as_deref().map(payload::to_failure);
    message
}
