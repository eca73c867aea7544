//! `callboard work` against a scripted server: one assignment, and what is reported of it.
#![cfg(unix)]
#![allow(clippy::unwrap_used, clippy::panic)]

use std::pin::Pin;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{self, Receiver, Sender};
use std::time::Duration;

use callboard_proto::v1::agent_service_server::{AgentService, AgentServiceServer};
use callboard_proto::v1::attach_request::Frame as FromAgent;
use callboard_proto::v1::attach_response::Frame as ToAgent;
use callboard_proto::v1::report::Kind;
use callboard_proto::v1::{self, Payload, payload::Content};
use rustix::process::{Pid, Signal, kill_process, test_kill_process};
use tokio::net::TcpListener;
use tokio_stream::wrappers::{ReceiverStream, TcpListenerStream};
use tonic::{Request, Response, Status, Streaming};

const TASK: &str = "01989b0e-3c1a-7000-8000-0000aabbccdd";

/// Longer than anything here takes, also on a busy machine.
const PATIENCE: Duration = Duration::from_secs(30);

struct Fake {
    assignment: v1::Assignment,
    reports: Sender<Kind>,
}

type Answer<'f, T> = Pin<Box<dyn Future<Output = Result<Response<T>, Status>> + Send + 'f>>;

/// Spelt out as `async_trait` would, which doesn't look into macros.
macro_rules! not_scripted {
    ($($method:ident($request:ident) -> $response:ident;)*) => { $(
        fn $method<'a, 'f>(&'a self, _: Request<v1::$request>) -> Answer<'f, v1::$response>
        where
            'a: 'f,
            Self: 'f,
        {
            Box::pin(async { Err(Status::unimplemented(stringify!($method))) })
        }
    )* };
}

#[tonic::async_trait]
impl AgentService for Fake {
    type AttachStream = ReceiverStream<Result<v1::AttachResponse, Status>>;

    async fn attach(
        &self,
        request: Request<Streaming<v1::AttachRequest>>,
    ) -> Result<Response<Self::AttachStream>, Status> {
        let (sender, receiver) = tokio::sync::mpsc::channel(16);
        let (assignment, reports) = (self.assignment.clone(), self.reports.clone());
        let script = follow_script(request.into_inner(), sender, assignment, reports);
        let _running = tokio::runtime::Handle::current().spawn(script);
        Ok(Response::new(ReceiverStream::new(receiver)))
    }

    not_scripted! {
        claim_tasks(ClaimTasksRequest) -> ClaimTasksResponse;
        heartbeat_task(HeartbeatTaskRequest) -> HeartbeatTaskResponse;
        complete_task(CompleteTaskRequest) -> CompleteTaskResponse;
        fail_task(FailTaskRequest) -> FailTaskResponse;
        create_child(CreateChildRequest) -> CreateChildResponse;
        get_agent(GetAgentRequest) -> GetAgentResponse;
        list_agents(ListAgentsRequest) -> ListAgentsResponse;
        cordon_agent(CordonAgentRequest) -> CordonAgentResponse;
        uncordon_agent(UncordonAgentRequest) -> UncordonAgentResponse;
        remove_agent(RemoveAgentRequest) -> RemoveAgentResponse;
    }
}

/// Welcomes the agent, gives it the task, commits what it reports, and ends the stream when it drains.
async fn follow_script(
    mut agent: Streaming<v1::AttachRequest>,
    to_agent: tokio::sync::mpsc::Sender<Result<v1::AttachResponse, Status>>,
    assignment: v1::Assignment,
    reports: Sender<Kind>,
) -> Option<()> {
    let send = async |frame| to_agent.send(Ok(v1::AttachResponse { frame: Some(frame) })).await.ok();
    while let Ok(Some(request)) = agent.message().await {
        match request.frame? {
            FromAgent::Hello(_) => {
                let features = ["progress", "checkpoint", "slots", "drain"].map(str::to_owned).to_vec();
                let lease = Some(prost_types::Duration { seconds: 10, nanos: 0 });
                let max_payload_bytes = 1 << 20;
                let welcome =
                    v1::Welcome { session_epoch: 1, lease, features, max_payload_bytes, ..v1::Welcome::default() };
                send(ToAgent::Welcome(welcome)).await?;
                let assignments = vec![assignment.clone()];
                send(ToAgent::Assignments(v1::AssignmentBatch { assignments })).await?;
            }
            FromAgent::Reports(batch) => {
                let receipts = batch.reports.iter().map(|report| v1::Receipt {
                    report_id: report.report_id,
                    attempt: report.attempt.clone(),
                    status: v1::ReceiptStatus::Committed.into(),
                    ..v1::Receipt::default()
                });
                send(ToAgent::Receipts(v1::ReceiptBatch { receipts: receipts.collect() })).await?;
                batch.reports.into_iter().filter_map(|report| report.kind).for_each(|kind| drop(reports.send(kind)));
            }
            FromAgent::Drain(_) => return Some(()),
            FromAgent::Messages(_)
            | FromAgent::Acknowledgements(_)
            | FromAgent::Heartbeat(_)
            | FromAgent::Slots(_)
            | FromAgent::Awaits(_) => {}
        }
    }
    Some(())
}

/// A `work` that runs `script` for one task. Killed, if need be, at the end of the test.
struct Work {
    child: Child,
    reports: Receiver<Kind>,
    _runtime: tokio::runtime::Runtime,
}

impl Work {
    fn start(script: &str, assignment: v1::Assignment) -> Self {
        let (sender, reports) = mpsc::channel();
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let service = AgentServiceServer::new(Fake { assignment, reports: sender });
        let server = tonic::transport::Server::builder().add_service(service);
        let _running = runtime.handle().spawn(server.serve_with_incoming(TcpListenerStream::new(listener)));
        let child = Command::new(env!("CARGO_BIN_EXE_callboard"))
            .args(["work", "--type", "t", "--address", &address, "--", "/bin/sh", "-c", script])
            .stdin(Stdio::null())
            .spawn()
            .unwrap();
        Self { child, reports, _runtime: runtime }
    }

    /// The next report, progress aside.
    fn report(&self) -> Kind {
        loop {
            match self.reports.recv_timeout(PATIENCE).unwrap() {
                Kind::Progress(_) => {}
                kind => return kind,
            }
        }
    }

    fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }
}

