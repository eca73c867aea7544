package callboard

import (
	"context"
	"iter"
	"time"

	"callboard.dev/sdk/go/callboardv1"
	"google.golang.org/protobuf/types/known/fieldmaskpb"
)

// Create creates a task, or gives the live one that has its key. It is durable when this returns.
func (c *Client) Create(ctx context.Context, task NewTask, options *CommandOptions) (*TaskReceipt, error) {
	id := options.requestID()
	submitted, err := c.submit(ctx, task, func(ctx context.Context, task NewTask) (Submitted, error) {
		spec, err := task.spec("task")
		if err != nil {
			return Submitted{}, err
		}
		request := &callboardv1.CreateTaskRequest{Namespace: c.namespace, Task: spec, RequestId: id}
		response, err := call[callboardv1.CreateTaskResponse](ctx, c, callboardv1.TaskService_CreateTask_FullMethodName, request, 0)
		return Submitted{Receipt: response.GetReceipt()}, err
	})
	return submitted.Receipt, err
}

// CreateAll creates up to 1,000 tasks, all or none. Together they may have 3 MiB.
func (c *Client) CreateAll(ctx context.Context, tasks []NewTask, options *CommandOptions) ([]*TaskReceipt, error) {
	request := &callboardv1.BatchCreateTasksRequest{Namespace: c.namespace, RequestId: options.requestID()}
	return c.submitAll(ctx, "tasks[%d]", tasks, func(specs []*callboardv1.TaskSpec) ([]*TaskReceipt, error) {
		request.Tasks = specs
		response, err := call[callboardv1.BatchCreateTasksResponse](
			ctx, c, callboardv1.TaskService_BatchCreateTasks_FullMethodName, request, 0)
		return response.GetReceipts(), err
	})
}

// Get gives a task with its input and result.
func (c *Client) Get(ctx context.Context, taskID string) (*Task, error) {
	request := &callboardv1.GetTaskRequest{Namespace: c.namespace, TaskId: taskID}
	response, err := call[callboardv1.GetTaskResponse](ctx, c, callboardv1.TaskService_GetTask_FullMethodName, request, 0)
	return response.GetTask(), err
}

// ListOptions say which tasks are wanted: those that fit all that is set.
type ListOptions struct {
	// States: any of these.
	States []TaskState
	// Type of the task.
	Type string
	// Agent that has it now, or had it last.
	Agent string
	// Key of the task.
	Key string
	// Tags: all of these. At most 8.
	Tags []string
	// CreatedAfter: at or after this time. CreatedBefore: before this time.
	CreatedAfter, CreatedBefore time.Time
	// IDSuffix is how its id ends, hyphens left out. At least 6 hexadecimal digits.
	IDSuffix string
	// PageSize is how many tasks a call fetches. Default 100; at most 1,000.
	PageSize int
}

// List gives all tasks that fit, newest first, without inputs and results. Pages are fetched as needed. It ends behind an error.
func (c *Client) List(ctx context.Context, options *ListOptions) iter.Seq2[*Task, error] {
	chosen := ListOptions{}
	if options != nil {
		chosen = *options
	}
	return pages(func(token string) ([]*Task, string, error) {
		request := &callboardv1.ListTasksRequest{
			Namespace:     c.namespace,
			States:        chosen.States,
			Type:          chosen.Type,
			Agent:         chosen.Agent,
			Key:           chosen.Key,
			Tags:          chosen.Tags,
			CreatedAfter:  timestamp(chosen.CreatedAfter),
			CreatedBefore: timestamp(chosen.CreatedBefore),
			IdSuffix:      chosen.IDSuffix,
			PageSize:      int32(chosen.PageSize),
			PageToken:     token,
		}
		page, err := call[callboardv1.ListTasksResponse](ctx, c, callboardv1.TaskService_ListTasks_FullMethodName, request, 0)
		return page.GetTasks(), page.GetNextPageToken(), err
	})
}

// History gives the events of a task, oldest first. Pages are fetched as needed. It ends behind an error.
func (c *Client) History(ctx context.Context, taskID string) iter.Seq2[*Event, error] {
	return pages(func(token string) ([]*Event, string, error) {
		request := &callboardv1.ListTaskEventsRequest{Namespace: c.namespace, TaskId: taskID, PageToken: token}
		page, err := call[callboardv1.ListTaskEventsResponse](ctx, c, callboardv1.TaskService_ListTaskEvents_FullMethodName, request, 0)
		return page.GetEvents(), page.GetNextPageToken(), err
	})
}

// DependencyResults gives how the tasks ended that a task depends on, in the order of its dependencies. It ends behind an error.
func (c *Client) DependencyResults(ctx context.Context, taskID string) iter.Seq2[*DependencyResult, error] {
	return pages(func(token string) ([]*DependencyResult, string, error) {
		request := &callboardv1.ListDependencyResultsRequest{Namespace: c.namespace, TaskId: taskID, PageToken: token}
		page, err := call[callboardv1.ListDependencyResultsResponse](
			ctx, c, callboardv1.TaskService_ListDependencyResults_FullMethodName, request, 0)
		return page.GetResults(), page.GetNextPageToken(), err
	})
}

// StepsOptions say which steps are wanted.
type StepsOptions struct {
	// Run is the run that recorded them, from 1. Default: the latest.
	Run int
	// PageSize is how many steps a call fetches, at most: a page also ends before it passes 2 MiB. Default 100; at most 1,000.
	PageSize int
}

