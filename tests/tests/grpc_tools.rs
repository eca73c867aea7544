//! Tools that know nothing of us: `buf curl` by reflection, health checks, reflection in both versions.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use callboard_tests::server::Server;
use callboard_tests::{program, wait};
use serde_json::{Value, json};
use std::process::Stdio;
use tokio::io::{AsyncBufReadExt, BufReader};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;

/// `buf curl` of a method, without any proto file.
fn buf_curl(server: &Server, target: &str, data: &Value) -> tokio::process::Command {
    let mut command = tokio::process::Command::from(program::command(program::buf()));
    command.args(["curl", "--http2-prior-knowledge", "--protocol", "grpc"]);
    command.args(["--data", &data.to_string()]).arg(format!("{}/{target}", server.address()));
    // Without proto files at hand, and without a workspace to find any in.
    command.current_dir(server.directory()).stdin(Stdio::null()).kill_on_drop(true);
    command
}

/// Calls a unary method.
async fn call(server: &Server, method: &str, data: Value) -> Value {
    let output = wait::soon("buf curl", buf_curl(server, method, &data).output()).await.unwrap();
    assert!(output.status.success(), "{method}: {}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

#[tokio::test]
async fn buf_curl_lists_services() {
    let server = Server::start().await;
    let mut command = tokio::process::Command::from(program::command(program::buf()));
    command.args(["curl", "--http2-prior-knowledge", "--protocol", "grpc", "--list-services"]).arg(server.address());
    let output = wait::soon("buf curl", command.current_dir(server.directory()).output()).await.unwrap();
    let listed = String::from_utf8(output.stdout).unwrap();
    for service in [
        "callboard.v1.TaskService",
        "callboard.v1.AgentService",
        "callboard.v1.NamespaceService",
        "grpc.health.v1.Health",
    ] {
        assert!(listed.lines().any(|line| line == service), "{service} is not in {listed:?}");
    }
}

#[tokio::test]
async fn buf_curl_creates_watches_claims_and_completes_a_task() {
    let server = Server::start().await;
    let tasks = "callboard.v1.TaskService";
    let agents = "callboard.v1.AgentService";
    let new = json!({ "task": { "type": "greet", "input": { "text": "Ada" } }, "request_id": "r1" });
    let created = call(&server, &format!("{tasks}/CreateTask"), new).await;
    let id = created["receipt"]["taskId"].as_str().unwrap().to_owned();

    let watch = json!({ "task_id": id, "until_ended": true });
    let mut watching =
        buf_curl(&server, &format!("{tasks}/WatchEvents"), &watch).stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(watching.stdout.take().unwrap()).lines();
    let mut watched = String::new();
    while !watched.contains("EVENT_TYPE_CREATED") {
        let line = wait::soon("the first event", lines.next_line()).await.unwrap().expect("the watch goes on");
        watched.push_str(&line);
    }

    let claim = json!({ "profile": { "name": "curl", "handles": [{ "type": "greet" }] }, "wait": "5s" });
    let claimed = call(&server, &format!("{agents}/ClaimTasks"), claim).await;
    let assignment = &claimed["assignments"][0];
    assert_eq!((&assignment["attempt"]["taskId"], &assignment["spec"]["input"]["text"]), (&json!(id), &json!("Ada")));
    let complete = json!({ "attempt": assignment["attempt"], "result": { "text": "Hello, Ada!" } });
    let completed = call(&server, &format!("{agents}/CompleteTask"), complete).await;
    assert_eq!(completed["receipt"]["state"], "TASK_STATE_COMPLETED");

    while let Some(line) = wait::soon("the watch's end", lines.next_line()).await.unwrap() {
        watched.push_str(&line);
    }
    assert!(watched.contains("EVENT_TYPE_COMPLETED"), "{watched}");
    assert!(wait::soon("buf curl", watching.wait()).await.unwrap().success());
    let task = call(&server, &format!("{tasks}/GetTask"), json!({ "task_id": id })).await;
    assert_eq!(task["task"]["result"]["text"], "Hello, Ada!");
}

#[tokio::test]
async fn an_error_says_enough_for_who_prints_only_its_message() {
    let server = Server::start().await;
    let data = json!({ "task": { "type": "not a type" } });
    let output = buf_curl(&server, "callboard.v1.TaskService/CreateTask", &data).output().await.unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success() && said.contains("task.type: may have letters"), "{said}");
}

#[tokio::test]
async fn health_is_told_for_the_server_and_each_service() {
    let server = Server::start().await;
    let mut health = HealthClient::new(server.channel().await);
    for service in ["", "callboard.v1.TaskService", "callboard.v1.AgentService", "callboard.v1.NamespaceService"] {
        let answer = health.check(HealthCheckRequest { service: service.into() }).await.unwrap().into_inner();
        assert_eq!(answer.status(), ServingStatus::Serving, "{service}");
    }
    let unknown = health.check(HealthCheckRequest { service: "nonsense".into() }).await.unwrap_err();
    assert_eq!(unknown.code(), tonic::Code::NotFound);
}

/// The part of the reflection messages that is used here; it is the same in both versions.
mod reflection {
    #[derive(Clone, PartialEq, prost::Message)]
    pub struct Request {
        #[prost(string, tag = "7")]
        pub list_services: String,
    }

    #[derive(Clone, PartialEq, prost::Message)]
    pub struct Response {
        #[prost(message, optional, tag = "6")]
        pub services: Option<Services>,
    }

    #[derive(Clone, PartialEq, prost::Message)]
    pub struct Services {
        #[prost(message, repeated, tag = "1")]
        pub service: Vec<Service>,
    }

    #[derive(Clone, PartialEq, prost::Message)]
    pub struct Service {
        #[prost(string, tag = "1")]
        pub name: String,
    }
}

#[tokio::test]
async fn reflection_answers_in_both_versions() {
    let server = Server::start().await;
    for version in ["v1", "v1alpha"] {
        let mut grpc = tonic::client::Grpc::new(server.channel().await);
        grpc.ready().await.unwrap();
        let codec: tonic_prost::ProstCodec<reflection::Request, reflection::Response> = Default::default();
        let path = format!("/grpc.reflection.{version}.ServerReflection/ServerReflectionInfo").parse().unwrap();
        let ask = tokio_stream::iter([reflection::Request { list_services: "*".into() }]);
        let mut answers = grpc.streaming(tonic::Request::new(ask), path, codec).await.unwrap().into_inner();
        let answer = wait::soon("the answer", answers.message()).await.unwrap().unwrap();
        let names: Vec<String> = answer.services.unwrap().service.into_iter().map(|service| service.name).collect();
        assert!(names.iter().any(|name| name == "callboard.v1.TaskService"), "{version}: {names:?}");
    }
}
