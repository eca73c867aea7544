package callboard

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"time"
	"unicode/utf8"

	"callboard.dev/sdk/go/internal/session"
	"google.golang.org/protobuf/types/known/durationpb"
)

const (
	// FailureCancelled is the type of the failure of a handler that stopped because it was told to.
	FailureCancelled = "callboard.cancelled"
	// FailureInvalidInput is the type of the failure when the input can't be decoded to what the handler takes. It is not retried.
	FailureInvalidInput = "InvalidInput"
	// FailureInvalidResult is the type of the failure when the result can't be encoded, or is larger than a payload may be. It is not retried.
	FailureInvalidResult = session.InvalidResult
)

const (
	failurePanic   = "panic"
	reservedPrefix = "callboard."
	// The server cuts longer ones. Cutting here keeps a huge message from passing the limit of a frame.
	maxFailureType    = 256
	maxFailureMessage = 16 << 10
	maxCauses         = 8
)

// TaskError fails an attempt with just this when a handler returns it. Any other error does so with the name of its type, and may be
// retried.
type TaskError struct {
	// Message says what happened, for people.
	Message string
	// Type is a short name that programs can act on. Default "TaskError". Names that begin with "callboard." are the server's, but
	// for [FailureCancelled].
	Type string
	// NonRetryable says that another attempt can't succeed.
	NonRetryable bool
	// RetryAfter is the least delay before the next attempt; 0 leaves it to the task's retry policy.
	RetryAfter time.Duration
	// Details is anything else. It becomes a payload: see [Encode].
	Details any
	// Cause is what caused it.
	Cause error
}

// Error gives the message.
func (e *TaskError) Error() string {
	return e.Message
}

// Unwrap gives the cause.
func (e *TaskError) Unwrap() error {
	return e.Cause
}

func (e *TaskError) typeName() string {
	switch {
	case e.Type == "":
		return "TaskError"
	case e.Type != FailureCancelled && strings.HasPrefix(e.Type, reservedPrefix):
		// The server would refuse the report, and the task would hang.
		return "TaskError"
	}
	return e.Type
}

// Cancellation is why a handler is to stop: the cause of its context (context.Cause).
type Cancellation struct {
	// Reason is REQUESTED (the task's cancellation was asked for: stop soon; the outcome is reported), LEASE_LOST (the attempt is no
	// longer the agent's: nothing more is reported) or TIMED_OUT (the same).
	Reason string
	// Message says the same for people, if anybody said something.
	Message string
}

// Error says that and why the handler is to stop.
func (c *Cancellation) Error() string {
	if c.Message == "" {
		return "the handler is to stop: " + c.Reason
	}
	return "the handler is to stop: " + c.Reason + ": " + c.Message
}

// Is says that it is context.Canceled.
func (c *Cancellation) Is(target error) bool {
	return target == context.Canceled
}

// failureOf gives the failure that an error stands for, with its causes.
func failureOf(err error) *Failure {
	failure := oneFailure(err)
	var own *TaskError
	if errors.As(err, &own) {
		// Only the outermost error's: eight payloads would not fit into a frame.
		failure.Details = detailsOf(own.Details)
	}
	at, inner := failure, err
	for range maxCauses {
		inner = causeOf(inner)
		if inner == nil {
			break
		}
		at.Cause = oneFailure(inner)
		at = at.Cause
	}
	return failure
}

func oneFailure(err error) *Failure {
	retryable := true
	failure := &Failure{Type: cut(errorType(err), maxFailureType), Message: cut(textOfError(err), maxFailureMessage), Retryable: &retryable}
	var own *TaskError
	if errors.As(err, &own) {
		failure.Type = cut(own.typeName(), maxFailureType)
		retryable = !own.NonRetryable
		if own.RetryAfter > 0 {
			failure.RetryAfter = durationpb.New(own.RetryAfter)
		}
	}
	return failure
}

// causeOf gives what caused an error. What merely wraps a [*TaskError] stands for it, and is not told twice.
func causeOf(err error) error {
	var own *TaskError
	if errors.As(err, &own) {
		return own.Cause
	}
	switch err := err.(type) {
	case interface{ Unwrap() error }:
		return err.Unwrap()
	case interface{ Unwrap() []error }:
		for _, one := range err.Unwrap() {
			if one != nil {
				return one
			}
		}
	}
	return nil
}

// errorType is the name of an error's type, without its package. What errors.New and fmt.Errorf make has none to act on.
func errorType(err error) string {
	t := reflect.TypeOf(err)
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	if t.Name() == "" || t.PkgPath() == "errors" || t.PkgPath() == "fmt" {
		return "error"
	}
	return t.Name()
}

// textOfError: a broken Error method must not hide that the handler failed.
func textOfError(err error) (text string) {
	defer func() {
		if recover() != nil {
			text = "the error has no readable text"
		}
	}()
	return err.Error()
}

func detailsOf(value any) *Payload {
	if value == nil {
		return nil
	}
	payload, err := encode(value, "details")
	if err != nil {
		// The failure itself is worth more than its details.
		payload = Text(cut(err.Error(), maxFailureMessage), typeText)
	}
	return payload
}

// panicked gives the failure of a handler that panicked.
func panicked(value any) *Failure {
	text := fmt.Sprint(value)
	if err, ok := value.(error); ok {
		text = textOfError(err)
	}
	retryable := true
	return &Failure{Type: failurePanic, Message: cut(text, maxFailureMessage), Retryable: &retryable}
}

func cancelledFailure() *Failure {
	return permanent(FailureCancelled, "the handler stopped because it was told to")
}

func permanent(kind, message string) *Failure {
	retryable := false
	return &Failure{Type: kind, Message: cut(message, maxFailureMessage), Retryable: &retryable}
}

// cut gives the text in at most so many bytes of UTF-8, never ending within a character.
func cut(text string, limit int) string {
	text = strings.ToValidUTF8(text, "\uFFFD")
	if len(text) <= limit {
		return text
	}
	for limit > 0 && !utf8.RuneStart(text[limit]) {
		limit--
	}
	return text[:limit]
}