// Steps gives the steps that a run of a task recorded, with their results, in the order in which they were recorded: see [Step]. Pages
// are fetched as needed. It ends behind an error.
func (c *Client) Steps(ctx context.Context, taskID string, options *StepsOptions) iter.Seq2[*callboardv1.Step, error] {
	chosen := StepsOptions{}
	if options != nil {
		chosen = *options
	}
	return pages(func(token string) ([]*callboardv1.Step, string, error) {
		request := &callboardv1.ListStepsRequest{
			Namespace: c.namespace, TaskId: taskID, Run: int32(chosen.Run), PageSize: int32(chosen.PageSize), PageToken: token,
		}
		page, err := call[callboardv1.ListStepsResponse](ctx, c, callboardv1.TaskService_ListSteps_FullMethodName, request, 0)
		return page.GetSteps(), page.GetNextPageToken(), err
	})
}

// ReasonOptions are what commands take that may say why.
type ReasonOptions struct {
	// Reason is for the history, and for the agent. At most 1 KiB.
	Reason string
	// RequestID: see [CommandOptions].
	RequestID string
}

func (o *ReasonOptions) split() (reason, id string) {
	if o == nil {
		return "", requestID("")
	}
	return o.Reason, requestID(o.RequestID)
}

// Cancel cancels a task. What had not started ends at once; an agent is told to stop. One that has ended is left as it is.
func (c *Client) Cancel(ctx context.Context, taskID string, options *ReasonOptions) (*TaskReceipt, error) {
	reason, id := options.split()
	request := &callboardv1.CancelTaskRequest{Namespace: c.namespace, TaskId: taskID, Reason: reason, RequestId: id}
	response, err := call[callboardv1.CancelTaskResponse](ctx, c, callboardv1.TaskService_CancelTask_FullMethodName, request, 0)
	return response.GetReceipt(), err
}

// Retry opens the next run of a task that ended FAILED, CANCELLED or SKIPPED.
func (c *Client) Retry(ctx context.Context, taskID string, options *CommandOptions) (*TaskReceipt, error) {
	request := &callboardv1.RetryTaskRequest{Namespace: c.namespace, TaskId: taskID, RequestId: options.requestID()}
	response, err := call[callboardv1.RetryTaskResponse](ctx, c, callboardv1.TaskService_RetryTask_FullMethodName, request, 0)
	return response.GetReceipt(), err
}

// Hold keeps a WAITING or READY task from being assigned until it is released.
func (c *Client) Hold(ctx context.Context, taskID string, options *ReasonOptions) (*TaskReceipt, error) {
	reason, id := options.split()
	request := &callboardv1.HoldTaskRequest{Namespace: c.namespace, TaskId: taskID, Reason: reason, RequestId: id}
	response, err := call[callboardv1.HoldTaskResponse](ctx, c, callboardv1.TaskService_HoldTask_FullMethodName, request, 0)
	return response.GetReceipt(), err
}

// Release ends a hold. Releasing a task that is not held is fine, and changes nothing.
func (c *Client) Release(ctx context.Context, taskID string, options *CommandOptions) (*TaskReceipt, error) {
	request := &callboardv1.ReleaseTaskRequest{Namespace: c.namespace, TaskId: taskID, RequestId: options.requestID()}
	response, err := call[callboardv1.ReleaseTaskResponse](ctx, c, callboardv1.TaskService_ReleaseTask_FullMethodName, request, 0)
	return response.GetReceipt(), err
}

// UpdateOptions say what to change of a live task: what is not nil. At least one is needed.
type UpdateOptions struct {
	// Priority is the new one.
	Priority *Priority
	// Assignee is the new one; empty means any agent. A task that an agent has stays with it for this attempt.
	Assignee *string
	// Deadline is the new one; the zero time means none.
	Deadline *time.Time
	// Tags are the new ones.
	Tags *[]string
	// RequestID: see [CommandOptions].
	RequestID string
}

// Update changes what is given of a live task.
func (c *Client) Update(ctx context.Context, taskID string, options *UpdateOptions) (*TaskReceipt, error) {
	request := &callboardv1.UpdateTaskRequest{Namespace: c.namespace, TaskId: taskID, UpdateMask: &fieldmaskpb.FieldMask{}}
	if options != nil {
		options.fill(request)
	}
	request.RequestId = requestID(request.GetRequestId())
	response, err := call[callboardv1.UpdateTaskResponse](ctx, c, callboardv1.TaskService_UpdateTask_FullMethodName, request, 0)
	return response.GetReceipt(), err
}

func (o *UpdateOptions) fill(request *callboardv1.UpdateTaskRequest) {
	mask := request.UpdateMask
	if o.Priority != nil {
		request.Priority = *o.Priority
		mask.Paths = append(mask.Paths, "priority")
	}
	if o.Assignee != nil {
		request.Assignee = *o.Assignee
		mask.Paths = append(mask.Paths, "assignee")
	}
	if o.Deadline != nil {
		request.Deadline = timestamp(*o.Deadline)
		mask.Paths = append(mask.Paths, "deadline")
	}
	if o.Tags != nil {
		request.Tags = *o.Tags
		mask.Paths = append(mask.Paths, "tags")
	}
	request.RequestId = o.RequestID
}
