//! The disk says that it can't write, or sync. A server on a file ends at once, since nothing more can be trusted, and is started
//! again; PostgreSQL refuses the statement, or restarts itself. Nothing acknowledged is lost.

use crate::disk::{self, Disk};
use crate::fault::{Fault, Goal, Plan, Store};
use crate::report::Report;
use crate::stage::{SETTINGS, Stage};
use async_trait::async_trait;
use callboard_shim::{Counter, Shim, Switch};
use callboard_tests::load::Size;
use callboard_tests::load::chance::random_millis;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use std::time::Duration;
use tokio::time::{sleep, timeout};

/// How long it may take until somebody writes to what fails.
const FIRING: Duration = Duration::from_secs(20);
const LOOK: Duration = Duration::from_millis(10);

/// The fault.
pub struct IoError;

#[async_trait]
impl Fault for IoError {
    fn name(&self) -> &'static str {
        "io-error"
    }

    fn what(&self) -> &'static str {
        "I/O errors: a write or an fsync of the log or of a table fails with EIO"
    }

    fn goals(&self) -> &'static [Goal] {
        const { &[Goal::sqlite(50), Goal::postgres(50)] }
    }

    fn short_rounds(&self) -> u32 {
        2
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
            sleep(random_millis(&mut random, 0..500)).await;
            let (part, switch, counter) = choose(plan.store, &mut random);
            disk.shim.only(part);
            let before = disk.shim.count(counter);
            stage.note_running();
            disk.shim.set(switch, 1);
            if !fired(&disk.shim, counter, before).await {
                report.void(format!("nobody met an error in {part}"));
                disk.shim.set(switch, 0);
                continue;
            }
            report.fired(&format!("{switch:?} of {part}"));
            if plan.store == Store::Sqlite {
                // What it has logged is kept by the stage.
                let status = stage.system.servers[0].ended().await;
                report.demand(!status.success(), || format!("a server whose disk failed ended with {status}"));
                disk::start_writer(&mut stage.system).await;
            } else if !back(&mut stage).await {
                report.saw("PostgreSQL did not come back by itself", 1);
                disk::start_writer(&mut stage.system).await;
            }
        }
        stage.check(report).await;
    }
}

/// Files whose path has this, and what fails of them.
fn choose(store: Store, random: &mut StdRng) -> (&'static str, Switch, Counter) {
    let write = (Switch::FailWrites, Counter::FailedWrites);
    let sync = (Switch::FailSyncs, Counter::FailedSyncs);
    let (part, (switch, counter)) = match (store, random.random_range(0..3)) {
        (Store::Sqlite, 0) => ("-wal", write),
        (Store::Sqlite, _) => ("-wal", sync),
        (Store::Postgres, 0) => ("/pg_wal/", write),
        (Store::Postgres, 1) => ("/pg_wal/", sync),
        (Store::Postgres | Store::Memory, _) => ("/base/", write),
    };
    (part, switch, counter)
}

async fn fired(shim: &Shim, counter: Counter, before: u64) -> bool {
    let fires = async {
        while shim.count(counter) == before {
            sleep(LOOK).await;
        }
    };
    timeout(FIRING, fires).await.is_ok()
}

/// PostgreSQL refuses a statement and goes on, or starts itself again; unless it can't.
async fn back(stage: &mut Stage) -> bool {
    sleep(Duration::from_secs(1)).await;
    disk::writer_runs(&mut stage.system)
}
