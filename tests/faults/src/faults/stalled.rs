//! Watchers that never read, a thousand of them: the server's memory stays flat, and it serves everybody else.

use crate::fault::{Fault, Goal, Plan};
use crate::report::Report;
use crate::stage::{SETTINGS, Stage};
use async_trait::async_trait;
use callboard::v1;
use callboard::v1::task_service_client::TaskServiceClient;
use callboard_tests::load::{CALL, Size};
use callboard_tests::program::resident_bytes;
use callboard_tests::server::Server;
use callboard_tests::watchers::Watchers;
use std::time::Duration;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, sleep_until, timeout};
use tokio_util::sync::CancellationToken;
use tonic::transport::Channel;

/// How many watchers there are, in the ledger.
const WATCHERS: usize = 1_000;
/// And in the tests, whose server is not optimized and has half a minute: a thousand take all that time of two busy cores to come to
/// stand, and what is looked for begins when they do.
const FEW_WATCHERS: usize = 200;
/// How long they stand, and the part of it in which a server reaches its size: in the ledger.
const LONG: (Duration, Duration) = (Duration::from_secs(600), Duration::from_secs(120));
/// The same in the tests: a server that was just started still fills what it keeps of its store.
const SHORT: (Duration, Duration) = (Duration::from_secs(30), Duration::from_secs(20));
/// Between two looks at the memory.
const LOOK: Duration = Duration::from_millis(500);
/// Between two questions to each server while the watchers stand.
const ASK: Duration = Duration::from_secs(1);
/// How soon each must be answered: before the server itself gives up waiting for the store.
const ANSWER: Duration = Duration::from_secs(8);
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
    families: true,
    conditions: true,
    workflows: true,
    fallbacks: true,
    resources: true,
    turns: true,
    limits: 30,
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
        let (length, warm_up) = if plan.short { SHORT } else { LONG };
        let count = if plan.short { FEW_WATCHERS } else { WATCHERS };
        let mut stage = Stage::start(plan, SETTINGS, STEADY).await;
        let watchers = Watchers::start(&stage.system.addresses(), count);
        for _ in 0..plan.rounds {
            stage.works(self.operations_per_round()).await;
            // Each keeps what it could not send: memory is compared from when all do.
            let stand = watchers.all_stalled().await;
            report.demand(stand, || "not all watchers came to be stalled".to_owned());
            let began = now();
            let asking = Asking::start(&stage.system.servers).await;
            let warm = most_memory(&stage, began + warm_up).await;
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
            asking.end(report).await;
        }
        report.most("watchers", count as u64);
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

/// Somebody who asks each server for a page of tasks again and again: watchers that nobody reads must not keep what it reads with.
struct Asking {
    asked: JoinSet<Result<u64, String>>,
    over: CancellationToken,
}

impl Asking {
    async fn start(servers: &[Server]) -> Self {
        let mut asked = JoinSet::new();
        let over = CancellationToken::new();
        for server in servers {
            asked.spawn(ask(server.tasks().await, over.clone()));
        }
        Self { asked, over }
    }

    /// Every question must have been answered in time.
    async fn end(mut self, report: &Report) {
        self.over.cancel();
        while let Some(answers) = self.asked.join_next().await {
            match answers.expect("asking does not panic") {
                Ok(answers) => report.saw("pages of tasks read meanwhile", answers),
                Err(error) => report.broken(error),
            }
        }
    }
}

/// Asks until it is over, and says how often.
async fn ask(mut server: TaskServiceClient<Channel>, over: CancellationToken) -> Result<u64, String> {
    let mut answers = 0;
    while over.run_until_cancelled(sleep(ASK)).await.is_some() {
        let page = v1::ListTasksRequest { page_size: 10, ..Default::default() };
        let answer = timeout(ANSWER, server.list_tasks(page)).await;
        let answer = answer.map_err(|_| format!("a page of tasks did not come within {ANSWER:?}"))?;
        answer.map_err(|status| format!("a page of tasks: {status}"))?;
        answers += 1;
    }
    Ok(answers)
}

fn now() -> Instant {
    Instant::now()
}
