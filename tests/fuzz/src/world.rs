//! A server in this process, and calls of it.

use bytes::{Buf, BufMut, Bytes};
use callboard_core::entropy::Seeded;
use callboard_core::model::{Span, Timestamp};
use callboard_engine::{Clock, Config, Engine};
use callboard_proto::MAX_MESSAGE_BYTES;
use callboard_server::{InProcess, Limits, LogControl, LogFault, Server};
use callboard_store::memory::MemoryStore;
use prost_reflect::{DescriptorPool, MethodDescriptor};
use std::sync::{Arc, OnceLock};
use std::time::Duration;
use tokio::time::Instant;
use tonic::codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::codegen::http::uri::PathAndQuery;
use tonic::{Code, Request, Status, Streaming};

/// Longer than any wait that a call may ask for.
const LONGEST: Duration = Duration::from_secs(3_600);

/// Runs it with a clock that goes on by itself when nothing is left to do. What takes an hour by that clock hangs.
pub fn run(work: impl AsyncFnOnce(World)) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
    runtime.expect("a runtime starts").block_on(async {
        let world = World::start().await;
        let engine = world.engine.clone();
        tokio::time::timeout(LONGEST, work(world)).await.expect("a call hangs");
        tokio::time::timeout(LONGEST, engine.stop()).await.expect("the engine does not stop");
    });
}

/// The server.
pub struct World {
    pub engine: Engine,
    service: InProcess,
}

impl World {
    async fn start() -> Self {
        let store = Arc::new(MemoryStore::new());
        let clock = Arc::new(Standing(Instant::now()));
        let entropy = Box::new(Seeded(1));
        let engine = Engine::start(store, Config::default(), clock, entropy).await.expect("the engine starts");
        let server = Server::new(engine.clone(), Limits::default(), Arc::new(Silent));
        let service = server.in_process().await.expect("the services start");
        Self { engine, service }
    }

    /// A call of any method; of a stream of answers the first few.
    pub async fn call(&self, method: &MethodDescriptor, request: Bytes) -> Result<Vec<Bytes>, Status> {
        let mut grpc = tonic::client::Grpc::new(self.service.clone());
        let path = path(method);
        if !method.is_server_streaming() && !method.is_client_streaming() {
            let answer = grpc.unary(Request::new(request), path, Raw).await?;
            return Ok(vec![answer.into_inner()]);
        }
        let mut answers = self.stream(method, tokio_stream::once(request)).await?;
        let mut said = Vec::new();
        while said.len() < 8
            && let Ok(next) = tokio::time::timeout(Duration::from_secs(1), answers.message()).await
            && let Some(next) = next?
        {
            said.push(next);
        }
        Ok(said)
    }

    /// A stream of requests, and that of the answers.
    pub async fn stream(
        &self,
        method: &MethodDescriptor,
        requests: impl tokio_stream::Stream<Item = Bytes> + Send + 'static,
    ) -> Result<Streaming<Bytes>, Status> {
        let mut grpc = tonic::client::Grpc::new(self.service.clone()).max_decoding_message_size(MAX_MESSAGE_BYTES);
        grpc.streaming(Request::new(requests), path(method), Raw).await.map(tonic::Response::into_inner)
    }
}

/// Every method of our services, by the descriptors: one that is new is fuzzed by itself.
pub fn methods() -> &'static [MethodDescriptor] {
    static METHODS: OnceLock<Vec<MethodDescriptor>> = OnceLock::new();
    METHODS.get_or_init(|| {
        let pool = DescriptorPool::decode(callboard_proto::DESCRIPTORS).expect("our own descriptors can be read");
        let ours = pool.services().filter(|service| service.package_name() == "callboard.v1");
        ours.flat_map(|service| service.methods().collect::<Vec<_>>()).collect()
    })
}

/// A method by its name.
pub fn method(name: &str) -> &'static MethodDescriptor {
    methods().iter().find(|method| method.name() == name).expect("a method of ours")
}

/// Nothing that anybody sends is our own fault.
#[track_caller]
pub fn blameless(status: &Status) {
    let ours = matches!(status.code(), Code::Internal | Code::Unknown | Code::DataLoss);
    // tonic itself says so of what it can't decode.
    let undecodable =
        status.code() == Code::Internal && status.message().starts_with("failed to decode Protobuf message");
    assert!(!ours || undecodable, "{status:?}");
}

fn path(method: &MethodDescriptor) -> PathAndQuery {
    let path = format!("/{}/{}", method.parent_service().full_name(), method.name());
    path.parse().expect("a path")
}

/// A clock that is tokio's.
struct Standing(Instant);

impl Clock for Standing {
    fn now(&self) -> Timestamp {
        Timestamp(1_750_000_000_000_000) + self.elapsed()
    }

    fn elapsed(&self) -> Span {
        Span::from_std(self.0.elapsed())
    }
}

/// A log that nobody reads.
#[derive(Debug)]
struct Silent;

impl LogControl for Silent {
    fn filter(&self) -> String {
        "off".into()
    }

    fn set_filter(&self, _filter: &str, _by: &str) -> Result<String, LogFault> {
        Ok("off".into())
    }
}

/// Messages as they are on the wire.
#[derive(Clone, Copy, Debug, Default)]
struct Raw;

impl Codec for Raw {
    type Encode = Bytes;
    type Decode = Bytes;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        Self
    }

    fn decoder(&mut self) -> Self {
        Self
    }
}

impl Encoder for Raw {
    type Item = Bytes;
    type Error = Status;

    fn encode(&mut self, item: Bytes, buffer: &mut EncodeBuf<'_>) -> Result<(), Status> {
        buffer.put(item);
        Ok(())
    }
}

impl Decoder for Raw {
    type Item = Bytes;
    type Error = Status;

    fn decode(&mut self, buffer: &mut DecodeBuf<'_>) -> Result<Option<Bytes>, Status> {
        Ok(Some(buffer.copy_to_bytes(buffer.remaining())))
    }
}
