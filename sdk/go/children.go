package callboard

import (
	"context"
	"errors"
	"fmt"
	"iter"

	"callboard.dev/sdk/go/callboardv1"
	"callboard.dev/sdk/go/internal/planted"
	"callboard.dev/sdk/go/internal/session"
	"google.golang.org/grpc/codes"
)

// ChildOptions say more of a child.
type ChildOptions struct {
	// Name is what the handler calls it: 1 to 128 bytes. Default: its task type.
	Name string
	// OnParentEnd says what becomes of it when the parent's run ends and it has not. Default [ParentEndCancel].
	OnParentEnd ParentEndAction
}

// Child is a task that the handler of another created: see [StartChild]. It is safe for concurrent use.
type Child struct {
	of      *Context
	receipt *TaskReceipt
}

// StartChild creates a task that belongs to the run of the handler's own, and gives it when that is committed. A later attempt of the run
// that comes to the same child is given the one that is there.
//
//	page, err := callboard.StartChild(ctx, task, callboard.NewTask{Type: "fetch", Input: url}, nil)
//	...
//	text, err := callboard.ChildResult[string](ctx, page)
//
// A child is told from others by its name, which is its type unless the options say another, and by how many children of that name the
// attempt began before it, as steps are: see [Step]. Don't begin one within the function of a step: with the context that the function
// gets it is refused.
//
// The error is of the kind [ErrInvalidArgument] when the name or the task can't be what it is; [ErrResourceExhausted] when the run has
// 1,000 children, or children would stand more than 32 deep; [ErrAlreadyExists] when the run has a child of this name and occurrence, of
// another type; [ErrFailedPrecondition] when the attempt is no longer current (with the reason STALE_ATTEMPT: stop the work), or the
// server takes no children; the cause of the context when that ended; and what every call may give.
func StartChild(ctx context.Context, task *Context, child NewTask, options *ChildOptions) (*Child, error) {
	chosen := ChildOptions{}
	if options != nil {
		chosen = *options
	}
	key, err := task.beginChild(ctx, first(chosen.Name, child.Type))
	if err != nil {
		return nil, err
	}
	id, err := task.childRequestID(key)
	if err != nil {
		return nil, err
	}
	receipt, err := task.Client().CreateChild(ctx, task.assignment.GetAttempt(), child, &CreateChildOptions{
		Name: key.name, Occurrence: int(key.occurrence), OnParentEnd: chosen.OnParentEnd, RequestID: id,
	})
	if err != nil {
		if ctx.Err() != nil {
			err = givenUp(ctx)
		}
		return nil, err
	}
	return &Child{task, receipt}, nil
}

// RunChild creates a child, waits for its end, and gives its result as a T: it is [StartChild] and [ChildResult] in one.
func RunChild[T any](ctx context.Context, task *Context, child NewTask, options *ChildOptions) (T, error) {
	started, err := StartChild(ctx, task, child, options)
	if err != nil {
		var none T
		return none, err
	}
	return ChildResult[T](ctx, started)
}

// ChildResult waits until a child has ended, and gives its result as a T: see [Decode] and [Child.Wait].
//
// The error is a [*TaskFailed] when the child didn't complete, a [*DecodeError] when its result is no T, else that of [Child.Wait].
func ChildResult[T any](ctx context.Context, child *Child) (T, error) {
	ended, err := child.Wait(ctx)
	return resultOf[T](ended, err)
}

// ID is the child's task id.
func (c *Child) ID() string { return c.receipt.GetTaskId() }

// Existing says whether the child was there before: an earlier attempt created it.
func (c *Child) Existing() bool { return c.receipt.GetExisting() }

// Wait waits until the child has ended, however, and gives it: its Id, State, Run, Result and Failure alone ([Client.Get] gives the
// rest). While handlers wait their tasks are PAUSED and need no slot, so that an agent with one slot can wait for children that only it
// can do. A handler that does something else meanwhile, in another goroutine, does so outside its slot.
//
// The error is of the kind [ErrNotFound] when the child was forgotten since; [ErrDeadlineExceeded] when the context ended by its
// deadline; [ErrFailedPrecondition] with the reason STALE_ATTEMPT when the attempt is no longer current: stop the work; the cause of the
// context when that ended otherwise. A child goes on when it is not waited for any longer.
func (c *Child) Wait(ctx context.Context) (*Task, error) {
	ends, isTold, err := c.of.live.await(ctx, c.of.key, []string{c.ID()}, 1, func([]*callboardv1.TaskEnd) {})
	switch {
	case err != nil:
		return nil, c.of.notAwaited(ctx, "task "+c.ID(), err)
	case isTold:
		return c.of.asTask(ctx, ends[0])
	}
	ended, err := c.of.Client().Wait(ctx, c.ID())
	if err != nil {
		return nil, c.of.notAwaited(ctx, "task "+c.ID(), err)
	}
	return ended, nil
}

