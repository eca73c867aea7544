//! The runner with real programs of /bin/sh.

use std::os::unix::process::ExitStatusExt;

use serde_json::json;
use tokio::time::Instant;

use super::*;

/// Runs a script; gives how it ended and what it said on descriptor 3.
async fn sh(script: &str, input: &[u8], cancel: &CancellationToken) -> (Finished, Vec<Control>) {
    let job = Job {
        input: input.to_vec(),
        environment: vec![("GIVEN".into(), Some("here".into())), ("HOME".into(), None)],
        label: "[test] ".into(),
    };
    let (sender, mut receiver) = mpsc::channel(1);
    let program = program(script, Duration::from_millis(300));
    let listen = async {
        let mut controls = Vec::new();
        while let Some(control) = receiver.recv().await {
            controls.push(control);
        }
        controls
    };
    let (finished, controls) = tokio::join!(program.run(&job, cancel, sender), listen);
    (finished.unwrap(), controls)
}

fn program(script: &str, kill_after: Duration) -> Program {
    let command = ["/bin/sh", "-c", script].map(OsString::from).to_vec();
    Program { command, kill_after, guard: None }
}

async fn run(script: &str, input: &[u8]) -> Finished {
    sh(script, input, &CancellationToken::new()).await.0
}

fn text(finished: &Finished) -> &str {
    match &finished.output {
        Output::Bytes(bytes) => std::str::from_utf8(bytes).unwrap(),
        Output::TooLarge => panic!("too large"),
    }
}

#[tokio::test]
async fn input_goes_in_and_output_comes_out() {
    let finished = run("tr a-z A-Z", b"hello").await;
    assert!(finished.status.success() && !finished.cancelled);
    assert_eq!(text(&finished), "HELLO");
}

#[tokio::test]
async fn a_large_input_and_output_do_not_block_each_other() {
    let input = vec![b'x'; MAX_PAYLOAD_BYTES];
    let finished = run("cat", &input).await;
    assert_eq!(finished.output, Output::Bytes(input));
}

#[tokio::test]
async fn a_program_may_leave_its_input_unread() {
    let finished = run("echo done", &vec![b'x'; MAX_PAYLOAD_BYTES]).await;
    assert_eq!(text(&finished), "done\n");
}

#[tokio::test]
async fn the_environment_is_set_and_taken_away() {
    assert_eq!(text(&run("echo $GIVEN${HOME+home}", b"").await), "here\n");
}

#[tokio::test]
async fn exit_status_and_signal_are_told() {
    let finished = run("echo oops >&2; exit 65", b"").await;
    assert_eq!((finished.status.code(), finished.stderr_tail.as_str()), (Some(65), "oops"));
    assert_eq!(run("kill -9 $$", b"").await.status.signal(), Some(9));
}

#[tokio::test]
async fn descriptor_three_gives_progress_and_checkpoints_in_order() {
    let script =
        r#"echo '{"progress": 0.5, "phase": "executing"}' >&3; echo nonsense >&3; printf '{"checkpoint": [1]}' >&3"#;
    let (finished, controls) = sh(script, b"", &CancellationToken::new()).await;
    assert!(finished.status.success());
    assert_eq!(controls.len(), 2);
    assert_eq!(controls[0].progress.as_ref().and_then(|progress| progress.fraction), Some(0.5));
    assert_eq!(controls[1].checkpoint, Some(json!([1])));
}

#[tokio::test]
async fn an_overlong_line_on_descriptor_three_is_skipped() {
    let script = r#"head -c 1100000 /dev/zero | tr '\0' x >&3; echo >&3; echo '{"progress": 1}' >&3"#;
    let (_, controls) = sh(script, b"", &CancellationToken::new()).await;
    assert_eq!(controls.len(), 1);
}

#[tokio::test]
async fn an_endless_output_stops_the_program() {
    assert_eq!(run("yes", b"").await.output, Output::TooLarge);
}

#[tokio::test]
async fn cancelling_lets_the_program_clean_up() {
    let cancel = CancellationToken::new();
    let script = r#"trap 'echo cleaned; exit 7' TERM; echo '{"progress": 0}' >&3; while :; do sleep 0.05; done"#;
    let finished = cancel_when_ready(script, &cancel).await;
    assert!(finished.cancelled);
    assert_eq!((finished.status.code(), text(&finished)), (Some(7), "cleaned\n"));
}

#[tokio::test]
async fn a_program_that_ignores_sigterm_is_killed() {
    let cancel = CancellationToken::new();
    let script = r#"trap '' TERM; echo '{"progress": 0}' >&3; while :; do sleep 0.05; done"#;
    let started = Instant::now();
    let finished = cancel_when_ready(script, &cancel).await;
    assert!(finished.cancelled && finished.status.signal() == Some(9));
    assert!(started.elapsed() >= Duration::from_millis(300));
}

#[tokio::test]
async fn what_a_program_leaves_running_is_killed_with_it() {
    let finished = run("sleep 1000 & echo $!", b"").await;
    let left: i32 = text(&finished).trim().parse().unwrap();
    eventually_gone(left).await;
}

#[tokio::test]
async fn a_dropped_run_kills_the_program_and_what_it_started() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let script = format!("sleep 1000 & echo $! > {}; wait", file.path().display());
    let program = program(&script, Duration::from_secs(60));
    let job = Job { input: Vec::new(), environment: Vec::new(), label: String::new() };
    let (sender, _receiver) = mpsc::channel(1);
    let started = async {
        loop {
            if let Ok(pid) = std::fs::read_to_string(file.path()).unwrap().trim().parse::<i32>() {
                return pid;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    let cancel = CancellationToken::new();
    let pid = tokio::select! {
        _ = program.run(&job, &cancel, sender) => panic!("it ended by itself"),
        pid = started => pid,
    };
    eventually_gone(pid).await;
}

#[tokio::test]
async fn a_program_that_does_not_exist_is_an_error() {
    let program = Program { command: vec!["/no/such/program".into()], kill_after: Duration::ZERO, guard: None };
    let job = Job { input: Vec::new(), environment: Vec::new(), label: String::new() };
    let error = program.run(&job, &CancellationToken::new(), mpsc::channel(1).0).await.unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::NotFound);
}

/// Runs a script and cancels it as soon as it has said something on descriptor 3.
async fn cancel_when_ready(script: &str, cancel: &CancellationToken) -> Finished {
    let program = program(script, Duration::from_millis(300));
    let job = Job { input: Vec::new(), environment: Vec::new(), label: String::new() };
    let (sender, mut receiver) = mpsc::channel(1);
    let cancel_it = async {
        receiver.recv().await;
        cancel.cancel();
        while receiver.recv().await.is_some() {}
    };
    tokio::join!(program.run(&job, cancel, sender), cancel_it).0.unwrap()
}

/// Waits until a process is gone, or a zombie that its new parent has not reaped yet.
async fn eventually_gone(pid: i32) {
    for _ in 0..500 {
        match std::fs::read_to_string(format!("/proc/{pid}/stat")) {
            Ok(stat) if !stat.contains(") Z") => tokio::time::sleep(Duration::from_millis(10)).await,
            _ => return,
        }
    }
    panic!("process {pid} still runs");
}