impl Drop for Work {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn text(content_type: &str, text: &str) -> Payload {
    Payload { content_type: content_type.into(), content: Some(Content::Text(text.into())), ..Payload::default() }
}

fn assignment() -> v1::Assignment {
    let lease_token = "0123456789abcdef0123456789abcdef".into();
    let spec = v1::TaskSpec { r#type: "t".into(), input: Some(text("text/plain", "hello")), ..v1::TaskSpec::default() };
    v1::Assignment {
        attempt: Some(v1::Attempt { task_id: TASK.into(), attempt: 2, lease_token }),
        namespace: "default".into(),
        spec: Some(spec),
        run: 1,
        checkpoint: Some(text("application/json", r#"{"page":3}"#)),
        dependencies: vec![v1::DependencyResult {
            task_id: "d".into(),
            state: v1::TaskState::Completed.into(),
            result: Some(text("application/json", "[1.50]")),
            name: "draft".into(),
            ..v1::DependencyResult::default()
        }],
        ..v1::Assignment::default()
    }
}

#[test]
fn a_program_does_a_task_and_sigterm_drains() {
    let script = r#"
        echo '{"progress": 0.5, "message": "half way"}' >&3
        echo '{"checkpoint": {"page": 4}}' >&3
        tr a-z A-Z
        echo " $CALLBOARD_TASK_ID $CALLBOARD_ATTEMPT"
        cat "$CALLBOARD_CHECKPOINT_FILE" "$CALLBOARD_DEPENDENCIES_FILE""#;
    let mut work = Work::start(script, assignment());
    assert!(matches!(work.report(), Kind::Accepted(_)));
    match work.report() {
        Kind::Checkpoint(checkpoint) => assert_eq!(checkpoint.data, Some(text("application/json", r#"{"page":4}"#))),
        other => panic!("{other:?}"),
    }
    let Kind::Completed(completion) = work.report() else { panic!("not completed") };
    let result = completion.result.unwrap();
    assert_eq!(result.content_type, "text/plain");
    let Some(Content::Text(output)) = result.content else { panic!("no text") };
    assert!(output.starts_with(&format!("HELLO {TASK} 2\n{{\"page\":3}}[{{")), "{output}");
    assert!(output.contains(r#""state":"completed""#) && output.contains(r#""value":[1.50]"#), "{output}");
    assert!(output.contains(r#""name":"draft""#), "{output}");

    work.signal(Signal::TERM);
    assert!(work.child.wait().unwrap().success());
}

#[test]
fn a_program_that_fails_for_good_says_so() {
    let work = Work::start("echo 'no such page' >&2; exit 65", assignment());
    assert!(matches!(work.report(), Kind::Accepted(_)));
    let Kind::Failed(report) = work.report() else { panic!("not failed") };
    let failure = report.failure.unwrap();
    assert_eq!((failure.r#type.as_str(), failure.retryable), ("ProgramFailed", Some(false)));
    assert_eq!(failure.message, "exit status 65\nno such page");
}

#[test]
fn programs_do_not_outlive_a_work_that_is_killed() {
    let file = tempfile::NamedTempFile::new().unwrap();
    // The program and its child; both are in the file when the checkpoint is reported.
    let script =
        format!(r#"sleep 1000 & echo "$$ $!" > {}; echo '{{"checkpoint": 1}}' >&3; wait"#, file.path().display());
    let work = Work::start(&script, assignment());
    while !matches!(work.report(), Kind::Checkpoint(_)) {}
    let pids: Vec<i32> =
        std::fs::read_to_string(file.path()).unwrap().split_whitespace().map(|pid| pid.parse().unwrap()).collect();
    assert_eq!(pids.len(), 2);
    work.signal(Signal::KILL);
    for pid in pids {
        eventually_gone(pid);
    }
}

/// Waits until a process is gone, or a zombie that its new parent has not reaped yet.
fn eventually_gone(pid: i32) {
    for _ in 0..500 {
        let zombie = std::fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| stat.contains(") Z"));
        if zombie || test_kill_process(Pid::from_raw(pid).unwrap()).is_err() {
            return;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    panic!("process {pid} still runs");
}