// notAwaited gives why these were not awaited to their end.
func (c *Context) notAwaited(ctx context.Context, what string, err error) error {
	if ctx.Err() != nil && errors.Is(context.Cause(ctx), context.DeadlineExceeded) {
		return notEnded(what, "")
	}
	return c.wasGivenUp(ctx, err)
}

// asTask gives the task of which an end tells, as far as that tells it. A result that was omitted is fetched.
func (c *Context) asTask(ctx context.Context, end *callboardv1.TaskEnd) (*Task, error) {
	if end.GetState() == callboardv1.TaskState_TASK_STATE_UNSPECIFIED {
		reason := session.ReasonName(callboardv1.ErrorReason_ERROR_REASON_TASK_NOT_FOUND)
		return nil, &Error{Code: codes.NotFound, Reason: reason, Message: "there is no task " + end.GetTaskId() + " any more"}
	}
	ended := &Task{Id: end.GetTaskId(), State: end.GetState(), Run: end.GetRun(), Result: end.GetResult(), Failure: end.GetFailure()}
	if end.GetResultOmitted() {
		whole, err := c.Client().Get(ctx, end.GetTaskId())
		if err != nil {
			return nil, err
		}
		ended.Result = whole.GetResult()
	}
	return ended, nil
}

// beginChild counts a child.
func (c *Context) beginChild(ctx context.Context, name string) (partKey, error) {
	key, err := c.beginPart(ctx, &c.children, "child", name)
	if err != nil {
		return key, err
	}
	if planted.Has(planted.ChildKeyPerAttempt) {
		key.occurrence += 1000 * c.key.Attempt
	}
	if err := c.live.childFault(); err != nil {
		return key, err
	}
	if ctx.Err() != nil {
		return key, givenUp(ctx)
	}
	return key, nil
}

// childRequestID is the same in every attempt of the run.
func (c *Context) childRequestID(key partKey) (string, error) {
	id, err := uuid5(c.TaskID(), fmt.Sprintf("%d/%d/%s", c.Run(), key.occurrence, key.name))
	if err != nil {
		return "", invalid("parent", fmt.Sprintf("the task's id %q is no UUID: %v", c.TaskID(), err))
	}
	return "child/" + id, nil
}

// CreateChildOptions say more of a child of a claimed task.
type CreateChildOptions struct {
	// Name is what the parent's work calls it: 1 to 128 bytes. Default: its task type.
	Name string
	// Occurrence is how many children of this name the attempt began before it.
	Occurrence int
	// OnParentEnd says what becomes of it when the parent's run ends and it has not. Default [ParentEndCancel].
	OnParentEnd ParentEndAction
	// RequestID: see [CommandOptions].
	RequestID string
}

// CreateChild creates a child of a claimed task, or gives the one of its name and occurrence that an earlier attempt of the run created.
// Handlers use [StartChild].
func (c *Client) CreateChild(
	ctx context.Context, parent *callboardv1.Attempt, child NewTask, options *CreateChildOptions,
) (*TaskReceipt, error) {
	chosen := CreateChildOptions{}
	if options != nil {
		chosen = *options
	}
	name, id := first(chosen.Name, child.Type), requestID(chosen.RequestID)
	submitted, err := c.submit(ctx, child, func(ctx context.Context, child NewTask) (Submitted, error) {
		spec, err := child.spec("task")
		if err != nil {
			return Submitted{}, err
		}
		request := &callboardv1.CreateChildRequest{
			Namespace: c.namespace, Parent: parent, Name: name, Occurrence: int32(chosen.Occurrence), Task: spec,
			OnParentEnd: chosen.OnParentEnd, RequestId: id,
		}
		response, err := call[callboardv1.CreateChildResponse](ctx, c, callboardv1.AgentService_CreateChild_FullMethodName, request, 0)
		return Submitted{Receipt: response.GetReceipt()}, err
	})
	return submitted.Receipt, err
}

// ChildrenOptions say which children are wanted.
type ChildrenOptions struct {
	// Run is the run that created them, from 1. Default: the latest.
	Run int
	// PageSize is how many children a call fetches. Default 100; at most 1,000.
	PageSize int
}

// Children gives the children that a run of a task created, in the order in which they were created: see [StartChild]. Pages are fetched
// as needed. It ends behind an error.
func (c *Client) Children(ctx context.Context, taskID string, options *ChildrenOptions) iter.Seq2[*callboardv1.Child, error] {
	chosen := ChildrenOptions{}
	if options != nil {
		chosen = *options
	}
	return pages(func(token string) ([]*callboardv1.Child, string, error) {
		request := &callboardv1.ListChildrenRequest{
			Namespace: c.namespace, TaskId: taskID, Run: int32(chosen.Run), PageSize: int32(chosen.PageSize), PageToken: token,
		}
		page, err := call[callboardv1.ListChildrenResponse](ctx, c, callboardv1.TaskService_ListChildren_FullMethodName, request, 0)
		return page.GetChildren(), page.GetNextPageToken(), err
	})
}
