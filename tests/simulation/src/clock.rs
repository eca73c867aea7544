//! A replica's clock: simulated time, and how far this machine's is off.

use callboard_core::model::{Span, Timestamp};
use callboard_engine::Clock;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use tokio::time::Instant;

/// When every simulation begins, in microseconds.
const EPOCH: i64 = 1_750_000_000_000_000;

/// How far a machine's time of day is off, in microseconds. It stays through restarts.
pub(crate) type Skew = Arc<AtomicI64>;

/// The time of day, truly.
pub(crate) fn right() -> Timestamp {
    Timestamp(EPOCH) + Span::from_std(turmoil::sim_elapsed().unwrap_or_default())
}

/// A process's clock.
#[derive(Debug)]
pub(crate) struct HostClock {
    began: Instant,
    skew: Skew,
}

impl HostClock {
    /// Of a process that begins now.
    pub fn start(skew: Skew) -> Self {
        Self { began: Instant::now(), skew }
    }
}

impl Clock for HostClock {
    fn now(&self) -> Timestamp {
        right() + Span(self.skew.load(Ordering::Relaxed))
    }

    fn elapsed(&self) -> Span {
        Span::from_std(self.began.elapsed())
    }
}
