//! Are histories as they must be? Every task: created once, then attempts one after the other, and completed once, without
//! gaps in its events. Knows nothing of servers: it is given events, in their order.

use std::collections::HashMap;
use std::fmt;

use callboard::v1::{Event, EventType, TaskState};
use uuid::Uuid;

/// This many violations are told in full.
const TOLD: usize = 10;

/// Takes the events of tasks, and says what is wrong with them.
#[derive(Debug, Default)]
pub struct Verifier {
    lives: HashMap<Uuid, Life>,
    /// Of those expected, not ended yet.
    open: usize,
    faults: u64,
    violations: Violations,
}

/// How far a task is, as its events told.
#[derive(Debug, Default, Clone, Copy)]
struct Life {
    sequence: i64,
    attempt: i32,
    /// Failed attempts that are still to come.
    failures_due: u8,
    step: Step,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Step {
    #[default]
    Expected,
    /// Created, or between two attempts.
    Free,
    Assigned,
    Started,
    Ended,
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
    /// A task that was acknowledged, and is to complete in its first attempt.
    pub fn expect(&mut self, task: Uuid) {
        self.expect_after(task, 0);
    }

    /// A task that was acknowledged, and is to complete after so many failed attempts.
    pub fn expect_after(&mut self, task: Uuid, failures: u8) {
        let life = Life { failures_due: failures, ..Life::default() };
        if self.lives.insert(task, life).is_some() {
            self.violations.add(task, "was given to two submitters");
        } else {
            self.open += 1;
        }
    }

    /// Takes the next event.
    pub fn take(&mut self, event: &Event) {
        let Ok(task) = Uuid::parse_str(&event.task_id) else {
            self.violations.add_text(format!("an event of `{}`, which is no task's id", event.task_id));
            return;
        };
        let Some(life) = self.lives.get_mut(&task) else {
            self.violations.add(task, "has events, and nobody was told that it was created");
            return;
        };
        match life.live(event) {
            Ok(Told::Nothing) => {}
            Ok(Told::Fault) => self.faults += 1,
            Ok(Told::End) => self.open -= 1,
            Err(fault) => self.violations.add(task, &fault),
        }
    }

    /// All events were taken.
    ///
    /// # Errors
    ///
    /// What is wrong.
    pub fn finish(mut self) -> Result<Verified, Violations> {
        for (task, life) in &self.lives {
            if life.step != Step::Ended {
                self.violations.add(*task, &format!("has not completed: its events end with number {}", life.sequence));
            }
        }
        if self.violations.count > 0 {
            return Err(self.violations);
        }
        Ok(Verified { tasks: self.lives.len() as u64, faults: self.faults })
    }
}

/// What an event tells beside the rest.
enum Told {
    Nothing,
    Fault,
    End,
}

impl Life {
    fn live(&mut self, event: &Event) -> Result<Told, String> {
        let kind = event.r#type();
        let number = event.sequence;
        let fault = |what: &str| Err(format!("{what} (event {number}, {kind:?}, attempt {})", event.attempt));
        if number != self.sequence + 1 {
            return fault(&format!("has event {number} behind event {}", self.sequence));
        }
        self.sequence = number;
        if event.run != 1 {
            return fault("is in another run than its first");
        }
        let own = event.attempt == self.attempt;
        match (self.step, kind) {
            (Step::Ended, _) => fault("goes on after its end"),
            (Step::Expected, EventType::Created) => self.moves_to(Step::Free),
            (Step::Expected, _) => fault("does not begin with its creation"),
            (_, EventType::Created) => fault("was created twice"),
            (
                Step::Free,
                EventType::Ready
                | EventType::DependencyMet
                | EventType::RetryScheduled
                | EventType::Held
                | EventType::Released,
            ) => Ok(Told::Nothing),
            (Step::Free, EventType::Assigned) if event.attempt == self.attempt + 1 => {
                self.attempt = event.attempt;
                self.moves_to(Step::Assigned)
            }
            (Step::Free, EventType::Assigned) => fault("skips or repeats an attempt"),
            (Step::Assigned | Step::Started, EventType::Assigned) => fault("was given to two agents at once"),
            (Step::Assigned, EventType::Started) if own => self.moves_to(Step::Started),
            (Step::Started, EventType::Completed) if own && event.state() == TaskState::Completed => {
                if self.failures_due > 0 {
                    return fault("completed before it failed as it was to");
                }
                self.step = Step::Ended;
                Ok(Told::End)
            }
            (Step::Started, EventType::AttemptFailed) if own && self.failures_due > 0 => {
                self.failures_due -= 1;
                self.moves_to(Step::Free)
            }
            (
                Step::Assigned | Step::Started,
                EventType::HandedBack | EventType::AttemptLost | EventType::AttemptTimedOut,
            ) if own => {
                self.step = Step::Free;
                Ok(Told::Fault)
            }
            (step, _) => fault(&format!("has an event that does not fit where it was ({step:?})")),
        }
    }

    fn moves_to(&mut self, step: Step) -> Result<Told, String> {
        self.step = step;
        Ok(Told::Nothing)
    }
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
