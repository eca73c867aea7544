//! A slow reader loses its stream, never the server its memory.

use callboard::v1::AgentState;
use callboard::v1::agent_service_client::AgentServiceClient;
use callboard::v1::attach_request::Frame as Said;
use callboard::v1::report::Kind;
use callboard::v1::{self, Attempt, Report, ReportBatch};
use callboard_tests::agent::{frame, hello};
use callboard_tests::server::Server;
use callboard_tests::{program, refusal, wait};
use tonic::Code;
use tonic::transport::Endpoint;

const REPORTS: i64 = 500;

/// Reports without end, whose receipts nobody reads.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_agent_that_does_not_read_is_cut_off_and_memory_stays_bounded() {
    let server = Server::with("--reattach-grace 1s").await;
    let client = server.client();
    let narrow = Endpoint::from_shared(server.address()).unwrap().initial_stream_window_size(16_384);
    let mut agents = AgentServiceClient::new(narrow.connect().await.unwrap());
    let (say, said) = tokio::sync::mpsc::channel(4);
    say.send(frame(Said::Hello(hello("deaf", "t")))).await.unwrap();
    let mut frames = agents.attach(tokio_stream::wrappers::ReceiverStream::new(said)).await.unwrap().into_inner();
    frames.message().await.unwrap().unwrap();
    let before = program::resident_bytes(server.pid());

    let attempt =
        Attempt { task_id: "01989b0e-3c1a-7000-8000-0000dddddddd".into(), attempt: 1, lease_token: "0".repeat(32) };
    let mut sent = 0;
    let flood = async {
        loop {
            let accepted = || Some(Kind::Accepted(v1::Accepted {}));
            let of = |k| Report { report_id: sent + k, attempt: Some(attempt.clone()), kind: accepted() };
            let batch = ReportBatch { reports: (0..REPORTS).map(of).collect() };
            if say.send(frame(Said::Reports(batch))).await.is_err() {
                return;
            }
            sent += REPORTS;
        }
    };
    tokio::select! {
        () = flood => {}
        _ = wait::agent_state(&client, "deaf", AgentState::Detached) => {}
    }
    let grown = program::resident_bytes(server.pid()).saturating_sub(before);
    println!("measured: cut off after {sent} unread receipts; the server grew by {} KiB", grown / 1024);
    assert!(grown < 64 << 20, "the server grew by {grown} bytes");
    drop(say);
    let ended = wait::soon("the end", async {
        loop {
            if let Err(status) = frames.message().await {
                return status;
            }
        }
    })
    .await;
    refusal(&ended, Code::ResourceExhausted, "SLOW_READER");
    client.create(callboard::NewTask::new("t")).await.expect("others are served");
}
