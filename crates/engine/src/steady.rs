//! The time of day that rows are written by. It never jumps.
//!
//! Timeouts, deadlines, start times and the leases of claims stand in rows as times of day, and a machine's clock may be set an
//! hour on or back at any moment. So the time of day is taken once, at the start, and goes on by a clock that can't be set; where
//! it comes from is watched, and followed slowly. It comes from the store, when replicas share one: then theirs is the same,
//! whatever their machines say. Else it comes from the machine.

use crate::clock::Clock;
use callboard_core::model::{Span, Timestamp};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// A difference is made up for by at most this part of the time that passes: a timeout is at most so much too short or too long, and
/// an hour takes some four days.
const SLOWNESS: i64 = 100;
/// A larger difference is told of.
const TOLD: i64 = 1_000_000;
/// By so much the source may be behind what is in the store, and still not be believed: a day. Machines that begin without a clock, or
/// with one in another time zone, are set right soon. What is further ahead was written by a clock that was wrong itself.
const BEHIND: i64 = 24 * 3_600_000_000;

/// A clock whose time of day doesn't jump.
pub(crate) struct SteadyClock {
    clock: Arc<dyn Clock>,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    /// What is to be added to the time that the machine runs.
    offset: i64,
    /// When the source was looked at last.
    looked: i64,
    /// The source is far off, and this was said.
    told: bool,
}

impl SteadyClock {
    /// The machine's time of day, from now on.
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        let uptime = clock.uptime().0;
        let offset = clock.now().0 - uptime;
        Self { clock, state: Mutex::new(State { offset, looked: uptime, told: false }) }
    }

    /// The time of day is this, at once. Only before anything was written by another.
    pub fn set(&self, source: Timestamp) {
        let uptime = self.clock.uptime().0;
        *self.state() = State { offset: source.0 - uptime, looked: uptime, told: false };
    }

    /// In the store is what happened then, so it can't be earlier now: what waits there for a moment would wait longer than it
    /// was told to, by as much as the source is behind. Only at the start.
    pub fn begin_behind(&self, latest: Timestamp) {
        let behind = latest.0 - self.now().0;
        let seconds = behind / 1_000_000;
        if behind > BEHIND {
            tracing::warn!(
                seconds,
                "the clock is far behind what is in the store, and is believed; what waits there for a moment waits until then"
            );
        } else if behind > 0 {
            self.set(latest);
            if behind > TOLD {
                tracing::warn!(
                    seconds,
                    "the clock is behind what is in the store; this server goes on from there, and follows the clock slowly"
                );
            }
        }
    }

    /// Where the time comes from says this. It is followed slowly.
    pub fn follow(&self, source: Timestamp) {
        let uptime = self.clock.uptime().0;
        let mut state = self.state();
        let off = source.0 - (uptime + state.offset);
        let most = ((uptime - state.looked) / SLOWNESS).max(0);
        state.offset += off.clamp(-most, most);
        state.looked = uptime;
        let far = off.abs() > TOLD;
        if far && !state.told {
            tracing::warn!(seconds = off / 1_000_000, "a clock was set; this server goes on, and follows it slowly");
        }
        state.told = far;
    }

    /// Follows the machine's clock: there is no other.
    pub fn follow_machine(&self) {
        self.follow(self.clock.now());
    }

    /// The time of day.
    pub fn now(&self) -> Timestamp {
        Timestamp(self.clock.uptime().0 + self.state().offset)
    }

    /// Time since some beginning; see [`Clock::elapsed`].
    pub fn elapsed(&self) -> Span {
        self.clock.elapsed()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicI64, Ordering};

    const HOUR: i64 = 3_600_000_000;
    const SECOND: i64 = 1_000_000;

    /// A machine whose clock can be set.
    #[derive(Default)]
    struct Machine {
        runs: AtomicI64,
        ahead: AtomicI64,
    }

    impl Machine {
        fn pass(&self, micros: i64) {
            self.runs.fetch_add(micros, Ordering::Relaxed);
        }

        fn set_ahead(&self, micros: i64) {
            self.ahead.store(micros, Ordering::Relaxed);
        }
    }

    impl Clock for Machine {
        fn now(&self) -> Timestamp {
            Timestamp(self.runs.load(Ordering::Relaxed) + self.ahead.load(Ordering::Relaxed))
        }

        fn elapsed(&self) -> Span {
            Span(self.runs.load(Ordering::Relaxed))
        }
    }

    fn steady() -> (Arc<Machine>, SteadyClock) {
        let machine = Arc::new(Machine::default());
        machine.set_ahead(1_000 * HOUR);
        (machine.clone(), SteadyClock::new(machine))
    }

    #[test]
    fn a_clock_that_is_set_moves_nothing_at_once_and_little_in_a_while() {
        for jump in [HOUR, -HOUR] {
            let (machine, clock) = steady();
            let before = clock.now();
            machine.set_ahead(1_000 * HOUR + jump);
            clock.follow_machine();
            assert_eq!(clock.now(), before);
            for _ in 0..300 {
                machine.pass(SECOND);
                clock.follow_machine();
            }
            let off = clock.now().0 - before.0 - 300 * SECOND;
            assert_eq!(off, jump.signum() * 300 * (SECOND / SLOWNESS));
        }
    }

    #[test]
    fn a_clock_that_drifts_is_followed() {
        let (machine, clock) = steady();
        for second in 1..=10_000 {
            machine.pass(SECOND);
            machine.set_ahead(1_000 * HOUR + second * 200);
            clock.follow_machine();
            assert_eq!(clock.now(), machine.now());
        }
    }

    #[test]
    fn what_was_set_is_reached_in_the_end_and_kept() {
        let (machine, clock) = steady();
        machine.set_ahead(1_000 * HOUR - 10 * SECOND);
        for _ in 0..2_000 {
            machine.pass(SECOND);
            clock.follow_machine();
        }
        assert_eq!(clock.now(), machine.now());
    }

    #[test]
    fn time_begins_behind_what_is_in_the_store_unless_that_is_far_ahead() {
        for behind in [1, SECOND, HOUR, BEHIND] {
            let (machine, clock) = steady();
            let latest = Timestamp(machine.now().0 + behind);
            clock.begin_behind(latest);
            assert_eq!(clock.now(), latest);
            machine.pass(SECOND);
            assert_eq!(clock.now(), latest + Span(SECOND));
        }
        for behind in [-HOUR, 0, BEHIND + 1] {
            let (machine, clock) = steady();
            clock.begin_behind(Timestamp(machine.now().0 + behind));
            assert_eq!(clock.now(), machine.now());
        }
    }

    #[test]
    fn another_source_is_taken_at_the_start() {
        let (machine, clock) = steady();
        clock.set(Timestamp(7 * HOUR));
        machine.pass(SECOND);
        assert_eq!(clock.now(), Timestamp(7 * HOUR + SECOND));
    }
}
