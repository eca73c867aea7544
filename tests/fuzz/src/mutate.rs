//! Changes an input a little, by chance: what a fuzzer does, without looking at what it reaches.

use rand::Rng;
use rand::rngs::StdRng;

/// The longest input.
const LONGEST: usize = 4_096;

/// Another input made of this one, and of another of the corpus.
pub fn mutate(input: &[u8], other: &[u8], random: &mut StdRng) -> Vec<u8> {
    let mut made = input.to_vec();
    for _ in 0..random.random_range(1..6) {
        let at = random.random_range(0..=made.len());
        match random.random_range(0..6) {
            0 if at < made.len() => made[at] ^= 1 << random.random_range(0..8),
            1 if at < made.len() => made[at] = random.random(),
            2 => made.insert(at, random.random()),
            3 if at < made.len() => drop(made.remove(at)),
            4 => made.truncate(at),
            _ => {
                let from = random.random_range(0..=other.len());
                let to = random.random_range(from..=other.len());
                made.splice(at..at, other[from..to].iter().copied());
            }
        }
    }
    made.truncate(LONGEST);
    made
}
