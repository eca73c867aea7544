//! The clock of a server, or of an agent, jumps by up to an hour and back: no lease and no deadline ends early, no timer hangs. On
//! PostgreSQL it is one of three replicas.

use crate::disk::{planted, preloaded};
use crate::fault::{Fault, Goal, Plan, Store};
use crate::programs;
use crate::report::Report;
use crate::stage::{self, REPLICAS, SETTINGS, Servers, Stage};
use async_trait::async_trait;
use callboard::v1;
use callboard_shim::{Counter, Shim};
use callboard_tests::load::Size;
use callboard_tests::load::chance::random_millis;
use callboard_tests::load::crew::{Crew, Kind};
use callboard_tests::server::{Server, ServerBuilder};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use std::time::Duration;
use tempfile::TempDir;
use tokio::time::{sleep, timeout};

/// An hour.
const JUMP: i64 = 3_600;
/// How long it may take until somebody looks at the clock.
const FIRING: Duration = Duration::from_secs(20);
const LOOK: Duration = Duration::from_millis(10);
/// How the names of agents in processes of their own begin.
const CREW: &str = "python-";

/// The fault.
pub struct ClockJump;

/// A program's clock.
struct Clock {
    shim: Shim,
    _folder: TempDir,
}

impl Clock {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let watched = folder.path().join("none");
        std::fs::create_dir(&watched).expect("a folder");
        Self { shim: Shim::new(folder.path(), &watched), _folder: folder }
    }
}

#[async_trait]
impl Fault for ClockJump {
    fn name(&self) -> &'static str {
        "clock-jump"
    }

    fn what(&self) -> &'static str {
        "the clock of one server, or of an agent, jumps by up to an hour, and back"
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
        let (system, mut clocks) = start(plan).await;
        let agent = Clock::new();
        let diary = tempfile::tempdir().expect("a folder");
        // The Rust SDK never looks at the time of day; gRPC for Python does.
        let rust = programs::beside("callboard-test-agent");
        let environment = agent.shim.environment();
        let address = system.addresses().join(",");
        let crew = Crew::start_in(&address, diary.path(), rust, &[Kind::Python], environment.to_vec());
        clocks.push(agent);
        let mut stage = Stage::on(plan, system, Size::default());
        for _ in 0..plan.rounds {
            stage.works(self.operations_per_round()).await;
            let clock = &clocks[random.random_range(0..clocks.len())].shim;
            let before = clock.count(Counter::ShiftedClocks);
            let by = if random.random_bool(0.6) { JUMP } else { random.random_range(1..JUMP) };
            let by = if random.random_bool(0.5) { by } else { -by };
            stage.note_running();
            clock.shift_clock(by);
            sleep(random_millis(&mut random, 1_500..4_000)).await;
            let somebody_looks = async {
                while clock.count(Counter::ShiftedClocks) == before {
                    sleep(LOOK).await;
                }
            };
            let _ = timeout(FIRING, somebody_looks).await;
            let seen = clock.count(Counter::ShiftedClocks) - before;
            if seen > 0 {
                report.fired(if by > 0 { "jumps ahead" } else { "jumps back" });
            }
            report.saw("looks at a clock that was off", seen);
            // Some stay off when another jumps: clocks may differ for as long as they like.
            if random.random_bool(0.7) {
                clock.shift_clock(0);
            }
        }
        stage
            .check_and(report, |history, observed| {
                history.runs.extend(crew.diary().read());
                let events = observed.tasks.values().flat_map(|seen| &seen.events);
                for event in events.filter(|event| event.agent.starts_with(CREW) && is_taking(event)) {
                    report.broken(format!("an attempt was taken from an agent that lived: {event:?}"));
                }
            })
            .await;
    }
}

fn is_taking(event: &v1::Event) -> bool {
    use v1::EventType as E;
    matches!(event.r#type(), E::AttemptLost | E::HandedBack | E::AttemptTimedOut)
}

/// A server, or replicas, each with a clock of its own.
async fn start(plan: &Plan) -> (Servers, Vec<Clock>) {
    let mut clocks = Vec::new();
    let mut shifting = |builder: ServerBuilder| {
        let clock = Clock::new();
        let builder = preloaded(planted(plan, builder.args(SETTINGS)), &clock.shim);
        clocks.push(clock);
        builder
    };
    if plan.store == Store::Sqlite {
        let servers = vec![shifting(Server::builder()).start().await];
        return (Servers { servers, cluster: None }, clocks);
    }
    let cluster = stage::cluster().await;
    let url = cluster.database().await;
    let mut servers = Vec::new();
    for _ in 0..REPLICAS {
        servers.push(shifting(Server::builder()).database(&url).start().await);
    }
    (Servers { servers, cluster: Some(cluster) }, clocks)
}
