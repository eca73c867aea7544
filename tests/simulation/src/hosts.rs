//! What runs on each machine.

use crate::clock::{HostClock, Skew};
use crate::net;
use crate::plan::is_of_an_old_world;
use crate::store::{FarStore, Way};
use callboard::Client;
use callboard_core::Settings;
use callboard_core::entropy::Seeded;
use callboard_core::model::Span;
use callboard_core::planted::Planted;
use callboard_engine::{Config, Engine};
use callboard_server::{Limits, LogControl, LogFault, Server};
use callboard_tests::checker::Observed;
use callboard_tests::load::history::Recorder;
use callboard_tests::load::{CALL, Load, Part, Reach, Size};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// Between two tries to start a server.
const AGAIN: Duration = Duration::from_millis(500);

/// A machine with a replica.
pub(crate) struct Replica {
    pub name: String,
    pub way: Arc<Way>,
    pub skew: Skew,
    pub seed: u64,
    pub starts: AtomicU64,
    pub drain: Mutex<CancellationToken>,
    pub planted: Planted,
}

impl Replica {
    /// One life of its process.
    pub async fn run(self: Arc<Self>) -> turmoil::Result {
        let start = self.starts.fetch_add(1, Ordering::Relaxed);
        let drain = CancellationToken::new();
        *self.drain.lock().unwrap_or_else(PoisonError::into_inner) = drain.clone();
        let engine = loop {
            let store = Arc::new(FarStore(self.way.clone()));
            let clock = Arc::new(HostClock::start(self.skew.clone()));
            let entropy = Box::new(Seeded(self.seed.wrapping_add(start.wrapping_mul(0x9E37_79B9))));
            match Engine::start(store, self.config(), clock, entropy).await {
                Ok(engine) => break engine,
                Err(_) if drain.is_cancelled() => return Ok(()),
                // Whoever looks after it starts it again.
                Err(_) => tokio::time::sleep(AGAIN).await,
            }
        };
        let limits = Limits { drain: Duration::from_secs(2), ..Limits::default() };
        let server = Server::new(engine, limits, Arc::new(Silent));
        let served = server.serve(net::listen().await?, drain.cancelled_owned()).await;
        served.map_err(|error| error as Box<dyn std::error::Error>)
    }

    fn config(&self) -> Config {
        let rules = Settings {
            stream_lease: Span::seconds(5),
            accept_within: Span::seconds(5),
            cancel_grace: Span::seconds(5),
            planted: self.planted,
            ..Settings::default()
        };
        Config { rules, replica: self.name.clone(), restart_grace: Duration::from_secs(10), ..Config::default() }
    }

    /// Whether its process was asked to stop.
    pub fn drains(&self) -> bool {
        self.drain.lock().unwrap_or_else(PoisonError::into_inner).is_cancelled()
    }

    /// Asks its process to stop.
    pub fn drain(&self) {
        self.drain.lock().unwrap_or_else(PoisonError::into_inner).cancel();
    }
}

/// What everybody who is no server needs.
pub(crate) struct Outside {
    pub servers: Vec<String>,
    pub seed: u64,
    pub recorder: Arc<Recorder>,
    /// The faults are over.
    pub healed: CancellationToken,
    /// What the servers said in the end.
    pub observed: Mutex<Option<Observed>>,
}

/// How much there is of everything. Everything is done in one thread, many thousand times.
const SIZE: Size = Size {
    submitters: 2,
    steerers: 1,
    agents: 1,
    slots: 4,
    claimers: 1,
    speakers: 1,
    readers: 2,
    writers: 1,
    max_attempts: 0,
    families: false,
    conditions: false,
    workflows: false,
    fallbacks: false,
    resources: false,
    turns: false,
    limits: 0,
    longest: 1_500,
    slowness: 12,
    cut_off: true,
    call: CALL,
};

/// Who asks so slowly reaches limits now and then if half of the tasks are under one.
const LIMITED: u32 = 50;

impl Outside {
    fn reach(&self, first: usize) -> Reach {
        let mut addresses = self.servers.clone();
        let count = addresses.len();
        addresses.rotate_left(first % count);
        Reach { addresses, connector: Some(net::connector()), own_threads: false }
    }

    fn size(&self) -> Size {
        match is_of_an_old_world(self.seed) {
            true => SIZE,
            false => Size {
                families: true,
                conditions: true,
                workflows: true,
                fallbacks: true,
                resources: true,
                turns: true,
                limits: LIMITED,
                ..SIZE
            },
        }
    }

    /// A machine's agents, until it dies. They are others each time.
    pub async fn agents(self: Arc<Self>, index: usize, life: u64) -> turmoil::Result {
        let size = match index % 2 {
            0 => Size { claimers: 0, ..self.size() },
            _ => Size { speakers: 0, ..self.size() },
        };
        let part = Part::Doers { first: index as u64 * 100 + life };
        let _load = Load::start_part(&self.reach(index), self.seed, size, part, self.recorder.clone());
        std::future::pending().await
    }

    /// Those who ask, and who look in the end what became of it.
    pub async fn clients(self: Arc<Self>) -> turmoil::Result {
        let reach = self.reach(0);
        let mut load = Load::start_part(&reach, self.seed, self.size(), Part::Askers, self.recorder.clone());
        self.healed.cancelled().await;
        load.stop_asking().await;
        load.heal().await;
        let client: Client = reach.client(CALL);
        let observed = Observed::read(&client).await?;
        *self.observed.lock().unwrap_or_else(PoisonError::into_inner) = Some(observed);
        Ok(())
    }
}

/// A log that nobody reads.
#[derive(Debug)]
struct Silent;

impl LogControl for Silent {
    fn filter(&self) -> String {
        "off".into()
    }

    fn set_filter(&self, _filter: &str, _by: &str) -> Result<String, LogFault> {
        Ok("off".into())
    }
}
