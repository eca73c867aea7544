//! The command line against a real server: what it prints, in both formats, and how it ends.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod agents;
mod messages;
mod serving;
mod tasks;
mod work;
mod workflows;

use callboard_tests::program;
use callboard_tests::server::Server;
use serde_json::Value;
use std::process::Stdio;
use tokio::io::AsyncWriteExt;

/// What a command did.
#[derive(Debug)]
struct Done {
    code: Option<i32>,
    out: String,
    err: String,
}

impl Done {
    /// Standard output of a command that ended well.
    #[track_caller]
    fn ok(self) -> String {
        assert_eq!(self.code, Some(0), "{}{}", self.out, self.err);
        self.out
    }

    /// The same as one JSON document.
    #[track_caller]
    fn json(self) -> Value {
        let out = self.ok();
        serde_json::from_str(&out).unwrap_or_else(|error| panic!("{error}: {out}"))
    }

    /// What it said when it ended with this code.
    #[track_caller]
    fn failed(self, code: i32) -> String {
        assert_eq!(self.code, Some(code), "{}{}", self.out, self.err);
        assert!(self.err.contains("error"), "{}", self.err);
        self.err
    }
}

/// Runs a command line; words are separated by spaces.
async fn run(server: &Server, line: &str) -> Done {
    run_words(server, &line.split_whitespace().collect::<Vec<_>>(), "").await
}

/// The same with JSON as the output.
async fn json(server: &Server, line: &str) -> Value {
    run(server, &format!("{line} -o json")).await.json()
}

/// Runs words, with a standard input.
async fn run_words(server: &Server, words: &[&str], input: &str) -> Done {
    let mut command = tokio::process::Command::from(program::command(program::callboard()));
    command.args(words).env("CALLBOARD_ADDRESS", server.address()).current_dir(server.directory());
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    let mut child = command.spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    // One that ends without reading is judged by its exit code.
    let _ = stdin.write_all(input.as_bytes()).await;
    drop(stdin);
    let output = callboard_tests::wait::soon("the command's end", child.wait_with_output()).await.unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    Done { code: output.status.code(), out: text(output.stdout), err: text(output.stderr) }
}

/// The short id that tables show.
fn short(id: &str) -> String {
    let digits = id.replace('-', "");
    digits[digits.len() - 8..].to_owned()
}
