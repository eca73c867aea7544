//! What the committer tells of each batch. It alone calls this, so that nothing is locked but the histograms, which nobody else
//! writes.

use super::{MAX_TYPES, Metrics, Outcome, Reason, State, TaskType};
use crate::effects::Decided;
use crate::error::Error;
use crate::names::Names;
use callboard_core::command::{Effect, Reply};
use callboard_core::model::{EventKind, NamespaceId, Span, StateName, Task, TaskId, TaskState};
use callboard_core::rejection;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::histogram::Histogram;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

/// How attempts begin and end, in the order of [`Attempts`].
const OUTCOMES: [&str; 6] = ["started", "completed", "failed", "timed_out", "lost", "handed_back"];
const ENDS: [&str; 4] = ["completed", "failed", "cancelled", "skipped"];

/// The series of a task type.
#[derive(Clone, Debug)]
struct Series {
    schedule_to_start: Histogram,
    run_time: Histogram,
}

/// Handles, found by what is in a row.
#[derive(Debug)]
pub(crate) struct Observer {
    metrics: Arc<Metrics>,
    attempts: [Counter; OUTCOMES.len()],
    ended: [Counter; ENDS.len()],
    rejected: HashMap<rejection::Reason, Counter>,
    types: HashMap<NamespaceId, HashMap<Arc<str>, Series>>,
    known: usize,
    others: Series,
}

impl Observer {
    pub fn new(metrics: Arc<Metrics>) -> Self {
        let attempts = OUTCOMES.map(|outcome| metrics.attempts.get_or_create_owned(&Outcome { outcome }));
        let ended = ENDS.map(|state| metrics.ended.get_or_create_owned(&State { state }));
        let others = series(&metrics, &TaskType::other());
        Self { metrics, attempts, ended, rejected: HashMap::new(), types: HashMap::new(), known: 0, others }
    }

    /// A transaction was committed.
    pub fn committed(&self, commands: usize, took: Span) {
        self.metrics.batch.observe(commands as f64);
        self.metrics.commit.observe(seconds(took));
    }

    /// What a batch decided. Before its effects are carried out.
    pub fn decided(&mut self, decided: &Decided, names: &Names) {
        self.count_events(decided);
        let mut claimed = HashSet::new();
        for result in &decided.results {
            match result {
                Ok(outcome) => {
                    self.times(&outcome.effects, names);
                    if let Reply::Claimed(fences) = &outcome.reply {
                        claimed.extend(fences.iter().map(|fence| fence.task));
                    }
                }
                Err(Error::Rejected(rejection)) => self.reject(rejection.reason),
                Err(_) => {}
            }
        }
        self.times(&decided.dispatched, names);
        if !claimed.is_empty() {
            self.claimed(decided, &claimed, names);
        }
    }

    fn count_events(&self, decided: &Decided) {
        let (mut attempts, mut ended, mut created) = ([0_u64; OUTCOMES.len()], [0_u64; ENDS.len()], 0);
        for event in &decided.changes.events {
            match &event.kind {
                EventKind::Created => created += 1,
                EventKind::Assigned { .. } => attempts[0] += 1,
                EventKind::Completed { .. } => {
                    attempts[1] += 1;
                    ended[0] += 1;
                }
                EventKind::AttemptFailed { .. } => attempts[2] += 1,
                EventKind::AttemptTimedOut { .. } => attempts[3] += 1,
                EventKind::AttemptLost { .. } => attempts[4] += 1,
                EventKind::HandedBack { .. } => attempts[5] += 1,
                EventKind::Failed { .. } => ended[1] += 1,
                EventKind::Cancelled { .. } => ended[2] += 1,
                EventKind::Skipped { .. } => ended[3] += 1,
                _ => {}
            }
        }
        self.metrics.created.inc_by(created);
        let counts = attempts.into_iter().chain(ended);
        self.attempts.iter().chain(&self.ended).zip(counts).filter(|(_, count)| *count > 0).for_each(|(counter, n)| {
            counter.inc_by(n);
        });
    }

    fn times(&mut self, effects: &[Effect], names: &Names) {
        for effect in effects {
            match effect {
                Effect::Assign { task, .. } => self.started(task, names),
                Effect::Ended { task, .. } => {
                    // Nobody ran a task that was skipped, or cancelled before its first attempt.
                    let ran =
                        task.started_at.zip(task.state.ended_at()).filter(|_| task.state.name() != StateName::Skipped);
                    if let Some((started, ended)) = ran {
                        self.series(task, names).run_time.observe(seconds(ended.since(started)));
                    }
                }
                _ => {}
            }
        }
    }

    fn started(&mut self, task: &Task, names: &Names) {
        if let TaskState::Assigned { lease, ready_since } = &task.state {
            self.series(task, names).schedule_to_start.observe(seconds(lease.assigned_at.since(*ready_since)));
        }
    }

    fn claimed(&mut self, decided: &Decided, claimed: &HashSet<TaskId>, names: &Names) {
        for changed in decided.changes.tasks.iter().filter(|changed| claimed.contains(&changed.row.id)) {
            self.started(&changed.row, names);
        }
    }

    fn reject(&mut self, reason: rejection::Reason) {
        let metrics = &self.metrics;
        let make = || metrics.rejected.get_or_create_owned(&Reason { reason: constant_case(&format!("{reason:?}")) });
        self.rejected.entry(reason).or_insert_with(make).inc();
    }

    fn series(&mut self, task: &Task, names: &Names) -> &Series {
        let task_type = &task.spec.task_type;
        let known = self.types.get(&task.namespace).is_some_and(|types| types.contains_key(&**task_type));
        if !known && self.known < MAX_TYPES {
            let label = TaskType {
                namespace: names.name(task.namespace).map(|name| name.to_string()).unwrap_or_default(),
                task_type: task_type.to_string(),
            };
            let new = series(&self.metrics, &label);
            self.types.entry(task.namespace).or_default().insert(task_type.clone(), new);
            self.known += 1;
        }
        self.types.get(&task.namespace).and_then(|types| types.get(&**task_type)).unwrap_or(&self.others)
    }
}

fn series(metrics: &Metrics, label: &TaskType) -> Series {
    Series {
        schedule_to_start: metrics.schedule_to_start.get_or_create_owned(label),
        run_time: metrics.run_time.get_or_create_owned(label),
    }
}

fn seconds(span: Span) -> f64 {
    span.0 as f64 / 1e6
}

/// `TaskNotFound` as the protocol writes it: `TASK_NOT_FOUND`.
fn constant_case(name: &str) -> String {
    let mut text = String::with_capacity(name.len() + 4);
    for (place, letter) in name.chars().enumerate() {
        if letter.is_ascii_uppercase() && place > 0 {
            text.push('_');
        }
        text.push(letter.to_ascii_uppercase());
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasons_are_written_as_in_the_protocol() {
        assert_eq!(constant_case("TaskNotFound"), "TASK_NOT_FOUND");
        assert_eq!(constant_case("InvalidField"), "INVALID_FIELD");
    }
}
