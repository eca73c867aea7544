//! What is sent without end, and what is asked for and never read.

use crate::hostile::{
    DATA, END_HEADERS, END_STREAM, HEADERS, Hostile, INITIAL_WINDOW_SIZE, WINDOW_UPDATE, call, frame, message,
};
use crate::stream;
use crate::witness::witness;
use crate::{ATTACH, GET_TASK};
use bytes::Bytes;
use callboard::NewTask;
use callboard::v1::{self, AttachRequest, GetTaskRequest, WatchEventsRequest};
use callboard_tests::agent::{frame as said, hello};
use callboard_tests::server::Server;
use callboard_tests::{http, text, wait};
use futures::FutureExt;
use h2::SendStream;
use h2::client::ResponseFuture;
use prost::Message;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tonic::codegen::http::Request;

/// What calls under way may cost the server, whatever they carry: half for what is being received, half for what is not yet
/// read, and what the allocator keeps of it.
const UNDER_WAY: u64 = 256 << 20;
/// The same for streams, which have buffers of their own.
const STREAMS: u64 = 128 << 20;

/// How many calls a client begins, and how much of each it sends.
const BEGUN: usize = 100;
const SENT: usize = 2 << 20;

/// Begins calls whose messages are said to have 4 MiB, sends half of each, and keeps the rest. Gives how many were refused. The
/// others are held until the last has come as far.
async fn begin_and_never_end(server: &Server) -> usize {
    begin(server, BEGUN).await.refused
}

/// Calls of one connection.
struct Begun {
    refused: usize,
    held: Vec<(SendStream<Bytes>, ResponseFuture)>,
    /// The connection.
    _driving: JoinSet<()>,
}

async fn begin(server: &Server, count: usize) -> Begun {
    let address = server.address();
    let stream = TcpStream::connect(address.trim_start_matches("http://")).await.unwrap();
    let (client, connection) = h2::client::handshake(stream).await.unwrap();
    let mut driving = JoinSet::new();
    driving.spawn(async move { drop(connection.await) });
    let mut client = client.ready().await.unwrap();
    let mut calls = JoinSet::new();
    for _ in 0..count {
        let request = Request::post(format!("{address}/callboard.v1.TaskService/CreateTask"));
        let request = request.header("content-type", "application/grpc").header("te", "trailers").body(()).unwrap();
        let (answer, body) = client.send_request(request, false).unwrap();
        calls.spawn(send_half(body, answer));
    }
    let (mut refused, mut held) = (0, Vec::new());
    while let Some(call) = calls.join_next().await {
        match call.unwrap() {
            Some(body) => held.push(body),
            None => refused += 1,
        }
    }
    Begun { refused, held, _driving: driving }
}

/// Sends half of a message, as the server gives room. Gives the call under way; nothing when it was answered before that.
async fn send_half(
    mut body: SendStream<Bytes>,
    mut answer: ResponseFuture,
) -> Option<(SendStream<Bytes>, ResponseFuture)> {
    body.send_data(Bytes::from_static(&[0, 0, 0x3f, 0xff, 0xff]), false).ok()?;
    let mut left = SENT;
    while left > 0 {
        body.reserve_capacity(left.min(64 << 10));
        let capacity = tokio::select! {
            biased;
            _ = &mut answer => return None,
            capacity = std::future::poll_fn(|cx| body.poll_capacity(cx)) => capacity,
        };
        let chunk = capacity?.ok()?.min(left);
        body.send_data(vec![0; chunk].into(), false).ok()?;
        left -= chunk;
    }
    Some((body, answer))
}

#[tokio::test]
async fn bodies_without_end_are_not_kept_without_end() {
    let server = Server::start().await;
    let abuse = async {
        let begin = || begin_and_never_end(&server);
        let refused = tokio::join!(begin(), begin(), begin());
        refused.0 + refused.1 + refused.2
    };
    let refused = witness(&server, "bodies without end", UNDER_WAY, abuse).await;
    println!("measured: {refused} of {} calls refused", 3 * BEGUN);
}

