//! A token is never seen where it doesn't belong: in logs at their loudest, in errors, in events, in the store.

use super::call::call;
use super::tokens::client;
use callboard::{Agent, Context, Credentials, NewTask, TaskError, v1};
use callboard_tests::identity::Identities;
use callboard_tests::program;
use callboard_tests::server::Server;
use std::fmt::Debug;
use std::path::Path;

/// What was written, with the place where it was.
struct Seen(Vec<(String, Vec<u8>)>);

impl Seen {
    fn add(&mut self, place: &str, what: impl Into<Vec<u8>>) {
        self.0.push((place.to_owned(), what.into()));
    }

    fn add_debug(&mut self, place: &str, what: &(impl Debug + ?Sized)) {
        self.add(place, format!("{what:?} {what:#?}"));
    }

    fn add_files(&mut self, folder: &Path) {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_file() {
                self.add(&path.display().to_string(), std::fs::read(&path).unwrap());
            }
        }
    }

    fn check(&self, secret: &str) {
        for (place, what) in &self.0 {
            assert!(!what.windows(secret.len()).any(|part| part == secret.as_bytes()), "a token is in {place}");
        }
    }
}

fn secret(name: &str) -> String {
    format!("callboard_canary-{name}-{:0>30}", std::process::id())
}

#[tokio::test]
async fn a_token_is_in_no_log_no_error_no_event_and_not_in_the_store() {
    let mut identities = Identities::default();
    let good = identities.token("ann", "agent submitter", "default");
    let server = Server::builder().identities(identities).arg("--log").arg("trace").start().await;
    let (unknown, malformed) = (secret("unknown"), secret("malformed"));
    let mut seen = Seen(Vec::new());

    let client = client(&server, &good);
    let agent = Agent::builder("t").client(&client);
    let agent = agent.handle("echo", |_: Context, text: String| async move { Ok::<_, TaskError>(text) });
    seen.add_debug("the agent's builder", &agent);
    let mut agent = agent.spawn().unwrap();
    agent.attached().await.unwrap();
    seen.add_debug("the agent", &agent);
    let task = NewTask::new("echo").input(&"hello").unwrap();
    assert_eq!(client.run::<String>(task).await.unwrap(), "hello");
    for task in client.call(v1::ListTasksRequest::default()).await.unwrap().tasks {
        seen.add_debug("a history", &client.history(&task.id).await.unwrap());
        seen.add_debug("a task", &task);
    }
    seen.add_debug("the client", &client);
    seen.add_debug("the raw client", &client.tasks());
    seen.add_debug("an error", &client.get("nonsense").await.unwrap_err());

    let credentials = Credentials::new().token(&unknown);
    seen.add_debug("credentials", &credentials);
    let stranger = callboard::Client::builder().address(server.address()).credentials(credentials.clone());
    seen.add_debug("the client's builder", &stranger);
    seen.add_debug("a refusal", &stranger.build().unwrap().get("nonsense").await.unwrap_err());
    let far = callboard::Client::builder().address("http://192.0.2.1:1").credentials(credentials).build();
    seen.add_debug("the refusal of an address", &far.unwrap_err());

    let channel = server.channel().await;
    let mut request = tonic::Request::new(v1::ListTasksRequest::default());
    request.metadata_mut().insert("authorization", malformed.parse().unwrap());
    let mut tasks = v1::task_service_client::TaskServiceClient::new(channel.clone());
    seen.add_debug("the refusal of a header", &tasks.list_tasks(request).await.unwrap_err());
    let path = "/callboard.v1.TaskService/DropTasks";
    seen.add_debug("the refusal of a method", &call(&channel, path, Vec::new(), Some(&good)).await.unwrap_err());

    let mut command = tokio::process::Command::from(program::command(program::callboard()));
    command.args(["task", "list"]).env("CALLBOARD_ADDRESS", server.address()).env("CALLBOARD_TOKEN", &good);
    let output = command.env("CALLBOARD_LOG", "trace").output().await.unwrap();
    assert!(output.status.success(), "{output:?}");
    assert!(output.stderr.len() > 1000, "it logs");
    seen.add("the command's output", [output.stdout, output.stderr].concat());

    agent.drain();
    agent.join().await.unwrap();
    let logs = server.logs();
    assert!(logs.contains("TRACE") && logs.contains("refused"), "the log is at its loudest");
    seen.add("the server's log", logs);
    seen.add_files(server.directory());
    for secret in [&good, &unknown, &malformed] {
        seen.check(secret);
        seen.check(secret.trim_start_matches("callboard_"));
    }
}

#[tokio::test]
async fn there_is_no_option_for_a_token_on_the_command_line() {
    for command in ["task list", "work", "serve", "token create"] {
        let words = command.split(' ').chain(["--help"]);
        let output = program::command(program::callboard()).args(words).output().unwrap();
        let help = String::from_utf8(output.stdout).unwrap();
        assert!(!help.contains("--token ") && !help.contains("--token="), "other users see arguments: {help}");
    }
}
