package callboard_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"callboard.dev/sdk/go"
	"callboard.dev/sdk/go/callboardv1"
	"callboard.dev/sdk/go/internal/testserver"
)

// Waits for some children, on a real server.

// childStates gives how the children of a task are, in their order.
func childStates(t *testing.T, client *callboard.Client, taskID string) string {
	t.Helper()
	var seen []string
	for _, child := range all(t, client.Children(limited(t), taskID, nil)) {
		seen = append(seen, callboard.StateName(child.GetTask().GetState()))
	}
	return fmt.Sprint(seen)
}

func TestAQuorumOfChildrenThatOnlyTheirParentsAgentCanDo(t *testing.T) {
	server := testserver.Start(t)
	client, ctx := clientOf(t, server), limited(t)
	agent := newAgent(t, callboard.AgentOptions{Address: server.Address, Slots: 1})
	callboard.Handle(agent, "vote", func(_ context.Context, vote string, _ *callboard.Context) (string, error) {
		if vote == "no" {
			return "", &callboard.TaskError{Message: "no", Type: "No", NonRetryable: true}
		}
		return vote, nil
	}, nil)
	// While it has the slot nobody else can go on.
	callboard.Handle(agent, "ponder", func(ctx context.Context, _ any, _ *callboard.Context) (any, error) {
		<-ctx.Done()
		return nil, ctx.Err()
	}, nil)
	callboard.Handle(agent, "poll", func(ctx context.Context, votes []string, task *callboard.Context) (string, error) {
		var children []*callboard.Child
		for _, vote := range votes {
			asked := callboard.NewTask{Type: "vote", Input: vote}
			switch vote {
			case "":
				asked.Type = "nobody"
			case "well":
				asked.Type = "ponder"
			}
			child, err := callboard.StartChild(ctx, task, asked, nil)
			if err != nil {
				return "", err
			}
			children = append(children, child)
		}
		tasks, err := task.WaitChildren(ctx, children, &callboard.WaitChildrenOptions{Count: new(2), Rest: callboard.RestCancel})
		if err == nil && task.AttemptsUsed() == 0 {
			err = errors.New("once more")
		}
		var given []string
		for _, one := range tasks {
			text, err := callboard.Decode[string](one.GetResult())
			if err != nil {
				return "", err
			}
			given = append(given, text)
		}
		return fmt.Sprint(given), err
	}, nil)
	attached(t, agent)
	poll := func(votes ...string) *callboard.Task {
		task := callboard.NewTask{Type: "poll", Input: votes, Retry: callboard.RetryPolicy{MaxAttempts: 2, InitialBackoff: time.Millisecond}}
		receipt := must[*callboard.TaskReceipt](t)(client.Create(ctx, task, nil))
		return must[*callboard.Task](t)(client.Wait(ctx, receipt.GetTaskId()))
	}
	task := poll("", "no", "yes", "perhaps", "well", "well", "")
	given := must[string](t)(callboard.Decode[string](task.GetResult()))
	expect(t, given == "[yes perhaps]" && task.GetAttempt() == 2, "the second attempt comes to the same end", given, task)
	states := childStates(t, client, task.GetId())
	expect(t, states == "[CANCELLED FAILED COMPLETED COMPLETED CANCELLED CANCELLED CANCELLED]", "the rest is cancelled", states)

	// Each attempt is told of the one that failed first.
	task = poll("no", "", "no")
	failure := task.GetFailure()
	expect(t, task.GetState() == callboard.StateFailed && failure.GetType() == "TaskFailed", "too few are left", failure)
	states = childStates(t, client, task.GetId())
	expect(t, states == "[FAILED CANCELLED FAILED]", "the rest is cancelled then, too", states)
	drained(t, agent)
}

func TestAQuorumIsWaitedForAcrossARestartOfTheServer(t *testing.T) {
	server := testserver.Start(t)
	client, ctx := clientOf(t, server), limited(t)
	agent := newAgent(t, callboard.AgentOptions{Address: server.Address, Slots: 1})
	proceed := make(chan struct{})
	callboard.Handle(agent, "panel", func(ctx context.Context, _ any, task *callboard.Context) (int, error) {
		children, err := litter(ctx, task, 3)
		if err != nil {
			return 0, err
		}
		tasks, err := task.WaitChildren(ctx, children, &callboard.WaitChildrenOptions{Count: new(2)})
		<-proceed
		return len(tasks), err
	}, nil)
	attached(t, agent)
	panel := must[*callboard.TaskReceipt](t)(client.Create(ctx, callboard.NewTask{Type: "panel"}, nil)).GetTaskId()
	state := func(is callboard.TaskState) func() bool {
		return func() bool { return must[*callboard.Task](t)(client.Get(ctx, panel)).GetState() == is }
	}
	until(t, "the pause", state(callboard.StatePaused))
	var children []string
	for _, child := range all(t, client.Children(ctx, panel, nil)) {
		children = append(children, child.GetTaskId())
	}
	answer := func(at int) {
		must[*callboard.TaskReceipt](t)(client.Complete(ctx, &callboardv1.Attempt{TaskId: children[at]}, at, nil))
	}
	answer(2)
	server.Kill()
	until(t, "the loss of the stream", func() bool { return !agent.Attached() })
	server.Start()
	check(t, agent.WaitAttached(ctx))
	expect(t, state(callboard.StatePaused)(), "one is too few")
	answer(0)
	until(t, "the end of the pause", state(callboard.StateRunning))
	states := childStates(t, client, panel)
	expect(t, states == "[COMPLETED READY COMPLETED]", "the rest is kept", states)
	close(proceed)
	task := must[*callboard.Task](t)(client.Wait(ctx, panel))
	count := must[int](t)(callboard.Decode[int](task.GetResult()))
	expect(t, count == 2 && task.GetAttempt() == 1, "in its first attempt", count, task)
	ended := must[*callboard.Task](t)(client.Wait(ctx, children[1]))
	expect(t, ended.GetState() == callboard.StateCancelled, "the parent's end is the child's", ended)
	drained(t, agent)
}
