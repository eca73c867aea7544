//! The beginning of a stream, and frames that may not or need not be understood.

use callboard::v1::attach_request::Frame as Said;
use callboard::v1::attach_response::Frame;
use callboard::v1::report::Kind;
use callboard::v1::{self, AgentState, AttachResponse, ErrorReason, Hello, ReceiptStatus};
use callboard_proto::{MAX_MESSAGE_BYTES, MAX_PAYLOAD_BYTES};
use callboard_tests::agent::{RawAgent, frame, hello, open};
use callboard_tests::server::Server;
use callboard_tests::{refusal, seconds, wait};
use tonic::{Code, Request, Status};
use tonic_prost::ProstCodec;

/// Why a stream ended that began with these frames.
async fn end_of(server: &Server, first: Vec<v1::AttachRequest>) -> Status {
    let (_open, mut frames) = match open(server, first).await {
        Ok(opened) => opened,
        Err(status) => return status,
    };
    loop {
        match wait::soon("the stream's end", frames.message()).await {
            Err(status) => return status,
            Ok(frame) => assert!(frame.is_some(), "the stream ended in an orderly way"),
        }
    }
}

#[tokio::test]
async fn the_welcome_says_what_the_agent_needs() {
    let server = Server::with("--stream-lease 7s --accept-within 6s").await;
    let agent = RawAgent::start(&server, "ann", "t").await;
    let welcome = &agent.welcome;
    assert_eq!((welcome.session_epoch, welcome.held.len()), (1, 0));
    assert_eq!((welcome.lease, welcome.accept_within), (seconds(7.0), seconds(6.0)));
    assert_eq!(usize::try_from(welcome.max_payload_bytes).unwrap(), MAX_PAYLOAD_BYTES);
    assert_eq!(
        welcome.features,
        ["progress", "checkpoint", "slots", "drain", "messages", "steps", "output", "children"]
    );
    assert!(!welcome.server_version.is_empty());
    let known = server.client().get_agent("ann").await.unwrap();
    assert_eq!((known.id.as_str(), known.state()), (welcome.agent_id.as_str(), AgentState::Attached));
    assert_eq!((known.session_epoch, known.principal.as_str()), (1, "anonymous"));
}

#[tokio::test]
async fn hello_comes_first_and_once() {
    let server = Server::start().await;
    let heartbeat = || frame(Said::Heartbeat(v1::Heartbeat {}));
    let hello = || frame(Said::Hello(hello("ann", "t")));
    let first = end_of(&server, vec![heartbeat(), hello()]).await;
    refusal(&first, Code::FailedPrecondition, "PROTOCOL_VIOLATION");
    let empty = end_of(&server, vec![v1::AttachRequest::default()]).await;
    refusal(&empty, Code::FailedPrecondition, "PROTOCOL_VIOLATION");
    let twice = end_of(&server, vec![hello(), hello()]).await;
    refusal(&twice, Code::FailedPrecondition, "PROTOCOL_VIOLATION");
}

#[tokio::test]
async fn a_hello_with_faults_is_refused_with_its_fields() {
    let server = Server::start().await;
    let change = |change: &dyn Fn(&mut v1::AgentProfile)| {
        let mut hello = hello("ann", "t");
        change(hello.profile.as_mut().unwrap());
        hello
    };
    let faults = [
        (change(&|profile| profile.name = "no spaces".into()), "hello.profile.name"),
        (change(&|profile| profile.handles.clear()), "hello.profile.handles"),
        (change(&|profile| profile.slots = 1001), "hello.profile.slots"),
        (change(&|profile| profile.skills = vec![String::new()]), "hello.profile.skills"),
        (Hello { profile: None, ..hello("ann", "t") }, "hello.profile"),
        (Hello { held: vec![v1::Attempt::default()], ..hello("ann", "t") }, "hello.held[0].task_id"),
        (Hello { previous_epoch: -1, ..hello("ann", "t") }, "hello.previous_epoch"),
    ];
    for (hello, field) in faults {
        let status = end_of(&server, vec![frame(Said::Hello(hello))]).await;
        let details = refusal(&status, Code::InvalidArgument, "INVALID_FIELD");
        let fields: Vec<_> = details.bad_request().unwrap().field_violations.iter().map(|v| &v.field).collect();
        assert!(fields.iter().any(|named| named.starts_with(field)), "{field} is not in {fields:?}");
    }
    let nowhere = Hello { namespace: "nowhere".into(), ..hello("ann", "t") };
    let status = end_of(&server, vec![frame(Said::Hello(nowhere))]).await;
    refusal(&status, Code::NotFound, "NAMESPACE_NOT_FOUND");
}

/// A frame of an agent of the future: known kinds, and more.
#[derive(Clone, PartialEq, prost::Message)]
struct NewerRequest {
    #[prost(message, optional, tag = "1")]
    hello: Option<NewerHello>,
    #[prost(message, optional, tag = "3")]
    reports: Option<NewerBatch>,
    #[prost(string, tag = "99")]
    novelty: String,
}

