//! Abuse of HTTP/2: floods, resets, bodies without end, readers that don't read. The server's memory stays bounded, and other
//! clients' calls succeed. Bounds are of bytes and of liveness; latencies are printed, and not asserted.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod hostile;
mod unread;
mod witness;

use callboard_tests::server::Server;
use callboard_tests::wait;
use hostile::{
    CONTINUATION, DATA, END_HEADERS, END_STREAM, End, HEADERS, Hostile, PING, RST_STREAM, SETTINGS, call, frame, header,
};
use std::time::Duration;
use witness::witness;

/// What a flood of frames may cost the server.
const FLOOD: u64 = 32 << 20;
/// When a server must have cut who does not begin.
const CUT: Duration = Duration::from_secs(60);

const GET_TASK: &str = "/callboard.v1.TaskService/GetTask";
const ATTACH: &str = "/callboard.v1.AgentService/Attach";

/// The ids of a client's streams: 1, 3, 5…
fn stream(n: u32) -> u32 {
    2 * n + 1
}

#[tokio::test]
async fn floods_of_frames_cost_little_and_stop_nobody() {
    let server = Server::start().await;
    let none = &[][..];

    let abuse = async {
        let mut client = Hostile::begin(&server, none).await;
        let reset = |n| {
            let open = frame(HEADERS, END_HEADERS, stream(n), &call(ATTACH));
            [open, frame(RST_STREAM, 0, stream(n), &[0, 0, 0, 8])].concat()
        };
        client.flood(100_000, reset).await
    };
    let end = witness(&server, "streams opened and reset at once", FLOOD, abuse).await;
    assert_ne!(end, End::Taken, "a client that only resets is cut off");

    let abuse = async {
        let mut client = Hostile::begin(&server, none).await;
        client.say(&frame(HEADERS, END_HEADERS, 1, &call(ATTACH))).await;
        client.flood(500_000, |_| frame(DATA, 0, 1, &[])).await
    };
    witness(&server, "empty DATA frames", FLOOD, abuse).await;

    let abuse = async {
        let mut client = Hostile::begin(&server, none).await;
        client.flood(100_000, |n| frame(HEADERS, END_HEADERS | END_STREAM, stream(n), &[])).await
    };
    witness(&server, "empty HEADERS frames", FLOOD, abuse).await;

    let abuse = async { Hostile::begin(&server, none).await.flood(500_000, |_| frame(SETTINGS, 0, 0, &[])).await };
    witness(&server, "SETTINGS frames whose acknowledgements nobody reads", FLOOD, abuse).await;

    let abuse = async { Hostile::begin(&server, none).await.flood(500_000, |_| frame(PING, 0, 0, &[7; 8])).await };
    witness(&server, "PING frames whose answers nobody reads", FLOOD, abuse).await;

    let abuse = async {
        let mut client = Hostile::begin(&server, none).await;
        client.say(&frame(HEADERS, 0, 1, &call(GET_TASK))).await;
        client.flood(100_000, |_| frame(CONTINUATION, 0, 1, &header("x", &"y".repeat(1_000)))).await
    };
    let end = witness(&server, "CONTINUATION frames without end", FLOOD, abuse).await;
    assert_ne!(end, End::Taken, "headers without end are cut off");
}

#[tokio::test]
async fn headers_beyond_the_limit_are_refused_and_forgotten() {
    let server = Server::start().await;
    let abuse = async {
        let mut client = Hostile::begin(&server, &[]).await;
        // 40 KiB in three frames: more than the limit, and less than would count as a flood.
        let part = |n: usize| header(&format!("x-{n}"), &"y".repeat(13_000));
        let huge = |n| {
            let first = frame(HEADERS, END_STREAM, stream(n), &[call(GET_TASK), part(0)].concat());
            let more = frame(CONTINUATION, 0, stream(n), &part(1));
            [first, more, frame(CONTINUATION, END_HEADERS, stream(n), &part(2))].concat()
        };
        client.flood(1_000, huge).await
    };
    witness(&server, "huge header lists", FLOOD, abuse).await;
}

#[tokio::test]
async fn connections_that_say_nothing_are_cut() {
    let server = Server::start().await;
    let mut silent = Vec::new();
    let abuse = async {
        for _ in 0..1_000 {
            silent.push(Hostile::connect(&server).await);
        }
    };
    witness(&server, "a thousand connections that say nothing", FLOOD, abuse).await;
    // Some say a little, and then nothing.
    for hostile in silent.iter_mut().step_by(2) {
        hostile.say(b"PRI * HT").await;
    }
    let all_cut = async {
        for hostile in &mut silent {
            hostile.cut(CUT).await;
        }
    };
    witness(&server, "until they are cut", FLOOD, all_cut).await;
    wait::soon("a call", server.client().create(callboard::NewTask::new("t"))).await.unwrap();
}
