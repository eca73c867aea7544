//! Those who wait for a workflow's end.

use callboard_core::model::WorkflowId;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::Notify;

/// With fewer it is not looked who has gone.
const FEW: usize = 64;

/// Waiting calls by workflow. It tells of ends that this replica brought about; those of others are found by looking again.
#[derive(Debug, Default)]
pub(crate) struct WorkflowWaiters {
    waiting: Mutex<Waiting>,
}

#[derive(Debug, Default)]
struct Waiting {
    by_workflow: HashMap<WorkflowId, Arc<Notify>>,
    /// With so many it is looked who has gone.
    look_at: usize,
}

impl WorkflowWaiters {
    /// What tells of a workflow's end. Register before you read whether it has ended already.
    pub fn of(&self, workflow: WorkflowId) -> Arc<Notify> {
        let mut all = self.lock();
        if all.by_workflow.len() >= all.look_at.max(FEW) {
            all.by_workflow.retain(|_, told| Arc::strong_count(told) > 1);
            all.look_at = all.by_workflow.len() * 2;
        }
        all.by_workflow.entry(workflow).or_default().clone()
    }

    /// Wakes all who wait for a workflow.
    pub fn ended(&self, workflow: WorkflowId) {
        if let Some(told) = self.lock().by_workflow.remove(&workflow) {
            told.notify_waiters();
        }
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use uuid::Uuid;

    #[tokio::test]
    async fn who_waits_is_told_and_who_has_gone_is_forgotten() {
        let waiters = WorkflowWaiters::default();
        let id = |n| WorkflowId(Uuid::from_u128(n));
        let told = waiters.of(id(0));
        let mut end = std::pin::pin!(told.notified());
        end.as_mut().enable();
        for n in 1..1_000 {
            drop(waiters.of(id(n)));
        }
        assert!(waiters.lock().by_workflow.len() <= FEW + 1);
        waiters.ended(id(0));
        end.await;
    }
}
