//! The power fails under load: of what was written since the last fsync of its file the disk has something, in any order, and
//! sectors of it torn. Nothing acknowledged is lost, and the store can be used.

use crate::disk::{self, Disk};
use crate::fault::{Fault, Goal, Plan};
use crate::report::Report;
use crate::stage::{SETTINGS, Stage};
use async_trait::async_trait;
use callboard_shim::{Survivors, Switch};
use callboard_tests::load::Size;
use callboard_tests::load::chance::random_millis;
use callboard_tests::program;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use tokio::time::sleep;

/// The fault.
#[derive(Debug, Default)]
pub struct PowerCut {
    /// The disk says that it has what it was told to sync, and hasn't. Nobody can keep a promise on it: the checker must see that.
    pub lying_disk: bool,
}

#[async_trait]
impl Fault for PowerCut {
    fn name(&self) -> &'static str {
        "power-cut"
    }

    fn what(&self) -> &'static str {
        "power cut: of writes since the last fsync anything may be lost, also parts of them; of the server's disk, or PostgreSQL's"
    }

    fn goals(&self) -> &'static [Goal] {
        const { &[Goal::sqlite(200), Goal::postgres(200)] }
    }

    fn short_rounds(&self) -> u32 {
        2
    }

    fn part(&self) -> u32 {
        50
    }

    async fn run(&self, plan: &Plan, report: &Report) {
        let mut random = StdRng::seed_from_u64(plan.seed);
        let (system, disk) = Disk::start(plan, SETTINGS).await;
        disk.shim.set(Switch::Journal, 1);
        disk.shim.set(Switch::FakeSync, u64::from(self.lying_disk));
        let mut stage = Stage::on(plan, system, Size::default());
        for _ in 0..plan.rounds {
            stage.works(self.operations_per_round()).await;
            sleep(random_millis(&mut random, 0..700)).await;
            if stage.system.cluster.is_none() && random.random_bool(0.2) {
                // An orderly end copies the log into the file: the power fails while it does.
                program::terminate(stage.system.servers[0].pid());
                sleep(random_millis(&mut random, 0..400)).await;
            }
            disk.shim.cut_power();
            stage.note_running();
            disk::kill_writer(&mut stage.system).await;
            disk.kill_the_rest().await;
            let loss = disk.shim.lose(Survivors::random(&mut random), &mut random);
            report.fired("power cuts");
            report.saw("changes that were durable at a cut", loss.durable as u64);
            report.saw("changes that were not", loss.unsynced as u64);
            report.saw("changes that were lost, or torn", loss.lost as u64);
            report.saw("changes of names that were lost", loss.names as u64);
            report.saw("cuts that lost something", u64::from(loss.lost + loss.names > 0));
            disk::start_writer(&mut stage.system).await;
        }
        stage.check(report).await;
    }
}
