//! Calls of any method by its path, with the bytes of a request: what the descriptors have can be called, known or not.

use callboard_proto::DESCRIPTORS;
use prost::Message;
use prost::bytes::{Buf, BufMut};
use prost_types::{DescriptorProto, FileDescriptorSet};
use std::collections::BTreeMap;
use std::time::Duration;
use tonic::codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::transport::Channel;
use tonic::{Request, Status};

/// Bytes as they are.
#[derive(Clone, Copy, Debug, Default)]
struct Raw;

impl Codec for Raw {
    type Encode = Vec<u8>;
    type Decode = Vec<u8>;
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
    type Item = Vec<u8>;
    type Error = Status;

    fn encode(&mut self, item: Vec<u8>, to: &mut EncodeBuf<'_>) -> Result<(), Status> {
        to.put_slice(&item);
        Ok(())
    }
}

impl Decoder for Raw {
    type Item = Vec<u8>;
    type Error = Status;

    fn decode(&mut self, from: &mut DecodeBuf<'_>) -> Result<Option<Vec<u8>>, Status> {
        Ok(Some(from.copy_to_bytes(from.remaining()).to_vec()))
    }
}

/// A method of the descriptors.
#[derive(Clone, Debug)]
pub struct Method {
    /// `TaskService/CreateTask`.
    pub name: String,
    /// Field numbers that lead to the namespace in its request; empty: it names none.
    namespace: Vec<u32>,
}

impl Method {
    /// A request with its namespace and nothing else.
    pub fn request(&self, namespace: &str) -> Vec<u8> {
        let mut fields = self.namespace.iter().rev();
        let Some(last) = fields.next() else { return Vec::new() };
        let innermost = field(*last, namespace.as_bytes());
        fields.fold(innermost, |inner, number| field(*number, &inner))
    }

    /// Whether its request names a namespace.
    pub fn has_namespace(&self) -> bool {
        !self.namespace.is_empty()
    }
}

fn field(number: u32, content: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    prost::encoding::encode_key(number, prost::encoding::WireType::LengthDelimited, &mut bytes);
    prost::encoding::encode_varint(content.len() as u64, &mut bytes);
    bytes.extend_from_slice(content);
    bytes
}

/// Every method of every service.
pub fn methods() -> Vec<Method> {
    let set = FileDescriptorSet::decode(DESCRIPTORS).unwrap();
    let ours = || set.file.iter().filter(|file| file.package() == "callboard.v1");
    let messages: BTreeMap<String, &DescriptorProto> = ours()
        .flat_map(|file| &file.message_type)
        .map(|message| (format!(".callboard.v1.{}", message.name()), message))
        .collect();
    let services = ours().flat_map(|file| &file.service);
    let methods = services.flat_map(|service| service.method.iter().map(move |method| (service.name(), method)));
    methods
        .map(|(service, method)| Method {
            name: format!("{service}/{}", method.name()),
            namespace: path_to_namespace(service, method.input_type(), &messages),
        })
        .collect()
}

/// `namespace`, or the `name` of what `NamespaceService` is asked for; for a stream, that of its `hello`.
fn path_to_namespace(service: &str, message: &str, messages: &BTreeMap<String, &DescriptorProto>) -> Vec<u32> {
    let message = messages[message];
    let number =
        |name: &str| message.field.iter().find(|field| field.name() == name).map(|field| field.number() as u32);
    let own = number("namespace").or_else(|| number("name").filter(|_| service == "NamespaceService"));
    if let Some(own) = own {
        return vec![own];
    }
    let Some(hello) = message.field.iter().find(|field| field.name() == "hello") else { return Vec::new() };
    let mut path = vec![hello.number() as u32];
    path.extend(path_to_namespace(service, hello.type_name(), messages));
    path
}

/// Calls a method, and waits for the first message of its answer, or the end.
pub async fn call(channel: &Channel, path: &str, request: Vec<u8>, token: Option<&str>) -> Result<Vec<u8>, Status> {
    let mut request = Request::new(futures::stream::once(std::future::ready(request)));
    if let Some(token) = token {
        request.metadata_mut().insert("authorization", format!("Bearer {token}").parse().unwrap());
    }
    let mut grpc = tonic::client::Grpc::new(channel.clone());
    grpc.ready().await.unwrap();
    let answer = grpc.streaming(request, path.parse().unwrap(), Raw);
    let answer = tokio::time::timeout(Duration::from_secs(30), answer).await.expect("an answer in time");
    let first = answer?.into_inner().message().await;
    first.map(Option::unwrap_or_default)
}
