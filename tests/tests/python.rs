//! Real Python programs with the SDK.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use callboard::NewTask;
use callboard::v1::{self, AgentState, TaskState};
use callboard_tests::agent::RawAgent;
use callboard_tests::mail::{mail_hello, message};
use callboard_tests::program::{self, Program};
use callboard_tests::server::Server;
use callboard_tests::{text_of, wait};
use serde_json::{Value, json};

/// The Python blocks of the SDK's README, in their order.
fn readme() -> Vec<String> {
    let text = std::fs::read_to_string(program::root().join("sdk/python/README.md")).unwrap();
    let blocks = text.split("```python\n").skip(1).filter_map(|rest| rest.split("```").next());
    blocks.map(str::to_owned).collect()
}

#[tokio::test]
async fn the_readmes_agent_and_submit_work_as_printed() {
    let server = Server::start().await;
    let blocks = readme();
    let (agent, submit) = (&blocks[0], &blocks[1]);
    assert!(agent.lines().count() <= 10 && submit.lines().count() <= 3, "ten lines and three are promised");
    let mut agent = Program::python(&server, agent);
    let mut submit = Program::python(&server, submit);
    assert!(submit.ended().await.success(), "{}", submit.output());
    assert_eq!(submit.output().trim(), "Hello, Ada!");
    agent.terminate();
    assert!(agent.ended().await.success(), "SIGTERM drains: {}", agent.output());
}

/// An agent that answers every message; one that fails the first time, and is tried again.
const ANSWERER: &str = r#"
from callboard import Agent

agent = Agent("answerer", name="py")
failed = set()

@agent.task("tell")
def tell(input, ctx):
    receipt = ctx.send(input["to"], input["text"], headers={"task": ctx.task_id})
    return receipt.sequence

@agent.on_message
def answer(message, ctx):
    if message.body == "twice" and message.id not in failed:
        failed.add(message.id)
        raise RuntimeError("not yet")
    ctx.send(message.agent, {"answer": message.body}, headers={"correlation_id": message.id})

agent.run()
"#;

#[tokio::test]
async fn an_agent_in_python_answers_messages() {
    let asynchronous = ANSWERER
        .replace("def answer", "async def answer")
        .replace("    ctx.send(message", "    await ctx.send(message");
    for script in [ANSWERER, &asynchronous] {
        let server = Server::start().await;
        let mut ann = RawAgent::attach(&server, mail_hello("ann")).await.unwrap();
        let mut agent = Program::python(&server, script);
        wait::agent_state(&server.client(), "py", AgentState::Attached).await;
        let input = json!({"to": "ann", "text": "from a task"});
        let sequence: i64 = server.client().run(NewTask::new("tell").input(&input).unwrap()).await.unwrap();
        assert_eq!(sequence, 1);
        let told = ann.message().await;
        assert_eq!((text_of(told.payload.as_ref()).as_str(), told.agent.as_str()), ("from a task", "py"));
        let first = ann.send("r1", message("py", "twice")).await.message.unwrap();
        let second = ann.send("r2", message("py", "once")).await.message.unwrap();
        for (asked, text) in [(first, "twice"), (second, "once")] {
            let answer = ann.message().await;
            assert_eq!(text_of(answer.payload.as_ref()), format!("{{\"answer\":\"{text}\"}}"));
            assert_eq!(answer.headers["correlation_id"], asked.message_id);
        }
        agent.terminate();
        assert!(agent.ended().await.success(), "{}", agent.output());
        assert!(server.messages().await.waiting("py").await.is_empty(), "all are acknowledged");
    }
}

/// An agent with a handler for each thing that is tried.
const HANDLERS: &str = r#"
import asyncio, os, time
from callboard import Agent, TaskError

agent = Agent("tester", name="py", slots=4)

@agent.task("sync")
def sync(input, ctx):
    ctx.progress(0.5, phase="executing", message="half way")
    return {"input": input, "attempt": ctx.attempt, "type": ctx.type}

@agent.task("async")
async def asynchronous(input, ctx):
    await asyncio.sleep(0)
    return input

