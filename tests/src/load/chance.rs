//! The seed of a test's randomness, and how long the test is.

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// A seed: `CALLBOARD_SEED`, or another each time. When its test fails, it says how to choose the same again.
#[derive(Debug)]
pub struct Seed(pub u64);

impl Seed {
    /// Chooses it.
    pub fn choose() -> Self {
        let given = std::env::var("CALLBOARD_SEED").ok();
        let given = given.map(|seed| seed.parse().expect("CALLBOARD_SEED: must be a whole number"));
        Self(given.unwrap_or_else(from_clock))
    }

    /// Randomness from it.
    pub fn random(&self) -> StdRng {
        StdRng::seed_from_u64(self.0)
    }
}

impl Drop for Seed {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("the same choices again: CALLBOARD_SEED={}", self.0);
        }
    }
}

// A test has nobody to be given its randomness by.
#[allow(clippy::disallowed_methods)]
fn from_clock() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::from(now.subsec_nanos()) ^ (now.as_secs() << 32)
}

/// Whether the long form was asked for: `CALLBOARD_LONG=1`.
pub fn is_long() -> bool {
    std::env::var("CALLBOARD_LONG").is_ok_and(|long| long == "1")
}

/// A random length of time.
pub fn random_millis(random: &mut StdRng, millis: std::ops::Range<u64>) -> Duration {
    Duration::from_millis(random.random_range(millis))
}
