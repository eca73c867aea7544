//! A thousand watchers that never read: the server's memory stays flat, and it serves everybody else.

use crate::fault::{Fault, Goal, Plan};
use crate::report::Report;
use crate::stage::{SETTINGS, Stage};
use crate::watchers::Watchers;
use async_trait::async_trait;
use callboard_tests::load::{CALL, Size};
use callboard_tests::program::resident_bytes;
use callboard_tests::server::Server;
use std::time::Duration;
use tokio::time::{Instant, sleep, sleep_until};

/// How many watchers there are.
const WATCHERS: usize = 1_000;
/// How long they stand: in the ledger, and in the tests.
const LONG: Duration = Duration::from_secs(600);
const SHORT: Duration = Duration::from_secs(10);
/// The part of the time in which the server reaches its size.
const WARM_UP: u32 = 5;
/// Between two looks at the memory.
const LOOK: Duration = Duration::from_millis(500);
/// What the load alone may add behind the warm-up: a tenth, and what an allocator keeps.
const ROOM: u64 = 24 << 20;
const MIB: u64 = 1 << 20;

/// A load that goes on for long, and that its own agents keep up with: no letters, which would wait for slow readers.
const STEADY: Size = Size {
    submitters: 2,
    steerers: 1,
    agents: 2,
    slots: 12,
    claimers: 1,
    speakers: 1,
    readers: 0,
    writers: 0,
    max_attempts: 0,
    longest: 500,
    slowness: 1,
    cut_off: false,
    call: CALL,
};

/// The fault.
pub struct Stalled;

#[async_trait]
impl Fault for Stalled {
    fn name(&self) -> &'static str {
        "stalled-watchers"
    }

    fn what(&self) -> &'static str {
        "1,000 watchers that never read, for 10 minutes: memory stays flat"
    }

    fn goals(&self) -> &'static [Goal] {
        const { &[Goal::sqlite(3), Goal::postgres(3)] }
    }

    fn short_rounds(&self) -> u32 {
        1
    }

    fn part(&self) -> u32 {
        1
    }

    async fn run(&self, plan: &Plan, report: &Report) {
        let length = if plan.short { SHORT } else { LONG };
        let mut stage = Stage::start(plan, SETTINGS, STEADY).await;
        let watchers = Watchers::start(&stage.system.addresses(), WATCHERS);
        for _ in 0..plan.rounds {
            stage.works(self.operations_per_round()).await;
            let began = now();
            let warm = most_memory(&stage, began + length / WARM_UP).await;
            let later = most_memory(&stage, began + length).await;
            for (warm, later) in warm.into_iter().zip(later) {
                report.most("MiB at most in the first fifth", warm / MIB);
                report.most("MiB at most behind it", later / MIB);
                report.demand(later <= warm + warm / 10 + ROOM, || {
                    format!("memory grew from {} MiB to {} MiB", warm / MIB, later / MIB)
                });
                if warm == 0 {
                    report.void("this system does not tell a process's memory");
                }
            }
            if watchers.all_stalled().await {
                report.fired("times that all watchers were stalled to the end");
            }
        }
        report.most("watchers", WATCHERS as u64);
        report.saw("connections that the server cut for it", watchers.cut());
        drop(watchers);
        stage.check(report).await;
    }
}

/// The most memory that each server had until then.
async fn most_memory(stage: &Stage, until: Instant) -> Vec<u64> {
    let servers = &stage.system.servers;
    let mut most = vec![0; servers.len()];
    while now() < until {
        for (most, server) in most.iter_mut().zip(servers) {
            *most = (*most).max(resident_bytes(Server::pid(server)));
        }
        sleep(LOOK.min(until - now())).await;
    }
    sleep_until(until).await;
    most
}

fn now() -> Instant {
    Instant::now()
}
