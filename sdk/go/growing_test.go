package callboard_test

import (
	"context"
	"errors"
	"fmt"
	"math"
	"testing"
	"time"

	"callboard.dev/sdk/go"
	"callboard.dev/sdk/go/callboardv1"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// Workflows that run, on a server that the test plays.

func (f *fake) AddWorkflowTasks(_ context.Context, request *callboardv1.AddWorkflowTasksRequest) (*callboardv1.AddWorkflowTasksResponse, error) {
	f.note(request)
	return f.growth(request)
}

func (f *fake) HoldWorkflow(_ context.Context, request *callboardv1.HoldWorkflowRequest) (*callboardv1.HoldWorkflowResponse, error) {
	f.note(request)
	return &callboardv1.HoldWorkflowResponse{Workflow: &callboard.Workflow{Id: request.GetWorkflowId(), Held: true}}, nil
}

func (f *fake) ReleaseWorkflow(_ context.Context, request *callboardv1.ReleaseWorkflowRequest) (*callboardv1.ReleaseWorkflowResponse, error) {
	f.note(request)
	return &callboardv1.ReleaseWorkflowResponse{Workflow: &callboard.Workflow{Id: request.GetWorkflowId()}}, nil
}

func (f *fake) ForecastWorkflow(_ context.Context, request *callboardv1.ForecastWorkflowRequest) (*callboardv1.ForecastWorkflowResponse, error) {
	f.note(request)
	return &callboardv1.ForecastWorkflowResponse{Forecast: forecast()}, nil
}

func forecast() *callboard.WorkflowForecast {
	at := func(second int64) *timestamppb.Timestamp { return timestamppb.New(time.Unix(second, 0)) }
	return &callboard.WorkflowForecast{
		ExpectedEnd: at(3), UnknownTypes: []string{"new"}, CriticalPath: []*callboardv1.ForecastTask{
			{
				TaskId: "a", Name: "first", Type: "t", State: callboard.StateRunning, ExpectedDuration: durationpb.New(2 * time.Second),
				ExpectedStart: at(1), ExpectedEnd: at(3),
			},
			{TaskId: "b", Type: "new", State: callboard.StateWaiting, ExpectedStart: at(3), ExpectedEnd: at(3)},
		},
	}
}

// growing is a server that takes tasks for every workflow. A receipt has the name of its task as the id.
func growing(t *testing.T) *fake {
	t.Helper()
	server := newFake(t)
	server.growth = func(request *callboardv1.AddWorkflowTasksRequest) (*callboardv1.AddWorkflowTasksResponse, error) {
		response := &callboardv1.AddWorkflowTasksResponse{}
		for _, task := range request.GetTasks() {
			response.Receipts = append(response.Receipts, &callboardv1.TaskReceipt{TaskId: "id of " + task.GetName()})
		}
		return response, nil
	}
	return server
}

func TestTasksThatAreAddedSayAllThatTheyMayAndGiveTheirReceiptsByName(t *testing.T) {
	server := growing(t)
	client := newClient(t, &callboard.ClientOptions{
		Address: server.address, Namespace: "n", Interceptors: []callboard.Interceptor{marking("a"), marking("b")},
	})
	more := []callboard.WorkflowTask{
		{Name: "last", Task: callboard.NewTask{Type: "t"}, Weight: 3, AllowFailure: true, DependsOn: []callboard.WorkflowDependency{
			{Task: "there", Result: callboard.ResultIs("/a", callboard.ResultEqual, 1)}, {Task: "first", OnFailure: callboard.OnFailureFail},
		}},
		{Name: "first", Task: callboard.NewTask{Type: "u", DependsOn: callboard.After("outside")}},
	}
	receipts := must[map[string]*callboard.TaskReceipt](t)(client.AddWorkflowTasks(
		limited(t), "w", more, &callboard.CommandOptions{RequestID: "again"}))
	expect(t, len(receipts) == 2 && receipts["last"].GetTaskId() == "id of last" && receipts["first"].GetTaskId() == "id of first", "named", receipts)
	input, headers := must[*callboard.Payload](t)(callboard.Encode("")), map[string]string{"path": "ab"}
	want := &callboardv1.AddWorkflowTasksRequest{Namespace: "n", WorkflowId: "w", RequestId: "again", Tasks: []*callboardv1.WorkflowTask{
		{
			Name: "last", Task: &callboardv1.TaskSpec{Type: "t", Input: input, Headers: headers}, Weight: 3, AllowFailure: true,
			DependsOn: []*callboardv1.WorkflowDependency{
				{Task: "there", Result: &callboardv1.ResultCondition{Pointer: "/a", Comparison: callboard.ResultEqual, Value: "1"}},
				{Task: "first", OnFailure: callboard.OnFailureFail},
			},
		},
		{Name: "first", Task: &callboardv1.TaskSpec{
			Type: "u", Input: input, Headers: headers, Dependencies: []*callboardv1.Dependency{{TaskId: "outside"}},
		}},
	}}
	expect(t, proto.Equal(server.requests[0], want), "as it was said, within the interceptors", server.requests[0])
}

func TestWhatCanNotBeAddedIsRefusedByItsField(t *testing.T) {
	server := growing(t)
	client := newClient(t, &callboard.ClientOptions{Address: server.address})
	input, result := named("a", "b").Tasks, named("a", "b").Tasks
	input[1].Task.Input = math.NaN()
	result[0].DependsOn = []callboard.WorkflowDependency{{Task: "b", Result: callboard.ResultIs("", callboard.ResultEqual, []byte("hi"))}}
	for field, tasks := range map[string][]callboard.WorkflowTask{
		"tasks[1].task.input":                 input,
		"tasks[0].depends_on[0].result.value": result,
	} {
		_, err := client.AddWorkflowTasks(limited(t), "w", tasks, nil)
		var refused *callboard.Error
		expect(t, errors.Is(err, callboard.ErrInvalidArgument) && errors.As(err, &refused), "refused", err)
		expect(t, refused.Violations[0].Field == field, "which one", field, refused)
	}
	expect(t, len(server.requests) == 0, "nothing is sent", server.requests)
	server.growth = func(*callboardv1.AddWorkflowTasksRequest) (*callboardv1.AddWorkflowTasksResponse, error) {
		return nil, refuse(codes.FailedPrecondition, "WORKFLOW_STATE")
	}
	_, err := client.AddWorkflowTasks(limited(t), "w", named("a").Tasks, nil)
	expect(t, errors.Is(err, callboard.ErrFailedPrecondition), "what the server refuses", err)
}

func TestAWorkflowIsHeldReleasedAndForecast(t *testing.T) {
	server := growing(t)
	client := newClient(t, &callboard.ClientOptions{Address: server.address, Namespace: "n"})
	ctx := limited(t)
	held := must[*callboard.Workflow](t)(client.HoldWorkflow(ctx, "w", &callboard.ReasonOptions{Reason: "lunch", RequestID: "1"}))
	released := must[*callboard.Workflow](t)(client.ReleaseWorkflow(ctx, "w", &callboard.CommandOptions{RequestID: "2"}))
	expect(t, held.GetHeld() && !released.GetHeld() && released.GetId() == "w", "held and released", held, released)
	expected := must[*callboard.WorkflowForecast](t)(client.ForecastWorkflow(ctx, "w"))
	expect(t, proto.Equal(expected, forecast()), "forecast", expected)
	for at, want := range []proto.Message{
		&callboardv1.HoldWorkflowRequest{Namespace: "n", WorkflowId: "w", Reason: "lunch", RequestId: "1"},
		&callboardv1.ReleaseWorkflowRequest{Namespace: "n", WorkflowId: "w", RequestId: "2"},
		&callboardv1.ForecastWorkflowRequest{Namespace: "n", WorkflowId: "w"},
	} {
		expect(t, proto.Equal(server.requests[at], want), "asked", server.requests[at])
	}
	must[*callboard.Workflow](t)(client.HoldWorkflow(ctx, "w", nil))
	must[*callboard.Workflow](t)(client.ReleaseWorkflow(ctx, "w", nil))
	for _, request := range server.requests[3:] {
		id := request.(interface{ GetRequestId() string }).GetRequestId()
		expect(t, id != "", "with a request id of its own", request)
	}
}

func TestAHandlerAmendsThePlanOfItsWorkflow(t *testing.T) {
	for _, link := range []*callboard.WorkflowLink{nil, {WorkflowId: "w", Name: "plan", Weight: 1}} {
		server := growing(t)
		assignment := &callboardv1.Assignment{Workflow: link}
		_, over := onStage(t, server, withChildren, assignment, func(ctx context.Context, task *callboard.Context) error {
			of := task.Workflow()
			if !proto.Equal(of, link) {
				return fmt.Errorf("another: %v", of)
			}
			if of == nil {
				return nil
			}
			_, err := task.Client().AddWorkflowTasks(ctx, of.GetWorkflowId(), named("more").Tasks, nil)
			return err
		})
		check(t, receive(t, over))
		expect(t, (len(server.requests) == 1) == (link != nil), "added", server.requests)
	}
}
