//! Calls with requests as bytes: what no typed client would send.

use crate::wait::{LONG, within};
use bytes::{Buf, BufMut, Bytes};
use callboard_proto::MAX_MESSAGE_BYTES;
use prost_reflect::MethodDescriptor;
use tonic::codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::codegen::http::uri::PathAndQuery;
use tonic::transport::Channel;
use tonic::{Request, Status, Streaming};

/// Messages as they are on the wire.
#[derive(Clone, Copy, Debug, Default)]
pub struct Raw;

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

/// A client for any method.
#[derive(Clone, Debug)]
pub struct RawClient(Channel);

impl RawClient {
    /// Over a connection.
    pub fn new(channel: Channel) -> Self {
        Self(channel)
    }

    async fn ready(&self) -> Result<tonic::client::Grpc<Channel>, Status> {
        let mut grpc = tonic::client::Grpc::new(self.0.clone()).max_decoding_message_size(MAX_MESSAGE_BYTES);
        grpc.ready().await.map_err(|error| Status::unavailable(error.to_string()))?;
        Ok(grpc)
    }

    /// One message each way; of a stream of answers the first. It must come within [`LONG`].
    pub async fn call(&self, method: &MethodDescriptor, request: Bytes) -> Result<Bytes, Status> {
        let answer = async {
            let mut grpc = self.ready().await?;
            let path = path(method);
            if method.is_server_streaming() {
                let mut answers = grpc.server_streaming(Request::new(request), path, Raw).await?.into_inner();
                return answers.message().await?.ok_or_else(|| Status::unknown("the stream was empty"));
            }
            grpc.unary(Request::new(request), path, Raw).await.map(tonic::Response::into_inner)
        };
        within(LONG, method.full_name(), answer).await
    }

    /// Streams both ways.
    pub async fn stream(
        &self,
        method: &MethodDescriptor,
        requests: impl tokio_stream::Stream<Item = Bytes> + Send + 'static,
    ) -> Result<Streaming<Bytes>, Status> {
        let opened = async {
            let mut grpc = self.ready().await?;
            grpc.streaming(Request::new(requests), path(method), Raw).await.map(tonic::Response::into_inner)
        };
        within(LONG, method.full_name(), opened).await
    }
}

fn path(method: &MethodDescriptor) -> PathAndQuery {
    let path = format!("/{}/{}", method.parent_service().full_name(), method.name());
    path.parse().expect("a path")
}
