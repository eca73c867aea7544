package callboard

import (
	"context"
	"fmt"
	"reflect"

	"callboard.dev/sdk/go/callboardv1"
	"google.golang.org/grpc/codes"
)

// Interceptor is what an application wants done around every task. It has one of the functions, or both. Give a list of them to
// [ClientOptions] and [AgentOptions]; the first is the outermost.
type Interceptor struct {
	// Submit stands around [Client.Create], each task of [Client.CreateAll], [Client.CreateWorkflow] and [Client.AddWorkflowTasks],
	// [Run] and [Client.RunUntilEnded], and around [StartChild] and [Client.CreateChild]. It may change the task before it calls next,
	// but not what the task's maps and slices hold: they are the caller's. Its error is the call's; when it has not called next, nothing
	// is sent. Next may be called again: it repeats the call under the same request id. Where all tasks are created or none, each must
	// call it once.
	Submit func(ctx context.Context, task NewTask, next SubmitFunc) (Submitted, error)
	// Handle stands around the handler of each attempt. It gets the input as the handler's own type, and next gives what the handler
	// returned, or its error; of one that panicked, an error that says so. What it does runs in the handler's place: it sees the same
	// cancellation, and its error fails the attempt as a handler's does.
	Handle func(ctx context.Context, task *Context, input any, next HandleFunc) (any, error)
}

type (
	// SubmitFunc goes on with a task that is submitted.
	SubmitFunc = func(ctx context.Context, task NewTask) (Submitted, error)
	// HandleFunc goes on with an attempt.
	HandleFunc = func(ctx context.Context, input any) (any, error)
)

// Submitted is what a call gives that submits a task.
type Submitted struct {
	// Receipt says what was done. Nil for [Run] and [Client.RunUntilEnded].
	Receipt *TaskReceipt
	// Ended is the task as it ended, for those two.
	Ended *Task
}

// submit calls what submits a task, within the interceptors.
func (c *Client) submit(ctx context.Context, task NewTask, call SubmitFunc) (Submitted, error) {
	for at := len(c.interceptors) - 1; at >= 0; at-- {
		if around := c.interceptors[at].Submit; around != nil {
			within := call
			call = func(ctx context.Context, task NewTask) (Submitted, error) { return around(ctx, task, within) }
		}
	}
	return call(ctx, task)
}

// handle calls a handler, within the interceptors.
func (a *Agent) handle(ctx context.Context, task *Context, input any, call HandleFunc) (any, error) {
	for at := len(a.options.Interceptors) - 1; at >= 0; at-- {
		if around := a.options.Interceptors[at].Handle; around != nil {
			within := call
			call = func(ctx context.Context, input any) (any, error) { return around(ctx, task, input, within) }
		}
	}
	return call(ctx, input)
}

// inputAs gives what an interceptor passed on as what the handler takes.
func inputAs[In any](input any) (In, error) {
	typed, is := input.(In)
	if is || input == nil && mayBeNil(reflect.TypeFor[In]()) {
		return typed, nil
	}
	fault := fmt.Sprintf("an interceptor gave the handler a %T, and it takes a %v", input, reflect.TypeFor[In]())
	return typed, &TaskError{Type: FailureInvalidInput, Message: fault, NonRetryable: true}
}

func mayBeNil(t reflect.Type) bool {
	switch t.Kind() {
	case reflect.Interface, reflect.Pointer, reflect.Map, reflect.Slice:
		return true
	}
	return false
}

// batch is tasks that are created together. The interceptors of each stand around those of the next, and the call within all of them.
type batch struct {
	client *Client
	ctx    context.Context
	tasks  []NewTask
	// field is what a task is called in errors, by its place.
	field  string
	call   batchCall
	specs  []*callboardv1.TaskSpec
	isSent bool
	// created is what the call gave, given what the interceptors made of it.
	created, given []*TaskReceipt
}

// batchCall creates tasks, and gives their receipts in their order.
type batchCall = func(specs []*callboardv1.TaskSpec) ([]*TaskReceipt, error)

// submitAll makes the call that submits tasks together, within the interceptors. Errors call them by this field.
func (c *Client) submitAll(ctx context.Context, field string, tasks []NewTask, call batchCall) ([]*TaskReceipt, error) {
	all := &batch{
		client: c, ctx: ctx, tasks: tasks, field: field, call: call,
		specs: make([]*callboardv1.TaskSpec, len(tasks)), given: make([]*TaskReceipt, len(tasks)),
	}
	if err := all.submit(0); err != nil {
		return nil, err
	}
	return all.given, nil
}

// submit submits the tasks from this one on.
func (b *batch) submit(at int) error {
	if at == len(b.tasks) {
		return b.send()
	}
	field := fmt.Sprintf(b.field, at)
	submitted, err := b.client.submit(b.ctx, b.tasks[at], func(_ context.Context, task NewTask) (Submitted, error) {
		var err error
		if b.specs[at], err = task.spec(field); err != nil {
			return Submitted{}, err
		}
		if err := b.submit(at + 1); err != nil {
			return Submitted{}, err
		}
		return Submitted{Receipt: b.created[at]}, nil
	})
	if err == nil && !b.isSent {
		err = invalid("interceptors", fmt.Sprintf("an interceptor did not go on with %s: all are created, or none", field))
	}
	b.given[at] = submitted.Receipt
	return err
}

func (b *batch) send() error {
	receipts, err := b.call(b.specs)
	if err == nil && len(receipts) != len(b.tasks) {
		err = &Error{Code: codes.Internal, Message: fmt.Sprintf("the server gave %d receipts for %d tasks", len(receipts), len(b.tasks))}
	}
	b.isSent, b.created = true, receipts
	return err
}