@agent.task("echo_bytes")
def echo_bytes(input):
    assert isinstance(input, bytes), type(input)
    return input

@agent.task("checkpoint")
async def checkpoint(input, ctx):
    done = ctx.checkpoint or 0
    if done < 2:
        await ctx.save_checkpoint(done + 1)
        raise RuntimeError("not yet")
    return done

@agent.task("no")
def no(input):
    raise TaskError("it is private", type="NoAccess", retryable=False)

@agent.task("sum")
def total(input, ctx):
    return sum(d.value for d in ctx.dependencies)

@agent.task("wait_sync")
def wait_sync(input, ctx):
    while True:
        ctx.check_cancelled()
        time.sleep(0.01)

@agent.task("wait_async")
async def wait_async(input, ctx):
    await asyncio.sleep(3600)

@agent.task("burn")
def burn(input):
    end = time.monotonic() + input
    n = 0
    while time.monotonic() < end:
        n += 1
    return n > 0

@agent.task("gate")
def gate(input):
    while not os.path.exists(input):
        time.sleep(0.02)
    return "through"

agent.run()
"#;

fn quick(task_type: &str, input: Value) -> NewTask {
    let policy = v1::RetryPolicy { initial_backoff: callboard_tests::seconds(0.02), ..Default::default() };
    NewTask::new(task_type).input(&input).unwrap().retry_policy(policy)
}

