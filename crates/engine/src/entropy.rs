//! Chance from the operating system's generator.

use callboard_core::Entropy;
use callboard_core::model::Timestamp;
use rand::rngs::StdRng;
use rand::{RngCore, SeedableRng};
use uuid::Uuid;

/// A cryptographically secure generator, seeded by the operating system. Its UUIDv7s rise within a millisecond too, so that
/// tasks of one batch keep their order.
#[derive(Debug)]
pub struct SystemEntropy {
    rng: StdRng,
    last_millis: i64,
    counter: u16,
}

/// The counter's room: the 12 bits of `rand_a` (RFC 9562, section 6.2, method 1).
const COUNTER_MAX: u16 = 0x0fff;

impl SystemEntropy {
    /// Seeded by the operating system.
    pub fn new() -> Self {
        Self { rng: StdRng::from_os_rng(), last_millis: 0, counter: 0 }
    }
}

impl Default for SystemEntropy {
    fn default() -> Self {
        Self::new()
    }
}

impl Entropy for SystemEntropy {
    fn bits(&mut self) -> u128 {
        u128::from(self.rng.next_u64()) << 64 | u128::from(self.rng.next_u64())
    }

    fn uuid_v7(&mut self, now: Timestamp) -> Uuid {
        let millis = now.0 / 1_000;
        if millis > self.last_millis {
            self.last_millis = millis;
            // The upper half stays free for ids of the same millisecond.
            self.counter = (self.rng.next_u32() & 0x07ff) as u16;
        } else if self.counter < COUNTER_MAX {
            self.counter += 1;
        } else {
            // The room is used up, or the clock went back: borrow from the future.
            self.last_millis += 1;
            self.counter = 0;
        }
        let mut random = [0; 10];
        self.rng.fill_bytes(&mut random);
        random[..2].copy_from_slice(&self.counter.to_be_bytes());
        let millis = u64::try_from(self.last_millis).unwrap_or(0);
        uuid::Builder::from_unix_timestamp_millis(millis, &random).into_uuid()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_rise_within_a_millisecond_and_when_the_clock_goes_back() {
        let mut entropy = SystemEntropy::new();
        let times = std::iter::repeat_n(1_700_000_000_000_000, 10_000).chain([1_600_000_000_000_000]);
        let ids: Vec<Uuid> = times.map(|at| entropy.uuid_v7(Timestamp(at))).collect();
        assert!(ids.windows(2).all(|pair| pair[0] < pair[1]));
        assert!(ids.iter().all(|id| id.get_version_num() == 7));
    }
}
