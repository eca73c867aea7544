//! `MessageService`, call by call.

use callboard::v1::{self, AgentState, FetchMessagesRequest};
use callboard_tests::agent::RawAgent;
use callboard_tests::mail::{message, texts};
use callboard_tests::server::Server;
use callboard_tests::{refusal, seconds, wait};
use std::time::Duration;
use tonic::Code;

fn fetch(agent: &str, wait: f64) -> FetchMessagesRequest {
    FetchMessagesRequest { agent: agent.into(), wait: seconds(wait), ..Default::default() }
}

/// A server that knows an agent which is not attached.
async fn server_with(name: &str) -> Server {
    let server = Server::with("--reattach-grace 100ms").await;
    drop(RawAgent::start(&server, name, "t").await);
    wait::agent_state(&server.client(), name, AgentState::Detached).await;
    server
}

#[tokio::test]
async fn what_is_sent_waits_in_order_until_it_is_acknowledged() {
    let server = server_with("ann").await;
    let mut mail = server.messages().await;
    for n in 0..5 {
        let mut new = message("ann", &n.to_string());
        new.headers.insert("correlation_id".into(), format!("c{n}"));
        let receipt = mail.send(new).await.unwrap();
        assert_eq!(receipt.sequence, n + 1);
    }
    let found = mail.waiting("ann").await;
    assert_eq!(texts(&found), ["0", "1", "2", "3", "4"]);
    let third = &found[2];
    assert_eq!(
        (third.namespace.as_str(), third.principal.as_str(), third.agent.as_str()),
        ("default", "anonymous", "")
    );
    assert_eq!(third.headers["correlation_id"], "c2");
    assert_eq!(third.to.as_ref().unwrap().to, Some(v1::address::To::Agent("ann".into())));
    assert!(third.expires_at.unwrap().seconds - third.sent_at.unwrap().seconds >= 7 * 86_400);
    let ids: Vec<&str> = [0, 3, 3].iter().map(|n: &usize| found[*n].id.as_str()).collect();
    assert_eq!(mail.acknowledge("ann", &ids).await.unwrap(), 2);
    assert_eq!(mail.acknowledge("ann", &ids).await.unwrap(), 0, "a second time is fine");
    assert_eq!(texts(&mail.waiting("ann").await), ["1", "2", "4"]);
    let behind = FetchMessagesRequest { after_sequence: 2, max_messages: 1, ..fetch("ann", 0.0) };
    assert_eq!(texts(&mail.fetch(behind).await.unwrap()), ["2"]);
}

#[tokio::test]
async fn a_fetch_waits_for_the_next_message() {
    let server = server_with("ann").await;
    let (mut mail, mut other) = (server.messages().await, server.messages().await);
    // Whichever comes first: the message is found.
    let (found, sent) =
        tokio::join!(wait::soon("the message", mail.fetch(fetch("ann", 20.0))), other.send(message("ann", "hello")));
    sent.unwrap();
    let found = found.unwrap();
    assert_eq!(texts(&found), ["hello"]);
    other.acknowledge("ann", &[&found[0].id]).await.unwrap();
    assert!(other.fetch(fetch("ann", 0.05)).await.unwrap().is_empty(), "none came in time");
}

#[tokio::test]
async fn refusals_name_the_field_and_the_remedy() {
    let server = server_with("ann").await;
    let mut mail = server.messages().await;
    let unknown = mail.send(message("nobody", "hello")).await.unwrap_err();
    refusal(&unknown, Code::NotFound, "AGENT_NOT_FOUND");
    assert!(unknown.message().contains("message.to.agent"), "{unknown}");
    let nameless = mail.send(v1::NewMessage { to: None, ..message("", "x") }).await.unwrap_err();
    refusal(&nameless, Code::InvalidArgument, "INVALID_FIELD");
    assert!(nameless.message().contains("message.to"), "{nameless}");
    let eternal = v1::NewMessage { ttl: seconds(31.0 * 86_400.0), ..message("ann", "x") };
    let eternal = mail.send(eternal).await.unwrap_err();
    assert!(eternal.message().contains("message.ttl"), "{eternal}");
    let large = mail.send(message("ann", &"x".repeat((1 << 20) + 1))).await.unwrap_err();
    refusal(&large, Code::InvalidArgument, "PAYLOAD_TOO_LARGE");
    let mut reserved = message("ann", "x");
    reserved.headers.insert("callboard.topic".into(), String::new());
    refusal(&mail.send(reserved).await.unwrap_err(), Code::InvalidArgument, "INVALID_FIELD");
    refusal(&mail.fetch(fetch("nobody", 0.0)).await.unwrap_err(), Code::NotFound, "AGENT_NOT_FOUND");
    refusal(&mail.fetch(fetch("ann", 61.0)).await.unwrap_err(), Code::InvalidArgument, "INVALID_FIELD");
    for ids in [&[][..], &["x"][..]] {
        let nonsense = mail.acknowledge("ann", ids).await.unwrap_err();
        assert!(nonsense.message().contains("message_ids"), "{nonsense}");
    }
    assert!(mail.waiting("ann").await.is_empty());
}

