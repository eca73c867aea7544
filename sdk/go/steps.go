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

// longestStepName, in bytes, is the protocol's.
const longestStepName = 128

// Step does a part of a handler's work once for all attempts of a run, as far as that can be: it runs the function, has its result
// recorded, and returns it when that is committed. A later attempt of the run that comes to the same step is given the result, and the
// function isn't run. (A function that ran just before a crash may run again.)
//
//	page, err := callboard.Step(ctx, task, "fetch", func(ctx context.Context) (string, error) {
//		return fetch(ctx, url)
//	})
//
// A step is told from others by its name, of 1 to 128 bytes, and by how many steps of that name the attempt began before it: so a loop
// may use one name. Steps may run beside each other, in goroutines; those of one name must then begin in the same order in every
// attempt. Don't begin a step within the function of another: with the context that the function gets it is refused. What is returned
// was made a payload and read back (see [Encode] and [Decode]), so that the first attempt sees what later ones will. When what a step
// gives becomes of another type, give it another name.
//
// An error of the function is given as it is, and not recorded: a next try has the next occurrence. Else the error is of the kind
// [ErrInvalidArgument] when the name or the result can't be what it is; [ErrResourceExhausted] when the run has 1,000 steps, or 16 MiB
// of their results; [ErrAlreadyExists] when another result is recorded under the key; a [*DecodeError] when what is recorded, or was
// just made, is no T; [ErrFailedPrecondition] when the attempt is no longer current (with the reason STALE_ATTEMPT: stop the work), or
// the server takes no steps; the cause of the context when that ended; and what every call may give, when the recorded steps had to be
// fetched.
func Step[T any](ctx context.Context, task *Context, name string, function func(ctx context.Context) (T, error)) (T, error) {
	var none T
	key, err := task.beginStep(ctx, name)
	if err != nil {
		return none, err
	}
	recorded, err := task.recordedSteps(ctx)
	if err != nil {
		return none, err
	}
	if result, is := recorded[key]; is {
		return readStep[T](key, result)
	}
	given, err := function(context.WithValue(ctx, withinStep{}, key))
	if err != nil {
		return none, err
	}
	result, err := encode(given, "result")
	if err != nil {
		return none, err
	}
	// What later attempts could not read is not recorded.
	value, err := readStep[T](key, result)
	if err != nil {
		return none, err
	}
	if err := task.recordStep(ctx, key, result); err != nil {
		return none, err
	}
	return value, nil
}

func readStep[T any](key stepKey, result *Payload) (T, error) {
	value, err := Decode[T](result)
	var unread *DecodeError
	if errors.As(err, &unread) {
		unread.Step = key.String()
	}
	return value, err
}

// stepKey tells a step from the others of its run.
type stepKey struct {
	name       string
	occurrence int32
}

func (k stepKey) String() string {
	return fmt.Sprintf("%q (occurrence %d)", k.name, k.occurrence)
}

// withinStep is the key of a step's own context, by which a step that is begun within it is told.
type withinStep struct{}

// steps are those of one attempt.
type steps struct {
	// known: the server that gave the attempt takes steps, and so has said what is recorded.
	known bool

	mu sync.Mutex
	// begun is how many steps began, by name.
	begun map[string]int32
	// recorded is nil before it is first asked for, and after it could not be had.
	recorded *recordedSteps
}

// recordedSteps are what earlier attempts of the run recorded, once ready is closed.
type recordedSteps struct {
	ready   chan struct{}
	results map[stepKey]*Payload
	err     error
}

func newSteps(known bool) *steps {
	return &steps{known: known, begun: map[string]int32{}}
}

// begin counts a step.
func (s *steps) begin(name string) stepKey {
	s.mu.Lock()
	defer s.mu.Unlock()
	key := stepKey{name, s.begun[name]}
	s.begun[name]++
	return key
}

func (c *Context) beginStep(ctx context.Context, name string) (stepKey, error) {
	if outer, is := ctx.Value(withinStep{}).(stepKey); is {
		return stepKey{}, invalid("name", fmt.Sprintf("step %q is begun within the step %v: begin it before or behind", name, outer))
	}
	if len(name) < 1 || len(name) > longestStepName {
		return stepKey{}, invalid("name", fmt.Sprintf("name has %d bytes: a step's name has 1 to %d", len(name), longestStepName))
	}
	key := c.steps.begin(name)
	if !c.steps.known {
		return key, &Error{Code: codes.FailedPrecondition, Message: "the server takes no steps"}
	}
	if err := c.live.stepFault(); err != nil {
		return key, err
	}
	if ctx.Err() != nil {
		return key, stepGivenUp(ctx)
	}
	return key, nil
}

// recordedSteps gives what earlier attempts of the run recorded. When it didn't come whole with the assignment it is fetched: once,
// whoever asks, unless that fails.
func (c *Context) recordedSteps(ctx context.Context) (map[stepKey]*Payload, error) {
	found := c.askRecorded(ctx)
	select {
	case <-found.ready:
		return found.results, found.err
	case <-ctx.Done():
		return nil, stepGivenUp(ctx)
	}
}

// askRecorded begins to fetch, unless another step did.
func (c *Context) askRecorded(ctx context.Context) *recordedSteps {
	s := c.steps
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.recorded != nil {
		return s.recorded
	}
	asked := &recordedSteps{ready: make(chan struct{})}
	s.recorded = asked
	if given := c.assignment.GetSteps(); len(given) >= int(c.assignment.GetStepCount()) {
		asked.results = keyed(given)
		close(asked.ready)
		return asked
	}
	// For all that wait, also when the first of them gives up. The client's timeout ends it.
	unlimited := context.WithoutCancel(ctx)
	go func() {
		defer close(asked.ready)
		asked.results, asked.err = c.fetchSteps(unlimited)
		if asked.err != nil {
			s.mu.Lock()
			defer s.mu.Unlock()
			s.recorded = nil
		}
	}()
	return asked
}

func (c *Context) fetchSteps(ctx context.Context) (map[stepKey]*Payload, error) {
	var all []*callboardv1.Step
	for step, err := range c.Client().Steps(ctx, c.TaskID(), &StepsOptions{Run: c.Run()}) {
		if err != nil {
			return nil, err
		}
		all = append(all, step)
	}
	return keyed(all), nil
}

func keyed(recorded []*callboardv1.Step) map[stepKey]*Payload {
	results := make(map[stepKey]*Payload, len(recorded))
	for _, step := range recorded {
		results[stepKey{step.GetName(), step.GetOccurrence()}] = step.GetResult()
	}
	return results
}

// recordStep waits until a step is decided, or nobody waits for it any longer.
func (c *Context) recordStep(ctx context.Context, key stepKey, result *Payload) error {
	record := &callboardv1.StepRecord{Name: key.name, Occurrence: key.occurrence, Result: result}
	err := c.live.recordStep(ctx, c.key, record)
	if ctx.Err() != nil && errors.Is(err, context.Cause(ctx)) {
		return stepGivenUp(ctx)
	}
	return err
}

// stepGivenUp says why a step is not waited for any longer: the cause of the context; when that is a lost lease, what a refused step says.
func stepGivenUp(ctx context.Context) error {
	cause := context.Cause(ctx)
	var told *Cancellation
	if errors.As(cause, &told) && told.Reason != cancellationName(callboardv1.CancellationReason_CANCELLATION_REASON_REQUESTED) {
		stale := session.ReasonName(callboardv1.ErrorReason_ERROR_REASON_STALE_ATTEMPT)
		return &Error{Code: codes.FailedPrecondition, Reason: stale, Message: told.Error()}
	}
	return cause
}
