//! Output of attempts: who watches sees each chunk once and in order, while the handler works and behind it.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use callboard::v1::report::Kind;
use callboard::v1::{self, ErrorReason, OutputBatch, OutputChunk, ReceiptStatus, TaskState, WatchOutputResponse};
use callboard::{Client, NewTask, OutputQuery};
use callboard_tests::agent::RawAgent;
use callboard_tests::server::Server;
use callboard_tests::watchers::Watchers;
use callboard_tests::{claim, refusal, refused, seconds, text, text_of, wait};
use tonic::{Code, Streaming};

const KIB: usize = 1 << 10;

/// A task that is tried again at once.
fn task() -> NewTask {
    let policy = v1::RetryPolicy { max_attempts: 5, initial_backoff: seconds(0.001), ..Default::default() };
    NewTask::new("t").retry_policy(policy)
}

fn output(offset: i64, texts: &[&str]) -> OutputBatch {
    OutputBatch { offset, chunks: texts.iter().map(|chunk| text(*chunk)).collect() }
}

/// Offsets, texts and attempts.
fn told(chunks: &[OutputChunk]) -> Vec<(i64, String, i32)> {
    chunks.iter().map(|chunk| (chunk.offset, text_of(chunk.data.as_ref()), chunk.attempt)).collect()
}

fn list(task_id: &str) -> v1::ListOutputRequest {
    v1::ListOutputRequest { task_id: task_id.into(), ..Default::default() }
}

fn of(task_id: &str) -> v1::WatchOutputRequest {
    v1::WatchOutputRequest { task_id: task_id.into(), ..Default::default() }
}

async fn watch(server: &Server, request: v1::WatchOutputRequest) -> Streaming<WatchOutputResponse> {
    let mut frames = server.tasks().await.watch_output(request).await.unwrap().into_inner();
    let first = wait::soon("the beginning", frames.message()).await.unwrap().unwrap();
    assert!(first.chunks.is_empty() && !first.ended, "{first:?}");
    frames
}

/// Chunks up to this byte.
async fn until(frames: &mut Streaming<WatchOutputResponse>, end: i64) -> Vec<OutputChunk> {
    let mut chunks = Vec::new();
    loop {
        let frame = wait::soon("output", frames.message()).await.unwrap().unwrap();
        assert!(!frame.ended);
        chunks.extend(frame.chunks);
        if frame.next_offset >= end {
            return chunks;
        }
    }
}

/// All that is left.
async fn rest(mut frames: Streaming<WatchOutputResponse>) -> (Vec<OutputChunk>, WatchOutputResponse) {
    let mut chunks = Vec::new();
    loop {
        let mut frame = wait::soon("output", frames.message()).await.unwrap().unwrap();
        chunks.append(&mut frame.chunks);
        if frame.ended {
            assert!(wait::soon("the end", frames.message()).await.unwrap().is_none(), "nothing is behind the end");
            return (chunks, frame);
        }
    }
}

/// A task that an agent has accepted.
async fn running(server: &Server, client: &Client) -> (String, RawAgent, v1::Attempt) {
    let id = client.create(task()).await.unwrap().task_id;
    let mut agent = RawAgent::start(server, "ann", "t").await.beating();
    let attempt = agent.accepted().await;
    (id, agent, attempt)
}

#[tokio::test]
async fn who_watches_sees_each_chunk_as_it_is_given_and_the_end() {
    let server = Server::start().await;
    let client = server.client();
    let (id, mut agent, attempt) = running(&server, &client).await;
    assert!(agent.welcome.features.contains(&"output".to_owned()), "{:?}", agent.welcome.features);
    let mut frames = watch(&server, of(&id)).await;
    let receipt = agent.receipt_of(&attempt, Kind::Output(output(0, &["Once", " upon"]))).await;
    assert_eq!((receipt.status(), receipt.state()), (ReceiptStatus::Committed, TaskState::Running));
    let first = until(&mut frames, 9).await;
    assert_eq!(told(&first), [(0, "Once".into(), 1), (4, " upon".into(), 1)]);
    assert!(first[0].given_at.is_some());
    agent.receipt_of(&attempt, Kind::Output(output(9, &[" a time"]))).await;
    assert_eq!(told(&until(&mut frames, 16).await), [(9, " a time".into(), 1)]);
    agent.complete(&attempt, "done").await;
    let (chunks, last) = rest(frames).await;
    assert_eq!((chunks.len(), last.next_offset, last.run), (0, 16, 1));

    // Who comes later gets the same, from wherever it begins; a chunk that it begins in comes whole.
    for (offset, expected) in [(0, 0), (3, 0), (4, 1), (9, 2), (16, 3), (1_000, 3)] {
        let frames = watch(&server, v1::WatchOutputRequest { offset, ..of(&id) }).await;
        let (chunks, _) = rest(frames).await;
        assert_eq!(chunks.len(), 3 - expected, "from {offset}");
    }
    let history = client.history(&id).await.unwrap();
    assert_eq!(history.len(), 4, "output is no event: {history:?}");
}

