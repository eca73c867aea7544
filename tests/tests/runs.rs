//! `RunTasks`: many tasks over one stream, each created or refused by itself, each told once when it has ended.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use callboard::Client;
use callboard::v1::task_outcome::Outcome;
use callboard::v1::{self, RunTasksRequest, RunTasksResponse, TaskOutcome, TaskRun, TaskSpec, TaskState};
use callboard_tests::server::Server;
use callboard_tests::{claim, refusal, text_of, wait};
use prost::Message;
use std::collections::BTreeMap;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Code, Status, Streaming};

/// A stream of runs, frame by frame.
struct Runs {
    said: mpsc::Sender<RunTasksRequest>,
    heard: Streaming<RunTasksResponse>,
}

impl Runs {
    /// Begins with an empty frame.
    async fn open(server: &Server) -> Self {
        Self::open_with(server, RunTasksRequest::default()).await.unwrap()
    }

    async fn open_with(server: &Server, first: RunTasksRequest) -> Result<Self, Status> {
        let (said, frames) = mpsc::channel(4);
        said.send(first).await.unwrap();
        let heard = server.tasks().await.run_tasks(ReceiverStream::new(frames)).await?.into_inner();
        Ok(Self { said, heard })
    }

    async fn ask(&self, runs: impl IntoIterator<Item = TaskRun>) {
        let frame = RunTasksRequest { runs: runs.into_iter().collect(), ..Default::default() };
        self.said.send(frame).await.unwrap();
    }

    async fn forget(&self, id: &str) {
        let frame = RunTasksRequest { forgotten_ids: vec![id.to_owned()], ..Default::default() };
        self.said.send(frame).await.unwrap();
    }

    /// So many outcomes, by the id of their run; none twice.
    async fn outcomes(&mut self, count: usize) -> BTreeMap<String, Outcome> {
        let mut all = BTreeMap::new();
        while all.len() < count {
            let frame = wait::soon("outcomes", self.heard.message()).await.unwrap().expect("the stream goes on");
            for TaskOutcome { request_id, outcome } in frame.outcomes {
                assert_eq!(all.insert(request_id, outcome.unwrap()), None, "an outcome came twice");
            }
        }
        all
    }

    /// What ends the stream.
    async fn end(&mut self) -> Option<Status> {
        loop {
            match wait::soon("the stream's end", self.heard.message()).await {
                Ok(Some(frame)) => assert!(frame.outcomes.is_empty(), "an outcome before the end: {frame:?}"),
                Ok(None) => return None,
                Err(status) => return Some(status),
            }
        }
    }
}

