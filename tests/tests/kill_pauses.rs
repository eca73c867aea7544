//! The server stopped for longer than a lease, and ended in an orderly way under load: nobody loses anything by it.

use callboard_tests::checker::{self, Observed};
use callboard_tests::load::chance::Seed;
use callboard_tests::load::{Load, Size};
use callboard_tests::program;
use callboard_tests::server::Server;
use std::time::Duration;

/// More than the lease in `SHORT_LEASE`.
const PAUSE: Duration = Duration::from_secs(5);
const SHORT_LEASE: &str = "--stream-lease 2s --reattach-grace 3s --restart-grace 10s --log warn";
/// How long the load runs before something happens to the server, and behind it.
const UNDER_LOAD: Duration = Duration::from_millis(1_500);

/// Agents of the SDK, whose handlers take their time.
const PATIENT: Size = Size {
    submitters: 2,
    steerers: 0,
    agents: 2,
    slots: 8,
    claimers: 0,
    speakers: 0,
    readers: 0,
    writers: 0,
    max_attempts: 0,
    longest: 4_000,
};

#[tokio::test(flavor = "multi_thread")]
async fn a_stopped_server_takes_no_lease_away() {
    let seed = Seed::choose();
    let server = Server::with(SHORT_LEASE).await;
    let mut load = Load::start(&server.address(), seed.0, PATIENT);
    tokio::time::sleep(UNDER_LOAD).await;
    program::pause(server.pid());
    let running = load.running();
    tokio::time::sleep(PAUSE).await;
    program::resume(server.pid());
    tokio::time::sleep(UNDER_LOAD).await;
    load.stop_asking().await;
    load.heal().await;
    let observed = Observed::read(&server.client()).await.expect("everything can be read");
    let history = load.stop().await.history().clone();
    checker::assert_kept(&history, &observed);
    assert!(!running.is_empty(), "no handler ran when the server was stopped: this test shows nothing");
    checker::assert_none_taken(&history, &observed);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_orderly_restart_under_load_loses_nothing() {
    let seed = Seed::choose();
    let mut server =
        Server::with("--stream-lease 5s --restart-grace 10s --cancel-grace 5s --drain 2s --log warn").await;
    let mut load = Load::start(&server.address(), seed.0, Size::default());
    for _ in 0..2 {
        tokio::time::sleep(UNDER_LOAD).await;
        let status = server.terminate().await;
        assert!(status.success(), "the server ended with {status}");
        server.restart().await;
    }
    tokio::time::sleep(UNDER_LOAD).await;
    load.stop_asking().await;
    load.heal().await;
    let observed = Observed::read(&server.client()).await.expect("everything can be read");
    let history = load.stop().await.history().clone();
    checker::assert_kept(&history, &observed);
    checker::assert_none_taken(&history, &observed);
}
