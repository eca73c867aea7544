package callboard

import (
	"context"
	"iter"
	"time"

	"callboard.dev/sdk/go/callboardv1"
	"google.golang.org/protobuf/types/known/durationpb"
)

// WorkflowReceipt says what was created of a [NewWorkflow].
type WorkflowReceipt struct {
	// WorkflowID is its id.
	WorkflowID string
	// Receipts are those of its tasks, by their names within the workflow.
	Receipts map[string]*TaskReceipt
}

// CreateWorkflow creates a workflow with its tasks, all or none. It is durable when this returns. Its tasks are tasks as others are:
// [Client.Get], [Client.Watch], [Client.Cancel] and the rest take their ids, which the receipts have.
//
// The error is of the kind [ErrInvalidArgument] when the workflow can't be what it is: the Violations have all that is wrong.
func (c *Client) CreateWorkflow(ctx context.Context, workflow NewWorkflow, options *CommandOptions) (*WorkflowReceipt, error) {
	spec, err := workflow.proto()
	if err != nil {
		return nil, err
	}
	created := &WorkflowReceipt{}
	request := &callboardv1.CreateWorkflowRequest{Namespace: c.namespace, Workflow: spec, RequestId: options.requestID()}
	created.Receipts, err = c.submitTasks(ctx, "workflow.tasks", workflow.Tasks, spec.GetTasks(), func() ([]*TaskReceipt, error) {
		response, err := call[callboardv1.CreateWorkflowResponse](
			ctx, c, callboardv1.WorkflowService_CreateWorkflow_FullMethodName, request, 0)
		created.WorkflowID = response.GetWorkflowId()
		return response.GetReceipts(), err
	})
	if err != nil {
		return nil, err
	}
	return created, nil
}

// GetWorkflow gives a workflow as it is now.
func (c *Client) GetWorkflow(ctx context.Context, workflowID string) (*Workflow, error) {
	request := &callboardv1.GetWorkflowRequest{Namespace: c.namespace, WorkflowId: workflowID}
	response, err := call[callboardv1.GetWorkflowResponse](ctx, c, callboardv1.WorkflowService_GetWorkflow_FullMethodName, request, 0)
	return response.GetWorkflow(), err
}

// ListWorkflowsOptions say which workflows are wanted: those that fit all that is set.
type ListWorkflowsOptions struct {
	// States: any of these.
	States []WorkflowState
	// Name of the workflow.
	Name string
	// CreatedAfter: at or after this time. CreatedBefore: before this time.
	CreatedAfter, CreatedBefore time.Time
	// IDSuffix is how its id ends, hyphens left out. At least 6 hexadecimal digits.
	IDSuffix string
	// PageSize is how many workflows a call fetches. Default 100; at most 1,000.
	PageSize int
}

// ListWorkflows gives all workflows that fit, newest first. Pages are fetched as needed. It ends behind an error.
func (c *Client) ListWorkflows(ctx context.Context, options *ListWorkflowsOptions) iter.Seq2[*Workflow, error] {
	chosen := ListWorkflowsOptions{}
	if options != nil {
		chosen = *options
	}
	return pages(func(token string) ([]*Workflow, string, error) {
		request := &callboardv1.ListWorkflowsRequest{
			Namespace:     c.namespace,
			States:        chosen.States,
			Name:          chosen.Name,
			CreatedAfter:  timestamp(chosen.CreatedAfter),
			CreatedBefore: timestamp(chosen.CreatedBefore),
			IdSuffix:      chosen.IDSuffix,
			PageSize:      int32(chosen.PageSize),
			PageToken:     token,
		}
		page, err := call[callboardv1.ListWorkflowsResponse](ctx, c, callboardv1.WorkflowService_ListWorkflows_FullMethodName, request, 0)
		return page.GetWorkflows(), page.GetNextPageToken(), err
	})
}

