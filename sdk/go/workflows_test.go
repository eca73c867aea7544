package callboard_test

import (
	"context"
	"errors"
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	"callboard.dev/sdk/go"
	"callboard.dev/sdk/go/callboardv1"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/proto"
)

// Workflows on a server that the test plays.

func (f *fake) CreateWorkflow(_ context.Context, request *callboardv1.CreateWorkflowRequest) (*callboardv1.CreateWorkflowResponse, error) {
	f.note(request)
	return f.workflow(request)
}

func (f *fake) WaitWorkflow(_ context.Context, request *callboardv1.WaitWorkflowRequest) (*callboardv1.WaitWorkflowResponse, error) {
	return f.workflowWait(request, f.note(request))
}

// planning is a server that takes every workflow. A receipt has the name of its task as the id.
func planning(t *testing.T) *fake {
	t.Helper()
	server := newFake(t)
	server.workflow = func(request *callboardv1.CreateWorkflowRequest) (*callboardv1.CreateWorkflowResponse, error) {
		response := &callboardv1.CreateWorkflowResponse{WorkflowId: "w"}
		for _, task := range request.GetWorkflow().GetTasks() {
			response.Receipts = append(response.Receipts, &callboardv1.TaskReceipt{TaskId: "id of " + task.GetName()})
		}
		return response, nil
	}
	return server
}

// named gives a workflow of tasks of these names.
func named(names ...string) callboard.NewWorkflow {
	workflow := callboard.NewWorkflow{Name: "some"}
	for _, name := range names {
		workflow.Tasks = append(workflow.Tasks, callboard.WorkflowTask{Name: name, Task: callboard.NewTask{Type: "t"}})
	}
	return workflow
}

func TestAWorkflowSaysAllThatItMayAndGivesItsReceiptsByName(t *testing.T) {
	server := planning(t)
	client := newClient(t, &callboard.ClientOptions{Address: server.address, Namespace: "n"})
	created := must[*callboard.WorkflowReceipt](t)(client.CreateWorkflow(limited(t), callboard.NewWorkflow{
		Name: "report", Description: "about", Tags: []string{"nightly"}, Metadata: map[string]string{"m": "1"}, Headers: map[string]string{"h": "2"},
		Tasks: []callboard.WorkflowTask{
			{Name: "last", Task: callboard.NewTask{Type: "t"}, Weight: 3, DependsOn: append(callboard.AfterNamed("first"), callboard.WorkflowDependency{
				Task: "draft", Condition: callboard.DependencyNotCompleted, OnFailure: callboard.OnFailureFail,
			})},
			{Name: "first", Task: callboard.NewTask{Type: "t", Input: "x", DependsOn: callboard.After("outside")}},
			{Name: "draft", Task: callboard.NewTask{Type: "t"}, AllowFailure: true, DependsOn: []callboard.WorkflowDependency{{
				Task: "first", Result: callboard.ResultIs("/score", callboard.ResultGreaterOrEqual, 0.8),
			}}},
		},
	}, &callboard.CommandOptions{RequestID: "again"}))
	expect(t, created.WorkflowID == "w" && len(created.Receipts) == 3, "created", created)
	for name, receipt := range created.Receipts {
		expect(t, receipt.GetTaskId() == "id of "+name, "its own", name, receipt)
	}
	text := func(text string) *callboard.Payload { return must[*callboard.Payload](t)(callboard.Encode(text)) }
	want := &callboardv1.CreateWorkflowRequest{Namespace: "n", RequestId: "again", Workflow: &callboardv1.WorkflowSpec{
		Name: "report", Description: "about", Tags: []string{"nightly"}, Metadata: map[string]string{"m": "1"}, Headers: map[string]string{"h": "2"},
		Tasks: []*callboardv1.WorkflowTask{
			{Name: "last", Task: &callboardv1.TaskSpec{Type: "t", Input: text("")}, Weight: 3, DependsOn: []*callboardv1.WorkflowDependency{
				{Task: "first"}, {Task: "draft", Condition: callboard.DependencyNotCompleted, OnFailure: callboard.OnFailureFail},
			}},
			{Name: "first", Task: &callboardv1.TaskSpec{
				Type: "t", Input: text("x"), Dependencies: []*callboardv1.Dependency{{TaskId: "outside"}},
			}},
			{Name: "draft", Task: &callboardv1.TaskSpec{Type: "t", Input: text("")}, AllowFailure: true, DependsOn: []*callboardv1.WorkflowDependency{{
				Task: "first", Result: &callboardv1.ResultCondition{Pointer: "/score", Comparison: callboard.ResultGreaterOrEqual, Value: "0.8"},
			}}},
		},
	}}
	expect(t, proto.Equal(server.requests[0], want), "as it was said", server.requests[0])
}

func TestWhatAWorkflowCanNotSendIsRefusedByItsField(t *testing.T) {
	server := planning(t)
	client := newClient(t, &callboard.ClientOptions{Address: server.address})
	input, result, outside := named("a", "b"), named("a", "b"), named("a", "b")
	input.Tasks[1].Task.Input = math.NaN()
	result.Tasks[1].DependsOn = append(callboard.AfterNamed("a"), callboard.WorkflowDependency{
		Task: "c", Result: callboard.ResultIs("", callboard.ResultEqual, []byte("hi")),
	})
	outside.Tasks[1].Task.DependsOn = []callboard.Dependency{{TaskID: "x", Result: callboard.ResultIs("", callboard.ResultEqual, func() {})}}
	for field, workflow := range map[string]callboard.NewWorkflow{
		"workflow.tasks[1].task.input":                        input,
		"workflow.tasks[1].depends_on[1].result.value":        result,
		"workflow.tasks[1].task.dependencies[0].result.value": outside,
	} {
		_, err := client.CreateWorkflow(limited(t), workflow, nil)
		var refused *callboard.Error
		expect(t, errors.Is(err, callboard.ErrInvalidArgument) && errors.As(err, &refused), "refused", err)
		expect(t, refused.Violations[0].Field == field, "which one", field, refused)
	}
	expect(t, len(server.requests) == 0, "nothing is sent", server.requests)
}

