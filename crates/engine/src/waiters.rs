//! Those who wait for a task's end.

use crate::error::Result;
use crate::shared::Ended;
use callboard_core::Rejection;
use callboard_core::model::{NamespaceId, TaskId};
use callboard_core::working_set::TaskRef;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::oneshot;

/// Waiting calls by task. Bounded; calls that have given up are forgotten when there are twice as many as there were.
#[derive(Debug)]
pub(crate) struct Waiters {
    waiting: Mutex<Waiting>,
    max: usize,
}

/// Who waits for a task, and the namespace where it is.
#[derive(Debug)]
struct OfTask {
    namespace: NamespaceId,
    calls: Vec<oneshot::Sender<Arc<Ended>>>,
}

#[derive(Debug, Default)]
struct Waiting {
    by_task: HashMap<TaskId, OfTask>,
    /// With so many it is looked who has given up.
    look_at: usize,
}

/// Fewer are not looked through.
const FEW: usize = 64;

impl Waiting {
    fn forget_closed(&mut self) {
        self.by_task.retain(|_, OfTask { calls, .. }| {
            calls.retain(|call| !call.is_closed());
            !calls.is_empty()
        });
        self.look_at = (self.by_task.len() * 2).max(FEW);
    }
}

impl Waiters {
    pub fn new(max: usize) -> Self {
        Self { waiting: Mutex::default(), max }
    }

    /// Registers a call.
    pub fn wait(&self, task: TaskRef) -> Result<oneshot::Receiver<Arc<Ended>>> {
        let (sender, receiver) = oneshot::channel();
        self.add(task, sender)?;
        Ok(receiver)
    }

    /// Registers a call that has its channel already.
    pub fn add(&self, (namespace, task): TaskRef, sender: oneshot::Sender<Arc<Ended>>) -> Result<()> {
        let mut all = self.lock();
        if all.by_task.len() >= all.look_at.min(self.max) {
            all.forget_closed();
        }
        if all.by_task.len() >= self.max {
            return Err(Rejection::limit(
                "waits",
                self.max,
                "so many wait already: poll with a wait of 0, or watch events instead",
            )
            .into());
        }
        let OfTask { calls, .. } = all.by_task.entry(task).or_insert_with(|| OfTask { namespace, calls: Vec::new() });
        calls.retain(|call| !call.is_closed());
        calls.push(sender);
        Ok(())
    }

    /// Wakes all who wait for a task.
    pub fn ended(&self, task: TaskId, ended: &Arc<Ended>) {
        for sender in self.lock().by_task.remove(&task).into_iter().flat_map(|waiting| waiting.calls) {
            // A caller that has gone needs no answer.
            let _ = sender.send(ended.clone());
        }
    }

    /// Those of these tasks that are waited for.
    pub fn among(&self, tasks: impl Iterator<Item = TaskRef>) -> Vec<TaskRef> {
        let all = self.lock();
        tasks.filter(|(_, task)| all.by_task.contains_key(task)).collect()
    }

    /// Tasks that are waited for, at most so many, by their ids behind one.
    pub fn behind(&self, after: Option<TaskId>, most: usize) -> Vec<TaskRef> {
        let all = self.lock();
        let behind = all.by_task.iter().filter(|(task, _)| after.is_none_or(|after| **task > after));
        let mut tasks: Vec<TaskRef> = behind.map(|(task, waiting)| (waiting.namespace, *task)).collect();
        tasks.sort_unstable_by_key(|(_, task)| *task);
        tasks.truncate(most);
        tasks
    }

    /// How many tasks are waited for.
    pub fn len(&self) -> usize {
        let mut all = self.lock();
        all.forget_closed();
        all.by_task.len()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use uuid::Uuid;

    #[test]
    fn calls_that_have_gone_are_forgotten() {
        let waiters = Waiters::new(1_000);
        let task = |n| (NamespaceId(1), TaskId(Uuid::from_u128(n)));
        let stays = waiters.wait(task(0)).unwrap();
        for n in 1..10_000 {
            drop(waiters.wait(task(n)).unwrap());
            assert!(waiters.lock().by_task.len() <= FEW);
        }
        assert_eq!(waiters.len(), 1);
        drop(stays);
        assert_eq!(waiters.len(), 0);
    }
}
