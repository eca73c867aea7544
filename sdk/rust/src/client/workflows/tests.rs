//! The calls of workflows, to a server in memory that answers what the test says.

mod growing;

use std::sync::{Arc, Mutex};

use callboard_proto::v1::workflow_service_server::{WorkflowService, WorkflowServiceServer};
use futures::TryStreamExt;
use tokio::io::{DuplexStream, duplex};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_stream::wrappers::UnboundedReceiverStream;
use tonic::{Request, Response, Status};

use super::*;
use crate::client::ClientBuilder;
use crate::{BoxFuture, Connector, Interceptor, NewTask, NewWorkflowTask, SubmitNext, Submitted};

type Answer<T> = Result<Response<T>, Status>;

/// A server, and a client of it.
struct Server {
    client: Client,
    script: Script,
    _serving: JoinSet<()>,
}

/// What the server answers, and what it was asked.
#[derive(Clone, Default)]
struct Script(Arc<Mutex<Told>>);

#[derive(Default)]
struct Told {
    /// So many waits more end before the workflow does.
    waits_left: usize,
    created: Vec<v1::CreateWorkflowRequest>,
    added: Vec<v1::AddWorkflowTasksRequest>,
    held: Vec<v1::HoldWorkflowRequest>,
    released: Vec<v1::ReleaseWorkflowRequest>,
    waited: Vec<v1::WaitWorkflowRequest>,
    listed: Vec<v1::ListWorkflowTasksRequest>,
}

impl Server {
    fn start() -> Self {
        Self::start_for(Client::builder())
    }

    fn start_for(client: ClientBuilder) -> Self {
        let (dialled, connections) = mpsc::unbounded_channel::<Result<DuplexStream, std::io::Error>>();
        let script = Script::default();
        let service = WorkflowServiceServer::new(script.clone());
        let mut serving = JoinSet::new();
        serving.spawn(async move {
            let server = tonic::transport::Server::builder().add_service(service);
            server.serve_with_incoming(UnboundedReceiverStream::new(connections)).await.unwrap();
        });
        let connector = Connector::new(move |_| {
            let (near, far) = duplex(1 << 16);
            dialled.send(Ok(far)).unwrap();
            async { Ok(near) }
        });
        let client = client.address("http://localhost").namespace("n").connector(connector);
        Self { client: client.build().unwrap(), script, _serving: serving }
    }
}

fn workflow(id: &str, ended: bool) -> Option<v1::Workflow> {
    let state = if ended { v1::WorkflowState::Failed } else { v1::WorkflowState::Running };
    Some(v1::Workflow { id: id.to_owned(), state: state.into(), ..Default::default() })
}

#[tonic::async_trait]
impl WorkflowService for Script {
    async fn create_workflow(&self, request: Request<v1::CreateWorkflowRequest>) -> Answer<v1::CreateWorkflowResponse> {
        let request = request.into_inner();
        let receipts = receipts(&request.workflow.clone().unwrap_or_default().tasks);
        self.0.lock().unwrap().created.push(request);
        Ok(Response::new(v1::CreateWorkflowResponse { workflow_id: "w".into(), receipts }))
    }

    async fn get_workflow(&self, request: Request<v1::GetWorkflowRequest>) -> Answer<v1::GetWorkflowResponse> {
        Ok(Response::new(v1::GetWorkflowResponse { workflow: workflow(&request.get_ref().workflow_id, false) }))
    }

    async fn list_workflows(&self, _: Request<v1::ListWorkflowsRequest>) -> Answer<v1::ListWorkflowsResponse> {
        Err(Status::unimplemented("not asked here"))
    }

    async fn list_workflow_tasks(
        &self,
        request: Request<v1::ListWorkflowTasksRequest>,
    ) -> Answer<v1::ListWorkflowTasksResponse> {
        let request = request.into_inner();
        let (id, next_page_token) =
            if request.page_token.is_empty() { ("first", "more".to_owned()) } else { ("second", String::new()) };
        self.0.lock().unwrap().listed.push(request);
        let tasks = vec![v1::Task { id: id.into(), ..Default::default() }];
        Ok(Response::new(v1::ListWorkflowTasksResponse { tasks, next_page_token }))
    }

