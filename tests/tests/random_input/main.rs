//! Random input: requests made up from the descriptors, thousands of them, and nothing breaks.
//!
//! Every answer is an OK that can be read, or a refusal in the one form; never INTERNAL or UNKNOWN, never a hang, never a panic.
//! `CALLBOARD_SEED` makes the same choices again; `CALLBOARD_LONG=1` makes fifty times as many.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod generate;
mod read_back;

use callboard::v1::{AttachResponse, ReceiptStatus, TaskState, attach_response::Frame};
use callboard::{Client, NewTask};
use callboard_tests::load::chance::Seed;
use callboard_tests::refusals::well_formed;
use callboard_tests::server::Server;
use callboard_tests::wire::RawClient;
use callboard_tests::{claim, descriptors, wait};
use futures::TryStreamExt;
use generate::Generator;
use prost_reflect::prost::Message;
use prost_reflect::{DynamicMessage, Kind, MessageDescriptor, MethodDescriptor};
use std::collections::BTreeMap;
use std::time::Duration;
use tonic::{Code, Status};
use tonic_types::StatusExt;

/// How many calls and streams a run makes.
const CALLS: usize = 3_000;
const STREAMS: usize = 60;

fn times(count: usize) -> usize {
    let long = std::env::var("CALLBOARD_LONG").is_ok_and(|long| long == "1");
    if long { count * 50 } else { count }
}

/// Fails with everything that would be needed to see why.
#[track_caller]
fn fail(fault: &str, what: &str, request: &DynamicMessage) -> ! {
    let request = request.to_text_format();
    panic!("{fault}\n  {what} {{ {request:.4000} }}")
}

#[tokio::test]
async fn calls_made_up_from_the_descriptors_break_nothing() {
    let seed = Seed::choose();
    let server = Server::start().await;
    let client = RawClient::new(server.channel().await);
    let methods: Vec<_> = descriptors::methods().into_iter().filter(|method| !method.is_client_streaming()).collect();
    let mut generator = Generator::new(seed.random());
    let mut answers: BTreeMap<String, BTreeMap<String, usize>> = BTreeMap::new();
    for n in 0..times(CALLS) {
        let method = &methods[n % methods.len()];
        let request = generator.request(&method.input());
        let answer = client.call(method, request.encode_to_vec().into()).await;
        let said = match answer {
            Ok(answer) => {
                let answer = DynamicMessage::decode(method.output(), answer).unwrap();
                generator.learn(&answer);
                let read = read_back::read_back(&client, method, &request, &answer).await;
                read.unwrap_or_else(|fault| fail(&fault, method.name(), &request));
                "OK".to_owned()
            }
            Err(status) => {
                check_refusal(&status, method).unwrap_or_else(|fault| fail(&fault, method.name(), &request));
                status.get_error_details().error_info().map(|info| info.reason.clone()).unwrap_or_default()
            }
        };
        *answers.entry(method.name().to_owned()).or_default().entry(said).or_default() += 1;
    }
    for (method, answers) in &answers {
        println!("{method}: {answers:?}");
    }
    still_works(&server).await;
}

#[tokio::test]
async fn streams_made_up_from_the_descriptors_break_nothing() {
    let seed = Seed::choose();
    let server = Server::with("--reattach-grace 1s").await;
    let (raw, client) = (RawClient::new(server.channel().await), server.client());
    let method = descriptors::method("Attach");
    let mut generator = Generator::new(seed.random());
    for _ in 0..times(STREAMS) {
        client.create_all((0..2).map(|_| NewTask::new("t"))).await.unwrap();
        let frames = random_frames(&mut generator, &method.input());
        let said = tokio_stream::iter(frames.iter().map(|frame| frame.encode_to_vec().into()).collect::<Vec<_>>());
        let status = match raw.stream(&method, said).await {
            Ok(mut answers) => loop {
                match wait::soon("a frame or the end", answers.message()).await {
                    Ok(Some(answer)) => {
                        check_receipts(&AttachResponse::decode(answer.clone()).unwrap());
                        generator.learn(&DynamicMessage::decode(method.output(), answer).unwrap());
                    }
                    Ok(None) => break Ok(()),
                    Err(status) => break Err(status),
                }
            },
            Err(status) => Err(status),
        };
        if let Err(status) = status {
            well_formed_and_expected(&status).unwrap_or_else(|fault| {
                let frames = frames.iter().map(DynamicMessage::to_text_format).collect::<Vec<_>>().join(" | ");
                panic!("{fault}\n  {frames:.4000}")
            });
        }
    }
    still_works(&server).await;
}

