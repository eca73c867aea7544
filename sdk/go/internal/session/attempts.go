package session

import (
	"cmp"
	"slices"
	"strconv"
	"strings"
	"time"

	"callboard.dev/sdk/go/callboardv1"
	"callboard.dev/sdk/go/internal/planted"
)

const (
	// mostHandlers is how many may run at once, most of them paused: only a handler that starts itself without end comes there.
	mostHandlers = 10_000
	// progressEvery is the least time between two progress reports of an attempt.
	progressEvery = 100 * time.Millisecond
	// drainReason is why an attempt is handed back by an agent that drains.
	drainReason = "drain"
)

// Key tells attempts apart.
type Key struct {
	TaskID  string
	Attempt int32
}

// KeyOf gives the key of an attempt.
func KeyOf(attempt *callboardv1.Attempt) Key {
	return Key{attempt.GetTaskId(), attempt.GetAttempt()}
}

// attempt is one that this agent has, or whose reports have no receipt yet.
type attempt struct {
	key   Key
	lease *callboardv1.Attempt
	// running: its handler runs.
	running bool
	// closed: nothing more is reported of it. Its outcome was, or the lease is lost.
	closed          bool
	cancelRequested bool
	progress        *callboardv1.Progress
	progressDue     Moment
	accepted        *kept
	line            line
	waiting         waiting
	output          output
}

// reports says whether what its handler says is still wanted.
func (a *attempt) reports() bool {
	return a.running && !a.closed
}

// isHeld says whether a hello lists it.
func (a *attempt) isHeld() bool {
	return a.reports() || len(a.line.reports) > 0
}

// sorted gives the attempts in a fixed order, so that the same state gives the same frames.
func (s *Session) sorted() []*attempt {
	all := make([]*attempt, 0, len(s.attempts))
	for _, a := range s.attempts {
		all = append(all, a)
	}
	slices.SortFunc(all, func(a, b *attempt) int {
		return cmp.Or(strings.Compare(a.key.TaskID, b.key.TaskID), cmp.Compare(a.key.Attempt, b.key.Attempt))
	})
	return all
}

// assigned takes an attempt: its handler runs at once, or it is handed back.
func (s *Session) assigned(assignment *callboardv1.Assignment) {
	key := KeyOf(assignment.GetAttempt())
	// Far beyond what handlers can bring about: what is left unanswered by a server that gives no receipts goes to another agent.
	tooMany := s.outbox.count() >= 8*s.slots()+64
	if assignment.GetAttempt() == nil || s.attempts[key] != nil || tooMany {
		if planted.Has(planted.AssignmentRunTwice) && s.attempts[key] != nil {
			s.start(key, assignment)
		}
		return
	}
	a := &attempt{key: key, lease: assignment.GetAttempt()}
	refusal := s.refusal(assignment.GetSpec().GetType())
	s.attempts[key] = a
	if refusal != "" {
		a.closed = true
		s.outbox.add(a, rejected(refusal), 0)
		return
	}
	a.running = true
	s.running++
	accepted := &callboardv1.Report{Kind: &callboardv1.Report_Accepted{Accepted: &callboardv1.Accepted{}}}
	a.accepted = s.outbox.add(a, accepted, 0)
	s.start(key, assignment)
}

func (s *Session) start(key Key, assignment *callboardv1.Assignment) {
	s.do(Start{key, assignment, !s.link.lacks(featureSteps)})
}

// refusal says why an assignment is not taken; empty when it is.
func (s *Session) refusal(taskType string) string {
	switch {
	case s.drain != nil:
		return drainReason
	case !s.types[taskType] && !s.types["*"]:
		return "no handler takes the task type " + strconv.Quote(taskType)
	case s.running-s.pausedCount >= 2*s.slots() || s.running >= mostHandlers:
		// Handlers that lost their lease run on for a while beside those that took their slots. More is a server that doesn't count.
		return "all slots are taken"
	}
	return ""
}

