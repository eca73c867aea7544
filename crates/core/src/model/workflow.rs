//! Workflows: tasks that were created together, and what has become of them so far.

use super::edge::Terms;
use super::id::{NamespaceId, TaskId, WorkflowId};
use super::spec::NewTask;
use super::task::{Cancelling, StateName};
use super::time::Timestamp;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// What a caller asks for.
#[derive(Clone, Debug, PartialEq)]
pub struct NewWorkflow {
    /// What it is to be.
    pub spec: WorkflowSpec,
    /// Its tasks.
    pub tasks: Vec<NewWorkflowTask>,
    /// Their places, each behind those that it waits for: see [`crate::plan::order`].
    pub order: Vec<usize>,
}

/// Tasks that are to be added to a workflow.
#[derive(Clone, Debug, PartialEq)]
pub struct AddedTasks {
    /// Which; places in `depends_on` are places in this list.
    pub tasks: Vec<NewWorkflowTask>,
    /// Their places, each behind those that it waits for: see [`crate::plan::order_behind`].
    pub order: Vec<usize>,
    /// What they wait for of what the workflow has already.
    pub behind: Vec<Behind>,
}

/// What an added task waits for of what its workflow has already.
#[derive(Clone, Debug, PartialEq)]
pub struct Behind {
    /// The place of the task among those that are added.
    pub place: usize,
    /// Where in its `depends_on` that was said.
    pub index: usize,
    /// What the other is called in the workflow.
    pub name: Arc<str>,
    /// What is asked of it.
    pub terms: Terms,
}

/// A task of a workflow that is asked for.
#[derive(Clone, Debug, PartialEq)]
pub struct NewWorkflowTask {
    /// What it is called within the workflow.
    pub name: Arc<str>,
    /// What it is; what it waits for outside of the workflow stands there.
    pub task: NewTask,
    /// What it waits for within the workflow: places in the list of tasks, and what is asked of each.
    pub depends_on: Vec<(usize, Terms)>,
    /// The workflow may complete although it failed.
    pub allow_failure: bool,
    /// How much of the workflow's work it is.
    pub weight: u32,
}

/// What a workflow is asked to be. Written once.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WorkflowSpec {
    /// What it is called.
    pub name: Arc<str>,
    /// For people.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub description: String,
    /// To find it by.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub tags: BTreeSet<String>,
    /// What an application keeps with it.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub metadata: BTreeMap<String, String>,
    /// Given to each of its tasks, those that are added later, too.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub headers: BTreeMap<String, String>,
}

/// A workflow's hold.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Held {
    /// Since when.
    pub since: Timestamp,
    /// Why, for people.
    pub reason: String,
}

/// A workflow.
#[derive(Clone, Debug, PartialEq)]
pub struct Workflow {
    /// Its namespace.
    pub namespace: NamespaceId,
    /// Its id.
    pub id: WorkflowId,
    /// What it is asked to be.
    pub spec: Arc<WorkflowSpec>,
    /// What has become of its tasks.
    pub tally: Tally,
    /// Its cancellation was asked for.
    pub cancelling: Option<Cancelling>,
    /// It is held: nothing of it that no agent has is given out. Never so when it has ended, or is being cancelled.
    pub held: Option<Held>,
    /// What is being carried out over its tasks, in bounded steps.
    pub walk: Option<Walk>,
    /// Who created it.
    pub created_by: Arc<str>,
    /// When.
    pub created_at: Timestamp,
    /// When the last of its tasks ended; none while one lives.
    pub ended_at: Option<Timestamp>,
    /// Rises with every change; 0 is never stored.
    pub version: i64,
}

/// What is being carried out over the tasks of a workflow, in bounded steps and in the order of their ordinals.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Walk {
    /// What.
    pub errand: Errand,
    /// The ordinal of the first task that it has still to reach.
    pub next: u32,
}

/// What is carried out over the tasks of a workflow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Errand {
    /// Each is asked to cancel.
    Cancel,
    /// Those that failed get another run, and those that were skipped because of them.
    Retry {
        /// The workflow was cancelled: those that may fail were cancelled with it, and are retried, too.
        cancelled: bool,
        /// How far it is, if a version began it that takes tasks in the order of what they wait for; else each is come to once, in
        /// the order of their ordinals.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        round: Option<Round>,
    },
    /// Those that no agent has are held.
    Hold,
    /// Those that are held are released.
    Release,
}

/// A round over the tasks of a workflow that is retried. A task that waits for one that is still to be retried is put off until the next.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Round {
    /// When the retry was asked for: a task whose run was opened since has had what it was to get. (Clocks of replicas differ by
    /// little. A task that fails within that time may be given one run more.)
    pub since: Timestamp,
    /// It gave a task its run.
    pub opened: bool,
    /// It put a task off.
    pub put_off: bool,
    /// The round before opened nothing, since what others wait for stays as it is: none is put off any more.
    pub last: bool,
}

