//! How long claims take while a snapshot is held in PostgreSQL, so that nothing dead is removed, and without one.

use super::{Outcome, replicas_at};
use crate::stage::{self, Servers};
use callboard::{Client, NewTask, v1};
use callboard_test_postgres::{Cluster, Pin};
use callboard_tests::agent::profile;
use callboard_tests::wait;
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinSet;
use tokio::time::Instant;

const TASK: &str = "figures.claim";
/// Agents that claim, at each replica.
const CLAIMERS: usize = 2;
/// What is ready for each of them at the beginning, and kept so: who claims one asks for another.
const READY: usize = 20;

/// How long one of the two is measured before it is the other's turn.
const TURN: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(15));

/// Both, each with replicas and a cluster of its own, and by turns: the machine's speed is another every hour, and the same for both.
pub async fn both(during: Duration) -> Vec<Outcome> {
    let (without, with) = (Place::of(false).await, Place::of(true).await);
    let began = Instant::now();
    let turns = |number| Turns { began, length: (during / 20).clamp(TURN.0, TURN.1), number, during };
    let (without, with) =
        tokio::join!(without.claims("claim", turns(0)), with.claims("claim-with-a-pinned-reader", turns(1)));
    vec![without, with]
}

/// When one of the two is measured.
#[derive(Clone, Copy)]
struct Turns {
    began: Instant,
    length: Duration,
    /// The first, or the second.
    number: u32,
    /// Until when there are turns.
    during: Duration,
}

impl Turns {
    /// Waits for the turn; false when there are no more.
    async fn come(&self) -> bool {
        let past = self.past();
        let ended = u32::try_from(past.as_nanos() / self.length.as_nanos()).unwrap_or(u32::MAX);
        if past < self.during && ended % 2 != self.number {
            tokio::time::sleep_until(self.began + self.length * (ended + 1)).await;
        }
        self.past() < self.during
    }

    fn past(&self) -> Duration {
        self.began.elapsed()
    }
}

/// Replicas on a database of their own.
struct Place {
    system: Servers,
    pin: Option<Pin>,
    cluster: Arc<Cluster>,
}

impl Place {
    async fn of(pinned: bool) -> Self {
        let cluster = stage::cluster().await;
        let url = cluster.database().await;
        let system = replicas_at(&url).await;
        let pin = if pinned { Some(cluster.pin(&url).await) } else { None };
        Self { system, pin, cluster }
    }

    /// Claims, completes and asks for more, as fast as it goes. The figure is of the last quarter, when what is dead has piled up.
    async fn claims(self, figure: &'static str, turns: Turns) -> Outcome {
        let mut claimers = JoinSet::new();
        for (place, server) in self.system.servers.iter().enumerate() {
            for number in 0..CLAIMERS {
                claimers.spawn(claim(server.client(), format!("claimer-{place}-{number}"), turns));
            }
        }
        let mut claimed = Vec::new();
        while let Some(some) = claimers.join_next().await {
            claimed.extend(some.expect("a claimer goes on to the end"));
        }
        if let Some(pin) = self.pin {
            pin.release().await;
        }
        drop(self.cluster);
        let (all, seconds) = (claimed.len(), turns.during.as_secs_f64());
        let late = claimed.into_iter().filter(|(at, _)| *at >= turns.during.mul_f64(0.75)).map(|(_, took)| took);
        // Half of the time is the other's.
        let rate = (all as f64 * 2.0 / seconds).round();
        Outcome::of(figure, None, late.collect())
            .with("claims", all)
            .with("seconds", seconds.round())
            .with("claims_per_s", rate)
    }
}

/// When each claim was answered, since the beginning, and how long it took.
async fn claim(client: Client, name: String, turns: Turns) -> Vec<(Duration, Duration)> {
    let mut claims = Vec::new();
    client.create_all((0..READY).map(|_| NewTask::new(TASK))).await.expect("tasks are taken in");
    while turns.come().await {
        let request = v1::ClaimTasksRequest { profile: Some(profile(&name, TASK)), max_tasks: 1, ..Default::default() };
        let asked = Instant::now();
        let assignments = wait::soon("a claim", client.claim(request)).await.expect("a claim is answered");
        let took = asked.elapsed();
        for assignment in assignments {
            claims.push((turns.past(), took));
            let request = v1::CompleteTaskRequest { attempt: assignment.attempt, ..Default::default() };
            client.complete(request).await.expect("a task is completed");
            client.create(NewTask::new(TASK)).await.expect("a task is taken in");
        }
    }
    claims
}
