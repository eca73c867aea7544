//! The disk is full for some seconds: what needs room is refused, nothing acknowledged is lost, nobody loses a lease, and all goes on
//! when there is room.

use crate::disk::{self, Disk};
use crate::fault::{Fault, Goal, Plan, Store};
use crate::report::Report;
use crate::stage::{SETTINGS, Stage};
use async_trait::async_trait;
use callboard_shim::{Counter, Switch};
use callboard_tests::load::Size;
use callboard_tests::load::chance::random_millis;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use tokio::time::sleep;

/// The fault.
pub struct DiskFull;

#[async_trait]
impl Fault for DiskFull {
    fn name(&self) -> &'static str {
        "disk-full"
    }

    fn what(&self) -> &'static str {
        "disk full for some seconds: no file can grow"
    }

    fn goals(&self) -> &'static [Goal] {
        const { &[Goal::sqlite(50), Goal::postgres(50)] }
    }

    fn short_rounds(&self) -> u32 {
        1
    }

    fn part(&self) -> u32 {
        25
    }

    async fn run(&self, plan: &Plan, report: &Report) {
        let mut random = StdRng::seed_from_u64(plan.seed);
        let (system, disk) = Disk::start(plan, SETTINGS).await;
        let mut stage = Stage::on(plan, system, Size::default());
        for _ in 0..plan.rounds {
            stage.works(self.operations_per_round()).await;
            // Without room for its log PostgreSQL stops; without room for tables it refuses statements.
            let log = plan.store == Store::Postgres && random.random_bool(0.3);
            disk.shim.only(if plan.store == Store::Sqlite || log { "" } else { "/base/" });
            let before = disk.shim.count(Counter::RefusedGrowth);
            stage.note_running();
            disk.shim.set(Switch::Full, 1);
            sleep(random_millis(&mut random, 1_000..4_000)).await;
            let refused = disk.shim.count(Counter::RefusedGrowth) - before;
            if refused > 0 {
                report.fired("times that the disk was full");
            }
            report.saw("writes that found no room", refused);
            let runs = disk::writer_runs(&mut stage.system);
            disk.shim.set(Switch::Full, 0);
            if plan.store == Store::Sqlite {
                report.demand(runs, || "the server ended when its disk was full".to_owned());
            }
            if !runs {
                report.saw("PostgreSQL ended for want of room", 1);
                if plan.store == Store::Sqlite {
                    stage.system.servers[0].ended().await;
                }
                disk::start_writer(&mut stage.system).await;
            }
        }
        stage.check(report).await;
    }
}