// Running gives the attempts whose handlers run.
func (s *Session) Running() []Key {
	var keys []Key
	for _, a := range s.sorted() {
		if a.running {
			keys = append(keys, a.key)
		}
	}
	return keys
}

func (s *Session) cancelled(cancellation *callboardv1.Cancellation) {
	a := s.attempts[KeyOf(cancellation.GetAttempt())]
	if a == nil || !a.reports() {
		return
	}
	reason := cancellation.GetReason()
	switch reason {
	case callboardv1.CancellationReason_CANCELLATION_REASON_REQUESTED:
		if !a.cancelRequested {
			a.cancelRequested = true
			s.do(Stop{a.key, reason, cancellation.GetMessage(), true})
		}
	case callboardv1.CancellationReason_CANCELLATION_REASON_LEASE_LOST,
		callboardv1.CancellationReason_CANCELLATION_REASON_TIMED_OUT:
		s.lose(a, reason, cancellation.GetMessage())
	}
	// Others are of a newer protocol.
}

// lose: the attempt isn't ours any more. Its handler is to stop, and nothing more is reported of it.
func (s *Session) lose(a *attempt, reason callboardv1.CancellationReason, why string) {
	a.closed = true
	a.progress = nil
	lost := leaseLost(why)
	s.outbox.dropWaiting(a, lost)
	s.outbox.releaseSteps(a, lost)
	s.endOutput(a, lost)
	s.endWaits(a, Awaited{Fault: lost})
	s.do(Stop{a.key, reason, why, false})
}

// handlerEnded is what those are told who wait for something of a handler that has ended.
var handlerEnded = leaseLost("the handler has ended")

// ended: a handler has ended.
func (s *Session) ended(now Moment, key Key, report *callboardv1.Report) {
	a := s.attempts[key]
	if a == nil || !a.running {
		return
	}
	a.running = false
	s.running--
	a.progress = nil
	if !a.closed && s.link.phase != stopped {
		a.closed = true
		// A final report implies acceptance: one that never left this process says nothing more.
		s.outbox.withdraw(a.accepted)
		// A handler that ended while a checkpoint or step still waits for room doesn't want it any more.
		s.outbox.dropWaiting(a, handlerEnded)
		s.outbox.flushOutput(a)
		s.outbox.add(a, report, 0)
	}
	s.endOutput(a, handlerEnded)
	s.endWaits(a, Awaited{Fault: handlerEnded})
	s.forgetIfDone(a)
	s.Tick(now)
}

func (s *Session) forgetIfDone(a *attempt) {
	if !a.running && len(a.line.reports) == 0 {
		delete(s.attempts, a.key)
	}
}

// dueProgress takes the progress that may be sent now, at most so many.
func (s *Session) dueProgress(now Moment, most int) []*callboardv1.Report {
	var reports []*callboardv1.Report
	waiting := s.progress[:0]
	for _, a := range s.progress {
		switch {
		case a.progress == nil:
			// Its handler has ended, or its lease is lost.
		case now < a.progressDue || len(reports) >= most:
			waiting = append(waiting, a)
		default:
			kind := &callboardv1.Report_Progress{Progress: a.progress}
			reports = append(reports, &callboardv1.Report{ReportId: s.outbox.newID(), Attempt: a.lease, Kind: kind})
			a.progress, a.progressDue = nil, now+progressEvery
		}
	}
	clear(s.progress[len(waiting):])
	s.progress = waiting
	return reports
}

func (s *Session) progressAt() Moment {
	due := Never
	for _, a := range s.progress {
		if a.progress != nil {
			due = min(due, a.progressDue)
		}
	}
	return due
}

func rejected(reason string) *callboardv1.Report {
	return &callboardv1.Report{Kind: &callboardv1.Report_Rejected{Rejected: &callboardv1.Rejected{Reason: reason}}}
}

func failed(failure *callboardv1.Failure) *callboardv1.Report {
	return &callboardv1.Report{Kind: &callboardv1.Report_Failed{Failed: &callboardv1.FailureReport{Failure: failure}}}
}
