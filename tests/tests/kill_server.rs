//! `kill -9` of the server at random moments under load: nothing acknowledged is lost, everything ends once, and what ran
//! goes on.

use callboard_tests::checker::{self, Observed};
use callboard_tests::load::chance::{Seed, random_millis, rounds};
use callboard_tests::load::history::HandlerRun;
use callboard_tests::load::{Load, Size};
use callboard_tests::server::Server;
use std::collections::BTreeSet;

/// Leases that a busy machine keeps, and time enough to come back.
const SETTINGS: &str = "--stream-lease 5s --reattach-grace 3s --restart-grace 10s --cancel-grace 5s --log warn";

/// Handlers that ran at a kill: task and attempt.
type Kept = BTreeSet<(String, i32)>;

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_lost_when_the_server_is_killed_under_load() {
    let seed = Seed::choose();
    let mut random = seed.random();
    let mut server = Server::with(SETTINGS).await;
    let mut load = Load::start(&server.address(), seed.0, Size::default());
    let mut running = Kept::new();
    for _ in 0..rounds() {
        tokio::time::sleep(random_millis(&mut random, 200..900)).await;
        server.kill_9().await;
        running.extend(load.running());
        server.restart().await;
    }
    load.stop_asking().await;
    load.heal().await;
    let observed = Observed::read(&server.client()).await.expect("everything can be read");
    let history = load.stop().await.history().clone();
    checker::assert_kept(&history, &observed);
    checker::assert_none_taken(&history, &observed);
    let ended = |run: &&HandlerRun| run.ended.is_some() && running.contains(&(run.task_id.clone(), run.attempt));
    let kept = history.runs.iter().filter(ended).count();
    assert!(kept > 0, "no handler ran at any kill: this test shows nothing");
    assert_eq!(kept, running.len(), "every handler that ran at a kill goes on to its end");
    println!(
        "seed {}: {} kills, {} tasks, {kept} attempts went on across a kill, {}",
        seed.0,
        rounds(),
        observed.tasks.len(),
        history.summary()
    );
}
