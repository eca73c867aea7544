//! The session's heartbeat is the SDK's, and a starved server holds nobody's silence against it.

use super::create;
use callboard::v1::TaskState;
use callboard::{Agent, Context, TaskError};
use callboard_tests::agent::RawAgent;
use callboard_tests::server::Server;
use callboard_tests::{program, wait};
use std::time::Duration;
use tokio::time::Instant;

/// On this runtime the handler has the only thread: nothing else of the test runs while it burns.
#[tokio::test(flavor = "current_thread")]
async fn a_handler_that_burns_its_processor_for_three_leases_keeps_its_attempt() {
    let server = Server::with("--stream-lease 1s --restart-grace 0s --reattach-grace 1s").await;
    let client = server.client();
    let agent = Agent::builder("burner").client(&client).handle("t", |_: Context, _: String| async move {
        let since = Instant::now();
        let mut sum = 0u64;
        while since.elapsed() < Duration::from_secs(3) {
            sum = (0..10_000u64).fold(sum, |sum, n| sum.wrapping_mul(31).wrapping_add(n));
        }
        Ok::<_, TaskError>(sum)
    });
    let agent = agent.spawn().unwrap();
    let id = create(&client).await;
    let task = wait::ended(&client, &id).await;
    assert_eq!((task.state(), task.attempt), (TaskState::Completed, 1), "{task:?}");
    agent.stop();
}

#[tokio::test]
async fn an_idle_stream_is_kept_by_heartbeats_of_both_sides() {
    let server = Server::with("--stream-lease 1s").await;
    let client = server.client();
    let mut agent = RawAgent::start(&server, "ann", "t").await.beating();
    let never = |_: &_| false;
    agent.hears_nothing("the end", never, Duration::from_secs(3)).await;
    let known = client.get_agent("ann").await.unwrap();
    assert_eq!((known.state(), known.session_epoch), (callboard::v1::AgentState::Attached, 1));
}

#[tokio::test]
async fn time_in_which_the_server_was_stopped_counts_against_nobody() {
    let server = Server::with("--stream-lease 1s --reattach-grace 1s --restart-grace 0s").await;
    let client = server.client();
    let id = create(&client).await;
    let mut agent = RawAgent::start(&server, "ann", "t").await.beating();
    let attempt = agent.accepted().await;
    program::pause(server.pid());
    // Time itself is the point: three leases in which the server reads nothing.
    tokio::time::sleep(Duration::from_millis(3_500)).await;
    program::resume(server.pid());
    let never = |_: &_| false;
    agent.hears_nothing("the end", never, Duration::from_secs(1)).await;
    assert_eq!(agent.complete(&attempt, "").await.state(), TaskState::Completed);
    assert_eq!(client.get(&id).await.unwrap().attempt, 1);
}
