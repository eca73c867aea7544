//! Workflows in memory.

use super::tables::{Tables, conflict};
use crate::durations::{Durations, MAX_TYPES, OF_EACH, task_took};
use crate::{Result, WorkflowPage, workflow_rows};
use callboard_core::model::{
    NamespaceId, Span, Task, TaskId, TaskState, Timestamp, Workflow, WorkflowId, WorkflowTask,
};
use callboard_core::working_set::{ChangeSet, Rows, TaskRef, Want, WorkflowRef};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use uuid::Uuid;

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
    /// Whether a task is of a workflow that runs.
    pub fn keeps(&self, task: TaskRef) -> bool {
        let workflow = self.places.get(&task).and_then(|(workflow, _)| self.rows.get(workflow));
        workflow.is_some_and(|workflow| workflow.ended_at.is_none())
    }

    /// The tasks behind a task in its workflow, so many places on.
    pub fn behind(&self, task: TaskRef, places: usize) -> impl Iterator<Item = TaskRef> {
        let places = u32::try_from(places).unwrap_or(u32::MAX);
        let behind = self.places.get(&task).map(|(workflow, ordinal)| {
            let first = ordinal.saturating_add(1);
            self.tasks.range((*workflow, first)..=(*workflow, ordinal.saturating_add(places).max(first)))
        });
        behind.into_iter().flatten().map(|(_, task)| (task.namespace, task.task))
    }

    /// What is wanted and exists.
    pub fn load(&self, want: &Want, rows: &mut Rows, tasks: &mut BTreeSet<TaskRef>) {
        rows.workflows = want.workflows.iter().filter_map(|at| self.rows.get(at).cloned()).collect();
        for (at, ordinals) in &want.workflow_tasks {
            for task in self.tasks.range((*at, ordinals.start)..(*at, ordinals.end)).map(|(_, task)| task) {
                tasks.insert((task.namespace, task.task));
                rows.workflow_tasks.push(task.clone());
            }
        }
        for (at, names) in &want.workflow_names {
            let all = self.tasks.range((*at, 0)..=(*at, u32::MAX)).map(|(_, task)| task);
            let named = all.filter(|task| task.name.as_ref().is_some_and(|name| names.contains(name)));
            rows.workflow_names.extend(named.cloned());
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

    /// A workflow.
    pub fn one(&self, at: WorkflowRef) -> Option<Workflow> {
        self.rows.get(&at).cloned()
    }

    /// Workflows, newest first.
    pub fn list(
        &self,
        namespace: NamespaceId,
        name: Option<&str>,
        before: Option<WorkflowId>,
        limit: usize,
    ) -> Vec<Workflow> {
        let (nil, end) = (WorkflowId(Uuid::nil()), before.unwrap_or(WorkflowId(Uuid::max())));
        let rows = self.rows.range((namespace, nil)..(namespace, end)).rev().map(|(_, row)| row);
        rows.filter(|row| name.is_none_or(|name| *row.spec.name == *name)).take(limit).cloned().collect()
    }

    /// Those of which tasks are still to be asked to cancel.
    pub fn cancelling(&self, limit: usize) -> Vec<WorkflowRef> {
        let rows = self.rows.iter().filter(|(_, row)| row.walk.is_some());
        rows.map(|(at, _)| *at).take(limit).collect()
    }

    /// Forgets those that have ended, and have no tasks any more.
    pub fn purge(&mut self, before: Timestamp, limit: usize) -> usize {
        let has_tasks = |at: WorkflowRef| self.tasks.range((at, 0)..=(at, u32::MAX)).next().is_some();
        let ended = self.rows.iter().filter(|(_, row)| row.ended_at.is_some_and(|ended| ended < before));
        let gone: Vec<WorkflowRef> = ended.map(|(at, _)| *at).filter(|at| !has_tasks(*at)).take(limit).collect();
        for at in &gone {
            self.rows.remove(at);
        }
        gone.len()
    }
}

impl Tables {
    /// How long the latest tasks of types took.
    pub fn mean_durations(&self, namespace: NamespaceId, types: &[Arc<str>]) -> HashMap<Arc<str>, Span> {
        let mut durations = Durations::default();
        for task_type in types.iter().take(MAX_TYPES) {
            let of_namespace = (namespace, TaskId(Uuid::nil()))..=(namespace, TaskId(Uuid::max()));
            let newest = self.tasks.range(of_namespace).rev().map(|(_, row)| &row.task);
            let of_type = newest.filter(|task| task.spec.task_type == *task_type);
            let completed = of_type.filter(|task| matches!(task.state, TaskState::Completed { .. }));
            completed.take(OF_EACH).for_each(|task| durations.add(task_type, task_took(task)));
        }
        durations.means()
    }

    /// Tasks of a workflow, and the edges to them.
    pub fn workflow_page(&self, at: WorkflowRef, from: u32, limit: usize) -> WorkflowPage {
        let places = self.workflows.tasks.range((at, from)..=(at, u32::MAX)).map(|(_, place)| place);
        let found = places.filter_map(|place| {
            let row = self.tasks.get(&(place.namespace, place.task))?;
            Some((place.clone(), row.task.clone()))
        });
        let tasks: Vec<(WorkflowTask, Task)> = found.take(limit.saturating_add(1)).collect();
        let edges = tasks.iter().flat_map(|(place, _)| self.edges_to((place.namespace, place.task))).cloned().collect();
        workflow_rows::page(tasks, limit, edges)
    }
}
