//! A rolling restart of three replicas: one after the other is told to end (SIGTERM), drains, and is started again when it has ended.
//! Nobody loses anything by it, nothing is done twice, and every call is answered.

use crate::fault::{Fault, Goal, Plan};
use crate::programs;
use crate::report::Report;
use crate::stage::{SETTINGS, Stage};
use async_trait::async_trait;
use callboard_tests::load::Size;
use callboard_tests::load::chance::random_millis;
use callboard_tests::load::crew::{Crew, Kind};
use callboard_tests::server::Server;
use callboard_tests::{http, wait};
use rand::SeedableRng;
use rand::rngs::StdRng;
use rand::seq::SliceRandom;
use std::time::Duration;
use tokio::time::sleep;

/// What a server says when it ends though agents are left at it.
const LEFT_BEHIND: &str = "did not leave in time";
/// As long as the SDK tries it by default: no call fails that may be made again.
const CALL: Duration = Duration::from_secs(30);
/// Agents of the SDK at every replica.
const SIZE: Size = Size {
    submitters: 5,
    steerers: 2,
    agents: 3,
    slots: 6,
    claimers: 3,
    speakers: 2,
    readers: 2,
    writers: 2,
    max_attempts: 0,
    families: true,
    conditions: true,
    workflows: true,
    fallbacks: true,
    resources: true,
    turns: true,
    limits: 30,
    longest: 2_500,
    slowness: 1,
    cut_off: false,
    call: CALL,
};

/// The fault.
pub struct RollingRestart;

#[async_trait]
impl Fault for RollingRestart {
    fn name(&self) -> &'static str {
        "rolling-restart"
    }

    fn what(&self) -> &'static str {
        "a rolling restart of three replicas: each drains by SIGTERM, and is started again before the next; a round is all three"
    }

    fn goals(&self) -> &'static [Goal] {
        const { &[Goal::postgres(20)] }
    }

    fn short_rounds(&self) -> u32 {
        2
    }

    fn part(&self) -> u32 {
        5
    }

    async fn run(&self, plan: &Plan, report: &Report) {
        let mut random = StdRng::seed_from_u64(plan.seed);
        let mut stage = Stage::start(plan, SETTINGS, SIZE).await;
        let addresses = stage.system.addresses().join(",");
        let directory = stage.system.servers[0].directory().to_owned();
        let crew = Crew::start(&addresses, &directory, programs::beside("callboard-test-agent"), &Kind::ALL);
        let mut order: Vec<usize> = (0..stage.system.servers.len()).collect();
        for _ in 0..plan.rounds {
            order.shuffle(&mut random);
            for replica in &order {
                stage.works(self.operations_per_round()).await;
                sleep(random_millis(&mut random, 0..700)).await;
                stage.note_running();
                restart(&mut stage.system.servers[*replica]).await;
                report.saw("orderly ends of a server", 1);
            }
            report.fired("rolling restarts of three replicas");
        }
        for server in &stage.system.servers {
            report.demand(!server.logs().contains(LEFT_BEHIND), || format!("agents did not leave: {}", server.logs()));
        }
        stage.check_drained(report, &crew).await;
    }
}

/// Ends it in an orderly way, starts it again, and waits until work can be sent to it.
async fn restart(server: &mut Server) {
    let status = server.terminate().await;
    assert!(status.success(), "a server that was told to end did so with {status}: {}", server.logs());
    server.restart().await;
    let ready = || async { (http::get(server, "/readyz").await.status == 200).then_some(()) };
    wait::look("a server that is ready", ready).await;
}
