//! `callboard work`: any program is an agent.

use callboard::v1::{self, EventType, TaskState};
use callboard::{Client, NewTask};
use callboard_tests::program::{self, Program};
use callboard_tests::server::Server;
use callboard_tests::{text_of, wait};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

fn work(server: &Server, args: &[&str], script: &str) -> Program {
    let mut command = program::command(program::callboard());
    command.args(["work", "--type", "t", "--name", "worker"]).args(args).args(["--", "sh", "-c", script]);
    Program::start(server, &mut command)
}

async fn run(client: &Client, new: NewTask) -> v1::Task {
    wait::soon("the task's end", client.run_until_ended(new, None)).await.unwrap()
}

#[tokio::test]
async fn input_output_and_what_it_is_told() {
    let server = Server::start().await;
    let client = server.client();
    let _agent = work(
        &server,
        &["--skill", "shell", "--slots", "2"],
        "tr a-z A-Z; printf ' %s %s' $CALLBOARD_TASK_TYPE $CALLBOARD_METADATA_WHO",
    );
    let new = NewTask::new("t").input("hello").unwrap().skill("shell").metadata("who", "me");
    let task = run(&client, new).await;
    assert_eq!((task.state(), text_of(task.result.as_ref()).as_str()), (TaskState::Completed, "HELLO t me"));
    let agent = client.get_agent("worker").await.unwrap().profile.unwrap();
    assert_eq!((agent.slots, agent.agent_type.as_str()), (2, "work"));
}

#[tokio::test]
async fn exit_codes_decide() {
    let server = Server::start().await;
    let client = server.client();
    let script = r#"code=$(cat); [ "$CALLBOARD_ATTEMPT" = 2 ] && code=0; echo "so it goes" >&2; exit "$code""#;
    let _agent = work(&server, &[], script);
    let quick = v1::RetryPolicy { initial_backoff: callboard_tests::seconds(0.05), ..Default::default() };
    let new = |code: &str| NewTask::new("t").input(code).unwrap().retry_policy(quick.clone());
    let task = run(&client, new("65")).await;
    let failure = task.failure.clone().unwrap();
    assert_eq!((task.state(), task.attempt, failure.r#type.as_str()), (TaskState::Failed, 1, "ProgramFailed"));
    assert!(failure.message.contains("so it goes"), "{failure:?}");
    let task = run(&client, new("1")).await;
    assert_eq!((task.state(), task.attempt), (TaskState::Completed, 2), "anything else is retried");
}

#[tokio::test]
async fn progress_and_checkpoints_come_on_descriptor_3() {
    let server = Server::start().await;
    let client = server.client();
    let gate = server.directory().join("gate");
    let script = format!(
        r#"
        if [ -n "$CALLBOARD_CHECKPOINT_FILE" ]; then cat "$CALLBOARD_CHECKPOINT_FILE"; exit 0; fi
        echo '{{"progress": 0.5, "phase": "executing", "message": "half way"}}' >&3
        echo '{{"checkpoint": {{"page": 4}}}}' >&3
        while [ ! -e {} ]; do sleep 0.05; done
        exit 1"#,
        gate.display()
    );
    let _agent = work(&server, &[], &script);
    let quick = v1::RetryPolicy { initial_backoff: callboard_tests::seconds(0.05), ..Default::default() };
    let id = client.create(NewTask::new("t").retry_policy(quick)).await.unwrap().task_id;
    wait::event_type(&client, &id, EventType::Checkpointed).await;
    let task =
        wait::look("the progress", || async { client.get(&id).await.ok().filter(|task| task.progress > 0.4) }).await;
    assert_eq!((task.phase.as_str(), task.progress_message.as_str()), ("executing", "half way"));
    std::fs::write(gate, "").unwrap();
    let task = wait::ended(&client, &id).await;
    assert_eq!((task.attempt, text_of(task.result.as_ref()).trim()), (2, r#"{"page":4}"#));
}

#[tokio::test]
async fn a_cancelled_program_gets_sigterm_and_then_sigkill() {
    let server = Server::start().await;
    let client = server.client();
    let mark = server.directory().join("terminated");
    let ready = server.directory().join("ready");
    let (marks, says) = (mark.display(), ready.display());
    let script = format!("trap 'echo > {marks}' TERM; echo > {says}; while :; do sleep 0.1; done");
    let _agent = work(&server, &["--kill-after", "500ms"], &script);
    let id = client.create(NewTask::new("t")).await.unwrap().task_id;
    wait::started(&client, &id).await;
    // A shell that has not come to its trap yet would just die.
    wait::look("the trap", || async { ready.exists().then_some(()) }).await;
    client.cancel(&id, "enough").await.unwrap();
    assert_eq!(wait::ended(&client, &id).await.state(), TaskState::Cancelled);
    assert!(mark.exists(), "SIGTERM came first");
    let again = client.create(NewTask::new("t")).await.unwrap().task_id;
    wait::started(&client, &again).await;
}

#[tokio::test]
async fn sigterm_drains() {
    let server = Server::start().await;
    let client = server.client();
    let gate = server.directory().join("gate");
    let mut agent = work(&server, &[], &format!("while [ ! -e {} ]; do sleep 0.05; done; echo done", gate.display()));
    let id = client.create(NewTask::new("t")).await.unwrap().task_id;
    wait::started(&client, &id).await;
    agent.terminate();
    wait::agent_state(&client, "worker", v1::AgentState::Draining).await;
    let left = client.create(NewTask::new("t")).await.unwrap().task_id;
    std::fs::write(gate, "").unwrap();
    assert!(agent.ended().await.success());
    assert_eq!(wait::ended(&client, &id).await.state(), TaskState::Completed);
    assert_eq!(client.get(&left).await.unwrap().state(), TaskState::Ready);
}

#[tokio::test]
async fn it_answers_probes() {
    let server = Server::start().await;
    for given in [["--health", "127.0.0.1:0"].as_slice(), &[]] {
        let mut command = program::command(program::callboard());
        command.args(["work", "--type", "t", "--name", "probed"]).args(given).args(["--", "cat"]);
        if given.is_empty() {
            command.env("CALLBOARD_HEALTH", "127.0.0.1:0");
        }
        let mut agent = Program::start(&server, &mut command);
        let address = wait::look("where it answers", || async {
            let said = agent.output();
            let address = said.lines().find_map(|line| line.split_once("answering probes address="))?.1;
            Some(address.to_owned())
        });
        let address = address.await;
        wait::look("it to be ready", || async {
            let mut stream = TcpStream::connect(&address).await.ok()?;
            stream.write_all(b"GET /readyz HTTP/1.1\r\n\r\n").await.ok()?;
            let mut answer = String::new();
            stream.read_to_string(&mut answer).await.ok()?;
            answer.ends_with("attached").then_some(())
        })
        .await;
        agent.terminate();
        assert!(agent.ended().await.success());
    }
}