#[tokio::test]
async fn a_request_id_sends_once() {
    let server = server_with("ann").await;
    let mut mail = server.messages().await;
    let first = mail.send_as("r1", message("ann", "hello")).await.unwrap();
    assert_eq!(mail.send_as("r1", message("ann", "hello")).await.unwrap(), first);
    let other = mail.send_as("r1", message("ann", "hullo")).await.unwrap_err();
    refusal(&other, Code::InvalidArgument, "REQUEST_ID_REUSED");
    assert_eq!(mail.waiting("ann").await.len(), 1);
}

#[tokio::test]
async fn a_full_mailbox_says_so_and_takes_again_what_has_room() {
    let server = server_with("ann").await;
    let mut mail = server.messages().await;
    let megabyte = "x".repeat(1 << 20);
    let mut sent = 0;
    let full = loop {
        match mail.send(message("ann", &megabyte)).await {
            Ok(_) => sent += 1,
            Err(status) => break status,
        }
    };
    let details = refusal(&full, Code::ResourceExhausted, "LIMIT_REACHED");
    assert!(details.quota_failure().is_some_and(|quota| !quota.violations.is_empty()));
    assert!(full.message().contains("acknowledged"), "{full}");
    assert_eq!(sent, 63, "64 MiB, with what is beside the content");
    mail.send(message("ann", "small")).await.expect("what is small still fits");
    let found = mail.waiting("ann").await;
    assert_eq!(found.len(), 2, "an answer is not larger than clients take");
    mail.acknowledge("ann", &[&found[0].id]).await.unwrap();
    mail.send(message("ann", &megabyte)).await.expect("there is room again");
}

#[tokio::test]
async fn a_message_whose_time_is_over_is_not_delivered_and_makes_room() {
    let server = server_with("ann").await;
    let mut mail = server.messages().await;
    let short = v1::NewMessage { ttl: seconds(0.001), ..message("ann", "short") };
    let short = mail.send(short).await.unwrap();
    mail.send(message("ann", "long")).await.unwrap();
    tokio::time::sleep(Duration::from_millis(2)).await;
    assert_eq!(texts(&mail.waiting("ann").await), ["long"]);
    // Taken out by the sweep, or by this: it does not come back.
    mail.acknowledge("ann", &[&short.message_id]).await.unwrap();
    assert_eq!(texts(&mail.waiting("ann").await), ["long"]);
}

#[tokio::test]
async fn a_removed_agents_mail_goes_with_it() {
    let server = server_with("ann").await;
    let mut mail = server.messages().await;
    mail.send(message("ann", "for the old one")).await.unwrap();
    server.client().remove_agent("ann").await.unwrap();
    refusal(&mail.send(message("ann", "too late")).await.unwrap_err(), Code::NotFound, "AGENT_NOT_FOUND");
    drop(RawAgent::start(&server, "ann", "t").await);
    assert!(mail.waiting("ann").await.is_empty());
    assert_eq!(mail.send(message("ann", "for the new one")).await.unwrap().sequence, 1);
}

#[tokio::test]
async fn an_operator_says_how_much_a_mailbox_holds() {
    let server = Server::with("--mailbox-messages 2").await;
    drop(RawAgent::start(&server, "ann", "t").await);
    let mut mail = server.messages().await;
    mail.send(message("ann", "1")).await.unwrap();
    mail.send(message("ann", "2")).await.unwrap();
    let full = mail.send(message("ann", "3")).await.unwrap_err();
    refusal(&full, Code::ResourceExhausted, "LIMIT_REACHED");
    assert!(full.message().contains("2 messages"), "{full}");
}
