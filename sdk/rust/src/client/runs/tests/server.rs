//! A server in memory whose streams of runs are told by the test what to say.

use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use callboard_proto::v1;
use callboard_proto::v1::task_service_server::{TaskService, TaskServiceServer};
use tokio::io::{DuplexStream, copy_bidirectional, duplex};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_stream::wrappers::{ReceiverStream, UnboundedReceiverStream};
use tonic::{Request, Response, Status, Streaming};
use v1::task_outcome::Outcome;

use crate::{Client, ClientBuilder, Connector};

/// A server, and a client of it with a timeout of 30 s.
pub(super) struct Server {
    pub(super) client: Client,
    /// Whether it has streams of runs.
    pub(super) has_streams: Arc<AtomicBool>,
    opened: mpsc::UnboundedReceiver<Stream>,
    /// Between the client and the server, each carrying a connection.
    wires: Arc<Mutex<JoinSet<()>>>,
    _serving: JoinSet<()>,
}

/// A stream that the client opened.
pub(super) struct Stream {
    /// What it was opened with.
    pub(super) authorization: String,
    heard: Streaming<v1::RunTasksRequest>,
    said: mpsc::Sender<Result<v1::RunTasksResponse, Status>>,
}

impl Server {
    pub(super) fn start() -> Self {
        Self::start_for(Client::builder())
    }

    pub(super) fn start_for(client: ClientBuilder) -> Self {
        let (dialled, connections) = mpsc::unbounded_channel::<Result<DuplexStream, std::io::Error>>();
        let (streams, opened) = mpsc::unbounded_channel();
        let has_streams = Arc::new(AtomicBool::new(true));
        let script = Script { streams, has_streams: has_streams.clone() };
        let mut serving = JoinSet::new();
        serving.spawn(async move {
            let server = tonic::transport::Server::builder().add_service(TaskServiceServer::new(script));
            server.serve_with_incoming(UnboundedReceiverStream::new(connections)).await.unwrap();
        });
        let wires: Arc<Mutex<JoinSet<()>>> = Arc::default();
        let carrying = wires.clone();
        let connector = Connector::new(move |_| {
            let ((ours, mut near), (mut far, theirs)) = (duplex(1 << 16), duplex(1 << 16));
            dialled.send(Ok(theirs)).unwrap();
            carrying.lock().unwrap().spawn(async move {
                // It ends when either side does.
                let _ = copy_bidirectional(&mut near, &mut far).await;
            });
            async { Ok(ours) }
        });
        let client = client.address("http://localhost").namespace("n").connector(connector);
        let client = client.timeout(Duration::from_secs(30)).build().unwrap();
        Self { client, has_streams, opened, wires, _serving: serving }
    }

    /// Breaks all connections, and waits until they are.
    pub(super) async fn hang_up(&self) {
        let mut broken = std::mem::take(&mut *self.wires.lock().unwrap());
        broken.shutdown().await;
    }

    /// The next stream that the client opens.
    pub(super) async fn opened(&mut self) -> Stream {
        self.opened.recv().await.unwrap()
    }

    pub(super) fn has_opened(&self) -> bool {
        !self.opened.is_empty()
    }
}

impl Stream {
    /// The next frame; `None`: the client has ended its side. An error: it has dropped the stream.
    pub(super) async fn heard(&mut self) -> Result<Option<v1::RunTasksRequest>, Status> {
        self.heard.message().await
    }

    /// The next frame, of a stream that is not dropped.
    pub(super) async fn frame(&mut self) -> Option<v1::RunTasksRequest> {
        self.heard().await.unwrap()
    }

    /// The ids of the runs in the next frame.
    pub(super) async fn runs(&mut self) -> Vec<String> {
        let frame = self.frame().await.unwrap();
        assert_eq!(frame.forgotten_ids, [""; 0]);
        frame.runs.into_iter().map(|run| run.request_id).collect()
    }

    /// Says that the tasks of these runs were completed, in one frame.
    pub(super) async fn complete(&self, ids: &[String]) {
        let outcomes = ids.iter().map(|id| {
            let mut task = v1::Task { id: format!("task of {id}"), ..Default::default() };
            task.set_state(v1::TaskState::Completed);
            v1::TaskOutcome { request_id: id.clone(), outcome: Some(Outcome::Task(task)) }
        });
        self.say(outcomes.collect()).await;
    }

