package callboard

import (
	"context"
	"errors"
	"fmt"
	"time"

	"callboard.dev/sdk/go/callboardv1"
	"callboard.dev/sdk/go/internal/session"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

const errorDomain = "callboard.dev"

// The kinds of an [*Error], for errors.Is:
//
//	if errors.Is(err, callboard.ErrNotFound) { ... }
//
// Errors with another code are of no kind; see [Error.Code].
var (
	// ErrInvalidArgument: a value may not be what it is.
	ErrInvalidArgument = errors.New("invalid argument")
	// ErrNotFound: there is no such task, workflow, agent or namespace.
	ErrNotFound = errors.New("not found")
	// ErrAlreadyExists: there is one of this key or name.
	ErrAlreadyExists = errors.New("already exists")
	// ErrFailedPrecondition: the state of the task, workflow or agent doesn't allow it.
	ErrFailedPrecondition = errors.New("failed precondition")
	// ErrPermissionDenied: it belongs to someone else, or the caller's roles don't allow it.
	ErrPermissionDenied = errors.New("permission denied")
	// ErrResourceExhausted: a limit is reached.
	ErrResourceExhausted = errors.New("resource exhausted")
	// ErrUnavailable: no server could be reached, or none could decide now.
	ErrUnavailable = errors.New("unavailable")
	// ErrDeadlineExceeded: the time was over before the answer came. Such an error is context.DeadlineExceeded, too.
	ErrDeadlineExceeded = errors.New("deadline exceeded")
)

var kinds = map[codes.Code]error{
	codes.InvalidArgument:    ErrInvalidArgument,
	codes.NotFound:           ErrNotFound,
	codes.AlreadyExists:      ErrAlreadyExists,
	codes.FailedPrecondition: ErrFailedPrecondition,
	codes.PermissionDenied:   ErrPermissionDenied,
	codes.ResourceExhausted:  ErrResourceExhausted,
	codes.Unavailable:        ErrUnavailable,
	codes.DeadlineExceeded:   ErrDeadlineExceeded,
}

// Error is why a call was refused or failed. errors.Is tells its kind ([ErrNotFound] and so on), errors.As gives all of it.
type Error struct {
	// Code is the gRPC status.
	Code codes.Code
	// Reason is the name from ErrorReason without its prefix: TASK_NOT_FOUND. Empty if there is none.
	Reason string
	// Message is what the server said: it names the field, the fault and the remedy.
	Message string
	// Violations are the fields that are wrong.
	Violations []FieldViolation
	// RetryAfter is how long the server wants not to be asked again; nil if it didn't say.
	RetryAfter *time.Duration
}

// FieldViolation is a field that has a value that it may not have.
type FieldViolation struct {
	// Field is its path: task.type.
	Field string
	// Description says what is wrong with it.
	Description string
}

// Error gives code, reason and message.
func (e *Error) Error() string {
	if e.Reason != "" {
		return fmt.Sprintf("%s %s: %s", e.Code, e.Reason, e.Message)
	}
	return fmt.Sprintf("%s: %s", e.Code, e.Message)
}

// Is says whether the error is of a kind, or what the context of the call was ended with.
func (e *Error) Is(target error) bool {
	switch {
	case e.Code == codes.DeadlineExceeded && target == context.DeadlineExceeded:
		return true
	case e.Code == codes.Canceled && target == context.Canceled:
		return true
	}
	kind, known := kinds[e.Code]
	return known && target == kind
}

// GRPCStatus gives the error as a gRPC status, without details.
func (e *Error) GRPCStatus() *status.Status {
	return status.New(e.Code, e.Message)
}

// isRetryable says whether the call may be made again: UNAVAILABLE, and what the server says so of. Nothing else.
func (e *Error) isRetryable() bool {
	return e.Code == codes.Unavailable || e.RetryAfter != nil
}

// TaskFailed is the error when the result was asked for of a task that didn't complete.
type TaskFailed struct {
	// Task is the task, with its state and failure.
	Task *callboardv1.Task
}

// Error says how the task ended.
func (e *TaskFailed) Error() string {
	text := fmt.Sprintf("task %s ended %s", e.Task.GetId(), StateName(e.Task.GetState()))
	if failure := e.Task.GetFailure(); failure != nil {
		text += fmt.Sprintf(": %s: %s", failure.GetType(), failure.GetMessage())
	}
	return text
}

// invalid is an error about a value that never left.
func invalid(field, message string) *Error {
	return refused(field, message, callboardv1.ErrorReason_ERROR_REASON_INVALID_FIELD)
}

func refused(field, message string, reason callboardv1.ErrorReason) *Error {
	return &Error{
		Code:       codes.InvalidArgument,
		Reason:     session.ReasonName(reason),
		Message:    message,
		Violations: []FieldViolation{{Field: field, Description: message}},
	}
}

// fromGRPC makes an error of what gRPC says, with what google.rpc details tell. Details that can't be read are left out.
func fromGRPC(err error) *Error {
	said := status.Convert(err)
	result := &Error{Code: said.Code(), Message: said.Message()}
	for _, detail := range said.Details() {
		switch detail := detail.(type) {
		case *errdetails.ErrorInfo:
			if detail.GetDomain() == errorDomain {
				result.Reason = detail.GetReason()
			}
		case *errdetails.BadRequest:
			for _, violation := range detail.GetFieldViolations() {
				result.Violations = append(result.Violations, FieldViolation{violation.GetField(), violation.GetDescription()})
			}
		case *errdetails.RetryInfo:
			delay := max(0, detail.GetRetryDelay().AsDuration())
			result.RetryAfter = &delay
		}
	}
	result.Reason = trimReason(result.Reason)
	return result
}

// asError gives an error that is one of ours.
func asError(err error) *Error {
	var known *Error
	if errors.As(err, &known) {
		return known
	}
	return fromGRPC(err)
}

// faultOf tells the session why a stream ended.
func faultOf(err *Error) *session.Fault {
	if err == nil {
		return nil
	}
	return &session.Fault{Code: err.Code, Reason: err.Reason, Message: err.Message, RetryAfter: err.RetryAfter, Cause: err}
}

// errorOf tells the program what the session says; nil when there is no fault.
func errorOf(fault *session.Fault) error {
	if fault == nil {
		return nil
	}
	if fault.Cause != nil {
		return fault.Cause
	}
	return &Error{Code: fault.Code, Reason: fault.Reason, Message: fault.Message, RetryAfter: fault.RetryAfter}
}
