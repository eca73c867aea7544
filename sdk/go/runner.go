package callboard

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"strings"

	"callboard.dev/sdk/go/callboardv1"
	"callboard.dev/sdk/go/internal/session"
)

const wentAway = "the handler ended its goroutine with runtime.Goexit"

func cancellationName(reason callboardv1.CancellationReason) string {
	return strings.TrimPrefix(reason.String(), "CANCELLATION_REASON_")
}

// run starts the handler of an assignment. Who holds the lock calls it.
func (l *live) run(start session.Start) {
	key, assignment := start.Key, start.Assignment
	found, known := l.agent.handlers[assignment.GetSpec().GetType()]
	if !known {
		// The session starts only what the profile lists.
		found = l.agent.handlers["*"]
	}
	ctx, cancel := context.WithCancelCause(l.values)
	task := &Context{key: key, assignment: assignment, live: l, cancel: cancel, steps: steps{known: start.HasSteps}}
	l.running[key] = task
	l.handlers.Add(1)
	l.workers.run(func() {
		var end outcome
		// Deferred, because a handler may end its goroutine.
		defer func() {
			cancel(nil)
			if end == (outcome{}) {
				end.failure = permanent(failurePanic, wentAway)
			}
			l.handlerEnded(key, end)
			l.handlers.Done()
		}()
		end = l.attempt(ctx, found, task)
	})
}

// outcome is how a handler ended: with a result, or a failure.
type outcome struct {
	result  *Payload
	failure *Failure
}

// attempt runs a handler to its end. A panic is a failure like others.
func (l *live) attempt(ctx context.Context, with handler, task *Context) outcome {
	result, err := with.runCaught(ctx, task)
	var crash *crash
	switch {
	case err == nil:
		return outcome{result: result}
	case errors.As(err, &crash):
		l.agent.log.Error("a handler panicked", "task", task.TaskID(), "attempt", task.Attempt(), "panic", fmt.Sprint(crash.value), "stack", string(crash.stack))
		return outcome{failure: panicked(crash.value)}
	case ctx.Err() != nil && errors.Is(err, context.Canceled):
		return outcome{failure: cancelledFailure()}
	}
	l.agent.log.Warn("a handler failed", "task", task.TaskID(), "attempt", task.Attempt(), "error", textOfError(err))
	return outcome{failure: failureOf(err)}
}

// crash is a panic of a handler, as an error for those that stand around it.
type crash struct {
	value any
	stack []byte
}

func (c *crash) Error() string {
	return "the handler panicked: " + fmt.Sprint(c.value)
}

// catch makes a panic an error. To be deferred itself.
func catch(err *error) {
	if value := recover(); value != nil {
		*err = &crash{value, debug.Stack()}
	}
}

func (h handler) runCaught(ctx context.Context, task *Context) (result *Payload, err error) {
	defer catch(&err)
	return h.run(ctx, task)
}

func (l *live) handlerEnded(key session.Key, end outcome) {
	l.happened(func(now session.Moment) {
		delete(l.running, key)
		if end.failure != nil {
			l.session.Failed(now, key, end.failure)
		} else {
			l.session.Completed(now, key, end.result)
		}
	})
}

// handle starts the handler of a message. Who holds the lock calls it; there is one handler, which is at rest.
func (l *live) handle(message *callboardv1.Message) {
	ctx, cancel := context.WithCancelCause(l.values)
	l.handling = cancel
	l.handlers.Go(func() {
		err := errors.New(wentAway)
		defer func() {
			cancel(nil)
			l.handled(message.GetId(), err)
		}()
		err = l.tryMessage(ctx, message)
	})
}

func (l *live) tryMessage(ctx context.Context, message *callboardv1.Message) (err error) {
	defer func() {
		if value := recover(); value != nil {
			err = fmt.Errorf("the handler panicked: %v\n%s", value, debug.Stack())
		}
	}()
	return l.agent.onMessage(ctx, &Message{message: message, live: l})
}

func (l *live) handled(id string, err error) {
	if err != nil {
		l.agent.log.Warn("the handler of a message failed", "message", id, "error", textOfError(err))
	}
	l.happened(func(now session.Moment) {
		if !l.session.Handled(now, id, err == nil) {
			l.agent.log.Error("a message failed too often, and is given up", "message", id)
		}
	})
}
