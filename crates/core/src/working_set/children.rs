//! How rules read and create children of runs.

use super::access::{Loaded, missing};
use super::{ChildRef, RunRef, Want, WorkingSet};
use crate::model::{ChildKey, OnParentEnd, TaskChild, TaskId};
use std::collections::{BTreeSet, HashMap};

/// How many keys are kept. Beyond that all are forgotten, and asked for again.
const MOST: usize = 100_000;

/// What is known of runs' children: what was asked for, and what was created since.
#[derive(Debug, Default)]
pub(super) struct KnownChildren {
    runs: HashMap<RunRef, RunChildren>,
    /// How many keys, over all runs.
    keys: usize,
    /// What the command created.
    undo: Vec<ChildRef>,
}

#[derive(Debug, Default)]
struct RunChildren {
    /// How many the run has.
    count: u32,
    /// Those that are known; `None`: it was asked for, and there is none.
    known: HashMap<ChildKey, Option<TaskId>>,
    /// How many of those there are.
    found: u32,
}

impl RunChildren {
    /// A child; `None` when only the store knows. When every child of the run is here, one that isn't does not exist.
    fn child(&self, key: &ChildKey) -> Option<Option<TaskId>> {
        let all_are_here = self.found == self.count;
        self.known.get(key).copied().or(all_are_here.then_some(None))
    }

    fn learn(&mut self, key: ChildKey, child: Option<TaskId>) -> bool {
        if self.known.contains_key(&key) {
            return false;
        }
        self.found += u32::from(child.is_some());
        self.known.insert(key, child);
        true
    }
}

impl KnownChildren {
    /// Takes in what the store said. What is here stays: it is never older.
    pub fn absorb(&mut self, wanted: &BTreeSet<ChildRef>, found: Vec<(ChildRef, TaskId)>, counts: Vec<(RunRef, u32)>) {
        let found: HashMap<ChildRef, TaskId> = found.into_iter().collect();
        let counts: HashMap<RunRef, u32> = counts.into_iter().collect();
        for child in wanted {
            let (run, key) = child;
            let count = counts.get(run).copied().unwrap_or(0);
            let known = self.runs.entry(*run).or_insert_with(|| RunChildren { count, ..RunChildren::default() });
            self.keys += usize::from(known.learn(key.clone(), found.get(child).copied()));
        }
    }

    fn add(&mut self, child: &TaskChild) {
        let run = (child.namespace, child.parent, child.run);
        let children = self.runs.entry(run).or_default();
        children.count += 1;
        children.found += 1;
        if children.known.insert(child.key.clone(), Some(child.child)).is_none() {
            self.keys += 1;
        }
        self.undo.push((run, child.key.clone()));
    }

    pub fn keep(&mut self) {
        self.undo.clear();
    }

    pub fn roll_back(&mut self) {
        while let Some((run, key)) = self.undo.pop() {
            if let Some(children) = self.runs.get_mut(&run) {
                children.count -= 1;
                children.found -= 1;
                // That there was none before is known.
                children.known.insert(key, None);
            }
        }
    }

    /// Forgets what is known of a run.
    pub fn forget(&mut self, run: &RunRef) {
        if let Some(children) = self.runs.remove(run) {
            self.keys -= children.known.len();
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
    /// A child of a run that may have some.
    pub fn child(&self, run: RunRef, key: &ChildKey) -> Loaded<Option<TaskId>> {
        let known = self.children.runs.get(&run).and_then(|children| children.child(key));
        match known {
            Some(child) => Ok(child),
            None => missing(|want| {
                want.children.insert((run, key.clone()));
            }),
        }
    }

    /// How many children a run has, of which one was asked for, or that has none.
    pub fn child_count(&self, run: RunRef) -> u32 {
        self.children.runs.get(&run).map_or(0, |children| children.count)
    }

    /// A new child, which was asked for and does not exist, or is its run's first.
    pub fn add_child(&mut self, child: TaskChild) {
        self.children.add(&child);
        self.batch.changes.children.push(child);
    }

    /// The children of a run that are cancelled when it ends. One whose task is not loaded has ended.
    pub fn run_children(&self, run: RunRef) -> Loaded<BTreeSet<TaskId>> {
        let Some(stored) = self.batch.run_children.get(&run) else {
            return missing(|want| {
                want.run_children.insert(run);
            });
        };
        let of_run = |child: &&TaskChild| (child.namespace, child.parent, child.run) == run;
        let new = self.batch.changes.children.iter().filter(of_run);
        let new = new.filter(|child| child.on_parent_end == OnParentEnd::Cancel).map(|child| child.child);
        Ok(stored.iter().copied().chain(new).collect())
    }

    pub(super) fn absorb_run_children(&mut self, want: &Want, found: Vec<(RunRef, TaskId)>) {
        for run in &want.run_children {
            self.batch.run_children.entry(*run).or_default();
        }
        for (run, child) in found {
            self.batch.run_children.entry(run).or_default().insert(child);
        }
    }
}
