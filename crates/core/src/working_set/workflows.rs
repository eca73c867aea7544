//! How rules read and write workflows. Those that go on are known behind their batch; which tasks they have is known for one batch alone.

use super::access::{Loaded, missing};
use super::{Want, WorkflowRef, WorkingSet};
use crate::model::{TaskId, Workflow, WorkflowTask};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ops::Range;
use std::sync::Arc;

/// Tasks of a workflow by their ordinals, as the store has them.
#[derive(Debug, Default)]
pub(super) struct KnownTasks {
    /// Which were asked for.
    asked: Range<u32>,
    found: BTreeMap<u32, TaskId>,
}

/// How many workflows are known behind their batch. Beyond that all are forgotten, and asked for again.
const MOST: usize = 10_000;

/// Which tasks of a workflow have which names, as the store has them; none where no task has the name.
pub(super) type KnownNames = HashMap<Arc<str>, Option<TaskId>>;

impl WorkingSet {
    /// A workflow.
    pub fn workflow(&self, at: WorkflowRef) -> Loaded<Option<&Workflow>> {
        match self.workflows.get(&at) {
            Some(row) => Ok(row),
            None => missing(|want| {
                want.workflows.insert(at);
            }),
        }
    }

    /// Writes a workflow.
    pub fn put_workflow(&mut self, mut row: Workflow) {
        let stored = row.version;
        row.version += 1;
        let at = (row.namespace, row.id);
        self.batch.met_workflows.push(at);
        self.workflows.put(at, Some(row), stored);
    }

    /// A new task of a workflow.
    pub fn add_workflow_task(&mut self, row: WorkflowTask) {
        self.batch.changes.workflow_tasks.push(row);
    }

    /// Tasks of a workflow with these ordinals, each loaded unless it was forgotten.
    pub fn workflow_tasks(&self, at: WorkflowRef, ordinals: Range<u32>) -> Loaded<BTreeMap<u32, TaskId>> {
        let known = self.batch.workflow_tasks.get(&at);
        let Some(known) = known.filter(|known| known.asked.start <= ordinals.start && ordinals.end <= known.asked.end)
        else {
            return missing(|want| {
                want.workflow_tasks.insert(at, ordinals);
            });
        };
        let stored = known.found.range(ordinals.clone()).map(|(ordinal, task)| (*ordinal, *task));
        let new = self.batch.changes.workflow_tasks.iter();
        let new = new.filter(|row| (row.namespace, row.workflow) == at && ordinals.contains(&row.ordinal));
        Ok(stored.chain(new.map(|row| (row.ordinal, row.task))).collect())
    }

    /// Those of a workflow's tasks that have these names, by name.
    pub fn workflow_names(&self, at: WorkflowRef, names: &BTreeSet<Arc<str>>) -> Loaded<HashMap<Arc<str>, TaskId>> {
        let known = self.batch.workflow_names.get(&at);
        let is_known = |name: &&Arc<str>| known.is_some_and(|known| known.contains_key(*name));
        let unknown: BTreeSet<Arc<str>> = names.iter().filter(|name| !is_known(name)).cloned().collect();
        if !unknown.is_empty() {
            return missing(|want| {
                want.workflow_names.insert(at, unknown);
            });
        }
        let stored = names.iter().filter_map(|name| Some((name.clone(), (*known?.get(name)?)?)));
        let new = self.batch.changes.workflow_tasks.iter().filter(|row| (row.namespace, row.workflow) == at);
        let new = new.filter_map(|row| Some((row.name.clone().filter(|name| names.contains(name))?, row.task)));
        Ok(stored.chain(new).collect())
    }

    /// Takes in whose names a store found. A name that was wanted and not found is nobody's.
    pub(super) fn absorb_workflow_names(&mut self, want: &Want, found: Vec<WorkflowTask>) {
        for (at, names) in &want.workflow_names {
            let known = self.batch.workflow_names.entry(*at).or_default();
            known.extend(names.iter().map(|name| (name.clone(), None)));
        }
        for row in found {
            let known = self.batch.workflow_names.entry((row.namespace, row.workflow)).or_default();
            known.extend(row.name.map(|name| (name, Some(row.task))));
        }
    }

    /// Takes in what a store found. What was wanted and not found is known to be absent.
    pub(super) fn absorb_workflows(&mut self, want: &Want, rows: Vec<Workflow>, tasks: Vec<WorkflowTask>) {
        for row in rows {
            self.workflows.absorb((row.namespace, row.id), Some(row));
        }
        for at in &want.workflows {
            self.workflows.absorb(*at, None);
        }
        self.batch.met_workflows.extend(&want.workflows);
        for (at, asked) in &want.workflow_tasks {
            self.batch.workflow_tasks.insert(*at, KnownTasks { asked: asked.clone(), found: BTreeMap::new() });
        }
        for row in tasks {
            let known = self.batch.workflow_tasks.entry((row.namespace, row.workflow)).or_default();
            known.found.insert(row.ordinal, row.task);
        }
    }

    /// The batch is committed: of those that it met, forgets those that are absent or have ended, which the store may forget as well.
    pub(super) fn keep_workflows(&mut self, met: Vec<WorkflowRef>) {
        for at in met {
            if self.workflows.row(&at).is_none_or(|workflow| workflow.ended_at.is_some()) {
                self.workflows.forget_one(&at);
            }
        }
        if self.workflows.len() > MOST {
            self.workflows.forget(|_, _| true);
        }
    }
}