/// A hello that may be accepted, and some frames of any kind.
fn random_frames(generator: &mut Generator, descriptor: &MessageDescriptor) -> Vec<DynamicMessage> {
    let hello = descriptor.get_field_by_name("hello").unwrap();
    let Kind::Message(of) = hello.kind() else { unreachable!("hello is a message") };
    let mut first = DynamicMessage::new(descriptor.clone());
    first.set_field(&hello, prost_reflect::Value::Message(generator.sane(&of, 0)));
    let rest = (0..5).map(|_| generator.request(descriptor)).collect::<Vec<_>>();
    [first].into_iter().chain(rest).collect()
}

fn check_receipts(answer: &AttachResponse) {
    if let Some(Frame::Receipts(batch)) = &answer.frame {
        for receipt in batch.receipts.iter().filter(|receipt| receipt.status() == ReceiptStatus::Refused) {
            let (subject, fault) = receipt.message.split_once(": ").unwrap_or_default();
            assert!(!subject.is_empty() && !fault.is_empty(), "{receipt:?}");
            assert!(receipt.message.len() <= 1 << 10, "{receipt:?}");
        }
    }
}

fn well_formed_and_expected(status: &Status) -> Result<(), String> {
    if matches!(status.code(), Code::Internal | Code::Unknown | Code::DataLoss | Code::Unavailable | Code::Cancelled) {
        return Err(format!("no answer to a request, however bad: {status:?}"));
    }
    well_formed(status)
}

/// A refusal in the one form, whose fields are fields of the request.
fn check_refusal(status: &Status, method: &MethodDescriptor) -> Result<(), String> {
    well_formed_and_expected(status)?;
    let details = status.get_error_details();
    let violations = details.bad_request().map(|bad| bad.field_violations.as_slice()).unwrap_or_default();
    let unknown = violations
        .iter()
        .find(|violation| violation.field != "request" && !is_field(&method.input(), &violation.field));
    match unknown {
        Some(violation) => Err(format!("{:?} is no field of {}", violation.field, method.input().name())),
        None => Ok(()),
    }
}

/// Whether a path names a field: `tasks[3].input.metadata`.
fn is_field(descriptor: &MessageDescriptor, path: &str) -> bool {
    let (first, rest) = path.split_once('.').map_or((path, None), |(first, rest)| (first, Some(rest)));
    let name = first.split('[').next().unwrap_or_default();
    match (descriptor.get_field_by_name(name), rest) {
        (Some(_), None) => true,
        (Some(field), Some(rest)) => field.kind().as_message().is_some_and(|inner| is_field(inner, rest)),
        (None, _) => false,
    }
}

/// Everything can still be read, and a sane task still comes to its end.
async fn still_works(server: &Server) {
    let client = server.client();
    client.update_namespace("default", Default::default()).await.unwrap();
    let namespaces: Vec<_> = client.list_namespaces().try_collect().await.unwrap();
    for namespace in namespaces {
        read_all(&server.client_in(&namespace.name)).await;
    }
    let task_id = client.create(NewTask::new("sane.in.the.end")).await.unwrap().task_id;
    let lease = claim::lease(&client, "sane-agent", "sane.in.the.end").await;
    claim::complete(&client, &lease, "done").await.unwrap();
    assert_eq!(client.wait(&task_id, Some(Duration::from_secs(20))).await.unwrap().state(), TaskState::Completed);
    let log = server.logs();
    let errors: Vec<_> = log.lines().filter(|line| line.contains("panicked") || line.contains("ERROR")).collect();
    assert!(errors.is_empty(), "the server's log: {errors:#?}");
}

async fn read_all(client: &Client) {
    let tasks: Vec<_> = client.list(Default::default()).try_collect().await.unwrap();
    for task in tasks {
        client.get(&task.id).await.unwrap();
        let history = client.history(&task.id).await.unwrap();
        assert!(history.iter().enumerate().all(|(n, event)| event.sequence == n as i64 + 1), "{history:?}");
        client.dependency_results(&task.id).await.unwrap();
    }
    let _: Vec<_> = client.list_agents(Default::default()).try_collect().await.unwrap();
}
