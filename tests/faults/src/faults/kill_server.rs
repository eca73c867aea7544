//! `kill -9` of the server at random moments under load: nothing acknowledged is lost, everything ends once, and what ran goes
//! on. On PostgreSQL one of three replicas is killed, and is away for a while.

use crate::fault::{Fault, Goal, Plan, Store};
use crate::report::Report;
use crate::stage::{SETTINGS, Stage};
use async_trait::async_trait;
use callboard_tests::load::Size;
use callboard_tests::load::chance::random_millis;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use std::time::Duration;
use tokio::time::sleep;

/// A second, on a busy machine.
const WATCHED: Duration = Duration::from_secs(5);

/// The fault.
pub struct KillServer;

#[async_trait]
impl Fault for KillServer {
    fn name(&self) -> &'static str {
        "kill-server"
    }

    fn what(&self) -> &'static str {
        "`kill -9` of the server under load; on PostgreSQL of one of three replicas"
    }

    fn goals(&self) -> &'static [Goal] {
        const { &[Goal::sqlite(500), Goal::postgres(500)] }
    }

    fn short_rounds(&self) -> u32 {
        8
    }

    fn part(&self) -> u32 {
        50
    }

    async fn run(&self, plan: &Plan, report: &Report) {
        let mut random = StdRng::seed_from_u64(plan.seed);
        let mut stage = Stage::start(plan, SETTINGS, Size::default()).await;
        // Nobody waits for a connection here, and what one replica does reaches those at another within a second, hint or no hint.
        stage.watched_within = WATCHED;
        for _ in 0..plan.rounds {
            stage.works(self.operations_per_round()).await;
            sleep(random_millis(&mut random, 0..700)).await;
            let victim = random.random_range(0..stage.system.servers.len());
            let server = &mut stage.system.servers[victim];
            server.kill_9().await;
            stage.note_running();
            report.fired("kill -9 of a server");
            if plan.store == Store::Postgres {
                sleep(random_millis(&mut random, 0..900)).await;
            }
            stage.system.servers[victim].restart().await;
        }
        stage.check(report).await;
    }
}
