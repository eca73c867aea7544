//! The server ended in an orderly way under load: nobody loses anything by it.

use callboard_tests::checker::{self, Observed};
use callboard_tests::load::chance::Seed;
use callboard_tests::load::{Load, Size};
use callboard_tests::server::Server;
use std::time::Duration;

/// How long the load runs before each restart, and behind it.
const UNDER_LOAD: Duration = Duration::from_millis(1_500);

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

/// Whoever reads that it listens may tell it to end in the same moment.
#[tokio::test]
async fn a_server_that_is_told_to_end_when_it_has_just_begun_ends_in_order() {
    let mut server = Server::start().await;
    for _ in 0..10 {
        let status = server.terminate().await;
        assert!(status.success(), "the server ended with {status}");
        server.restart().await;
    }
}
