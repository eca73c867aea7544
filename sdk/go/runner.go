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
	l.running[key] = cancel
	task := &Context{key: key, assignment: assignment, live: l, steps: newSteps(start.HasSteps)}
	l.handlers.Go(func() {
		outcome := outcome{failure: permanent(failurePanic, wentAway)}
		// Deferred, because a handler may end its goroutine.
		defer func() {
			cancel(nil)
			l.handlerEnded(key, outcome)
		}()
		outcome = l.attempt(ctx, found, task)
	})
}

// outcome is how a handler ended: with a result, or a failure.
type outcome struct {
	result  *Payload
	failure *Failure
}

// attempt runs a handler to its end. A panic is a failure like others.
func (l *live) attempt(ctx context.Context, with handler, task *Context) (end outcome) {
	defer func() {
		if value := recover(); value != nil {
			l.agent.log.Error("a handler panicked", "task", task.TaskID(), "attempt", task.Attempt(), "panic", fmt.Sprint(value), "stack", string(debug.Stack()))
			end = outcome{failure: panicked(value)}
		}
	}()
	result, err := with.run(ctx, task)
	switch {
	case err == nil:
		return outcome{result: result}
	case ctx.Err() != nil && errors.Is(err, context.Canceled):
		return outcome{failure: cancelledFailure()}
	}
	l.agent.log.Warn("a handler failed", "task", task.TaskID(), "attempt", task.Attempt(), "error", textOfError(err))
	return outcome{failure: failureOf(err)}
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
