//! Children of runs in memory.

use super::tables::{Tables, conflict};
use crate::{ChildPage, Result};
use callboard_core::model::{OnParentEnd, TaskChild, TaskId};
use callboard_core::working_set::{ChangeSet, ChildRef, Rows, RunRef, TaskRef, Want};
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;

/// The children of all runs.
#[derive(Debug, Default)]
pub(super) struct Children {
    /// By run and ordinal.
    rows: BTreeMap<(RunRef, u32), TaskChild>,
    ordinals: BTreeMap<ChildRef, u32>,
    /// Whose child a task is: child, parent, and the parent's run and ordinal.
    parents: BTreeSet<(TaskRef, RunRef, u32)>,
}

fn run_of(child: &TaskChild) -> RunRef {
    (child.namespace, child.parent, child.run)
}

impl Children {
    fn of(&self, run: RunRef, after: u32) -> impl DoubleEndedIterator<Item = &TaskChild> {
        let range = (Bound::Excluded((run, after)), Bound::Included((run, u32::MAX)));
        self.rows.range(range).map(|(_, child)| child)
    }

    fn insert(&mut self, child: &TaskChild) {
        let run = run_of(child);
        self.ordinals.insert((run, child.key.clone()), child.ordinal);
        self.parents.insert(((child.namespace, child.child), run, child.ordinal));
        self.rows.insert((run, child.ordinal), child.clone());
    }

    fn remove(&mut self, child: &TaskChild) {
        let run = run_of(child);
        self.ordinals.remove(&(run, child.key.clone()));
        self.rows.remove(&(run, child.ordinal));
        self.parents.remove(&((child.namespace, child.child), run, child.ordinal));
    }

    /// What is wanted and exists.
    pub fn load(&self, want: &Want, rows: &mut Rows) {
        for (run, key) in &want.children {
            let at = (*run, key.clone());
            let found = self.ordinals.get(&at).and_then(|ordinal| self.rows.get(&(*run, *ordinal)));
            rows.children.extend(found.map(|child| (at, child.child)));
        }
        let runs: BTreeSet<RunRef> = want.children.iter().map(|(run, _)| *run).collect();
        let count = |run: RunRef| self.of(run, 0).next_back().map_or(0, |child| child.ordinal);
        rows.child_counts = runs.into_iter().map(|run| (run, count(run))).collect();
    }

    /// Those of a run that are cancelled with it.
    pub fn ending_with(&self, run: RunRef) -> impl Iterator<Item = TaskId> + '_ {
        self.of(run, 0).filter(|child| child.on_parent_end == OnParentEnd::Cancel).map(|child| child.child)
    }

    /// Whose child a task is.
    pub fn parents_of(&self, child: TaskRef) -> impl Iterator<Item = TaskRef> + '_ {
        let first = (child.0, TaskId(uuid::Uuid::nil()), 0);
        let from = self.parents.range((child, first, 0)..);
        from.take_while(move |(of, _, _)| *of == child).map(|(_, (namespace, parent, _), _)| (*namespace, *parent))
    }

    /// Adds new ones.
    pub fn apply(&mut self, changes: &ChangeSet) -> Result<()> {
        for child in &changes.children {
            let run = run_of(child);
            if self.ordinals.contains_key(&(run, child.key.clone())) || self.rows.contains_key(&(run, child.ordinal)) {
                return Err(conflict("a child of task", child.parent));
            }
            self.insert(child);
        }
        Ok(())
    }

    /// Makes every row that the changes touch what it is in `committed`.
    pub fn restore(&mut self, committed: &Children, changes: &ChangeSet) {
        for child in &changes.children {
            let at = (run_of(child), child.ordinal);
            if !committed.rows.contains_key(&at) && self.rows.get(&at) == Some(child) {
                self.remove(child);
            }
        }
    }

    /// Forgets those of a parent.
    pub fn forget(&mut self, (namespace, task): TaskRef) {
        let range = ((namespace, task, 0), 0)..=((namespace, task, u32::MAX), u32::MAX);
        let gone: Vec<TaskChild> = self.rows.range(range).map(|(_, child)| child.clone()).collect();
        for child in gone {
            self.remove(&child);
        }
    }
}

impl Tables {
    /// Children that end with the wanted runs; those of them that live are added to `tasks`.
    pub fn load_run_children(&self, want: &Want, rows: &mut Rows, tasks: &mut BTreeSet<TaskRef>) {
        for run in &want.run_children {
            for child in self.children.ending_with(*run) {
                rows.run_children.push((*run, child));
                tasks.extend(Some((run.0, child)).filter(|task| self.live.contains(task)));
            }
        }
    }

    /// A page of a run's children, each with its task.
    pub fn child_page(&self, run: RunRef, after: u32, limit: usize) -> ChildPage {
        let with_task = |child: &TaskChild| {
            let task = self.tasks.get(&(child.namespace, child.child)).map(|row| row.task.clone());
            (child.clone(), task)
        };
        self.children.of(run, after).take(limit).map(with_task).collect()
    }
}
