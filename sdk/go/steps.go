package callboard

import (
	"context"
	"errors"
	"sync"

	"callboard.dev/sdk/go/callboardv1"
	"google.golang.org/grpc/codes"
)

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

func readStep[T any](key partKey, result *Payload) (T, error) {
	value, err := Decode[T](result)
	var unread *DecodeError
	if errors.As(err, &unread) {
		unread.Step = key.String()
	}
	return value, err
}

// steps are those of one attempt.
type steps struct {
	// known: the server that gave the attempt takes steps, and so has said what is recorded.
	known bool

	begun occurrences

	mu sync.Mutex
	// recorded is nil before it is first asked for, and after it could not be had.
	recorded *recordedSteps
}

// recordedSteps are what earlier attempts of the run recorded, once ready is closed.
type recordedSteps struct {
	ready   chan struct{}
	results map[partKey]*Payload
	err     error
}

func (c *Context) beginStep(ctx context.Context, name string) (partKey, error) {
	key, err := c.beginPart(ctx, &c.steps.begun, "step", name)
	if err != nil {
		return key, err
	}
	if !c.steps.known {
		return key, &Error{Code: codes.FailedPrecondition, Message: "the server takes no steps"}
	}
	if err := c.live.stepFault(); err != nil {
		return key, err
	}
	if ctx.Err() != nil {
		return key, givenUp(ctx)
	}
	return key, nil
}

// recordedSteps gives what earlier attempts of the run recorded. When it didn't come whole with the assignment it is fetched: once,
// whoever asks, unless that fails.
func (c *Context) recordedSteps(ctx context.Context) (map[partKey]*Payload, error) {
	found := c.askRecorded(ctx)
	select {
	case <-found.ready:
		return found.results, found.err
	case <-ctx.Done():
		return nil, givenUp(ctx)
	}
}

// askRecorded begins to fetch, unless another step did.
func (c *Context) askRecorded(ctx context.Context) *recordedSteps {
	s := &c.steps
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

func (c *Context) fetchSteps(ctx context.Context) (map[partKey]*Payload, error) {
	var all []*callboardv1.Step
	for step, err := range c.Client().Steps(ctx, c.TaskID(), &StepsOptions{Run: c.Run()}) {
		if err != nil {
			return nil, err
		}
		all = append(all, step)
	}
	return keyed(all), nil
}

func keyed(recorded []*callboardv1.Step) map[partKey]*Payload {
	results := make(map[partKey]*Payload, len(recorded))
	for _, step := range recorded {
		results[partKey{step.GetName(), step.GetOccurrence()}] = step.GetResult()
	}
	return results
}

// recordStep waits until a step is decided, or nobody waits for it any longer.
func (c *Context) recordStep(ctx context.Context, key partKey, result *Payload) error {
	record := &callboardv1.StepRecord{Name: key.name, Occurrence: key.occurrence, Result: result}
	return c.wasGivenUp(ctx, c.live.recordStep(ctx, c.key, record))
}
