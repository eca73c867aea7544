//! `kill -9` of agents at random moments, one of each kind in a round: others take their tasks over, and each ends once.

use crate::fault::{Fault, Goal, Plan};
use crate::programs;
use crate::report::Report;
use crate::stage::Stage;
use async_trait::async_trait;
use callboard_tests::load::chance::random_millis;
use callboard_tests::load::crew::{Crew, Kind};
use callboard_tests::load::{CALL, Size};
use callboard_tests::wait;
use rand::SeedableRng;
use rand::rngs::StdRng;
use tokio::time::sleep;

/// A broken stream is missed soon.
const SETTINGS: &str = "--stream-lease 5s --reattach-grace 500ms --cancel-grace 5s --log warn";

/// All tasks are for the crew. A task may meet many deaths.
const FOR_THE_CREW: Size = Size {
    submitters: 2,
    steerers: 1,
    agents: 0,
    slots: 0,
    claimers: 0,
    speakers: 0,
    readers: 1,
    writers: 1,
    max_attempts: 30,
    families: false,
    conditions: true,
    workflows: true,
    fallbacks: true,
    resources: false,
    turns: true,
    limits: 30,
    longest: 500,
    slowness: 1,
    cut_off: false,
    call: CALL,
};

/// The fault.
pub struct KillAgents;

#[async_trait]
impl Fault for KillAgents {
    fn name(&self) -> &'static str {
        "kill-agents"
    }

    fn what(&self) -> &'static str {
        "`kill -9` of five agents: one of each SDK (Rust, Python, Go, TypeScript), one `callboard work`"
    }

    fn goals(&self) -> &'static [Goal] {
        const { &[Goal::sqlite(200), Goal::postgres(200)] }
    }

    fn short_rounds(&self) -> u32 {
        4
    }

    fn part(&self) -> u32 {
        40
    }

    async fn run(&self, plan: &Plan, report: &Report) {
        let mut random = StdRng::seed_from_u64(plan.seed);
        let mut stage = Stage::start(plan, SETTINGS, FOR_THE_CREW).await;
        let addresses = stage.system.addresses().join(",");
        let kinds = [Kind::ALL, Kind::ALL].concat();
        let directory = stage.system.servers[0].directory().to_owned();
        let mut crew = Crew::start(&addresses, &directory, programs::beside("callboard-test-agent"), &kinds);
        let mut before = Kind::ALL.map(|kind| crew.done(kind));
        for _ in 0..plan.rounds {
            stage.works(self.operations_per_round()).await;
            for (kind, before) in Kind::ALL.into_iter().zip(&mut before) {
                let what = format!("agents {}N to do something", kind.prefix());
                *before =
                    wait::look(&what, || std::future::ready(Some(crew.done(kind)).filter(|done| done > before))).await;
            }
            for kind in Kind::ALL {
                sleep(random_millis(&mut random, 0..300)).await;
                crew.kill_one(kind, &mut random).await;
                report.saw(&format!("kill -9 of an agent {}N", kind.prefix()), 1);
            }
            report.fired("rounds with a kill of each kind");
        }
        let harmed = crew.killed.clone();
        stage.check_with(report, &crew, &harmed).await;
    }
}