    async fn wait_workflow(&self, request: Request<v1::WaitWorkflowRequest>) -> Answer<v1::WaitWorkflowResponse> {
        let mut told = self.0.lock().unwrap();
        let ended = told.waits_left == 0;
        told.waits_left = told.waits_left.saturating_sub(1);
        let workflow = workflow(&request.get_ref().workflow_id, ended);
        told.waited.push(request.into_inner());
        Ok(Response::new(v1::WaitWorkflowResponse { workflow, ended }))
    }

    async fn cancel_workflow(&self, _: Request<v1::CancelWorkflowRequest>) -> Answer<v1::CancelWorkflowResponse> {
        Ok(Response::new(v1::CancelWorkflowResponse { workflow: None }))
    }

    async fn retry_workflow(&self, _: Request<v1::RetryWorkflowRequest>) -> Answer<v1::RetryWorkflowResponse> {
        Err(Status::unimplemented("not asked here"))
    }

    async fn add_workflow_tasks(
        &self,
        request: Request<v1::AddWorkflowTasksRequest>,
    ) -> Answer<v1::AddWorkflowTasksResponse> {
        let request = request.into_inner();
        let receipts = receipts(&request.tasks);
        self.0.lock().unwrap().added.push(request);
        Ok(Response::new(v1::AddWorkflowTasksResponse { receipts }))
    }

    async fn hold_workflow(&self, request: Request<v1::HoldWorkflowRequest>) -> Answer<v1::HoldWorkflowResponse> {
        let request = request.into_inner();
        let held = workflow(&request.workflow_id, false).map(|workflow| v1::Workflow { held: true, ..workflow });
        self.0.lock().unwrap().held.push(request);
        Ok(Response::new(v1::HoldWorkflowResponse { workflow: held }))
    }

    async fn release_workflow(
        &self,
        request: Request<v1::ReleaseWorkflowRequest>,
    ) -> Answer<v1::ReleaseWorkflowResponse> {
        let request = request.into_inner();
        let released = workflow(&request.workflow_id, false);
        self.0.lock().unwrap().released.push(request);
        Ok(Response::new(v1::ReleaseWorkflowResponse { workflow: released }))
    }

    async fn forecast_workflow(
        &self,
        request: Request<v1::ForecastWorkflowRequest>,
    ) -> Answer<v1::ForecastWorkflowResponse> {
        let request = request.into_inner();
        let has_ended = request.workflow_id == "ended";
        let forecast = v1::WorkflowForecast { unknown_types: vec![request.namespace], ..Default::default() };
        Ok(Response::new(v1::ForecastWorkflowResponse { forecast: (!has_ended).then_some(forecast) }))
    }
}

/// Of each task but one that this server forgets to answer for.
fn receipts(tasks: &[v1::WorkflowTask]) -> Vec<Receipt> {
    let known = tasks.iter().filter(|task| task.name != "forgotten");
    known.map(|task| Receipt { task_id: format!("id of {}", task.name), ..Receipt::default() }).collect()
}

fn new(names: &[&str]) -> NewWorkflow {
    let tasks = names.iter().map(|name| NewWorkflowTask::new(*name, NewTask::new("t")));
    NewWorkflow::new("report").tasks(tasks)
}

