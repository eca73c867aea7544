package callboard_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"callboard.dev/sdk/go"
	"callboard.dev/sdk/go/callboardv1"
	"callboard.dev/sdk/go/internal/testserver"
)

// Steps on a real server.

func TestALaterAttemptIsGivenWhatTheFirstRecorded(t *testing.T) {
	server := testserver.Start(t)
	client, ctx := clientOf(t, server), limited(t)
	agent := newAgent(t, callboard.AgentOptions{Address: server.Address})
	var fetched, written atomic.Int32
	callboard.Handle(agent, "report", func(ctx context.Context, _ any, task *callboard.Context) (string, error) {
		var pages []string
		for range 2 {
			page, err := callboard.Step(ctx, task, "fetch", func(context.Context) (string, error) {
				return fmt.Sprintf("page %d", fetched.Add(1)), nil
			})
			if err != nil {
				return "", err
			}
			pages = append(pages, page)
		}
		sum, err := callboard.Step(ctx, task, "write", func(context.Context) (int, error) {
			if task.AttemptsUsed() == 0 {
				return 0, errors.New("out of ink")
			}
			return int(written.Add(1)), nil
		})
		return fmt.Sprint(pages, sum), err
	}, nil)
	attached(t, agent)
	task := callboard.NewTask{Type: "report", Retry: callboard.RetryPolicy{InitialBackoff: time.Millisecond}}
	ended := must[*callboard.Task](t)(client.RunUntilEnded(ctx, task, nil))
	result := must[string](t)(callboard.Decode[string](ended.GetResult()))
	expect(t, result == "[page 1 page 2] 1" && ended.GetAttempt() == 2 && fetched.Load() == 2, "each ran once", ended)

	var listed, told []string
	for _, step := range all(t, client.Steps(ctx, ended.GetId(), &callboard.StepsOptions{PageSize: 1})) {
		value := must[any](t)(callboard.Decode[any](step.GetResult()))
		listed = append(listed, fmt.Sprintf("%d %s/%d = %v by %d", step.GetOrdinal(), step.GetName(), step.GetOccurrence(), value, step.GetAttempt()))
	}
	expect(t, strings.Join(listed, ", ") == "1 fetch/0 = page 1 by 1, 2 fetch/1 = page 2 by 1, 3 write/0 = 1 by 2", "listed", listed)
	for _, event := range all(t, client.History(ctx, ended.GetId())) {
		if callboard.EventName(event) == "STEP_RECORDED" {
			told = append(told, fmt.Sprintf("%s/%d", event.GetStep(), event.GetStepOccurrence()))
		}
	}
	expect(t, strings.Join(told, ", ") == "fetch/0, fetch/1, write/0", "in its history", told)
	drained(t, agent)
}

func TestStepsThatDoNotFitIntoTheAssignmentAreFetched(t *testing.T) {
	server := testserver.Start(t)
	client, ctx := clientOf(t, server), limited(t)
	agent := newAgent(t, callboard.AgentOptions{Address: server.Address})
	var ran atomic.Int32
	callboard.Handle(agent, "large", func(ctx context.Context, _ any, task *callboard.Context) (int, error) {
		sum := 0
		for range 4 {
			text, err := callboard.Step(ctx, task, "chapter", func(context.Context) (string, error) {
				ran.Add(1)
				return strings.Repeat("x", 700_000), nil
			})
			if err != nil {
				return 0, err
			}
			sum += len(text)
		}
		if task.AttemptsUsed() == 0 {
			return 0, errors.New("again")
		}
		return sum, nil
	}, nil)
	attached(t, agent)
	task := callboard.NewTask{Type: "large", Retry: callboard.RetryPolicy{InitialBackoff: time.Millisecond}}
	sum := must[int](t)(callboard.Run[int](ctx, client, task, nil))
	expect(t, sum == 2_800_000 && ran.Load() == 4, "all four, once", sum, ran.Load())
	drained(t, agent)
}