// WorkflowTasksOptions say how the tasks of a workflow are fetched.
type WorkflowTasksOptions struct {
	// PageSize is how many tasks a call fetches. Default 100; at most 1,000.
	PageSize int
}

// WorkflowTasks gives the tasks of a workflow, without inputs and results: each behind those of the workflow that it waits for, and as
// they were given where that allows it; children of its tasks behind them. What a task is called there is in its Workflow, which is
// without a name for a child; what it depends on is in its Spec. Pages are fetched as needed. It ends behind an error.
func (c *Client) WorkflowTasks(ctx context.Context, workflowID string, options *WorkflowTasksOptions) iter.Seq2[*Task, error] {
	chosen := WorkflowTasksOptions{}
	if options != nil {
		chosen = *options
	}
	return pages(func(token string) ([]*Task, string, error) {
		request := &callboardv1.ListWorkflowTasksRequest{
			Namespace: c.namespace, WorkflowId: workflowID, PageSize: int32(chosen.PageSize), PageToken: token,
		}
		page, err := call[callboardv1.ListWorkflowTasksResponse](
			ctx, c, callboardv1.WorkflowService_ListWorkflowTasks_FullMethodName, request, 0)
		return page.GetTasks(), page.GetNextPageToken(), err
	})
}

// WaitWorkflow waits until all tasks of a workflow have ended, and gives it: its State tells how it ended, and a workflow that FAILED is
// no error. It waits for as long as the context lasts; if that ends by its deadline, the error is of the kind [ErrDeadlineExceeded].
func (c *Client) WaitWorkflow(ctx context.Context, workflowID string) (*Workflow, error) {
	what := "workflow " + workflowID
	return untilEnded(ctx, what, func(part time.Duration) (workflow *Workflow, isEnded bool, state string, err error) {
		request := &callboardv1.WaitWorkflowRequest{Namespace: c.namespace, WorkflowId: workflowID, Wait: durationpb.New(part)}
		response, err := call[callboardv1.WaitWorkflowResponse](
			ctx, c, callboardv1.WorkflowService_WaitWorkflow_FullMethodName, request, part)
		workflow = response.GetWorkflow()
		return workflow, response.GetEnded(), WorkflowStateName(workflow.GetState()), err
	})
}

// CancelWorkflow cancels all tasks of a workflow that have not ended, as [Client.Cancel] does, and gives it as it is then: its tasks may
// end later. One that has ended is left as it is.
func (c *Client) CancelWorkflow(ctx context.Context, workflowID string, options *ReasonOptions) (*Workflow, error) {
	reason, id := options.split()
	request := &callboardv1.CancelWorkflowRequest{Namespace: c.namespace, WorkflowId: workflowID, Reason: reason, RequestId: id}
	response, err := call[callboardv1.CancelWorkflowResponse](
		ctx, c, callboardv1.WorkflowService_CancelWorkflow_FullMethodName, request, 0)
	return response.GetWorkflow(), err
}

// RetryWorkflow retries a workflow from what failed: each task that FAILED or was CANCELLED and may not, and what was SKIPPED because of
// it, gets another run, as [Client.Retry] gives it; of a workflow that was cancelled, all that was CANCELLED. What completed is kept. A
// task whose deadline has passed, or that waited for an end that is not to come now, stays as it is. It gives the workflow as it is
// then: some of its tasks may get their run later.
//
// The error is of the kind [ErrFailedPrecondition] while the workflow is being cancelled, and when there is no such task.
func (c *Client) RetryWorkflow(ctx context.Context, workflowID string, options *CommandOptions) (*Workflow, error) {
	request := &callboardv1.RetryWorkflowRequest{Namespace: c.namespace, WorkflowId: workflowID, RequestId: options.requestID()}
	response, err := call[callboardv1.RetryWorkflowResponse](ctx, c, callboardv1.WorkflowService_RetryWorkflow_FullMethodName, request, 0)
	return response.GetWorkflow(), err
}
