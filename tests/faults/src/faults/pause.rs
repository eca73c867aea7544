//! SIGSTOP of a server or of an agent for longer than the lease, then SIGCONT. Agents lose nothing by a server that stopped; what an
//! agent that stopped had is given to others, and what it reports when it goes on changes nothing.

use crate::fault::{Fault, Goal, Plan, Store};
use crate::programs;
use crate::report::Report;
use crate::stage::Stage;
use async_trait::async_trait;
use callboard::Client;
use callboard::v1::{AgentState, EventType, TaskState};
use callboard_tests::load::chance::random_millis;
use callboard_tests::load::crew::{Crew, Kind};
use callboard_tests::load::history::HandlerRun;
use callboard_tests::load::{CALL, Size};
use callboard_tests::{program, wait};
use rand::rngs::StdRng;
use rand::seq::IteratorRandom;
use rand::{Rng, SeedableRng};
use std::collections::BTreeSet;
use std::ops::Range;
use std::time::Duration;
use tokio::time::sleep;

/// A lease that pauses outlast.
const SETTINGS: &str = "--stream-lease 2s --reattach-grace 3s --restart-grace 10s --cancel-grace 5s --log warn";
/// Longer than the lease and the two seconds of silence behind it.
const OF_AN_AGENT: Range<u64> = 4_500..5_500;
const OF_A_SERVER: Range<u64> = 2_500..5_500;
/// Of one of several: up to longer than the eight seconds after which the others take it for dead.
const OF_A_REPLICA: Range<u64> = 2_500..10_500;

const AN_AGENT: &str = "an agent";
/// How often a round may stop an agent whose task is cancelled meanwhile.
const TRIES: u32 = 10;

/// Agents of the SDK, here and in processes of their own, whose handlers take their time.
const PATIENT: Size = Size {
    submitters: 2,
    steerers: 1,
    agents: 2,
    slots: 4,
    claimers: 0,
    speakers: 0,
    readers: 1,
    writers: 1,
    max_attempts: 30,
    families: true,
    conditions: true,
    workflows: true,
    fallbacks: true,
    resources: true,
    turns: true,
    limits: 30,
    longest: 4_000,
    slowness: 1,
    cut_off: false,
    call: CALL,
};

/// The fault.
pub struct Pause;

#[async_trait]
impl Fault for Pause {
    fn name(&self) -> &'static str {
        "pause"
    }

    fn what(&self) -> &'static str {
        "SIGSTOP of a server and then of an agent, each for longer than the lease"
    }

    fn goals(&self) -> &'static [Goal] {
        const { &[Goal::sqlite(100), Goal::postgres(100)] }
    }

    fn short_rounds(&self) -> u32 {
        1
    }

    fn part(&self) -> u32 {
        20
    }

    async fn run(&self, plan: &Plan, report: &Report) {
        let mut random = StdRng::seed_from_u64(plan.seed);
        let mut stage = Stage::start(plan, SETTINGS, PATIENT).await;
        let addresses = stage.system.addresses().join(",");
        let directory = stage.system.servers[0].directory().to_owned();
        let crew = Crew::start(&addresses, &directory, programs::beside("callboard-test-agent"), &Kind::ALL);
        let mut stopped = BTreeSet::new();
        let of_a_server = if plan.store == Store::Postgres { OF_A_REPLICA } else { OF_A_SERVER };
        for _ in 0..plan.rounds {
            stage.works(self.operations_per_round()).await;
            let victim = random.random_range(0..stage.system.servers.len());
            let server = stage.system.servers[victim].pid();
            pause(server, random_millis(&mut random, of_a_server.clone()), report, "a server").await;

            stage.works(self.operations_per_round()).await;
            let length = random_millis(&mut random, OF_AN_AGENT);
            let client = stage.system.servers[0].client();
            stopped.extend(pause_who_works(&client, &crew, &mut random, length, report).await);
            report.fired("rounds with a pause of both");
        }
        stage.check_with(report, &crew, &stopped).await;
    }
}

async fn pause(process: u32, length: Duration, report: &Report, what: &str) {
    program::pause(process);
    outlast(process, length, what).await;
    program::resume(process);
    report.saw(&format!("SIGSTOP of {what}"), 1);
}

/// Stops agents in the middle of a task, one after the other, until one has lost it by that, and not by a cancellation that came in
/// between. Gives their names.
async fn pause_who_works(
    client: &Client,
    crew: &Crew,
    random: &mut StdRng,
    length: Duration,
    report: &Report,
) -> BTreeSet<String> {
    let mut stopped = BTreeSet::new();
    for _ in 0..TRIES {
        let runs = wait::look("an agent of the crew at work", || at_work(client, crew)).await;
        let name = runs.into_iter().map(|run| run.agent).choose(random).expect("somebody is at work");
        let process = crew.process(&name);
        program::pause(process);
        // It may have ended its task just before that.
        let mut runs = at_work(client, crew).await.unwrap_or_default();
        runs.retain(|run| run.agent == name);
        if !runs.is_empty() {
            outlast(process, length, AN_AGENT).await;
            // A server that went on only now, or that was starved, gives agents more time than the lease.
            wait::agent_state(client, &name, AgentState::Detached).await;
            report.saw(&format!("SIGSTOP of {AN_AGENT}"), 1);
            stopped.insert(name);
        }
        program::resume(process);
        if has_lost(client, &runs).await {
            break;
        }
    }
    stopped
}

async fn outlast(process: u32, length: Duration, what: &str) {
    sleep(length / 2).await;
    assert!(program::is_paused(process), "{what} goes on though it was stopped");
    sleep(length / 2).await;
}

/// What handlers of the crew run whose attempt is the latest of its task; none when nobody does.
async fn at_work(client: &Client, crew: &Crew) -> Option<Vec<HandlerRun>> {
    let mut found = Vec::new();
    for run in crew.diary().read().into_iter().filter(|run| run.ended.is_none()) {
        let Ok(task) = client.get(&run.task_id).await else { continue };
        if task.state() == TaskState::Running && task.attempt == run.attempt && !task.cancel_requested {
            found.push(run);
        }
    }
    Some(found).filter(|found| !found.is_empty())
}

async fn has_lost(client: &Client, runs: &[HandlerRun]) -> bool {
    for run in runs {
        let events = client.history(&run.task_id).await.unwrap_or_default();
        if events.iter().any(|event| event.r#type() == EventType::AttemptLost && event.attempt == run.attempt) {
            return true;
        }
    }
    false
}
