//! Commits that are acknowledged late, or never: whoever waits for one is told of an error, and it has happened. On PostgreSQL the
//! connection breaks between the commit and its answer; on a file the fsync that makes it durable is done, and said to have failed,
//! which ends the server. A round is a run of some seconds.

use crate::disk::{self, Disk};
use crate::fault::{Fault, Goal, Plan, Store};
use crate::network::Network;
use crate::proxy::Proxy;
use crate::report::Report;
use crate::stage::{SETTINGS, Stage};
use async_trait::async_trait;
use callboard_shim::{Counter, Switch};
use callboard_tests::load::Size;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::time::sleep;

/// Of a thousand commits.
const PER_MILLE: u32 = 50;
/// How many late commits a round has.
const WANTED: u64 = 8;
const LOOK: Duration = Duration::from_millis(20);

/// The fault.
pub struct LateCommit;

#[async_trait]
impl Fault for LateCommit {
    fn name(&self) -> &'static str {
        "late-commit"
    }

    fn what(&self) -> &'static str {
        "commits acknowledged late: of 5 % of commits the caller sees an error, and they have happened"
    }

    fn goals(&self) -> &'static [Goal] {
        const { &[Goal::sqlite(20), Goal::postgres(20)] }
    }

    fn short_rounds(&self) -> u32 {
        1
    }

    fn part(&self) -> u32 {
        5
    }

    async fn run(&self, plan: &Plan, report: &Report) {
        match plan.store {
            Store::Sqlite => on_a_file(plan, report, self.operations_per_round()).await,
            Store::Postgres => on_postgres(plan, report, self.operations_per_round()).await,
            Store::Memory => panic!("a store in memory has no disk"),
        }
    }
}

async fn on_a_file(plan: &Plan, report: &Report, operations: u64) {
    let (system, disk) = Disk::start(plan, SETTINGS).await;
    let mut stage = Stage::on(plan, system, Size::default());
    disk.shim.only("-wal");
    disk.shim.set(Switch::Seed, plan.seed);
    for _ in 0..plan.rounds {
        stage.works(operations).await;
        let before = disk.shim.count(Counter::LateSyncs);
        for _ in 0..WANTED {
            stage.note_running();
            disk.shim.set(Switch::LatePerMille, u64::from(PER_MILLE));
            // It ends by the first; until then it commits.
            stage.system.servers[0].ended().await;
            // A server that starts syncs its log too, and would not start: nobody waits for a commit then.
            disk.shim.set(Switch::LatePerMille, 0);
            disk::start_writer(&mut stage.system).await;
        }
        note(report, disk.shim.count(Counter::LateSyncs) - before);
    }
    stage.check(report).await;
}

async fn on_postgres(plan: &Plan, report: &Report, operations: u64) {
    let (system, network) = Network::start(plan, SETTINGS).await;
    let addresses = system.addresses();
    let mut stage = Stage::led(plan, system, &addresses, Size::default());
    let late = |proxy: &Proxy| proxy.counts().commits.load(Ordering::Relaxed);
    let all = || network.database.iter().map(late).sum::<u64>();
    for _ in 0..plan.rounds {
        stage.works(operations).await;
        let before = all();
        network.database.iter().for_each(|proxy| proxy.cut_commits(PER_MILLE));
        while all() < before + WANTED {
            sleep(LOOK).await;
        }
        network.database.iter().for_each(|proxy| proxy.cut_commits(0));
        note(report, all() - before);
    }
    stage.check(report).await;
}

fn note(report: &Report, late: u64) {
    if late >= WANTED {
        report.fired("runs");
    }
    report.saw("commits that happened, and were said to have failed", late);
}
