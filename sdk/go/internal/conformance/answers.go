package main

import (
	"callboard.dev/sdk/go"
	"callboard.dev/sdk/go/callboardv1"
)

func showReceipt(receipt *callboard.TaskReceipt) object {
	return object{
		"task_id": receipt.GetTaskId(), "state": nameOf(receipt.GetState()), "run": receipt.GetRun(), "existing": receipt.GetExisting(),
	}
}

func showTask(task *callboard.Task) (object, error) {
	failure, err := showFailure(task.GetFailure())
	var parent, pausedFor any
	if task.GetParent() != nil {
		parent = task.GetParent().GetTaskId()
	}
	if reason := task.GetPausedFor(); reason != callboardv1.PauseReason_PAUSE_REASON_UNSPECIFIED {
		pausedFor = nameOf(reason)
	}
	return object{
		"task_id": task.GetId(), "type": task.GetSpec().GetType(), "key": task.GetSpec().GetKey(), "state": nameOf(task.GetState()),
		"priority": nameOf(task.GetSpec().GetPriority()), "run": task.GetRun(), "attempt": task.GetAttempt(),
		"attempts_used": task.GetAttemptsUsed(), "agent": task.GetAgent(), "tags": list(task.GetSpec().GetTags()), "phase": task.GetPhase(),
		"progress": task.GetProgress(), "cancel_requested": task.GetCancelRequested(), "failure": failure,
		"parent": parent, "paused_for": pausedFor, "fallback": task.GetFallback(),
	}, err
}

func showFailure(failure *callboard.Failure) (any, error) {
	if failure == nil {
		return nil, nil
	}
	details, err := showPayload(failure.GetDetails())
	if err != nil {
		return nil, err
	}
	cause, err := showFailure(failure.GetCause())
	if err != nil {
		return nil, err
	}
	var after any
	if failure.GetRetryAfter() != nil {
		after = failure.GetRetryAfter().AsDuration().Milliseconds()
	}
	return object{
		"type": failure.GetType(), "message": failure.GetMessage(), "retryable": failure.Retryable == nil || failure.GetRetryable(),
		"retry_after_ms": after, "details": details, "cause": cause,
	}, nil
}

func showEvent(event *callboard.Event) object {
	return object{
		"task_id": event.GetTaskId(), "sequence": event.GetSequence(), "type": nameOf(event.GetType()), "state": nameOf(event.GetState()),
		"run": event.GetRun(), "attempt": event.GetAttempt(), "agent": event.GetAgent(), "reason": event.GetReason(),
	}
}

func showAgent(agent *callboardv1.Agent) object {
	profile := agent.GetProfile()
	return object{
		"name": profile.GetName(), "agent_type": profile.GetAgentType(), "role": profile.GetRole(), "state": nameOf(agent.GetState()),
		"slots": profile.GetSlots(), "cordoned": agent.GetCordoned(), "session_epoch": agent.GetSessionEpoch(),
	}
}

func showClaim(claim *callboardv1.Assignment) (object, error) {
	input, err := callboard.Decode[any](claim.GetSpec().GetInput())
	if err != nil {
		return nil, err
	}
	checkpoint, err := showPayload(claim.GetCheckpoint())
	return object{
		"task_id": claim.GetAttempt().GetTaskId(), "attempt": claim.GetAttempt().GetAttempt(), "type": claim.GetSpec().GetType(),
		"input": show(input), "checkpoint": checkpoint,
	}, err
}

func showMessage(message *callboardv1.Message) (object, error) {
	body, err := callboard.Decode[any](message.GetPayload())
	return object{
		"message_id": message.GetId(), "sequence": message.GetSequence(), "to": message.GetTo().GetAgent(),
		"from_agent": message.GetAgent(), "body": show(body), "headers": entries(message.GetHeaders()),
	}, err
}

func showDependency(dependency *callboard.DependencyResult) (object, error) {
	value, err := showPayload(dependency.GetResult())
	return object{
		"task_id": dependency.GetTaskId(), "type": dependency.GetType(), "key": dependency.GetKey(),
		"name": dependency.GetName(), "state": nameOf(dependency.GetState()), "value": value,
	}, err
}

// list is never null.
func list[T any](items []T) []T {
	if items == nil {
		return []T{}
	}
	return items
}

// entries is never null.
func entries(of map[string]string) map[string]string {
	if of == nil {
		return map[string]string{}
	}
	return of
}

// showAll writes what an iterator gives, up to its error.
func showAll[T any](items func(func(T, error) bool), show func(T) (object, error)) ([]object, error) {
	shown := []object{}
	for item, err := range items {
		if err != nil {
			return nil, err
		}
		one, err := show(item)
		if err != nil {
			return nil, err
		}
		shown = append(shown, one)
	}
	return shown, nil
}

// always is for what can always be written.
func always[T any](show func(T) object) func(T) (object, error) {
	return func(of T) (object, error) { return show(of), nil }
}