impl Round {
    /// The first of a retry that is asked for now.
    pub fn first(now: Timestamp) -> Self {
        Self { since: now, opened: false, put_off: false, last: false }
    }

    /// The next, if there is to be one. Each task is given one run at most, so there is an end.
    fn next(self) -> Option<Self> {
        let Self { since, opened, put_off, last } = self;
        let again = if last { opened } else { put_off };
        again.then_some(Self { last: !opened, ..Self::first(since) })
    }
}

impl Errand {
    /// What is still to be carried out when each task was come to.
    pub fn again(self) -> Option<Self> {
        match self {
            Self::Retry { cancelled, round } => {
                let round = round.and_then(Round::next)?;
                Some(Self::Retry { cancelled, round: Some(round) })
            }
            Self::Cancel | Self::Hold | Self::Release => None,
        }
    }
}

/// A task of a workflow, by its ordinal: behind those of the workflow that it was created to wait for. It never changes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WorkflowTask {
    /// The namespace of both.
    pub namespace: NamespaceId,
    /// The workflow.
    pub workflow: WorkflowId,
    /// Its place among the workflow's tasks, from 0.
    pub ordinal: u32,
    /// The task.
    pub task: TaskId,
    /// What it is called there; none for a child.
    pub name: Option<Arc<str>>,
}

/// What workflow a task is of. Part of its spec.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WorkflowLink {
    /// The workflow.
    pub workflow: WorkflowId,
    /// What the task is called there; none for a child.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<Arc<str>>,
    /// The workflow may complete although it failed.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub allow_failure: bool,
    /// How much of the workflow's work it is.
    pub weight: u32,
    /// How many tasks stand behind it on the longest path of what was created with it, as far as they are counted.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub tasks_behind: u32,
}

fn is_zero(number: &u32) -> bool {
    *number == 0
}

/// How many of a workflow's tasks came to which end, and how much of its work that is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tally {
    /// All of them.
    pub tasks: u32,
    /// With a result.
    #[serde(default)]
    pub completed: u32,
    /// With a failure.
    #[serde(default)]
    pub failed: u32,
    /// Cancelled.
    #[serde(default)]
    pub cancelled: u32,
    /// Skipped.
    #[serde(default)]
    pub skipped: u32,
    /// Failed or cancelled, of those that may not.
    #[serde(default)]
    pub faults: u32,
    /// The weights of all of them.
    pub weight: u64,
    /// The weights of those that have ended.
    #[serde(default)]
    pub done: u64,
}

/// Where a workflow is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WorkflowState {
    /// Some of its tasks live.
    Running,
    /// All have ended well, or might fail.
    Completed,
    /// One did not.
    Failed,
    /// Its cancellation was asked for, and all have ended.
    Cancelled,
}

impl WorkflowState {
    /// As people and the wire call it.
    pub fn as_str(self) -> &'static str {
        match self {
            WorkflowState::Running => "RUNNING",
            WorkflowState::Completed => "COMPLETED",
            WorkflowState::Failed => "FAILED",
            WorkflowState::Cancelled => "CANCELLED",
        }
    }
}

impl WorkflowLink {
    /// That of a child of one of the workflow's tasks: its parent tells how the work goes, and what its failure means.
    pub fn of_child(workflow: WorkflowId) -> Self {
        Self { workflow, name: None, allow_failure: true, weight: 0, tasks_behind: 0 }
    }

    /// Whether a retry of the workflow is for a task that ended so.
    pub fn is_retried(&self, state: StateName, workflow_was_cancelled: bool) -> bool {
        let of_plan = self.name.is_some();
        match state {
            StateName::Failed => of_plan && !self.allow_failure,
            StateName::Cancelled => of_plan && (!self.allow_failure || workflow_was_cancelled),
            StateName::Skipped => of_plan,
            _ => false,
        }
    }
}

impl Tally {
    /// How many have not ended.
    pub fn open(&self) -> u32 {
        self.tasks - (self.completed + self.failed + self.cancelled + self.skipped)
    }

    /// How much of the work is done, 0 to 1.
    pub fn progress(&self) -> f64 {
        if self.weight == 0 { 0.0 } else { self.done as f64 / self.weight as f64 }
    }

    /// One more.
    pub fn add(&mut self, link: &WorkflowLink) {
        self.tasks += 1;
        self.weight += u64::from(link.weight);
    }

    /// One less, which has not ended.
    pub fn remove(&mut self, link: &WorkflowLink) {
        self.tasks = self.tasks.saturating_sub(1);
        self.weight = self.weight.saturating_sub(u64::from(link.weight));
    }

    /// One has ended so.
    pub fn end(&mut self, link: &WorkflowLink, state: StateName) {
        self.count(link, state, |count| *count += 1);
        self.done += u64::from(link.weight);
    }

    /// One that had ended so lives again.
    pub fn reopen(&mut self, link: &WorkflowLink, state: StateName) {
        self.count(link, state, |count| *count = count.saturating_sub(1));
        self.done = self.done.saturating_sub(u64::from(link.weight));
    }

