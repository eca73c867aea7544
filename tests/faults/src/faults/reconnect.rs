//! Ten thousand agents lose their server and come back at once: all are attached again within 30 s, and no lease is lost.

use crate::crowd::{Crowd, HELD};
use crate::fault::{Fault, Goal, Plan};
use crate::report::Report;
use crate::stage::Servers;
use async_trait::async_trait;
use callboard::{Client, NewTask, v1};
use callboard_tests::checker::{Observed, losses};
use std::time::Duration;
use tokio::time::Instant;

/// As servers are started where nobody says otherwise.
const SETTINGS: &str = "--log warn";
/// Within what time all are attached again: the promise.
const WITHIN: Duration = Duration::from_secs(30);
/// How long anything else may take.
const PATIENCE: Duration = Duration::from_secs(180);
/// Tasks that are asked for in one call.
const BATCH: usize = 500;

/// The fault.
pub struct Reconnect;

#[async_trait]
impl Fault for Reconnect {
    fn name(&self) -> &'static str {
        "reconnect-10000"
    }

    fn what(&self) -> &'static str {
        "`kill -9` of all servers; 10,000 agents, 1,000 of them at work, reconnect at once"
    }

    fn goals(&self) -> &'static [Goal] {
        const { &[Goal::sqlite(10), Goal::postgres(10)] }
    }

    fn short_rounds(&self) -> u32 {
        1
    }

    fn part(&self) -> u32 {
        2
    }

    async fn run(&self, plan: &Plan, report: &Report) {
        let agents = if plan.short { 1_000 } else { 10_000 };
        let busy = agents / 10;
        let mut system = Servers::start(plan, SETTINGS).await;
        let client = system.servers[0].client();
        let crowd = Crowd::start(&system.addresses(), agents);
        let all = crowd.attached(agents, PATIENCE).await;
        assert!(all, "only {} of {agents} agents attached to begin with", crowd.count());
        create(&client, busy).await;
        crowd.holding(busy, PATIENCE).await;
        for _ in 0..plan.rounds {
            for server in &mut system.servers {
                server.kill_9().await;
            }
            crowd.attached(0, PATIENCE).await;
            for server in &mut system.servers {
                server.restart().await;
            }
            let began = now();
            let back = crowd.attached(agents, PATIENCE).await;
            let took = began.elapsed();
            report.most("milliseconds until all were attached, at most", took.as_millis() as u64);
            report.demand(back && took <= WITHIN, || {
                format!("{} of {agents} agents were attached after {took:?}, not all within {WITHIN:?}", crowd.count())
            });
            report.operations(crowd.count() as u64);
            report.fired("times that all reconnected");
        }
        report.saw("agents", agents as u64);
        let refused = crowd.finish(busy, PATIENCE).await;
        report.demand(refused.is_empty(), || format!("{} leases were lost: {:?}", refused.len(), refused.first()));
        let observed = Observed::read(&client).await.expect("everything can be read");
        let lost = losses(&observed);
        report.demand(lost.is_empty(), || format!("{} leases were lost: {:?}", lost.len(), lost.first()));
        let done = observed.tasks.values().filter(|seen| seen.task.state() == v1::TaskState::Completed);
        let once = done.filter(|seen| seen.task.attempt == 1).count();
        report.demand(once == busy, || format!("{once} of {busy} tasks were completed by their first attempt"));
        report.saw("leases that were kept", once as u64);
    }
}

async fn create(client: &Client, count: usize) {
    for begin in (0..count).step_by(BATCH) {
        let tasks = (begin..count.min(begin + BATCH)).map(|_| NewTask::new(HELD));
        client.create_all(tasks).await.expect("the tasks are created");
    }
}

fn now() -> Instant {
    Instant::now()
}
