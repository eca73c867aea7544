//! How long to wait before trying again: 100 ms doubling to 5 s, of each a random part between half and the whole.

use std::time::Duration;

const FIRST: Duration = Duration::from_millis(100);
const LONGEST: Duration = Duration::from_secs(5);

/// Counts failures in a row, and says how long to wait after each.
#[derive(Debug, Default, Clone)]
pub(crate) struct Backoff {
    failures: u32,
}

impl Backoff {
    /// The delay after one more failure. What the server asked for goes before the backoff.
    pub(crate) fn next(&mut self, asked: Option<Duration>, fraction: f64) -> Duration {
        let doubled = FIRST.saturating_mul(1 << self.failures.min(16)).min(LONGEST);
        self.failures = self.failures.saturating_add(1);
        jittered(asked.unwrap_or(doubled), fraction)
    }

    /// Something succeeded: begin again with the shortest delay.
    pub(crate) fn reset(&mut self) {
        self.failures = 0;
    }
}

/// Between half of the delay (fraction 0) and the whole (fraction 1).
fn jittered(delay: Duration, fraction: f64) -> Duration {
    delay.mul_f64(0.5 + 0.5 * fraction.clamp(0.0, 1.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_doubles_to_five_seconds() {
        let mut backoff = Backoff::default();
        let delays: Vec<_> = (0..8).map(|_| backoff.next(None, 1.0).as_millis()).collect();
        assert_eq!(delays, [100, 200, 400, 800, 1600, 3200, 5000, 5000]);
        backoff.reset();
        assert_eq!(backoff.next(None, 0.0), Duration::from_millis(50));
    }

    #[test]
    fn the_server_is_heard() {
        let mut backoff = Backoff::default();
        assert_eq!(backoff.next(Some(Duration::from_secs(20)), 0.5), Duration::from_secs(15));
        assert_eq!(backoff.next(None, 1.0), Duration::from_millis(200));
    }

    #[test]
    fn a_thousand_failures_do_not_overflow() {
        let mut backoff = Backoff { failures: u32::MAX };
        assert_eq!(backoff.next(None, 1.0), LONGEST);
    }
}
