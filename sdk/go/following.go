package callboard

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"
	"unicode/utf8"

	"callboard.dev/sdk/go/callboardv1"
	"callboard.dev/sdk/go/internal/backoff"
	"callboard.dev/sdk/go/internal/runs"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/types/known/durationpb"
)

const (
	// waitSlice is how long one call waits. Waits that last longer are made of several.
	waitSlice = 30 * time.Second
	// waitMargin is how much sooner than the context ends the server is to answer, so that it is the one who says how the task is.
	waitMargin = 100 * time.Millisecond
	// largestRun is how many bytes a run may have in a frame, which has at most 3 MiB. No task is allowed to be larger.
	largestRun = 2 << 20
	// longestRequestID is how many characters a request id may have.
	longestRequestID = 128
)

// Wait waits until a task has ended, however, and gives it with its result. It waits for as long as the context lasts; if that ends
// by its deadline, the error is of the kind [ErrDeadlineExceeded].
func (c *Client) Wait(ctx context.Context, taskID string) (*Task, error) {
	return untilEnded(ctx, "task "+taskID, func(part time.Duration) (task *Task, isEnded bool, state string, err error) {
		request := &callboardv1.WaitTaskRequest{Namespace: c.namespace, TaskId: taskID, Wait: durationpb.New(part)}
		response, err := call[callboardv1.WaitTaskResponse](ctx, c, callboardv1.TaskService_WaitTask_FullMethodName, request, part)
		return response.GetTask(), response.GetEnded(), StateName(response.GetTask().GetState()), err
	})
}

// untilEnded waits for something in parts, as long as the context lasts: ask has the server wait so long, and says how it stands then.
func untilEnded[T any](
	ctx context.Context, what string, ask func(part time.Duration) (seen T, isEnded bool, state string, err error),
) (T, error) {
	var none T
	var delays backoff.Backoff
	for {
		part, asked := waitPart(ctx), time.Now()
		seen, isEnded, state, err := ask(part)
		switch {
		case err == nil && isEnded:
			return seen, nil
		case err != nil && ctx.Err() != nil && errors.Is(err, context.DeadlineExceeded):
			return none, notEnded(what, "")
		case err != nil:
			return none, err
		case part < waitSlice && waitPart(ctx) < waitMargin:
			return none, notEnded(what, ": it is "+state)
		}
		if time.Since(asked) >= part/2 {
			delays.Reset()
			continue
		}
		// A server that answers early, because it drains say, must not be asked in a tight loop.
		if err := sleep(ctx, delays.Next(nil, rand.Float64())); err != nil {
			return none, err
		}
	}
}

// RunUntilEnded creates a task, waits for its end, however it ends, and gives it with its result.
func (c *Client) RunUntilEnded(ctx context.Context, task NewTask, options *CommandOptions) (*Task, error) {
	return c.submitAndWait(ctx, task, options, func(*Task) error { return nil })
}

// submitAndWait is RunUntilEnded, with what is an error for the interceptors, too.
func (c *Client) submitAndWait(ctx context.Context, task NewTask, options *CommandOptions, judge func(ended *Task) error) (*Task, error) {
	id := options.requestID()
	submitted, err := c.submit(ctx, task, func(ctx context.Context, task NewTask) (Submitted, error) {
		ended, err := c.runUntilEnded(ctx, task, id)
		if err == nil {
			err = judge(ended)
		}
		return Submitted{Ended: ended}, err
	})
	return submitted.Ended, err
}

func (c *Client) runUntilEnded(ctx context.Context, task NewTask, requestID string) (*Task, error) {
	spec, err := task.spec("task")
	if err != nil {
		return nil, err
	}
	if !fitsStream(c.namespace, requestID) {
		return c.runByCalls(ctx, spec, requestID)
	}
	run, err := runs.NewRun(requestID, spec, c.patience(ctx))
	if err != nil {
		return nil, &Error{Code: codes.Internal, Message: "the task can't be sent: " + err.Error()}
	}
	if run.Size() > largestRun {
		return c.runByCalls(ctx, spec, requestID)
	}
	outcome := c.runs.run(ctx, run)
	if outcome.ByCalls {
		return c.runByCalls(ctx, spec, requestID)
	}
	return outcome.Task, errorOf(outcome.Fault)
}

// fitsStream says whether a run may go over a stream, which ends when it is sent what the protocol doesn't allow: that is refused as a
// call is, and ends no other's run.
func fitsStream(namespace, requestID string) bool {
	return utf8.ValidString(namespace) && utf8.ValidString(requestID) && utf8.RuneCountInString(requestID) <= longestRequestID
}

// patience is how long the servers may fail a call, or a run.
func (c *Client) patience(ctx context.Context) time.Duration {
	if deadline, limited := ctx.Deadline(); limited {
		return min(c.timeout, time.Until(deadline))
	}
	return c.timeout
}

// runByCalls is for servers that have no stream for it, and for what a stream doesn't take.
func (c *Client) runByCalls(ctx context.Context, spec *callboardv1.TaskSpec, requestID string) (*Task, error) {
	part := waitPart(ctx)
	request := &callboardv1.RunTaskRequest{Namespace: c.namespace, Task: spec, RequestId: requestID, Wait: durationpb.New(part)}
	response, err := call[callboardv1.RunTaskResponse](ctx, c, callboardv1.TaskService_RunTask_FullMethodName, request, part)
	if err != nil {
		return nil, err
	}
	if response.GetEnded() {
		return response.GetTask(), nil
	}
	return c.Wait(ctx, response.GetTask().GetId())
}

// Run creates a task, waits for its end, and gives its result as a T: see [Decode]. It waits for as long as the context lasts.
//
// The error is a [*TaskFailed] when the task didn't complete, a [*DecodeError] when its result is no T, else an [*Error].
func Run[T any](ctx context.Context, client *Client, task NewTask, options *CommandOptions) (T, error) {
	ended, err := client.submitAndWait(ctx, task, options, completed)
	return resultOf[T](ended, err)
}

// Result waits until a task has ended, and gives its result as a T: see [Decode]. It waits for as long as the context lasts.
//
// The error is a [*TaskFailed] when the task didn't complete, a [*DecodeError] when its result is no T, else an [*Error].
func Result[T any](ctx context.Context, client *Client, taskID string) (T, error) {
	ended, err := client.Wait(ctx, taskID)
	return resultOf[T](ended, err)
}

func resultOf[T any](ended *Task, err error) (T, error) {
	if err == nil {
		err = completed(ended)
	}
	if err != nil {
		var none T
		return none, err
	}
	return Decode[T](ended.GetResult())
}

// completed gives the error of a task that ended otherwise.
func completed(ended *Task) error {
	if ended.GetState() != StateCompleted {
		return &TaskFailed{Task: ended}
	}
	return nil
}

// waitPart is how long the next call may wait.
func waitPart(ctx context.Context) time.Duration {
	deadline, limited := ctx.Deadline()
	if !limited {
		return waitSlice
	}
	left := time.Until(deadline)
	return max(0, min(waitSlice, left-min(waitMargin, left/4)))
}

func notEnded(what, how string) error {
	return &Error{Code: codes.DeadlineExceeded, Message: what + " had not ended in time" + how}
}

// endOfWait is why nobody waits for a run any more.
func endOfWait(ctx context.Context, requestID string) *Error {
	if ctx.Err() == context.DeadlineExceeded {
		return &Error{Code: codes.DeadlineExceeded, Message: fmt.Sprintf("the task of the request %s had not ended in time: it goes on", requestID)}
	}
	return asError(contextError(ctx))
}
