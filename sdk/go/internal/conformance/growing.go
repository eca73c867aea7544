package main

import (
	"context"

	"callboard.dev/sdk/go"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// What a client asks of workflows that run.

type addWorkflowTasks struct {
	WorkflowID string        `field:"workflow_id"`
	Tasks      []plannedTask `field:"tasks"`
	RequestID  string        `field:"request_id,optional"`
}

func (a *addWorkflowTasks) run(ctx context.Context, by *caller) (any, error) {
	receipts, err := by.client.AddWorkflowTasks(ctx, a.WorkflowID, workflowTasks(a.Tasks), command(a.RequestID))
	return object{"receipts": showReceipts(receipts)}, err
}

type holdWorkflow struct {
	WorkflowID string `field:"workflow_id"`
	Reason     string `field:"reason,optional"`
	RequestID  string `field:"request_id,optional"`
}

func (h *holdWorkflow) run(ctx context.Context, by *caller) (any, error) {
	options := &callboard.ReasonOptions{Reason: h.Reason, RequestID: h.RequestID}
	return workflow(by.client.HoldWorkflow(ctx, h.WorkflowID, options))
}

type releaseWorkflow struct {
	WorkflowID string `field:"workflow_id"`
	RequestID  string `field:"request_id,optional"`
}

func (r *releaseWorkflow) run(ctx context.Context, by *caller) (any, error) {
	return workflow(by.client.ReleaseWorkflow(ctx, r.WorkflowID, command(r.RequestID)))
}

type forecastWorkflow struct {
	WorkflowID string `field:"workflow_id"`
}

func (f *forecastWorkflow) run(ctx context.Context, by *caller) (any, error) {
	forecast, err := by.client.ForecastWorkflow(ctx, f.WorkflowID)
	return showForecast(forecast), err
}

func showForecast(forecast *callboard.WorkflowForecast) object {
	path := []object{}
	for _, one := range forecast.GetCriticalPath() {
		path = append(path, object{
			"task_id": one.GetTaskId(), "name": one.GetName(), "type": one.GetType(), "state": nameOf(one.GetState()),
			"expected_duration_ms": lengthOrNull(one.GetExpectedDuration()), "expected_start_ms": timeOrNull(one.GetExpectedStart()),
			"expected_end_ms": timeOrNull(one.GetExpectedEnd()),
		})
	}
	return object{
		"expected_end_ms": timeOrNull(forecast.GetExpectedEnd()), "critical_path": path, "unknown_types": list(forecast.GetUnknownTypes()),
	}
}

func timeOrNull(at *timestamppb.Timestamp) any {
	return inUnixMilliseconds(at.AsTime(), at != nil)
}

func lengthOrNull(length *durationpb.Duration) any {
	if length == nil {
		return nil
	}
	return length.AsDuration().Milliseconds()
}
