//! What happens to PostgreSQL under replicas that work: it is killed, it is restarted, and a synchronous standby takes its place. No
//! server ends by it, and nothing that was acknowledged is lost.

use crate::fault::{Fault, Goal, Plan};
use crate::forwarder::Forwarder;
use crate::report::Report;
use crate::stage::{Servers, Stage, cluster};
use async_trait::async_trait;
use callboard_test_postgres::Cluster;
use callboard_tests::load::Size;
use callboard_tests::load::chance::random_millis;
use rand::SeedableRng;
use rand::rngs::StdRng;
use std::sync::Arc;
use tokio::task::spawn_blocking;
use tokio::time::sleep;

/// As elsewhere; and longer than PostgreSQL may be away: an acceptance that can't be committed in time is none. Short enough for
/// what was claimed by calls whose answers were lost, which is given out again behind it, to end within the time for healing.
const SETTINGS: &str =
    "--stream-lease 5s --reattach-grace 3s --restart-grace 10s --cancel-grace 5s --accept-within 20s --log warn";

/// Every process of PostgreSQL is killed at once.
pub struct KillPostgres;
/// PostgreSQL is shut down in its fast mode, and started.
pub struct RestartPostgres;
/// The primary is killed, and its synchronous standby takes its place.
pub struct PromoteStandby;

#[async_trait]
impl Fault for KillPostgres {
    fn name(&self) -> &'static str {
        "kill-postgres"
    }

    fn what(&self) -> &'static str {
        "`kill -9` of all of PostgreSQL's processes under three replicas"
    }

    fn goals(&self) -> &'static [Goal] {
        const { &[Goal::postgres(100)] }
    }

    fn short_rounds(&self) -> u32 {
        4
    }

    fn part(&self) -> u32 {
        25
    }

    async fn run(&self, plan: &Plan, report: &Report) {
        let kill = |cluster: &Cluster| cluster.kill_all() > 1;
        outages(self, plan, report, "kill -9 of all of PostgreSQL", kill).await;
    }
}

#[async_trait]
impl Fault for RestartPostgres {
    fn name(&self) -> &'static str {
        "restart-postgres"
    }

    fn what(&self) -> &'static str {
        "a fast restart of PostgreSQL under three replicas"
    }

    fn goals(&self) -> &'static [Goal] {
        const { &[Goal::postgres(100)] }
    }

    fn short_rounds(&self) -> u32 {
        4
    }

    fn part(&self) -> u32 {
        25
    }

    async fn run(&self, plan: &Plan, report: &Report) {
        let stop = |cluster: &Cluster| {
            cluster.stop_fast();
            true
        };
        outages(self, plan, report, "fast shutdown of PostgreSQL", stop).await;
    }
}

/// Takes the database away and brings it back, round by round.
async fn outages(fault: &dyn Fault, plan: &Plan, report: &Report, what: &str, end: fn(&Cluster) -> bool) {
    let mut random = StdRng::seed_from_u64(plan.seed);
    let mut stage = Stage::start(plan, SETTINGS, Size::default()).await;
    let cluster = stage.system.cluster.clone().expect("PostgreSQL is what this is about");
    for _ in 0..plan.rounds {
        stage.works(fault.operations_per_round()).await;
        sleep(random_millis(&mut random, 0..700)).await;
        stage.note_running();
        let (cluster, away) = (cluster.clone(), random_millis(&mut random, 0..600));
        let outage = spawn_blocking(move || {
            let ended = end(&cluster);
            std::thread::sleep(away);
            cluster.start_again();
            ended
        });
        if outage.await.expect("PostgreSQL ends and starts") {
            report.fired(what);
        }
        all_run(&mut stage);
    }
    stage.check(report).await;
}

/// A server waits for its database.
fn all_run(stage: &mut Stage) {
    for server in &mut stage.system.servers {
        assert!(server.is_running(), "a server ended when its database was away: {}", server.logs());
    }
}

#[async_trait]
impl Fault for PromoteStandby {
    fn name(&self) -> &'static str {
        "promote-standby"
    }

    fn what(&self) -> &'static str {
        "`kill -9` of the primary under three replicas; its synchronous standby takes its place"
    }

    fn goals(&self) -> &'static [Goal] {
        const { &[Goal::postgres(25)] }
    }

    fn short_rounds(&self) -> u32 {
        2
    }

    fn part(&self) -> u32 {
        13
    }

    async fn run(&self, plan: &Plan, report: &Report) {
        let mut random = StdRng::seed_from_u64(plan.seed);
        let mut primary = cluster().await;
        let database = primary.database().await;
        let database = database.rsplit('/').next().expect("a database's name");
        primary.synchronous().await;
        let mut standby = standby_of(&primary).await;
        let forwarder = Forwarder::start(primary.socket()).await;
        let system = Servers::start_at(plan, SETTINGS, &forwarder.url(database)).await;
        let mut stage = Stage::on(plan, system, Size::default());
        for _ in 0..plan.rounds {
            // Nothing is acknowledged but what a standby has: it follows by now.
            stage.works(self.operations_per_round()).await;
            sleep(random_millis(&mut random, 0..700)).await;
            stage.note_running();
            let killed = primary.clone();
            let count = spawn_blocking(move || killed.kill_all()).await.expect("PostgreSQL can be killed");
            assert!(count > 1, "the primary had no processes");
            standby.promote().await;
            forwarder.lead_to(standby.socket());
            report.fired("promotions of a synchronous standby");
            primary = standby;
            standby = standby_of(&primary).await;
            all_run(&mut stage);
        }
        stage.check(report).await;
    }
}

async fn standby_of(primary: &Arc<Cluster>) -> Arc<Cluster> {
    let primary = primary.clone();
    spawn_blocking(move || Arc::new(primary.standby())).await.expect("a standby starts")
}
