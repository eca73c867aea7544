//! How soon the tasks of an agent that is gone begin elsewhere.

use super::{Outcome, replicas};
use crate::network::Network;
use crate::proxy::{Proxy, Target, Weather};
use crate::stage::Servers;
use callboard::{Agent, AgentHandle, Context, NewTask, TaskError, v1};
use callboard_tests::agent::{RawAgent, hello};
use callboard_tests::load::history::Recorder;
use callboard_tests::wait;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use serde_json::Value;
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

const TASK: &str = "figures.reassign";
/// Agents of each replica in a round, each with a task.
const AGENTS: usize = 20;
/// What it is to be within: a lease of 10 s and 2 s for silence; the grace to attach again and 1 s for a broken stream.
const SILENT_WITHIN: u64 = 12_000;
const BROKEN_WITHIN: u64 = 4_000;
/// How long everything may take to begin elsewhere.
const PATIENCE: Duration = Duration::from_secs(60);
/// Over how long the agents of a round fall silent one after the other.
const SPREAD: Duration = Duration::from_secs(4);

/// Agents whose connections stay open and that say nothing any more.
pub async fn silent(rounds: u32) -> Outcome {
    let system = replicas().await;
    let mut random = StdRng::seed_from_u64(1);
    let mut lengths = Vec::new();
    for round in 0..rounds {
        let agents = attached(&system, round, &system.addresses()).await;
        let takers = Takers::start(&system).await;
        let mut going = JoinSet::new();
        for (agent, attempt) in agents {
            let talk = SPREAD.mul_f64(random.random());
            going.spawn(fall_silent(agent, attempt.task_id, talk));
        }
        let mut left = Vec::new();
        while let Some(gone) = going.join_next().await {
            left.push(gone.expect("an agent falls silent"));
        }
        for (_, task, last_word) in &left {
            lengths.push(takers.began(task).await.duration_since(*last_word));
        }
        takers.end().await;
    }
    Outcome::of("reassign-silent", Some(SILENT_WITHIN), lengths)
}

/// Goes on for a while, and then says nothing more. The stream is kept open.
async fn fall_silent(mut agent: RawAgent, task: String, talk: Duration) -> (RawAgent, String, Instant) {
    sleep(talk).await;
    agent.fall_silent().await;
    (agent, task, Instant::now())
}

/// Agents whose connections break, as those of a process that is killed.
pub async fn broken(rounds: u32) -> Outcome {
    let system = replicas().await;
    let mut proxies = Vec::new();
    for (number, server) in system.servers.iter().enumerate() {
        let address = server.address().trim_start_matches("http://").parse().expect("a server's address");
        proxies.push(Proxy::start(Target::Tcp(address), number as u64).await);
    }
    let through = Network::addresses(&proxies);
    let mut lengths = Vec::new();
    for round in 0..rounds {
        let agents = attached(&system, round, &through).await;
        let takers = Takers::start(&system).await;
        let broke = Instant::now();
        for proxy in &proxies {
            proxy.set(Weather::Cut);
        }
        for (_, attempt) in &agents {
            lengths.push(takers.began(&attempt.task_id).await.duration_since(broke));
        }
        for proxy in &proxies {
            proxy.set(Weather::Fair);
        }
        takers.end().await;
    }
    Outcome::of("reassign-broken", Some(BROKEN_WITHIN), lengths)
}

/// Agents at each address, each of which has accepted a task.
async fn attached(system: &Servers, round: u32, addresses: &[String]) -> Vec<(RawAgent, v1::Attempt)> {
    let mut agents = Vec::new();
    for address in addresses {
        for number in 0..AGENTS {
            let name = format!("gone-{round}-{number}-{}", address.rsplit(':').next().unwrap_or_default());
            let agent = RawAgent::attach_at(address, hello(&name, TASK)).await;
            agents.push(agent.expect("an agent attaches").beating());
        }
    }
    let client = system.servers[0].client();
    let tasks = (0..agents.len()).map(|_| NewTask::new(TASK));
    client.create_all(tasks).await.expect("tasks are taken in");
    // All at once: an assignment that waits for its turn here would be given to another.
    let mut accepting: JoinSet<_> = agents.into_iter().map(accepted).collect();
    let mut held = Vec::new();
    while let Some(accepted) = accepting.join_next().await {
        held.push(accepted.expect("an agent accepts its task"));
    }
    held
}

async fn accepted(mut agent: RawAgent) -> (RawAgent, v1::Attempt) {
    let attempt = agent.accepted().await;
    (agent, attempt)
}

/// Agents with room for everything, at each replica; what they begin is noted.
struct Takers {
    agents: Vec<AgentHandle>,
    began: Arc<Recorder>,
    instant: Instant,
}

impl Takers {
    async fn start(system: &Servers) -> Self {
        let began = Arc::new(Recorder::default());
        let instant = Instant::now() - began.now();
        let mut agents = Vec::new();
        for server in &system.servers {
            let recorder = began.clone();
            let handler = move |context: Context, _: Value| {
                let recorder = recorder.clone();
                async move {
                    drop(recorder.run(context.task_id(), context.attempt(), "taker"));
                    Ok::<_, TaskError>("done")
                }
            };
            let slots = i32::try_from(AGENTS * system.servers.len()).expect("so few slots");
            let agent = Agent::builder("taker").client(&server.client()).slots(slots).handle(TASK, handler);
            let mut agent = agent.spawn().expect("an agent starts");
            wait::soon("an agent to attach", agent.attached()).await.expect("an agent attaches");
            agents.push(agent);
        }
        Self { agents, began, instant }
    }

    /// When a task's handler began here.
    async fn began(&self, task: &str) -> Instant {
        let looked = async {
            loop {
                let began = self.began.history().runs.iter().find(|run| run.task_id == task).map(|run| run.began);
                if let Some(began) = began {
                    return self.instant + began;
                }
                sleep(Duration::from_millis(20)).await;
            }
        };
        wait::within(PATIENCE, "a task to begin elsewhere", looked).await
    }

    async fn end(self) {
        for agent in self.agents {
            agent.drain();
            wait::within(PATIENCE, "an agent's end", agent.join()).await.expect("an agent ends in an orderly way");
        }
    }
}
