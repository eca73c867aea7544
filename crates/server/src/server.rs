//! The server: services, limits and shutdown. Its listener, clock and ids are passed in.

use crate::budget::{self, Budget};
use crate::drain::Drain;
use crate::identity::{Access, Guard, IdentityFile};
use crate::listener::Listener;
use crate::pages::{self, Counts, PagesLayer};
use crate::refusals::Refusals;
use crate::services::{Admin, Agents, Host, LogControl, Messages, Namespaces, Room, Tasks, Workflows};
use callboard_core::model::Span;
use callboard_engine::Engine;
use callboard_proto::v1::admin_service_server::AdminServiceServer;
use callboard_proto::v1::agent_service_server::AgentServiceServer;
use callboard_proto::v1::message_service_server::MessageServiceServer;
use callboard_proto::v1::namespace_service_server::NamespaceServiceServer;
use callboard_proto::v1::task_service_server::TaskServiceServer;
use callboard_proto::v1::workflow_service_server::WorkflowServiceServer;
use callboard_proto::{DESCRIPTORS, MAX_MESSAGE_BYTES};
use std::convert::Infallible;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinSet;
use tokio_stream::StreamExt;
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tonic::transport::Server as Transport;
use tonic_web::GrpcWebLayer;

/// What the server allows and how long it waits.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Calls and streams at the same time on one connection.
    pub streams_per_connection: u32,
    /// Connections are pinged when nothing came for so long, and cut when no answer does.
    pub keepalive: Duration,
    /// How long the answer to a ping may take.
    pub keepalive_timeout: Duration,
    /// Bytes that calls may hold on one connection, in each direction: of messages that are not whole, and of unread answers.
    pub traffic_per_connection: usize,
    /// The same on all connections together.
    pub traffic: usize,
    /// How long agents and calls have to leave when the server goes away; then they are cut off.
    pub drain: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            streams_per_connection: 10_000,
            keepalive: Duration::from_secs(10),
            keepalive_timeout: Duration::from_secs(20),
            traffic_per_connection: budget::CONNECTION,
            traffic: budget::ALL,
            drain: Duration::from_secs(10),
        }
    }
}

/// How many streams that a client opened and reset at once wait to be forgotten before its connection is cut (CVE-2023-44487).
const PENDING_RESETS: usize = 64;
/// The largest set of headers of a call, in bytes.
const HEADER_BYTES: u32 = 32 << 10;
/// What may be on its way to us unread: on one stream, and on one connection.
const STREAM_WINDOW: u32 = 1 << 20;
const CONNECTION_WINDOW: u32 = 4 << 20;

/// The server.
#[derive(Debug)]
pub struct Server {
    pub(crate) engine: Engine,
    limits: Limits,
    pub(crate) log: Arc<dyn LogControl>,
    identities: Option<IdentityFile>,
}

/// Why the server ended otherwise than asked.
pub type Failure = Box<dyn std::error::Error + Send + Sync>;

impl Server {
    /// Serves an engine; administrators may set the process's log.
    pub fn new(engine: Engine, limits: Limits, log: Arc<dyn LogControl>) -> Self {
        Self { engine, limits, log, identities: None }
    }

    /// Serves those alone who are in the file. Without it everybody may do everything.
    #[must_use]
    pub fn with_identities(mut self, identities: IdentityFile) -> Self {
        self.identities = Some(identities);
        self
    }

    /// Serves until `shutdown` ends, then drains: agents are told to go, what waits is sent elsewhere, what was taken in is
    /// committed. Ends earlier, with an error, when the store can't be trusted any more.
    pub async fn serve(self, listener: Listener, shutdown: impl Future<Output = ()>) -> Result<(), Failure> {
        let Self { engine, limits, log, identities } = self;
        let drain = Drain::default();
        let tasks = TaskTracker::new();
        let version = env!("CARGO_PKG_VERSION");
        let counts = Counts::new();
        let host = Host {
            engine: engine.clone(),
            drain: drain.clone(),
            tasks: tasks.clone(),
            frames: counts.frames.clone(),
            refused: counts.refused.clone(),
            results: Room::default(),
            version,
        };
        let stopped = CancellationToken::new();
        let (ready, connections) = Listener::channel();
        let mut accepting = JoinSet::new();
        accepting.spawn(listener.accept(ready));
        let access = match identities {
            Some(file) => {
                let current = file.current();
                accepting.spawn(file.follow());
                Access::Known(current)
            }
            None => Access::open(),
        };
        let guard = Guard { access, engine: engine.clone(), refused: counts.refused.clone() };
        let budget = Budget::new(limits.traffic, counts.refused.clone());
        let pages = PagesLayer(pages::router(engine.clone(), counts, guard.clone()));
        let traffic = limits.traffic_per_connection;
        let connections =
            ReceiverStream::new(connections).map(move |connection| Ok::<_, Infallible>(connection.limited(traffic)));
        engine.listening();
        let serving = transport(&limits)
            .layer(pages)
            .layer(GrpcWebLayer::new())
            .layer(Refusals(budget))
            .layer(guard)
            .add_routes(routes(host, log).await?)
            .serve_with_incoming_shutdown(connections, stopped.clone().cancelled_owned());
        let mut serving = std::pin::pin!(serving);
        let failure = tokio::select! {
            ended = &mut serving => return ended.map_err(Into::into),
            failure = engine.failed() => Some(failure),
            () = shutdown => None,
        };
        if let Some(failure) = failure {
            return Err(failure.into());
        }
        tracing::info!(seconds = limits.drain.as_secs(), "draining");
        let deadline = engine.now() + Span::from_std(limits.drain);
        engine.drain(deadline);
        drain.begun.cancel();
        stopped.cancel();
        // A client that doesn't read can hold a stream open for ever, and the transport waits for every stream.
        let last = limits.drain + Duration::from_secs(3);
        let _ = tokio::join!(tokio::time::timeout(last, &mut serving), leave(&engine, &tasks, limits.drain));
        tracing::info!("stopped");
        Ok(())
    }
}

