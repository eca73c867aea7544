//! What is no message at all: bytes that can't be read, methods that don't exist, calls without a message.

use crate::case::{self, INVALID, Refusal, TOO_LARGE, check};
use crate::stage::Stage;
use bytes::Bytes;
use callboard::v1::ErrorReason;
use callboard_tests::descriptors;
use callboard_tests::wire::Raw;
use prost_reflect::MethodDescriptor;
use tonic::{Code, Request, Status};

fn names(status: &Status, what: &str) -> Result<(), String> {
    let named = status.message().contains(what);
    named.then_some(()).ok_or_else(|| format!("the message does not name {what:?}: {}", status.message()))
}

const UNKNOWN_METHOD: Refusal = (Code::Unimplemented, ErrorReason::UnknownMethod);

/// Sends bytes by any method, as its only message.
async fn send(stage: &Stage, method: &MethodDescriptor, bytes: Bytes) -> Result<(), Status> {
    if method.is_client_streaming() {
        let only = tokio_stream::once(bytes);
        return stage.client.stream(method, only).await?.message().await.map(drop);
    }
    stage.client.call(method, bytes).await.map(drop)
}

#[tokio::test]
async fn bytes_that_are_no_message_are_refused_by_every_method() {
    let stage = Stage::set().await;
    let before = stage.snapshot().await;
    let mut failures = Vec::new();
    for method in stage.methods() {
        // A length beyond the end, an unfinished number, a group that never ends, a field of the wrong type.
        for bytes in [&[0x0a, 0x7f, 1][..], &[0xff; 11], &[0x0b], &[0x09, 1, 2]] {
            let what = format!("{} with {bytes:02x?}", method.name());
            let verdict = match send(&stage, &method, Bytes::copy_from_slice(bytes)).await {
                Ok(()) => Err("was accepted".to_owned()),
                Err(status) => check(&status, INVALID, &[]).and_then(|()| names(&status, "protobuf message")),
            };
            failures.extend(verdict.err().map(|fault| format!("{what}: {fault}")));
        }
    }
    assert_eq!(before.changed(&stage.snapshot().await), None);
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

/// Every text of every request, at any depth, must be UTF-8.
#[tokio::test]
async fn text_that_is_no_utf_8_is_refused_with_its_field() {
    let stage = Stage::set().await;
    let rows = [
        ("CreateTask", "task { type: 'ÿ' }", "task.type"),
        ("CreateTask", "task { type: 't' tags: 'ÿ' }", "task.tags"),
        ("CreateTask", "task { type: 't' metadata { key: 'k' value: 'ÿ' } }", "task.metadata"),
        ("CreateTask", "task { type: 't' input { text: 'ÿ' } }", "task.input.content"),
        ("GetTask", "task_id: 'ÿ'", "task_id"),
        ("ListTasks", "page_token: 'ÿ'", "page_token"),
        ("CompleteTask", "attempt { $lease } result { content_type: 'ÿ' }", "result.content_type"),
        ("GetNamespace", "name: 'ÿ'", "name"),
    ];
    for (rpc, request, field) in rows {
        let method = descriptors::method(rpc);
        let status = send(&stage, &method, case::encode(method.input(), &stage.fill(request))).await.unwrap_err();
        check(&status, INVALID, &[field.into(), "UTF-8".into()]).unwrap();
    }
}

#[tokio::test]
async fn ten_megabytes_are_refused_by_every_method() {
    let stage = Stage::set().await;
    for method in stage.methods() {
        let names = if method.is_client_streaming() { "frame" } else { "request" };
        let status = send(&stage, &method, vec![0; 10_000_000].into()).await.unwrap_err();
        check(&status, TOO_LARGE, &[names.into(), "10000000".into(), "4194304".into()])
            .unwrap_or_else(|fault| panic!("{}: {fault}", method.name()));
    }
    stage.still_works().await;
}

#[tokio::test]
async fn what_does_not_exist_is_said_to_be_unknown() {
    let stage = Stage::set().await;
    let mut grpc = tonic::client::Grpc::new(stage.server.channel().await);
    for path in ["/callboard.v1.TaskService/Fly", "/callboard.v2.TaskService/GetTask", "/nonsense", "/"] {
        grpc.ready().await.unwrap();
        let status = grpc.unary(Request::new(Bytes::new()), path.parse().unwrap(), Raw).await.unwrap_err();
        check(&status, UNKNOWN_METHOD, &["method".into(), path.into()]).unwrap();
    }
}

#[tokio::test]
async fn a_call_without_a_message_is_refused() {
    let stage = Stage::set().await;
    let mut grpc = tonic::client::Grpc::new(stage.server.channel().await);
    for method in stage.methods().filter(|method| !method.is_client_streaming()) {
        grpc.ready().await.unwrap();
        let path = format!("/{}/{}", method.parent_service().full_name(), method.name()).parse().unwrap();
        // A streaming client that closes its side at once.
        let opened = grpc.streaming(Request::new(tokio_stream::empty::<Bytes>()), path, Raw).await;
        let status = match opened {
            Ok(answers) => answers.into_inner().message().await.unwrap_err(),
            Err(status) => status,
        };
        check(&status, INVALID, &["request".into(), "message".into()])
            .unwrap_or_else(|fault| panic!("{}: {fault}", method.name()));
    }
}

#[tokio::test]
async fn a_compression_that_is_not_taken_is_refused() {
    let stage = Stage::set().await;
    let mut request = Request::new(callboard::v1::GetTaskRequest::default());
    request.metadata_mut().insert("grpc-encoding", "gzip".parse().unwrap());
    let status = stage.server.tasks().await.get_task(request).await.unwrap_err();
    check(&status, UNKNOWN_METHOD, &["gzip".into()]).unwrap();
}
