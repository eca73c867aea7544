//! Adding tasks to a workflow that runs.

use std::collections::BTreeMap;
use std::future::IntoFuture;

use callboard_proto::v1;

use super::submit_whole;
use crate::interceptor::BoxFuture;
use crate::{Client, NewWorkflowTask, Receipt, Result};

/// Tasks for a workflow that runs, which are added when it is awaited: see [`Client::add_workflow_tasks`].
#[derive(Debug, Clone)]
#[must_use = "nothing is added unless it is awaited"]
pub struct AddWorkflowTasks {
    client: Client,
    workflow_id: String,
    tasks: Vec<v1::WorkflowTask>,
    request_id: String,
}

impl AddWorkflowTasks {
    /// Your own id of this addition, at most 128 characters: repeating it with the same id adds nothing more, for 24 hours. A
    /// handler that may run again makes one of its task's id and run. By default a random one is made for each call.
    pub fn request_id(mut self, request_id: impl Into<String>) -> Self {
        self.request_id = request_id.into();
        self
    }

    async fn add(self) -> Result<BTreeMap<String, Receipt>> {
        let Self { client, workflow_id, tasks, request_id } = self;
        let add = |tasks| async {
            let request = v1::AddWorkflowTasksRequest { workflow_id, tasks, request_id, ..Default::default() };
            Ok(client.call(request).await?.receipts)
        };
        submit_whole(&client, tasks, add).await
    }
}

impl IntoFuture for AddWorkflowTasks {
    type Output = Result<BTreeMap<String, Receipt>>;
    type IntoFuture = BoxFuture<'static, Self::Output>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.add())
    }
}

impl Client {
    /// Adds tasks to a workflow that runs, all or none: its plan grows. They may depend on each other and on any task that the
    /// workflow has, also on one that has ended. Gives what was done for them, by the names that they have in the workflow.
    ///
    /// ```no_run
    /// # use callboard::{Context, Error, NewTask, NewWorkflowTask, TaskError};
    /// // A supervisor, itself a task of the workflow, amends its plan.
    /// async fn review(ctx: Context, faults: Vec<String>) -> Result<usize, TaskError> {
    ///     let Some(workflow) = ctx.workflow() else { return Err(TaskError::new("not of a workflow")) };
    ///     let mut fixes = Vec::new();
    ///     for (number, fault) in faults.iter().enumerate() {
    ///         fixes.push(NewWorkflowTask::new(format!("fix-{number}"), NewTask::new("fix").input(fault)?).depends_on("draft"));
    ///     }
    ///     let added = ctx.client().add_workflow_tasks(&workflow.workflow_id, fixes);
    ///     // An attempt that runs again adds them once.
    ///     Ok(added.request_id(format!("fixes/{}/{}", ctx.task_id(), ctx.run())).await?.len())
    /// }
    /// ```
    ///
    /// # Errors
    ///
    /// [`crate::Error::InvalidArgument`] when one of them is not as it may be (a name that the workflow has already, a cycle, a
    /// name that is no task's): all faults are named at once. [`crate::Error::FailedPrecondition`] when the workflow has ended,
    /// or is being cancelled. And as [`Client::get_workflow`] and [`Client::create`].
    pub fn add_workflow_tasks<T: Into<NewWorkflowTask>>(
        &self,
        id: &str,
        tasks: impl IntoIterator<Item = T>,
    ) -> AddWorkflowTasks {
        AddWorkflowTasks {
            client: self.clone(),
            workflow_id: id.to_owned(),
            tasks: tasks.into_iter().map(|task| task.into().task).collect(),
            request_id: String::new(),
        }
    }
}
