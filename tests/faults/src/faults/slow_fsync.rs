//! Every fsync takes up to seconds: no healthy agent loses a lease because of it.

use crate::disk::Disk;
use crate::fault::{Fault, Goal, Plan};
use crate::report::Report;
use crate::stage::{SETTINGS, Stage};
use async_trait::async_trait;
use callboard_shim::{Counter, Switch};
use callboard_tests::load::Size;
use callboard_tests::load::chance::random_millis;
use rand::SeedableRng;
use rand::rngs::StdRng;
use std::time::Duration;
use tokio::time::{sleep, timeout};

/// How long it may take until somebody syncs.
const FIRING: Duration = Duration::from_secs(20);
const LOOK: Duration = Duration::from_millis(10);

/// The fault.
pub struct SlowFsync;

#[async_trait]
impl Fault for SlowFsync {
    fn name(&self) -> &'static str {
        "slow-fsync"
    }

    fn what(&self) -> &'static str {
        "slow fsync: each takes 0.2 to 5 s for a while"
    }

    fn goals(&self) -> &'static [Goal] {
        const { &[Goal::sqlite(50), Goal::postgres(50)] }
    }

    fn short_rounds(&self) -> u32 {
        1
    }

    fn part(&self) -> u32 {
        10
    }

    async fn run(&self, plan: &Plan, report: &Report) {
        let mut random = StdRng::seed_from_u64(plan.seed);
        let (system, disk) = Disk::start(plan, SETTINGS).await;
        let mut stage = Stage::on(plan, system, Size::default());
        for _ in 0..plan.rounds {
            stage.works(self.operations_per_round()).await;
            let before = disk.shim.count(Counter::DelayedSyncs);
            let (delay, during) = (random_millis(&mut random, 200..5_000), random_millis(&mut random, 2_000..8_000));
            stage.note_running();
            disk.shim.set(Switch::SyncDelay, u64::try_from(delay.as_micros()).unwrap_or(u64::MAX));
            sleep(during).await;
            // The load may be waiting for something else.
            let somebody_waits = async {
                while disk.shim.count(Counter::DelayedSyncs) == before {
                    sleep(LOOK).await;
                }
            };
            let _ = timeout(FIRING, somebody_waits).await;
            disk.shim.set(Switch::SyncDelay, 0);
            let delayed = disk.shim.count(Counter::DelayedSyncs) - before;
            if delayed > 0 {
                report.fired("times that fsync was slow");
            }
            report.saw("slow fsyncs", delayed);
            report.most("the slowest, in milliseconds", u64::try_from(delay.as_millis()).unwrap_or(u64::MAX));
        }
        stage.check(report).await;
    }
}