#[tokio::test]
async fn handlers_values_progress_checkpoints_and_failures() {
    let server = Server::start().await;
    let client = server.client();
    let _agent = Program::python(&server, HANDLERS);
    let run = async |new: NewTask| wait::soon("a result", client.run::<Value>(new)).await.unwrap();
    let input = json!({ "name": "Ada", "big": 12345678901234567890u64, "text": "NUL \u{0} 𝄞" });
    assert_eq!(run(quick("sync", input.clone())).await, json!({ "input": input, "attempt": 1, "type": "sync" }));
    assert_eq!(run(quick("async", json!([1, "é", null]))).await, json!([1, "é", null]));
    assert_eq!(run(quick("checkpoint", json!(null))).await, json!(2));
    let bytes = NewTask::new("echo_bytes").input(&callboard::Bytes(vec![0, 255])).unwrap();
    let back: callboard::Bytes = wait::soon("a result", client.run(bytes)).await.unwrap();
    assert_eq!(back.0, [0, 255]);

    let failed = wait::soon("the end", client.run_until_ended(quick("no", json!(1)), None)).await.unwrap();
    let failure = failed.failure.unwrap();
    assert_eq!((failed.state, failed.attempt), (TaskState::Failed.into(), 1));
    assert_eq!((failure.r#type.as_str(), failure.message.as_str()), ("NoAccess", "it is private"));

    let parts = client.create_all((1..=3).map(|n| quick("async", json!(n)))).await.unwrap();
    let sum = parts.iter().fold(quick("sum", json!(null)), |new, part| new.depends_on(&part.task_id));
    assert_eq!(run(sum).await, json!(6));
}

#[tokio::test]
async fn cancellation_reaches_sync_and_async_handlers() {
    let server = Server::start().await;
    let client = server.client();
    let _agent = Program::python(&server, HANDLERS);
    for kind in ["wait_sync", "wait_async"] {
        let id = client.create(quick(kind, json!(null))).await.unwrap().task_id;
        wait::started(&client, &id).await;
        client.cancel(&id, "enough").await.unwrap();
        let task = wait::ended(&client, &id).await;
        assert_eq!(task.state(), TaskState::Cancelled, "{kind}");
        assert_eq!(client.history(&id).await.unwrap().last().unwrap().reason, "enough");
    }
}

#[tokio::test]
async fn a_sync_handler_that_burns_its_processor_for_three_leases_keeps_its_attempt() {
    let server = Server::with("--stream-lease 1s --reattach-grace 1s --restart-grace 0s").await;
    let client = server.client();
    let _agent = Program::python(&server, HANDLERS);
    let id = client.create(quick("burn", json!(3.2))).await.unwrap().task_id;
    let task = wait::ended(&client, &id).await;
    assert_eq!((task.state(), task.attempt), (TaskState::Completed, 1), "{task:?}");
    assert_eq!(client.get_agent("py").await.unwrap().session_epoch, 1, "its stream was never lost");
}

#[tokio::test]
async fn sigterm_drains_and_running_handlers_end() {
    let server = Server::start().await;
    let client = server.client();
    let mut agent = Program::python(&server, HANDLERS);
    let gate = server.directory().join("gate");
    let id = client.create(quick("gate", json!(gate.display().to_string()))).await.unwrap().task_id;
    wait::started(&client, &id).await;
    agent.terminate();
    wait::agent_state(&client, "py", AgentState::Draining).await;
    let left = client.create(quick("async", json!(1))).await.unwrap().task_id;
    std::fs::write(&gate, "").unwrap();
    assert!(agent.ended().await.success(), "{}", agent.output());
    let task = wait::ended(&client, &id).await;
    assert_eq!(text_of(task.result.as_ref()), "through");
    assert_eq!(client.get(&left).await.unwrap().state(), TaskState::Ready);
    wait::agent_state(&client, "py", AgentState::Detached).await;
}

#[tokio::test]
async fn the_client_does_what_the_server_can() {
    let server = Server::start().await;
    let script = r#"
from callboard import AlreadyExists, Client, InvalidArgument, NotFound, TaskError, TaskFailed

with Client() as client:
    a = client.create("t", {"n": 1}, key="k", tags=["x"], priority="HIGH")
    b = client.create("t", depends_on=[a])
    try:
        client.create("t", key="k", key_conflict="FAIL")
        raise SystemExit("a taken key was given away")
    except AlreadyExists as error:
        assert error.reason == "KEY_EXISTS", error
    try:
        client.create("not a type")
        raise SystemExit("nonsense was taken")
    except InvalidArgument as error:
        assert error.violations[0].field == "task.type", error
    try:
        client.get("01989b0e-3c1a-7000-8000-0000dddddddd")
        raise SystemExit("nothing was found")
    except NotFound as error:
        assert error.reason == "TASK_NOT_FOUND", error
    assert [task.id for task in client.list(tags=["x"])] == [a.task_id]
    client.hold(a); client.release(a); client.update(a, priority="LOW")
    [first] = client.claim("py", ["t"], wait=5)
    assert (first.task_id, first.input) == (a.task_id, {"n": 1}), first
    assert not client.heartbeat(first, progress=0.5, checkpoint=[1]).cancel_requested
    client.complete(first, {"done": True})
    [second] = client.claim("py", ["t"], wait=5)
    assert second.task_id == b.task_id and second.dependencies[0].value == {"done": True}, second
    client.fail(second, TaskError("no", type="No", retryable=False))
    try:
        client.result(b)
        raise SystemExit("a failed task gave a result")
    except TaskFailed as error:
        assert error.task.failure.type == "No", error
    assert client.result(a) == {"done": True}
    seen = [event.type for event in client.watch(a, until_ended=True)]
    assert seen == [event.type for event in client.history(a)], seen
    client.cancel(client.retry(b))
    print("done")
"#;
    let mut program = Program::python(&server, script);
    assert!(program.ended().await.success(), "{}", program.output());
    assert_eq!(program.output().trim(), "done");
}

#[tokio::test]
async fn a_killed_agents_task_goes_to_another() {
    let server = Server::with("--reattach-grace 500ms --restart-grace 0s").await;
    let client = server.client();
    let mut first = Program::python(&server, HANDLERS);
    let gate = server.directory().join("gate");
    let id = client.create(quick("gate", json!(gate.display().to_string()))).await.unwrap().task_id;
    wait::started(&client, &id).await;
    first.kill_9();
    first.ended().await;
    std::fs::write(&gate, "").unwrap();
    let _second = Program::python(&server, &HANDLERS.replace("name=\"py\"", "name=\"py2\""));
    let task = wait::ended(&client, &id).await;
    assert_eq!((task.state(), task.attempt, task.agent.as_str()), (TaskState::Completed, 2, "py2"));
}
