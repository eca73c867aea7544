//! Workflows in memory.

use super::tables::conflict;
use crate::Result;
use callboard_core::model::{Workflow, WorkflowTask};
use callboard_core::working_set::{ChangeSet, Rows, TaskRef, Want, WorkflowRef};
use std::collections::{BTreeMap, BTreeSet};

/// All workflows.
#[derive(Debug, Default)]
pub(super) struct Workflows {
    rows: BTreeMap<WorkflowRef, Workflow>,
    tasks: BTreeMap<(WorkflowRef, u32), WorkflowTask>,
    /// Which place of which workflow a task has.
    places: BTreeMap<TaskRef, (WorkflowRef, u32)>,
}

fn place_of(task: &WorkflowTask) -> (WorkflowRef, u32) {
    ((task.namespace, task.workflow), task.ordinal)
}

impl Workflows {
    /// What is wanted and exists.
    pub fn load(&self, want: &Want, rows: &mut Rows, tasks: &mut BTreeSet<TaskRef>) {
        rows.workflows = want.workflows.iter().filter_map(|at| self.rows.get(at).cloned()).collect();
        for (at, ordinals) in &want.workflow_tasks {
            for task in self.tasks.range((*at, ordinals.start)..(*at, ordinals.end)).map(|(_, task)| task) {
                tasks.insert((task.namespace, task.task));
                rows.workflow_tasks.push(task.clone());
            }
        }
    }

    /// Applies changes.
    pub fn apply(&mut self, changes: &ChangeSet) -> Result<()> {
        for changed in &changes.workflows {
            let at = (changed.row.namespace, changed.row.id);
            if self.rows.get(&at).map_or(0, |row| row.version) != changed.expected {
                return Err(conflict("workflow", at.1));
            }
            self.rows.insert(at, changed.row.clone());
        }
        for task in &changes.workflow_tasks {
            let place = place_of(task);
            if self.tasks.contains_key(&place) {
                return Err(conflict("a task of workflow", task.workflow));
            }
            self.places.insert((task.namespace, task.task), place);
            self.tasks.insert(place, task.clone());
        }
        Ok(())
    }

    /// Makes every row that the changes touch what it is in `committed`.
    pub fn restore(&mut self, committed: &Workflows, changes: &ChangeSet) {
        for changed in &changes.workflows {
            let at = (changed.row.namespace, changed.row.id);
            match committed.rows.get(&at) {
                Some(row) => self.rows.insert(at, row.clone()),
                None => self.rows.remove(&at),
            };
        }
        for task in &changes.workflow_tasks {
            let place = place_of(task);
            if !committed.tasks.contains_key(&place) && self.tasks.get(&place) == Some(task) {
                self.tasks.remove(&place);
                self.places.remove(&(task.namespace, task.task));
            }
        }
    }

    /// Forgets a task.
    pub fn forget(&mut self, task: TaskRef) {
        if let Some(place) = self.places.remove(&task) {
            self.tasks.remove(&place);
        }
    }
}
