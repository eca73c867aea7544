//! One connection, in its two directions.

use super::commits::Commits;
use super::{Rules, Target, Weather};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::sleep;

const BUFFER: usize = 16 << 10;
/// What it takes to send something again.
const AGAIN: std::ops::Range<u64> = 200..900;

/// How a direction ended.
#[derive(Debug)]
pub enum Side {
    /// Whoever spoke has said all.
    Closed,
    /// The connection is to be broken.
    Broken,
}

/// What the two directions of a connection share.
pub struct Pair {
    rules: Rules,
    /// Some of its bytes have vanished: it is of no more use.
    doomed: AtomicBool,
    /// When the weather changes a doomed connection stays dumb, instead of being broken.
    stays_dumb: bool,
    commits: Option<Commits>,
}

impl Pair {
    pub fn new(rules: Rules, choice: u64, commits: Commits) -> Self {
        Self { rules, doomed: AtomicBool::new(false), stays_dumb: choice.is_multiple_of(2), commits: Some(commits) }
    }

    /// To the server, and from it.
    pub fn sides(&mut self, random: &mut StdRng) -> (Direction<'_>, Direction<'_>) {
        let commits = self.commits.take();
        let pair: &Self = self;
        let mut own = || StdRng::seed_from_u64(random.random());
        let up = Direction { rules: pair.rules.clone(), pair, up: true, random: own(), commits: None };
        let down = Direction { rules: pair.rules.clone(), pair, up: false, random: own(), commits };
        (up, down)
    }
}

/// One direction.
pub struct Direction<'a> {
    rules: Rules,
    pair: &'a Pair,
    up: bool,
    random: StdRng,
    /// From the server: answers to commits.
    commits: Option<Commits>,
}

impl Direction<'_> {
    /// Carries bytes until there are no more, or the connection is to be broken. What is said to `echo` as well is not waited for.
    pub async fn carry(
        mut self,
        from: &mut (impl AsyncRead + Unpin),
        to: &mut (impl AsyncWrite + Unpin),
        mut echo: Option<TcpStream>,
    ) -> Side {
        let mut buffer = vec![0; BUFFER];
        loop {
            let weather = *self.rules.weather.borrow_and_update();
            if weather == Weather::Cut || self.is_lost(weather) {
                return self.broken();
            }
            let read = async {
                if weather == Weather::Stalled { std::future::pending().await } else { from.read(&mut buffer).await }
            };
            let size = tokio::select! {
                read = read => read,
                changed = self.rules.weather.changed() => {
                    if weather == Weather::Stalled {
                        self.rules.counts.late.fetch_add(1, Ordering::Relaxed);
                    }
                    match changed {
                        Ok(()) => continue,
                        Err(_) => return self.broken(),
                    }
                }
            };
            match size {
                Ok(0) => {
                    // What vanishes also hides the end.
                    if self.vanishes(weather) || self.pair.doomed.load(Ordering::Relaxed) {
                        return self.dumb().await;
                    }
                    let _ = to.shutdown().await;
                    return Side::Closed;
                }
                Err(_) => return Side::Broken,
                Ok(size) => {
                    if let Some(end) = self.pass(&buffer[..size], weather, to, &mut echo).await {
                        return end;
                    }
                }
            }
        }
    }

    async fn pass(
        &mut self,
        bytes: &[u8],
        weather: Weather,
        to: &mut (impl AsyncWrite + Unpin),
        echo: &mut Option<TcpStream>,
    ) -> Option<Side> {
        let counts = self.rules.counts.clone();
        if self.vanishes(weather) || self.pair.doomed.load(Ordering::Relaxed) {
            self.pair.doomed.store(true, Ordering::Relaxed);
            counts.vanished.fetch_add(1, Ordering::Relaxed);
            return None;
        }
        if let Some(commits) = &mut self.commits
            && commits.chosen(bytes, &mut self.random)
        {
            counts.commits.fetch_add(1, Ordering::Relaxed);
            return Some(Side::Broken);
        }
        match weather {
            Weather::Slow(delay) => self.wait(delay, &counts.late).await,
            Weather::Lossy if self.random.random_bool(0.01) => return Some(self.broken()),
            Weather::Lossy if self.random.random_bool(0.1) => {
                let delay = Duration::from_millis(self.random.random_range(AGAIN));
                self.wait(delay, &counts.late).await;
            }
            _ => {}
        }
        if let Some(second) = echo {
            // Its answers must not be what the server waits for.
            let mut answers = [0; BUFFER];
            while matches!(second.try_read(&mut answers), Ok(1..)) {}
            match second.try_write(bytes) {
                Ok(size) if size == bytes.len() => drop(counts.repeated.fetch_add(1, Ordering::Relaxed)),
                _ => *echo = None,
            }
        }
        to.write_all(bytes).await.is_err().then_some(Side::Broken)
    }

    async fn wait(&mut self, delay: Duration, count: &AtomicU64) {
        count.fetch_add(1, Ordering::Relaxed);
        sleep(delay).await;
    }

    fn vanishes(&self, weather: Weather) -> bool {
        matches!(weather, Weather::Silent { up, down } if if self.up { up } else { down })
    }

    /// Some of its bytes have vanished, the weather has changed, and somebody tells.
    fn is_lost(&self, weather: Weather) -> bool {
        let silent = matches!(weather, Weather::Silent { .. });
        self.pair.doomed.load(Ordering::Relaxed) && !silent && !self.pair.stays_dumb
    }

    /// Says nothing until the weather breaks it.
    async fn dumb(&mut self) -> Side {
        loop {
            let weather = *self.rules.weather.borrow_and_update();
            if weather == Weather::Cut || self.is_lost(weather) || self.rules.weather.changed().await.is_err() {
                return self.broken();
            }
        }
    }

    fn broken(&self) -> Side {
        self.rules.counts.broken.fetch_add(1, Ordering::Relaxed);
        Side::Broken
    }
}

/// A second connection, whose answers are thrown away.
pub async fn echo(target: &Target) -> Option<TcpStream> {
    let Target::Tcp(address) = target else { return None };
    TcpStream::connect(address).await.ok()
}

/// Breaks a connection: the other side gets a reset.
pub fn break_off(stream: TcpStream) {
    let _ = stream.set_zero_linger();
}
