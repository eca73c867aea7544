//! The binary where no server is: usage, exit codes, hints, and the guard.

#![allow(clippy::unwrap_used)]

use std::process::{Command, Output};

/// Nothing listens at port 1.
const NOWHERE: &str = "http://127.0.0.1:1";

fn callboard(arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_callboard"));
    command.args(arguments).env("CALLBOARD_ADDRESS", NOWHERE).env("CALLBOARD_TIMEOUT", "1s");
    for variable in ["CALLBOARD_NAMESPACE", "CALLBOARD_OUTPUT", "CALLBOARD_LOG", "RUST_LOG"] {
        command.env_remove(variable);
    }
    command.output().unwrap()
}

fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

#[test]
fn help_documents_the_exit_codes() {
    let output = callboard(&["--help"]);
    let help = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success() && help.contains("Exit codes:"), "{help}");
    assert!(!help.contains("__guard"), "{help}");
}

#[test]
fn a_wrong_command_line_is_2() {
    assert_eq!(callboard(&["task", "frobnicate"]).status.code(), Some(2));
    let output = callboard(&["task", "show", "xyz"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(stderr(&output).starts_with("error: `xyz` is no task id"), "{}", stderr(&output));
    let output = callboard(&["task", "create", "x", "--type", "t", "--input", "{oops"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(stderr(&output).contains("--text"), "{}", stderr(&output));
    let output = callboard(&["task", "create", "x", "--type", "t", "--depends-on", "abcdef,condition=done"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(stderr(&output).contains("write one of completed, failed, not-completed"), "{}", stderr(&output));
}

#[test]
fn a_wrong_workflow_file_is_2_before_a_server_is_asked() {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str, text: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        path.display().to_string()
    };
    let wrong = file("wrong.yaml", "name: x\ntasks:\n  - {name: a, type: t, colour: red}\n");
    for command in [&["workflow", "run", &wrong][..], &["workflow", "graph", "--file", &wrong]] {
        let output = callboard(command);
        assert_eq!(output.status.code(), Some(2), "{}", stderr(&output));
        assert!(stderr(&output).contains("wrong.yaml: line 3: tasks[0].colour: unknown field"), "{}", stderr(&output));
    }
    let right = file("right.yaml", "name: x\nsteps: [{name: a, type: t}, {name: b, type: t}]\n");
    assert_eq!(callboard(&["workflow", "run", &right]).status.code(), Some(5));
    let output = callboard(&["workflow", "graph", "--file", &right, "--format", "mermaid"]);
    let drawn = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success() && drawn.contains("n0 --> n1"), "{drawn}");
    assert_eq!(callboard(&["workflow", "graph"]).status.code(), Some(2), "nothing to draw");
}

#[test]
fn the_schema_of_workflow_files_is_printed() {
    let output = callboard(&["workflow", "schema"]);
    let schema: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(schema["$schema"], "https://json-schema.org/draft/2020-12/schema");
}

#[test]
fn a_wrong_address_is_2_and_named() {
    let output = callboard(&["task", "list", "--address", "localhost:7470"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(stderr(&output).contains("localhost:7470"), "{}", stderr(&output));
}

#[test]
fn no_server_is_5_with_a_hint_and_nothing_on_standard_output() {
    for command in [
        &["task", "list"][..],
        &["workflow", "list"],
        &["workflow", "watch", "01989b0e-3c1a-7000-8000-0000aabbccdd"],
        &["task", "list", "-o", "json"],
        &["task", "show", "abcdef"],
        &["task", "watch"],
        &["task", "wait", "01989b0e-3c1a-7000-8000-0000aabbccdd"],
        &["task", "create", "x", "--type", "t", "--wait"],
        &["agent", "list"],
        &["namespace", "list"],
    ] {
        let output = callboard(command);
        assert_eq!(output.status.code(), Some(5), "{command:?}: {}", stderr(&output));
        assert!(output.stdout.is_empty(), "{command:?}");
        let said = stderr(&output);
        assert!(
            said.starts_with("error: ") && said.contains("hint: ") && said.contains(NOWHERE),
            "{command:?}: {said}"
        );
        assert!(!said.contains('\u{1b}'), "no colours without a terminal: {said}");
    }
}

#[cfg(unix)]
mod work {
    use std::io::{BufRead, BufReader, Write};
    use std::os::unix::process::{CommandExt, ExitStatusExt};
    use std::process::{Child, Stdio};

    use super::*;

    #[test]
    fn a_program_that_does_not_exist_is_told_at_once() {
        let output = callboard(&["work", "--type", "t", "--", "no-such-program-here"]);
        assert_eq!(output.status.code(), Some(2));
        assert!(stderr(&output).contains("no-such-program-here"), "{}", stderr(&output));
    }

    #[test]
    fn help_says_what_a_program_gets_and_gives() {
        let output = callboard(&["work", "--help"]);
        let help = String::from_utf8(output.stdout).unwrap();
        assert!(help.contains("descriptor 3") && help.contains("65 fails it for good"), "{help}");
    }

    #[test]
    fn the_guard_kills_what_is_left_when_its_pipe_ends() {
        let mut left = group();
        let mut ended = group();
        let mut guard =
            Command::new(env!("CARGO_BIN_EXE_callboard")).arg("__guard").stdin(Stdio::piped()).spawn().unwrap();
        let mut orders = guard.stdin.take().unwrap();
        writeln!(orders, "+{}\n+{}\n-{}", left.id(), ended.id(), ended.id()).unwrap();
        drop(orders);
        assert!(guard.wait().unwrap().success());
        assert_eq!(left.wait().unwrap().signal(), Some(9));
        assert!(ended.try_wait().unwrap().is_none(), "it was not the guard's any more");
        ended.kill().unwrap();
        ended.wait().unwrap();
    }

    /// A program in a process group of its own, which has begun.
    fn group() -> Child {
        let mut child = Command::new("/bin/sh")
            .args(["-c", "echo ready; exec sleep 1000"])
            .stdout(Stdio::piped())
            .process_group(0)
            .spawn()
            .unwrap();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut String::new()).unwrap();
        child
    }
}
