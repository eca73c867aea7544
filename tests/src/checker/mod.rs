//! Holds a server to its promises: compares what happened to a load with what the server says of it afterwards.
//!
//! Every rule names the promise of which it is the proof. A rule is never told how the server works, only what it said.

mod acknowledged;
mod dependencies;
mod fallbacks;
mod families;
mod histories;
mod holding;
mod letters;
mod limits;
mod living;
mod observed;
mod outcomes;
#[cfg(test)]
mod tests;
mod turns;
mod watches;
mod workflows;

use crate::load::history::History;
pub use living::{assert_none_taken, losses, taken, taken_from_anybody};
pub use observed::{Observed, Seen};
use std::fmt::{Display, Formatter};

/// What must hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Rule {
    /// A task that was acknowledged exists, and is what was asked.
    NothingLost,
    /// A task that nobody asked for does not exist.
    NothingInvented,
    /// A request that is repeated with its request id has one effect, and one answer.
    RepeatedOnce,
    /// Of a batch all tasks exist, or none.
    AllOrNone,
    /// At most one live task has a key.
    OneLivePerKey,
    /// Every task ends.
    EveryTaskEnds,
    /// A run has exactly one terminal event, and nothing behind it but the next run.
    OneEndPerRun,
    /// A history's sequence is 1, 2, 3, …
    Gapless,
    /// Attempts are numbered 1, 2, 3, … in the order of their leases.
    AttemptsRise,
    /// Between an attempt's lease and its end there is no other lease.
    OneLease,
    /// A task and the last event of its history say the same.
    StateIsHistory,
    /// What a task gave is what a handler of that attempt gave.
    TrueResult,
    /// An attempt that failed is one whose handler failed.
    TrueFailure,
    /// A handler runs once per attempt.
    AttemptRunsOnce,
    /// A report that was committed shows, and the same report gets the same receipt.
    ReceiptHolds,
    /// A report of what is no current lease changes nothing.
    LiesRefused,
    /// Each attempt has a lease token of its own.
    TokensDiffer,
    /// A cancelled run ends CANCELLED, unless it had ended before.
    CancelHolds,
    /// A retried task has the run that its receipt names.
    RetryHolds,
    /// A dependent runs behind its dependencies, each ended as its condition says, with their results; one that ends by them has one that
    /// ended otherwise, and ends as was asked for then.
    DependentsFollow,
    /// An attempt is given to an agent that fits what counts then: of a task that asks for what nobody has, behind its fallback, which is
    /// told once a run, and shown.
    FallsBack,
    /// Under one key a run of a task has one child, which was asked for.
    ChildOfOneKey,
    /// When a run ends, so do its children: what still runs can only be cancelled.
    ChildrenEnd,
    /// An attempt pauses and goes on by turns.
    PausesAlternate,
    /// An agent never has more than its slots: a paused attempt keeps none.
    SlotsHold,
    /// An agent's tasks never take more of a resource than it said it has.
    ResourcesHold,
    /// No attempt begins beyond a limit of its keys: neither too many at once nor too many in a time.
    LimitsHold,
    /// A workflow's state and numbers are what its tasks say.
    WorkflowTells,
    /// Output has no gap, and is what handlers gave.
    OutputWhole,
    /// A message that was acknowledged to its sender comes to whom it was for.
    MessageArrives,
    /// A message whose acknowledgement has its receipt never comes again.
    AcknowledgedIsGone,
    /// Messages of one sender come in the order in which they were sent.
    MessagesInOrder,
    /// A watch sees every event, each task's in order, and each once.
    WatchMissesNothing,
    /// No answer that no fault explains.
    NoSurprise,
}

/// A promise that was broken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// Which.
    pub rule: Rule,
    /// Of which task or request.
    pub about: String,
    /// How.
    pub what: String,
}

impl Display for Violation {
    fn fmt(&self, f: &mut Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:?}: {}: {}", self.rule, self.about, self.what)
    }
}

/// Collects violations.
#[derive(Debug, Default)]
struct Findings(Vec<Violation>);

impl Findings {
    fn add(&mut self, rule: Rule, about: impl Into<String>, what: impl Into<String>) {
        self.0.push(Violation { rule, about: about.into(), what: what.into() });
    }

    fn demand(&mut self, holds: bool, rule: Rule, about: &str, what: impl FnOnce() -> String) {
        if !holds {
            self.add(rule, about, what());
        }
    }
}

/// Every promise that was broken.
pub fn check(history: &History, observed: &Observed) -> Vec<Violation> {
    let mut findings = Findings::default();
    histories::check(observed, &mut findings);
    acknowledged::check(history, observed, &mut findings);
    outcomes::check(history, observed, &mut findings);
    dependencies::check(history, observed, &mut findings);
    fallbacks::check(observed, &mut findings);
    families::check(history, observed, &mut findings);
    holding::check(history, observed, &mut findings);
    limits::check(history, observed, &mut findings);
    workflows::check(history, observed, &mut findings);
    letters::check(history, &mut findings);
    watches::check(history, observed, &mut findings);
    for surprise in &history.surprises {
        findings.add(Rule::NoSurprise, "an answer", surprise);
    }
    findings.0
}

/// Whether those who watch have seen everything by now.
pub fn is_all_watched(history: &History, observed: &Observed) -> bool {
    let mut findings = Findings::default();
    watches::check(history, observed, &mut findings);
    findings.0.is_empty()
}

/// What was broken, with the histories of the tasks at fault, and what else is to be told.
pub fn story(history: &History, observed: &Observed, logs: &str) -> String {
    let violations = check(history, observed);
    let mut story = format!("{} promises were broken:\n", violations.len());
    for violation in violations.iter().take(20) {
        story += &format!("{violation}\n{}", observed.tell(&violation.about, history));
    }
    story + logs
}

/// Fails the test when a promise was broken: says which, with the histories of the tasks at fault.
pub fn assert_kept(history: &History, observed: &Observed) {
    if !check(history, observed).is_empty() {
        panic!("{}", story(history, observed, ""));
    }
}
