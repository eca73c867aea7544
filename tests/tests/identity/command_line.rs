//! `callboard token`, and a server that takes what it writes.

use callboard::Credentials;
use callboard_tests::identity::Identities;
use callboard_tests::server::Server;
use callboard_tests::{program, wait};
use std::path::Path;
use std::process::Output;

fn token(identities: &Path, words: &str) -> Output {
    let mut command = program::command(program::callboard());
    command.arg("token").args(words.split(' ')).env("CALLBOARD_IDENTITIES", identities);
    command.output().unwrap()
}

fn said(output: &Output) -> String {
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout.clone()).unwrap().trim().to_owned()
}

#[tokio::test]
async fn a_token_is_created_used_listed_and_revoked_while_the_server_runs() {
    let mut identities = Identities::default();
    identities.token("someone", "viewer", "default");
    let path = identities.path();
    let server = Server::builder().identities(identities).start().await;
    let secret = said(&token(&path, "create ci --role submitter --namespaces default --expires 90d"));
    assert!(secret.starts_with("callboard_") && secret.lines().count() == 1, "only the token: {secret}");
    assert!(!std::fs::read_to_string(&path).unwrap().contains(&secret));
    let works = async || {
        let client = callboard::Client::builder().address(server.address());
        let client = client.credentials(Credentials::new().token(&secret)).build().unwrap();
        client.call(callboard::v1::ListTasksRequest::default()).await
    };
    wait::look("the new token", async || works().await.ok()).await;
    let list = said(&token(&path, "list"));
    let line = list.lines().find(|line| line.contains("ci")).unwrap();
    assert!(line.contains("submitter") && line.contains("default") && !list.contains(&secret), "{list}");
    let id = line.split(' ').next().unwrap();
    said(&token(&path, &format!("revoke {id}")));
    wait::look("the revocation", async || works().await.err()).await;
    assert_eq!(said(&token(&path, "list")).lines().count(), 1);
}

#[test]
fn without_a_file_the_entry_is_shown_and_nonsense_is_refused() {
    let run =
        |words: &str| program::command(program::callboard()).arg("token").args(words.split(' ')).output().unwrap();
    let output = run("create ci --role viewer --all-namespaces");
    let (secret, entry) = (said(&output), String::from_utf8_lossy(&output.stderr).into_owned());
    assert!(entry.contains("[[token]]") && entry.contains("namespaces = \"*\"") && !entry.contains(&secret), "{entry}");
    for wrong in [
        "create ci --role viewer",
        "create ci --role boss --all-namespaces",
        "create system --role viewer --all-namespaces",
        "create ci --role viewer --namespaces NOT-ONE",
        "create ci --role viewer --all-namespaces --expires 900000y",
    ] {
        let output = run(wrong);
        assert_eq!(output.status.code(), Some(2), "{wrong}: {output:?}");
        assert!(output.stdout.is_empty(), "no token: {wrong}");
    }
}
