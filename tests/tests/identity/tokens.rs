//! Tokens from outside: known, unknown, expired, revoked while a stream is open.

use super::call::call;
use callboard::{Agent, Client, Context, Credentials, NewTask, TaskError, Watch};
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

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_file_is_changed_under_running_programs() {
    let mut identities = Identities::default();
    let submitter = identities.token("ci", "submitter", "default");
    let old = identities.token("ann", "agent viewer", "default");
    let mut server = Server::builder().identities(identities).start().await;
    let file = server.directory().join("token");
    std::fs::write(&file, &old).unwrap();
    let credentials = || Credentials::new().token_file(&file);
    let own = Client::builder().address(server.address()).credentials(credentials()).build().unwrap();
    let (tell, mut told) = tokio::sync::mpsc::unbounded_channel();
    let (go, gone) = tokio::sync::watch::channel(false);
    let agent = Agent::builder("t").name("worker").address(server.address()).credentials(credentials());
    let agent = agent.handle("slow", move |_: Context, (): ()| {
        let (tell, mut gone) = (tell.clone(), gone.clone());
        async move {
            tell.send(()).unwrap();
            gone.wait_for(|gone| *gone).await?;
            Ok::<_, TaskError>("done")
        }
    });
    let mut agent = agent.spawn().unwrap();
    agent.attached().await.unwrap();
    let epoch = agent.session_epoch();
    let submitting = client(&server, &submitter);
    let id = submitting.create(NewTask::new("slow").input(&()).unwrap()).await.unwrap().task_id;
    wait::soon("the handler", told.recv()).await.unwrap();
    let mut events = own.watch(Watch::task(&id).until_ended());
    events.next().await.unwrap().unwrap();

    // The order of the roles tells the two entries apart.
    let fresh = server.identities().token("ann", "viewer agent", "default");
    std::fs::write(&file, &fresh).unwrap();
    let is_old = |entry: &&str| entry.contains(r#"["agent", "viewer"]"#);
    server.identities().edit(|text| text.split_inclusive("\n\n").filter(|entry| !is_old(entry)).collect());

    wait::look("the session with the new token", async || (agent.session_epoch() > epoch).then_some(())).await;
    go.send(true).unwrap();
    let result: String = submitting.result(&id, None).await.unwrap();
    assert_eq!((result.as_str(), own.get(&id).await.unwrap().attempt), ("done", 1), "the same attempt went on");
    while wait::soon("the watch's end", events.next()).await.unwrap().is_some() {}
    agent.drain();
    agent.join().await.unwrap();
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