fn ask(id: impl Into<String>, task_type: &str) -> TaskRun {
    let task = Some(TaskSpec { r#type: task_type.into(), ..Default::default() });
    TaskRun { request_id: id.into(), task }
}

fn task(outcome: &Outcome) -> &v1::Task {
    match outcome {
        Outcome::Task(task) => task,
        Outcome::Status(status) => panic!("refused: {:?}", read(status)),
    }
}

/// A refusal, as a call would have had it.
fn read(bytes: &[u8]) -> Status {
    let status = tonic_types::Status::decode(bytes).unwrap();
    Status::with_details(Code::from(status.code), status.message, bytes.to_vec().into())
}

fn status(outcome: &Outcome) -> Status {
    match outcome {
        Outcome::Status(bytes) => read(bytes),
        Outcome::Task(task) => panic!("not refused: {task:?}"),
    }
}

/// Completes so many tasks of type `t`, with their own ids as results.
async fn work(client: &Client, count: usize) {
    for _ in 0..count {
        let lease = claim::lease(client, "ann", "t").await;
        claim::complete(client, &lease, &lease.task_id).await.unwrap();
    }
}

#[tokio::test]
async fn each_run_has_its_outcome_once() {
    let server = Server::start().await;
    let client = server.client();
    let mut runs = Runs::open(&server).await;
    runs.ask((0..10).map(|n| ask(format!("r{n}"), "t"))).await;
    runs.ask((10..20).map(|n| ask(format!("r{n}"), "t"))).await;
    work(&client, 20).await;
    let outcomes = runs.outcomes(20).await;
    for (id, outcome) in &outcomes {
        let task = task(outcome);
        assert_eq!((task.state(), text_of(task.result.as_ref())), (TaskState::Completed, task.id.clone()), "{id}");
    }
    drop(runs.said);
    let mut heard = runs.heard;
    assert_eq!(wait::soon("the end", heard.message()).await.unwrap(), None, "it ends when its caller does");
}

#[tokio::test]
async fn one_that_is_refused_harms_no_other() {
    let server = Server::start().await;
    let client = server.client();
    let mut runs = Runs::open(&server).await;
    let missing = TaskRun { request_id: "missing".into(), task: None };
    let impossible = ask("impossible", "");
    runs.ask([ask("a", "t"), missing, impossible, ask("b", "t")]).await;
    work(&client, 2).await;
    let outcomes = runs.outcomes(4).await;
    assert_eq!(task(&outcomes["a"]).state(), TaskState::Completed);
    assert_eq!(task(&outcomes["b"]).state(), TaskState::Completed);
    for (id, field) in [("missing", "task"), ("impossible", "task.type")] {
        let details = refusal(&status(&outcomes[id]), Code::InvalidArgument, "INVALID_FIELD");
        assert_eq!(details.bad_request().unwrap().field_violations[0].field, field);
    }
    assert_eq!(client.list_page(Default::default()).await.unwrap().tasks.len(), 2);
}

#[tokio::test]
async fn a_run_asked_again_is_the_same_over_a_kill_and_by_a_call() {
    let mut server = Server::start().await;
    let client = server.client();
    let mut runs = Runs::open(&server).await;
    runs.ask((0..5).map(|n| ask(format!("r{n}"), "t"))).await;
    wait::look("the tasks", || async {
        (client.list_page(Default::default()).await.unwrap().tasks.len() == 5).then_some(())
    })
    .await;
    server.kill_9().await;
    assert!(runs.end().await.is_some());
    server.restart().await;
    work(&client, 2).await;
    let mut again = Runs::open(&server).await;
    again.ask((0..5).map(|n| ask(format!("r{n}"), "t"))).await;
    // Those that have ended already are told at once.
    assert_eq!(again.outcomes(2).await.len(), 2);
    work(&client, 3).await;
    again.outcomes(3).await;
    let by_call = v1::RunTaskRequest { request_id: "r0".into(), task: ask("r0", "t").task, ..Default::default() };
    let answer = server.tasks().await.run_task(by_call).await.unwrap().into_inner();
    assert!(answer.ended, "a call that asks for the same run is the same");
    assert_eq!(client.list_page(Default::default()).await.unwrap().tasks.len(), 5, "nothing was created twice");
    let other = ask("r0", "other");
    again.ask([other]).await;
    let outcomes = again.outcomes(1).await;
    refusal(&status(&outcomes["r0"]), Code::InvalidArgument, "REQUEST_ID_REUSED");
}

#[tokio::test]
async fn a_run_that_is_forgotten_goes_on_untold() {
    let server = Server::start().await;
    let client = server.client();
    let mut runs = Runs::open(&server).await;
    runs.ask([ask("gone", "t")]).await;
    let id = wait::look("the task", || async {
        client.list_page(Default::default()).await.unwrap().tasks.first().map(|task| task.id.clone())
    })
    .await;
    runs.forget("gone").await;
    runs.forget("never-there").await;
    runs.ask([ask("kept", "nobody"), ask("refused", "")]).await;
    // What was asked behind it is answered: it has been read.
    assert_eq!(runs.outcomes(1).await.keys().next().unwrap(), "refused");
    work(&client, 1).await;
    assert_eq!(client.get(&id).await.unwrap().state(), TaskState::Completed);
    client.cancel(&client.list_page(Default::default()).await.unwrap().tasks[0].id, "").await.unwrap();
    let outcomes = runs.outcomes(1).await;
    assert_eq!(task(&outcomes["kept"]).state(), TaskState::Cancelled, "only what was not forgotten is told");
}

#[tokio::test]
async fn of_two_runs_of_one_id_the_end_of_one_does_not_keep_the_other_from_being_forgotten() {
    let server = Server::start().await;
    let client = server.client();
    let mut runs = Runs::open(&server).await;
    runs.ask([ask("twice", "t")]).await;
    let id = wait::look("the task", || async {
        client.list_page(Default::default()).await.unwrap().tasks.first().map(|task| task.id.clone())
    })
    .await;
    // Not the same request: it is refused, and the first goes on.
    runs.ask([ask("twice", "other")]).await;
    refusal(&status(&runs.outcomes(1).await["twice"]), Code::InvalidArgument, "REQUEST_ID_REUSED");
    runs.forget("twice").await;
    runs.ask([ask("last", "t")]).await;
    work(&client, 2).await;
    let told = runs.outcomes(1).await;
    assert_ne!(task(&told["last"]).id, id);
    drop(runs.said);
    let mut heard = runs.heard;
    assert_eq!(wait::soon("the end", heard.message()).await.unwrap(), None, "nobody hears of what was forgotten");
}

#[tokio::test]
async fn one_run_too_many_is_refused_and_may_be_asked_again() {
    let server = Server::start().await;
    let mut runs = Runs::open(&server).await;
    for frame in 0..5 {
        let count = if frame == 4 { 97 } else { 1_000 };
        runs.ask((0..count).map(|n| ask(format!("{frame}-{n}"), "nobody"))).await;
    }
    let outcomes = runs.outcomes(1).await;
    let status = status(&outcomes["4-96"]);
    let details = refusal(&status, Code::ResourceExhausted, "LIMIT_REACHED");
    assert!(details.retry_info().unwrap().retry_delay.is_some(), "it says when to ask again");
}

#[tokio::test]
async fn frames_that_break_the_protocol_end_the_stream_and_create_nothing() {
    let server = Server::start().await;
    let client = server.client();
    let cases = [
        (vec![ask("a", "t"), ask("", "t")], "runs[1].request_id"),
        (vec![ask("a", "t"), ask("x".repeat(129), "t")], "runs[1].request_id"),
        ((0..1_001).map(|n| ask(n.to_string(), "t")).collect(), "runs"),
    ];
    for (frame, field) in cases {
        let mut runs = Runs::open(&server).await;
        runs.ask(frame).await;
        let details = refusal(&runs.end().await.unwrap(), Code::InvalidArgument, "INVALID_FIELD");
        assert_eq!(details.bad_request().unwrap().field_violations[0].field, field);
    }
    let elsewhere = RunTasksRequest { namespace: "nowhere".into(), ..Default::default() };
    let status = Runs::open_with(&server, elsewhere).await.err().unwrap();
    refusal(&status, Code::NotFound, "NAMESPACE_NOT_FOUND");
    assert!(client.list_page(Default::default()).await.unwrap().tasks.is_empty());
}

#[tokio::test]
async fn a_server_that_drains_sends_its_runs_elsewhere() {
    let mut server = Server::start().await;
    let mut runs = Runs::open(&server).await;
    runs.ask([ask("a", "nobody"), ask("refused", "")]).await;
    runs.outcomes(1).await;
    let ending = async { assert!(server.terminate().await.success()) };
    let (status, ()) = tokio::join!(runs.end(), ending);
    refusal(&status.unwrap(), Code::Unavailable, "DRAINING");
}

#[tokio::test]
async fn results_beyond_what_is_kept_for_a_reader_are_read_again() {
    let server = Server::start().await;
    let client = server.client();
    let mut runs = Runs::open(&server).await;
    // Together more than the 64 MiB that a server keeps for readers that are behind.
    let count = 70;
    runs.ask((0..count).map(|n| ask(n.to_string(), "t"))).await;
    let large = "x".repeat(1 << 20);
    for _ in 0..count {
        let lease = claim::lease(&client, "ann", "t").await;
        claim::complete(&client, &lease, &large).await.unwrap();
    }
    let outcomes = runs.outcomes(count).await;
    assert!(outcomes.values().all(|outcome| text_of(task(outcome).result.as_ref()) == large));
}
