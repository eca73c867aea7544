package callboard_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"callboard.dev/sdk/go"
	"callboard.dev/sdk/go/internal/testserver"
)

// Workflows on a real server.

// planner is an agent for tasks of these types: `say` gives its input, `join` what it depends on, by name and in order, `break` fails
// while moody, and `stuck` ends when it is told to.
func planner(t *testing.T, server *testserver.Server, moody *atomic.Bool) {
	t.Helper()
	agent := newAgent(t, callboard.AgentOptions{Address: server.Address, Slots: 4})
	callboard.Handle(agent, "say", func(_ context.Context, in any, _ *callboard.Context) (any, error) { return in, nil }, nil)
	callboard.Handle(agent, "join", func(ctx context.Context, _ any, task *callboard.Context) (string, error) {
		var said []string
		parts, err := task.Dependencies(ctx)
		for _, part := range parts {
			value, err := callboard.Decode[any](part.GetResult())
			if err != nil {
				return "", err
			}
			said = append(said, fmt.Sprintf("%s %v %s", part.GetName(), value, task.Headers()["h"]))
		}
		return strings.Join(said, ", "), err
	}, nil)
	callboard.Handle(agent, "break", func(context.Context, any, *callboard.Context) (string, error) {
		if moody.Load() {
			return "", &callboard.TaskError{Message: "not today", NonRetryable: true}
		}
		return "fine", nil
	}, nil)
	callboard.Handle(agent, "stuck", func(ctx context.Context, _ any, _ *callboard.Context) (any, error) {
		<-ctx.Done()
		return nil, ctx.Err()
	}, nil)
	attached(t, agent)
}

// step gives a task of a workflow that waits for others.
func step(name, taskType string, dependsOn ...string) callboard.WorkflowTask {
	return callboard.WorkflowTask{Name: name, Task: callboard.NewTask{Type: taskType}, DependsOn: callboard.AfterNamed(dependsOn...)}
}

// states gives how the tasks of a workflow are, in their order: "name STATE run".
func states(t *testing.T, client *callboard.Client, workflowID string) string {
	t.Helper()
	var seen []string
	for _, task := range all(t, client.WorkflowTasks(limited(t), workflowID, nil)) {
		seen = append(seen, fmt.Sprintf("%s %s %d", task.GetWorkflow().GetName(), callboard.StateName(task.GetState()), task.GetRun()))
	}
	return strings.Join(seen, ", ")
}

func TestAWorkflowRunsByTheNamesOfItsTasks(t *testing.T) {
	server := testserver.Start(t)
	client, ctx := clientOf(t, server), limited(t)
	planner(t, server, nil)
	outside := must[*callboard.TaskReceipt](t)(client.Create(ctx, callboard.NewTask{Type: "say", Input: "o"}, nil)).GetTaskId()
	whole := step("whole", "join", "left")
	whole.DependsOn = append(whole.DependsOn, callboard.WorkflowDependency{
		Task: "right", Result: callboard.ResultIs("/n", callboard.ResultGreater, 1), OnFailure: callboard.OnFailureFail,
	})
	whole.Task.DependsOn = []callboard.Dependency{{TaskID: outside, Name: "out"}}
	whole.Weight = 3
	left, right, unlucky := step("left", "say"), step("right", "say"), step("unlucky", "join", "left")
	left.Task.Input, right.Task.Input = "l", map[string]int{"n": 2}
	unlucky.AllowFailure = true
	unlucky.DependsOn[0].Condition = callboard.DependencyFailed
	asked := callboard.NewWorkflow{
		Name: "halves", Description: "two make one", Tags: []string{"x"}, Metadata: map[string]string{"m": "1"}, Headers: map[string]string{"h": "2"},
		// The last to run stands first.
		Tasks: []callboard.WorkflowTask{whole, left, right, unlucky},
	}
	created := must[*callboard.WorkflowReceipt](t)(client.CreateWorkflow(ctx, asked, &callboard.CommandOptions{RequestID: "once"}))
	again := must[*callboard.WorkflowReceipt](t)(client.CreateWorkflow(ctx, asked, &callboard.CommandOptions{RequestID: "once"}))
	expect(t, again.WorkflowID == created.WorkflowID && len(again.Receipts) == 4, "the same request is the same workflow", again, created)

	ended := must[*callboard.Workflow](t)(client.WaitWorkflow(ctx, created.WorkflowID))
	expect(t, ended.GetState() == callboard.WorkflowCompleted && ended.GetProgress() == 1 && ended.GetEndedAt() != nil, "ended", ended)
	expect(t, ended.GetTasks() == 4 && ended.GetCompletedTasks() == 3 && ended.GetSkippedTasks() == 1 && ended.GetOpenTasks() == 0, "counted", ended)
	expect(t, ended.GetName() == "halves" && ended.GetDescription() == "two make one" && slices.Equal(ended.GetTags(), []string{"x"}), "what", ended)
	expect(t, ended.GetMetadata()["m"] == "1" && ended.GetCreatedBy() == "anonymous" && !ended.GetCancelRequested(), "what", ended)
	joined := must[string](t)(callboard.Result[string](ctx, client, created.Receipts["whole"].GetTaskId()))
	for _, part := range []string{"left l 2", "right map[n:2] 2", "out o 2"} {
		expect(t, strings.Contains(joined, part), "found by its name", part, joined)
	}

	task := must[*callboard.Task](t)(client.Get(ctx, created.Receipts["whole"].GetTaskId()))
	link := task.GetWorkflow()
	expect(t, link.GetWorkflowId() == created.WorkflowID && link.GetName() == "whole" && link.GetWeight() == 3 && !link.GetAllowFailure(), "its link", link)
	tasks := all(t, client.WorkflowTasks(ctx, created.WorkflowID, &callboard.WorkflowTasksOptions{PageSize: 1}))
	place := map[string]int{}
	for at, one := range tasks {
		place[one.GetWorkflow().GetName()] = at
		expect(t, one.GetSpec().GetInput() == nil && one.GetResult() == nil, "without inputs and results", one)
	}
	expect(t, len(place) == 4 && place["whole"] > place["left"] && place["whole"] > place["right"], "behind what it waits for", place)
	expect(t, len(tasks[place["whole"]].GetSpec().GetDependencies()) == 3, "the graph", tasks[place["whole"]])
	none := must[*callboard.Task](t)(client.Get(ctx, outside))
	expect(t, none.GetWorkflow() == nil, "of no workflow", none)
}

