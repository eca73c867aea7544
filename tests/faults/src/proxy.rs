//! A network that fails: a proxy between those who connect and a server, which passes bytes on as its [`Weather`] lets it.
//!
//! TCP keeps bytes in order and loses none, so what a network does is seen as this: nothing comes for a while, or ever again; things
//! come late; a connection breaks, with or without a word. What is sent twice on the wire no program sees; only whoever connects anew
//! and says the same again is seen twice ([`Weather::Repeating`]).

mod commits;
mod pump;

use commits::Commits;
use pump::{Pair, Side};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream, UnixStream};
use tokio::sync::watch;
use tokio::task::JoinSet;

/// What happens to bytes on their way.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Weather {
    /// They arrive.
    Fair,
    /// Connections are broken, and no new one is made.
    Cut,
    /// They vanish in these directions, and nobody is told. A connection that lost some is broken, or stays dumb, when the weather changes.
    Silent {
        /// To the server.
        up: bool,
        /// From the server.
        down: bool,
    },
    /// None arrives until the weather changes; then all do.
    Stalled,
    /// Each takes so much longer.
    Slow(Duration),
    /// Some take as long as it takes to send them again, and some connections break.
    Lossy,
    /// What a client says is said once more, on a connection of its own, whose answers nobody hears.
    Repeating,
}

/// What was done to connections.
#[derive(Debug, Default)]
pub struct Counts {
    /// Connections that were made.
    pub connections: AtomicU64,
    /// Connections that were broken, or refused.
    pub broken: AtomicU64,
    /// Pieces that vanished.
    pub vanished: AtomicU64,
    /// Pieces that came late.
    pub late: AtomicU64,
    /// Pieces that were said again.
    pub repeated: AtomicU64,
    /// Commits whose answer was cut off.
    pub commits: AtomicU64,
}

impl Counts {
    /// Everything that was done, added up.
    pub fn faults(&self) -> u64 {
        [&self.broken, &self.vanished, &self.late, &self.repeated, &self.commits]
            .map(|count| count.load(Ordering::Relaxed))
            .iter()
            .sum()
    }
}

/// Where the proxy leads.
#[derive(Clone, Debug)]
pub enum Target {
    /// A port.
    Tcp(SocketAddr),
    /// A socket in a folder, as PostgreSQL has it.
    Unix(PathBuf),
}

/// A proxy. It ends, and breaks its connections, when it is dropped.
#[derive(Debug)]
pub struct Proxy {
    address: SocketAddr,
    weather: watch::Sender<Weather>,
    cut_commits: watch::Sender<u32>,
    counts: Arc<Counts>,
    _listening: JoinSet<()>,
}

/// What its connections share.
#[derive(Clone)]
struct Rules {
    target: Target,
    weather: watch::Receiver<Weather>,
    /// Of a thousand answers to commits so many are cut off, with their connections. For PostgreSQL.
    cut_commits: watch::Receiver<u32>,
    counts: Arc<Counts>,
}

impl Proxy {
    /// Starts one, on a port of its own.
    ///
    /// # Panics
    ///
    /// When no port is free.
    pub async fn start(target: Target, seed: u64) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let (weather, seen) = watch::channel(Weather::Fair);
        let (cut_commits, cut) = watch::channel(0);
        let counts = Arc::new(Counts::default());
        let rules = Rules { target, weather: seen, cut_commits: cut, counts: counts.clone() };
        let mut listening = JoinSet::new();
        listening.spawn(listen(listener, rules, StdRng::seed_from_u64(seed)));
        Self { address, weather, cut_commits, counts, _listening: listening }
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The weather changes.
    pub fn set(&self, weather: Weather) {
        self.weather.send_replace(weather);
    }

    /// Of a thousand commits from now on so many are done, and their answers cut off with their connections.
    pub fn cut_commits(&self, per_mille: u32) {
        self.cut_commits.send_replace(per_mille);
    }

    /// What was done.
    pub fn counts(&self) -> &Counts {
        &self.counts
    }
}

async fn listen(listener: TcpListener, rules: Rules, mut random: StdRng) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                let Ok((client, _)) = accepted else { continue };
                let own = StdRng::seed_from_u64(random.random());
                connections.spawn(connect(client, rules.clone(), own));
            }
            Some(_) = connections.join_next(), if !connections.is_empty() => {}
        }
    }
}

async fn connect(client: TcpStream, mut rules: Rules, random: StdRng) {
    rules.counts.connections.fetch_add(1, Ordering::Relaxed);
    let weather = *rules.weather.borrow_and_update();
    if weather == Weather::Cut {
        rules.counts.broken.fetch_add(1, Ordering::Relaxed);
        return pump::break_off(client);
    }
    let _ = client.set_nodelay(true);
    match &rules.target {
        Target::Tcp(address) => match TcpStream::connect(address).await {
            Ok(server) => {
                let _ = server.set_nodelay(true);
                carry(client, server, rules, random).await;
            }
            Err(_) => pump::break_off(client),
        },
        Target::Unix(path) => match UnixStream::connect(path).await {
            Ok(server) => carry(client, server, rules, random).await,
            Err(_) => pump::break_off(client),
        },
    }
}

/// Carries a connection until either side ends it, or the weather does.
async fn carry<S: AsyncRead + AsyncWrite + Unpin>(client: TcpStream, server: S, rules: Rules, mut random: StdRng) {
    let echo = if *rules.weather.borrow() == Weather::Repeating { pump::echo(&rules.target).await } else { None };
    let commits = Commits::new(rules.cut_commits.clone());
    let mut pair = Pair::new(rules, random.random(), commits);
    // A stream's two halves need not be told apart by more than who reads.
    let mut client = client;
    let (mut server_read, mut server_write) = tokio::io::split(server);
    let (mut client_read, mut client_write) = client.split();
    let (up, down) = pair.sides(&mut random);
    let broken = {
        let upward = up.carry(&mut client_read, &mut server_write, echo);
        let downward = down.carry(&mut server_read, &mut client_write, None);
        tokio::pin!(upward, downward);
        let (first, other_is_up) =
            tokio::select! { ended = &mut upward => (ended, false), ended = &mut downward => (ended, true) };
        match first {
            // One side has said all; the other may still have something to say.
            Side::Closed if other_is_up => matches!(upward.await, Side::Broken),
            Side::Closed => matches!(downward.await, Side::Broken),
            Side::Broken => true,
        }
    };
    if broken {
        pump::break_off(client);
    }
}
