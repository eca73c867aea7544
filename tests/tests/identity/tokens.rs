//! Tokens from outside: known, unknown, expired, revoked while a stream is open.

use super::call::call;
use callboard::{Client, Credentials, NewTask, Watch};
use callboard_tests::identity::Identities;
use callboard_tests::server::Server;
use callboard_tests::{refusal, refused, wait};
use tonic::Code;

/// The SDK's client with a token.
pub fn client(server: &Server, token: &str) -> Client {
    Client::builder().address(server.address()).credentials(Credentials::new().token(token)).build().unwrap()
}

#[tokio::test]
async fn what_is_done_is_done_by_the_tokens_principal() {
    let mut identities = Identities::default();
    let token = identities.token("ci@example.org", "submitter", "default");
    let server = Server::builder().identities(identities).start().await;
    let client = client(&server, &token);
    let id = client.create(NewTask::new("t").request_id("once")).await.unwrap().task_id;
    assert_eq!(client.get(&id).await.unwrap().created_by, "ci@example.org");
    assert_eq!(client.history(&id).await.unwrap()[0].principal, "ci@example.org");
}

#[tokio::test]
async fn request_ids_of_two_principals_do_not_meet() {
    let mut identities = Identities::default();
    let tokens = ["ann", "bob"].map(|principal| identities.token(principal, "submitter", "default"));
    let server = Server::builder().identities(identities).start().await;
    let mut ids = Vec::new();
    for token in &tokens {
        for _ in 0..2 {
            ids.push(client(&server, token).create(NewTask::new("t").request_id("same")).await.unwrap().task_id);
        }
    }
    assert_eq!((&ids[0], &ids[2]), (&ids[1], &ids[3]), "a repetition gets the same");
    assert_ne!(ids[0], ids[2], "another principal's is another request");
}

#[tokio::test]
async fn an_expired_token_is_refused_and_says_so() {
    let mut identities = Identities::default();
    let old = identities.token_with("ann", "viewer", "*", "expires = 2020-01-01T00:00:00Z");
    let young = identities.token_with("ann", "viewer", "*", "expires = 2999-01-01T00:00:00Z");
    let server = Server::builder().identities(identities).start().await;
    let channel = server.channel().await;
    let path = "/callboard.v1.TaskService/ListTasks";
    let status = call(&channel, path, Vec::new(), Some(&old)).await.unwrap_err();
    refusal(&status, Code::Unauthenticated, "CREDENTIALS_INVALID");
    assert!(status.message().contains("expired"), "{status:?}");
    call(&channel, path, Vec::new(), Some(&young)).await.unwrap();
}

#[tokio::test]
async fn a_revoked_token_ends_its_streams_and_others_go_on() {
    let mut identities = Identities::default();
    let keeps = identities.token("keeps", "viewer", "default");
    let loses = identities.token("loses", "viewer", "default");
    let mut server = Server::builder().identities(identities).start().await;
    let (keeping, losing) = (client(&server, &keeps), client(&server, &loses));
    let (mut kept, mut lost) = (keeping.watch(Watch::namespace()), losing.watch(Watch::namespace()));
    // Both streams are open, and idle.
    for events in [&mut kept, &mut lost] {
        assert!(tokio::time::timeout(std::time::Duration::from_millis(300), events.next()).await.is_err());
    }
    server.identities().edit(|text| text.split_inclusive("\n\n").filter(|entry| !entry.contains("loses")).collect());
    let error = wait::soon("the stream's end", lost.next()).await.unwrap_err();
    refused(&error, Code::Unauthenticated, "CREDENTIALS_INVALID");
    let error = losing.call(callboard::v1::ListTasksRequest::default()).await.unwrap_err();
    refused(&error, Code::Unauthenticated, "CREDENTIALS_INVALID");
    keeping.call(callboard::v1::ListTasksRequest::default()).await.unwrap();
    assert!(tokio::time::timeout(std::time::Duration::from_millis(300), kept.next()).await.is_err(), "it goes on");
}

#[tokio::test]
async fn a_file_that_can_not_be_read_changes_nothing_and_a_new_one_is_taken() {
    let mut identities = Identities::default();
    let token = identities.token("ann", "viewer", "default");
    let mut server = Server::builder().identities(identities).start().await;
    let list = callboard::v1::ListTasksRequest::default;
    server.identities().edit(|text| format!("{text}\n[[token]]\nprincipal = \"half\"\n"));
    let complained = async || server.logs().contains("the old ones stay in force").then_some(());
    wait::look("the fault in the log", complained).await;
    client(&server, &token).call(list()).await.unwrap();
    server.identities().edit(|text| text.replace("\n[[token]]\nprincipal = \"half\"\n", ""));
    let fresh = server.identities().token("bob", "viewer", "default");
    wait::look("the new token", async || client(&server, &fresh).call(list()).await.ok()).await;
    client(&server, &token).call(list()).await.unwrap();
}
