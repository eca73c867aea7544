//! Output of attempts in memory.

use super::tables::conflict;
use crate::{OutputPage, Result};
use callboard_core::model::{OutputChunk, OutputTotals};
use callboard_core::working_set::{ChangeSet, Rows, RunRef, TaskRef, Want};
use std::collections::BTreeMap;

/// The output of all runs.
#[derive(Debug, Default)]
pub(super) struct Output {
    /// By run and where it begins.
    rows: BTreeMap<(RunRef, u64), OutputChunk>,
}

fn place(chunk: &OutputChunk) -> (RunRef, u64) {
    ((chunk.namespace, chunk.task, chunk.run), chunk.offset)
}

impl Output {
    fn of(&self, run: RunRef, from: u64) -> impl DoubleEndedIterator<Item = &OutputChunk> {
        self.rows.range((run, from)..=(run, u64::MAX)).map(|(_, chunk)| chunk)
    }

    /// What is wanted and exists.
    pub fn load(&self, want: &Want, rows: &mut Rows) {
        let last = want.output.iter().filter_map(|run| Some((*run, self.of(*run, 0).next_back()?)));
        rows.output = last.map(|(run, chunk)| (run, OutputTotals::with(chunk))).collect();
    }

    /// Adds new chunks.
    pub fn apply(&mut self, changes: &ChangeSet) -> Result<()> {
        for chunk in &changes.output {
            if self.rows.contains_key(&place(chunk)) {
                return Err(conflict("output of task", chunk.task));
            }
            self.rows.insert(place(chunk), chunk.clone());
        }
        Ok(())
    }

    /// Makes every row that the changes touch what it is in `committed`.
    pub fn restore(&mut self, committed: &Output, changes: &ChangeSet) {
        for chunk in &changes.output {
            if !committed.rows.contains_key(&place(chunk)) {
                self.rows.remove(&place(chunk));
            }
        }
    }

    /// A page of a run's output.
    pub fn page(&self, run: RunRef, offset: u64, limit: usize, max_bytes: usize) -> OutputPage {
        let from = self.rows.range((run, 0)..=(run, offset)).next_back().map_or(0, |(at, _)| at.1);
        let to = offset.saturating_add(max_bytes as u64);
        let behind = self.of(run, from).filter(|chunk| chunk.end() > offset);
        let chunks: Vec<OutputChunk> =
            behind.take_while(|chunk| chunk.offset <= offset || chunk.end() <= to).take(limit).cloned().collect();
        let last = self.of(run, 0).next_back().filter(|_| !chunks.is_empty());
        OutputPage { bytes: last.map_or(0, OutputChunk::end), chunks }
    }

    /// Forgets that of a task.
    pub fn forget(&mut self, (namespace, task): TaskRef) {
        let range = ((namespace, task, 0), 0)..=((namespace, task, u32::MAX), u64::MAX);
        let gone: Vec<_> = self.rows.range(range).map(|(at, _)| *at).collect();
        for at in gone {
            self.rows.remove(&at);
        }
    }
}
