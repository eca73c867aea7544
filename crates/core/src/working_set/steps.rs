//! How rules read and record steps. Their results are never here: what is known of a step is its key and its result's digest.

use super::access::{Loaded, missing};
use super::{RunRef, StepRef, WorkingSet};
use crate::model::{StepKey, StepTotals, TaskStep};
use std::collections::{BTreeSet, HashMap};

/// How many keys are kept. Beyond that all are forgotten, and asked for again.
const MOST: usize = 100_000;

/// What is known of runs' steps: what was asked for, and what was recorded since.
#[derive(Debug, Default)]
pub(super) struct KnownSteps {
    runs: HashMap<RunRef, RunSteps>,
    /// How many keys, over all runs.
    keys: usize,
    /// What the command recorded, with its size.
    undo: Vec<(StepRef, u64)>,
}

#[derive(Debug, Default)]
struct RunSteps {
    totals: StepTotals,
    /// The digests of recorded steps; `None`: it was asked for, and is not recorded.
    known: HashMap<StepKey, Option<u64>>,
    /// How many of those are recorded.
    recorded: u32,
}

impl RunSteps {
    /// Whether a step is recorded, and its digest; `None` when only the store knows. When every step of the run is here, one
    /// that isn't is not recorded.
    fn digest(&self, key: &StepKey) -> Option<Option<u64>> {
        let all_are_here = self.recorded == self.totals.count;
        self.known.get(key).copied().or(all_are_here.then_some(None))
    }

    fn learn(&mut self, key: StepKey, digest: Option<u64>) -> bool {
        if self.known.contains_key(&key) {
            return false;
        }
        self.recorded += u32::from(digest.is_some());
        self.known.insert(key, digest);
        true
    }
}

impl KnownSteps {
    fn digest(&self, run: &RunRef, key: &StepKey) -> Option<Option<u64>> {
        self.runs.get(run).and_then(|steps| steps.digest(key))
    }

    /// Takes in what the store said. What is here stays: it is never older.
    pub fn absorb(
        &mut self,
        wanted: &BTreeSet<StepRef>,
        found: Vec<(StepRef, u64)>,
        totals: Vec<(RunRef, StepTotals)>,
    ) {
        let found: HashMap<StepRef, u64> = found.into_iter().collect();
        let totals: HashMap<RunRef, StepTotals> = totals.into_iter().collect();
        for step in wanted {
            let (run, key) = step;
            let known = self.runs.entry(*run).or_insert_with(|| RunSteps {
                totals: totals.get(run).copied().unwrap_or_default(),
                ..RunSteps::default()
            });
            self.keys += usize::from(known.learn(key.clone(), found.get(step).copied()));
        }
    }

    fn add(&mut self, step: &TaskStep) {
        let run = (step.namespace, step.task, step.run);
        let size = step.result.len() as u64;
        let steps = self.runs.entry(run).or_default();
        steps.totals.count += 1;
        steps.totals.bytes += size;
        steps.recorded += 1;
        if steps.known.insert(step.key.clone(), Some(step.digest)).is_none() {
            self.keys += 1;
        }
        self.undo.push(((run, step.key.clone()), size));
    }

    pub fn keep(&mut self) {
        self.undo.clear();
    }

    pub fn roll_back(&mut self) {
        while let Some(((run, key), size)) = self.undo.pop() {
            if let Some(steps) = self.runs.get_mut(&run) {
                steps.totals.count -= 1;
                steps.totals.bytes -= size;
                steps.recorded -= 1;
                // That it was not recorded before is known.
                steps.known.insert(key, None);
            }
        }
    }

    /// Forgets what is known of a run.
    pub fn forget(&mut self, run: &RunRef) {
        if let Some(steps) = self.runs.remove(run) {
            self.keys -= steps.known.len();
        }
    }

    /// Forgets everything, when it is too much.
    pub fn trim(&mut self) {
        if self.keys > MOST {
            self.clear();
        }
    }

    pub fn clear(&mut self) {
        self.runs.clear();
        self.keys = 0;
    }
}

impl WorkingSet {
    /// Asks for steps of a run in one go; what is known is not asked for again.
    pub fn want_steps<'k>(&self, run: RunRef, keys: impl Iterator<Item = &'k StepKey>) -> Loaded<()> {
        let unknown: BTreeSet<StepRef> =
            keys.filter(|key| self.steps.digest(&run, key).is_none()).map(|key| (run, key.clone())).collect();
        if unknown.is_empty() { Ok(()) } else { missing(|want| want.steps = unknown) }
    }

    /// The digest of a step's result, when it is recorded.
    pub fn step_digest(&self, run: RunRef, key: &StepKey) -> Loaded<Option<u64>> {
        match self.steps.digest(&run, key) {
            Some(known) => Ok(known),
            None => missing(|want| {
                want.steps.insert((run, key.clone()));
            }),
        }
    }

    /// What a run has recorded, of which a step was asked for.
    pub fn step_totals(&self, run: RunRef) -> StepTotals {
        self.steps.runs.get(&run).map(|steps| steps.totals).unwrap_or_default()
    }

    /// Records a step, which was asked for and is not recorded.
    pub fn add_step(&mut self, step: TaskStep) {
        self.steps.add(&step);
        self.batch.changes.steps.push(step);
    }
}