    pub(super) async fn refuse(&self, id: &str, status: &Status) {
        let bytes = status.details().to_vec().into();
        self.say(vec![v1::TaskOutcome { request_id: id.to_owned(), outcome: Some(Outcome::Status(bytes)) }]).await;
    }

    pub(super) async fn say(&self, outcomes: Vec<v1::TaskOutcome>) {
        self.said.send(Ok(v1::RunTasksResponse { outcomes })).await.unwrap();
    }

    pub(super) async fn end_with(self, status: Status) {
        self.said.send(Err(status)).await.unwrap();
    }
}

struct Script {
    streams: mpsc::UnboundedSender<Stream>,
    has_streams: Arc<AtomicBool>,
}

type Answer<'f, T> = Pin<Box<dyn Future<Output = Result<Response<T>, Status>> + Send + 'f>>;

/// Spelt out as `async_trait` would, which doesn't look into macros.
macro_rules! not_scripted {
    ($($method:ident($request:ident) -> $response:ty;)*) => { $(
        fn $method<'a, 'f>(&'a self, _: Request<v1::$request>) -> Answer<'f, $response>
        where
            'a: 'f,
            Self: 'f,
        {
            Box::pin(async { Err(Status::unimplemented(stringify!($method))) })
        }
    )* };
}

#[tonic::async_trait]
impl TaskService for Script {
    type RunTasksStream = ReceiverStream<Result<v1::RunTasksResponse, Status>>;
    type WatchEventsStream = ReceiverStream<Result<v1::WatchEventsResponse, Status>>;
    type WatchOutputStream = ReceiverStream<Result<v1::WatchOutputResponse, Status>>;

    async fn run_tasks(
        &self,
        request: Request<Streaming<v1::RunTasksRequest>>,
    ) -> Result<Response<Self::RunTasksStream>, Status> {
        if !self.has_streams.load(Ordering::SeqCst) {
            return Err(Status::unimplemented("this server has no streams of runs"));
        }
        let (said, saying) = mpsc::channel(16);
        let authorization = request.metadata().get("authorization").map(|token| token.to_str().unwrap().to_owned());
        let authorization = authorization.unwrap_or_default();
        self.streams.send(Stream { authorization, heard: request.into_inner(), said }).unwrap();
        Ok(Response::new(ReceiverStream::new(saying)))
    }

    /// The task has not ended yet.
    async fn run_task(&self, request: Request<v1::RunTaskRequest>) -> Result<Response<v1::RunTaskResponse>, Status> {
        let id = format!("called {}", request.into_inner().request_id);
        Ok(Response::new(v1::RunTaskResponse { task: Some(v1::Task { id, ..Default::default() }), ended: false }))
    }

    async fn wait_task(&self, request: Request<v1::WaitTaskRequest>) -> Result<Response<v1::WaitTaskResponse>, Status> {
        let task = Some(v1::Task { id: request.into_inner().task_id, ..Default::default() });
        Ok(Response::new(v1::WaitTaskResponse { task, ended: true }))
    }

    not_scripted! {
        create_task(CreateTaskRequest) -> v1::CreateTaskResponse;
        batch_create_tasks(BatchCreateTasksRequest) -> v1::BatchCreateTasksResponse;
        get_task(GetTaskRequest) -> v1::GetTaskResponse;
        list_tasks(ListTasksRequest) -> v1::ListTasksResponse;
        cancel_task(CancelTaskRequest) -> v1::CancelTaskResponse;
        retry_task(RetryTaskRequest) -> v1::RetryTaskResponse;
        hold_task(HoldTaskRequest) -> v1::HoldTaskResponse;
        release_task(ReleaseTaskRequest) -> v1::ReleaseTaskResponse;
        explain_assignment(ExplainAssignmentRequest) -> v1::ExplainAssignmentResponse;
        update_task(UpdateTaskRequest) -> v1::UpdateTaskResponse;
        add_dependencies(AddDependenciesRequest) -> v1::AddDependenciesResponse;
        list_task_events(ListTaskEventsRequest) -> v1::ListTaskEventsResponse;
        list_dependency_results(ListDependencyResultsRequest) -> v1::ListDependencyResultsResponse;
        list_steps(ListStepsRequest) -> v1::ListStepsResponse;
        list_children(ListChildrenRequest) -> v1::ListChildrenResponse;
        list_output(ListOutputRequest) -> v1::ListOutputResponse;
        watch_output(WatchOutputRequest) -> Self::WatchOutputStream;
        watch_events(WatchEventsRequest) -> Self::WatchEventsStream;
    }
}
