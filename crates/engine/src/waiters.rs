//! Those who wait for a task's end.

use crate::error::Result;
use crate::shared::Ended;
use callboard_core::Rejection;
use callboard_core::model::TaskId;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::oneshot;

/// Waiting calls by task. Bounded; a call that has given up is forgotten when the next one comes.
#[derive(Debug)]
pub(crate) struct Waiters {
    by_task: Mutex<HashMap<TaskId, Vec<oneshot::Sender<Arc<Ended>>>>>,
    max: usize,
}

impl Waiters {
    pub fn new(max: usize) -> Self {
        Self { by_task: Mutex::default(), max }
    }

    /// Registers a call.
    pub fn wait(&self, task: TaskId) -> Result<oneshot::Receiver<Arc<Ended>>> {
        let (sender, receiver) = oneshot::channel();
        self.add(task, sender)?;
        Ok(receiver)
    }

    /// Registers a call that has its channel already.
    pub fn add(&self, task: TaskId, sender: oneshot::Sender<Arc<Ended>>) -> Result<()> {
        let mut by_task = self.lock();
        if by_task.len() >= self.max {
            by_task.retain(|_, waiting| {
                waiting.retain(|sender| !sender.is_closed());
                !waiting.is_empty()
            });
        }
        if by_task.len() >= self.max {
            return Err(Rejection::limit(
                "waits",
                self.max,
                "so many wait already: poll with a wait of 0, or watch events instead",
            )
            .into());
        }
        let waiting = by_task.entry(task).or_default();
        waiting.retain(|sender| !sender.is_closed());
        waiting.push(sender);
        Ok(())
    }

    /// Wakes all who wait for a task.
    pub fn ended(&self, task: TaskId, ended: &Arc<Ended>) {
        for sender in self.lock().remove(&task).into_iter().flatten() {
            // A caller that has gone needs no answer.
            let _ = sender.send(ended.clone());
        }
    }

    /// How many tasks are waited for.
    pub fn len(&self) -> usize {
        self.lock().len()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<TaskId, Vec<oneshot::Sender<Arc<Ended>>>>> {
        self.by_task.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
