//! `WorkflowService`.

use super::tasks::{of_workflow, reason, waiting_time, with_paths};
use super::{Answer, Host, check, forecast, open, unexpected};
use crate::convert::{task, time, workflow};
use crate::{caller, digest, page, status};
use callboard_core::command::{Command, Envelope, Reply};
use callboard_core::model::{Edge, NamespaceId, Task, Workflow, WorkflowId};
use callboard_core::rejection::Rejection;
use callboard_core::validate::Faults;
use callboard_engine::Error;
use callboard_proto::MAX_FRAME_BYTES;
use callboard_proto::v1;
use callboard_proto::v1::workflow_service_server::WorkflowService;
use prost::Message;
use std::sync::Arc;
use std::time::Duration;
use tonic::{Request, Response, Status};

/// How many workflows one read of a list looks at, fitting or not, and how many reads make a page at most.
const SCAN: usize = 1_000;
const READS: usize = 16;

/// The service.
#[derive(Clone, Debug)]
pub(crate) struct Workflows(pub Host);

impl Workflows {
    async fn namespace(&self, name: &str) -> Result<(Arc<str>, NamespaceId), Status> {
        let name = caller::namespace(name);
        let id = self.0.engine.namespace(&name).await.map_err(status::of_engine)?;
        Ok((name, id))
    }

    /// A workflow that must exist, when it has ended or the time is over.
    async fn workflow(&self, namespace: NamespaceId, id: WorkflowId, wait: Duration) -> Result<Workflow, Status> {
        let found = self.0.engine.wait_workflow((namespace, id), wait).await.map_err(status::of_engine)?;
        found.ok_or_else(|| status::of_rejection(Rejection::workflow_not_found(id)))
    }
}

#[tonic::async_trait]
impl WorkflowService for Workflows {
    async fn create_workflow(&self, request: Request<v1::CreateWorkflowRequest>) -> Answer<v1::CreateWorkflowResponse> {
        let (principal, mut request) = open(request)?;
        check_bytes("workflow", request.encoded_len(), "create several workflows")?;
        let request_id = std::mem::take(&mut request.request_id);
        let token = digest::token("CreateWorkflow", &request_id, &request)?;
        let name = caller::namespace(&request.namespace);
        let settings = self.0.engine.settings(&name).await.map_err(status::of_engine)?;
        let now = self.0.engine.now();
        let spec = request.workflow.unwrap_or_default();
        let mut faults = Faults::default();
        let new = workflow::new_workflow("workflow", spec, &settings, now, &mut faults);
        check(faults)?;
        let command = Command::CreateWorkflow { workflow: Box::new(new) };
        let envelope = Envelope { namespace: name, principal, request: token, command };
        match self.0.engine.submit(envelope).await.map_err(of_workflow)? {
            Reply::Workflow { workflow, tasks } => Ok(Response::new(v1::CreateWorkflowResponse {
                workflow_id: workflow.to_string(),
                receipts: tasks.iter().map(task::to_receipt).collect(),
            })),
            other => Err(unexpected(&other)),
        }
    }

    async fn get_workflow(&self, request: Request<v1::GetWorkflowRequest>) -> Answer<v1::GetWorkflowResponse> {
        let (_, request) = open(request)?;
        let mut faults = Faults::default();
        let id = workflow::workflow_id("workflow_id", &request.workflow_id, &mut faults);
        check(faults)?;
        let (name, namespace) = self.namespace(&request.namespace).await?;
        let row = self.workflow(namespace, id, Duration::ZERO).await?;
        Ok(Response::new(v1::GetWorkflowResponse { workflow: Some(workflow::to_workflow(&row, &name)) }))
    }

