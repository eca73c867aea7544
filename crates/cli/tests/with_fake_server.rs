//! The binary against a scripted server: what it asks for, prints, and ends with. The real server is tested in
//! `tests/`.

#![allow(clippy::unwrap_used)]

use std::pin::Pin;
use std::process::{Command, Output, Stdio};

use callboard_proto::v1::task_service_server::{TaskService, TaskServiceServer};
use callboard_proto::v1::{self, TaskState, payload::Content};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::{Request, Response, Status};

const DONE: &str = "01989b0e-3c1a-7000-8000-0000aaaaaaaa";
const FAILED: &str = "01989b0e-3c1a-7000-8000-0000bbbbbbbb";
const RUNNING: &str = "01989b0e-3c1a-7000-8000-0000cccccccc";

/// Three tasks that never change.
struct Fake;

fn task(id: &str) -> Result<v1::Task, Status> {
    let mut task = v1::Task { id: id.into(), run: 1, attempt: 1, agent: "ann".into(), ..v1::Task::default() };
    task.spec = Some(v1::TaskSpec { r#type: "review".into(), description: "Look".into(), ..v1::TaskSpec::default() });
    match id {
        DONE => {
            task.set_state(TaskState::Completed);
            let content = Some(Content::Text("[1.50]".into()));
            task.result =
                Some(v1::Payload { content_type: "application/json".into(), content, ..v1::Payload::default() });
        }
        FAILED => {
            task.set_state(TaskState::Failed);
            task.failure =
                Some(v1::Failure { r#type: "Boom".into(), message: "it broke".into(), ..v1::Failure::default() });
        }
        RUNNING => task.set_state(TaskState::Running),
        _ => return Err(Status::not_found(format!("task_id: no task {id} in namespace default: list them"))),
    }
    Ok(task)
}

/// Spelt out as `async_trait` would, which doesn't look into macros.
macro_rules! not_scripted {
    ($($method:ident($request:ident) -> $response:ident;)*) => { $(
        fn $method<'a, 'f>(&'a self, _: Request<v1::$request>) -> Answer<'f, v1::$response>
        where
            'a: 'f,
            Self: 'f,
        {
            Box::pin(async { Err(Status::unimplemented(stringify!($method))) })
        }
    )* };
}

type Answer<'f, T> = Pin<Box<dyn Future<Output = Result<Response<T>, Status>> + Send + 'f>>;
type Events = tokio_stream::Iter<std::vec::IntoIter<Result<v1::WatchEventsResponse, Status>>>;

#[tonic::async_trait]
impl TaskService for Fake {
    type WatchEventsStream = Events;
    type WatchOutputStream = tokio_stream::Empty<Result<v1::WatchOutputResponse, Status>>;

    async fn watch_output(
        &self,
        _: Request<v1::WatchOutputRequest>,
    ) -> Result<Response<Self::WatchOutputStream>, Status> {
        Err(Status::unimplemented("this server has no output"))
    }

    async fn list_tasks(
        &self,
        request: Request<v1::ListTasksRequest>,
    ) -> Result<Response<v1::ListTasksResponse>, Status> {
        let request = request.into_inner();
        let all = [DONE, FAILED, RUNNING].into_iter().filter(|id| id.replace('-', "").ends_with(&request.id_suffix));
        // A task a page: the page token is how many came before.
        let before: usize = request.page_token.parse().unwrap_or(0);
        let ids: Vec<&str> = all.collect();
        let tasks = ids.iter().skip(before).take(1).map(|id| task(id)).collect::<Result<_, _>>()?;
        let next_page_token = if before + 1 < ids.len() { (before + 1).to_string() } else { String::new() };
        Ok(Response::new(v1::ListTasksResponse { tasks, next_page_token }))
    }

    async fn get_task(&self, request: Request<v1::GetTaskRequest>) -> Result<Response<v1::GetTaskResponse>, Status> {
        Ok(Response::new(v1::GetTaskResponse { task: Some(task(&request.into_inner().task_id)?) }))
    }

    async fn wait_task(&self, request: Request<v1::WaitTaskRequest>) -> Result<Response<v1::WaitTaskResponse>, Status> {
        let task = task(&request.into_inner().task_id)?;
        let ended = task.state() != TaskState::Running;
        if !ended {
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
        Ok(Response::new(v1::WaitTaskResponse { task: Some(task), ended }))
    }

    async fn create_task(
        &self,
        request: Request<v1::CreateTaskRequest>,
    ) -> Result<Response<v1::CreateTaskResponse>, Status> {
        let spec = request.into_inner().task.unwrap();
        let task_id = if spec.r#type == "bad" { FAILED } else { DONE };
        let mut receipt = v1::TaskReceipt { task_id: task_id.into(), run: 1, version: 1, ..v1::TaskReceipt::default() };
        receipt.existing = !spec.key.is_empty();
        receipt.set_state(TaskState::Ready);
        Ok(Response::new(v1::CreateTaskResponse { receipt: Some(receipt) }))
    }

    async fn cancel_task(
        &self,
        request: Request<v1::CancelTaskRequest>,
    ) -> Result<Response<v1::CancelTaskResponse>, Status> {
        let id = request.into_inner().task_id;
        if id == FAILED {
            return Err(Status::failed_precondition("the task has ended"));
        }
        let mut receipt = v1::TaskReceipt { task_id: id, run: 1, ..v1::TaskReceipt::default() };
        receipt.set_state(TaskState::Cancelled);
        Ok(Response::new(v1::CancelTaskResponse { receipt: Some(receipt) }))
    }

    async fn watch_events(&self, request: Request<v1::WatchEventsRequest>) -> Result<Response<Events>, Status> {
        let task_id = request.into_inner().task_id;
        let event =
            |sequence| v1::Event { task_id: task_id.clone(), sequence, r#type: 1, state: 2, ..v1::Event::default() };
        let frame = v1::WatchEventsResponse { events: vec![event(1), event(2)], cursor: "c2".into() };
        Ok(Response::new(tokio_stream::iter(vec![Ok(frame)])))
    }

    type RunTasksStream = tokio_stream::Empty<Result<v1::RunTasksResponse, Status>>;

    async fn run_tasks(
        &self,
        _: Request<tonic::Streaming<v1::RunTasksRequest>>,
    ) -> Result<Response<Self::RunTasksStream>, Status> {
        Err(Status::unimplemented("not scripted"))
    }

    not_scripted! {
        batch_create_tasks(BatchCreateTasksRequest) -> BatchCreateTasksResponse;
        run_task(RunTaskRequest) -> RunTaskResponse;
        retry_task(RetryTaskRequest) -> RetryTaskResponse;
        hold_task(HoldTaskRequest) -> HoldTaskResponse;
        release_task(ReleaseTaskRequest) -> ReleaseTaskResponse;
        explain_assignment(ExplainAssignmentRequest) -> ExplainAssignmentResponse;
        add_dependencies(AddDependenciesRequest) -> AddDependenciesResponse;
        update_task(UpdateTaskRequest) -> UpdateTaskResponse;
        list_task_events(ListTaskEventsRequest) -> ListTaskEventsResponse;
        list_dependency_results(ListDependencyResultsRequest) -> ListDependencyResultsResponse;
        list_steps(ListStepsRequest) -> ListStepsResponse;
        list_children(ListChildrenRequest) -> ListChildrenResponse;
        list_output(ListOutputRequest) -> ListOutputResponse;
    }
}

/// A server while the test lasts.
struct Server {
    address: String,
    _runtime: tokio::runtime::Runtime,
}

impl Server {
    fn start() -> Self {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let server = tonic::transport::Server::builder().add_service(TaskServiceServer::new(Fake));
        let _running = runtime.handle().spawn(server.serve_with_incoming(TcpListenerStream::new(listener)));
        Self { address, _runtime: runtime }
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_callboard"));
        command.args(arguments).env("CALLBOARD_ADDRESS", &self.address);
        for variable in ["CALLBOARD_NAMESPACE", "CALLBOARD_OUTPUT", "CALLBOARD_LOG", "RUST_LOG", "CALLBOARD_TIMEOUT"] {
            command.env_remove(variable);
        }
        command
    }

    fn run(&self, arguments: &[&str]) -> (Option<i32>, String, String) {
        let Output { status, stdout, stderr } = self.command(arguments).output().unwrap();
        (status.code(), String::from_utf8(stdout).unwrap(), String::from_utf8(stderr).unwrap())
    }
}

#[test]
fn a_list_is_one_document_over_its_pages() {
    let server = Server::start();
    let (code, stdout, _) = server.run(&["task", "list", "-o", "json", "--all"]);
    let document: Value = serde_json::from_str(&stdout).unwrap();
    assert_eq!(
        (code, document["tasks"].as_array().map(Vec::len), &document["more"]),
        (Some(0), Some(3), &json!(false))
    );

    let (_, stdout, _) = server.run(&["task", "list", "-o", "json", "--limit", "2"]);
    let document: Value = serde_json::from_str(&stdout).unwrap();
    assert_eq!((document["tasks"].as_array().map(Vec::len), &document["more"]), (Some(2), &json!(true)));

    let (_, stdout, stderr) = server.run(&["task", "list", "--limit", "2"]);
    assert_eq!(stdout.lines().count(), 3, "{stdout}");
    assert_eq!(stderr, "there are more tasks: see --limit and --all\n");
}

#[test]
fn short_ids_are_taken() {
    let server = Server::start();
    let (code, stdout, _) = server.run(&["task", "show", "AAAAAA", "-o", "json"]);
    let document: Value = serde_json::from_str(&stdout).unwrap();
    assert_eq!((code, &document["id"], &document["state"]), (Some(0), &json!(DONE), &json!("completed")));
    assert_eq!(document["result"]["json"].to_string(), "[1.50]");

    let (code, _, stderr) = server.run(&["task", "show", "dddddd"]);
    assert_eq!(code, Some(3));
    assert!(stderr.starts_with("error: no task's id ends in `dddddd`"), "{stderr}");
}

#[test]
fn waiting_ends_with_what_became_of_the_tasks() {
    let server = Server::start();
    assert_eq!(server.run(&["task", "wait", DONE]).0, Some(0));
    let (code, stdout, stderr) = server.run(&["task", "wait", DONE, FAILED, "-o", "json"]);
    let document: Value = serde_json::from_str(&stdout).unwrap();
    assert_eq!((code, document["tasks"].as_array().map(Vec::len)), (Some(6), Some(2)));
    assert_eq!(stderr, "error: task bbbbbbbb failed: Boom: it broke\n");
    let (code, _, stderr) = server.run(&["task", "wait", RUNNING, "--for", "100ms"]);
    assert_eq!(code, Some(7), "{stderr}");
    assert!(stderr.contains("it is running") && stderr.contains("callboard task wait cccccccc"), "{stderr}");
}

#[test]
fn creating_prints_the_id_or_the_result() {
    let server = Server::start();
    let create = ["task", "create", "Look", "--type", "t"];
    let with = |more: &[&'static str]| [&create[..], more].concat();
    assert_eq!(server.run(&create), (Some(0), format!("{DONE}\n"), String::new()));
    assert_eq!(server.run(&with(&["--wait"])), (Some(0), "[1.50]".into(), String::new()));
    let (_, _, stderr) = server.run(&with(&["--key", "k"]));
    assert_eq!(stderr, "task aaaaaaaa is live and has this key: nothing was created\n");
    let (code, stdout, _) = server.run(&["task", "create", "Look", "--type", "bad", "--wait"]);
    assert_eq!((code, stdout.as_str()), (Some(6), ""));
}

#[test]
fn one_refusal_does_not_keep_the_others_from_it() {
    let server = Server::start();
    let (code, stdout, stderr) = server.run(&["task", "cancel", FAILED, RUNNING]);
    assert_eq!(code, Some(4));
    assert!(stdout.contains("cccccccc  cancelled"), "{stdout}");
    assert!(stderr.contains("the task has ended") && stderr.ends_with("error: 1 of 2 failed\n"), "{stderr}");
}

#[test]
fn a_watch_is_a_line_of_json_per_event() {
    let server = Server::start();
    let (code, stdout, stderr) = server.run(&["task", "watch", DONE, "-o", "json"]);
    let events: Vec<Value> = stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!((code, events.len(), &events[1]["cursor"]), (Some(0), 2, &json!("c2")), "{stderr}");
}

#[test]
fn a_reader_that_leaves_early_is_no_error() {
    let server = Server::start();
    let mut child =
        server.command(&["task", "list", "--all"]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert_eq!((output.status.code(), output.stderr.as_slice()), (Some(0), &b""[..]));
}

#[test]
fn what_the_server_does_not_have_is_an_error_of_its_own() {
    let server = Server::start();
    assert_eq!(server.run(&["task", "hold", RUNNING]).0, Some(1));
    let nobody = "01989b0e-3c1a-7000-8000-0000dddddddd";
    let (code, _, stderr) = server.run(&["task", "show", nobody]);
    assert_eq!(code, Some(3));
    assert!(stderr.contains("list them"), "{stderr}");
}
