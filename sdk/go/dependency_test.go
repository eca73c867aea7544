package callboard_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strings"
	"testing"

	"callboard.dev/sdk/go"
	"callboard.dev/sdk/go/callboardv1"
	"google.golang.org/protobuf/proto"
)

// asked gives the dependencies that a server is asked for.
func asked(t *testing.T, dependencies []callboard.Dependency) ([]*callboardv1.Dependency, error) {
	t.Helper()
	server := newFake(t)
	server.create = func(context.Context, int) (*callboardv1.CreateTaskResponse, error) {
		return &callboardv1.CreateTaskResponse{Receipt: &callboardv1.TaskReceipt{TaskId: taskID}}, nil
	}
	client := newClient(t, &callboard.ClientOptions{Address: server.address})
	_, err := client.Create(limited(t), callboard.NewTask{Type: "t", DependsOn: dependencies}, nil)
	server.mu.Lock()
	defer server.mu.Unlock()
	if len(server.requests) == 0 {
		return nil, err
	}
	return server.requests[0].(*callboardv1.CreateTaskRequest).GetTask().GetDependencies(), err
}

func TestADependencySaysAllThatItMay(t *testing.T) {
	sent := must[[]*callboardv1.Dependency](t)(asked(t, append(callboard.After("a"),
		callboard.Dependency{TaskID: "b", Condition: callboard.DependencyNotCompleted, OnFailure: callboard.OnFailureFail},
		callboard.Dependency{TaskID: "c", Result: callboard.ResultIs("/score", callboard.ResultGreaterOrEqual, 0.8), Name: "draft"},
	)))
	for at, want := range []*callboardv1.Dependency{
		{TaskId: "a"},
		{TaskId: "b", Condition: callboard.DependencyNotCompleted, OnFailure: callboard.OnFailureFail},
		{
			TaskId: "c", Name: "draft",
			Result: &callboardv1.ResultCondition{Pointer: "/score", Comparison: callboard.ResultGreaterOrEqual, Value: "0.8"},
		},
	} {
		expect(t, proto.Equal(sent[at], want), "as it was said", sent[at], want)
	}
}

func TestAValueIsJSONAndAStringHasItsQuotes(t *testing.T) {
	type language string
	values := []any{
		"e\"n<", language("en"), true, uint64(math.MaxUint64), json.Number("1.50"), []int{1}, map[string]any{"a": nil}, json.RawMessage("null"), nil,
	}
	want := []string{`"e\"n<"`, `"en"`, `true`, `18446744073709551615`, `1.50`, `[1]`, `{"a":null}`, `null`, ``}
	var dependencies []callboard.Dependency
	for _, value := range values {
		dependencies = append(dependencies, callboard.Dependency{TaskID: "a", Result: callboard.ResultIs("", callboard.ResultEqual, value)})
	}
	for at, one := range must[[]*callboardv1.Dependency](t)(asked(t, dependencies)) {
		expect(t, one.GetResult().GetValue() == want[at], "encoded", one, want[at])
	}
}

func TestWhatJSONHasNotIsRefusedBeforeAnythingIsSent(t *testing.T) {
	for _, value := range []any{math.NaN(), []byte("hi"), "\xff", func() {}} {
		sent, err := asked(t, append(callboard.After("a"), callboard.Dependency{
			TaskID: "b", Result: callboard.ResultIs("", callboard.ResultEqual, value),
		}))
		var refused *callboard.Error
		expect(t, errors.Is(err, callboard.ErrInvalidArgument) && errors.As(err, &refused) && sent == nil, "refused", value, err)
		expect(t, refused.Violations[0].Field == "task.dependencies[1].result.value", "which one", refused)
	}
}

func (f *fake) AddDependencies(_ context.Context, request *callboardv1.AddDependenciesRequest) (*callboardv1.AddDependenciesResponse, error) {
	f.note(request)
	receipt := &callboardv1.TaskReceipt{TaskId: request.GetTaskId(), State: callboard.StateWaiting}
	return &callboardv1.AddDependenciesResponse{Receipt: receipt}, nil
}

func TestDependenciesAreAddedToATask(t *testing.T) {
	server := newFake(t)
	client, ctx := newClient(t, &callboard.ClientOptions{Address: server.address, Namespace: "n"}), limited(t)
	more := append(callboard.After("a"), callboard.Dependency{
		TaskID: "b", Condition: callboard.DependencyEnded, OnFailure: callboard.OnFailureFail, Name: "draft",
	}, callboard.Dependency{TaskID: "c", Result: callboard.ResultIs("/score", callboard.ResultGreater, 1)})
	receipt := must[*callboard.TaskReceipt](t)(client.AddDependencies(ctx, "x", more, &callboard.CommandOptions{RequestID: "again"}))
	expect(t, receipt.GetTaskId() == "x" && receipt.GetState() == callboard.StateWaiting, "its receipt", receipt)
	want := &callboardv1.AddDependenciesRequest{Namespace: "n", TaskId: "x", RequestId: "again", Dependencies: []*callboardv1.Dependency{
		{TaskId: "a"},
		{TaskId: "b", Condition: callboard.DependencyEnded, OnFailure: callboard.OnFailureFail, Name: "draft"},
		{TaskId: "c", Result: &callboardv1.ResultCondition{Pointer: "/score", Comparison: callboard.ResultGreater, Value: "1"}},
	}}
	expect(t, proto.Equal(server.requests[0], want), "as it was said", server.requests[0])
	must[*callboard.TaskReceipt](t)(client.AddDependencies(ctx, "x", more, nil))
	id := server.requests[1].(*callboardv1.AddDependenciesRequest).GetRequestId()
	expect(t, id != "", "with a request id of its own", id)
	more[2].Result.Value = math.NaN()
	_, err := client.AddDependencies(ctx, "x", more, nil)
	var refused *callboard.Error
	expect(t, errors.Is(err, callboard.ErrInvalidArgument) && errors.As(err, &refused), "refused", err)
	expect(t, refused.Violations[0].Field == "dependencies[2].result.value" && len(server.requests) == 2, "which one, and nothing sent", refused)
}

func TestADependencyIsFoundByItsName(t *testing.T) {
	assignment := recorded()
	assignment.Dependencies = []*callboardv1.DependencyResult{{TaskId: "a"}, {TaskId: "b", Name: "draft"}, {TaskId: "c", Name: "review"}}
	_, ended := onStage(t, newFake(t), withSteps, assignment, func(ctx context.Context, task *callboard.Context) error {
		found, err := task.Dependency(ctx, "review")
		if err != nil || found.GetTaskId() != "c" {
			return fmt.Errorf("found %v: %w", found, err)
		}
		for _, unknown := range []string{"Draft", ""} {
			_, err = task.Dependency(ctx, unknown)
			want := fmt.Sprintf("no dependency is named %q: there are draft, review", unknown)
			if !errors.Is(err, callboard.ErrInvalidArgument) || !strings.HasSuffix(err.Error(), want) {
				return fmt.Errorf("%q: another error: %w", unknown, err)
			}
		}
		return nil
	})
	check(t, receive(t, ended))
}

func TestWithoutNamesNoneIsFound(t *testing.T) {
	assignment := recorded()
	assignment.Dependencies = []*callboardv1.DependencyResult{{TaskId: "a"}}
	_, ended := onStage(t, newFake(t), withSteps, assignment, func(ctx context.Context, task *callboard.Context) error {
		_, err := task.Dependency(ctx, "draft")
		return err
	})
	err := receive(t, ended)
	expect(t, err != nil && strings.HasSuffix(err.Error(), `no dependency is named "draft": none has a name`), "why", err)
}
