//! `callboard bench` against a server that wants to know who asks.

use super::tls::Authority;
use callboard_tests::identity::Identities;
use callboard_tests::program;
use callboard_tests::server::Server;
use std::path::Path;
use std::process::Output;

async fn bench(server: &Server, folder: &Path, args: &[&str], env: &[(&str, &Path)]) -> Output {
    let mut command = program::command(program::callboard());
    command.arg("bench").args(args).args(["--address", &server.address(), "--output", "json"]);
    command.current_dir(folder).envs(env.iter().copied());
    tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap()
}

fn assert_measured(output: &Output, part: &str) {
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    let figures: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert!(figures[part].is_object() || figures[part].is_array(), "{figures:#}");
}

const IDLE: [&str; 3] = ["--quick", "--only", "idle"];
const SOAK: [&str; 9] = ["soak", "--for", "2s", "--sample", "1s", "--rate", "100", "--in-flight", "4"];

/// Client and agents, which are processes of their own and run elsewhere, show the token, and check the certificate.
#[tokio::test(flavor = "multi_thread")]
async fn the_bench_shows_its_token_and_checks_the_server() {
    let mut identities = Identities::default();
    let authority = Authority::new(identities.directory());
    let folder = identities.directory().to_owned();
    let token = identities.token("ann", "admin", "*");
    std::fs::write(folder.join("ann.token"), &token).unwrap();
    let server = authority.server(identities).start().await;
    let flags = ["--token-file", "ann.token", "--ca", "ca.pem"];
    let with = |args: &[&'static str]| [args, &flags[..]].concat();

    assert_measured(&bench(&server, &folder, &with(&IDLE), &[]).await, "idle");
    assert_measured(&bench(&server, &folder, &with(&SOAK), &[]).await, "samples");
    let variables = [("CALLBOARD_TOKEN_FILE", Path::new("ann.token")), ("CALLBOARD_CA", Path::new("ca.pem"))];
    assert_measured(&bench(&server, &folder, &IDLE, &variables).await, "idle");

    let nobody = bench(&server, &folder, &[&IDLE[..], &flags[2..]].concat(), &[]).await;
    let said = String::from_utf8_lossy(&nobody.stderr);
    assert!(!nobody.status.success() && said.contains("authorization: is missing"), "{said}");
    assert!(nobody.stdout.is_empty() && !said.contains(&token));
}
