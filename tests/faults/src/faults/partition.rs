//! The network between agents and a server, between clients and a server, or between a server and PostgreSQL fails for some seconds:
//! connections break, or stay open and say nothing, in one direction or both; bytes come late, or in bursts; an agent is heard twice.

use crate::fault::{Fault, Goal, Plan};
use crate::network::Network;
use crate::proxy::{Proxy, Weather};
use crate::report::Report;
use crate::stage::{SETTINGS, Stage};
use async_trait::async_trait;
use callboard_tests::load::Size;
use callboard_tests::load::chance::random_millis;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use std::time::Duration;
use tokio::time::sleep;

/// How many ways are tried for each round.
const MOST_TRIES: u32 = 4;

/// The fault.
pub struct Partition;

#[async_trait]
impl Fault for Partition {
    fn name(&self) -> &'static str {
        "partition"
    }

    fn what(&self) -> &'static str {
        "partitions between agents, clients, servers and PostgreSQL: cut, half-open, stalled, slow, lossy, said twice"
    }

    fn goals(&self) -> &'static [Goal] {
        const { &[Goal::sqlite(100), Goal::postgres(100)] }
    }

    fn short_rounds(&self) -> u32 {
        2
    }

    fn part(&self) -> u32 {
        25
    }

    async fn run(&self, plan: &Plan, report: &Report) {
        let mut random = StdRng::seed_from_u64(plan.seed);
        let (system, network) = Network::start(plan, SETTINGS).await;
        let (clients, agents) = (Network::addresses(&network.clients), Network::addresses(&network.agents));
        let mut stage = Stage::led_apart(plan, system, &clients, &agents, Size { cut_off: true, ..Size::default() });
        let mut fired = 0;
        // A way on which nobody says anything shows nothing: then it is another's turn.
        for _ in 0..plan.rounds * MOST_TRIES {
            if fired == plan.rounds {
                break;
            }
            stage.works(self.operations_per_round()).await;
            let ways = if network.database.is_empty() { 2 } else { 3 };
            let (name, way) = match random.random_range(0..ways) {
                0 => ("agents", &network.agents),
                1 => ("clients", &network.clients),
                _ => ("PostgreSQL", &network.database),
            };
            // All of a way at once would be an outage, which others play; of a single server it is all there is.
            let proxy = &way[random.random_range(0..way.len())];
            let (kind, weather) = choose(name, &mut random);
            let before = proxy.counts().faults();
            proxy.set(weather);
            if weather == Weather::Repeating {
                reconnect(proxy).await;
            }
            // Longer than a lease, one time in three.
            let during = if random.random_bool(0.33) { 5_500..9_000 } else { 300..3_000 };
            sleep(random_millis(&mut random, during)).await;
            proxy.set(Weather::Fair);
            // What stood still is counted when it goes on.
            sleep(Duration::from_millis(50)).await;
            let done = proxy.counts().faults() - before;
            if done > 0 {
                fired += 1;
                report.fired(&format!("{kind} ({name})"));
            }
            report.saw("connections or pieces that something happened to", done);
        }
        stage.check_but_leases(report).await;
    }
}

fn choose(name: &str, random: &mut StdRng) -> (&'static str, Weather) {
    match random.random_range(0..if name == "agents" { 9 } else { 8 }) {
        0 | 1 => ("cut", Weather::Cut),
        2 => ("half-open to the server", Weather::Silent { up: true, down: false }),
        3 => ("half-open from the server", Weather::Silent { up: false, down: true }),
        4 => ("silent", Weather::Silent { up: true, down: true }),
        5 => ("stalled", Weather::Stalled),
        6 => ("slow", Weather::Slow(random_millis(random, 20..400))),
        7 => ("lossy", Weather::Lossy),
        // Only of agents: what clients say without a request id must not be said twice.
        _ => ("said twice", Weather::Repeating),
    }
}

/// Connections are repeated from their beginning, so they must begin anew.
async fn reconnect(proxy: &Proxy) {
    proxy.set(Weather::Cut);
    sleep(Duration::from_millis(50)).await;
    proxy.set(Weather::Repeating);
}
