package session

import (
	"strings"
	"time"

	"callboard.dev/sdk/go/callboardv1"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// Action is something that a session wants done.
type Action interface{ isAction() }

type (
	// Connect opens a stream. Its first frame comes from [Session.NextFrame].
	Connect struct{ Target Target }
	// Cut ends the stream at once. Its end need not be told.
	Cut struct{}
	// Start runs the handler of an assignment. HasSteps says whether the server that gave it takes steps: else it can't have said what
	// is recorded.
	Start struct {
		Key        Key
		Assignment *callboardv1.Assignment
		HasSteps   bool
	}
	// Stop cancels a handler. Reported says whether its outcome is still reported when it has ended.
	Stop struct {
		Key      Key
		Reason   callboardv1.CancellationReason
		Message  string
		Reported bool
	}
	// ReportSettled says that a checkpoint or step is committed, or output in the buffer, or, with a fault, that it isn't and never
	// will be.
	ReportSettled struct {
		Ticket uint64
		Fault  *Fault
	}
	// Awaited says how tasks ended, in the order in which that was told, or, with a fault, that nobody will say. HeldBack: the handler may
	// not go on yet; it comes once more when it may. Untold: the server doesn't tell; ask for it by calls.
	Awaited struct {
		Ticket   uint64
		Ends     []*callboardv1.TaskEnd
		HeldBack bool
		Fault    *Fault
		Untold   bool
	}
	// Resumed says when an attempt that was paused times out now.
	Resumed struct {
		Key      Key
		Deadline *timestamppb.Timestamp
	}
	// Handle runs the handler of a message. No other is at work.
	Handle struct{ Message *callboardv1.Message }
	// StopHandling cancels the handler of the message.
	StopHandling struct{}
	// SendSettled says that a message is committed, or, with a fault, that it isn't and never will be.
	SendSettled struct {
		Ticket  uint64
		Receipt *callboardv1.MessageReceipt
		Fault   *Fault
	}
	// End says that it is over: close the stream. It has a fault when trying again can't help.
	End struct{ Fault *Fault }
)

func (Connect) isAction()       {}
func (Cut) isAction()           {}
func (Start) isAction()         {}
func (Stop) isAction()          {}
func (ReportSettled) isAction() {}
func (Awaited) isAction()       {}
func (Resumed) isAction()       {}
func (Handle) isAction()        {}
func (StopHandling) isAction()  {}
func (SendSettled) isAction()   {}
func (End) isAction()           {}

// Target is where to open a stream: at an endpoint that a server named, or, if that is empty, at the address of this number.
type Target struct {
	Address  int
	Endpoint string
}

// Fault is why a stream ended, or something was refused.
type Fault struct {
	Code codes.Code
	// Reason is the name from ErrorReason without its prefix; empty if there is none.
	Reason  string
	Message string
	// RetryAfter is how long the server wants to be left alone; nil if it didn't say.
	RetryAfter *time.Duration
	// Cause is the driver's own: what it told the session comes back as it was.
	Cause error
}

// ReasonName gives a reason without its prefix; empty when unspecified.
func ReasonName(reason callboardv1.ErrorReason) string {
	if reason == callboardv1.ErrorReason_ERROR_REASON_UNSPECIFIED {
		return ""
	}
	return strings.TrimPrefix(reason.String(), "ERROR_REASON_")
}

// endsAgent says whether it is about the agent itself, whoever says it: it would hear the same elsewhere.
func (f *Fault) endsAgent(wasAttached bool) bool {
	switch f.Reason {
	case "SESSION_SUPERSEDED", "NOT_YOUR_AGENT":
		return true
	case "AGENT_STATE":
		// The agent was removed. While attached it is told that its session expired, and learns this when it comes back.
		return !wasAttached
	}
	return false
}

// isLasting says whether whoever said it would say it again.
func (f *Fault) isLasting() bool {
	switch f.Code {
	case codes.InvalidArgument, codes.NotFound, codes.PermissionDenied, codes.Unauthenticated:
		return true
	}
	return false
}

func leaseLost(why string) *Fault {
	return &Fault{Code: codes.FailedPrecondition, Reason: "STALE_ATTEMPT", Message: why}
}

func noCheckpoints() *Fault {
	return &Fault{Code: codes.Unimplemented, Message: "the server takes no checkpoints"}
}

func noSteps() *Fault {
	return &Fault{Code: codes.FailedPrecondition, Message: "the server takes no steps"}
}

func noChildren() *Fault {
	return &Fault{Code: codes.FailedPrecondition, Message: "the server takes no children"}
}

func noOutput() *Fault {
	return &Fault{Code: codes.FailedPrecondition, Message: "the server takes no output"}
}

func noMessages() *Fault {
	return &Fault{Code: codes.Unimplemented, Message: "the server takes no messages"}
}
