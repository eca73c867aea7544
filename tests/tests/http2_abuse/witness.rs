//! What others notice of an abuse: another client's calls, and the server's memory.

use callboard::NewTask;
use callboard_tests::program::resident_bytes;
use callboard_tests::server::Server;
use std::future::Future;
use std::time::Duration;
use tokio::time::{Instant, timeout};

/// What a call of another client may take at most. Generous: it tells a server that serves from one that doesn't.
const ALIVE: Duration = Duration::from_secs(10);
/// How many calls another client makes at least.
const CALLS: usize = 20;

/// Runs an abuse while another client calls, and holds the server's memory against a bound.
pub async fn witness<T>(server: &Server, what: &str, bound: u64, abuse: impl Future<Output = T>) -> T {
    let client = server.client();
    client.create(NewTask::new("witness")).await.unwrap();
    let before = resident_bytes(server.pid());
    let mut most = before;
    let mut took = Vec::new();
    let mut outcome = None;
    let mut abuse = std::pin::pin!(abuse);
    while outcome.is_none() || took.len() < CALLS {
        let begun = Instant::now();
        let call = timeout(ALIVE, client.create(NewTask::new("witness")));
        let mut call = std::pin::pin!(call);
        let called = loop {
            tokio::select! {
                done = &mut abuse, if outcome.is_none() => outcome = Some(done),
                called = &mut call => break called,
            }
        };
        called.unwrap_or_else(|_| panic!("{what}: another client waited {ALIVE:?} in vain")).unwrap();
        took.push(begun.elapsed());
        most = most.max(resident_bytes(server.pid()));
    }
    took.sort_unstable();
    let p99 = took[(took.len() * 99).div_ceil(100) - 1];
    let grown = most.saturating_sub(before);
    println!(
        "measured: {what}: {} calls of another client, p99 {p99:?}; memory grew by {} KiB",
        took.len(),
        grown >> 10
    );
    assert!(grown <= bound, "{what}: the server grew by {grown} bytes; at most {bound}");
    let log = server.logs();
    assert!(!log.contains("panicked"), "{what}: the server's log:\n{log}");
    outcome.expect("the abuse has ended")
}
