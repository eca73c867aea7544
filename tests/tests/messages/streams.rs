//! Messages over agents' streams.

use callboard::v1::attach_request::Frame as Said;
use callboard::v1::attach_response::Frame;
use callboard::v1::{self, ErrorReason, Hello};
use callboard_tests::agent::{RawAgent, hello};
use callboard_tests::mail::{mail_hello, message, texts};
use callboard_tests::server::Server;
use callboard_tests::{program, refusal};
use std::time::Duration;
use tonic::Code;

const A_WHILE: Duration = Duration::from_millis(300);

async fn attach(server: &Server, name: &str) -> RawAgent {
    RawAgent::attach(server, mail_hello(name)).await.unwrap()
}

fn is_mail(frame: &Frame) -> bool {
    matches!(frame, Frame::Messages(_) | Frame::MessageReceipts(_))
}

#[tokio::test]
async fn one_agent_writes_to_another_in_order() {
    let server = Server::start().await;
    let (mut ann, mut bob) = (attach(&server, "ann").await, attach(&server, "bob").await);
    assert!(ann.welcome.features.iter().any(|feature| feature == "messages"));
    for n in 0..20 {
        let receipt = ann.send(&format!("r{n}"), message("bob", &n.to_string())).await;
        assert_eq!((receipt.reason(), receipt.retry), (ErrorReason::Unspecified, false), "{receipt:?}");
        assert_eq!(receipt.message.unwrap().sequence, n + 1);
    }
    let heard = bob.messages(20).await;
    let expected: Vec<String> = (0..20).map(|n| n.to_string()).collect();
    assert_eq!(texts(&heard), expected);
    assert!(heard.iter().all(|message| message.agent == "ann"));
    bob.acknowledge(&heard.iter().collect::<Vec<_>>()).await;
    bob.acknowledged(&heard[19]).await;
    assert!(server.messages().await.waiting("bob").await.is_empty());
}

#[tokio::test]
async fn what_waited_comes_when_the_agent_attaches_and_what_is_acknowledged_never_again() {
    let server = Server::start().await;
    let mut mail = server.messages().await;
    let mut ann = attach(&server, "ann").await;
    for n in 0..4 {
        mail.send(message("ann", &n.to_string())).await.unwrap();
    }
    let heard = ann.messages(4).await;
    ann.acknowledged(&heard[1]).await;
    ann.acknowledged(&heard[1]).await;
    drop(ann);
    let mut ann = attach(&server, "ann").await;
    mail.send(message("ann", "4")).await.unwrap();
    let again = ann.messages(4).await;
    assert_eq!(texts(&again), ["0", "2", "3", "4"]);
    assert_eq!(again[0].id, heard[0].id, "the same message has the same id");
}

#[tokio::test]
async fn no_more_than_the_window_is_on_its_way() {
    let server = Server::start().await;
    let mut mail = server.messages().await;
    let mut ann = RawAgent::attach(&server, Hello { message_window: 2, ..mail_hello("ann") }).await.unwrap();
    for n in 0..5 {
        mail.send(message("ann", &n.to_string())).await.unwrap();
    }
    let first = ann.messages(2).await;
    ann.hears_nothing("a third message", is_mail, A_WHILE).await;
    ann.acknowledge(&[&first[1]]).await;
    assert_eq!(texts(&ann.messages(1).await), ["2"]);
    // An acknowledgement by a call makes room as well.
    mail.acknowledge("ann", &[&first[0].id]).await.unwrap();
    assert_eq!(texts(&ann.messages(1).await), ["3"]);
}

#[tokio::test]
async fn an_agent_that_does_not_list_the_feature_gets_no_such_frame() {
    let server = Server::start().await;
    let mut mail = server.messages().await;
    let mut plain = RawAgent::attach(&server, hello("plain", "t")).await.unwrap();
    mail.send(message("plain", "hello")).await.unwrap();
    let send = v1::MessageSend { request_id: "r1".into(), message: Some(message("plain", "to itself")) };
    plain.say(Said::Messages(v1::MessageSendBatch { messages: vec![send] })).await;
    plain.hears_nothing("a frame of messages", is_mail, A_WHILE).await;
    assert_eq!(texts(&mail.waiting("plain").await), ["hello", "to itself"]);
}

#[tokio::test]
async fn what_is_refused_has_a_receipt_that_says_why() {
    let server = Server::start().await;
    let mut ann = attach(&server, "ann").await;
    let unknown = ann.send("r1", message("nobody", "hello")).await;
    assert_eq!(unknown.reason(), ErrorReason::AgentNotFound, "{unknown:?}");
    assert!(unknown.detail.contains("nobody"));
    let nameless = ann.send("r2", v1::NewMessage::default()).await;
    assert_eq!(nameless.reason(), ErrorReason::InvalidField, "{nameless:?}");
    let unnamed = ann.send("", message("ann", "hello")).await;
    assert_eq!(unnamed.reason(), ErrorReason::InvalidField, "{unnamed:?}");
    let first = ann.send("r3", message("ann", "hello")).await;
    assert_eq!(ann.send("r3", message("ann", "hello")).await, first, "a repetition does nothing");
    assert_eq!(ann.send("r3", message("ann", "other")).await.reason(), ErrorReason::RequestIdReused);
    assert_eq!(texts(&ann.messages(1).await), ["hello"]);
    let message_ids = vec!["nonsense".to_owned()];
    ann.say(Said::Acknowledgements(v1::MessageAcknowledgementBatch { message_ids })).await;
    refusal(&ann.end().await.unwrap_err(), Code::InvalidArgument, "INVALID_FIELD");
}

#[tokio::test]
async fn an_agent_that_drains_is_sent_nothing_new() {
    let server = Server::start().await;
    let mut mail = server.messages().await;
    let mut ann = attach(&server, "ann").await;
    server.client().create(callboard::NewTask::new("t")).await.unwrap();
    let attempt = ann.accepted().await;
    ann.say(Said::Drain(v1::DrainRequest {})).await;
    // Its receipt comes behind the drain.
    ann.send("r1", message("ann", "late")).await;
    ann.hears_nothing("a message", |frame| matches!(frame, Frame::Messages(_)), A_WHILE).await;
    ann.complete(&attempt, "done").await;
    ann.end().await.unwrap();
    assert_eq!(texts(&mail.waiting("ann").await), ["late"]);
}

/// An agent that reads nothing keeps no more than its window on its way; the others' messages go on.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slow_reader_costs_no_more_than_its_window() {
    let server = Server::start().await;
    let mut mail = server.messages().await;
    let deaf = attach(&server, "deaf").await.beating();
    let mut bob = attach(&server, "bob").await;
    let content = "x".repeat(512 << 10);
    // What so many messages cost by themselves (the store's pages, the allocator's) is there before it is measured.
    drop(attach(&server, "away").await);
    for _ in 0..120 {
        mail.send(message("away", &content)).await.unwrap();
    }
    let before = program::resident_bytes(server.pid());
    for _ in 0..120 {
        mail.send(message("deaf", &content)).await.unwrap();
    }
    mail.send(message("bob", "hello")).await.unwrap();
    assert_eq!(texts(&bob.messages(1).await), ["hello"]);
    let grown = program::resident_bytes(server.pid()).saturating_sub(before);
    println!("measured: 60 MiB for an agent that does not read; the server grew by {} KiB", grown / 1024);
    assert!(grown < 40 << 20, "the server grew by {grown} bytes");
    drop(deaf);
}
