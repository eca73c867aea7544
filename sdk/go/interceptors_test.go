package callboard_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"strings"
	"testing"

	"callboard.dev/sdk/go"
	"callboard.dev/sdk/go/callboardv1"
)

// marking adds its name to a header of each task, and to what a handler gives.
func marking(name string) callboard.Interceptor {
	return callboard.Interceptor{
		Submit: func(ctx context.Context, task callboard.NewTask, next callboard.SubmitFunc) (callboard.Submitted, error) {
			headers := maps.Clone(task.Headers)
			if headers == nil {
				headers = map[string]string{}
			}
			headers["path"] += name
			task.Headers = headers
			return next(ctx, task)
		},
		Handle: func(ctx context.Context, _ *callboard.Context, input any, next callboard.HandleFunc) (any, error) {
			value, err := next(ctx, input)
			if text, is := value.(string); is {
				value = text + name
			}
			return value, err
		},
	}
}

// accepting is a server that takes every task, and keeps the headers of those that it was given.
func accepting(t *testing.T) *fake {
	server := newFake(t)
	server.create = func(context.Context, int) (*callboardv1.CreateTaskResponse, error) {
		return &callboardv1.CreateTaskResponse{Receipt: &callboardv1.TaskReceipt{TaskId: "created"}}, nil
	}
	server.batch = func(request *callboardv1.BatchCreateTasksRequest) (*callboardv1.BatchCreateTasksResponse, error) {
		response := &callboardv1.BatchCreateTasksResponse{}
		for at := range request.GetTasks() {
			response.Receipts = append(response.Receipts, &callboardv1.TaskReceipt{TaskId: fmt.Sprint(at)})
		}
		return response, nil
	}
	server.run = func(*callboardv1.RunTaskRequest) (*callboardv1.RunTaskResponse, error) {
		task := &callboard.Task{State: callboard.StateFailed, Failure: &callboard.Failure{Type: "NoAccess"}}
		return &callboardv1.RunTaskResponse{Task: task, Ended: true}, nil
	}
	return server
}

func paths(server *fake) string {
	server.mu.Lock()
	defer server.mu.Unlock()
	var seen []string
	for _, request := range server.requests {
		var specs []*callboardv1.TaskSpec
		switch request := request.(type) {
		case interface{ GetTask() *callboardv1.TaskSpec }:
			specs = append(specs, request.GetTask())
		case *callboardv1.BatchCreateTasksRequest:
			specs = request.GetTasks()
		}
		for _, spec := range specs {
			seen = append(seen, spec.GetHeaders()["path"])
		}
	}
	return strings.Join(seen, " ")
}

func TestInterceptorsStandAroundEveryTaskThatIsSubmitted(t *testing.T) {
	server := accepting(t)
	client := newClient(t, &callboard.ClientOptions{
		Address: server.address, Interceptors: []callboard.Interceptor{marking("a"), {}, marking("b")},
	})
	ctx, task := limited(t), echo("x")
	task.Headers = map[string]string{"path": ">"}
	must[*callboard.TaskReceipt](t)(client.Create(ctx, task, nil))
	receipts := must[[]*callboard.TaskReceipt](t)(client.CreateAll(ctx, []callboard.NewTask{task, echo("y")}, nil))
	expect(t, len(receipts) == 2 && receipts[0].GetTaskId() == "0" && receipts[1].GetTaskId() == "1", "each its own", receipts)
	must[*callboard.Task](t)(client.WithTimeout(long).RunUntilEnded(ctx, task, nil))
	expect(t, paths(server) == ">ab >ab ab >ab" && task.Headers["path"] == ">", "outermost first", paths(server))
}

func TestWhatSubmitRaisesIsTheCallsErrorAndNothingIsSent(t *testing.T) {
	server := accepting(t)
	refusal := errors.New("not on Sundays")
	picky := func(ctx context.Context, task callboard.NewTask, next callboard.SubmitFunc) (callboard.Submitted, error) {
		switch task.Type {
		case "refused":
			return callboard.Submitted{}, refusal
		case "skipped":
			return callboard.Submitted{}, nil
		}
		return next(ctx, task)
	}
	client := newClient(t, &callboard.ClientOptions{Address: server.address, Interceptors: []callboard.Interceptor{{Submit: picky}}})
	ctx, taken, refused := limited(t), echo("x"), callboard.NewTask{Type: "refused"}
	_, created := client.Create(ctx, refused, nil)
	_, ran := callboard.Run[any](ctx, client, refused, nil)
	_, first := client.CreateAll(ctx, []callboard.NewTask{refused, taken}, nil)
	_, last := client.CreateAll(ctx, []callboard.NewTask{taken, refused}, nil)
	for _, err := range []error{created, ran, first, last} {
		expect(t, err == refusal, "as it was raised", err)
	}
	_, err := client.CreateAll(ctx, []callboard.NewTask{taken, {Type: "skipped"}}, nil)
	expect(t, errors.Is(err, callboard.ErrInvalidArgument) && strings.Contains(err.Error(), "tasks[1]"), "all or none", err)
	expect(t, len(server.requests) == 0, "nothing is sent", server.requests)
}

func TestSubmitSeesHowARunFailedAndMayRepeatTheCall(t *testing.T) {
	server := accepting(t)
	var seen []error
	twice := func(ctx context.Context, task callboard.NewTask, next callboard.SubmitFunc) (callboard.Submitted, error) {
		_, err := next(ctx, task)
		seen = append(seen, err)
		return next(ctx, task)
	}
	client := newClient(t, &callboard.ClientOptions{Address: server.address, Interceptors: []callboard.Interceptor{{Submit: twice}}})
	_, err := callboard.Run[any](limited(t), client, echo("x"), nil)
	var failed *callboard.TaskFailed
	expect(t, errors.As(err, &failed) && errors.As(seen[0], &failed), "failed", err, seen)
	first, second := server.requests[0].(*callboardv1.RunTaskRequest), server.requests[1].(*callboardv1.RunTaskRequest)
	expect(t, first.GetRequestId() != "" && first.GetRequestId() == second.GetRequestId(), "under one id", first, second)
}

