// Package runs is the client's side of a stream of RunTasks, as section 3 of sdk/SPEC.md has it: a state machine without I/O, clock,
// goroutines or randomness.
//
// What happens is told to a [Stream]: runs that are asked for or given up, frames that came, streams that ended, time that passed. What
// is to be done about it is asked of it: [Stream.TakeActions] for the stream, [Stream.TakeSettled] for runs that have their outcome,
// [Stream.NextFrame] for the next frame to send, [Stream.TickAt] for when to call [Stream.Tick] again.
//
// Frames are asked for one at a time, when the stream can take one: what is asked for meanwhile goes out together.
package runs

import (
	"fmt"
	"slices"
	"time"

	"callboard.dev/sdk/go/callboardv1"
	"callboard.dev/sdk/go/internal/backoff"
	"callboard.dev/sdk/go/internal/planted"
	"google.golang.org/grpc/codes"
)

const (
	// mostAsked is how many runs may be on a stream, by the protocol.
	mostAsked = 4096
	// idleFor is after how long with nothing to run a stream is ended.
	idleFor = 10 * time.Second
	// silence is after how long without a word a stream is broken: the server says something every 10 s.
	silence = 30 * time.Second
)

// Action is something that is to be done about the stream.
type Action int

const (
	// Open opens a stream. There is none.
	Open Action = iota
	// Finish ends our side of the stream: it is not needed any more, and its end need not be told.
	Finish
	// Cut ends the stream at once. Its end need not be told.
	Cut
	// Leave turns to the next address, for the streams to come.
	Leave
)

// Config says how a stream behaves.
type Config struct {
	Namespace string
	// Refusal reads a google.rpc.Status.
	Refusal func(status []byte) *Fault
	// Fraction gives a random number from 0 to 1.
	Fraction func() float64
}

// Stream is the state of all runs of a client, and of the stream that they are on. It is not safe for concurrent use.
type Stream struct {
	config  Config
	waiting queue
	// asked has the runs that are on the stream, by request id, resting those that were refused and are asked again, the first at restUntil.
	asked     map[string]*Run
	resting   map[*Run]struct{}
	restUntil Moment
	// forgotten are those on the stream whose outcome nobody wants any more. The server doesn't know yet.
	forgotten []string
	lastRun   uint64

	// isOpen: there is a stream, or one is being opened. Else there may be one from openAt on.
	isOpen  bool
	openAt  Moment
	greeted bool
	// answered: something was heard on it, at heardAt the last time; before, that is when it was opened.
	answered  bool
	heardAt   Moment
	idleSince Moment
	delays    backoff.Backoff
	// failure is why there is no stream, since failingSince.
	failure      *Fault
	failingSince Moment
	// useful counts the outcomes that don't say that the server can't take the run now.
	useful uint64

	actions []Action
	settled []Settled
}

// New gives a stream that nobody has asked for anything.
func New(config Config) *Stream {
	return &Stream{
		config: config, asked: map[string]*Run{}, resting: map[*Run]struct{}{}, restUntil: Never, idleSince: Never,
	}
}

// Ask asks for a run.
func (s *Stream) Ask(now Moment, r *Run) {
	s.lastRun++
	r.number, r.begunAt = s.lastRun, now
	s.waiting.push(r)
	// One that has less time than the delay is tried for sooner.
	s.openAt = min(s.openAt, now+r.patience/2)
	s.Tick(now)
}

// Forget takes it that nobody waits for a run any more, and gives what stood in its way; nil when nothing did.
func (s *Stream) Forget(now Moment, r *Run) *Fault {
	inTheWay := s.failure
	switch r.place {
	case waiting:
		s.waiting.leave(r)
	case asked:
		delete(s.asked, r.id)
		s.forgotten = append(s.forgotten, r.id)
	case resting:
		delete(s.resting, r)
		inTheWay = r.refusal
	}
	r.place = over
	if s.isOpen && !s.answered && s.isIdle() {
		// Nobody has answered in its time. The next begins at the next address.
		s.do(Cut)
		s.do(Leave)
		s.close(now, 0)
	}
	s.Tick(now)
	return inTheWay
}

// Opened takes it that the server has taken the stream.
func (s *Stream) Opened(now Moment) {
	s.hear(now)
}

// Received takes a frame that came.
func (s *Stream) Received(now Moment, frame *callboardv1.RunTasksResponse) {
	s.hear(now)
	for _, outcome := range frame.GetOutcomes() {
		s.ended(now, outcome)
	}
	s.Tick(now)
}

func (s *Stream) hear(now Moment) {
	s.answered, s.heardAt, s.failure = true, now, nil
}

// ended takes what became of a run. One that isn't known was forgotten.
func (s *Stream) ended(now Moment, outcome *callboardv1.TaskOutcome) {
	r := s.asked[outcome.GetRequestId()]
	if r == nil {
		return
	}
	delete(s.asked, r.id)
	switch what := outcome.GetOutcome().(type) {
	case *callboardv1.TaskOutcome_Task:
		s.isUseful()
		s.settle(r, Outcome{Task: what.Task})
	case *callboardv1.TaskOutcome_Status:
		s.refused(now, r, s.config.Refusal(what.Status))
	default:
		s.settle(r, Outcome{Fault: &Fault{Code: codes.Unimplemented, Message: "the server gave an outcome that this version doesn't know"}})
	}
}

// isUseful: the server takes what is asked of it.
func (s *Stream) isUseful() {
	s.useful++
	s.delays.Reset()
}

