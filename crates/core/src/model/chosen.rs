//! How an agent was chosen: what the event of its assignment keeps of it.

use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// The smallest difference of scores that is kept is one of so many parts.
const PARTS: f64 = 1_000_000.0;

/// How the agent of an attempt was chosen. Of one that nobody else was compared with, the event keeps its score alone.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Chosen {
    /// How good it was.
    pub score: KeptScore,
    /// How many agents that could have had the task were compared, itself included.
    #[serde(default = "alone", skip_serializing_if = "is_alone")]
    pub compared: u32,
    /// The best of the others, the next first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub runners_up: Vec<RunnerUp>,
}

/// An agent that could have had a task that another was given.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunnerUp {
    /// Its name.
    pub agent: Arc<str>,
    /// How good it was.
    pub score: KeptScore,
}

/// A score from 0 to 1 in millionths: a third of the bytes of a float's digits, in rows that each attempt writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct KeptScore(u32);

impl KeptScore {
    /// The nearest to a score.
    pub fn of(score: f64) -> Self {
        // In range: it is cut off at the ends, and no number is 0.
        Self((score.clamp(0.0, 1.0) * PARTS).round() as u32)
    }

    /// The score.
    pub fn score(self) -> f64 {
        f64::from(self.0) / PARTS
    }
}

fn alone() -> u32 {
    1
}

fn is_alone(compared: &u32) -> bool {
    *compared == alone()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_score_is_kept_to_a_millionth() {
        for score in [0.0, 0.8, 2.0 / 3.0, 1.0] {
            assert!((KeptScore::of(score).score() - score).abs() <= 0.5 / PARTS, "{score}");
        }
        assert_eq!(KeptScore::of(0.8).score(), 0.8);
        assert_eq!([f64::NAN, -1.0, 7.0].map(|odd| KeptScore::of(odd).score()), [0.0, 0.0, 1.0]);
    }
}