// intercepted runs a handler within interceptors, for an assignment of a server that the test plays, and gives how its attempt ends.
func intercepted(
	t *testing.T, input any, handler func(*callboard.Agent), logger *slog.Logger, interceptors ...callboard.Interceptor,
) *callboardv1.Report {
	t.Helper()
	server := nursery(t)
	agent := newAgent(t, callboard.AgentOptions{Name: "ann", Address: server.address, Interceptors: interceptors, Logger: logger})
	handler(agent)
	check(t, agent.Start(context.Background()))
	t.Cleanup(func() { _ = agent.Stop() })
	stream := receive(t, server.streams)
	stream.welcomeWith(withChildren, long)
	spec := &callboardv1.TaskSpec{Type: "t", Input: must[*callboard.Payload](t)(callboard.Encode(input))}
	stream.give(&callboardv1.Assignment{Spec: spec, Run: 1}, taskID)
	report := next(t, stream)
	expect(t, paths(server) == "" || paths(server) == "ab", "its children are submitted within them, too", paths(server))
	return report
}

func TestInterceptorsStandAroundEveryAttempt(t *testing.T) {
	greeting := func(agent *callboard.Agent) {
		callboard.Handle(agent, "t", func(ctx context.Context, name string, task *callboard.Context) (string, error) {
			_, err := callboard.StartChild(ctx, task, callboard.NewTask{Type: "child"}, nil)
			return "Hello, " + name, err
		}, nil)
	}
	louder := callboard.Interceptor{
		Handle: func(ctx context.Context, task *callboard.Context, input any, next callboard.HandleFunc) (any, error) {
			return next(ctx, strings.ToUpper(input.(string))+" of "+task.Agent())
		},
	}
	report := intercepted(t, "Ada", greeting, nil, marking("a"), marking("b"), louder)
	expect(t, report.GetCompleted().GetResult().GetText() == "Hello, ADA of annba", "outermost last", report)
}

func TestAnInterceptorMayFailTheAttempt(t *testing.T) {
	doing := func(function func(ctx context.Context, in any, task *callboard.Context) (any, error)) func(*callboard.Agent) {
		return func(agent *callboard.Agent) { callboard.Handle(agent, "t", function, nil) }
	}
	panics := doing(func(context.Context, any, *callboard.Context) (any, error) { panic("oh") })
	var seen error
	watching := callboard.Interceptor{Handle: func(ctx context.Context, _ *callboard.Context, input any, next callboard.HandleFunc) (any, error) {
		value, err := next(ctx, input)
		seen = err
		return value, err
	}}
	failure := intercepted(t, nil, panics, nil, watching).GetFailed().GetFailure()
	expect(t, failure.GetType() == "panic" && failure.GetMessage() == "oh" && strings.Contains(seen.Error(), "panicked: oh"), "a panic", failure, seen)

	refusing := callboard.Interceptor{Handle: func(context.Context, *callboard.Context, any, callboard.HandleFunc) (any, error) {
		return nil, &callboard.TaskError{Message: "no", Type: "NotToday"}
	}}
	failure = intercepted(t, nil, panics, nil, refusing).GetFailed().GetFailure()
	expect(t, failure.GetType() == "NotToday", "an error of its own", failure)

	wrong := callboard.Interceptor{Handle: func(ctx context.Context, _ *callboard.Context, _ any, next callboard.HandleFunc) (any, error) {
		return next(ctx, 7)
	}}
	takesText := func(agent *callboard.Agent) {
		callboard.Handle(agent, "t", func(_ context.Context, in string, _ *callboard.Context) (string, error) { return in, nil }, nil)
	}
	failure = intercepted(t, "x", takesText, nil, wrong).GetFailed().GetFailure()
	expect(t, failure.GetType() == callboard.FailureInvalidInput && strings.Contains(failure.GetMessage(), "a int, and it takes a string"), "another type", failure)

	whole := doing(func(_ context.Context, in any, _ *callboard.Context) (any, error) { return in, nil })
	report := intercepted(t, nil, whole, nil, watching)
	expect(t, report.GetCompleted().GetResult().GetText() == "null", "nil passes", report)
}

func TestLoggingTellsWhenAnAttemptBeginsAndEnds(t *testing.T) {
	kept := &logs{}
	secret := func(agent *callboard.Agent) {
		callboard.Handle(agent, "t", func(context.Context, string, *callboard.Context) (string, error) {
			return "secret", errors.New("secret")
		}, nil)
	}
	intercepted(t, "secret", secret, slog.New(slog.DiscardHandler), callboard.Logging(slog.New(slog.NewJSONHandler(kept, nil))))
	lines := strings.Split(strings.TrimSpace(kept.String()), "\n")
	if len(lines) != 2 {
		t.Fatal(lines)
	}
	var began, over map[string]any
	check(t, json.Unmarshal([]byte(lines[0]), &began))
	check(t, json.Unmarshal([]byte(lines[1]), &over))
	expect(t, began["msg"] == "attempt began" && began["task"] == taskID && began["type"] == "t" && began["attempt"] == 1.0, "began", began)
	took, is := over["ms"].(float64)
	expect(t, over["msg"] == "attempt ended" && over["outcome"] == "failed" && is && took >= 0, "ended", over)
	expect(t, !strings.Contains(kept.String(), "secret"), "neither inputs nor results nor errors", lines)
}