#[tokio::test]
async fn receipts_are_by_the_names_of_the_tasks() {
    let server = Server::start();
    let created = server.client.create_workflow(new(&["whole", "left"])).await.unwrap();
    assert_eq!(created.workflow_id, "w");
    assert_eq!(created.receipts.keys().collect::<Vec<_>>(), ["left", "whole"]);
    assert_eq!(created.receipt("whole").unwrap().task_id, "id of whole");
    let error = created.receipt("right").unwrap_err();
    assert!(matches!(error, Error::InvalidArgument(_)));
    assert_eq!(error.to_string(), r#"no task of the workflow is named "right": there are left, whole"#);
    let told = server.script.0.lock().unwrap();
    let [request] = told.created.as_slice() else { panic!("{:?}", told.created) };
    assert_eq!(request.namespace, "n");
    assert!(!request.request_id.is_empty(), "a retry would be another workflow");
}

#[tokio::test]
async fn a_callers_request_id_is_kept() {
    let server = Server::start();
    server.client.create_workflow(new(&["a"]).request_id("mine")).await.unwrap();
    assert_eq!(server.script.0.lock().unwrap().created[0].request_id, "mine");
}

#[tokio::test]
async fn an_answer_without_all_receipts_is_an_error() {
    let error = Server::start().client.create_workflow(new(&["a", "forgotten"])).await.unwrap_err();
    assert!(error.to_string().contains("`receipts`"), "{error}");
    let error = Server::start().client.cancel_workflow("w", "").await.unwrap_err();
    assert!(error.to_string().contains("`workflow`"), "{error}");
}

#[tokio::test]
async fn a_wait_asks_again_until_the_workflow_has_ended_however_it_did() {
    let server = Server::start();
    server.script.0.lock().unwrap().waits_left = 2;
    let ended = server.client.wait_workflow("w", None).await.unwrap();
    assert_eq!((ended.id.as_str(), ended.state()), ("w", v1::WorkflowState::Failed));
    assert_eq!(server.script.0.lock().unwrap().waited.len(), 3);
}

#[tokio::test]
async fn a_wait_whose_time_is_over_says_that_the_workflow_goes_on() {
    let server = Server::start();
    server.script.0.lock().unwrap().waits_left = usize::MAX;
    let error = server.client.wait_workflow("w", Some(Duration::ZERO)).await.unwrap_err();
    assert!(matches!(error, Error::DeadlineExceeded(_)), "{error:?}");
    assert_eq!(error.to_string(), "workflow w had not ended when the time was over: it goes on");
    let told = server.script.0.lock().unwrap();
    let waits: Vec<_> = told.waited.iter().map(|request| request.wait).collect();
    assert_eq!(waits, [Some(prost_types::Duration::default())], "an unset wait would be the server's");
}

#[tokio::test]
async fn tasks_come_from_page_after_page() {
    let server = Server::start();
    let request = v1::ListWorkflowTasksRequest { workflow_id: "w".into(), page_size: 1, ..Default::default() };
    let tasks: Vec<v1::Task> = server.client.workflow_tasks(request).try_collect().await.unwrap();
    assert_eq!(tasks.iter().map(|task| task.id.as_str()).collect::<Vec<_>>(), ["first", "second"]);
    let told = server.script.0.lock().unwrap();
    let asked: Vec<_> =
        told.listed.iter().map(|one| (one.workflow_id.as_str(), one.page_size, one.page_token.as_str())).collect();
    assert_eq!(asked, [("w", 1, ""), ("w", 1, "more")]);
}

/// Puts a header into each task, and answers for tasks of the type `known` itself.
struct Tenant;

impl Interceptor for Tenant {
    fn submit<'a>(&'a self, task: NewTask, next: SubmitNext<'a>) -> BoxFuture<'a, Result<Submitted>> {
        if task.spec().r#type == "known" {
            return Box::pin(async { Ok(Submitted::Created(Receipt::default())) });
        }
        next.run(task.header("tenant", "blue"))
    }
}

#[tokio::test]
async fn interceptors_are_around_each_task() {
    let server = Server::start_for(Client::builder().interceptor(Tenant));
    let created = server.client.create_workflow(new(&["a", "b"])).await.unwrap();
    assert_eq!(created.receipt("b").unwrap().task_id, "id of b");
    let told = server.script.0.lock().unwrap();
    let tasks = &told.created[0].workflow.as_ref().unwrap().tasks;
    let tenants: Vec<_> =
        tasks.iter().map(|task| (task.name.as_str(), task.task.as_ref().unwrap().headers["tenant"].as_str())).collect();
    assert_eq!(tenants, [("a", "blue"), ("b", "blue")]);
}

#[tokio::test]
async fn an_interceptor_can_not_take_a_task_out_of_a_workflow() {
    let server = Server::start_for(Client::builder().interceptor(Tenant));
    let known = || NewWorkflowTask::new("known", NewTask::new("known"));
    for workflow in [new(&["a"]).task(known()), NewWorkflow::new("all").task(known())] {
        let error = server.client.create_workflow(workflow).await.unwrap_err();
        assert_eq!(error.violations()[0].field, "interceptors");
    }
    assert!(server.script.0.lock().unwrap().created.is_empty());
}

#[tokio::test]
async fn one_without_tasks_is_the_servers_to_refuse() {
    let server = Server::start_for(Client::builder().interceptor(Tenant));
    server.client.create_workflow(NewWorkflow::new("empty")).await.unwrap();
    assert_eq!(server.script.0.lock().unwrap().created.len(), 1);
}
