//! How rules read and add output. The chunks are never here: what is known of a run's output is what it has come to.

use super::access::{Loaded, missing};
use super::{RunRef, WorkingSet};
use crate::model::{OutputChunk, OutputTotals};
use std::collections::{BTreeSet, HashMap};

/// How many runs are known. Beyond that all are forgotten, and asked for again.
const MOST: usize = 100_000;

/// What the output of runs has come to.
#[derive(Debug, Default)]
pub(super) struct KnownOutput {
    runs: HashMap<RunRef, OutputTotals>,
    /// What was known before each chunk that the command added.
    undo: Vec<(RunRef, OutputTotals)>,
}

impl KnownOutput {
    /// Takes in what the store said. What is here stays: it is never older.
    pub fn absorb(&mut self, wanted: &BTreeSet<RunRef>, found: Vec<(RunRef, OutputTotals)>) {
        for (run, totals) in found {
            self.runs.entry(run).or_insert(totals);
        }
        for run in wanted {
            self.runs.entry(*run).or_default();
        }
    }

    fn add(&mut self, chunk: &OutputChunk) {
        let run = (chunk.namespace, chunk.task, chunk.run);
        let before = self.runs.insert(run, OutputTotals::with(chunk));
        self.undo.push((run, before.unwrap_or_default()));
    }

    pub fn keep(&mut self) {
        self.undo.clear();
    }

    pub fn roll_back(&mut self) {
        while let Some((run, before)) = self.undo.pop() {
            self.runs.insert(run, before);
        }
    }

    /// Forgets what is known of a run.
    pub fn forget(&mut self, run: &RunRef) {
        self.runs.remove(run);
    }

    /// Forgets everything, when it is too much.
    pub fn trim(&mut self) {
        if self.runs.len() > MOST {
            self.clear();
        }
    }

    pub fn clear(&mut self) {
        self.runs.clear();
    }
}

impl WorkingSet {
    /// What a run's output has come to.
    pub fn output_totals(&self, run: RunRef) -> Loaded<OutputTotals> {
        match self.output.runs.get(&run) {
            Some(known) => Ok(*known),
            None => missing(|want| {
                want.output.insert(run);
            }),
        }
    }

    /// Adds a chunk behind those that the run has, whose totals were asked for.
    pub fn add_output(&mut self, chunk: OutputChunk) {
        self.output.add(&chunk);
        self.batch.changes.output.push(chunk);
    }
}