func TestInterceptorsStandAroundEachTaskOfAWorkflow(t *testing.T) {
	server := planning(t)
	client := newClient(t, &callboard.ClientOptions{Address: server.address, Interceptors: []callboard.Interceptor{marking("a"), marking("b")}})
	// As many as a workflow may have.
	var names []string
	for at := range 10_000 {
		names = append(names, fmt.Sprint(at))
	}
	created := must[*callboard.WorkflowReceipt](t)(client.CreateWorkflow(limited(t), named(names...), nil))
	expect(t, len(created.Receipts) == len(names) && created.Receipts["7"].GetTaskId() == "id of 7", "each its own", created.Receipts["7"])
	for _, task := range server.requests[0].(*callboardv1.CreateWorkflowRequest).GetWorkflow().GetTasks() {
		if path := task.GetTask().GetHeaders()["path"]; path != "ab" {
			t.Fatal("outermost first:", task.GetName(), path)
		}
	}

	skipping := callboard.Interceptor{Submit: func(ctx context.Context, task callboard.NewTask, next callboard.SubmitFunc) (callboard.Submitted, error) {
		return callboard.Submitted{}, nil
	}}
	picky := newClient(t, &callboard.ClientOptions{Address: server.address, Interceptors: []callboard.Interceptor{skipping}})
	_, err := picky.CreateWorkflow(limited(t), named("x"), nil)
	expect(t, errors.Is(err, callboard.ErrInvalidArgument) && strings.Contains(err.Error(), "workflow.tasks[0].task"), "all or none", err)
	expect(t, len(server.requests) == 1, "nothing is sent", len(server.requests))
}

func TestAWorkflowWithoutAReceiptForEachTaskIsAnError(t *testing.T) {
	server := newFake(t)
	server.workflow = func(*callboardv1.CreateWorkflowRequest) (*callboardv1.CreateWorkflowResponse, error) {
		return &callboardv1.CreateWorkflowResponse{WorkflowId: "w", Receipts: []*callboardv1.TaskReceipt{{TaskId: "a"}}}, nil
	}
	client := newClient(t, &callboard.ClientOptions{Address: server.address})
	created, err := client.CreateWorkflow(limited(t), named("a", "b"), nil)
	var told *callboard.Error
	expect(t, created == nil && errors.As(err, &told) && told.Code == codes.Internal, "told", created, err)
}

func TestAWorkflowIsWaitedForUntilItHasEnded(t *testing.T) {
	server := newFake(t)
	// A server that drains answers before the time is over.
	server.workflowWait = func(request *callboardv1.WaitWorkflowRequest, count int) (*callboardv1.WaitWorkflowResponse, error) {
		workflow := &callboard.Workflow{Id: request.GetWorkflowId(), State: callboard.WorkflowRunning}
		if count < 3 {
			return &callboardv1.WaitWorkflowResponse{Workflow: workflow}, nil
		}
		workflow.State = callboard.WorkflowFailed
		return &callboardv1.WaitWorkflowResponse{Workflow: workflow, Ended: true}, nil
	}
	client := newClient(t, &callboard.ClientOptions{Address: server.address})
	workflow := must[*callboard.Workflow](t)(client.WaitWorkflow(limited(t), "w"))
	expect(t, workflow.GetId() == "w" && workflow.GetState() == callboard.WorkflowFailed, "how it ended is no error", workflow)
	expect(t, len(server.requests) == 3, "asked again", server.requests)
	for _, request := range server.requests {
		wait := request.(*callboardv1.WaitWorkflowRequest).GetWait().AsDuration()
		expect(t, wait == 30*time.Second, "in parts", wait)
	}
}

func TestAWaitThatIsOverSaysHowTheWorkflowWas(t *testing.T) {
	server := newFake(t)
	server.workflowWait = func(request *callboardv1.WaitWorkflowRequest, _ int) (*callboardv1.WaitWorkflowResponse, error) {
		time.Sleep(request.GetWait().AsDuration())
		return &callboardv1.WaitWorkflowResponse{Workflow: &callboard.Workflow{State: callboard.WorkflowRunning}}, nil
	}
	client := newClient(t, &callboard.ClientOptions{Address: server.address})
	ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
	defer cancel()
	_, err := client.WaitWorkflow(ctx, "w")
	expect(t, errors.Is(err, callboard.ErrDeadlineExceeded) && strings.Contains(err.Error(), "workflow w had not ended in time"), "late", err)
}

func TestStatesOfWorkflowsHaveNames(t *testing.T) {
	for state, want := range map[callboard.WorkflowState]string{
		callboard.WorkflowRunning: "RUNNING", callboard.WorkflowCompleted: "COMPLETED", callboard.WorkflowFailed: "FAILED",
		callboard.WorkflowCancelled: "CANCELLED", 4711: "4711",
	} {
		expect(t, callboard.WorkflowStateName(state) == want, want, state)
	}
}
