package main

import (
	"errors"

	"callboard.dev/sdk/go"
	"google.golang.org/genproto/googleapis/rpc/code"
)

// kinds are the SDK's own, by the names that every SDK has for them.
var kinds = []struct {
	is   error
	name string
}{
	{callboard.ErrInvalidArgument, "InvalidArgument"},
	{callboard.ErrNotFound, "NotFound"},
	{callboard.ErrAlreadyExists, "AlreadyExists"},
	{callboard.ErrFailedPrecondition, "FailedPrecondition"},
	{callboard.ErrPermissionDenied, "PermissionDenied"},
	{callboard.ErrResourceExhausted, "ResourceExhausted"},
	{callboard.ErrUnavailable, "Unavailable"},
	{callboard.ErrDeadlineExceeded, "DeadlineExceeded"},
}

// shownError is an error that the SDK raised.
type shownError struct {
	Kind       string           `json:"kind"`
	Code       string           `json:"code"`
	Reason     string           `json:"reason"`
	Message    string           `json:"message"`
	Violations []shownViolation `json:"violations"`
	RetryAfter any              `json:"retry_after_ms"`
}

type shownViolation struct {
	Field       string `json:"field"`
	Description string `json:"description"`
}

func showError(err error) any {
	shown := shownError{Kind: "Local", Message: err.Error(), Violations: []shownViolation{}}
	var ended *callboard.TaskFailed
	var unread *callboard.DecodeError
	var raised *callboard.Error
	switch {
	case errors.As(err, &ended):
		task, err := showTask(ended.Task)
		if err != nil {
			return showError(err)
		}
		return object{"kind": "TaskFailed", "message": shown.Message, "task": task}
	case errors.As(err, &unread):
		shown.Kind = "Decode"
	case errors.As(err, &raised):
		shown.fill(raised)
	}
	return shown
}

func (s *shownError) fill(raised *callboard.Error) {
	s.Kind = "Other"
	for _, kind := range kinds {
		if errors.Is(raised, kind.is) {
			s.Kind = kind.name
		}
	}
	s.Code, s.Reason, s.Message = code.Code(raised.Code).String(), raised.Reason, raised.Message
	s.RetryAfter = inMilliseconds(raised.RetryAfter)
	for _, violation := range raised.Violations {
		s.Violations = append(s.Violations, shownViolation(violation))
	}
}
