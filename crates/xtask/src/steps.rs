//! Runs steps one after the other, says what each took, and ends with a summary.

use crate::Result;
use std::io::Write;
use std::time::{Duration, Instant};

/// The steps so far.
pub struct Steps {
    done: Vec<Step>,
    /// Where everything is said, in order.
    out: Box<dyn Write>,
}

struct Step {
    name: &'static str,
    took: Duration,
    verdict: Verdict,
    note: String,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Verdict {
    Passed,
    Failed,
    NotRun,
}

impl Verdict {
    fn word(self) -> &'static str {
        match self {
            Self::Passed => "ok",
            Self::Failed => "FAILED",
            Self::NotRun => "not run",
        }
    }
}

impl Steps {
    /// No steps yet.
    pub fn new(out: impl Write + 'static) -> Self {
        Self { done: Vec::new(), out: Box::new(out) }
    }

    /// Runs a step. A failure is shown and remembered, and the steps that don't need it go on: one run finds all faults.
    pub fn run<T>(&mut self, name: &'static str, work: impl FnOnce() -> Result<T>) -> Option<T> {
        self.say(&format!("== {name}"));
        let started = now();
        let outcome = work();
        let took = started.elapsed();
        let verdict = if outcome.is_ok() { Verdict::Passed } else { Verdict::Failed };
        if let Err(error) = &outcome {
            self.say(error.to_string().trim_end());
        }
        self.say(&format!("== {name}: {}, {:.1} s", verdict.word(), took.as_secs_f64()));
        self.done.push(Step { name, took, verdict, note: String::new() });
        outcome.ok()
    }

    /// Runs a step that needs the result of an earlier one; if there is none, it is noted as not run.
    pub fn run_with<N, T>(
        &mut self,
        needed: Option<&N>,
        name: &'static str,
        work: impl FnOnce(&N) -> Result<T>,
    ) -> Option<T> {
        if let Some(needed) = needed {
            return self.run(name, || work(needed));
        }
        self.say(&format!("== {name}: not run, because a step that it needs failed"));
        self.done.push(Step { name, took: Duration::ZERO, verdict: Verdict::NotRun, note: String::new() });
        None
    }

    /// Adds a remark to the latest step's line in the summary.
    pub fn note(&mut self, note: String) {
        if let Some(step) = self.done.last_mut() {
            step.note = note;
        }
    }

    /// Prints the summary. An error if any step failed or could not run.
    pub fn finish(mut self) -> Result<()> {
        let table = self.table();
        self.say(&format!("== summary\n{table}"));
        let bad: Vec<&str> = self.done.iter().filter(|s| s.verdict != Verdict::Passed).map(|s| s.name).collect();
        if bad.is_empty() { Ok(()) } else { Err(format!("failed: {}", bad.join(", ")).into()) }
    }

    /// A reader that has gone away is no reason to stop.
    fn say(&mut self, text: &str) {
        let _ = writeln!(self.out, "{text}").and_then(|()| self.out.flush());
    }

    fn table(&self) -> String {
        let width = self.done.iter().map(|step| step.name.len()).max().unwrap_or(0);
        let mut table = String::new();
        for step in &self.done {
            let (word, took) = (step.verdict.word(), step.took.as_secs_f64());
            let row = format!("{word:<8}{:<width$} {took:>8.1} s  {}", step.name, step.note);
            table += row.trim_end();
            table.push('\n');
        }
        let total: Duration = self.done.iter().map(|step| step.took).sum();
        table + &format!("{:<8}{:<width$} {:>8.1} s", "", "total", total.as_secs_f64())
    }
}

/// How long a step takes is shown to people, and nothing depends on it.
#[allow(clippy::disallowed_methods)]
fn now() -> Instant {
    Instant::now()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_stops_only_what_needs_it() {
        let mut steps = Steps::new(std::io::sink());
        let built: Option<()> = steps.run("build", || Err("no linker".into()));
        steps.run_with(built.as_ref(), "test", |()| Ok(()));
        let other = steps.run("lint", || Ok(1));
        steps.note("7 warnings".into());
        assert_eq!(other, Some(1));
        let table = steps.table();
        let rows: Vec<Vec<&str>> = table.lines().map(|line| line.split_whitespace().collect()).collect();
        assert_eq!(rows[0], ["FAILED", "build", "0.0", "s"]);
        assert_eq!(rows[1], ["not", "run", "test", "0.0", "s"]);
        assert_eq!(rows[2], ["ok", "lint", "0.0", "s", "7", "warnings"]);
        assert_eq!(steps.finish().unwrap_err().to_string(), "failed: build, test");
    }

    #[test]
    fn all_passed_is_no_error() {
        let mut steps = Steps::new(std::io::sink());
        steps.run("lint", || Ok(()));
        assert!(steps.finish().is_ok());
    }
}
