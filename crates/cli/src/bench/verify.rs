//! Are histories as they must be? Every task: created once, then attempts one after the other, and ended once and as it should,
//! without gaps in its events. Knows nothing of servers: it is given events, in their order, and what is expected of each
//! task, before or after its events. What is done with is forgotten, so that memory is bounded by what is under way.

use std::collections::HashMap;
use std::fmt;

use callboard::v1::{Event, EventType, TaskState};
use uuid::Uuid;

/// This many violations are told in full.
const TOLD: usize = 10;

/// Takes the events of tasks, and says what is wrong with them.
#[derive(Debug, Default)]
pub struct Verifier {
    /// Tasks that have not ended, or of which nobody said what was expected.
    lives: HashMap<Uuid, Life>,
    verified: Verified,
    violations: Violations,
}

/// How a task is to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expected {
    /// Completed, after so many failed attempts.
    Completed {
        /// How many.
        failures: u8,
    },
    /// Cancelled.
    Cancelled,
}

impl Expected {
    /// In the first attempt.
    pub const AT_ONCE: Self = Self::Completed { failures: 0 };
}

/// How far a task is, as its events told.
#[derive(Debug, Default, Clone, Copy)]
struct Life {
    sequence: i64,
    attempt: i32,
    failures: u8,
    step: Step,
    expected: Option<Expected>,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Step {
    /// No event yet.
    #[default]
    Nothing,
    /// Created, or between two attempts.
    Free,
    Assigned,
    Started,
    Completed,
    Cancelled,
}

/// Histories that are as they must be.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Verified {
    /// Tasks.
    pub tasks: u64,
    /// Attempts that were handed back, lost or timed out, and followed by another. Nobody is killed, so that each is
    /// worth a question.
    pub faults: u64,
}

/// What is wrong.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Violations {
    count: u64,
    told: Vec<String>,
}

impl Verifier {
    /// A task that was acknowledged, and is to end like this.
    pub fn expect(&mut self, task: Uuid, expected: Expected) {
        let life = self.lives.entry(task).or_default();
        if life.expected.replace(expected).is_some() {
            self.violations.add(task, "was given to two submitters");
        }
        self.retire(task);
    }

    /// Takes the next event.
    pub fn take(&mut self, event: &Event) {
        let Ok(task) = Uuid::parse_str(&event.task_id) else {
            self.violations.add_text(format!("an event of `{}`, which is no task's id", event.task_id));
            return;
        };
        let life = self.lives.entry(task).or_default();
        match life.live(event) {
            Ok(fault) => self.verified.faults += u64::from(fault),
            Err(violation) => self.violations.add(task, &violation),
        }
        self.retire(task);
    }

    /// Forgets a task that has ended as it should.
    fn retire(&mut self, task: Uuid) {
        let Some(life) = self.lives.get(&task) else { return };
        let (Some(expected), Some(ended)) = (life.expected, life.ended()) else { return };
        if ended != expected {
            self.violations.add(task, &format!("ended as {ended:?} instead of {expected:?}"));
        }
        self.verified.tasks += 1;
        self.lives.remove(&task);
    }

    /// How many tasks have not ended, or nobody spoke for yet.
    pub fn open(&self) -> usize {
        self.lives.len()
    }

    /// Whether nothing is open, or something is wrong already.
    pub fn is_done(&self) -> bool {
        self.lives.is_empty() || self.violations.count > 0
    }

    /// What was right so far.
    ///
    /// # Errors
    ///
    /// What was wrong so far.
    pub fn so_far(&self) -> Result<Verified, Violations> {
        if self.violations.count > 0 { Err(self.violations.clone()) } else { Ok(self.verified) }
    }

    /// All events were taken, and all tasks were expected.
    ///
    /// # Errors
    ///
    /// What is wrong.
    pub fn finish(mut self) -> Result<Verified, Violations> {
        for (task, life) in &self.lives {
            let what = match life.expected {
                None => "has events, and nobody was told that it was created".to_owned(),
                Some(_) => format!("has not ended: its events end with number {}", life.sequence),
            };
            self.violations.add(*task, &what);
        }
        self.so_far()
    }
}

impl Life {
    /// Moves on by an event; whether it tells of a fault.
    fn live(&mut self, event: &Event) -> Result<bool, String> {
        let (number, kind) = (event.sequence, event.r#type());
        let wrong = |what: &str| Err(format!("{what} (event {number}, {kind:?}, attempt {})", event.attempt));
        if number != self.sequence + 1 {
            return wrong(&format!("has event {number} behind event {}", self.sequence));
        }
        self.sequence = number;
        if event.run != 1 {
            return wrong("is in another run than its first");
        }
        match (self.step, kind) {
            (Step::Completed | Step::Cancelled, _) => wrong("goes on after its end"),
            (Step::Nothing, EventType::Created) => self.move_to(Step::Free),
            (Step::Nothing, _) => wrong("does not begin with its creation"),
            (_, EventType::Created) => wrong("was created twice"),
            (Step::Free, EventType::Assigned) if event.attempt == self.attempt + 1 => {
                self.attempt = event.attempt;
                self.move_to(Step::Assigned)
            }
            (Step::Free, EventType::Assigned) => wrong("skips or repeats an attempt"),
            (Step::Free, EventType::Cancelled) if event.state() == TaskState::Cancelled => {
                self.move_to(Step::Cancelled)
            }
            (Step::Free, kind) if is_waiting(kind) => Ok(false),
            (_, EventType::Assigned) => wrong("was given to two agents at once"),
            _ if event.attempt != self.attempt => wrong("has an event of an attempt that is not its own"),
            (Step::Assigned, EventType::Started) => self.move_to(Step::Started),
            (Step::Started, EventType::Completed) if event.state() == TaskState::Completed => {
                self.move_to(Step::Completed)
            }
            (Step::Started, EventType::AttemptFailed) => {
                self.failures = self.failures.saturating_add(1);
                self.move_to(Step::Free)
            }
            (Step::Assigned | Step::Started, kind) if is_fault(kind) => {
                self.step = Step::Free;
                Ok(true)
            }
            (step, _) => wrong(&format!("has an event that does not fit where it was ({step:?})")),
        }
    }

    fn move_to(&mut self, step: Step) -> Result<bool, String> {
        self.step = step;
        Ok(false)
    }

    fn ended(&self) -> Option<Expected> {
        match self.step {
            Step::Completed => Some(Expected::Completed { failures: self.failures }),
            Step::Cancelled => Some(Expected::Cancelled),
            _ => None,
        }
    }
}

/// Tells of a task that no agent has.
fn is_waiting(kind: EventType) -> bool {
    use EventType::{DependencyMet, Held, Ready, Released, RetryScheduled};
    matches!(kind, Ready | DependencyMet | RetryScheduled | Held | Released)
}

/// An attempt ended without the handler's word.
fn is_fault(kind: EventType) -> bool {
    matches!(kind, EventType::HandedBack | EventType::AttemptLost | EventType::AttemptTimedOut)
}

impl Violations {
    fn add(&mut self, task: Uuid, fault: &str) {
        self.add_text(format!("task {task} {fault}"));
    }

    fn add_text(&mut self, text: String) {
        self.count += 1;
        if self.told.len() < TOLD {
            self.told.push(text);
        }
    }
}

impl fmt::Display for Violations {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "histories are not as they must be: {} violations", self.count)?;
        for text in &self.told {
            write!(f, "\n  {text}")?;
        }
        if self.count > self.told.len() as u64 {
            write!(f, "\n  …")?;
        }
        Ok(())
    }
}

#[cfg(test)]
#[path = "verify_tests.rs"]
mod tests;
