package runs

import (
	"time"

	"callboard.dev/sdk/go/callboardv1"
	"callboard.dev/sdk/go/internal/backoff"
	"callboard.dev/sdk/go/internal/session"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/proto"
)

// Moment is a point in time: how long after the client's beginning, by a monotonic clock.
type Moment = session.Moment

// Never is later than every moment.
const Never = session.Never

// Fault is why a run was refused, or a stream ended.
type Fault = session.Fault

// Outcome is what became of a run.
type Outcome struct {
	// Task is the task as it ended.
	Task *callboardv1.Task
	// Fault is why there is none.
	Fault *Fault
	// ByCalls says that the server has no such stream: RunTask does it.
	ByCalls bool
}

// place is where a run is.
type place int

const (
	// waiting: for the next frame that has room.
	waiting place = iota
	// asked: it is on the stream, and has no outcome.
	asked
	// resting: it was refused, and is asked again after a while.
	resting
	// over: it has its outcome, or nobody wants it any more.
	over
)

// Run is a task that is asked for, from then to its outcome.
type Run struct {
	id string
	// encoded is a frame with this run alone: frames that stand one behind the other are one frame, as protobuf has it.
	encoded []byte
	// patience is how long the servers may fail it.
	patience time.Duration
	outcome  chan Outcome

	place   place
	number  uint64
	begunAt Moment
	// refusal is the last one; refusedSince when the first of those came that followed each other, and usefulThen how useful the stream
	// had been then; againAt when it is asked again.
	refusal      *Fault
	refusedSince Moment
	usefulThen   uint64
	againAt      Moment
	delays       backoff.Backoff
}

// NewRun makes a run of a task, to be given to [Stream.Ask]. The error is protobuf's: the task has text that is not UTF-8.
func NewRun(id string, task *callboardv1.TaskSpec, patience time.Duration) (*Run, error) {
	frame := &callboardv1.RunTasksRequest{Runs: []*callboardv1.TaskRun{{RequestId: id, Task: task}}}
	encoded, err := proto.Marshal(frame)
	if err != nil {
		return nil, err
	}
	return &Run{id: id, encoded: encoded, patience: patience, outcome: make(chan Outcome, 1)}, nil
}

// ID is its request id.
func (r *Run) ID() string {
	return r.id
}

// Size is how many bytes of a frame it takes.
func (r *Run) Size() int {
	return len(r.encoded)
}

// Outcome gives what became of it, once.
func (r *Run) Outcome() <-chan Outcome {
	return r.outcome
}

// Settled is a run that has its outcome.
type Settled struct {
	run     *Run
	outcome Outcome
}

// Deliver tells whoever waits for it. It doesn't wait itself.
func (s Settled) Deliver() {
	s.run.outcome <- s.outcome
}

// mayRetry says whether a run that was refused is asked again.
func mayRetry(fault *Fault) bool {
	return fault.Code == codes.Unavailable || fault.RetryAfter != nil
}

// mayResume says whether a stream that ended so is followed by another: unless it was refused itself. One that was cut below gRPC has a
// status that was made up here, without a reason.
func mayResume(fault *Fault) bool {
	switch fault.Code {
	case codes.Canceled, codes.Internal, codes.Unknown:
		return fault.Reason == "" || fault.RetryAfter != nil
	}
	return mayRetry(fault) || fault.Reason == "SLOW_READER"
}