    fn count(&mut self, link: &WorkflowLink, state: StateName, change: impl Fn(&mut u32)) {
        let is_fault = matches!(state, StateName::Failed | StateName::Cancelled) && !link.allow_failure;
        match state {
            StateName::Completed => change(&mut self.completed),
            StateName::Failed => change(&mut self.failed),
            StateName::Cancelled => change(&mut self.cancelled),
            StateName::Skipped => change(&mut self.skipped),
            StateName::Waiting | StateName::Ready | StateName::Assigned | StateName::Running | StateName::Paused => {}
        }
        if is_fault {
            change(&mut self.faults);
        }
    }
}

impl Workflow {
    /// Whether its cancellation was asked for, and some of its tasks live.
    pub fn is_being_cancelled(&self) -> bool {
        self.cancelling.is_some() && self.ended_at.is_none()
    }

    /// Whether tasks of it may still be given another run.
    pub fn is_being_retried(&self) -> bool {
        self.walk.is_some_and(|walk| matches!(walk.errand, Errand::Retry { .. }))
    }

    /// Whether it is held or released, and not all of its tasks know.
    pub fn is_being_held_or_released(&self) -> bool {
        self.walk.is_some_and(|walk| matches!(walk.errand, Errand::Hold | Errand::Release))
    }

    /// Whether a version that knows no holds would misread it: it is held, or still being released.
    pub fn knows_holds(&self) -> bool {
        self.held.is_some() || self.is_being_held_or_released()
    }

    /// Where it is in its life.
    pub fn state(&self) -> WorkflowState {
        match (self.tally.open(), &self.cancelling) {
            _ if self.is_being_retried() => WorkflowState::Running,
            (1.., _) => WorkflowState::Running,
            (0, Some(_)) => WorkflowState::Cancelled,
            (0, None) if self.tally.faults > 0 => WorkflowState::Failed,
            (0, None) => WorkflowState::Completed,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use uuid::Uuid;

    fn link(weight: u32, allow_failure: bool) -> WorkflowLink {
        WorkflowLink { weight, allow_failure, ..WorkflowLink::of_child(WorkflowId(Uuid::nil())) }
    }

    fn workflow(tally: Tally) -> Workflow {
        let spec = WorkflowSpec {
            name: "report".into(),
            description: String::new(),
            tags: BTreeSet::new(),
            metadata: BTreeMap::new(),
            headers: BTreeMap::new(),
        };
        Workflow {
            namespace: NamespaceId(1),
            id: WorkflowId(Uuid::nil()),
            spec: Arc::new(spec),
            tally,
            cancelling: None,
            held: None,
            walk: None,
            created_by: "anonymous".into(),
            created_at: Timestamp(0),
            ended_at: None,
            version: 1,
        }
    }

    #[test]
    fn a_workflow_ends_with_the_last_of_its_tasks_as_they_ended() {
        let (plain, may_fail) = (link(3, false), link(1, true));
        let mut tally = Tally::default();
        tally.add(&plain);
        tally.add(&may_fail);
        assert_eq!((workflow(tally).state(), tally.progress()), (WorkflowState::Running, 0.0));
        tally.end(&may_fail, StateName::Failed);
        assert_eq!((workflow(tally).state(), tally.progress()), (WorkflowState::Running, 0.25));
        let mut other = tally;
        tally.end(&plain, StateName::Completed);
        assert_eq!((workflow(tally).state(), tally.progress()), (WorkflowState::Completed, 1.0));
        other.end(&plain, StateName::Cancelled);
        assert_eq!(workflow(other).state(), WorkflowState::Failed);
        let cancelling = Some(Cancelling { since: Timestamp(0), reason: String::new() });
        assert_eq!(Workflow { cancelling, ..workflow(other) }.state(), WorkflowState::Cancelled);
    }

    /// Rows of before tasks behind were counted have none.
    #[test]
    fn a_link_without_tasks_behind_is_as_it_always_was() {
        let old = format!(r#"{{"workflow":"{}","weight":3}}"#, Uuid::nil());
        assert_eq!(serde_json::from_str::<WorkflowLink>(&old).unwrap(), link(3, false));
        assert_eq!(serde_json::to_string(&link(3, false)).unwrap(), old);
        let counted = WorkflowLink { tasks_behind: 7, ..link(3, false) };
        let json = serde_json::to_string(&counted).unwrap();
        assert_eq!(serde_json::from_str::<WorkflowLink>(&json).unwrap(), counted);
    }

    #[test]
    fn what_lives_again_is_open_again() {
        let plain = link(2, false);
        let mut tally = Tally::default();
        tally.add(&plain);
        let before = tally;
        for state in [StateName::Failed, StateName::Cancelled, StateName::Skipped] {
            tally.end(&plain, state);
            assert_eq!(tally.open(), 0);
            tally.reopen(&plain, state);
            assert_eq!(tally, before);
        }
    }
}
