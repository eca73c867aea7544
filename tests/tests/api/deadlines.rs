//! Calls whose time (`grpc-timeout`) is over while the server has them. By bare HTTP/2: clients of gRPC give up by themselves.

use callboard::NewTask;
use callboard::v1::WaitTaskRequest;
use callboard_tests::server::Server;
use callboard_tests::{refusal, seconds, wait};
use prost::Message;
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tonic::codegen::http::{HeaderMap, Request};
use tonic::{Code, Status};

/// Calls a method, and gives the headers of its answer.
async fn call(server: &Server, method: &str, message: &impl Message, timeout: &str) -> HeaderMap {
    let address = server.address();
    let stream = TcpStream::connect(address.trim_start_matches("http://")).await.unwrap();
    let (client, connection) = h2::client::handshake(stream).await.unwrap();
    let mut driving = JoinSet::new();
    driving.spawn(async move { drop(connection.await) });
    let request = Request::post(format!("{address}/callboard.v1.{method}"))
        .header("content-type", "application/grpc")
        .header("te", "trailers")
        .header("grpc-timeout", timeout);
    let (answer, mut body) = client.ready().await.unwrap().send_request(request.body(()).unwrap(), false).unwrap();
    let message = message.encode_to_vec();
    let length = u32::try_from(message.len()).unwrap().to_be_bytes();
    body.send_data([&[0], &length[..], &message].concat().into(), true).unwrap();
    wait::soon("the answer", answer).await.unwrap().headers().clone()
}

#[tokio::test]
async fn a_call_without_time_is_told_so_with_a_reason() {
    let server = Server::start().await;
    let task_id = server.client().create(NewTask::new("nobody")).await.unwrap().task_id;
    let wait = WaitTaskRequest { task_id, wait: seconds(60.0), ..Default::default() };
    for timeout in ["50m", "1000u", "0S"] {
        let headers = call(&server, "TaskService/WaitTask", &wait, timeout).await;
        let status = Status::from_header_map(&headers).expect("a status and nothing else");
        refusal(&status, Code::DeadlineExceeded, "DEADLINE_EXCEEDED");
        assert!(status.message().starts_with("grpc-timeout: ") && status.message().contains("request_id"), "{status}");
    }
}
