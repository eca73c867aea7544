package callboard

import (
	"context"

	"callboard.dev/sdk/go/callboardv1"
)

// Workflows that run: their plan grows, rests, and is forecast.

// AddWorkflowTasks adds tasks to a workflow that runs, all or none, and gives their receipts by their names within it. They may depend on
// each other and, by their names, on any task that the workflow has, ended ones too. It may have at most 1,000,000 then. A handler that
// amends the plan of its own workflow finds the id by [Context.Workflow]:
//
//	more := []callboard.WorkflowTask{{
//		Name: "verify", Task: callboard.NewTask{Type: "check"}, DependsOn: callboard.AfterNamed("draft"),
//	}}
//	receipts, err := task.Client().AddWorkflowTasks(ctx, task.Workflow().GetWorkflowId(), more, nil)
//
// The error is of the kind [ErrInvalidArgument] when the tasks can't be what they are: the Violations have all that is wrong;
// [ErrFailedPrecondition] when the workflow has ended, or is being cancelled.
func (c *Client) AddWorkflowTasks(
	ctx context.Context, workflowID string, tasks []WorkflowTask, options *CommandOptions,
) (map[string]*TaskReceipt, error) {
	added, err := protoWorkflowTasks("tasks", tasks)
	if err != nil {
		return nil, err
	}
	request := &callboardv1.AddWorkflowTasksRequest{
		Namespace: c.namespace, WorkflowId: workflowID, Tasks: added, RequestId: options.requestID(),
	}
	return c.submitTasks(ctx, "tasks", tasks, added, func() ([]*TaskReceipt, error) {
		response, err := call[callboardv1.AddWorkflowTasksResponse](
			ctx, c, callboardv1.WorkflowService_AddWorkflowTasks_FullMethodName, request, 0)
		return response.GetReceipts(), err
	})
}

// submitTasks makes the call that submits tasks of a workflow, when they are written, and gives the receipts by their names. Errors call
// the tasks by this field.
func (c *Client) submitTasks(
	ctx context.Context, field string, tasks []WorkflowTask, written []*callboardv1.WorkflowTask, send func() ([]*TaskReceipt, error),
) (map[string]*TaskReceipt, error) {
	specs := make([]NewTask, len(tasks))
	for at, task := range tasks {
		specs[at] = task.Task
	}
	receipts, err := c.submitAll(ctx, field+"[%d].task", specs, func(specs []*callboardv1.TaskSpec) ([]*TaskReceipt, error) {
		for at, task := range specs {
			written[at].Task = task
		}
		return send()
	})
	if err != nil {
		return nil, err
	}
	named := make(map[string]*TaskReceipt, len(tasks))
	for at, receipt := range receipts {
		named[tasks[at].Name] = receipt
	}
	return named, nil
}

// HoldWorkflow keeps all tasks of a workflow that are WAITING or READY, and those that are added, from being assigned until it is released,
// and gives it as it is then: some of its tasks may be held later. What agents have goes on, with its retries and children. Holding one
// that is held is fine.
//
// The error is of the kind [ErrFailedPrecondition] when the workflow has ended, or is being cancelled or retried.
func (c *Client) HoldWorkflow(ctx context.Context, workflowID string, options *ReasonOptions) (*Workflow, error) {
	reason, id := options.split()
	request := &callboardv1.HoldWorkflowRequest{Namespace: c.namespace, WorkflowId: workflowID, Reason: reason, RequestId: id}
	response, err := call[callboardv1.HoldWorkflowResponse](ctx, c, callboardv1.WorkflowService_HoldWorkflow_FullMethodName, request, 0)
	return response.GetWorkflow(), err
}

// ReleaseWorkflow ends the hold of a workflow, and gives it as it is then: all of its tasks that are held are released, also those that
// were held by themselves, some of them maybe later. Releasing one that is not held is fine, and changes nothing.
func (c *Client) ReleaseWorkflow(ctx context.Context, workflowID string, options *CommandOptions) (*Workflow, error) {
	request := &callboardv1.ReleaseWorkflowRequest{Namespace: c.namespace, WorkflowId: workflowID, RequestId: options.requestID()}
	response, err := call[callboardv1.ReleaseWorkflowResponse](
		ctx, c, callboardv1.WorkflowService_ReleaseWorkflow_FullMethodName, request, 0)
	return response.GetWorkflow(), err
}

// ForecastWorkflow says when a workflow is expected to end, from how long tasks of the same types took, and which tasks its end waits for.
//
// The error is of the kind [ErrResourceExhausted] when the workflow has more than 20,000 tasks.
func (c *Client) ForecastWorkflow(ctx context.Context, workflowID string) (*WorkflowForecast, error) {
	request := &callboardv1.ForecastWorkflowRequest{Namespace: c.namespace, WorkflowId: workflowID}
	response, err := call[callboardv1.ForecastWorkflowResponse](
		ctx, c, callboardv1.WorkflowService_ForecastWorkflow_FullMethodName, request, 0)
	return response.GetForecast(), err
}