/// Halves of two mebibytes and five bytes: three have room in eight, and a fourth has not.
#[tokio::test]
async fn what_calls_under_way_may_hold_is_a_setting() {
    let server = Server::with("--connection-traffic-bytes 8388608 --traffic-bytes 9000000").await;
    let Begun { refused, held, _driving } = begin(&server, 4).await;
    if refused == 0 {
        // All was sent, and not all of it has been looked at.
        let answers: Vec<_> = held.into_iter().map(|(body, answer)| async { (answer.await, body) }.boxed()).collect();
        let ((answer, _), _, _) = wait::soon("a refusal", futures::future::select_all(answers)).await;
        assert_eq!(answer.unwrap().headers()["grpc-status"], "14");
    }
    let text = http::get(&server, "/metrics").await.body;
    assert!(text.contains("callboard_calls_refused_total{reason=\"OVERLOADED\"} 1\n"), "{text}");
}

#[tokio::test]
async fn answers_that_nobody_reads_are_not_kept_without_end() {
    let server = Server::start().await;
    let large = NewTask::new("large").input_payload(text("x".repeat(1 << 20)));
    let task_id = server.client().create(large).await.unwrap().task_id;
    let ask = message(&GetTaskRequest { task_id, ..Default::default() }.encode_to_vec());
    let abuse = async {
        // A window of one byte: the answer is made, and can't be sent.
        let mut client = Hostile::begin(&server, &[(INITIAL_WINDOW_SIZE, 1)]).await;
        let get = |n| {
            let open = frame(HEADERS, END_HEADERS, stream(n), &call(GET_TASK));
            [open, frame(DATA, END_STREAM, stream(n), &ask)].concat()
        };
        let end = client.flood(1_000, get).await;
        tokio::time::sleep(Duration::from_secs(3)).await;
        drop(client);
        end
    };
    witness(&server, "answers of a mebibyte that nobody reads", UNDER_WAY, abuse).await;
}

#[tokio::test]
async fn watchers_and_agents_that_do_not_read_cost_little() {
    let server = Server::start().await;
    let watch = message(&WatchEventsRequest::default().encode_to_vec());
    let abuse = async {
        let mut client = Hostile::begin(&server, &[(INITIAL_WINDOW_SIZE, 64)]).await;
        let watch = |n| {
            let open = frame(HEADERS, END_HEADERS, stream(n), &call("/callboard.v1.TaskService/WatchEvents"));
            [open, frame(DATA, END_STREAM, stream(n), &watch)].concat()
        };
        client.flood(300, watch).await;
        let mut agents = Hostile::begin(&server, &[(INITIAL_WINDOW_SIZE, 64)]).await;
        let attach = |n| {
            let mut hello = hello(&format!("deaf-{n}"), "heard");
            hello.profile.as_mut().unwrap().slots = 100;
            let hello = message(&said(v1::attach_request::Frame::Hello(hello)).encode_to_vec());
            let open = frame(HEADERS, END_HEADERS, stream(n), &call(ATTACH));
            [open, frame(DATA, 0, stream(n), &hello)].concat()
        };
        agents.flood(100, attach).await;
        // Something to watch, and something to be pushed.
        let sane = server.client();
        for _ in 0..20 {
            let input = || text("x".repeat(10 << 10));
            sane.create_all((0..100).map(|_| NewTask::new("heard").input_payload(input()))).await.unwrap();
        }
        let heartbeat = message(&AttachRequest::default().encode_to_vec());
        agents.flood(100, |n| frame(DATA, 0, stream(n), &heartbeat)).await;
        // The connection's window, not the streams': still nothing is read.
        agents.say(&frame(WINDOW_UPDATE, 0, 0, &(1u32 << 20).to_be_bytes())).await
    };
    witness(&server, "watchers and agents that don't read", STREAMS, abuse).await;
}
