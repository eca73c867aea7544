//! The order in which ready tasks of one fairness key are given out.

use super::spec::TaskSpec;
use super::time::{Span, Timestamp, earliest};

/// From so long before its deadline on a task counts as ready, whenever it became so.
const LEAD: Span = Span::seconds(600);

/// The place of a ready task, the lowest first: the second in which it became ready, less what its priority is worth, less one for each
/// task that stands behind it in its workflow; with a deadline no later than as if it had been ready ten minutes before that. Since time
/// passes and ranks don't change, every task's turn comes.
pub(super) fn rank(spec: &TaskSpec, ready_at: Timestamp) -> i64 {
    let pressing = spec.deadline.map(|deadline| deadline - LEAD);
    let counts_from = earliest(Some(ready_at), pressing).unwrap_or(ready_at);
    counts_from.seconds() - spec.priority.weight() - tasks_behind(spec)
}

fn tasks_behind(spec: &TaskSpec) -> i64 {
    spec.workflow.as_deref().map_or(0, |link| i64::from(link.tasks_behind))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Priority, WorkflowId, WorkflowLink};

    fn at(seconds: i64) -> Timestamp {
        Timestamp(0) + Span::seconds(seconds)
    }

    fn spec(priority: Priority, deadline: Option<i64>, tasks_behind: u32) -> TaskSpec {
        let link = WorkflowLink { tasks_behind, ..WorkflowLink::of_child(WorkflowId(uuid::Uuid::nil())) };
        let workflow = (tasks_behind > 0).then(|| Box::new(link));
        TaskSpec { priority, deadline: deadline.map(at), workflow, ..TaskSpec::of_type("work") }
    }

    #[test]
    fn waiting_outweighs_any_priority_in_the_end() {
        let plain = |priority| spec(priority, None, 0);
        assert!(rank(&plain(Priority::Low), at(0)) < rank(&plain(Priority::Critical), at(3_601 + 60)));
        assert!(rank(&plain(Priority::High), at(59)) < rank(&plain(Priority::Normal), at(0)));
    }

    #[test]
    fn a_deadline_counts_from_ten_minutes_before_it() {
        let due = |deadline, ready| rank(&spec(Priority::Normal, Some(deadline), 0), at(ready));
        assert_eq!(due(10_000, 1_000), 1_000, "far away, it changes nothing");
        assert_eq!(due(1_600, 1_000), 1_000);
        assert_eq!(due(1_100, 1_000), 500);
        assert!(due(1_500, 1_010) < due(1_560, 1_000), "near, the earlier deadline goes first");
        let high = rank(&spec(Priority::High, Some(1_100), 0), at(1_000));
        assert_eq!(high, due(1_100, 1_000) - 60, "its priority counts besides");
        assert_eq!(rank(&TaskSpec { deadline: Some(Timestamp(i64::MIN)), ..spec(Priority::Low, None, 0) }, at(0)), {
            Timestamp(i64::MIN).seconds() + 60
        });
    }

    #[test]
    fn each_task_behind_counts_a_second() {
        assert_eq!(rank(&spec(Priority::Normal, None, 3), at(100)), 97);
        assert_eq!(rank(&spec(Priority::Normal, None, 0), at(100)), 100);
    }
}
