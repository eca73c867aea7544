//! Durable steps in memory.

use super::tables::conflict;
use crate::{Result, StepPage};
use callboard_core::model::{StepTotals, TaskStep};
use callboard_core::working_set::{ChangeSet, Rows, RunRef, StepRef, TaskRef, Want};
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;

/// The steps of all runs.
#[derive(Debug, Default)]
pub(super) struct Steps {
    /// By run and ordinal.
    rows: BTreeMap<(RunRef, u32), TaskStep>,
    ordinals: BTreeMap<StepRef, u32>,
}

fn run_of(step: &TaskStep) -> RunRef {
    (step.namespace, step.task, step.run)
}

impl Steps {
    fn of(&self, run: RunRef, after: u32) -> impl DoubleEndedIterator<Item = &TaskStep> {
        let range = (Bound::Excluded((run, after)), Bound::Included((run, u32::MAX)));
        self.rows.range(range).map(|(_, step)| step)
    }

    fn totals(&self, run: RunRef) -> StepTotals {
        let last = self.of(run, 0).next_back();
        last.map(|step| StepTotals { count: step.ordinal, bytes: step.bytes_so_far }).unwrap_or_default()
    }

    /// What is wanted and exists.
    pub fn load(&self, want: &Want, rows: &mut Rows) {
        for (run, key) in &want.steps {
            let at = (*run, key.clone());
            let recorded = self.ordinals.get(&at).and_then(|ordinal| self.rows.get(&(*run, *ordinal)));
            rows.steps.extend(recorded.map(|step| (at, step.digest)));
        }
        let runs: BTreeSet<RunRef> = want.steps.iter().map(|(run, _)| *run).collect();
        rows.step_totals = runs.into_iter().map(|run| (run, self.totals(run))).collect();
    }

    /// Adds new ones.
    pub fn apply(&mut self, changes: &ChangeSet) -> Result<()> {
        for step in &changes.steps {
            let run = run_of(step);
            let at = (run, step.key.clone());
            if self.ordinals.contains_key(&at) || self.rows.contains_key(&(run, step.ordinal)) {
                return Err(conflict("a step of task", step.task));
            }
            self.ordinals.insert(at, step.ordinal);
            self.rows.insert((run, step.ordinal), step.clone());
        }
        Ok(())
    }

    /// Makes every row that the changes touch what it is in `committed`.
    pub fn restore(&mut self, committed: &Steps, changes: &ChangeSet) {
        for step in &changes.steps {
            let run = run_of(step);
            if !committed.rows.contains_key(&(run, step.ordinal)) {
                self.rows.remove(&(run, step.ordinal));
            }
            if !committed.ordinals.contains_key(&(run, step.key.clone())) {
                self.ordinals.remove(&(run, step.key.clone()));
            }
        }
    }

    /// A page of a run's steps.
    pub fn page(&self, run: RunRef, after: u32, limit: usize, max_bytes: usize) -> StepPage {
        let mut page = StepPage::default();
        let mut bytes = 0;
        for step in self.of(run, after).take(limit) {
            bytes += step.result.len();
            if bytes > max_bytes && !page.steps.is_empty() {
                break;
            }
            page.count = self.totals(run).count;
            page.steps.push(step.clone());
        }
        page
    }

    /// Forgets those of a task.
    pub fn forget(&mut self, (namespace, task): TaskRef) {
        let range = ((namespace, task, 0), 0)..=((namespace, task, u32::MAX), u32::MAX);
        let gone: Vec<_> = self.rows.range(range).map(|(at, step)| (*at, step.key.clone())).collect();
        for ((run, ordinal), key) in gone {
            self.rows.remove(&(run, ordinal));
            self.ordinals.remove(&(run, key));
        }
    }
}
