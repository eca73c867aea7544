//! The link between everybody and a server, or between a server and PostgreSQL, loses packets for some seconds: a few of a hundred,
//! many, or all of them; to one end, to the other, or to both. Nobody is told: what is lost the kernels at both ends send again, later
//! and later, as over any bad link.

use crate::fault::{Fault, Goal, Plan};
use crate::namespace::{self, Loss, Namespace, Unavailable};
use crate::network::Network;
use crate::report::Report;
use crate::stage::{SETTINGS, Stage};
use async_trait::async_trait;
use callboard_tests::load::Size;
use callboard_tests::load::chance::random_millis;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use tokio::task::block_in_place;
use tokio::time::sleep;

/// How many ways are tried for each round: one on which nobody says anything loses nothing.
const MOST_TRIES: u32 = 4;

/// The fault.
pub struct LinkLoss;

#[async_trait]
impl Fault for LinkLoss {
    fn name(&self) -> &'static str {
        "link-loss"
    }

    fn what(&self) -> &'static str {
        "packets that are lost on the link to a server, or between a server and PostgreSQL: 5 to 60 of a hundred, or all (network namespace)"
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
        let namespace = Namespace::make().unwrap_or_else(|error| match error {
            Unavailable::Missing(what) | Unavailable::Refused(what) => panic!("no network namespace: {what}"),
        });
        block_in_place(|| namespace.inside(run_inside(plan, report, self.operations_per_round())));
    }
}

async fn run_inside(plan: &Plan, report: &Report, operations: u64) {
    let mut random = StdRng::seed_from_u64(plan.seed);
    let (system, network) = Network::start(plan, SETTINGS).await;
    let port_of = |address: String| address.rsplit(':').next().and_then(|port| port.parse().ok()).expect("a port");
    let servers: Vec<u16> = system.addresses().into_iter().map(port_of).collect();
    // PostgreSQL's own socket is a file: what stands before it has the link.
    let databases: Vec<u16> = network.database.iter().map(|proxy| proxy.address().port()).collect();
    let mut stage = Stage::on(plan, system, Size { cut_off: true, ..Size::default() });
    let mut fired = 0;
    for _ in 0..plan.rounds * MOST_TRIES {
        if fired == plan.rounds {
            break;
        }
        stage.works(operations).await;
        let to_database = !databases.is_empty() && random.random_bool(0.5);
        let (name, ports) = if to_database { ("PostgreSQL", &databases) } else { ("server", &servers) };
        let (kind, loss) = choose(ports[random.random_range(0..ports.len())], &mut random);
        namespace::lose(loss);
        // Longer than a lease, one time in three.
        let during = if random.random_bool(0.33) { 5_500..9_000 } else { 300..3_000 };
        sleep(random_millis(&mut random, during)).await;
        let lost = namespace::heal();
        if lost > 0 {
            fired += 1;
            report.fired(&format!("{kind} ({name})"));
        }
        report.saw("packets that were lost", lost);
    }
    stage.check_but_leases(report).await;
}

fn choose(port: u16, random: &mut StdRng) -> (&'static str, Loss) {
    let (kind, percent) = match random.random_range(0..4) {
        0 => ("a few lost", random.random_range(5..15)),
        1 => ("many lost", random.random_range(15..40)),
        2 => ("most lost", random.random_range(40..60)),
        _ => ("all lost", 100),
    };
    let (to, from) = [(true, true), (true, false), (false, true)][random.random_range(0..3)];
    (kind, Loss { port, percent, to, from })
}
