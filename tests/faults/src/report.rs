//! What a run saw.

use callboard_tests::checker::Violation;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// How a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    /// Every promise was kept.
    Kept,
    /// At least one was broken.
    Violated,
    /// It shows nothing: too little happened, or a fault did not fire.
    Void,
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Kept => "kept",
            Self::Violated => "violated",
            Self::Void => "void",
        })
    }
}

/// Collects what a run saw; it outlives a run that panics.
#[derive(Debug, Default)]
pub struct Report(Mutex<Facts>);

/// What was seen.
#[derive(Clone, Debug, Default)]
pub struct Facts {
    /// Rounds whose fault was seen to fire.
    pub fired: u32,
    /// What else was counted, by name.
    pub seen: BTreeMap<String, u64>,
    /// Acknowledged operations.
    pub operations: u64,
    /// What was broken, in short: a rule, or what the harness relied on.
    pub broken: Vec<String>,
    /// The same for whoever looks for the reason: with the histories of the tasks at fault.
    pub story: String,
    /// Why the run shows nothing, beyond what everybody checks.
    pub void: Vec<String>,
}

impl Report {
    fn facts_mut(&self) -> MutexGuard<'_, Facts> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What was seen so far.
    pub fn facts(&self) -> Facts {
        self.facts_mut().clone()
    }

    /// A round's fault was seen to fire, as something that is counted.
    pub fn fired(&self, what: &str) {
        self.facts_mut().fired += 1;
        self.saw(what, 1);
    }

    /// Something was seen so many times.
    pub fn saw(&self, what: &str, times: u64) {
        *self.facts_mut().seen.entry(what.to_owned()).or_default() += times;
    }

    /// The most of something that was seen: a length of time in milliseconds, say.
    pub fn most(&self, what: &str, amount: u64) {
        let mut facts = self.facts_mut();
        let most = facts.seen.entry(what.to_owned()).or_default();
        *most = amount.max(*most);
    }

    /// Operations were acknowledged.
    pub fn operations(&self, count: u64) {
        self.facts_mut().operations += count;
    }

    /// A promise was broken.
    pub fn broken(&self, what: impl Into<String>) {
        self.facts_mut().broken.push(what.into());
    }

    /// Checks a promise.
    pub fn demand(&self, kept: bool, what: impl FnOnce() -> String) {
        if !kept {
            self.broken(what());
        }
    }

    /// The checker found promises broken; the story tells more of them.
    pub fn violations(&self, found: &[Violation], story: String) {
        let mut facts = self.facts_mut();
        facts.broken.extend(found.iter().map(ToString::to_string));
        facts.story += &story;
    }

    /// The run shows nothing.
    pub fn void(&self, why: impl Into<String>) {
        self.facts_mut().void.push(why.into());
    }
}

impl Facts {
    /// The outcome of a run that was to have so many rounds and operations, and a word on it.
    pub fn outcome(&self, rounds: u32, operations: u64) -> (Outcome, String) {
        if let Some(first) = self.broken.first() {
            let more = self.broken.len() - 1;
            let note = if more > 0 { format!("{first} (and {more} more)") } else { first.clone() };
            return (Outcome::Violated, shortened(&note));
        }
        let mut void = self.void.clone();
        if self.fired < rounds {
            void.push(format!("the fault was seen to fire {} times of {rounds}", self.fired));
        }
        if self.operations < operations {
            void.push(format!("{} operations of at least {operations} were acknowledged", self.operations));
        }
        match void.is_empty() {
            true => (Outcome::Kept, String::new()),
            false => (Outcome::Void, shortened(&void.join("; "))),
        }
    }
}

/// One line that fits into a ledger.
fn shortened(text: &str) -> String {
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    line.chars().take(400).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_did_not_fire_or_did_little_shows_nothing() {
        let report = Report::default();
        report.fired("kill");
        report.operations(10);
        assert_eq!(report.facts().outcome(1, 10), (Outcome::Kept, String::new()));
        assert_eq!(report.facts().outcome(2, 10).0, Outcome::Void);
        assert_eq!(report.facts().outcome(1, 11).0, Outcome::Void);
        report.void("no handler ran");
        assert_eq!(report.facts().outcome(1, 10), (Outcome::Void, "no handler ran".to_owned()));
        report.broken("a task\nis lost");
        report.broken("another");
        assert_eq!(report.facts().outcome(1, 10), (Outcome::Violated, "a task is lost (and 1 more)".to_owned()));
    }
}