func TestAWorkflowIsRetriedFromWhatFailed(t *testing.T) {
	server := testserver.Start(t)
	client, ctx := clientOf(t, server), limited(t)
	var moody atomic.Bool
	moody.Store(true)
	planner(t, server, &moody)
	created := must[*callboard.WorkflowReceipt](t)(client.CreateWorkflow(ctx, callboard.NewWorkflow{
		Name: "moody", Tasks: []callboard.WorkflowTask{step("first", "say"), step("second", "break", "first"), step("third", "join", "second")},
	}, nil))
	ended := must[*callboard.Workflow](t)(client.WaitWorkflow(ctx, created.WorkflowID))
	expect(t, ended.GetState() == callboard.WorkflowFailed, "it failed, which is no error", ended)
	seen := states(t, client, created.WorkflowID)
	expect(t, seen == "first COMPLETED 1, second FAILED 1, third SKIPPED 1", "the first time", seen)
	moody.Store(false)
	retried := must[*callboard.Workflow](t)(client.RetryWorkflow(ctx, created.WorkflowID, &callboard.CommandOptions{RequestID: "again"}))
	expect(t, retried.GetState() == callboard.WorkflowRunning && retried.GetEndedAt() == nil, "it runs again", retried)
	ended = must[*callboard.Workflow](t)(client.WaitWorkflow(ctx, created.WorkflowID))
	expect(t, ended.GetState() == callboard.WorkflowCompleted, "completed", ended)
	seen = states(t, client, created.WorkflowID)
	expect(t, seen == "first COMPLETED 1, second COMPLETED 2, third COMPLETED 2", "the second time", seen)
	must[*callboard.Workflow](t)(client.RetryWorkflow(ctx, created.WorkflowID, &callboard.CommandOptions{RequestID: "again"}))
	_, err := client.RetryWorkflow(ctx, created.WorkflowID, nil)
	expect(t, errors.Is(err, callboard.ErrFailedPrecondition) && reasonOf(err) == "WORKFLOW_STATE", "nothing failed", err)
}

