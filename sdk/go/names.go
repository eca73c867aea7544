package callboard

import (
	"strings"

	"callboard.dev/sdk/go/callboardv1"
)

// What tasks, agents and messages are. These are the messages of callboard.v1 themselves: package callboardv1 describes their fields.
type (
	// Task is a task as it is now.
	Task = callboardv1.Task
	// TaskReceipt is what a command did to a task.
	TaskReceipt = callboardv1.TaskReceipt
	// Event is an immutable fact about a task.
	Event = callboardv1.Event
	// Failure is how a task, or one attempt of it, failed.
	Failure = callboardv1.Failure
	// Payload is a value as it goes over the wire: see [Encode] and [Decode].
	Payload = callboardv1.Payload
	// DependencyResult is how a task that another depends on ended.
	DependencyResult = callboardv1.DependencyResult
	// DependencyCondition says how a task must end that another depends on.
	DependencyCondition = callboardv1.DependencyCondition
	// DependencyFailureAction says what becomes of a task when one that it depends on ends otherwise than it must.
	DependencyFailureAction = callboardv1.DependencyFailureAction
	// ResultComparison says how a value in a result is compared with another.
	ResultComparison = callboardv1.ResultComparison
	// Priority says how urgent a task is.
	Priority = callboardv1.Priority
	// OutputChunk is a piece of a run's output.
	OutputChunk = callboardv1.OutputChunk
	// ParentEndAction says what becomes of a child when its parent's run ends.
	ParentEndAction = callboardv1.ParentEndAction
	// TaskState is where a task is in its life.
	TaskState = callboardv1.TaskState
	// Workflow is a workflow as it is now: how it stands, how many tasks it has, and how many of them ended how.
	Workflow = callboardv1.Workflow
	// WorkflowState is where a workflow is in its life.
	WorkflowState = callboardv1.WorkflowState
	// WorkflowLink says what workflow a task is of, and what it is called there: see [Task].Workflow.
	WorkflowLink = callboardv1.WorkflowLink
	// WorkflowForecast is what is expected of a workflow: see [Client.ForecastWorkflow].
	WorkflowForecast = callboardv1.WorkflowForecast
	// AssignmentExplanation is who could have a task, who could not, and why; what its limits are, and who had it: see [Client.Explain].
	AssignmentExplanation = callboardv1.AssignmentExplanation
	// AssignmentCandidate is an agent, and how it stands to a task.
	AssignmentCandidate = callboardv1.AssignmentCandidate
	// AssignmentObstacle is something that keeps an agent from having a task.
	AssignmentObstacle = callboardv1.AssignmentObstacle
	// AssignmentChoice is who was given a task, and who else could have had it.
	AssignmentChoice = callboardv1.AssignmentChoice
	// AssignmentRunnerUp is an agent that could have had a task that another was given.
	AssignmentRunnerUp = callboardv1.AssignmentRunnerUp
	// LimitUse is how much of a limit is used: see [Limit].
	LimitUse = callboardv1.LimitUse
)

// How urgent a task is. The zero value is [PriorityNormal].
const (
	PriorityLow      = callboardv1.Priority_PRIORITY_LOW
	PriorityNormal   = callboardv1.Priority_PRIORITY_NORMAL
	PriorityHigh     = callboardv1.Priority_PRIORITY_HIGH
	PriorityUrgent   = callboardv1.Priority_PRIORITY_URGENT
	PriorityCritical = callboardv1.Priority_PRIORITY_CRITICAL
)

// How a task must end that another depends on. The zero value is [DependencyCompleted].
const (
	// DependencyCompleted: COMPLETED.
	DependencyCompleted = callboardv1.DependencyCondition_DEPENDENCY_CONDITION_COMPLETED
	// DependencyFailed: FAILED, for a fallback. One that was cancelled or skipped has not failed.
	DependencyFailed = callboardv1.DependencyCondition_DEPENDENCY_CONDITION_FAILED
	// DependencyNotCompleted: FAILED, CANCELLED or SKIPPED, to undo what was done before it.
	DependencyNotCompleted = callboardv1.DependencyCondition_DEPENDENCY_CONDITION_NOT_COMPLETED
	// DependencyEnded: in any way, to clean up.
	DependencyEnded = callboardv1.DependencyCondition_DEPENDENCY_CONDITION_ENDED
)

