package main

import (
	"context"
	"maps"
	"math"
	"runtime"
	"time"

	"callboard.dev/sdk/go"
)

// anyActs are the ops of all handlers.
var anyActs = acts{
	"return":          func() act { return new(returnValue) },
	"return_seen":     func() act { return new(returnSeen) },
	"call":            func() act { return new(callClient) },
	"fail":            func() act { return new(failAttempt) },
	"raise":           func() act { return new(raiseError) },
	"panic":           func() act { return new(panicNow) },
	"gate":            func() act { return new(waitAtGate) },
	"await_cancelled": func() act { return new(awaitCancelled) },
	"cancelled":       func() act { return new(endCancelled) },
	"sleep":           func() act { return new(sleepFor) },
	"burn":            func() act { return new(burnFor) },
	"block":           func() act { return new(blockFor) },
	"send":            func() act { return new(sendMessage) },
}

// taskActs are those of the handler of a task, messageActs those of the handler of messages.
var (
	taskActs = with(anyActs, acts{
		"return_input":   func() act { return new(returnInput) },
		"return_payload": func() act { return new(returnPayload) },
		"see":            func() act { return new(seeTask) },
		"checkpoint":     func() act { return new(saveCheckpoint) },
		"progress":       func() act { return new(tellProgress) },
		"step":           func() act { return new(takeStep) },
		"child":          func() act { return new(takeChild) },
		"join":           func() act { return new(joinChildren) },
		"wait_children":  func() act { return new(awaitChildren) },
		"output":         func() act { return new(giveOutput) },
	})
	messageActs = with(anyActs, acts{
		"see":   func() act { return new(seeMessage) },
		"reply": func() act { return new(replyToSender) },
	})
)

func with(some, more acts) acts {
	all := maps.Clone(some)
	maps.Copy(all, more)
	return all
}

type returnValue struct {
	Value value `field:"value"`
}

func (r *returnValue) carryOut(context.Context, *performance) (*ending, error) {
	return &ending{r.Value.is}, nil
}

type returnInput struct{}

func (*returnInput) carryOut(_ context.Context, p *performance) (*ending, error) {
	return &ending{p.input}, nil
}

type returnPayload struct{}

func (*returnPayload) carryOut(_ context.Context, p *performance) (*ending, error) {
	return &ending{p.task.Payload()}, nil
}

type returnSeen struct{}

func (*returnSeen) carryOut(_ context.Context, p *performance) (*ending, error) {
	return &ending{p.seen}, nil
}

type failAttempt struct {
	Message    string       `field:"message"`
	Type       string       `field:"type,optional"`
	Retryable  *bool        `field:"retryable,optional"`
	RetryAfter milliseconds `field:"retry_after_ms,optional"`
	Details    value        `field:"details,optional"`
}

func (f *failAttempt) carryOut(context.Context, *performance) (*ending, error) {
	return nil, taskError(f.Message, f.Type, f.Retryable, f.RetryAfter, f.Details)
}

// ConformanceError is an ordinary error, whose type has the name that it has in every language.
type ConformanceError struct {
	message string
	cause   error
}

func (e *ConformanceError) Error() string { return e.message }

func (e *ConformanceError) Unwrap() error { return e.cause }

type raiseError struct {
	Message string  `field:"message"`
	Cause   *string `field:"cause,optional"`
}

func (r *raiseError) carryOut(context.Context, *performance) (*ending, error) {
	raised := &ConformanceError{message: r.Message}
	if r.Cause != nil {
		raised.cause = &ConformanceError{message: *r.Cause}
	}
	return nil, raised
}

type panicNow struct {
	Message string `field:"message"`
}

func (n *panicNow) carryOut(context.Context, *performance) (*ending, error) {
	panic(n.Message)
}

type waitAtGate struct {
	Gate               string `field:"gate"`
	IgnoreCancellation bool   `field:"ignore_cancellation,optional"`
}