func TestAWorkflowIsCancelledAndWaitedForNoLongerThanOneWants(t *testing.T) {
	server := testserver.Start(t)
	client, ctx := clientOf(t, server), limited(t)
	planner(t, server, nil)
	created := must[*callboard.WorkflowReceipt](t)(client.CreateWorkflow(ctx, callboard.NewWorkflow{
		Name: "long", Tasks: []callboard.WorkflowTask{step("first", "stuck"), step("second", "say", "first")},
	}, nil))
	short, cancel := context.WithTimeout(ctx, 300*time.Millisecond)
	defer cancel()
	_, err := client.WaitWorkflow(short, created.WorkflowID)
	expect(t, errors.Is(err, callboard.ErrDeadlineExceeded), "not ended", err)
	reason := &callboard.ReasonOptions{Reason: "enough"}
	cancelled := must[*callboard.Workflow](t)(client.CancelWorkflow(ctx, created.WorkflowID, reason))
	expect(t, cancelled.GetCancelRequested(), "it is asked for", cancelled)
	ended := must[*callboard.Workflow](t)(client.WaitWorkflow(ctx, created.WorkflowID))
	expect(t, ended.GetState() == callboard.WorkflowCancelled && ended.GetCancelledTasks() == 2, "cancelled", ended)
	var reasons []string
	for _, event := range all(t, client.History(ctx, created.Receipts["second"].GetTaskId())) {
		reasons = append(reasons, callboard.EventName(event)+" "+event.GetReason())
	}
	expect(t, slices.Contains(reasons, "CANCELLED enough"), "why", reasons)
	again := must[*callboard.Workflow](t)(client.CancelWorkflow(ctx, created.WorkflowID, nil))
	expect(t, again.GetState() == callboard.WorkflowCancelled, "changes nothing", again)
}

func TestWorkflowsAreListedAndRefused(t *testing.T) {
	client, ctx := clientOf(t, testserver.Start(t)), limited(t)
	var ids []string
	for _, name := range []string{"one", "two", "one"} {
		asked := callboard.NewWorkflow{Name: name, Tasks: []callboard.WorkflowTask{step("a", "nobody")}}
		ids = append(ids, must[*callboard.WorkflowReceipt](t)(client.CreateWorkflow(ctx, asked, nil)).WorkflowID)
	}
	must[*callboard.Workflow](t)(client.CancelWorkflow(ctx, ids[2], nil))
	last := strings.ReplaceAll(ids[0], "-", "")[24:]
	for _, one := range []struct {
		options *callboard.ListWorkflowsOptions
		want    []string
	}{
		{nil, []string{ids[2], ids[1], ids[0]}},
		{&callboard.ListWorkflowsOptions{PageSize: 1}, []string{ids[2], ids[1], ids[0]}},
		{&callboard.ListWorkflowsOptions{Name: "one"}, []string{ids[2], ids[0]}},
		{&callboard.ListWorkflowsOptions{States: []callboard.WorkflowState{callboard.WorkflowRunning}}, []string{ids[1], ids[0]}},
		{&callboard.ListWorkflowsOptions{IDSuffix: last}, []string{ids[0]}},
		{&callboard.ListWorkflowsOptions{CreatedAfter: time.Now().Add(time.Hour)}, nil},
		{&callboard.ListWorkflowsOptions{CreatedBefore: time.Now().Add(-time.Hour)}, nil},
	} {
		var found []string
		for _, workflow := range all(t, client.ListWorkflows(ctx, one.options)) {
			found = append(found, workflow.GetId())
		}
		expect(t, slices.Equal(found, one.want), "listed", one.options, found, ids)
	}
	got := must[*callboard.Workflow](t)(client.GetWorkflow(ctx, ids[1]))
	expect(t, got.GetName() == "two" && got.GetState() == callboard.WorkflowRunning && got.GetOpenTasks() == 1, "one", got)

	_, err := client.GetWorkflow(ctx, "0198c0de-0000-7000-8000-000000000000")
	expect(t, errors.Is(err, callboard.ErrNotFound) && reasonOf(err) == "WORKFLOW_NOT_FOUND", "unknown", err)
	for _, err := range client.WorkflowTasks(ctx, "0198c0de-0000-7000-8000-000000000000", nil) {
		expect(t, errors.Is(err, callboard.ErrNotFound), "unknown", err)
	}
	wrong := callboard.NewWorkflow{Name: "wrong", Tasks: []callboard.WorkflowTask{step("a", "t", "nobody", "a"), step("a", "t")}}
	wrong.Tasks[1].Weight = -1
	wrong.Tasks[1].Task.Key = "mine"
	_, err = client.CreateWorkflow(ctx, wrong, nil)
	var refused *callboard.Error
	expect(t, errors.As(err, &refused) && errors.Is(err, callboard.ErrInvalidArgument) && len(refused.Violations) == 5, "all at once", err)
	_, err = client.CreateWorkflow(ctx, callboard.NewWorkflow{Name: "none"}, nil)
	expect(t, errors.Is(err, callboard.ErrInvalidArgument), "no tasks", err)
}