#[tokio::test]
async fn what_is_repeated_is_there_once_and_a_gap_is_refused() {
    let server = Server::start().await;
    let client = server.client();
    let (id, mut agent, attempt) = running(&server, &client).await;
    for (report_id, batch, expected) in [
        (100, output(0, &["abc"]), (ReceiptStatus::Committed, ErrorReason::Unspecified)),
        (100, output(0, &["abc"]), (ReceiptStatus::Committed, ErrorReason::Unspecified)),
        (101, output(0, &["abc", "de"]), (ReceiptStatus::Committed, ErrorReason::Unspecified)),
        (102, output(6, &["x"]), (ReceiptStatus::Refused, ErrorReason::InvalidField)),
        (103, output(4, &["ef"]), (ReceiptStatus::Refused, ErrorReason::InvalidField)),
        (104, output(5, &["f"]), (ReceiptStatus::Committed, ErrorReason::Unspecified)),
    ] {
        agent.report_as(report_id, &attempt, Kind::Output(batch)).await;
        let receipt = agent.receipt(report_id).await;
        assert_eq!((receipt.status(), receipt.reason()), expected, "{receipt:?}");
    }
    agent.complete(&attempt, "done").await;
    let again = agent.receipt_of(&attempt, Kind::Output(output(3, &["de", "f"]))).await;
    assert_eq!((again.status(), again.state()), (ReceiptStatus::Committed, TaskState::Completed));
    let late = agent.receipt_of(&attempt, Kind::Output(output(6, &["g"]))).await;
    assert_eq!((late.status(), late.reason()), (ReceiptStatus::Refused, ErrorReason::StaleAttempt));
    let page = server.tasks().await.list_output(list(&id)).await.unwrap().into_inner();
    assert_eq!(told(&page.chunks), [(0, "abc".into(), 1), (3, "de".into(), 1), (5, "f".into(), 1)]);
}

#[tokio::test]
async fn a_watch_goes_on_over_attempts_and_ends_with_its_run() {
    let server = Server::start().await;
    let client = server.client();
    let (id, mut agent, first) = running(&server, &client).await;
    let mut frames = watch(&server, of(&id)).await;
    agent.receipt_of(&first, Kind::Output(output(0, &["abc"]))).await;
    agent.receipt_of(&first, Kind::Failed(v1::FailureReport { failure: Some(claim::failure("Boom")) })).await;
    let second = agent.accepted().await;
    agent.receipt_of(&second, Kind::Output(output(0, &["xy"]))).await;
    assert_eq!(told(&until(&mut frames, 5).await), [(0, "abc".into(), 1), (3, "xy".into(), 2)]);
    agent.receipt_of(&second, Kind::Failed(v1::FailureReport { failure: Some(claim::for_good("Boom")) })).await;
    assert_eq!(rest(frames).await.1.run, 1);

    client.retry(&id).await.unwrap();
    let mut latest = watch(&server, of(&id)).await;
    let third = agent.accepted().await;
    agent.receipt_of(&third, Kind::Output(output(0, &["anew"]))).await;
    assert_eq!(told(&until(&mut latest, 4).await), [(0, "anew".into(), 3)]);
    let (chunks, last) = rest(watch(&server, v1::WatchOutputRequest { run: 1, ..of(&id) }).await).await;
    assert_eq!((chunks.len(), last.run), (2, 1), "that of the run before stays, and has ended");
    let request = v1::WatchOutputRequest { run: 3, ..of(&id) };
    let unborn = server.tasks().await.watch_output(request).await.unwrap_err();
    refusal(&unborn, Code::FailedPrecondition, "TASK_STATE");
}

