//! Agents on a server that knows identities: whose a name is, whose a lease.

use super::tokens::client;
use callboard::v1::{
    AcknowledgeMessagesRequest, AgentProfile, ClaimTasksRequest, CompleteTaskRequest, FetchMessagesRequest,
    ListTasksRequest, TaskHandler,
};
use callboard::{Agent, Client, Context, Credentials, NewMessage, NewTask, TaskError};
use callboard_tests::identity::Identities;
use callboard_tests::server::Server;
use callboard_tests::{http, refused, wait};
use tonic::Code;

fn agent(server: &Server, token: &str, name: &str) -> callboard::AgentHandle {
    let agent = Agent::builder("t").name(name).address(server.address()).namespace("default");
    let agent = agent.credentials(Credentials::new().token(token));
    agent.handle("echo", |_: Context, text: String| async move { Ok::<_, TaskError>(text) }).spawn().unwrap()
}

async fn claim(client: &Client, agent: &str) -> callboard::Result<callboard::v1::Attempt> {
    let handles = vec![TaskHandler { r#type: "claimed".into(), ..Default::default() }];
    let profile = Some(AgentProfile { name: agent.into(), handles, ..Default::default() });
    let claimed = client.call(ClaimTasksRequest { profile, ..Default::default() }).await?;
    Ok(claimed.assignments[0].attempt.clone().unwrap())
}

#[tokio::test]
async fn an_agent_works_with_its_token_and_its_name_is_its_principals() {
    let mut identities = Identities::default();
    let submitter = identities.token("ci", "submitter", "default");
    let (ann, bob) = (identities.token("ann", "agent", "default"), identities.token("bob", "agent", "default"));
    let operator = identities.token("op", "operator", "default");
    let server = Server::builder().identities(identities).start().await;
    let mut first = agent(&server, &ann, "worker");
    first.attached().await.unwrap();
    let task = NewTask::new("echo").input(&"hello").unwrap();
    let result: String = client(&server, &submitter).run(task).await.unwrap();
    assert_eq!(result, "hello");
    let error = wait::soon("the thief's end", agent(&server, &bob, "worker").join()).await.unwrap_err();
    refused(&error, Code::PermissionDenied, "NOT_YOUR_AGENT");
    assert!(first.is_attached(), "the thief did not disturb it");
    first.drain();
    first.join().await.unwrap();
    client(&server, &operator).remove_agent("worker").await.unwrap();
    let mut second = agent(&server, &bob, "worker");
    second.attached().await.unwrap();
    assert_eq!(client(&server, &operator).get_agent("worker").await.unwrap().principal, "bob");
    second.drain();
    second.join().await.unwrap();
}

#[tokio::test]
async fn a_submitters_agent_is_refused_at_once() {
    let mut identities = Identities::default();
    let submitter = identities.token("ci", "submitter", "default");
    let server = Server::builder().identities(identities).start().await;
    let error = wait::soon("the end", agent(&server, &submitter, "worker").join()).await.unwrap_err();
    refused(&error, Code::PermissionDenied, "ROLE_NOT_ALLOWED");
    let error = wait::soon("the end", agent(&server, "callboard_unknown", "worker").join()).await.unwrap_err();
    refused(&error, Code::Unauthenticated, "CREDENTIALS_INVALID");
}

#[tokio::test]
async fn a_claim_is_completed_by_its_principal_alone() {
    let mut identities = Identities::default();
    let submitter = identities.token("ci", "submitter", "default");
    let (ann, bob) = (identities.token("ann", "agent", "default"), identities.token("bob", "agent", "default"));
    let server = Server::builder().identities(identities).start().await;
    let (ann, bob, submitter) = (client(&server, &ann), client(&server, &bob), client(&server, &submitter));
    let id = submitter.create(NewTask::new("claimed")).await.unwrap().task_id;
    let attempt = claim(&ann, "ann-1").await.unwrap();
    refused(&claim(&bob, "ann-1").await.unwrap_err(), Code::PermissionDenied, "NOT_YOUR_AGENT");
    let complete = || CompleteTaskRequest { attempt: Some(attempt.clone()), ..Default::default() };
    refused(&bob.call(complete()).await.unwrap_err(), Code::PermissionDenied, "NOT_YOUR_LEASE");
    ann.call(complete()).await.unwrap();
    let history = submitter.history(&id).await.unwrap();
    assert_eq!(history.last().unwrap().principal, "ann");
}

/// Operators look after agents: they see why a mailbox is full, and leave it as it is.
#[tokio::test]
async fn a_mailbox_is_seen_by_operators_and_emptied_by_its_agents_principal_alone() {
    let mut identities = Identities::default();
    let (ann, bob) = (identities.token("ann", "agent", "default"), identities.token("bob", "agent", "default"));
    let (operator, admin) = (identities.token("op", "operator", "default"), identities.token("root", "admin", "*"));
    let stranger = identities.token("far", "operator", "elsewhere");
    let server = Server::builder().identities(identities).start().await;
    let mut worker = agent(&server, &ann, "worker");
    worker.attached().await.unwrap();
    client(&server, &operator).send_message(NewMessage::to("worker").body(&"hello").unwrap()).await.unwrap();
    let fetch = || FetchMessagesRequest { agent: "worker".into(), ..Default::default() };
    let mut ids = Vec::new();
    for token in [&operator, &admin, &ann] {
        let found = client(&server, token).call(fetch()).await.unwrap().messages;
        assert_eq!(found.len(), 1);
        ids.push(found[0].id.clone());
    }
    let error = client(&server, &bob).call(fetch()).await.unwrap_err();
    refused(&error, Code::PermissionDenied, "NOT_YOUR_AGENT");
    let error = client(&server, &stranger).call(fetch()).await.unwrap_err();
    refused(&error, Code::NotFound, "NAMESPACE_NOT_FOUND");
    ids.truncate(1);
    let acknowledge =
        || AcknowledgeMessagesRequest { agent: "worker".into(), message_ids: ids.clone(), ..Default::default() };
    let error = client(&server, &operator).call(acknowledge()).await.unwrap_err();
    refused(&error, Code::PermissionDenied, "ROLE_NOT_ALLOWED");
    for token in [&admin, &bob] {
        let error = client(&server, token).call(acknowledge()).await.unwrap_err();
        refused(&error, Code::PermissionDenied, "NOT_YOUR_AGENT");
    }
    assert_eq!(client(&server, &ann).call(acknowledge()).await.unwrap().acknowledged, 1);

    let text = metrics(&server, &admin).await;
    for (reason, count) in [("NOT_YOUR_AGENT", 3), ("NAMESPACE_NOT_FOUND", 1), ("ROLE_NOT_ALLOWED", 1)] {
        let line = format!("callboard_calls_refused_total{{reason=\"{reason}\"}} {count}");
        assert!(text.lines().any(|found| found == line), "{line} in\n{text}");
    }
}

/// The page of metrics, as somebody with a token sees it.
async fn metrics(server: &Server, token: &str) -> String {
    let request = format!(
        "GET /metrics HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {token}\r\nconnection: close\r\n\r\n"
    );
    http::request(server, &request).await.body
}

#[tokio::test]
async fn who_is_not_let_in_is_counted_by_the_reason() {
    let mut identities = Identities::default();
    let viewer = identities.token("eve", "viewer", "*");
    let server = Server::builder().identities(identities).start().await;
    for _ in 0..2 {
        client(&server, "callboard_nobodys").call(ListTasksRequest::default()).await.unwrap_err();
    }
    http::get(&server, "/metrics").await;
    http::get(&server, "/healthz").await;
    client(&server, &viewer).create(NewTask::new("t")).await.unwrap_err();
    let text = metrics(&server, &viewer).await;
    for (reason, count) in [("CREDENTIALS_INVALID", 2), ("CREDENTIALS_MISSING", 1), ("ROLE_NOT_ALLOWED", 1)] {
        let line = format!("callboard_calls_refused_total{{reason=\"{reason}\"}} {count}");
        assert!(text.lines().any(|found| found == line), "{line} in\n{text}");
    }
}