func (w *waitAtGate) carryOut(ctx context.Context, p *performance) (*ending, error) {
	saw := object{"saw": "gate", "gate": w.Gate}
	maps.Copy(saw, p.isAt)
	if err := p.driver.out.say(saw); err != nil {
		return nil, err
	}
	told := ctx.Done()
	if w.IgnoreCancellation {
		told = nil
	}
	select {
	case <-p.driver.gates.at(w.Gate).opened:
		return nil, nil
	case <-told:
		return nil, ctx.Err()
	}
}

type awaitCancelled struct{}

func (*awaitCancelled) carryOut(ctx context.Context, _ *performance) (*ending, error) {
	<-ctx.Done()
	return nil, nil
}

type endCancelled struct{}

func (*endCancelled) carryOut(ctx context.Context, _ *performance) (*ending, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	return nil, context.Canceled
}

type sleepFor struct {
	Length milliseconds `field:"ms"`
}

func (s *sleepFor) carryOut(ctx context.Context, _ *performance) (*ending, error) {
	timer := time.NewTimer(s.Length.duration())
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

type burnFor struct {
	Length milliseconds `field:"ms"`
}

func (b *burnFor) carryOut(context.Context, *performance) (*ending, error) {
	sum := uint64(1)
	for until := time.Now().Add(b.Length.duration()); time.Now().Before(until); {
		for at := range uint64(1_000_000) {
			sum = sum*31 + at
		}
	}
	// So that the loop is not optimized away.
	runtime.KeepAlive(sum)
	return nil, nil
}

type blockFor struct {
	Length milliseconds `field:"ms"`
}

func (b *blockFor) carryOut(context.Context, *performance) (*ending, error) {
	// While it is locked, no other goroutine gets the thread.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	time.Sleep(b.Length.duration())
	return nil, nil
}

type saveCheckpoint struct {
	Value value `field:"value"`
}

func (s *saveCheckpoint) carryOut(ctx context.Context, p *performance) (*ending, error) {
	return nil, p.task.SaveCheckpoint(ctx, s.Value.is)
}

type tellProgress struct {
	Fraction *float64 `field:"fraction,optional"`
	Phase    string   `field:"phase,optional"`
	Message  string   `field:"message,optional"`
}

func (t *tellProgress) carryOut(_ context.Context, p *performance) (*ending, error) {
	fraction := math.NaN()
	if t.Fraction != nil {
		fraction = *t.Fraction
	}
	p.task.Progress(fraction, t.Phase, t.Message)
	return nil, nil
}

type takeStep struct {
	Name    string      `field:"name"`
	As      string      `field:"as"`
	Program stepProgram `field:"program"`
	Catch   bool        `field:"catch,optional"`
}

func (s *takeStep) carryOut(ctx context.Context, p *performance) (*ending, error) {
	given, err := callboard.Step(ctx, p.task, s.Name, func(ctx context.Context) (any, error) {
		return p.play(ctx, program(s.Program))
	})
	return nil, p.note(s.As, show(given), err, s.Catch)
}

// stepProgram is what the function of a step does.
type stepProgram program

func (s *stepProgram) UnmarshalJSON(text []byte) error {
	read, err := readProgram(text, taskActs)
	*s = stepProgram(read)
	return err
}

type sendMessage struct {
	To        string            `field:"to"`
	Body      value             `field:"body"`
	Headers   map[string]string `field:"headers,optional"`
	TTL       milliseconds      `field:"ttl_ms,optional"`
	RequestID string            `field:"request_id,optional"`
}

func (s *sendMessage) carryOut(ctx context.Context, p *performance) (*ending, error) {
	options := &callboard.MessageOptions{Headers: s.Headers, TTL: s.TTL.duration(), RequestID: s.RequestID}
	return nil, p.send(ctx, s.To, s.Body.is, options)
}

type replyToSender struct{}

func (*replyToSender) carryOut(ctx context.Context, p *performance) (*ending, error) {
	options := &callboard.MessageOptions{Headers: p.message.Headers()}
	return nil, p.send(ctx, p.message.Agent(), p.message.Payload(), options)
}
