//! The names of enum values: those of the protocol, in small letters and without their prefix.

use callboard::v1::{
    AgentState, AssignmentObstacleType, DependencyCondition, DependencyFailureAction, EventType, KeyConflictPolicy,
    ParentEndAction, PauseReason, Priority, ResultComparison, TaskState, WaitReason, WorkflowState,
};

/// `TASK_STATE_COMPLETED` is `completed`. A value that this version doesn't know is its number.
macro_rules! name_of {
    ($(#[$doc:meta] $function:ident: $enum:ty, $prefix:literal;)*) => {
        $(
            #[$doc]
            pub fn $function(value: i32) -> String {
                match <$enum>::try_from(value) {
                    Ok(known) => known.as_str_name().trim_start_matches($prefix).to_ascii_lowercase(),
                    Err(_) => value.to_string(),
                }
            }
        )*
    };
}

name_of! {
    /// The name of a task's state.
    task_state: TaskState, "TASK_STATE_";
    /// The name of a workflow's state.
    workflow_state: WorkflowState, "WORKFLOW_STATE_";
    /// The name of a reason to wait.
    wait_reason: WaitReason, "WAIT_REASON_";
    /// The name of a reason to be paused.
    pause_reason: PauseReason, "PAUSE_REASON_";
    /// The name of a priority.
    priority: Priority, "PRIORITY_";
    /// The name of a conflict policy.
    key_conflict_policy: KeyConflictPolicy, "KEY_CONFLICT_POLICY_";
    /// The name of how a dependency must end.
    dependency_condition: DependencyCondition, "DEPENDENCY_CONDITION_";
    /// The name of how a value in a result is compared.
    result_comparison: ResultComparison, "RESULT_COMPARISON_";
    /// The name of what becomes of a dependent.
    dependency_failure_action: DependencyFailureAction, "DEPENDENCY_FAILURE_ACTION_";
    /// The name of what becomes of a child.
    parent_end_action: ParentEndAction, "PARENT_END_ACTION_";
    /// The name of a kind of event.
    event_type: EventType, "EVENT_TYPE_";
    /// The name of what keeps an agent from having a task.
    obstacle_type: AssignmentObstacleType, "ASSIGNMENT_OBSTACLE_TYPE_";
    /// The name of an agent's state.
    agent_state: AgentState, "AGENT_STATE_";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_small_and_bare() {
        assert_eq!(task_state(TaskState::Completed.into()), "completed");
        assert_eq!(event_type(EventType::AttemptTimedOut.into()), "attempt_timed_out");
        assert_eq!(priority(0), "unspecified");
        assert_eq!(agent_state(99), "99");
    }
}