func TestStepsOutliveTheServerAndTheAgent(t *testing.T) {
	server := testserver.Start(t, "--reattach-grace", "1s")
	client, ctx := clientOf(t, server), limited(t)
	var ran atomic.Int32
	began, proceed := make(chan struct{}, 1), make(chan struct{})
	handle := func(ctx context.Context, _ any, task *callboard.Context) (string, error) {
		one, err := callboard.Step(ctx, task, "one", func(context.Context) (int32, error) {
			began <- struct{}{}
			<-proceed
			// The server is away when this is recorded.
			return ran.Add(1), nil
		})
		if err != nil || task.Attempt() == 1 {
			<-ctx.Done()
			return "", ctx.Err()
		}
		return fmt.Sprint(one), nil
	}
	first := newAgent(t, callboard.AgentOptions{Name: "ann", Address: server.Address})
	callboard.Handle(first, "t", handle, nil)
	attached(t, first)
	created := must[*callboard.TaskReceipt](t)(client.Create(ctx, callboard.NewTask{Type: "t"}, nil))
	receive(t, began)
	server.Kill()
	until(t, "the loss of the stream", func() bool { return !first.Attached() })
	close(proceed)
	server.Start()
	until(t, "the step", func() bool { return len(all(t, client.Steps(ctx, created.GetTaskId(), nil))) == 1 })
	check(t, first.Stop())
	second := newAgent(t, callboard.AgentOptions{Name: "bob", Address: server.Address})
	callboard.Handle(second, "t", handle, nil)
	attached(t, second)
	result := must[string](t)(callboard.Result[string](ctx, client, created.GetTaskId()))
	expect(t, result == "1" && ran.Load() == 1, "recorded before", result)
	drained(t, second)
}

func TestStepsOfClaimedTasks(t *testing.T) {
	server := testserver.Start(t)
	client, ctx := clientOf(t, server), limited(t)
	created := must[*callboard.TaskReceipt](t)(client.Create(ctx, callboard.NewTask{Type: "t"}, nil))
	claim := func() *callboardv1.Assignment {
		t.Helper()
		claims := must[[]*callboardv1.Assignment](t)(client.Claim(ctx, "now", []string{"t"}, &callboard.ClaimOptions{Wait: 10 * time.Second}))
		if len(claims) != 1 {
			t.Fatal(claims)
		}
		return claims[0]
	}
	beat := func(attempt *callboardv1.Attempt, steps ...callboard.StepResult) error {
		_, err := client.Heartbeat(ctx, attempt, &callboard.HeartbeatOptions{Steps: steps, Checkpoint: "half"})
		return err
	}
	attempt := claim().GetAttempt()
	check(t, beat(attempt, callboard.StepResult{Name: "fetch", Result: "page"}, callboard.StepResult{Name: "fetch", Occurrence: 1, Result: 2}))
	check(t, beat(attempt, callboard.StepResult{Name: "fetch", Result: "page"}))
	err := beat(attempt, callboard.StepResult{Name: "fetch", Result: "another"})
	expect(t, errors.Is(err, callboard.ErrAlreadyExists) && reasonOf(err) == "STEP_EXISTS", "what is recorded stays", err)
	err = beat(attempt, callboard.StepResult{Name: "large", Result: strings.Repeat("x", 1<<20+1)})
	expect(t, errors.Is(err, callboard.ErrInvalidArgument) && strings.Contains(err.Error(), "steps[0].result"), "refused here", err)

	soon := &callboard.TaskError{Message: "again", RetryAfter: time.Millisecond}
	must[*callboard.TaskReceipt](t)(client.Fail(ctx, attempt, soon, nil))
	second := claim()
	steps := second.GetSteps()
	expect(t, len(steps) == 2 && second.GetStepCount() == 2 && steps[1].GetOccurrence() == 1 && steps[1].GetResult().GetText() == "2", "given", steps)
	final := &callboard.TaskError{Message: "no", NonRetryable: true}
	must[*callboard.TaskReceipt](t)(client.Fail(ctx, second.GetAttempt(), final, nil))

	must[*callboard.TaskReceipt](t)(client.Retry(ctx, created.GetTaskId(), nil))
	third := claim()
	expect(t, third.GetStepCount() == 0 && third.GetCheckpoint().GetText() == "half", "the next run begins with none; a checkpoint is kept", third)
	expect(t, len(all(t, client.Steps(ctx, created.GetTaskId(), nil))) == 0, "of the latest run")
	expect(t, len(all(t, client.Steps(ctx, created.GetTaskId(), &callboard.StepsOptions{Run: 1}))) == 2, "of the first")
}