    async fn list_workflows(&self, request: Request<v1::ListWorkflowsRequest>) -> Answer<v1::ListWorkflowsResponse> {
        let (_, mut request) = open(request)?;
        let size = page::size(std::mem::take(&mut request.page_size))?;
        let token = std::mem::take(&mut request.page_token);
        let query = page::Query::of("ListWorkflows", &request);
        let mut before: Option<WorkflowId> = query.place("page_token", &token)?;
        let (name, namespace) = self.namespace(&request.namespace).await?;
        let filter = Filter::of(&request)?;
        let of_name = Some(&*request.name).filter(|name| !name.is_empty());
        let (mut workflows, mut room) = (Vec::new(), page::Room::new());
        'reads: for _ in 0..READS {
            let store = self.0.engine.store();
            let found = store.workflows(namespace, of_name, before, SCAN).await.map_err(status::of_store)?;
            for row in &found {
                if filter.fits(row) {
                    let message = workflow::to_workflow(row, &name);
                    if workflows.len() == size || !room.takes(&message) {
                        break 'reads;
                    }
                    workflows.push(message);
                }
                before = Some(row.id);
            }
            if found.len() < SCAN {
                before = None;
                break;
            }
        }
        let next_page_token = before.map(|before| query.token(&before)).unwrap_or_default();
        Ok(Response::new(v1::ListWorkflowsResponse { workflows, next_page_token }))
    }

    async fn list_workflow_tasks(
        &self,
        request: Request<v1::ListWorkflowTasksRequest>,
    ) -> Answer<v1::ListWorkflowTasksResponse> {
        let (_, mut request) = open(request)?;
        let size = page::size(std::mem::take(&mut request.page_size))?;
        let token = std::mem::take(&mut request.page_token);
        let query = page::Query::of("ListWorkflowTasks", &request);
        let from: u32 = query.place("page_token", &token)?.unwrap_or_default();
        let mut faults = Faults::default();
        let id = workflow::workflow_id("workflow_id", &request.workflow_id, &mut faults);
        check(faults)?;
        let (name, namespace) = self.namespace(&request.namespace).await?;
        self.workflow(namespace, id, Duration::ZERO).await?;
        let store = self.0.engine.store();
        let page = store.workflow_page((namespace, id), from, size).await.map_err(status::of_store)?;
        let (mut tasks, mut next, mut room) = (Vec::new(), page.next, page::Room::new());
        for (place, row) in &page.tasks {
            let message = with_dependencies(row, &page.edges, &name);
            if !room.takes(&message) {
                next = Some(place.ordinal);
                break;
            }
            tasks.push(message);
        }
        let next_page_token = next.map(|next| query.token(&next)).unwrap_or_default();
        Ok(Response::new(v1::ListWorkflowTasksResponse { tasks, next_page_token }))
    }

    async fn wait_workflow(&self, request: Request<v1::WaitWorkflowRequest>) -> Answer<v1::WaitWorkflowResponse> {
        let (_, request) = open(request)?;
        let mut faults = Faults::default();
        let id = workflow::workflow_id("workflow_id", &request.workflow_id, &mut faults);
        let wait = waiting_time(request.wait, &mut faults);
        check(faults)?;
        let (name, namespace) = self.namespace(&request.namespace).await?;
        let row = self.workflow(namespace, id, wait).await?;
        let ended = row.ended_at.is_some();
        Ok(Response::new(v1::WaitWorkflowResponse { workflow: Some(workflow::to_workflow(&row, &name)), ended }))
    }

    async fn cancel_workflow(&self, request: Request<v1::CancelWorkflowRequest>) -> Answer<v1::CancelWorkflowResponse> {
        let (principal, mut request) = open(request)?;
        let request_id = std::mem::take(&mut request.request_id);
        let token = digest::token("CancelWorkflow", &request_id, &request)?;
        let mut faults = Faults::default();
        let id = workflow::workflow_id("workflow_id", &request.workflow_id, &mut faults);
        reason(&request.reason, &mut faults);
        check(faults)?;
        let command = Command::CancelWorkflow { workflow: id, reason: request.reason };
        self.0.command(principal, &request.namespace, token, command).await?;
        let (name, namespace) = self.namespace(&request.namespace).await?;
        let row = self.workflow(namespace, id, Duration::ZERO).await?;
        Ok(Response::new(v1::CancelWorkflowResponse { workflow: Some(workflow::to_workflow(&row, &name)) }))
    }

    async fn retry_workflow(&self, request: Request<v1::RetryWorkflowRequest>) -> Answer<v1::RetryWorkflowResponse> {
        let (principal, mut request) = open(request)?;
        let request_id = std::mem::take(&mut request.request_id);
        let token = digest::token("RetryWorkflow", &request_id, &request)?;
        let mut faults = Faults::default();
        let id = workflow::workflow_id("workflow_id", &request.workflow_id, &mut faults);
        check(faults)?;
        let command = Command::RetryWorkflow { workflow: id };
        self.0.command(principal, &request.namespace, token, command).await?;
        let (name, namespace) = self.namespace(&request.namespace).await?;
        let row = self.workflow(namespace, id, Duration::ZERO).await?;
        Ok(Response::new(v1::RetryWorkflowResponse { workflow: Some(workflow::to_workflow(&row, &name)) }))
    }

    async fn add_workflow_tasks(
        &self,
        request: Request<v1::AddWorkflowTasksRequest>,
    ) -> Answer<v1::AddWorkflowTasksResponse> {
        let (principal, mut request) = open(request)?;
        check_bytes("tasks", request.encoded_len(), "add them in several calls")?;
        let request_id = std::mem::take(&mut request.request_id);
        let token = digest::token("AddWorkflowTasks", &request_id, &request)?;
        let name = caller::namespace(&request.namespace);
        let settings = self.0.engine.settings(&name).await.map_err(status::of_engine)?;
        let mut faults = Faults::default();
        let id = workflow::workflow_id("workflow_id", &request.workflow_id, &mut faults);
        let added = workflow::added_tasks("tasks", request.tasks, &settings, self.0.engine.now(), &mut faults);
        check(faults)?;
        let command = Command::AddWorkflowTasks { workflow: id, added: Box::new(added) };
        let envelope = Envelope { namespace: name, principal, request: token, command };
        match self.0.engine.submit(envelope).await.map_err(of_added)? {
            Reply::Tasks(tasks) => {
                let receipts = tasks.iter().map(task::to_receipt).collect();
                Ok(Response::new(v1::AddWorkflowTasksResponse { receipts }))
            }
            other => Err(unexpected(&other)),
        }
    }

    async fn hold_workflow(&self, request: Request<v1::HoldWorkflowRequest>) -> Answer<v1::HoldWorkflowResponse> {
        let (principal, mut request) = open(request)?;
        let request_id = std::mem::take(&mut request.request_id);
        let token = digest::token("HoldWorkflow", &request_id, &request)?;
        let mut faults = Faults::default();
        let id = workflow::workflow_id("workflow_id", &request.workflow_id, &mut faults);
        reason(&request.reason, &mut faults);
        check(faults)?;
        let command = Command::HoldWorkflow { workflow: id, reason: request.reason };
        self.0.command(principal, &request.namespace, token, command).await?;
        let (name, namespace) = self.namespace(&request.namespace).await?;
        let row = self.workflow(namespace, id, Duration::ZERO).await?;
        Ok(Response::new(v1::HoldWorkflowResponse { workflow: Some(workflow::to_workflow(&row, &name)) }))
    }

    async fn release_workflow(
        &self,
        request: Request<v1::ReleaseWorkflowRequest>,
    ) -> Answer<v1::ReleaseWorkflowResponse> {
        let (principal, mut request) = open(request)?;
        let request_id = std::mem::take(&mut request.request_id);
        let token = digest::token("ReleaseWorkflow", &request_id, &request)?;
        let mut faults = Faults::default();
        let id = workflow::workflow_id("workflow_id", &request.workflow_id, &mut faults);
        check(faults)?;
        self.0.command(principal, &request.namespace, token, Command::ReleaseWorkflow { workflow: id }).await?;
        let (name, namespace) = self.namespace(&request.namespace).await?;
        let row = self.workflow(namespace, id, Duration::ZERO).await?;
        Ok(Response::new(v1::ReleaseWorkflowResponse { workflow: Some(workflow::to_workflow(&row, &name)) }))
    }

    async fn forecast_workflow(
        &self,
        request: Request<v1::ForecastWorkflowRequest>,
    ) -> Answer<v1::ForecastWorkflowResponse> {
        let (_, request) = open(request)?;
        let mut faults = Faults::default();
        let id = workflow::workflow_id("workflow_id", &request.workflow_id, &mut faults);
        check(faults)?;
        let (name, namespace) = self.namespace(&request.namespace).await?;
        let row = self.workflow(namespace, id, Duration::ZERO).await?;
        let held = workflow::to_workflow(&row, &name).held;
        let forecast = forecast::of_workflow(&self.0, &row, held).await?;
        Ok(Response::new(v1::ForecastWorkflowResponse { forecast: Some(forecast) }))
    }
}