/// Waits for agents to leave; cuts off those that don't; commits what was taken in.
async fn leave(engine: &Engine, tasks: &TaskTracker, patience: Duration) {
    let left = async {
        while !engine.is_empty() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    if tokio::time::timeout(patience, left).await.is_err() {
        tracing::warn!(
            "some agents did not leave in time; their streams are cut, and they may come back to their attempts"
        );
    }
    engine.stop().await;
    tasks.close();
    let _ = tokio::time::timeout(Duration::from_secs(2), tasks.wait()).await;
}

/// tonic's defaults have no keepalive, no limit on streams and large windows: all are set here.
fn transport(limits: &Limits) -> Transport {
    Transport::builder()
        .accept_http1(true)
        .http2_keepalive_interval(Some(limits.keepalive))
        .http2_keepalive_timeout(Some(limits.keepalive_timeout))
        .http2_max_pending_accept_reset_streams(Some(PENDING_RESETS))
        .http2_max_header_list_size(HEADER_BYTES)
        .max_concurrent_streams(limits.streams_per_connection)
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
}

pub(crate) async fn routes(host: Host, log: Arc<dyn LogControl>) -> Result<tonic::service::Routes, Failure> {
    let (health, health_service) = tonic_health::server::health_reporter();
    health.set_serving::<TaskServiceServer<Tasks>>().await;
    health.set_serving::<AgentServiceServer<Agents>>().await;
    health.set_serving::<WorkflowServiceServer<Workflows>>().await;
    health.set_serving::<MessageServiceServer<Messages>>().await;
    health.set_serving::<NamespaceServiceServer<Namespaces>>().await;
    health.set_serving::<AdminServiceServer<Admin>>().await;
    let reflection = || {
        tonic_reflection::server::Builder::configure()
            .register_encoded_file_descriptor_set(DESCRIPTORS)
            .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
            // So that grpcurl can show the details of an error.
            .register_encoded_file_descriptor_set(tonic_types::pb::FILE_DESCRIPTOR_SET)
    };
    let tasks = TaskServiceServer::new(Tasks(host.clone()));
    let agents = AgentServiceServer::new(Agents(host.clone()));
    let workflows = WorkflowServiceServer::new(Workflows(host.clone()));
    let messages = MessageServiceServer::new(Messages(host.clone()));
    let namespaces = NamespaceServiceServer::new(Namespaces(host));
    let admin = AdminServiceServer::new(Admin(log));
    Ok(tonic::service::Routes::default()
        .add_service(tasks.max_decoding_message_size(MAX_MESSAGE_BYTES).max_encoding_message_size(MAX_MESSAGE_BYTES))
        .add_service(
            workflows.max_decoding_message_size(MAX_MESSAGE_BYTES).max_encoding_message_size(MAX_MESSAGE_BYTES),
        )
        .add_service(agents.max_decoding_message_size(MAX_MESSAGE_BYTES).max_encoding_message_size(MAX_MESSAGE_BYTES))
        .add_service(messages.max_decoding_message_size(MAX_MESSAGE_BYTES).max_encoding_message_size(MAX_MESSAGE_BYTES))
        .add_service(
            namespaces.max_decoding_message_size(MAX_MESSAGE_BYTES).max_encoding_message_size(MAX_MESSAGE_BYTES),
        )
        .add_service(admin.max_decoding_message_size(MAX_MESSAGE_BYTES).max_encoding_message_size(MAX_MESSAGE_BYTES))
        .add_service(health_service)
        .add_service(reflection().build_v1()?)
        .add_service(reflection().build_v1alpha()?))
}