// refused takes the refusal of a run. It is asked again after a while if that may help.
func (s *Stream) refused(now Moment, r *Run, fault *Fault) {
	if !mayRetry(fault) {
		s.isUseful()
		s.settle(r, Outcome{Fault: fault})
		return
	}
	isRepeated := r.refusal != nil && now < r.againAt+r.patience
	if !isRepeated {
		r.refusedSince, r.usefulThen = now, s.useful
		r.delays.Reset()
	}
	r.refusal, r.againAt = fault, now+r.delays.Next(fault.RetryAfter, s.config.Fraction())
	if r.againAt >= r.refusedSince+r.patience {
		s.settle(r, Outcome{Fault: fault})
		return
	}
	r.place = resting
	s.resting[r] = struct{}{}
	s.restUntil = min(s.restUntil, r.againAt)
	if isRepeated && fault.Code == codes.Unavailable && s.useful == r.usefulThen && s.isOpen {
		// It has done nothing for anybody meanwhile. Another may.
		s.do(Cut)
		s.broken(now, fault)
	}
}

// Ended takes the end of the stream, or that it could not be opened.
func (s *Stream) Ended(now Moment, fault *Fault) {
	if !s.isOpen {
		return
	}
	switch {
	case fault.Code == codes.Unimplemented:
		s.close(now, 0)
		s.settleAll(Outcome{ByCalls: true})
	case mayResume(fault):
		s.broken(now, fault)
	default:
		s.close(now, 0)
		s.settleAll(Outcome{Fault: fault})
	}
	s.Tick(now)
}

// broken: the stream is gone. What has no outcome is asked again on another, unless the servers have failed it for too long.
func (s *Stream) broken(now Moment, fault *Fault) {
	if s.failure == nil {
		s.failingSince = now
	}
	s.failure = fault
	s.do(Leave)
	s.close(now, s.delays.Next(fault.RetryAfter, s.config.Fraction()))
	for _, r := range s.waiting.drain() {
		if s.openAt >= max(s.failingSince, r.begunAt)+r.patience {
			s.settle(r, Outcome{Fault: fault})
		} else {
			s.waiting.push(r)
		}
	}
}

// close: there is no stream any more. What was on it waits again, in its old order.
func (s *Stream) close(now Moment, delay time.Duration) {
	s.isOpen, s.openAt = false, now+delay
	if planted.Has(planted.RunsNotAskedAgain) {
		return
	}
	back := make([]*Run, 0, len(s.asked))
	for _, r := range s.asked {
		back = append(back, r)
	}
	slices.SortFunc(back, func(a, b *Run) int { return int(a.number - b.number) })
	s.waiting.putBack(back)
	clear(s.asked)
	s.forgotten = nil
}

// Close is the end of all: each run ends with this.
func (s *Stream) Close(now Moment, fault *Fault) {
	if s.isOpen {
		s.do(Cut)
	}
	s.close(now, 0)
	s.settleAll(Outcome{Fault: fault})
}

// Tick does whatever is due.
func (s *Stream) Tick(now Moment) {
	if now >= s.restUntil {
		s.wake(now)
	}
	switch {
	case !s.isIdle():
		s.idleSince = Never
	case s.idleSince == Never:
		s.idleSince = now
	}
	switch {
	case s.isOpen && now >= s.heardAt+silence:
		s.do(Cut)
		s.broken(now, &Fault{Code: codes.Unavailable, Message: fmt.Sprintf("nothing was heard for %v", silence)})
	case s.isOpen && s.idleSince != Never && now >= s.idleSince+idleFor:
		s.do(Finish)
		s.close(now, 0)
	case !s.isOpen && s.waiting.len() > 0 && now >= s.openAt:
		s.do(Open)
		s.isOpen, s.greeted, s.answered, s.heardAt = true, false, false, now
	}
}

// wake: those that have rested long enough are asked again.
func (s *Stream) wake(now Moment) {
	s.restUntil = Never
	for r := range s.resting {
		if now < r.againAt {
			s.restUntil = min(s.restUntil, r.againAt)
			continue
		}
		delete(s.resting, r)
		s.waiting.push(r)
	}
}

// TickAt says when Tick is due at the latest; [Never] when only an event can change something.
func (s *Stream) TickAt() Moment {
	due := s.restUntil
	switch {
	case s.isOpen:
		due = min(due, s.heardAt+silence)
		if s.idleSince != Never {
			due = min(due, s.idleSince+idleFor)
		}
	case s.waiting.len() > 0:
		due = min(due, s.openAt)
	}
	return due
}

// isIdle says whether there is nothing to run.
func (s *Stream) isIdle() bool {
	return s.waiting.len() == 0 && len(s.asked) == 0 && len(s.resting) == 0
}

func (s *Stream) settle(r *Run, outcome Outcome) {
	r.place = over
	s.settled = append(s.settled, Settled{r, outcome})
}

func (s *Stream) settleAll(outcome Outcome) {
	for _, r := range s.waiting.drain() {
		s.settle(r, outcome)
	}
	for r := range s.resting {
		s.settle(r, outcome)
	}
	clear(s.resting)
	s.restUntil = Never
}

func (s *Stream) do(action Action) {
	s.actions = append(s.actions, action)
}

// TakeActions gives what to do about the stream now, in this order.
func (s *Stream) TakeActions() []Action {
	actions := s.actions
	s.actions = nil
	return actions
}

// TakeSettled gives the runs that have their outcome since.
func (s *Stream) TakeSettled() []Settled {
	settled := s.settled
	s.settled = nil
	return settled
}
