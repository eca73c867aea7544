//! How long claims take while a snapshot is held in PostgreSQL, so that nothing dead is removed, and without one.

use super::{Outcome, replicas_at};
use crate::stage;
use callboard::{Client, NewTask, v1};
use callboard_tests::agent::profile;
use callboard_tests::wait;
use std::time::Duration;
use tokio::task::JoinSet;
use tokio::time::Instant;

const TASK: &str = "figures.claim";
/// Agents that claim, at each replica.
const CLAIMERS: usize = 2;
/// What is ready for each of them at the beginning, and kept so: who claims one asks for another.
const READY: usize = 20;

/// Both, the one without first, each on a database of its own.
pub async fn both(during: Duration) -> Vec<Outcome> {
    vec![claims("claim", during, false).await, claims("claim-with-a-pinned-reader", during, true).await]
}

/// Claims, completes and asks for more, as fast as it goes. The figure is of the last quarter, when what is dead has piled up.
async fn claims(figure: &'static str, during: Duration, pinned: bool) -> Outcome {
    let cluster = stage::cluster().await;
    let url = cluster.database().await;
    let system = replicas_at(&url).await;
    let pin = if pinned { Some(cluster.pin(&url).await) } else { None };
    let began = Instant::now();
    let mut claimers = JoinSet::new();
    for (place, server) in system.servers.iter().enumerate() {
        for number in 0..CLAIMERS {
            claimers.spawn(claim(server.client(), format!("claimer-{place}-{number}"), began, during));
        }
    }
    let mut claimed = Vec::new();
    while let Some(some) = claimers.join_next().await {
        claimed.extend(some.expect("a claimer goes on to the end"));
    }
    if let Some(pin) = pin {
        pin.release().await;
    }
    let seconds = began.elapsed().as_secs_f64();
    let all = claimed.len();
    let late = claimed.into_iter().filter(|(at, _)| *at >= during.mul_f64(0.75)).map(|(_, took)| took);
    let rate = (all as f64 / seconds).round();
    Outcome::of(figure, None, late.collect())
        .with("claims", all)
        .with("seconds", seconds.round())
        .with("claims_per_s", rate)
}

/// When each claim was answered, since the beginning, and how long it took.
async fn claim(client: Client, name: String, began: Instant, during: Duration) -> Vec<(Duration, Duration)> {
    let mut claims = Vec::new();
    client.create_all((0..READY).map(|_| NewTask::new(TASK))).await.expect("tasks are taken in");
    while began.elapsed() < during {
        let request = v1::ClaimTasksRequest { profile: Some(profile(&name, TASK)), max_tasks: 1, ..Default::default() };
        let asked = Instant::now();
        let assignments = wait::soon("a claim", client.claim(request)).await.expect("a claim is answered");
        let took = asked.elapsed();
        for assignment in assignments {
            claims.push((began.elapsed(), took));
            let request = v1::CompleteTaskRequest { attempt: assignment.attempt, ..Default::default() };
            client.complete(request).await.expect("a task is completed");
            client.create(NewTask::new(TASK)).await.expect("a task is taken in");
        }
    }
    claims
}
