package callboard

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"callboard.dev/sdk/go/callboardv1"
	"callboard.dev/sdk/go/internal/session"
	"google.golang.org/grpc/codes"
)

// longestPartName, in bytes, is the protocol's.
const longestPartName = 128

// partKey tells a step or child from the others of its run.
type partKey struct {
	name       string
	occurrence int32
}

func (k partKey) String() string {
	return fmt.Sprintf("%q (occurrence %d)", k.name, k.occurrence)
}

// occurrences is how many steps, or children, an attempt began, by name. Its zero value is ready.
type occurrences struct {
	mu    sync.Mutex
	begun map[string]int32
}

// next counts one.
func (o *occurrences) next(name string) partKey {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.begun == nil {
		o.begun = map[string]int32{}
	}
	key := partKey{name, o.begun[name]}
	o.begun[name]++
	return key
}

// withinStep is the key of a step's own context, by which is told what is begun within it: later attempts, which don't run the step's
// function, would not count that.
type withinStep struct{}

// beginPart counts a step or child.
func (c *Context) beginPart(ctx context.Context, of *occurrences, kind, name string) (partKey, error) {
	if outer, is := ctx.Value(withinStep{}).(partKey); is {
		return partKey{}, invalid("name", fmt.Sprintf("%s %q is begun within the step %v: begin it before or behind", kind, name, outer))
	}
	if len(name) < 1 || len(name) > longestPartName {
		return partKey{}, invalid("name", fmt.Sprintf("name has %d bytes: a %s's name has 1 to %d", len(name), kind, longestPartName))
	}
	return of.next(name), nil
}

// wasGivenUp gives an error as it is, unless it says no more than that the context ended.
func (c *Context) wasGivenUp(ctx context.Context, err error) error {
	var told *Error
	if err != nil && ctx.Err() != nil && (errors.Is(err, context.Cause(ctx)) || errors.As(err, &told) && told.Code == codes.Canceled) {
		return givenUp(ctx)
	}
	return err
}

// givenUp says why something is not waited for any longer: the cause of the context; when that is a lost lease, what a refused report
// says.
func givenUp(ctx context.Context) error {
	cause := context.Cause(ctx)
	var told *Cancellation
	if errors.As(cause, &told) && told.Reason != cancellationName(callboardv1.CancellationReason_CANCELLATION_REASON_REQUESTED) {
		stale := session.ReasonName(callboardv1.ErrorReason_ERROR_REASON_STALE_ATTEMPT)
		return &Error{Code: codes.FailedPrecondition, Reason: stale, Message: told.Error()}
	}
	return cause
}
