//! Chance, passed in.

use crate::model::{LeaseToken, Timestamp};
use uuid::Uuid;

/// Where ids, tokens and jitter come from. The engine gives a random one; tests and simulations give a seeded one.
pub trait Entropy: Send {
    /// 128 random bits.
    fn bits(&mut self) -> u128;

    /// A UUIDv7 of the given time.
    fn uuid_v7(&mut self, now: Timestamp) -> Uuid {
        let millis = u64::try_from(now.0 / 1_000).unwrap_or(0);
        let bits = self.bits().to_be_bytes();
        let mut random = [0; 10];
        random.copy_from_slice(&bits[..10]);
        uuid::Builder::from_unix_timestamp_millis(millis, &random).into_uuid()
    }

    /// A lease token.
    fn token(&mut self) -> LeaseToken {
        LeaseToken(self.bits())
    }

    /// A number from 0 to 1.
    fn unit(&mut self) -> f64 {
        (self.bits() >> 75) as f64 / (1u64 << 53) as f64
    }
}

/// Entropy from a seed: the same seed, the same numbers. SplitMix64 (Steele, Lea, Flood 2014), for tests and simulations only.
#[derive(Clone, Debug)]
pub struct Seeded(pub u64);

impl Seeded {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }
}

impl Entropy for Seeded {
    fn bits(&mut self) -> u128 {
        u128::from(self.next()) << 64 | u128::from(self.next())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_carry_their_time_and_units_stay_in_range() {
        let mut entropy = Seeded(7);
        let id = entropy.uuid_v7(Timestamp(1_700_000_000_000_000));
        assert_eq!(id.get_version_num(), 7);
        assert_eq!(id.get_timestamp().map(|t| t.to_unix().0), Some(1_700_000_000));
        for _ in 0..1_000 {
            assert!((0.0..1.0).contains(&entropy.unit()));
        }
    }
}
