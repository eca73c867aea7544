//! What two replicas do, in its order, and where they wait for each other.

use callboard_core::model::{StateName, TaskId};
use callboard_core::working_set::{Rows, TaskRef, Want};
use callboard_store::Due;
use callboard_store::cluster::Hint;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;
use tokio::sync::watch;

/// How many replicas there are.
const REPLICAS: usize = 2;

/// A replica's name.
pub type Name = &'static str;

/// Something that a replica did.
#[derive(Clone, Debug)]
pub enum Happened {
    /// It was given the row of a task whose timer is due, in this state, to decide on it.
    Loaded(Name, TaskId, StateName),
    /// It committed events of these tasks. Noted when that is done, and before the engine hears of it.
    Committed(Name, BTreeSet<TaskRef>),
    /// It tells the other this. Noted before anything of it is done.
    Told(Name, Hint),
}

/// What two replicas do.
#[derive(Debug, Default)]
pub struct Record {
    happened: Mutex<Vec<Happened>>,
    timers: watch::Sender<Timers>,
}

type Timers = BTreeMap<TaskId, Timer>;

/// Who has come to a timer, and how far.
#[derive(Debug, Default)]
struct Timer {
    /// Their sweeps have read that it is due.
    seen: BTreeSet<Name>,
    /// They have asked for the task's row since.
    asked: BTreeSet<Name>,
}

impl Timer {
    fn is_seen_by_all(&self) -> bool {
        self.seen.len() == REPLICAS
    }

    fn is_asked_for_by_all(&self) -> bool {
        self.asked.len() == REPLICAS
    }
}

impl Record {
    /// Over the next timer of each of these tasks the replicas meet: a sweep that has read that it is due goes on when the other has, too.
    pub fn meet_over(&self, tasks: &[TaskId]) {
        self.timers.send_modify(|timers| timers.extend(tasks.iter().map(|task| (*task, Timer::default()))));
    }

    /// A sweep has read what is due, and has asked for nothing yet.
    pub async fn has_read(&self, replica: Name, due: &Due) {
        let tasks: Vec<TaskId> = due.tasks.iter().map(|(_, (_, task))| *task).collect();
        self.mark(&tasks, |timer| {
            timer.seen.insert(replica);
        });
        let met = |timers: &Timers| tasks.iter().filter_map(|task| timers.get(task)).all(Timer::is_seen_by_all);
        self.wait(met).await;
    }

    /// A replica asks for rows to decide on. Gives those of them over which they have met.
    pub fn asks(&self, replica: Name, want: &Want) -> Vec<TaskId> {
        let timers = self.timers.borrow();
        let is_met = |task: &TaskId| timers.get(task).is_some_and(Timer::is_seen_by_all);
        let tasks: Vec<TaskId> = want.tasks.iter().map(|(_, task)| *task).filter(is_met).collect();
        drop(timers);
        self.mark(&tasks, |timer| {
            timer.asked.insert(replica);
        });
        tasks
    }

    /// It was given them.
    pub fn loads(&self, replica: Name, tasks: &[TaskId], rows: &Rows) {
        for task in rows.tasks.iter().filter(|task| tasks.contains(&task.id)) {
            self.note(Happened::Loaded(replica, task.id, task.state.name()));
        }
    }

    /// Who is about to commit what became of timers over which they have met waits until the other asks for one of them, too: of several,
    /// the other may ask for the next only behind this commit.
    pub async fn is_asked_for(&self, tasks: &BTreeSet<TaskRef>) {
        self.wait(|timers: &Timers| {
            let known = tasks.iter().filter_map(|(_, task)| timers.get(task));
            let mut met = known.filter(|timer| timer.is_seen_by_all()).peekable();
            met.peek().is_none() || met.any(Timer::is_asked_for_by_all)
        })
        .await;
    }

    fn mark(&self, tasks: &[TaskId], mark: impl Fn(&mut Timer)) {
        self.timers.send_modify(|timers| {
            for task in tasks {
                timers.get_mut(task).into_iter().for_each(&mark);
            }
        });
    }

    async fn wait(&self, holds: impl FnMut(&Timers) -> bool) {
        let mut timers = self.timers.subscribe();
        drop(timers.wait_for(holds).await.expect("the record is there"));
    }

    /// Notes what a replica did.
    pub fn note(&self, happened: Happened) {
        self.happened.lock().unwrap().push(happened);
    }

    fn all(&self) -> Vec<Happened> {
        self.happened.lock().unwrap().clone()
    }

    /// In which states a task was given out to be decided on when its timer was due, and to whom.
    pub fn loads_of(&self, task: TaskId) -> Vec<(Name, StateName)> {
        let loads = self.all().into_iter().filter_map(|happened| match happened {
            Happened::Loaded(replica, loaded, state) if loaded == task => Some((replica, state)),
            _ => None,
        });
        loads.collect()
    }

    /// What each commit of a replica had events of, if it had any.
    pub fn commits_of(&self, replica: Name) -> Vec<BTreeSet<TaskRef>> {
        let commits = self.all().into_iter().filter_map(|happened| match happened {
            Happened::Committed(by, tasks) if by == replica && !tasks.is_empty() => Some(tasks),
            _ => None,
        });
        commits.collect()
    }

    /// What a replica told.
    pub fn told_by(&self, replica: Name) -> Vec<Hint> {
        let told = self.all().into_iter().filter_map(|happened| match happened {
            Happened::Told(by, hint) if by == replica => Some(hint),
            _ => None,
        });
        told.collect()
    }

    /// Whoever told of a task had committed events of it.
    pub fn assert_told_behind_commits(&self) {
        let mut committed: BTreeSet<(Name, TaskRef)> = BTreeSet::new();
        for happened in self.all() {
            match happened {
                Happened::Committed(by, tasks) => committed.extend(tasks.into_iter().map(|task| (by, task))),
                Happened::Told(by, hint) => {
                    let ahead: Vec<_> = hint.tasks.iter().filter(|task| !committed.contains(&(by, **task))).collect();
                    assert!(ahead.is_empty(), "{by} told of {ahead:?} ahead of its commit");
                }
                Happened::Loaded(..) => {}
            }
        }
    }
}
