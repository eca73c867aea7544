//! Time, passed in.

use callboard_core::model::{Span, Timestamp};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

/// Two clocks: one for rows and people, one for lengths of time.
pub trait Clock: Send + Sync + 'static {
    /// The time of day. May jump.
    fn now(&self) -> Timestamp;

    /// Time since some beginning. Never jumps; liveness is measured with it. It may stand while the machine sleeps.
    fn elapsed(&self) -> Span;

    /// Time since some beginning. Never jumps, and goes on while the machine sleeps, where it is known how long that was.
    fn uptime(&self) -> Span {
        self.elapsed()
    }
}

/// The machine's clocks.
#[derive(Debug)]
pub struct SystemClock {
    began: Instant,
}

impl SystemClock {
    /// Begins now.
    #[allow(clippy::disallowed_methods, reason = "this is the clock that everything else is given")]
    pub fn start() -> Self {
        Self { began: Instant::now() }
    }
}

impl Clock for SystemClock {
    #[allow(clippy::disallowed_methods, reason = "this is the clock that everything else is given")]
    fn now(&self) -> Timestamp {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Timestamp(i64::try_from(since.as_micros()).unwrap_or(i64::MAX))
    }

    fn elapsed(&self) -> Span {
        Span::from_std(self.began.elapsed())
    }

    #[cfg(any(target_os = "linux", target_os = "macos"))]
    fn uptime(&self) -> Span {
        use rustix::time::{ClockId, clock_gettime};
        #[cfg(target_os = "linux")]
        let id = ClockId::Boottime;
        // There it goes on while the machine sleeps.
        #[cfg(target_os = "macos")]
        let id = ClockId::Monotonic;
        let since = clock_gettime(id);
        Span(since.tv_sec.saturating_mul(1_000_000).saturating_add(since.tv_nsec / 1_000))
    }
}