#[tokio::test]
async fn a_server_that_is_killed_keeps_what_it_took() {
    let mut server = Server::start().await;
    let client = server.client();
    let id = client.create(task()).await.unwrap().task_id;
    let lease = claim::lease(&client, "ann", "t").await;
    let beat = async |batch| {
        let said = v1::HeartbeatTaskRequest { attempt: Some(lease.clone()), output: Some(batch), ..Default::default() };
        client.heartbeat(said).await
    };
    beat(output(0, &["abc"])).await.unwrap();
    let mut watched = client.watch_output(OutputQuery::task(&id));
    let first = wait::soon("output", watched.next()).await.unwrap().unwrap();
    assert_eq!(first.value::<String>().unwrap(), "abc");
    server.kill_9().await;
    server.restart().await;
    beat(output(0, &["abc", "de"])).await.unwrap();
    let second = wait::soon("output behind the restart", watched.next()).await.unwrap().unwrap();
    assert_eq!((second.offset(), second.value::<String>().unwrap()), (3, "de".to_owned()));
    claim::complete(&client, &lease, "done").await.unwrap();
    assert!(wait::soon("the end", watched.next()).await.unwrap().is_none());
}

#[tokio::test]
async fn much_output_comes_in_pages_up_to_the_limit() {
    let server = Server::start().await;
    let client = server.client();
    let id = client.create(task()).await.unwrap().task_id;
    let lease = claim::lease(&client, "ann", "t").await;
    let beat = async |batch| {
        let said = v1::HeartbeatTaskRequest { attempt: Some(lease.clone()), output: Some(batch), ..Default::default() };
        client.heartbeat(said).await
    };
    let piece = "x".repeat(64 * KIB);
    let mib = vec![piece.as_str(); 16];
    for n in 0..16 {
        beat(output(n << 20, &mib)).await.unwrap();
    }
    refused(&beat(output(16 << 20, &["x"])).await.unwrap_err(), Code::ResourceExhausted, "LIMIT_REACHED");
    claim::complete(&client, &lease, "done").await.unwrap();
    let mut tasks = server.tasks().await;
    let (mut request, mut pages, mut end) = (list(&id), 0, 0);
    request.page_size = 1_000;
    loop {
        let page = tasks.list_output(request.clone()).await.unwrap().into_inner();
        pages += 1;
        assert!(page.chunks.len() <= 32, "a page has at most 2 MiB");
        for chunk in &page.chunks {
            assert_eq!((chunk.offset, text_of(chunk.data.as_ref()).len()), (end, 64 * KIB));
            end += (64 * KIB) as i64;
        }
        request.page_token = page.next_page_token;
        if request.page_token.is_empty() {
            break;
        }
    }
    assert_eq!((pages, end), (8, 16 << 20));
    let (chunks, _) = rest(watch(&server, of(&id)).await).await;
    assert_eq!(chunks.len(), 256);
}

#[tokio::test]
async fn a_watch_that_is_quiet_says_where_it_is_and_is_sent_elsewhere_by_a_drain() {
    let mut server = Server::start().await;
    let client = server.client();
    let id = client.create(task()).await.unwrap().task_id;
    let mut frames = watch(&server, v1::WatchOutputRequest { offset: 7, ..of(&id) }).await;
    let quiet = wait::soon("a sign of life", frames.message()).await.unwrap().unwrap();
    assert_eq!((quiet.chunks.len(), quiet.next_offset, quiet.run, quiet.ended), (0, 7, 1, false));
    let ended = async {
        loop {
            match frames.message().await {
                Ok(Some(_)) => {}
                Ok(None) => panic!("it ended as if the run had"),
                Err(status) => return status,
            }
        }
    };
    let (_, status) = tokio::join!(server.terminate(), wait::soon("the stream's end", ended));
    assert_eq!(status.code(), Code::Unavailable, "{status:?}");
}

#[tokio::test]
async fn watches_of_output_that_nobody_reads_hold_up_nobody() {
    let server = Server::start().await;
    let client = server.client();
    let (id, mut agent, attempt) = running(&server, &client).await;
    let watchers = Watchers::of_output(&[server.address()], 50, &id);
    let feed = async {
        let mut offset = 0;
        loop {
            let batch = output(offset, &["x".repeat(100).as_str()]);
            offset += 100;
            agent.receipt_of(&attempt, Kind::Output(batch)).await;
        }
    };
    tokio::select! {
        stalled = watchers.all_stalled() => assert!(stalled, "all windows are full"),
        () = feed => {}
    }
    let page = client.list_page(v1::ListTasksRequest { page_size: 1, ..Default::default() });
    assert_eq!(wait::soon("a page of tasks", page).await.unwrap().tasks.len(), 1);
    let mut reads = client.watch_output(OutputQuery::task(&id));
    assert!(wait::soon("output of a watch that reads", reads.next()).await.unwrap().is_some());
}
