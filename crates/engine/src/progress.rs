//! Progress keeps its latest value, and is written at most once in a while.

use callboard_core::command::Fence;
use callboard_core::model::{Progress, Span, TaskId};
use std::collections::HashMap;

/// The progress of one session's attempts.
#[derive(Debug, Default)]
pub(crate) struct Coalesce {
    by_task: HashMap<TaskId, Slot>,
}

#[derive(Debug)]
struct Slot {
    written_at: Span,
    waiting: Option<(i64, Fence, Progress)>,
}

/// How many attempts are kept; a session has at most 1,000 slots.
const MAX: usize = 2_048;

impl Coalesce {
    /// Takes a value; gives it back when it is to be written now.
    pub fn offer(
        &mut self,
        report_id: i64,
        fence: Fence,
        progress: Progress,
        now: Span,
        every: Span,
    ) -> Option<(i64, Fence, Progress)> {
        if !self.by_task.contains_key(&fence.task) && self.by_task.len() >= MAX {
            return Some((report_id, fence, progress));
        }
        match self.by_task.get_mut(&fence.task) {
            Some(slot) if now.0 - slot.written_at.0 < every.0 => {
                slot.waiting = Some((report_id, fence, progress));
                None
            }
            Some(slot) => {
                *slot = Slot { written_at: now, waiting: None };
                Some((report_id, fence, progress))
            }
            None => {
                self.by_task.insert(fence.task, Slot { written_at: now, waiting: None });
                Some((report_id, fence, progress))
            }
        }
    }

    /// What has waited long enough; with `all`, everything that waits.
    pub fn take(&mut self, now: Span, every: Span, all: bool) -> Vec<(i64, Fence, Progress)> {
        let mut due = Vec::new();
        for slot in self.by_task.values_mut() {
            if slot.waiting.is_some() && (all || now.0 - slot.written_at.0 >= every.0) {
                slot.written_at = now;
                due.extend(slot.waiting.take());
            }
        }
        due
    }

    /// The attempt ends: what waits is of no use any more.
    pub fn forget(&mut self, task: TaskId) {
        self.by_task.remove(&task);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use callboard_core::model::LeaseToken;
    use uuid::Uuid;

    fn fence() -> Fence {
        Fence { task: TaskId(Uuid::nil()), attempt: 1, token: LeaseToken(1) }
    }

    fn at(fraction: f64) -> Progress {
        Progress { fraction, ..Progress::default() }
    }

    #[test]
    fn the_first_goes_at_once_and_the_latest_of_the_others_when_its_time_comes() {
        let every = Span::seconds(1);
        let mut coalesce = Coalesce::default();
        assert!(coalesce.offer(1, fence(), at(0.1), Span::seconds(5), every).is_some());
        assert!(coalesce.offer(2, fence(), at(0.2), Span::millis(5_100), every).is_none());
        assert!(coalesce.offer(3, fence(), at(0.3), Span::millis(5_200), every).is_none());
        assert!(coalesce.take(Span::millis(5_900), every, false).is_empty());
        let due = coalesce.take(Span::seconds(6), every, false);
        assert_eq!(due.len(), 1);
        assert_eq!(due[0].2, at(0.3));
        assert!(coalesce.take(Span::seconds(9), every, true).is_empty());
    }

    #[test]
    fn what_waits_for_an_attempt_that_ends_is_dropped() {
        let every = Span::seconds(1);
        let mut coalesce = Coalesce::default();
        coalesce.offer(1, fence(), at(0.1), Span::seconds(5), every);
        coalesce.offer(2, fence(), at(0.2), Span::seconds(5), every);
        coalesce.forget(fence().task);
        assert!(coalesce.take(Span::seconds(9), every, true).is_empty());
    }
}