/// Refuses a request that no server of ours could pass on in one frame.
fn check_bytes(field: &str, bytes: usize, otherwise: &str) -> Result<(), Status> {
    let mut faults = Faults::default();
    if bytes > MAX_FRAME_BYTES {
        let remedy = format!("store what is large elsewhere and pass where it is, or {otherwise}");
        faults.too_large(field, format!("has {bytes} bytes; at most {MAX_FRAME_BYTES} (3 MiB): {remedy}"));
    }
    check(faults)
}

/// A refusal of tasks that are added to a workflow: what rules say of a task itself is of its `task`.
fn of_added(error: Error) -> Status {
    with_paths(error, |path| {
        let (place, rest) = path.strip_prefix("tasks[")?.split_once("].")?;
        let of_place = ["name", "depends_on", "task."].iter().any(|field| rest.starts_with(field));
        (!of_place).then(|| format!("tasks[{place}].task.{rest}"))
    })
}

/// A task with what it depends on: edges by target.
fn with_dependencies(row: &Task, edges: &[Edge], namespace: &str) -> v1::Task {
    let first = edges.partition_point(|edge| edge.target < row.id);
    let own = edges[first..].iter().take_while(|edge| edge.target == row.id);
    let own: Vec<Edge> = own.cloned().collect();
    task::to_task_with(row, &own, namespace)
}

/// Which workflows a list has, besides their name.
struct Filter {
    states: Vec<callboard_core::model::WorkflowState>,
    from: Option<callboard_core::model::Timestamp>,
    before: Option<callboard_core::model::Timestamp>,
    suffix: String,
}

impl Filter {
    fn of(request: &v1::ListWorkflowsRequest) -> Result<Self, Status> {
        let mut faults = Faults::default();
        let states = request.states.iter().enumerate();
        let states =
            states.filter_map(|(at, state)| workflow::state(format_args!("states[{at}]"), *state, &mut faults));
        let states = states.collect();
        let from = time::timestamp("created_after", request.created_after, &mut faults);
        let before = time::timestamp("created_before", request.created_before, &mut faults);
        let suffix = super::tasks::id_suffix(&request.id_suffix, &mut faults);
        check(faults)?;
        Ok(Self { states, from, before, suffix })
    }

    fn fits(&self, row: &Workflow) -> bool {
        (self.states.is_empty() || self.states.contains(&row.state()))
            && self.from.is_none_or(|from| row.created_at >= from)
            && self.before.is_none_or(|before| row.created_at < before)
            && row.id.0.simple().to_string().ends_with(&self.suffix)
    }
}