#[derive(Clone, PartialEq, prost::Message)]
struct NewerHello {
    #[prost(message, optional, tag = "2")]
    profile: Option<v1::AgentProfile>,
    #[prost(string, repeated, tag = "4")]
    features: Vec<String>,
    #[prost(bytes = "vec", tag = "77")]
    novelty: Vec<u8>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct NewerBatch {
    #[prost(message, repeated, tag = "1")]
    reports: Vec<NewerReport>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct NewerReport {
    #[prost(int64, tag = "1")]
    report_id: i64,
    #[prost(message, optional, tag = "2")]
    attempt: Option<v1::Attempt>,
    #[prost(message, optional, tag = "3")]
    accepted: Option<v1::Accepted>,
    #[prost(string, tag = "88")]
    novelty: String,
}

#[tokio::test]
async fn what_a_newer_agent_says_beyond_is_ignored() {
    let server = Server::start().await;
    let id = super::create(&server.client()).await;
    let mut grpc = tonic::client::Grpc::new(server.channel().await).max_decoding_message_size(MAX_MESSAGE_BYTES);
    grpc.ready().await.unwrap();
    let (say, said) = tokio::sync::mpsc::channel::<NewerRequest>(8);
    let profile = Some(callboard_tests::agent::profile("ann", "t"));
    let features = vec!["cancellation".to_owned(), "levitation".to_owned()];
    let hello = NewerHello { profile, features, novelty: vec![1, 2, 3] };
    say.send(NewerRequest { hello: Some(hello), ..Default::default() }).await.unwrap();
    let codec: ProstCodec<NewerRequest, AttachResponse> = ProstCodec::default();
    let path = "/callboard.v1.AgentService/Attach".parse().unwrap();
    let said = Request::new(tokio_stream::wrappers::ReceiverStream::new(said));
    let mut frames = grpc.streaming(said, path, codec).await.unwrap().into_inner();
    let mut hear = async || loop {
        match wait::soon("a frame", frames.message()).await.unwrap().unwrap().frame {
            Some(Frame::Heartbeat(_)) | None => {}
            Some(frame) => return frame,
        }
    };
    assert!(matches!(hear().await, Frame::Welcome(_)));
    let Frame::Assignments(batch) = hear().await else { panic!("an assignment was expected") };
    let attempt = batch.assignments[0].attempt.clone();
    assert_eq!(attempt.as_ref().unwrap().task_id, id);
    // A frame kind and a report kind that nobody knows yet, then one that everybody knows.
    say.send(NewerRequest { novelty: "new".into(), ..Default::default() }).await.unwrap();
    let new = NewerReport { report_id: 1, attempt: attempt.clone(), novelty: "new".into(), ..Default::default() };
    let known = NewerReport { report_id: 2, attempt, accepted: Some(v1::Accepted {}), novelty: "more".into() };
    let reports = Some(NewerBatch { reports: vec![new, known] });
    say.send(NewerRequest { reports, ..Default::default() }).await.unwrap();
    let Frame::Receipts(batch) = hear().await else { panic!("a receipt was expected") };
    let receipts: Vec<_> = batch.receipts.iter().map(|r| (r.report_id, r.status())).collect();
    assert_eq!(receipts, [(2, ReceiptStatus::Committed)]);
}

#[tokio::test]
async fn a_report_that_can_not_be_read_is_refused_and_the_stream_goes_on() {
    let server = Server::start().await;
    super::create(&server.client()).await;
    let mut agent = RawAgent::start(&server, "ann", "t").await;
    let attempt = agent.accepted().await;
    let bad = v1::Attempt { lease_token: "nonsense".into(), ..attempt.clone() };
    let receipt = agent.receipt_of(&bad, Kind::Accepted(v1::Accepted {})).await;
    assert_eq!((receipt.status(), receipt.reason()), (ReceiptStatus::Refused, ErrorReason::InvalidField));
    assert!(receipt.message.contains("lease_token"), "{receipt:?}");
    let much = v1::Progress { fraction: Some(1.5), ..Default::default() };
    let receipt = agent.receipt_of(&attempt, Kind::Progress(much)).await;
    assert_eq!((receipt.status(), receipt.reason()), (ReceiptStatus::Refused, ErrorReason::InvalidField));
    let large = v1::Completion { result: Some(callboard_tests::text("x".repeat(MAX_PAYLOAD_BYTES + 1))) };
    let receipt = agent.receipt_of(&attempt, Kind::Completed(large)).await;
    assert_eq!((receipt.status(), receipt.reason()), (ReceiptStatus::Refused, ErrorReason::PayloadTooLarge));
    assert_eq!(agent.complete(&attempt, "fine").await.status(), ReceiptStatus::Committed);
}

#[tokio::test]
async fn a_frame_with_too_many_reports_ends_the_stream() {
    let server = Server::start().await;
    super::create(&server.client()).await;
    let mut agent = RawAgent::start(&server, "ann", "t").await;
    let attempt = agent.accepted().await;
    let report = v1::Report { report_id: 1, attempt: Some(attempt), kind: Some(Kind::Accepted(v1::Accepted {})) };
    agent.say(Said::Reports(v1::ReportBatch { reports: vec![report; 1001] })).await;
    let status = agent.end().await.unwrap_err();
    refusal(&status, Code::InvalidArgument, "INVALID_FIELD");
}
