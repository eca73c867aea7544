//! Payloads: up to 1 MiB of anything comes back as it went; more is refused.

use callboard::v1::payload::Content;
use callboard::v1::{self, CreateTaskRequest, Payload, TaskSpec};
use callboard::{Bytes, NewTask};
use callboard_tests::server::Server;
use callboard_tests::{claim, refusal, refused, seconds, text, text_of, wait};
use futures::TryStreamExt;
use tonic::Code;

const MIB: usize = 1 << 20;

fn binary(bytes: Vec<u8>) -> Payload {
    Payload { content: Some(Content::Binary(bytes.into())), ..Default::default() }
}

fn request(input: Payload) -> CreateTaskRequest {
    let task = Some(TaskSpec { r#type: "t".into(), input: Some(input), ..Default::default() });
    CreateTaskRequest { task, ..Default::default() }
}

#[tokio::test]
async fn a_mebibyte_goes_and_comes_back() {
    let server = Server::start().await;
    let client = server.client();
    let bytes: Vec<u8> = (0..MIB).map(|n| (n % 251) as u8).collect();
    for payload in [text("é".repeat(MIB / 2)), binary(bytes)] {
        let task_id = client.create(NewTask::new("t").input_payload(payload.clone())).await.unwrap().task_id;
        let assignment = claim::one(&client, "ann", "t").await;
        assert_eq!(assignment.spec.unwrap().input.unwrap().content, payload.content);
        let done = v1::CompleteTaskRequest {
            attempt: assignment.attempt,
            result: Some(payload.clone()),
            ..Default::default()
        };
        client.complete(done).await.unwrap();
        let ended = wait::ended(&client, &task_id).await;
        assert_eq!(ended.result.unwrap().content, payload.content);
        let task = client.get(&task_id).await.unwrap();
        assert_eq!(task.spec.unwrap().input.unwrap().content, payload.content);
    }
}

#[tokio::test]
async fn more_is_refused_by_the_sdk_and_by_the_server() {
    let server = Server::start().await;
    let (client, mut tasks, mut agents) = (server.client(), server.tasks().await, server.agents().await);
    let large = [text("x".repeat(MIB + 1)), binary(vec![0; MIB + 1])];
    for payload in large.clone() {
        let error = client.create(NewTask::new("t").input_payload(payload.clone())).await.unwrap_err();
        refused(&error, Code::InvalidArgument, "PAYLOAD_TOO_LARGE");
        let status = tasks.create_task(request(payload)).await.unwrap_err();
        let details = refusal(&status, Code::InvalidArgument, "PAYLOAD_TOO_LARGE");
        assert_eq!(details.bad_request().unwrap().field_violations[0].field, "task.input");
    }
    client.create(NewTask::new("t")).await.unwrap();
    let lease = claim::lease(&client, "ann", "t").await;
    for payload in large {
        let done =
            v1::CompleteTaskRequest { attempt: Some(lease.clone()), result: Some(payload), ..Default::default() };
        let status = agents.complete_task(done).await.unwrap_err();
        refusal(&status, Code::InvalidArgument, "PAYLOAD_TOO_LARGE");
    }
    claim::complete(&client, &lease, "small").await.expect("the attempt goes on");
}

#[tokio::test]
async fn ten_megabytes_are_refused_before_they_are_read() {
    let server = Server::start().await;
    let mut tasks = server.tasks().await;
    let status = tasks.create_task(request(binary(vec![0; 10_000_000]))).await.unwrap_err();
    refusal(&status, Code::InvalidArgument, "PAYLOAD_TOO_LARGE");
    server.client().create(NewTask::new("t")).await.expect("the server goes on");
}

#[tokio::test]
async fn any_text_survives() {
    let server = Server::start().await;
    let client = server.client();
    let odd = "NUL \0, quote ' \" \\, 𝄞 é e\u{301} \u{202e}\u{feff}\r\n\t\u{7f} %s {} --";
    let new = NewTask::new("t").description(odd).input(odd).unwrap().tag(odd).metadata(odd, odd).key(odd);
    let task_id = client.create(new.header("h", odd)).await.unwrap().task_id;
    let task = client.get(&task_id).await.unwrap();
    let spec = task.spec.unwrap();
    assert_eq!((spec.description.as_str(), spec.key.as_str(), spec.tags.as_slice()), (odd, odd, &[odd.to_owned()][..]));
    assert_eq!((spec.metadata[odd].as_str(), spec.headers["h"].as_str()), (odd, odd));
    assert_eq!(text_of(spec.input.as_ref()), odd);
    let by = |request| client.list_page(request);
    assert_eq!(by(v1::ListTasksRequest { key: odd.into(), ..Default::default() }).await.unwrap().tasks.len(), 1);
    assert_eq!(by(v1::ListTasksRequest { tags: vec![odd.into()], ..Default::default() }).await.unwrap().tasks.len(), 1);

    let lease = claim::lease(&client, "ann", "t").await;
    let failure = v1::Failure { r#type: odd.into(), message: odd.into(), retryable: Some(false), ..Default::default() };
    claim::fail(&client, &lease, failure).await.unwrap();
    let failure = client.get(&task_id).await.unwrap().failure.unwrap();
    assert_eq!((failure.r#type.as_str(), failure.message.as_str()), (odd, odd));
}

#[tokio::test]
async fn values_keep_their_kind() {
    let server = Server::start().await;
    let client = server.client();
    let number = serde_json::json!({ "n": 12345678901234567890u64, "x": 1.5, "none": null });
    let inputs = [
        (NewTask::new("t").input(&number).unwrap(), "application/json"),
        (NewTask::new("t").input("").unwrap(), "text/plain"),
        (NewTask::new("t").input(&Bytes(vec![0, 255])).unwrap(), "application/octet-stream"),
    ];
    for (new, content_type) in inputs {
        let task_id = client.create(new).await.unwrap().task_id;
        let input = client.get(&task_id).await.unwrap().spec.unwrap().input.unwrap();
        assert_eq!(input.content_type, content_type);
        if content_type == "application/json" {
            assert!(text_of(Some(&input)).contains("12345678901234567890"), "{input:?}");
        }
    }
}

#[tokio::test]
async fn answers_stay_below_what_clients_take() {
    let server = Server::start().await;
    let client = server.client();
    // Five inputs of a mebibyte are more than a message may have.
    for _ in 0..5 {
        client.create(NewTask::new("big").input_payload(text("x".repeat(MIB)))).await.unwrap();
    }
    let mut claimed = Vec::new();
    while claimed.len() < 5 {
        let request = v1::ClaimTasksRequest { wait: seconds(10.0), ..claim::request_many("ann", "big", 5) };
        let some = wait::soon("a claim", client.claim(request)).await.unwrap();
        assert!(!some.is_empty(), "every task can be claimed; {} were", claimed.len());
        claimed.extend(some);
    }
    let attempts: std::collections::BTreeSet<_> =
        claimed.iter().map(|assignment| assignment.attempt.clone().unwrap().task_id).collect();
    assert_eq!(attempts.len(), 5);

    let heavy = |n: usize| {
        let new = NewTask::new("heavy").description("d".repeat(4000)).metadata("m", "m".repeat(16_000));
        new.metadata("n", n.to_string()).header("h", "h".repeat(8_000))
    };
    for batch in 0..3 {
        client.create_all((0..100).map(|n| heavy(batch * 100 + n))).await.unwrap();
    }
    let mut request = v1::ListTasksRequest { r#type: "heavy".into(), page_size: 1000, ..Default::default() };
    let mut seen = std::collections::BTreeSet::new();
    loop {
        let page = client.list_page(request.clone()).await.unwrap();
        seen.extend(page.tasks.into_iter().map(|task| task.id));
        if page.next_page_token.is_empty() {
            break;
        }
        request.page_token = page.next_page_token;
    }
    assert_eq!(seen.len(), 300);
}

#[tokio::test]
async fn a_task_with_a_large_input_and_a_large_failure_can_be_read() {
    let server = Server::start().await;
    let client = server.client();
    let id = client.create(NewTask::new("t").input_payload(text("x".repeat(MIB)))).await.unwrap().task_id;
    let lease = claim::lease(&client, "ann", "t").await;
    let mut failure = claim::for_good("Inner");
    for _ in 0..3 {
        let outer = v1::Failure { details: Some(text("d".repeat(MIB))), ..claim::for_good("Outer") };
        failure = v1::Failure { cause: Some(Box::new(failure)), ..outer };
    }
    claim::fail(&client, &lease, failure).await.expect("a failure never fails to be reported");
    let failure = client.get(&id).await.unwrap().failure.unwrap();
    assert_eq!(text_of(failure.details.as_ref()).len(), MIB);
    assert_eq!(failure.cause.unwrap().details, None, "what is beyond a mebibyte in all is left out");
}

#[tokio::test]
async fn agents_with_large_schemas_are_listed() {
    let server = Server::start().await;
    let client = server.client();
    for n in 0..4 {
        let mut request = claim::request_many(&format!("agent-{n}"), "t", 1);
        let handles = &mut request.profile.as_mut().unwrap().handles;
        let handler =
            |k| v1::TaskHandler { r#type: format!("t{k}"), input_schema: "s".repeat(60 << 10), ..Default::default() };
        handles.extend((0..20).map(handler));
        client.claim(request).await.unwrap();
    }
    let listed: Vec<v1::Agent> = client.list_agents(Default::default()).try_collect().await.unwrap();
    assert_eq!(listed.len(), 4);
}