// What becomes of a task when one that it depends on ends otherwise than it must. The zero value is [OnFailureSkip].
const (
	// OnFailureSkip: it is SKIPPED.
	OnFailureSkip = callboardv1.DependencyFailureAction_DEPENDENCY_FAILURE_ACTION_SKIP
	// OnFailureFail: it is FAILED.
	OnFailureFail = callboardv1.DependencyFailureAction_DEPENDENCY_FAILURE_ACTION_FAIL
)

// How a value in a result is compared with another. Numbers and texts have an order; anything else is only equal or not.
const (
	ResultEqual          = callboardv1.ResultComparison_RESULT_COMPARISON_EQUAL
	ResultNotEqual       = callboardv1.ResultComparison_RESULT_COMPARISON_NOT_EQUAL
	ResultLess           = callboardv1.ResultComparison_RESULT_COMPARISON_LESS
	ResultLessOrEqual    = callboardv1.ResultComparison_RESULT_COMPARISON_LESS_OR_EQUAL
	ResultGreater        = callboardv1.ResultComparison_RESULT_COMPARISON_GREATER
	ResultGreaterOrEqual = callboardv1.ResultComparison_RESULT_COMPARISON_GREATER_OR_EQUAL
	// ResultExists: there is a value, null too.
	ResultExists = callboardv1.ResultComparison_RESULT_COMPARISON_EXISTS
	// ResultNotExists: there is none.
	ResultNotExists = callboardv1.ResultComparison_RESULT_COMPARISON_NOT_EXISTS
)

// What becomes of a child that has not ended when its parent's run ends. The zero value is [ParentEndCancel].
const (
	// ParentEndCancel: it is cancelled.
	ParentEndCancel = callboardv1.ParentEndAction_PARENT_END_ACTION_CANCEL
	// ParentEndDetach: it goes on by itself.
	ParentEndDetach = callboardv1.ParentEndAction_PARENT_END_ACTION_DETACH
)

// Where a task is in its life. The last four are final for its run.
const (
	StateWaiting   = callboardv1.TaskState_TASK_STATE_WAITING
	StateReady     = callboardv1.TaskState_TASK_STATE_READY
	StateAssigned  = callboardv1.TaskState_TASK_STATE_ASSIGNED
	StateRunning   = callboardv1.TaskState_TASK_STATE_RUNNING
	StatePaused    = callboardv1.TaskState_TASK_STATE_PAUSED
	StateCompleted = callboardv1.TaskState_TASK_STATE_COMPLETED
	StateFailed    = callboardv1.TaskState_TASK_STATE_FAILED
	StateCancelled = callboardv1.TaskState_TASK_STATE_CANCELLED
	StateSkipped   = callboardv1.TaskState_TASK_STATE_SKIPPED
)

// Where a workflow is in its life. The last three are its ends; [Client.RetryWorkflow] takes back the last two.
const (
	// WorkflowRunning: some of its tasks have not ended.
	WorkflowRunning = callboardv1.WorkflowState_WORKFLOW_STATE_RUNNING
	// WorkflowCompleted: all have ended, and none FAILED or CANCELLED but those that may. One that was SKIPPED counts neither way.
	WorkflowCompleted = callboardv1.WorkflowState_WORKFLOW_STATE_COMPLETED
	// WorkflowFailed: all have ended, and one that may not FAILED, or was CANCELLED by itself.
	WorkflowFailed = callboardv1.WorkflowState_WORKFLOW_STATE_FAILED
	// WorkflowCancelled: all have ended, and its cancellation was asked for.
	WorkflowCancelled = callboardv1.WorkflowState_WORKFLOW_STATE_CANCELLED
)

// StateName gives the name of a state without its prefix: RUNNING. One that is newer than this SDK shows as its number.
func StateName(state TaskState) string {
	return strings.TrimPrefix(state.String(), "TASK_STATE_")
}

// EventName gives the name of an event's type without its prefix: CREATED. One that is newer than this SDK shows as its number.
func EventName(event *Event) string {
	return strings.TrimPrefix(event.GetType().String(), "EVENT_TYPE_")
}

// WorkflowStateName gives the name of a workflow's state without its prefix: RUNNING. One that is newer than this SDK shows as its number.
func WorkflowStateName(state WorkflowState) string {
	return strings.TrimPrefix(state.String(), "WORKFLOW_STATE_")
}

// ObstacleName gives the name of an obstacle's type without its prefix: SKILL. One that is newer than this SDK shows as its number.
func ObstacleName(obstacle *AssignmentObstacle) string {
	return strings.TrimPrefix(obstacle.GetType().String(), "ASSIGNMENT_OBSTACLE_TYPE_")
}

func trimReason(name string) string {
	return strings.TrimPrefix(name, "ERROR_REASON_")
}
