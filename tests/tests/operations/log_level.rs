//! `callboard log-level`: what is logged is set while the server runs.

use callboard::{Client, Credentials, NewTask};
use callboard_tests::identity::Identities;
use callboard_tests::program;
use callboard_tests::server::Server;
use serde_json::{Value, json};

/// A server in one of its formats, and the token of its administrator.
struct Stage {
    server: Server,
    token: String,
    client: Client,
}

impl Stage {
    async fn set(format: &str) -> Self {
        let mut identities = Identities::default();
        let token = identities.token("root", "admin submitter", "*");
        let server = Server::builder().identities(identities).args(&format!("--log-format {format}")).start().await;
        let credentials = Credentials::new().token(&token);
        let client = Client::builder().address(server.address()).credentials(credentials).build().unwrap();
        Self { server, token, client }
    }

    /// `callboard log-level`: its exit code, output and errors.
    async fn command(&self, words: &[&str]) -> (i32, String, String) {
        let mut command = tokio::process::Command::from(program::command(program::callboard()));
        command.arg("log-level").args(words).env("CALLBOARD_ADDRESS", self.server.address());
        let output = command.env("CALLBOARD_TOKEN", &self.token).output().await.unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
    }

    async fn set_to(&self, filter: &str) -> Value {
        let (code, out, error) = self.command(&[filter, "-o", "json"]).await;
        assert_eq!(code, 0, "{error}");
        serde_json::from_str(&out).unwrap()
    }

    /// The lines that a task left in the log. They are written before its call is answered.
    async fn lines_of_a_task(&self) -> Vec<String> {
        let id = self.client.create(NewTask::new("t")).await.unwrap().task_id;
        self.server.logs().lines().filter(|line| line.contains(&id)).map(str::to_owned).collect()
    }
}

#[tokio::test]
async fn what_is_logged_is_set_while_the_server_runs() {
    for format in ["json", "text"] {
        let stage = Stage::set(format).await;
        assert_eq!(stage.command(&[]).await, (0, "info\n".into(), String::new()));
        assert_eq!(stage.lines_of_a_task().await, [""; 0]);

        assert_eq!(stage.set_to("debug").await, json!({ "previous": "info", "filter": "debug" }));
        let lines = stage.lines_of_a_task().await;
        assert!(lines.iter().any(|line| line.contains("DEBUG") && line.contains("task created")), "{lines:?}");
        if format == "json" {
            let line: Value = serde_json::from_str(&lines[0]).unwrap();
            assert_eq!((&line["level"], &line["target"]), (&json!("DEBUG"), &json!("callboard_engine::log")));
        }

        let set = stage.command(&["warn,callboard_engine=debug"]).await;
        assert_eq!(set, (0, "warn,callboard_engine=debug (was debug)\n".into(), String::new()));
        assert!(!stage.lines_of_a_task().await.is_empty(), "a part has its own level");

        stage.set_to("info").await;
        assert_eq!(stage.lines_of_a_task().await, [""; 0]);
        assert_eq!(stage.command(&[]).await.1, "info\n");
    }
}

#[tokio::test]
async fn who_set_it_is_logged_though_it_fall_silent_and_a_secret_never_is() {
    let stage = Stage::set("json").await;
    let said = || {
        let logs = stage.server.logs();
        let lines = logs.lines().map(|line| serde_json::from_str::<Value>(line).expect("a line of JSON"));
        let said = lines.filter(|line| line["message"] == "the filter of the log is set");
        said.map(|line| json!([line["by"], line["previous"], line["filter"]])).collect::<Vec<_>>()
    };
    stage.set_to("off").await;
    let silence = stage.server.logs();
    stage.set_to("error").await;
    stage.lines_of_a_task().await;
    assert_eq!(stage.server.logs(), silence);
    stage.set_to("trace").await;
    stage.lines_of_a_task().await;
    stage.client.get("nonsense").await.unwrap_err();
    stage.set_to("info").await;
    let expected = [["root", "info", "off"], ["root", "error", "trace"], ["root", "trace", "info"]];
    assert_eq!(said(), expected.map(|line| json!(line)));

    let logs = stage.server.logs();
    assert!(logs.contains("\"TRACE\""), "the log was at its loudest");
    let secret = stage.token.trim_start_matches("callboard_");
    assert!(!logs.contains(secret), "the token is in the log");
}

#[tokio::test]
async fn a_filter_that_can_not_be_read_changes_nothing() {
    let stage = Stage::set("text").await;
    // Once a call was answered, the start has logged all that it has to say.
    assert_eq!(stage.command(&[]).await.1, "info\n");
    let before = stage.server.logs();
    let (code, out, error) = stage.command(&["debgu"]).await;
    assert_eq!((code, out.as_str()), (2, ""));
    assert!(error.contains("filter: \"debgu\" is no level; write one like `info`"), "{error}");
    assert_eq!(stage.server.logs(), before);
    assert_eq!(stage.command(&[]).await.1, "info\n");
}

#[tokio::test]
async fn a_start_reads_the_filter_as_a_call_does() {
    let server = Server::with("--log warn,callboard_engine=debug").await;
    assert_eq!(server.client().log_filter().await.unwrap(), "warn,callboard_engine=debug");
    let mut command = program::command(program::callboard());
    let output = command.args(["serve", "--check", "--log", "debgu"]).current_dir(server.directory()).output().unwrap();
    let error = String::from_utf8(output.stderr).unwrap();
    assert!(!output.status.success() && error.contains("log: \"debgu\" is no level"), "{error}");
}
